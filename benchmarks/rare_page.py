"""The page of rare_classes.py: what its runs say, and whether the pick by development data was a good one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from bapsim.compose.fusing import foretold, raced
from bapsim.core.recipe import Raced, Way
from bapsim.judge.compare import standard_error, units

RESULTS = Path(__file__).parents[1] / "docs" / "results"
ITEMS, WHEEL = RESULTS / "rare_classes_items.npz", RESULTS / "rare_wheel.json"

DRAWS = 4000  # of tests in which all arms are equally good
FREE = ("none", "weights", "oversample")
NOTE = """Rows of the rare class: at most 20 at hand (a third of them where there are few), at most 1,000
common ones; what is left of the rare rows outside the test is held back. An order is for as many
rows as are held back (at most 100): machine-made ones, the same rows again (oversample), or the
real ones (real). Groups (tiles, pictures of one blood smear, identical rows) lie whole on one
side. Classifiers are `table_boosted()` and `image_linear()`, generators are at their defaults
(the GAN at a quarter of its steps or fewer). A generator learns from people's rows at hand only; for what
is said out of fold, from those of the other folds (diffusion in 700 steps; the GAN is no
candidate of the pick). For what is said out of fold every arm votes with the blend of the model
of people's rows. *Verified*: a model of people's rows of another seed with balanced classes says
the rare class, and the row is new (`closeness()`); where less than a fifth passes nothing enters.
Average precision of the rare class on test rows, in points; intervals are 95 % t-intervals over
seeds of the difference to nothing (splits of one set overlap: read them as the spread over
splits). Share closed: the gain of an arm over that of the real rows, told where the real gain's
interval lies above 0. CPU-s: making the rows, and one training with its out-of-fold answers."""


def interval(values: list[float]) -> tuple[float, float, float]:
    d = np.array(values)
    if len(d) < 2:
        return float(d.mean()), float("nan"), float("nan")
    half = float(student.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
    return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half


def tried(run: dict) -> list[Raced]:
    """The arms as the product's race reads them, by development data, the simplest first."""
    dev = run["dev"]
    return [
        Raced(
            way=Way(share=k / 10),
            gain=dev["ap"][arm] - dev["ap"]["none"],
            error=dev["apart"][arm]["none"],
            rows=run["rows"]["common"] + run["rows"]["rare"],
            made=run["rows"]["order"],
        )
        for k, arm in enumerate(run["arms"])
        if arm not in ("none", "gan")
    ]


def pick(run: dict) -> str:
    """The arm that the product's race takes (compose/fusing.py)."""
    way = raced().pick(tried(run))
    return "none" if way is None else run["arms"][round(10 * way.share)]


def takes_real(run: dict) -> bool:
    """Whether the rule would take the real rows by development data, were they one of the arms."""
    dev, ways = run["dev"], tried(run)
    gain, error = dev["ap"]["real"] - dev["ap"]["none"], dev["apart"]["real"]["none"]
    real = Raced(way=Way(share=0.99), gain=gain, error=error, rows=ways[0].rows, made=ways[0].made)
    return raced().pick([*ways, real]) == real.way


def pick_before(run: dict) -> str:
    """The simplest arm within one paired standard error of the best by development data: the rule until
    2026-11-24.
    """
    dev, arms = run["dev"], [one for one in run["arms"] if one != "gan"]
    best = max(arms, key=dev["ap"].get)
    return next(a for a in arms if dev["ap"][a] >= dev["ap"][best] - dev["apart"][a][best])


def pick_highest(run: dict) -> str:
    """The best by development data, whatever its error."""
    return max((one for one in run["arms"] if one != "gan"), key=run["dev"]["ap"].get)


@cache
def items() -> dict[str, np.ndarray]:
    """What every arm said of every row, by set/seed/part/arm; empty where the file is not there."""
    return dict(np.load(ITEMS)) if ITEMS.exists() else {}


def pick_by_loss(run: dict) -> str | None:
    """The arm taken by losses (nats a row), as the wheel's race compares; None where no items are kept."""
    start = f"{run['set']}/{run['seed']}/dev/"
    mine = {k.removeprefix(start): v for k, v in items().items() if k.startswith(start)}
    if not mine:
        return None
    gold, group = mine.pop("gold"), mine.pop("group")
    loss = {arm: np.logaddexp(0, np.where(gold, -odds, odds).astype(float)) for arm, odds in mine.items()}
    rows = []
    for one in tried(run):
        apart = loss["none"] - loss[run["arms"][round(10 * one.way.share)]]
        error = standard_error(units(apart - apart.mean(), group), len(apart))
        rows.append(replace(one, gain=float(apart.mean()), error=error))
    way = raced().pick(rows)
    return "none" if way is None else run["arms"][round(10 * way.share)]


