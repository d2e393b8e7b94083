"""Is the forecast of the next turn honest? Its 80 % intervals against what the next turn then brought.

    python benchmarks/forecast.py [--seeds 10] [--jobs 1] [--sets nsmc_ko ...] [--page]

The product's own turns on real texts: a user with some labelled rows, a pool, and an expert who is right and
answers all questions; questions drawn at random, or those of `worth_asking`. After each turn the forecast
says what the next one will bring; then the next turn runs. The truth is measured on a large untouched sample.

The method was chosen on banking77 and nsmc_ko; clinc150 and hate_ko were looked at afterwards, once.

Writes docs/results/forecast.json (what each turn foretold, and what the next one brought) and forecast.md;
`--page` only makes the page again.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.compose.asking import worth_asking  # noqa: E402
from bapsim.compose.forecast import winkler  # noqa: E402
from bapsim.compose.plan import exam  # noqa: E402
from bapsim.core.arrow import strings  # noqa: E402
from bapsim.core.recipe import Recipe  # noqa: E402
from bapsim.core.records import Draft, Rows, Task, derive, rows_of  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.judge.exam import accuracy, per_item  # noqa: E402
from bapsim.judge.gate import paired  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from bapsim.store.lake import read_batch  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from bapsim.wheel.candidates import NAME  # noqa: E402
from bapsim.wheel.stock import load_stock  # noqa: E402
from bapsim.wheel.turn import run_turn  # noqa: E402
from lab import DATA, interval, new_folder, origin  # noqa: E402
from wheel import RandomQuestions  # noqa: E402

# start, answers a turn, pool, untouched rows at most
WORLDS = {
    "banking77": (770, 400, 4200, 5000),
    "nsmc_ko": (1000, 500, 9000, 30_000),
    "clinc150": (1500, 500, 6000, 7500),
    "hate_ko": (800, 400, 2700, 3200),
}
CHOSEN_ON, CONFIRMED_ON = ("banking77", "nsmc_ko"), ("clinc150", "hate_ko")
ARMS = ("worth_asking", "random")
TURNS = 6
FILES = {
    "banking77": ("banking77/train.jsonl.gz", "intent"),
    "nsmc_ko": ("nsmc_ko/train.jsonl.gz", "label"),
    "clinc150": ("clinc150/train.jsonl.gz", "intent"),
    "hate_ko": ("hate_ko/labeled.jsonl.gz", "hate"),
}


@cache
def rows_in(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts and labels as object[n]; rows without label or text, and requests of no class, are left out."""
    path, target = FILES[name]
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = [(r["text"], str(r[target])) for r in rows if r[target] not in (None, "oos") and r["text"]]
    texts, labels = zip(*kept, strict=True)
    return np.array(texts, object), np.array(labels, object)


@dataclass(frozen=True)
class World:
    """One user's world: rows at hand, rows of the pool, untouched rows; all of them drawn at random."""

    name: str
    seed: int

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        start, _, pool, test = WORLDS[self.name]
        order = np.random.default_rng(self.seed).permutation(len(rows_in(self.name)[0]))
        return order[:start], order[start : start + pool], order[start + pool :][:test]


def batch(name: str, at: np.ndarray, labels: np.ndarray | None) -> Rows:
    said = pa.nulls(len(at), pa.string()) if labels is None else pa.array(labels.tolist(), pa.string())
    return Rows(pa.record_batch({"text": pa.array(rows_in(name)[0][at].tolist()), "label": said}))


@dataclass(frozen=True)
class Start:
    """The user's rows, and those of the pool."""

    world: World

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            start, pool, _ = self.world.parts()
            for at, labels in ((start, rows_in(self.world.name)[1][start]), (pool, None)):
                rows = batch(self.world.name, at, labels)
                yield Draft(rows=rows, origin=origin("file"), keys=[str(i) for i in at])


@dataclass(frozen=True)
class Expert:
    """Answers every question with the truth."""

    world: World

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        _, labels = rows_in(self.world.name)
        for view in turn.data.values():
            for draw in ("random", "chosen", "repair"):
                ids = sorted(i for i, d in turn.asked.items() if d == draw)
                asked = view.find(pa.array(ids, pa.binary(16)))
                if len(asked):
                    at = [int(key) for key in asked.column("_key").to_pylist()]
                    said = pa.array(labels[at].tolist(), pa.string())
                    yield derive(
                        asked,
                        [[i] for i in range(len(at))],
                        Rows(rows_of(asked).set_column(1, "label", said)),
                        changed=frozenset({"target"}),
                        origin=replace(origin(f"asked:{draw}"), source="expert"),
                        keys=[str(k) for k in at],
                    )


