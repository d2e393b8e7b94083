"""A generator of table rows that lie between a row and one of its nearest neighbours of the same class.

Numbers are interpolated, categories and empty cells follow the majority of the neighbours (Chawla et al.
2002, SMOTE-NC). Utility without privacy: the model holds the rows that it learnt from, and what it draws
lies near them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import cells, drawing
from bapsim.train.cells import Table

LOADER = "bapsim.train.table_smote:load"
LEAST = 2  # rows of a class: between one row and itself there is nothing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def neighbours(points: Floats, base: int, k: int) -> Ints:
    """int64[<= k]: the rows nearest to row `base` of float64[n, e], without itself, nearest first."""
    far = ((points - points[base]) ** 2).sum(axis=1)
    far[base] = np.inf
    return np.argsort(far, kind="stable")[: min(k, len(points) - 1)]


def majority(values: Floats, own: float) -> float:
    """The most frequent of n values, nan counting as one; among equals the row's own, else the first."""
    told, counts = np.unique(values, return_counts=True, equal_nan=True)
    first = told[counts == counts.max()]
    mine = np.isnan(first) if np.isnan(own) else first == own
    return own if mine.any() else float(first[0])


def between(table: Table, x: Floats, base: int, near: Ints, rng: np.random.Generator) -> Floats:
    """float64[d]: a row between row `base` and one of its neighbours."""
    other, gap = x[near[int(rng.integers(len(near)))]], rng.random()
    made = x[base] * (1 - gap) + other * gap
    for j, column in enumerate(table.columns):
        if column.kind == "category":
            made[j] = majority(x[near, j], float(x[base, j]))
        elif np.isnan(made[j]):
            seen = x[near, j][~np.isnan(x[near, j])]
            if 2 * len(seen) > len(near):
                made[j] = x[base, j] if not np.isnan(x[base, j]) else seen[0]
    return np.asarray(made)


@dataclass(frozen=True, kw_only=True, eq=False)
class Interpolated:
    """A generator of rows between neighbours; x float64[n, d], y int64[n]: the rows that it was taught."""

    classes: tuple[str, ...]
    target: str
    table: Table
    x: Floats
    y: Ints
    k: int
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        able = dict(enumerate(np.bincount(self.y, minlength=len(self.classes)).tolist()))
        order = drawing.ordered(rows, self.target, self.classes, able, LEAST)
        scale = cells.spread(self.x)
        out = np.full((len(order.y), len(self.table.columns)), np.nan)
        for code in np.unique(order.y):
            x = self.x[self.y == code]
            points, known = cells.points(self.table, x, scale), dict[int, Ints]()
            for i in np.flatnonzero(order.y == code).tolist():
                rng = drawing.random(self.seed, order.seeds[i])
                base = int(rng.integers(len(x)))
                if base not in known:
                    known[base] = neighbours(points, base, self.k)
                out[i] = between(self.table, x, base, known[base], rng)
        return Answers(cells.back(self.table, out))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz, which holds the rows that were taught."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "table": cells.table_json(self.table),
            "k": self.k,
            "seed": str(self.seed),
        }
        drawing.write(folder, said, {"x": self.x, "y": self.y})


def load(folder: Path) -> Interpolated:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    return Interpolated(
        classes=tuple(said["classes"]),
        target=said["target"],
        table=cells.table_of(said["table"]),
        x=arrays["x"],
        y=arrays["y"],
        k=int(said["k"]),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class TableSmote:
    """Trainer of a generator; see `table_smote`."""

    k: int = 5

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Interpolated:
        labels = drawing.taught(mixture, LEAST)
        table, x, y = cells.lesson(mixture, labels)
        target = mixture.task.target
        return Interpolated(classes=labels.classes, target=target, table=table, x=x, y=y, k=self.k, seed=seed)


def table_smote(k: int = 5) -> TableSmote:
    """A generator of rows between a row and one of its k nearest of the same class (fewer in a small one)."""
    return TableSmote(k=k)
