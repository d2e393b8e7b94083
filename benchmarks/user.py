"""A user with 3,000 rows and an exam of 400: four turns of 500 answers, clean and with one harmful delivery.

    python benchmarks/user.py [--seeds 20] [--jobs 2] [--sets banking77 nsmc_ko] [--out docs/results/user]

Scenarios: `clean`; `confused`: at a random turn 40 % of the 500 answers are the class next door; `shifted`:
at a random turn a file of 500 rows arrives whose label column slipped by a line. Untouched rows: 3,000 and
more. Writes OUT.json (every run) and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from bapsim.core.recipe import Recipe  # noqa: E402  threads are set first
from lab import Expert, File, World, live, new_folder, recipe_of  # noqa: E402

SIZES = {"banking77": (3000, 3000, 3400, 500), "nsmc_ko": (3000, 4000, 5000, 500)}


def one(job: tuple[str, int]) -> list[dict[str, Any]]:
    """One user three times: the harmful delivery branches off the clean life at its turn."""
    name, seed = job
    world = World(name, seed, *SIZES[name])
    bad = {"confused": 2 + (seed * 7) % 4, "shifted": 2 + (seed * 7 + 2) % 4}
    harmful = {
        "confused": {"expert": Expert(world, confused=bad["confused"])},
        "shifted": {"file": File(world, bad["shifted"], shift=True)},
    }
    copies = {turn: new_folder() for turn in set(bad.values())}
    try:
        told = {"clean": live(world, recipe(world), 5, keep=copies)}
        for scenario, sources in harmful.items():
            turn = bad[scenario]
            before = (copies[turn], told["clean"][: turn - 1])
            told[scenario] = live(world, recipe(world, **sources), 5, before=before)
    finally:
        for folder in copies.values():
            shutil.rmtree(folder)
    found = []
    for scenario, turns in told.items():
        what = {"set": name, "scenario": scenario, "seed": seed, "bad_turn": bad.get(scenario)}
        found.append(what | {"turns": [turn_of(i, turns) for i in range(len(turns))]})
        print(json.dumps(found[-1]), flush=True)
    return found


def recipe(world: World, **sources: Any) -> Recipe:
    return recipe_of(world, questions=500, exam_size=400, **sources)


def turn_of(i: int, told: list[dict[str, Any]]) -> dict[str, Any]:
    """What counts of one turn: verdict, the truth about it, and what serves afterwards."""
    s = told[i]
    newest, opponent, test = f"t{s['turn']:03d}-people", s["opponent"], s["test"]
    before = told[i - 1]["current"] if i else None
    return {
        "verdict": s["verdict"],
        "reason": s["reason"],
        "true_gain": test[newest] - test[opponent] if newest in test and opponent in test else None,
        "current": s["current"],
        "judged": test.get(s["current"]),
        "served": s.get("served"),
        "judged_before": test.get(before) if before else None,
        "best": max(test.values()),
        "newest": test.get(newest),
        "suspects": s["suspects"],
        "provisional": s["provisional"],
    }


def counts(runs: list[dict[str, Any]]) -> dict[str, Any]:
    # A harmful life is the clean one until its bad turn: what both lived counts once.
    own = ((r["bad_turn"] or 2) - 1 for r in runs)
    turns = [t for r, first in zip(runs, own, strict=True) for t in r["turns"][max(first, 1) :]]
    real = [t for t in turns if t["true_gain"] is not None and t["true_gain"] > 0]
    ends = [r["turns"][-1] for r in runs]
    worse = [
        r
        for r in runs
        if any(t["judged_before"] and t["judged"] <= t["judged_before"] - 0.02 for t in r["turns"])
    ]
    return {
        "seeds": len(runs),
        "real_gains": len(real),
        "real_gains_refused": sum(t["verdict"] == "refuse" for t in real),
        "accepted": sum(t["verdict"] == "accept" for t in turns),
        "undecided": sum(t["verdict"] == "undecided" for t in turns),
        "refused": sum(t["verdict"] == "refuse" for t in turns),
        "within_1_point": sum(t["best"] - t["judged"] <= 0.01 for t in ends),
        "mean_lag": sum(t["best"] - t["judged"] for t in ends) / len(ends),
        "served_worse_by_2": len(worse),
        "suspects_refused": sum(any(s["refused"] for s in t["suspects"]) for t in turns),
        "suspects_cleared": sum(any(not s["refused"] for s in t["suspects"]) for t in turns),
    }


def report(runs: list[dict[str, Any]], command: str) -> str:
    lines = [
        "# A user with 3,000 rows",
        "",
        f"`{command}`: 3,000 rows, exam of 400, 4 turns x 500 answers (100 of them drawn at random for the "
        "exam). Accuracy of judged models on untouched rows.",
        "",
        "| set | scenario | seeds | accept / undecided / refuse | real gains refused | ends within 1 point "
        "of the best candidate | mean lag, points | runs that ever served a model worse by 2 points "
        "| bad delivery refused (cleared) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r["set"] for r in runs):
        for scenario in dict.fromkeys(r["scenario"] for r in runs):
            mine = [r for r in runs if r["set"] == name and r["scenario"] == scenario]
            if mine:
                c = counts(mine)
                said = f"{c['accepted']} / {c['undecided']} / {c['refused']}"
                lines.append(
                    f"| {name} | {scenario} | {c['seeds']} | {said} "
                    f"| {c['real_gains_refused']} of {c['real_gains']} | {c['within_1_point']} "
                    f"| {100 * c['mean_lag']:.2f} | {c['served_worse_by_2']} "
                    f"| {c['suspects_refused']} ({c['suspects_cleared']}) |"
                )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sets", nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path, default=Path("docs/results/user"))
    args = parser.parse_args()
    jobs = [(n, s) for s in range(args.seeds) for n in args.sets]
    with get_context("spawn").Pool(args.jobs) as pool:
        runs = [run for three in pool.imap(one, jobs) for run in three]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")
    command = f"python benchmarks/user.py --seeds {args.seeds}"
    args.out.with_suffix(".md").write_text(report(runs, command))


if __name__ == "__main__":
    main()
