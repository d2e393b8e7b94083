"""Majority or one coin: labels of crowds with gold, ours beside crowd-kit, and crowds that share a mistake.

    python -m venv /tmp/crowd && /tmp/crowd/bin/pip install crowd-kit==1.4.2
    OMP_NUM_THREADS=1 python benchmarks/votes.py --peer /tmp/crowd/bin/python

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/votes.{json,md}; without --peer crowd-kit has
no columns. It runs in a virtual environment of its own, on the same votes. Intervals: 2,000 bootstrap draws
of items, seed 0, paired. Simulated crowds: 400 items, 4 classes, 12 raters, 5 votes an item, seeds 0 to 19.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.raters import Vote, majority, settle_one_coin, skills
from bapsim.gather.votes import votes

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results"
SETS = ("cf", "cf_amt", "ms", "sp", "bluebirds", "hitspam")
CROWDS = {
    "independent": "right with .45 to .95, errors independent",
    "most share": "8 of 12 share one wrong belief on a quarter of the items",
    "some share": "4 of 12 share it",
}
LESSON = """One coin gains where raters differ and err independently (`ms`, `sp`), and loses where errors go
one way: in `bluebirds` most people take one species for the other, which depends on the class (a matrix for
each rater finds it, one coin does not), and where most raters share a belief, estimated skill says nothing
about who is right. Votes alone cannot tell these cases apart, so majority is the default, and a tie is asked
about. Take `settle="one_coin"` where items with a known label say that it is better."""
PEER = """
import json, sys, time
import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene
said = json.load(sys.stdin)
frame = pd.DataFrame(said, columns=["task", "worker", "label"])
found, methods = {}, {"majority": MajorityVote, "one_coin": OneCoinDawidSkene, "dawid_skene": DawidSkene}
for name, method in methods.items():
    start = time.process_time()
    labels = method().fit_predict(frame)
    found[name] = {"labels": {str(k): str(v) for k, v in labels.items()}, "cpu": time.process_time() - start}
json.dump(found, sys.stdout)
"""


def gold(data: Path, name: str) -> dict[str, str]:
    with gzip.open(data / "crowd" / name / "gold.csv.gz", "rt", encoding="utf-8") as file:
        return {row["task"]: row["gold"] for row in csv.DictReader(file)}


def crowd(data: Path, name: str) -> dict[str, list[Vote]]:
    """The votes on each item, as the source gives them."""
    turn = Turn(n=1, seed=0, task=Task(input="task", target="settled"), inbox=data / "crowd" / name)
    source = votes("labels.csv.gz", vote="label", rater="worker", item="task", types={"task": "string"})
    rows = [row for draft in source(turn) for row in draft.rows.to_pylist()]
    return {row["task"]: list(zip(row["raters"], row["votes"], strict=True)) for row in rows}


def peers(python: str | None, said: dict[str, list[Vote]]) -> dict[str, Any]:
    if python is None:
        return {}
    flat = [[task, rater, label] for task, pairs in said.items() for rater, label in pairs]
    done = subprocess.run(
        [python, "-c", PEER], input=json.dumps(flat), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def ours(said: dict[str, list[Vote]]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, labels in (("majority", lambda s: list(map(majority, s))), ("one_coin", settle_one_coin)):
        start = time.process_time()
        made = labels(list(said.values()))
        found[name] = {"labels": dict(zip(said, made, strict=True)), "cpu": time.process_time() - start}
    return found


def credit(labels: dict[str, str | None], truth: dict[str, str], said: dict[str, list[Vote]]) -> np.ndarray:
    """float[items]: 1 for a right label; for none, the chance of drawing the right one of those that tie."""
    made = []
    for task, right in truth.items():
        if task not in said:
            continue
        label = labels[task]
        if label is None:
            given = [vote for _, vote in said[task]]
            most = max(map(given.count, given))
            tied = {vote for vote in given if given.count(vote) == most}
            made.append((right in tied) / len(tied))
        else:
            made.append(float(label == right))
    return np.array(made)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the mean, over items."""
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return float(low), float(high)


def measured(data: Path, name: str, python: str | None) -> dict[str, Any]:
    said, truth = crowd(data, name), gold(data, name)
    mine, theirs = ours(said), peers(python, said)
    right = {f"ours {how}": credit(one["labels"], truth, said) for how, one in mine.items()}
    right |= {f"crowd-kit {how}": credit(one["labels"], truth, said) for how, one in theirs.items()}
    gain = right["ours one_coin"] - right["ours majority"]
    labels = mine["majority"]["labels"]
    rated = [task for task in truth if task in said]
    row = {
        "set": name,
        "items": len(said),
        "votes": sum(map(len, said.values())),
        "raters": len({rater for pairs in said.values() for rater, _ in pairs}),
        "gold": len(rated),
        "tied": sum(labels[task] is None for task in rated),
        "accuracy": {how: float(values.mean()) for how, values in right.items()},
        "gain": [float(gain.mean()), *interval(gain)],
        "cpu": {f"ours {how}": one["cpu"] for how, one in mine.items()}
        | {f"crowd-kit {how}": one["cpu"] for how, one in theirs.items()},
    }
    if theirs:
        same = [
            mine["one_coin"]["labels"][task] == label for task, label in theirs["one_coin"]["labels"].items()
        ]
        row["same_as_crowd_kit"] = float(np.mean(same))
    return row


