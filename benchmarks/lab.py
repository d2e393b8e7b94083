"""A wheel in a box: real texts, a simulated user with the held-back truth, and the product's own turns.

Used by loop.py and user.py. Nothing here is part of the product; the project lies in memory (/dev/shm).
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Rows, Task, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.text.minhash import near
from bapsim.train.text import text_linear
from bapsim.wheel.candidates import NAME
from bapsim.wheel.turn import run_turn

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = {
    "banking77": ("banking77/train.jsonl.gz", "intent"),
    "nsmc_ko": ("nsmc_ko/train.jsonl.gz", "label"),
    "clinc150": ("clinc150/train.jsonl.gz", "intent"),
    "3i4k": ("intent_3i4k_ko/train.jsonl.gz", "label"),
}


@cache
def rows_in(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts and labels of a set as object[n], rows without label or text left out."""
    path, target = SETS[name]
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = [(r["text"], str(r[target])) for r in rows if r[target] is not None and r["text"]]
    texts, labels = zip(*kept, strict=True)
    return np.array(texts, object), np.array(labels, object)


@dataclass(frozen=True)
class World:
    """One user's world: which rows are at hand at first, in the service's pool, in a file, and untouched."""

    name: str
    seed: int
    start: int
    pool: int
    test: int
    spare: int = 0

    def parts(self) -> dict[str, np.ndarray]:
        texts, _ = rows_in(self.name)
        order = np.random.default_rng(self.seed).permutation(len(texts))
        ends = np.cumsum([self.start, self.pool, self.test, self.spare])
        names = ("start", "pool", "test", "spare")
        return {n: order[a:b] for n, a, b in zip(names, [0, *ends[:-1]], ends, strict=True)}


def batch(world: World, at: np.ndarray, labels: np.ndarray | None) -> Rows:
    texts, _ = rows_in(world.name)
    said = pa.nulls(len(at), pa.string()) if labels is None else pa.array(labels.tolist(), pa.string())
    return Rows(pa.record_batch({"text": pa.array(texts[at].tolist(), pa.string()), "label": said}))


def origin(method: str) -> Origin:
    return Origin(source="lab", input_maker="person", target_maker="person", method=method, rights="research")


@dataclass(frozen=True)
class Start:
    """The user's file, and the service's rows without label."""

    world: World

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            parts, (_, labels) = self.world.parts(), rows_in(self.world.name)
            for part, truth in (("start", True), ("pool", False)):
                at = parts[part]
                keys = [str(i) for i in at]
                rows = batch(self.world, at, labels[at] if truth else None)
                yield Draft(rows=rows, origin=origin("file"), keys=keys)


@dataclass(frozen=True)
class File:
    """A file of labelled rows that arrives at one turn; with `shift` its label column slipped by a line."""

    world: World
    at_turn: int
    shift: bool

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == self.at_turn:
            at, (_, labels) = self.world.parts()["spare"], rows_in(self.world.name)
            said = np.roll(labels[at], 1) if self.shift else labels[at]
            keys = [str(i) for i in at]
            yield Draft(rows=batch(self.world, at, said), origin=origin("file"), keys=keys)


@cache
def nearest_class(name: str) -> dict[str, str]:
    """The class with which each class is most easily confused: nearest centroid of hashed word counts."""
    from sklearn.feature_extraction.text import HashingVectorizer

    texts, labels = rows_in(name)
    some = np.random.default_rng(0).permutation(len(texts))[:20_000]
    x = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**14).transform(texts[some])
    names = np.unique(labels)
    centre = np.stack([np.asarray(x[labels[some] == c].mean(axis=0)).ravel() for c in names])
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    near = centre @ centre.T
    np.fill_diagonal(near, -1)
    return dict(zip(names, names[near.argmax(1)], strict=True))


@dataclass(frozen=True)
class Expert:
    """Answers every question with the truth; at the turn `confused`, 40 % are the class next door."""

    world: World
    confused: int = 0

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        _, labels = rows_in(self.world.name)
        for view in turn.data.values():
            for draw in ("random", "chosen", "repair"):
                ids = sorted(i for i, d in turn.asked.items() if d == draw)
                asked = view.find(pa.array(ids, pa.binary(16)))
                if not len(asked):
                    continue
                at = [int(k) for k in asked.column("_key").to_pylist()]
                said = labels[at]
                if turn.n == self.confused:
                    wrong = turn.rng("confused", draw).random(len(at)) < 0.4
                    next_door = nearest_class(self.world.name)
                    said = np.array([next_door[s] if w else s for s, w in zip(said, wrong, strict=True)])
                rows = rows_of(asked)
                rows = Rows(rows.set_column(1, "label", pa.array(said.tolist(), pa.string())))
                yield derive(
                    asked,
                    [[i] for i in range(len(at))],
                    rows,
                    changed=frozenset({"target"}),
                    origin=replace(origin(f"asked:{draw}"), source="expert"),
                    keys=[str(k) for k in at],
                )


