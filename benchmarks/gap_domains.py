"""Questions that close a gap against ordinary ones, on real requests of ten domains, and what reports say.

    OMP_NUM_THREADS=1 python benchmarks/gap_domains.py [--seeds 8] [--jobs 2]

clinc150: 150 intents, the declared group is the domain (a column that the model does not see). Four rows an
intent are at hand, the others are a pool without labels; four turns of 300 answers by an expert who is
right: `closing(worth_asking(300), "domain")` against `worth_asking(300)`, from the same rows, paired by seed.
Two worlds: the pool as the set has it, and one where of the domain that is worst at first every tenth row is
left. Measured on the set's own validation rows, which no arm sees: accuracy of the newest model in the domain
that the first report named, the gap between the best and the worst domain, and accuracy in all. Beside it how
often the interval of a report's "became smaller" holds what became of that pair on the untouched rows. Writes
docs/results/gap_domains.{json,md}; needs BAPSIM_DATA.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results"
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bapsim.compose.asking import closing, worth_asking  # noqa: E402
from bapsim.compose.plan import exam  # noqa: E402
from bapsim.core.recipe import Recipe  # noqa: E402
from bapsim.core.records import Draft, Rows, Task, derive, rows_of  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.judge.exam import accuracy, per_item  # noqa: E402
from bapsim.judge.gate import paired  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from bapsim.wheel.candidates import NAME  # noqa: E402
from bapsim.wheel.turn import run_turn  # noqa: E402
from lab import DATA, origin  # noqa: E402

TURNS, ANSWERS, EACH, POOL = 5, 300, 4, 6_000
RARE = 0.1
WORLDS = ("as it is", "worst one rare")
ARMS = ("closing", "ordinary")


@cache
def said(part: str) -> list[tuple[str, str, str]]:
    """Text, intent and domain of the rows that have an intent."""
    with gzip.open(DATA / "clinc150" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["text"], row["intent"], row["domain"]) for row in rows if row["intent"] != "oos"]


def rows_at(part: str, at: np.ndarray, *, labelled: bool) -> Rows:
    texts, intents, domains = zip(*(said(part)[i] for i in at.tolist()), strict=True)
    label = pa.array(intents if labelled else [None] * len(at), pa.string())
    return Rows(pa.record_batch({"text": pa.array(texts), "intent": label, "domain": pa.array(domains)}))


@dataclass(frozen=True)
class Requests:
    """Rows at hand and a pool at first, later the true answer to every question; rare: a domain of which a
    tenth is left in the pool.
    """

    seed: int
    rare: str | None

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(said("train")))
        intents = np.array([said("train")[i][1] for i in order])
        start = np.concatenate([order[intents == one][:EACH] for one in np.unique(intents)])
        pool = order[~np.isin(order, start)][:POOL]
        far = np.array([said("train")[i][2] == self.rare for i in pool])
        return start, pool[~far | (rng.random(len(pool)) < RARE)]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            for at, labelled in zip(self.parts(), (True, False), strict=True):
                rows = rows_at("train", at, labelled=labelled)
                yield Draft(rows=rows, origin=origin("file"), keys=[str(i) for i in at])
            return
        for view in turn.data.values():
            for draw in ("random", "chosen", "repair"):
                ids = sorted(i for i, how in turn.asked.items() if how == draw)
                asked = view.find(pa.array(ids, pa.binary(16)))
                if not len(asked):
                    continue
                keys = asked.column("_key").to_pylist()
                truth = pa.array([said("train")[int(key)][1] for key in keys])
                rows = Rows(rows_of(asked).set_column(1, "intent", truth))
                made = replace(origin(f"asked:{draw}"), source="expert")
                of = [[i] for i in range(len(asked))]
                yield derive(asked, of, rows, changed=frozenset({"target"}), origin=made, keys=keys)


def recipe(source: Requests, arm: str) -> Recipe:
    asks = worth_asking(ANSWERS)
    return Recipe(
        task=Task(input="text", target="intent", slices=("domain",)),
        sources={"requests": source},
        questions=closing(asks, "domain") if arm == "closing" else asks,
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(200),
        groups={"domain": "domain"},
        seed=source.seed,
    )


def lived(job: tuple[str, int]) -> list[dict[str, Any]]:
    """Both arms of one seed in one world; the rare domain is the one that the first report names."""
    world, seed = job
    os.environ["BAPSIM_KEY"] = f"{seed + 1:02x}" * 32
    rare = None
    if world == WORLDS[1]:
        rare = one_life(Requests(seed, None), "ordinary", 1)[0]["worst"]
    return [
        {"world": world, "seed": seed, "arm": arm, "turns": one_life(Requests(seed, rare), arm, TURNS)}
        for arm in ARMS
    ]


def one_life(source: Requests, arm: str, turns: int) -> list[dict[str, Any]]:
    """Turn by turn: right answers on untouched rows by domain, what the report said, what was asked."""
    found, known = [], {}
    test = rows_at("val", np.arange(len(said("val"))), labelled=True)
    truth, domains = (np.array(test.column(name).to_pylist()) for name in ("intent", "domain"))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        root = Path(place) / "project"
        (root / "inbox").mkdir(parents=True)
        (root / "recipe.py").write_text("# the recipe of this benchmark is a value\n", "utf-8")
        with opened(root) as project:
            for _ in range(turns):
                told = run_turn(project, recipe(source, arm))
                version = told["candidate"]
                model = artifacts.load(project.models / NAME / version / "judged", project.root)
                right = np.array(model(test.select(["text"])).column("prediction").to_pylist()) == truth
                known[version] = {str(one): 100 * float(right[domains == one].mean()) for one in set(domains)}
                one = told["gaps"][0]
                asked = told["asked"].get("gap", {"count": 0})["count"]
                said_of = {key: one[key] for key in ("best", "worst", "gap", "low", "high", "change")}
                found.append({**said_of, "verdict": told["verdict"], "asked": asked, "right": known[version]})
                found[-1]["before"] = known.get(told["opponent"])
                found[-1]["all"] = 100 * float(right.mean())
    return found


def figures(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Of a life: where the first report's worst domain ended, the gap of domains, accuracy in all."""
    last, first = turns[-1], turns[0]["worst"]
    shares = last["right"].values()
    return {
        "the domain named first": last["right"][first],
        "gap": max(shares) - min(shares),
        "all": last["all"],
        "asked about the worst": sum(turn["asked"] for turn in turns[:-1]),
    }