@dataclass(frozen=True)
class Look:
    """Measures the newest model when a turn has trained it, and keeps its out-of-fold answers by id."""

    root: Path
    world: World
    seen: dict[str, Any]

    def __call__(self, step: str, **values: object) -> None:
        now = time.process_time()
        self.seen.setdefault("steps", []).append((step, now))
        if step == "judge":
            folder = sorted((self.root / "wheel" / "models" / NAME).iterdir())[-1] / "judged"
            _, _, test = self.world.parts()
            answers = artifacts.load(folder)(batch(self.world.name, test, None).select(["text"]))
            said = np.array(answers["prediction"].to_pylist(), object)
            self.seen["right"] = said == rows_in(self.world.name)[1][test]
            table = read_batch(folder / "oof.parquet", ["_id", "prediction"])
            ids = table["_id"].to_pylist()
            self.seen["oof"] = dict(zip(ids, strings(table["prediction"]), strict=True))
            self.seen["steps"].append(("measured", time.process_time() - now))


def recipe_of(world: World, arm: str) -> Recipe:
    answers = WORLDS[world.name][1]
    return Recipe(
        task=Task(input="text", target="label"),
        sources={"start": Start(world), "expert": Expert(world)},
        questions=worth_asking(answers) if arm == "worth_asking" else RandomQuestions(answers),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(None),
        seed=world.seed,
    )


def lived(job: tuple[str, int, str]) -> dict[str, Any]:
    """One life: what each turn saw, and how good its model was on the untouched rows."""
    name, seed, arm = job
    world = World(name, seed)
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    root, told = new_folder(), []
    before: dict[str, Any] | None = None
    (root / "recipe.py").write_text("# in memory\n")
    truth = {str(i): label for i, label in enumerate(rows_in(name)[1].tolist())}
    try:
        for _ in range(TURNS):
            seen: dict[str, Any] = {}
            began = time.process_time()
            with opened(root) as project:
                summary = run_turn(project, recipe_of(world, arm), say=Look(root, world, seen))
                stock = load_stock(project, Task(input="text", target="label"))
                keys = dict(
                    zip((i.tobytes() for i in stock.ids), strings(stock.records.column("_key")), strict=True)
                )
                file = {n for n, o in stock.origins.items() if o.method == "file"}
                random = {i.tobytes() for i, o in zip(stock.ids, stock.origin, strict=True) if int(o) in file}
            ended = time.process_time()
            steps = dict(seen["steps"])
            turn = {
                "forecast": summary["forecast"],
                "reported": summary["oof_accuracy"],
                "reported_rows": summary["oof_rows"],
                "chosen": sum(one["count"] for why, one in summary["asked"].items() if why != "random"),
                "train_rows": summary["train_rows"],
                "truth": float(seen["right"].mean()),
                "truth_rows": len(seen["right"]),
                "verdict": summary["verdict"],
                "cpu": ended - began - steps["measured"],
                "cpu_forecast": steps.get("done", ended) - steps["forecast"] if "forecast" in steps else 0.0,
            }
            if before is not None:  # the errors of the two gains, paired
                both = seen["right"].astype(float) - before["right"]
                turn["truth_se"] = float(both.std(ddof=1) / len(both) ** 0.5)
                common = [i for i in seen["oof"] if i in before["oof"] and i in random]
                gain = np.array(
                    [
                        float(seen["oof"][i] == truth[keys[i]]) - float(before["oof"][i] == truth[keys[i]])
                        for i in common
                    ]
                )
                turn["reported_se"] = float(gain.std(ddof=1) / len(gain) ** 0.5)
            before = seen
            told.append(turn)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {"set": name, "seed": seed, "arm": arm, "turns": told}