def says_buy(run: dict) -> bool:
    """Whether real rows are advised, as the product does: no machine-made rows were taken, so that only
    labels are left to buy, or real rows are foretold to gain more than those that were.
    """
    chosen, dev, rows = pick(run), run["dev"]["ap"], run["rows"]
    more = foretold(1 - dev["none"], dev["none"] - dev["half"], (rows["rare"] + rows["order"]) / rows["rare"])
    return chosen in FREE or more > dev[chosen] - dev["none"]


def real_wins(run: dict) -> bool:
    """Whether real rows beat the picked arm in the test by more than a standard error of the difference."""
    test, chosen = run["test"], pick(run)
    return test["ap"]["real"] - test["ap"][chosen] > test["apart"]["real"][chosen]


def advised(run: dict) -> tuple[bool, bool]:
    """Whether all that is advised, real rows where it says so, lies within one standard error of the best
    of all arms, the real rows among them; and within one of the difference.
    """
    chosen = "real" if says_buy(run) else pick(run)
    best = best_here({**run, "arms": [*run["arms"], "real"]}, [])
    return good(run, chosen, best, False), good(run, chosen, best, True)


def best_here(run: dict, runs: list[dict]) -> str:
    """The arm that is best in this test: known only afterwards, and best partly by chance."""
    return max(run["arms"], key=run["test"]["ap"].get)


def best_elsewhere(run: dict, runs: list[dict]) -> str:
    """The arm that is best in the tests of the other seeds of the set: its luck is not this test's."""
    others = [one for one in runs if one["set"] == run["set"] and one["seed"] != run["seed"]] or [run]
    return max(run["arms"], key=lambda arm: float(np.mean([one["test"]["ap"][arm] for one in others])))


def good(run: dict, chosen: str, best: str, apart: bool) -> bool:
    """Whether an arm lies within one standard error of the best in the test; apart: of the difference."""
    test = run["test"]
    room = test["apart"][chosen][best] if apart else test["se"][best]
    return test["ap"][chosen] >= test["ap"][best] - room


def were_all_equal(run: dict) -> tuple[float, float]:
    """How often an arm would lie within one standard error of the best (its own; of the difference) if all
    arms were equally good and only the items of the test differed: normal draws with the differences' errors.
    """
    arms, test = run["arms"], run["test"]
    d = np.array([[test["apart"][a][b] for b in arms] for a in arms])
    gram = (d[:, :1] ** 2 + d[:1, :] ** 2 - d**2) / 2
    value, vector = np.linalg.eigh(gram)
    normal = np.random.default_rng(0).normal(size=(DRAWS, len(arms)))
    gains = normal @ (vector * np.sqrt(np.maximum(value, 0))).T
    best = gains.argmax(1)
    behind = gains.max(1)[:, None] - gains
    own = np.array([test["se"][a] for a in arms])[best][:, None]
    slack = 1e-9
    return float((behind <= own + slack).mean()), float((behind <= d[:, best].T + slack).mean())


def section(name: str, runs: list[dict]) -> list[str]:
    rows = [one["rows"] for one in runs]
    mean = {k: np.mean([one[k] for one in rows]) for k in rows[0]}
    base = 100 * np.mean([one["test"]["ap"]["none"] for one in runs])
    lines = [
        "",
        f"## {name}",
        "",
        f"{len(runs)} seeds; {mean['rare']:.0f} rare and {mean['common']:.0f} common rows at hand, order of "
        f"{mean['order']:.0f}, test with {mean['test rare']:.0f} rare of {mean['test']:.0f}. Nothing: "
        f"{base:.1f}.",
        "",
        "| arm | average precision | difference to nothing | 95 % | share closed | passed | CPU-s |",
        "|---|---|---|---|---|---|---|",
    ]
    real = interval([100 * (one["test"]["ap"]["real"] - one["test"]["ap"]["none"]) for one in runs])
    for arm in [*runs[0]["arms"], "real"]:
        value = 100 * np.mean([one["test"]["ap"][arm] for one in runs])
        d, low, high = interval([100 * (one["test"]["ap"][arm] - one["test"]["ap"]["none"]) for one in runs])
        closed = f"{d / real[0]:.0%}" if real[1] > 0 and arm not in ("none", "real") else ""
        of = arm.removesuffix(" verified")
        rates = [one["passed"][of] for one in runs if of in one["passed"]]
        passed = f"{np.mean(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})" if rates else ""
        making = np.mean([one["making"].get(arm, 0.0) for one in runs])
        training = np.mean([one["training"][arm] for one in runs])
        change = "" if arm == "none" else f"{d:+.1f}"
        band = "" if arm == "none" else f"[{low:+.1f}, {high:+.1f}]"
        lines.append(
            f"| {arm} | {value:.1f} | {change} | {band} | {closed} | {passed} | {making:.1f} + "
            f"{training:.1f} |"
        )
    held = [one for one in runs if one["dev"]]
    chosen = ", ".join(pick(one) for one in held) or "-"
    lines += ["", f"Picks: {chosen}; buy real rows: {sum(map(says_buy, held))} of {len(held)}."]
    return lines