# ---------------------------------------------------------------- simulated crowds


def simulated(kind: str, seed: int) -> dict[str, float]:
    """Accuracy of each method, and how well the estimated skill orders the raters."""
    rng = np.random.default_rng([seed, list(CROWDS).index(kind)])
    items, classes, raters, each = 400, 4, 12, 5
    truth = rng.integers(classes, size=items)
    skill = rng.uniform(0.45, 0.95, raters)
    sharing = {"independent": 0, "most share": 8, "some share": 4}[kind]
    believed = np.where(
        rng.random(items) < 0.25, (truth + 1 + rng.integers(classes - 1, size=items)) % classes, -1
    )
    said, right, of = [], np.zeros(raters), np.zeros(raters)
    for i in range(items):
        pairs = []
        for r in rng.permutation(raters)[:each]:
            label = (
                truth[i] if rng.random() < skill[r] else (truth[i] + 1 + rng.integers(classes - 1)) % classes
            )
            if r < sharing and believed[i] >= 0:
                label = believed[i]
            right[r] += label == truth[i]
            of[r] += 1
            pairs.append((str(r), str(label)))
        said.append(pairs)
    named, key = {str(i): one for i, one in enumerate(said)}, {str(i): str(t) for i, t in enumerate(truth)}
    found = {how: float(credit(one["labels"], key, named).mean()) for how, one in ours(named).items()}
    estimated = {one.rater: one.skill for one in skills(said)}
    guess = np.array([estimated[str(r)] for r in range(raters)])
    return found | {"skill_r": float(np.corrcoef(guess, right / of)[0, 1])}


def page(rows: list[dict[str, Any]], simulation: dict[str, dict[str, list[float]]], peer: str) -> str:
    methods = list(rows[0]["accuracy"])
    head = ["set", "items", "votes", "raters", "with gold", "tied", *methods, "one coin - majority, points"]
    lines = [
        "# Settling votes",
        "",
        f"{datetime.datetime.now(datetime.UTC).date()}, numpy {np.__version__}:",
        f"`OMP_NUM_THREADS=1 python benchmarks/votes.py`; crowd-kit {peer or 'not installed'}, in a virtual",
        "environment of its own. Accuracy on items with gold; a tie counts as the chance of drawing the",
        "right label of those that tie. Intervals: 95 %, 2,000 paired bootstrap draws of items, seed 0.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for row in rows:
        gain = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * v for v in row["gain"]))
        cells = [row["set"], *(f"{row[k]:,}" for k in ("items", "votes", "raters", "gold", "tied"))]
        cells += [f"{row['accuracy'][how]:.3f}" for how in methods] + [gain]
        lines.append("| " + " | ".join(cells) + " |")
    cpu = {how: sum(row["cpu"][how] for row in rows) for how in methods}
    lines += [
        "",
        "CPU seconds over all sets: " + ", ".join(f"{how} {cpu[how]:.2f}" for how in methods) + ".",
    ]
    if "same_as_crowd_kit" in rows[0]:
        same = ", ".join(f"{row['set']} {row['same_as_crowd_kit']:.3f}" for row in rows)
        lines.append(f"Share of items on which both one-coin models give the same label: {same}.")
    lines += [
        "",
        "## Crowds that share a mistake",
        "",
        "400 items, 4 classes, 12 raters, 5 votes an item, mean of seeds 0 to 19 with the standard error.",
        "",
        "| crowd | majority | one coin | correlation of estimated skill with the share of right votes |",
        "|---|---|---|---|",
    ]
    for kind, found in simulation.items():
        means = [
            f"{np.mean(found[k]):.3f} ± {np.std(found[k], ddof=1) / len(found[k]) ** 0.5:.3f}"
            for k in ("majority", "one_coin", "skill_r")
        ]
        lines.append(f"| {CROWDS[kind]} | " + " | ".join(means) + " |")
    lines += [
        "",
        LESSON,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="a Python that has crowd-kit")
    args = parser.parse_args()
    data = Path(os.environ.get("BAPSIM_DATA", HERE.parent.parent / "shared" / "data"))
    version = ""
    if args.peer:
        ask = "import importlib.metadata as m; print(m.version('crowd-kit'))"
        version = subprocess.run(
            [args.peer, "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
    rows = [measured(data, name, args.peer) for name in SETS]
    simulation: dict[str, dict[str, list[float]]] = {}
    for kind in CROWDS:
        runs = [simulated(kind, seed) for seed in range(20)]
        simulation[kind] = {name: [run[name] for run in runs] for name in runs[0]}
    OUT.mkdir(parents=True, exist_ok=True)
    result = {"crowd_kit": version, "sets": rows, "simulated": simulation}
    (OUT / "votes.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    said = page(rows, simulation, version)
    (OUT / "votes.md").write_text(said, "utf-8")
    print(said)


if __name__ == "__main__":
    main()
