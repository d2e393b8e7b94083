"""Does a turn pay? Questions and label repair of the wheel, against random questions and against no repair.

    python benchmarks/wheel.py [--seeds 10] [--jobs 2] [--sets banking77 clinc150 nsmc_ko] [--arms bapsim ...]

The product's own turns on real texts: banking77 from 10 rows a class; clinc150 from 10 rows a class with 20
classes missing and 15 % of the labels confused with the class next door; nsmc_ko from 1,000 rows. Then four
turns of 500 answers by an expert who is right. Measured after each turn on 3,000 untouched rows: accuracy of
the newest model and of what serves, and for clinc150 how well out-of-scope requests are told apart (AUROC).
Arms differ in the questions, and bapsim's recipe has
the survey of wrong labels that `new` writes. Writes docs/results/wheel.md and wheel.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.compose.asking import WorthAsking, reserved, worth_asking  # noqa: E402
from bapsim.compose.plan import exam  # noqa: E402
from bapsim.core.arrow import concat, take  # noqa: E402
from bapsim.core.recipe import Dataset, Recipe  # noqa: E402
from bapsim.core.records import Draft, Rows, Task, derive, rows_of  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.judge.exam import accuracy, per_item  # noqa: E402
from bapsim.judge.gate import paired  # noqa: E402
from bapsim.judge.ranking import auroc_of  # noqa: E402
from bapsim.refine.label_errors import label_errors  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from bapsim.wheel.candidates import NAME  # noqa: E402
from bapsim.wheel.turn import run_turn  # noqa: E402
from lab import DATA, interval, nearest_class, new_folder, origin, rows_in  # noqa: E402

SETS = ("banking77", "clinc150", "nsmc_ko")
ARMS = ("bapsim", "no repair", "random")
TURNS, ANSWERS, UNTOUCHED, POOL = 5, 500, 3000, 9000
MISSING, CONFUSED = 20, 0.15


@dataclass(frozen=True)
class World:
    """One user's world: rows at hand with what their labels say, rows of the service, untouched rows."""

    name: str
    seed: int

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Positions of start, pool and untouched rows, and what is said of the start."""
        return _parts(self.name, self.seed)


@cache
def _parts(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    _, labels = rows_in(name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(labels != "oos"))
    test, rest = order[:UNTOUCHED], order[UNTOUCHED:]
    if name == "nsmc_ko":
        start = rest[:1000]
    else:
        classes = rng.permutation(np.unique(labels[order]))
        classes = classes[MISSING:] if name == "clinc150" else classes
        start = np.concatenate([rest[labels[rest] == c][:10] for c in classes])
    said = labels[start].copy()
    if name == "clinc150":
        near, wrong = nearest_class(name), rng.random(len(start)) < CONFUSED
        said[wrong] = [near[c] for c in said[wrong]]
    pool = rng.permutation(np.setdiff1d(rest, start))[:POOL]
    return start, pool, test, said


def batch(name: str, at: np.ndarray, labels: np.ndarray | None) -> Rows:
    said = pa.nulls(len(at), pa.string()) if labels is None else pa.array(labels.tolist(), pa.string())
    return Rows(pa.record_batch({"text": pa.array(rows_in(name)[0][at].tolist()), "label": said}))


@dataclass(frozen=True)
class Start:
    """The user's rows, and those of the service."""

    world: World

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            start, pool, _, said = self.world.parts()
            for at, labels in ((start, said), (pool, None)):
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
                if not len(asked):
                    continue
                at = [int(key) for key in asked.column("_key").to_pylist()]
                rows = Rows(rows_of(asked).set_column(1, "label", pa.array(labels[at].tolist(), pa.string())))
                yield derive(
                    asked,
                    [[i] for i in range(len(at))],
                    rows,
                    changed=frozenset({"target"}),
                    origin=replace(origin(f"asked:{draw}"), source="expert"),
                    keys=[str(k) for k in at],
                )