PICKS = {
    "the product's rule (none, unless a gain is more than the best of so many arms shows by chance)": pick,
    "the same rule on losses instead of average precision, as the wheel races": pick_by_loss,
    "the rule before it (the simplest arm within one paired standard error of the best)": pick_before,
    "the best by development data": pick_highest,
    "always nothing": lambda run: "none",
}


def share(hits: list[bool]) -> str:
    return f"{sum(hits)} of {len(hits)} ({np.mean(hits):.0%})"


def picks(runs: list[dict]) -> list[str]:
    """How near each rule comes to the best arm, and what it gains."""
    lines = [
        "| rule | runs | within one SE of the best arm | within one SE of the difference | the same, best "
        "arm by other seeds | gain over nothing | picks a machine's rows |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, rule in PICKS.items():
        told = [(one, mine) for one in runs if (mine := rule(one)) is not None]
        if not told:
            continue
        cells = [
            share([good(one, mine, of(one, runs), apart) for one, mine in told])
            for of, apart in ((best_here, False), (best_here, True), (best_elsewhere, True))
        ]
        gains = [100 * (one["test"]["ap"][mine] - one["test"]["ap"]["none"]) for one, mine in told]
        made = sum(mine not in FREE for _, mine in told)
        lines.append(f"| {title} | {len(told)} | {' | '.join(cells)} | {band(gains)} | {made} |")
    return lines


def wheel(runs: list[dict]) -> list[str]:
    """What the product's own turns took of an order."""
    every = {(one["set"], one["seed"]): one for one in runs}
    said = json.loads(WHEEL.read_text()) if WHEEL.exists() else []
    if not said:
        return []
    lines = [
        "",
        "## The wheel itself",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/rare_wheel.py` ({sum(o['cpu'] for o in said):,.0f} "
        "CPU-s): two turns of the product, an order drawn by diffusion, verified, and raced on people's rows "
        "that the generator did not learn from (loss in nats a row). Within one standard error of the best "
        "arm of rare_classes.py in the same test: its own; that of the difference.",
        "",
        "| set | seed | verified rows | gain in the race | taken | says buy labels | within one SE | of the "
        "difference | real rows win |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    hits: list[tuple[bool, bool]] = []
    for one in said:
        run = every[one["set"], one["seed"]]
        arm = "none" if one["way"] is None else "diffusion verified"
        best = best_here(run, runs)
        near = good(run, arm, best, False), good(run, arm, best, True)
        hits.append(near)
        tell = max((r for r in one["raced"] if r["made"]), key=lambda r: r["gain"] or 0, default=None)
        gain = "-" if tell is None else f"{tell['gain']:+.4f} ± {tell['error']:.4f}"
        test = run["test"]
        real = test["ap"]["real"] - test["ap"][arm] > test["apart"]["real"][arm]
        words = [arm, *("yes" if v else "no" for v in (one["buy"], *near, real))]
        lines.append(f"| {one['set']} | {one['seed']} | {one['made'] or 0} | {gain} | {' | '.join(words)} |")
    own, paired = (share([one[k] for one in hits]) for k in (0, 1))
    return [*lines, "", f"Within one standard error in {own}, within one of the difference in {paired}."]


def band(values: list[float]) -> str:
    middle, low, high = interval(values)
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"


def summary(every: list[dict]) -> list[str]:
    runs = [one for one in every if one["dev"]]  # of the others only the test was made
    own, paired = np.mean([were_all_equal(one) for one in runs], 0)
    missed = [one for one in runs if not good(one, pick(one), best_here(one, runs), True)]
    short = [
        f"{o['set']} {o['seed']} ({best_here(o, runs)} "
        f"{100 * (o['test']['ap'][best_here(o, runs)] - o['test']['ap'][pick(o)]):+.1f})"
        for o in missed
    ]
    wins = [one for one in runs if real_wins(one)]
    rest = [one for one in runs if not real_wins(one)]
    near = [advised(one) for one in runs]
    far = [f"{one['set']} {one['seed']}" for one, (own, _) in zip(runs, near, strict=True) if not own]
    broken = {
        name: (sum(one["passed"][name] < 0.2 for one in mine), len(mine))
        for name in ("smote", "copula", "augment", "gan", "diffusion")
        if (mine := [one for one in every if name in one["passed"]])
    }
    mixed = sum(one.get("blend") != "people's" for one in runs)
    return [
        "",
        "## The pick",
        "",
        f"{len(every)} runs, {len(runs)} of them with out-of-fold values"
        + (f" ({mixed} of these with a blend of each arm's own)" if mixed else "")
        + ". SE: standard error, by drawing groups of test rows again. A rule sees development data only.",
        "",
        *picks(runs),
        "",
        f"- If all arms were equally good and only the test's items differed, an arm would lie within one "
        f"standard error of the best one in {own:.0%} of such tests, and within one of the difference in "
        f"{paired:.0%}: the best of seven is best partly by chance, and of two equal arms one lies more than "
        "one standard error below the other in one test of six. That is what a rule can reach where there is "
        "nothing to choose.",
        "- Were the real rows an arm, the rule would take them by development data in "
        f"{sum(map(takes_real, runs))} of {len(runs)}: with some twenty rare rows it sees large gains only.",
        "- Not within one standard error of the difference (best arm, by how much): "
        f"{', '.join(short) or 'none'}.",
        f"- Real rows beat the pick by more than a standard error in {len(wins)} of {len(runs)}; "
        f'"buy real rows" is said in {sum(map(says_buy, wins))} of these, and in '
        f"{sum(map(says_buy, rest))} of the {len(rest)} others (of them real rows gained something in "
        f"{sum(o['test']['ap']['real'] > o['test']['ap'][pick(o)] for o in rest)}).",
        "- With the real rows among the arms, what is advised altogether (the pick, or real rows where it "
        f"says so) lies within one standard error of the best in {share([own for own, _ in near])}, within "
        f"one of the difference in {share([apart for _, apart in near])}; not in "
        f"{', '.join(far) or 'any other'}.",
        "- Broken generators (less than a fifth passes): "
        + ", ".join(f"{name} {bad} of {of}" for name, (bad, of) in broken.items())
        + ".",
        "",
        "## Differences to nothing over all sets (mean of the sets' means)",
        "",
        "| arm | tables | pictures |",
        "|---|---|---|",
        *[f"| {arm} | {over(every, arm, 'table')} | {over(every, arm, 'image')} |" for arm in arms_of(every)],
    ]


def arms_of(runs: list[dict]) -> list[str]:
    found = dict.fromkeys(a for one in runs for a in one["arms"] if a != "none")
    return [*found, "real"]


def over(runs: list[dict], arm: str, kind: str) -> str:
    """The mean over sets of an arm's mean difference, with the t-interval over sets."""
    sets = {one["set"] for one in runs if one["kind"] == kind and arm in one["test"]["ap"]}
    means = [
        100
        * float(np.mean([o["test"]["ap"][arm] - o["test"]["ap"]["none"] for o in runs if o["set"] == name]))
        for name in sorted(sets)
    ]
    if not means:
        return ""
    d, low, high = interval(means)
    band = f" [{low:+.1f}, {high:+.1f}]" if len(means) > 2 else ""
    return f"{d:+.1f}{band} ({len(means)} sets)"


def page(runs: list[dict]) -> str:
    """The whole page."""
    cpu = sum(one["cpu"] for one in runs)
    lines = [
        "# Rare classes: machine-made rows against weights and real labels",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/rare_classes.py` ({cpu:,.0f} CPU-s, one thread).",
        "",
        " ".join(NOTE.split("\n")),
        *summary(runs),
        *wheel(runs),
    ]
    for name in dict.fromkeys(one["set"] for one in runs):
        lines += section(name, [one for one in runs if one["set"] == name])
    return "\n".join(lines) + "\n"


def write(path: Path) -> None:
    """The page beside its results."""
    path.with_suffix(".md").write_text(page(json.loads(path.read_text())), "utf-8")