def judged(lives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a forecast: whether each interval held its truth, its score in points, and those of the peer.

    The peer, from the second forecast on: the last reported gain +- 2 of its standard errors, paired.
    """
    found = []
    for life in lives:
        turns = life["turns"]
        for n, (at, then) in enumerate(itertools.pairwise(turns), 1):
            said = at["forecast"]
            if said is None or not said["tells"]:
                found.append({**{k: life[k] for k in ("set", "arm", "seed")}, "turn": n, "tells": False})
                continue
            gain, reported = then["truth"] - at["truth"], then["reported"] - at["reported"]
            now = said["now"]
            ours = {
                "gain": (said["low"], said["high"], gain),
                "fresh": (*said["fresh"][1:], 1 - then["truth"]),
                "reported": (*said["reported"][1:], 1 - then["reported"]),
            }
            row: dict[str, Any] = {k: life[k] for k in ("set", "arm", "seed")} | {"turn": n, "tells": True}
            for name, (low, high, truth) in ours.items():
                row[name] = low <= truth <= high
                row[f"{name}_score"] = 100 * winkler(low, high, truth)
            row |= {"width": 100 * (said["high"] - said["low"]), "bias": 100 * (said["gain"] - gain)}
            if n > 1:
                last, error = at["reported"] - turns[n - 2]["reported"], 2 * at["reported_se"]
                peer = {
                    "gain": (last - error, last + error, gain),
                    "fresh": (now - last - error, now - last + error, 1 - then["truth"]),
                    "reported": (last - error, last + error, reported),
                }
                for name, (low, high, truth) in peer.items():
                    row[f"{name}_peer"] = low <= truth <= high
                    row[f"{name}_peer_score"] = 100 * winkler(low, high, truth)
            found.append(row)
    return found


def by_life(rows: list[dict[str, Any]], name: str) -> list[float]:
    """For each life the mean over its turns of the peer's score minus ours: lives are independent."""
    lives: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        if f"{name}_peer_score" in row:
            key = (row["set"], row["arm"], row["seed"])
            lives.setdefault(key, []).append(row[f"{name}_peer_score"] - row[f"{name}_score"])
    return [float(np.mean(v)) for v in lives.values()]


WHAT = {
    "gain": "the true gain, on untouched rows",
    "reported": "the held-out score that the next turn reports",
    "fresh": "the true score, on untouched rows (not told: it does not hold on other sets)",
}


def page(lives: list[dict[str, Any]]) -> str:
    rows = judged(lives)
    told = [row for row in rows if row["tells"]]
    seeds = len({life["seed"] for life in lives})
    lines = [
        "# What the next answers are worth: is the forecast honest?",
        "",
        f"Made by `python benchmarks/forecast.py --seeds {seeds}`: {seeds} seeds, {TURNS} turns each, both "
        f"arms; {len(told)} of {len(rows)} forecasts told something.",
        "",
        " ".join(" ".join(str(__doc__).split("\n\n")[2:4]).split()),
        "",
        "Coverage: the share of turns in which the 80 % interval held the truth. Score: of the interval "
        "(Winkler, alpha = .2, in points; smaller is better), from the second forecast on, where the peer "
        "has one: the last reported gain +- 2 standard errors, paired on the same rows. Ours minus peer: the "
        "mean over lives, paired, with its 95 % interval; below 0 ours is better.",
    ]
    for name, words in WHAT.items():
        lines += ["", f"## {words[0].upper()}{words[1:]}", ""]
        lines += [
            "| set | chosen on | arm | coverage | score | peer's coverage | peer's score | ours minus peer |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for group in [*WORLDS, "chosen on", "confirmed on", "all"]:
            sets = {"chosen on": CHOSEN_ON, "confirmed on": CONFIRMED_ON, "all": tuple(WORLDS)}.get(
                group, (group,)
            )
            for arm in (*ARMS, "both"):
                mine = [r for r in told if r["set"] in sets and arm in ("both", r["arm"])]
                if (group in WORLDS and arm == "both") or not mine:
                    continue
                late = [r for r in mine if f"{name}_peer" in r]
                low = [-v for v in by_life(mine, name)]
                mean, a, b = interval(low)
                cells = [group, "yes" if set(sets) <= set(CHOSEN_ON) else "no" if group != "all" else "", arm]
                cells += [f"{np.mean([r[name] for r in mine]):.2f}"]
                cells += [f"{np.mean([r[f'{name}_score'] for r in late]):.2f}"]
                cells += [f"{np.mean([r[f'{name}_peer'] for r in late]):.2f}"]
                cells += [f"{np.mean([r[f'{name}_peer_score'] for r in late]):.2f}"]
                lines.append(f"| {' | '.join(cells)} | {mean:+.2f} [{a:+.2f}, {b:+.2f}] |")
    lines += [
        "",
        "## By turn",
        "",
        "| forecast after turn | coverage of the true gain | width, points | middle minus truth |",
    ]
    lines += ["|---|---|---|---|"]
    for n in range(1, TURNS):
        mine = [r for r in told if r["turn"] == n]
        if mine:
            cells = [np.mean([r[k] for r in mine]) for k in ("gain", "width", "bias")]
            lines.append(f"| {n} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:+.2f} |")
    cost = [t["cpu_forecast"] / t["cpu"] for life in lives for t in life["turns"]]
    rest = [t["cpu_forecast"] for life in lives for t in life["turns"]]
    lines += [
        "",
        "## What it costs",
        "",
        f"CPU of a turn's forecast (proposals came later): {np.median(rest):.2f} s of a turn here (median), "
        f"{100 * np.median(cost):.0f} % of it; the whole turn on 121,798 rows: [turn_cost](turn_cost.md).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seeds", type=int, default=10)
    say.add_argument("--jobs", type=int, default=1)
    say.add_argument("--sets", nargs="+", default=list(WORLDS))
    say.add_argument("--page", action="store_true", help="the lives are those of the last run")
    args = say.parse_args()
    out = Path(__file__).parent.parent / "docs" / "results"
    jobs = [(name, seed, arm) for seed in range(args.seeds) for name in args.sets for arm in ARMS]
    last = out / "forecast.json"
    lives = json.loads(last.read_text("utf-8")) if last.exists() else []
    if not args.page:
        lives = [one for one in lives if (one["set"], one["seed"], one["arm"]) not in jobs]
        with get_context("spawn").Pool(args.jobs, maxtasksperchild=10) as pool:
            for one in pool.imap_unordered(lived, jobs):
                lives.append(one)
                shown = " ".join(f"{100 * t['truth']:.1f}" for t in one["turns"])
                print(one["set"], one["seed"], one["arm"], shown, flush=True)
                lives.sort(key=lambda one: (one["set"], one["seed"], one["arm"]))
                last.write_text(json.dumps(lives) + "\n", "utf-8")
    (out / "forecast.md").write_text(page(lives), "utf-8")


if __name__ == "__main__":
    main()