@dataclass(frozen=True)
class RandomQuestions:
    """As many questions, as many of them for the exam, all drawn at random."""

    budget: int
    exam_share: float = 0.2

    def __call__(self, pool: Dataset, turn: Turn) -> Rows:
        batches = [b for b in pool.batches(turn.task.inputs) if len(b)]
        whole = concat(batches)
        kept = reserved(whole, self.exam_share)
        rng, count = turn.rng("random questions"), round(self.budget * self.exam_share)
        random = rng.permutation(np.flatnonzero(kept))[:count]
        others = rng.permutation(np.flatnonzero(~kept))[: self.budget - count]
        some = take(whole, np.concatenate([random, others]))
        draw = ["random"] * len(random) + ["chosen"] * len(others)
        none = pa.nulls(len(some), pa.string())
        columns = {
            "_id": some.column("_id"),
            "draw": pa.array(draw),
            "why": pa.array(draw),
            "prediction": none,
        }
        return Rows(pa.record_batch(columns))


def questions(arm: str) -> WorthAsking | RandomQuestions:
    if arm == "random":
        return RandomQuestions(ANSWERS)
    return worth_asking(ANSWERS) if arm == "bapsim" else worth_asking(ANSWERS, repair_share=0.0)


@cache
def out_of_scope() -> Rows:
    found = []
    for part in ("val", "service"):
        with gzip.open(DATA / "clinc150" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            found += [row["text"] for row in map(json.loads, lines) if row["intent"] == "oos"]
    return Rows(pa.record_batch({"text": pa.array(found, pa.string())}))


def measured(folder: Path, world: World) -> tuple[float, float]:
    """Accuracy in points on untouched rows, AUROC of in-scope scores there against requests of no class."""
    model, (_, _, test, _) = artifacts.load(folder), world.parts()
    answers = model(batch(world.name, test, None).select(["text"]))
    right = np.array(answers["prediction"].to_pylist(), object) == rows_in(world.name)[1][test]
    if world.name != "clinc150":
        return 100 * float(right.mean()), float("nan")
    strange = model(out_of_scope())["in_scope"].to_numpy()
    inside = answers["in_scope"].to_numpy()
    gold = np.r_[np.ones(len(inside), bool), np.zeros(len(strange), bool)]
    scores = np.r_[inside, strange].astype(np.float64)
    return 100 * float(right.mean()), 100 * float(auroc_of(gold, scores, np.ones((1, len(gold))))[0])


@dataclass(frozen=True)
class Look:
    """Measures the newest model when a turn has trained it."""

    root: Path
    world: World
    found: list[tuple[float, float]]

    def __call__(self, step: str, **values: object) -> None:
        if step == "judge":
            folders = sorted((self.root / "wheel" / "models" / NAME).iterdir())
            self.found.append(measured(folders[-1] / "judged", self.world))


def lived(job: tuple[str, int, str]) -> dict:
    """One life: after each turn accuracy and AUROC of the newest model, accuracy of what serves, repairs."""
    name, seed, arm = job
    world = World(name, seed)
    recipe = Recipe(
        task=Task(input="text", target="label"),
        sources={"start": Start(world), "expert": Expert(world)},
        surveys={"labels": label_errors()} if arm == "bapsim" else {},
        questions=questions(arm),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(None),
        seed=seed,
    )
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    root, told = new_folder(), []
    (root / "recipe.py").write_text("# in memory\n")
    try:
        for _ in range(TURNS):
            with opened(root) as project:
                newest: list[tuple[float, float]] = []  # a candidate that loses is gone when the turn ends
                summary = run_turn(project, recipe, say=Look(root, world, newest))
                current = project.ledger.value("select version from used order by n desc limit 1")
            serves = root / "wheel" / "models" / NAME / str(current) / "served"
            served = measured(serves, world)[0] if current is not None else float("nan")
            repaired = summary["notice"]["repaired"]
            told.append(
                {
                    "accuracy": newest[0][0],
                    "auroc": newest[0][1],
                    "served": served,
                    "verdict": summary["verdict"],
                    "asked": {why: one["count"] for why, one in summary["asked"].items()},
                    "looked": repaired["asked"],
                    "changed": repaired["changed"],
                }
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {"set": name, "seed": seed, "arm": arm, "turns": told}


def table(lives: list[dict], what: str, name: str) -> list[str]:
    """Rows of a table: means by turn for each arm, and the area under the curve against the other arms."""
    by = {arm: [one for one in lives if one["arm"] == arm and one["set"] == name] for arm in ARMS}
    curves = {arm: np.array([[t[what] for t in one["turns"]] for one in ones]) for arm, ones in by.items()}
    lines = []
    for arm in ARMS:
        cells = " | ".join(f"{v:.2f}" for v in curves[arm].mean(axis=0))
        if arm == "bapsim":
            more = ""
        else:
            low = curves["bapsim"][:, 1:].mean(axis=1) - curves[arm][:, 1:].mean(axis=1)
            mean, a, b = interval(low.tolist())
            more = f"{mean:+.2f} [{a:+.2f}, {b:+.2f}]"
        lines.append(f"| {name} | {what} | {arm} | {cells} | {more} |")
    return lines


def page(lives: list[dict], seeds: int) -> str:
    names = [name for name in SETS if any(one["set"] == name for one in lives)]
    lines = [
        "# The wheel: does a turn pay?",
        "",
        f"Made by `python benchmarks/wheel.py --seeds {seeds}`: {seeds} seeds, paired between arms.",
        "",
        " ".join(str(__doc__).split("\n\n")[2].split()),
        "",
        "`random` asks as many questions, all at random, and repairs nothing; `no repair` asks as bapsim "
        "does, but never about labels, and all labels count alike. The last column is bapsim minus that arm, "
        "mean over the four turns with answers, with its "
        "95 % interval over seeds.",
        "",
        f"| set | points | arm | {' | '.join(f'turn {n}' for n in range(1, TURNS + 1))} | bapsim minus arm |",
        "|---|---|---|" + "---|" * (TURNS + 1),
    ]
    for name in names:
        for what in ("accuracy", "served", *(["auroc"] if name == "clinc150" else [])):
            lines += table(lives, what, name)
    lines += ["", "Labels looked at again and changed, mean over seeds, after the last turn:", ""]
    lines += ["| set | looked at | changed |", "|---|---|---|"]
    for name in names:
        last = [one["turns"][-1] for one in lives if one["set"] == name and one["arm"] == "bapsim"]
        looked, changed = (np.mean([t[what] for t in last]) for what in ("looked", "changed"))
        lines.append(f"| {name} | {looked:.0f} | {changed:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seeds", type=int, default=10)
    say.add_argument("--jobs", type=int, default=2)
    say.add_argument("--sets", nargs="+", default=list(SETS))
    say.add_argument(
        "--arms", nargs="+", default=list(ARMS), help="the others' lives are those of the last run"
    )
    args = say.parse_args()
    out = Path(__file__).parent.parent / "docs" / "results"
    jobs = [(name, seed, arm) for name in args.sets for seed in range(args.seeds) for arm in args.arms]
    last = out / "wheel.json"
    lives = json.loads(last.read_text("utf-8")) if set(args.arms) != set(ARMS) else []
    lives = [one for one in lives if (one["set"], one["seed"], one["arm"]) not in jobs]
    with get_context("spawn").Pool(args.jobs, maxtasksperchild=10) as pool:
        for one in pool.imap_unordered(lived, jobs):
            lives.append(one)
            shown = " ".join(f"{t['accuracy']:.1f}" for t in one["turns"])
            print(one["set"], one["seed"], one["arm"], shown, flush=True)
    lives.sort(key=lambda one: (one["set"], one["seed"], one["arm"]))
    (out / "wheel.json").write_text(json.dumps(lives, indent=1) + "\n", "utf-8")
    (out / "wheel.md").write_text(page(lives, args.seeds), "utf-8")


if __name__ == "__main__":
    main()
