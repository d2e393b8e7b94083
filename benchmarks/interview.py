"""Is an expert's half hour in the room worth more than as many random questions? Simulated, real turns.

    python benchmarks/interview.py [--seeds 12] [--jobs 2] [--sets clinc150 banking77]

Forty classes of real texts, neighbours together, 15 labelled rows of each, of which a fifth says the class
next door; a pool of what is left; 1,200 untouched rows. After a first turn an expert who knows the truth
gives 30 answers, and a second turn of the product takes them in: `random`, labels of 30 rows of the pool
drawn at random; `desk`, answers to the 30 questions that the wheel asks by itself; `room`, 30 answers in an
interview, whatever they are to: cases, reasons, rules, confidence, guideline (to choose a topic is no
answer); `room, no rules`, the same by an expert who states none; `room, cases`, the same by one who skips
whatever is no case. Measured: accuracy on untouched rows of the model that the second turn looked at.
Writes docs/results/interview.{json,md}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.compose.dialogue import Question  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from lab import interval  # noqa: E402
from room_world import Expert, World, first_turn, next_turn, room_of, session  # noqa: E402

OUT = Path(__file__).parent.parent / "docs" / "results"
ARMS = ("nothing", "random", "desk", "room", "room, no rules", "room, cases")
REPLIES = 30


class OnlyCases(Expert):
    """Answers cases, and skips all else."""

    def __call__(self, question: Question) -> dict[str, Any]:
        said = super().__call__(question)
        return said if question.kind in ("choose", "case") else {"act": "skip"}


def lived(job: tuple[str, int]) -> dict[str, Any]:
    """One world: accuracy after the second turn, by arm, and what the sessions were."""
    name, seed = job
    world = World(name, seed)
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    root, told = first_turn(world, REPLIES)
    try:
        room, expert = room_of(root, world), Expert(world)
        texts = {i.tobytes().hex(): t for i, t in zip(room.has.pool_ids, room.has.pool_texts, strict=True)}
        texts |= {i.tobytes().hex(): t for i, t in zip(room.has.ids, room.has.texts, strict=True)}
        drawn = np.random.default_rng([seed, 1]).permutation(len(room.has.pool_ids))[:REPLIES]
        with opened(root, writing=False) as project:
            asked = [r["id"].hex() for r in project.ledger.rows("select id from question where state='open'")]
        lines: dict[str, list[dict[str, Any]]] = {"nothing": []}
        lines["random"] = votes([room.has.pool_ids[i].tobytes().hex() for i in drawn], texts, expert)
        lines["desk"] = votes(sorted(asked)[:REPLIES], texts, expert)
        counts: dict[str, Any] = {}
        for arm, who in (
            ("room", expert),
            ("room, no rules", Expert(world, rules=False)),
            ("room, cases", OnlyCases(world, rules=False)),
        ):
            lines[arm], counts[arm] = session(room, who, REPLIES, seed)
        found = {arm: next_turn(root, world, lines[arm], REPLIES) for arm in ARMS}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    rules = [one["text"] + " -> " + one["label"] for one in lines["room"] if one["kind"] == "rule"]
    return {
        "set": name,
        "seed": seed,
        "before": told["oof_accuracy"],
        "accuracy": {arm: found[arm]["looked"]["accuracy"] for arm in ARMS},
        "people": {arm: found[arm]["people"]["accuracy"] for arm in ARMS},
        "counts": counts,
        "votes": {arm: sum(one["kind"] == "vote" for one in lines[arm]) for arm in ARMS},
        "rules": rules,
        "taught": "pending" in found["room"],
    }


def votes(ids: list[str], texts: dict[str, str], expert: Expert) -> list[dict[str, Any]]:
    known = [one for one in ids if one in texts]
    return [
        {"id": one, "kind": "vote", "question": one, "said": expert.truth(" ".join(texts[one].split()))}
        for one in known
    ]


def page(lives: list[dict[str, Any]], seeds: int) -> str:
    lines = [
        "# The room against random questions",
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, numpy {np.__version__}:"
        f" `OMP_NUM_THREADS=1 python benchmarks/interview.py --seeds {seeds}`.",
        "",
        " ".join(str(__doc__).split("\n\n")[2].split()),
        "",
        "Accuracy in points, mean over seeds; differences are paired by seed, with 95 % intervals.",
        "",
        "| set | arm | accuracy | minus random | minus nothing | labels given |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one["set"] for one in lives):
        mine = [one for one in lives if one["set"] == name]
        for arm in ARMS:
            values = np.array([one["accuracy"][arm] for one in mine])
            cells = [f"{values.mean():.2f}"]
            for other in ("random", "nothing"):
                diff = values - [one["accuracy"][other] for one in mine]
                mean, low, high = interval(diff.tolist())
                cells.append("" if arm == other else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
            given = np.mean([one["votes"][arm] for one in mine])
            lines.append(f"| {name} | {arm} | {' | '.join(cells)} | {given:.1f} |")
    both = np.array([one["accuracy"]["room"] - one["accuracy"]["random"] for one in lives])
    mean, low, high = interval(both.tolist())
    lines += [
        "",
        f"Room minus random over all {len(lives)} worlds: {mean:+.2f} points [{low:+.2f}, {high:+.2f}].",
    ]
    stated = np.mean([len(one["rules"]) for one in lives])
    taught = np.mean([one["taught"] for one in lives])
    lines += [
        "",
        f"Rules stated a session: {stated:.1f}; in {100 * taught:.0f} % of the worlds"
        " one was right often enough to label rows.",
        "",
    ]
    lines += ["Replies of a `room` session by what they were to, mean:", "", "| to | replies |", "|---|---|"]
    kinds = sorted({kind for one in lives for kind in one["counts"]["room"]})
    for kind in kinds:
        lines.append(f"| {kind} | {np.mean([one['counts']['room'].get(kind, 0) for one in lives]):.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seeds", type=int, default=12)
    say.add_argument("--jobs", type=int, default=2)
    say.add_argument("--sets", nargs="+", default=["clinc150", "banking77"])
    args = say.parse_args()
    jobs = [(name, seed) for name in args.sets for seed in range(args.seeds)]
    lives = []
    with get_context("spawn").Pool(args.jobs) as pool:
        for one in pool.imap_unordered(lived, jobs):
            lives.append(one)
            print(one["set"], one["seed"], {k: round(v, 1) for k, v in one["accuracy"].items()}, flush=True)
    lives.sort(key=lambda one: (one["set"], one["seed"]))
    (OUT / "interview.json").write_text(json.dumps(lives, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (OUT / "interview.md").write_text(page(lives, args.seeds), "utf-8")


if __name__ == "__main__":
    main()
