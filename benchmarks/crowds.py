"""Settling votes: never significantly below the majority on real crowds, above it on bluebirds; who is right.

    OMP_NUM_THREADS=1 python benchmarks/crowds.py

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/crowds.{json,md}, ends with 1 where a bar is
missed. Real crowds: for each seed 20 items (or a tenth) with a known label are drawn, methods are judged on
the others. Interval: 2,000 bootstrap draws of items, seed 0, of each item's mean difference over seeds 0 to
19. crowd-kit is asked on the same votes, without known labels, as it takes none.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.votes import votes
from bapsim.raters.agreement import dawid_skene, one_coin
from bapsim.raters.reliability import reliability
from bapsim.raters.settle import How, settle
from bapsim.raters.votes import Vote, coded
from crowd_made import answers, panel, simulated

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results" / "crowds"
SETS = ("cf", "cf_amt", "ms", "sp", "bluebirds", "hitspam")
SEEDS = range(20)
BAR = 0.65
Said = list[list[Vote]]


def crowd(data: Path, name: str) -> tuple[Said, dict[int, str]]:
    """The votes on each item, as the source gives them, and the labels that are known, by position."""
    turn = Turn(n=1, seed=0, task=Task(input="task", target="settled"), inbox=data / "crowd" / name)
    source = votes("labels.csv.gz", vote="label", rater="worker", item="task", types={"task": "string"})
    rows = [row for draft in source(turn) for row in draft.rows.to_pylist()]
    with gzip.open(data / "crowd" / name / "gold.csv.gz", "rt", encoding="utf-8") as file:
        truth = {row["task"]: row["gold"] for row in csv.DictReader(file)}
    said = [list(zip(row["raters"], row["votes"], strict=True)) for row in rows]
    return said, {at: truth[row["task"]] for at, row in enumerate(rows) if row["task"] in truth}


def credit(said: Said, label: str | None, at: int, right: str) -> float:
    """1 for the right label; for none, the chance of drawing it among those that tie for most votes."""
    if label is not None:
        return float(label == right)
    counts = Counter(vote for _, vote in said[at])
    tied = [one for one, n in counts.items() if n == max(counts.values())]
    return (right in tied) / len(tied) if tied else 0.0


def interval(values: np.ndarray) -> list[float]:
    """Mean and 95 %, over items."""
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return [float(values.mean()), float(low), float(high)]


def theirs(said: Said) -> dict[str, list[str | None]]:
    """The labels of crowd-kit."""
    import pandas as pd
    from crowdkit.aggregation import DawidSkene, OneCoinDawidSkene

    flat = [[at, rater, label] for at, one in enumerate(said) for rater, label in one]
    frame = pd.DataFrame(flat, columns=["task", "worker", "label"])
    found = {}
    for name, method in (("dawid_skene", DawidSkene), ("one_coin", OneCoinDawidSkene)):
        labels = method().fit_predict(frame).to_dict()
        found[name] = [labels.get(at) for at in range(len(said))]
    return found


def real(data: Path, name: str) -> dict[str, Any]:
    """One crowd: accuracy of each method, and the gain of the tested one over the majority, with each amount
    of known labels.
    """
    said, truth = crowd(data, name)
    row: dict[str, Any] = {"set": name, "items": len(said), "votes": sum(map(len, said)), "gold": len(truth)}
    row["raters"] = len({rater for one in said for rater, _ in one})
    hows: tuple[How, ...] = ("majority", "one_coin", "dawid_skene")
    labels: dict[str, Any] = {how: settle(said, how=how).labels for how in hows}
    peer = theirs(said)
    right = {
        who: np.array([credit(said, made[at], at, label) for at, label in truth.items()])
        for who, made in {**labels, **{f"crowd-kit {how}": made for how, made in peer.items()}}.items()
    }
    row["accuracy"] = {who: float(values.mean()) for who, values in right.items()}
    row["same as crowd-kit"] = {
        how: float(np.mean([a == b for a, b in zip(labels[how], peer[how], strict=True)])) for how in peer
    }
    for count in (20, max(20, len(truth) // 10)):
        row[f"gold {'20' if count == 20 else 'tenth'}"] = tested(said, truth, count, labels["majority"])
    row.setdefault("gold tenth", row["gold 20"])
    return row


def tested(said: Said, truth: dict[int, str], count: int, majority: tuple[str | None, ...]) -> dict[str, Any]:
    """Gain of the tested method over the majority on items that it was not told, and which method it took."""
    places = np.array(list(truth))
    total, times = np.zeros(len(said)), np.zeros(len(said))
    methods, right = Counter[str](), []
    for seed in SEEDS:
        told = np.random.default_rng([seed, count]).permutation(places)[:count].tolist()
        found = settle(said, {at: truth[at] for at in told})
        methods[found.method] += 1
        rest = sorted(set(truth) - set(told))
        mine = np.array([credit(said, found.labels[at], at, truth[at]) for at in rest])
        plain = np.array([credit(said, majority[at], at, truth[at]) for at in rest])
        total[rest] += mine - plain
        times[rest] += 1
        right.append(float(mine.mean()))
    there = times > 0
    gain = interval(total[there] / times[there])
    return {"known": count, "accuracy": float(np.mean(right)), "gain": gain, "methods": dict(methods)}


# ---------------------------------------------------------------- crowds that are made


def made(classes: int, bad: str) -> dict[str, float]:
    """Mean accuracy of three seeds: majority, models, and the tested method with 20 known labels."""
    runs: list[dict[str, float]] = []
    for seed in range(3):
        one = simulated(classes, bad, seed)
        known = {at: one.truth[at] for at in range(20)}
        rest = range(20, len(one.truth))
        run: dict[str, float] = {}
        for how in ("majority", "one_coin", "dawid_skene", "weighted", "tested"):
            labels = settle(one.votes, known if how in ("weighted", "tested") else None, how).labels
            run[how] = float(np.mean([credit(one.votes, labels[at], at, one.truth[at]) for at in rest]))
        for how, labels in theirs(one.votes).items():
            right = [credit(one.votes, labels[at], at, one.truth[at]) for at in rest]
            run[f"crowd-kit {how}"] = float(np.mean(right))
        runs.append(run)
    return {how: float(np.mean([run[how] for run in runs])) for how in runs[0]}


def shared(sharing: int, tests: int) -> dict[str, Any]:
    """Panels of 12: how estimates of skill go with the true one. tests: items that all 12 answered."""
    runs: list[dict[str, float]] = []
    for seed in SEEDS:
        one = panel(sharing, seed, tests=tests)
        gold = np.arange(20)
        known = {int(at): one.truth[at] for at in gold}
        found = reliability(answers(one, gold, seed), {str(at): label for at, label in known.items()})
        names = sorted(one.skill)
        true = np.array([one.skill[name] for name in names])
        blind = coded(one.votes)
        estimates = {
            "gold": [found.people[name].skill.rate for name in names],
            "goes with others": [found.people[name].others.rate for name in names],
            "dawid_skene": dawid_skene(blind).skill.tolist(),
            "one_coin": one_coin(blind).skill.tolist(),
        }
        run = {f"r {who}": float(np.corrcoef(said, true)[0, 1]) for who, said in estimates.items()}
        top = set(np.argsort(-true)[:4])
        run |= {
            f"top {who}": len(top & set(np.argsort(-np.array(s))[:4])) / 4 for who, s in estimates.items()
        }
        run["held shared"] = float(not found.mistakes.independent)
        run["inside"] = float(
            np.mean([found.people[n].skill.low <= one.skill[n] <= found.people[n].skill.high for n in names])
        )
        for how in ("majority", "dawid_skene", "tested"):
            labels = settle(one.votes, known if how == "tested" else None, how).labels
            rest = range(20, len(one.truth))
            right = np.array([credit(one.votes, labels[at], at, one.truth[at]) for at in rest])
            run[f"accuracy {how}"] = float(right.mean())
        runs.append(run)
    return {
        key: [float(np.mean(v := [r[key] for r in runs])), float(np.std(v, ddof=1) / len(v) ** 0.5)]
        for key in runs[0]
    }


# ---------------------------------------------------------------- the page

TEXT = """Accuracy on items with gold; a tie counts as the chance of drawing the right one of the labels that
tie. "tested" takes the method that 20 (or a tenth) of the known labels speak for by three to one, else the
majority; it is judged on the rest, and its gain is over the majority there, in points. The real experts of
`bluebirds` are few and most people take one species for another, so there a model of agreement is right and
the majority is not; nothing in the votes says so, and 20 known labels do."""


WORKERS = (
    "2,000 items, 40 workers, 5 votes an item, 30 % bad: random, or wrong 80 % of the time with the same",
    "wrong class. Mean of seeds 0 to 2; 20 known labels for the last two of ours.",
)
PANELS = (
    "400 items, 4 classes, 12 raters (.45 to .95), 5 votes an item; so many share one wrong belief on a",
    "quarter of the items. 20 items are known: all 12 were tested with them, as at the label desk, or only 5",
    "(then each answered about 8). Mean of seeds 0 to 19 ± standard error.",
)


def points(gain: list[float]) -> str:
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * value for value in gain))


def _real(rows: list[dict[str, Any]]) -> list[str]:
    hows = list(rows[0]["accuracy"])
    head = ["set", "items", "votes", "raters", "with gold", *hows]
    head += ["tested, 20 known", "tested, a tenth", "method taken, 20 known"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["set"], *(f"{row[k]:,}" for k in ("items", "votes", "raters", "gold"))]
        cells += [f"{row['accuracy'][how]:.3f}" for how in hows]
        cells += [points(row[f"gold {k}"]["gain"]) for k in ("20", "tenth")]
        cells += [", ".join(f"{name} {n}" for name, n in sorted(row["gold 20"]["methods"].items()))]
        lines.append("| " + " | ".join(cells) + " |")
    same = "; ".join(
        f"{row['set']} " + ", ".join(f"{how} {share:.3f}" for how, share in row["same as crowd-kit"].items())
        for row in rows
    )
    return [*lines, "", f"Share of items on which ours and crowd-kit's model give the same label: {same}."]


def _made(found: dict[str, dict[str, float]]) -> list[str]:
    hows = list(next(iter(found.values())))
    lines = ["| classes, bad workers | " + " | ".join(hows) + " |", "|" + "---|" * (len(hows) + 1)]
    for name, one in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{one[how]:.3f}" for how in hows) + " |")
    return lines


def _shared(found: dict[str, dict[str, Any]]) -> list[str]:
    keys = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(found) + " |", "|" + "---|" * (len(found) + 1)]
    names = {"r": "correlation with true skill", "top": "of the four best, among the first four"}
    for key in keys:
        kind, _, who = key.partition(" ")
        said = f"{names[kind]}: {who}" if kind in names else key
        said = {"held shared": "mistakes held to be shared", "inside": "true skill inside the interval"}.get(
            key, said
        )
        cells = ["{:.3f} ± {:.3f}".format(*one[key]) for one in found.values()]
        lines.append(f"| {said} | " + " | ".join(cells) + " |")
    return lines


def page(found: dict[str, Any]) -> str:
    lines = ["# Settling votes, and who is right", ""]
    lines += [f"{found['date']}: `OMP_NUM_THREADS=1 python benchmarks/crowds.py`, {found['cpu']:.0f} CPU-s;"]
    lines += [f"crowd-kit {found['crowd-kit']}. Intervals: 95 %, 2,000 bootstrap draws of items, seed 0."]
    lines += ["", TEXT, "", *_real(found["real"]), "", "## Workers who are bad", ""]
    lines += [*WORKERS, "", *_made(found["made"]), "", "## A belief that is shared", "", *PANELS, ""]
    return "\n".join([*lines, *_shared(found["shared"]), "", "## Bars", "", *found["bars"]]) + "\n"


def bars(found: dict[str, Any]) -> tuple[list[str], bool]:
    """Each bar, and whether all are reached."""
    below = [
        f"{row['set']} ({key})"
        for row in found["real"]
        for key in ("gold 20", "gold tenth")
        if row[key]["gain"][2] < 0
    ]
    (birds,) = [row for row in found["real"] if row["set"] == "bluebirds"]
    above = birds["gold 20"]["gain"][1] > 0 and birds["gold tenth"]["gain"][1] > 0
    skill = found["shared"]["8 of 12, all tested"]["r gold"][0]
    lower = "missed: " + ", ".join(below) if below else "reached"
    lines = [
        f"- never significantly below the majority: {lower}",
        f"- significantly above it on bluebirds: {'reached' if above else 'missed'}",
        f"- 8 of 12 share a belief, 20 known items: correlation with true skill {skill:.3f}, at least {BAR}:"
        f" {'reached' if skill >= BAR else 'missed'}",
    ]
    return lines, not below and above and skill >= BAR


def main() -> int:
    from importlib.metadata import version

    start = time.process_time()
    data = Path(os.environ.get("BAPSIM_DATA", HERE.parent.parent / "shared" / "data"))
    found: dict[str, Any] = {"crowd-kit": version("crowd-kit")}
    found["date"] = str(datetime.datetime.now(datetime.UTC).date())
    found["real"] = [real(data, name) for name in SETS]
    found["made"] = {f"{n}, {bad}": made(n, bad) for n in (2, 4) for bad in ("random", "adversarial")}
    found["shared"] = {
        f"{n or 'none'} of 12, {'all' if tests else '5'} tested": shared(n, tests)
        for tests in (20, 0)
        for n in (8, 4, 0)
    }
    found["bars"], fine = bars(found)
    found["cpu"] = time.process_time() - start
    OUT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    OUT.with_suffix(".md").write_text(page(found), "utf-8")
    print(page(found))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
