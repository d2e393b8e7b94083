"""The page of rare_classes.py: what its runs say, and whether the pick by development data was a good one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.stats import t as student

FREE = ("none", "weights", "oversample")
NOTE = """Rows of the rare class: at most 20 at hand (a third of them where there are few), at most 1,000
common ones; what is left of the rare rows outside the test is held back. An order is for as many
rows as are held back (at most 100): machine-made ones, the same rows again (oversample), or the
real ones (real). Groups (tiles, pictures of one blood smear, identical rows) lie whole on one side.
Classifiers are `table_boosted()` and `image_linear()`, generators are at their defaults (the GAN at
a quarter of its steps). A generator learns from people's rows at hand only; for what is said out of
fold, from those of the other folds (diffusion in 700 steps; the GAN is no candidate of the pick).
*Verified*: a model of people's rows of another seed with balanced classes says the rare class, and
the row is new (`closeness()`); where less than a fifth passes nothing enters. Average precision of the
rare class on test rows, in points; intervals are 95 % t-intervals over seeds of the difference to
nothing (splits of one set overlap: read them as the spread over splits). Share closed: the gain of
an arm over that of the real rows, told where the real gain's interval lies above 0. CPU-s: making
the rows, and one training with its out-of-fold answers."""


def interval(values: list[float]) -> tuple[float, float, float]:
    d = np.array(values)
    if len(d) < 2:
        return float(d.mean()), float("nan"), float("nan")
    half = float(student.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
    return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half


def pick(run: dict, errors: float = 1.0) -> str:
    """The simplest arm within so many paired standard errors of the best by out-of-fold data."""
    dev, arms = run["dev"], [one for one in run["arms"] if one != "gan"]
    best = max(arms, key=dev["ap"].get)
    return next(a for a in arms if dev["ap"][a] >= dev["ap"][best] - errors * dev["apart"][a][best])


def foretold(run: dict) -> float:
    """What real rows are expected to gain on development data: the last doubling, times the doublings to
    come.
    """
    dev, rows = run["dev"]["ap"], run["rows"]
    return (dev["none"] - dev["half"]) * float(np.log2((rows["rare"] + rows["order"]) / rows["rare"]))


def says_buy(run: dict) -> bool:
    """Whether real rows are advised: no machine-made rows were picked, so that only labels are left to buy,
    or real rows are expected to gain more than those that were.
    """
    chosen = pick(run)
    return chosen in FREE or foretold(run) > run["dev"]["ap"][chosen] - run["dev"]["ap"]["none"]


def real_wins(run: dict) -> bool:
    """Whether real rows beat the picked arm in the test by more than a standard error of the difference."""
    test, chosen = run["test"], pick(run)
    return test["ap"]["real"] - test["ap"][chosen] > test["apart"]["real"][chosen]


def good(run: dict, chosen: str, apart: bool = False) -> bool:
    """Whether an arm lies within one standard error of the best in the test; apart: of the difference."""
    test = run["test"]
    best = max(run["arms"], key=test["ap"].get)
    room = test["apart"][chosen][best] if apart else test["se"][best]
    return test["ap"][chosen] >= test["ap"][best] - room


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


def summary(every: list[dict]) -> list[str]:
    runs = [one for one in every if one["dev"]]  # of the others only the test was made
    n = len(runs)
    near, paired = (sum(good(one, pick(one), apart) for one in runs) for apart in (False, True))
    two = sum(good(one, pick(one, 2.0)) for one in runs)
    none = sum(good(one, "none") for one in runs)
    free = sum(pick(one) in FREE for one in runs)
    loss = interval(
        [
            100 * (max(one["test"]["ap"][a] for a in one["arms"]) - one["test"]["ap"][pick(one)])
            for one in runs
        ]
    )
    gain = interval([100 * (one["test"]["ap"][pick(one)] - one["test"]["ap"]["none"]) for one in runs])
    wins = [one for one in runs if real_wins(one)]
    rest = [one for one in runs if not real_wins(one)]
    broken = {
        name: (sum(one["passed"][name] < 0.2 for one in mine), len(mine))
        for name in ("smote", "copula", "augment", "gan", "diffusion")
        if (mine := [one for one in every if name in one["passed"]])
    }
    return [
        "",
        "## All runs",
        "",
        f"- {len(every)} runs, {n} of them with out-of-fold values. The pick (out-of-fold average "
        f"precision only; the simplest arm within one paired "
        f"standard "
        f"error of the best) lies within one standard error of the best arm's test value in **{near} of {n} "
        f"({near / n:.0%})**, within one of the paired difference in {paired} ({paired / n:.0%}). It is "
        f"nothing, "
        f"weights or oversampling in {free}.",
        f"- Within one standard error of the best arm lie a pick with two paired standard errors in {two}, "
        f"and "
        f"nothing at all in {none} of {n}: what is best afterwards is partly chance.",
        f"- The pick gains {gain[0]:+.1f} points [{gain[1]:+.1f}, {gain[2]:+.1f}] over nothing, and is "
        f"{loss[0]:.1f} [{loss[1]:.1f}, {loss[2]:.1f}] below the best arm of each run, known only "
        f"afterwards.",
        f"- Real rows beat the pick by more than a standard error in {len(wins)} of {n}; "
        f'"buy real rows" is said in {sum(map(says_buy, wins))} of these, and in '
        f"{sum(map(says_buy, rest))} of the {len(rest)} others.",
        "- Broken generators (less than a fifth passes): "
        + ", ".join(f"{name} {bad} of {of}" for name, (bad, of) in broken.items())
        + ".",
        "",
        "Differences to nothing over all sets (mean of the sets' means):",
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
    ]
    for name in dict.fromkeys(one["set"] for one in runs):
        lines += section(name, [one for one in runs if one["set"] == name])
    return "\n".join(lines) + "\n"


def write(path: Path) -> None:
    """The page beside its results."""
    path.with_suffix(".md").write_text(page(json.loads(path.read_text())), "utf-8")