def recipe_of(
    world: World, *, questions: int, exam_size: int | None, gate: Any = None, **sources: Any
) -> Recipe:
    return Recipe(
        task=Task(input="text", target="label"),
        sources={"start": Start(world), "expert": Expert(world), **sources},
        questions=worth_asking(questions),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=gate if gate is not None else paired(),
        exam=exam(exam_size),
        seed=world.seed,
    )


def accuracy_on(model: Any, world: World, at: np.ndarray) -> float:
    """The share of right answers on these rows."""
    said = model(batch(world, at, None).select(["text"]))["prediction"].to_pylist()
    return float(np.mean([a == b for a, b in zip(said, rows_in(world.name)[1][at], strict=True)]))


@cache
def strangers(world: World) -> np.ndarray:
    """Untouched rows that no row at hand or in the pool nearly equals: what an exam is by its leak check."""
    texts, parts = rows_in(world.name)[0], world.parts()
    near_by = near(texts[parts["test"]].tolist(), texts[np.r_[parts["start"], parts["pool"]]].tolist(), 0.8)
    alone = np.ones(len(parts["test"]), bool)
    alone[near_by[near_by >= 0]] = False
    return parts["test"][alone]


def new_folder() -> Path:
    """A folder in memory, where there is such a place."""
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="bapsim-lab-", dir=place))


def live(
    world: World,
    recipe: Recipe,
    turns: int,
    *,
    before: tuple[Path, list[dict[str, Any]]] | None = None,
    keep: dict[int, Path] | None = None,
) -> list[dict[str, Any]]:
    """Run the turns; each summary gets `test`: accuracy on untouched rows of every candidate so far.

    before: a copy of a project and what its turns told, to go on from; keep: where to copy the project as it
    is before a turn.
    """
    root = new_folder()
    os.environ["BAPSIM_KEY"] = f"{world.seed:064x}"
    (root / "recipe.py").write_text("# in memory\n")
    told: list[dict[str, Any]] = []
    if before is not None:
        shutil.copytree(before[0], root, dirs_exist_ok=True)
        told = list(before[1])
    test = world.parts()["test"]
    known: dict[str, float] = dict(told[-1]["test"]) if told else {}
    alone: dict[str, float] = dict(told[-1]["strangers"]) if told else {}

    def look(step: str, **values: Any) -> None:
        if step == "judge":
            for folder in sorted((root / "wheel" / "models" / NAME).iterdir()):
                if folder.name not in known and (folder / "judged").is_dir():
                    model = artifacts.load(folder / "judged")
                    known[folder.name] = accuracy_on(model, world, test)
                    alone[folder.name] = accuracy_on(model, world, strangers(world))

    try:
        for n in range(len(told) + 1, turns + 1):
            if keep is not None and n in keep:
                shutil.copytree(root, keep[n], dirs_exist_ok=True)
            with opened(root) as project:
                summary = run_turn(project, recipe, say=look)
                current = project.ledger.value("select version from used order by n desc limit 1")
                summary["current"] = current
                summary["test"], summary["strangers"] = dict(known), dict(alone)
                if current is not None:
                    served = artifacts.load(root / "wheel" / "models" / NAME / current / "served")
                    summary["served"] = accuracy_on(served, world, test)
                summary["exam"] = exam_of(project, recipe)
                told.append(summary)
        if keep is not None and turns + 1 in keep:
            shutil.copytree(root, keep[turns + 1], dirs_exist_ok=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return told


def exam_of(project: Any, recipe: Recipe) -> dict[str, float]:
    """What only a lab may see: the accuracy of every judged model on the exam as it is now."""
    from bapsim.wheel.candidates import mixture_of
    from bapsim.wheel.stock import exam_ids, load_stock

    stock = load_stock(project, recipe.task)
    items, _ = mixture_of(stock, stock.rows_with(exam_ids(project.ledger)))
    found = {}
    for folder in sorted((project.models / NAME).iterdir()):
        if (folder / "judged").is_dir():
            found[folder.name] = accuracy(recipe.judge(artifacts.load(folder / "judged"), items))
    return found


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of a few values."""
    from scipy.stats import t

    x = np.asarray(values, float)
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)