def changes(lives: list[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
    """What became of a pair on the untouched rows, and what the report said of it."""
    found = []
    for turn in (turn for life in lives for turn in life["turns"]):
        change, before, after = turn["change"], turn["before"], turn["right"]
        if change is not None and before is not None:
            best, worst = change["best"], change["worst"]
            truth = (before[best] - before[worst]) - (after[best] - after[worst])
            found.append((truth / 100, change))
    return found


def paired_by_seed(diffs: list[float]) -> str:
    half = float(student.ppf(0.975, len(diffs) - 1)) * stdev(diffs) / len(diffs) ** 0.5
    return f"{mean(diffs):+.2f} [{mean(diffs) - half:+.2f}, {mean(diffs) + half:+.2f}]"


def page(told: dict[str, Any]) -> str:
    """The page of results."""
    lines = [
        "# Closing a gap on real requests",
        "",
        f"{told['date']}: `python benchmarks/gap_domains.py --seeds {told['seeds']}`. clinc150, 150 intents "
        f"of ten domains; {EACH} rows an intent at hand, {TURNS - 1} turns of {ANSWERS} answers; measured on "
        "3,000 rows that no arm saw; points, mean over seeds, differences paired by seed with 95 % "
        "(t-distribution).",
        "",
        "| world | after the last turn | closing | ordinary | difference |",
        "|---|---|---|---|---|",
    ]
    for world in WORLDS:
        lives = [one for one in told["lives"] if one["world"] == world]
        arms = {arm: [figures(one["turns"]) for one in lives if one["arm"] == arm] for arm in ARMS}
        for name in arms["closing"][0]:
            both = [[one[name] for one in arms[arm]] for arm in ARMS]
            diff = paired_by_seed([a - b for a, b in zip(*both, strict=True)])
            cells = (world, name, f"{mean(both[0]):.2f}", f"{mean(both[1]):.2f}", diff)
            lines.append("| " + " | ".join(cells) + " |")
    pairs = changes(told["lives"])
    held = sum(one["low"] <= truth <= one["high"] for truth, one in pairs)
    sure = [(truth, one) for truth, one in pairs if one["low"] > 0 or one["high"] < 0]
    true = sum((truth > 0) == (one["low"] > 0) for truth, one in sure)
    return "\n".join(
        [
            *lines,
            "",
            "What reports said of the pair that the report before had named: the 95 % interval holds what "
            f"became of it on the untouched rows in {held} of {len(pairs)} turns; {len(sure)} reports were "
            f"sure, {true} of them rightly.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    jobs = [(world, seed) for seed in range(wanted.seeds) for world in WORLDS]
    lives: list[dict[str, Any]] = []
    with ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) as workers:
        for found in workers.map(lived, jobs):
            lives += found
            for one in found:
                print(one["world"], one["seed"], one["arm"], figures(one["turns"]), flush=True)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = {"date": date, "seeds": wanted.seeds, "lives": lives}
    if wanted.seeds >= 8:
        (OUT / "gap_domains.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        (OUT / "gap_domains.md").write_text(page(told), "utf-8")
    print(page(told) if wanted.seeds > 1 else "")


if __name__ == "__main__":
    main()
