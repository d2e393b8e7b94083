"""A generator of table rows by a Gaussian copula: each column's distribution, and how they go together.

Within a class each cell becomes the normal score of its rank; the correlations of these scores are drawn
from and turned back through the ranks. A category is one of a block of ranks; whether a cell is empty has a
score of its own. Source: Nelsen 2006; Patki et al. 2016 draw whole tables so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import cells, drawing
from bapsim.train.cells import Table

LOADER = "bapsim.train.table_copula:load"
LEAST = 2  # rows of a class
KNOTS = 512  # values that a column's distribution is kept as

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Margin(NamedTuple):
    """One column in one class: the share of empty cells, and the others in order, float64[<= KNOTS]."""

    empty: float
    values: Floats


def margin(column: Floats) -> Margin:
    """The distribution of float64[n], nan = empty."""
    seen = np.sort(column[~np.isnan(column)])
    kept = np.linspace(0, len(seen) - 1, min(len(seen), KNOTS)).round().astype(np.int64)
    return Margin(float(np.isnan(column).mean()), seen[kept])


def scores(column: Floats) -> Floats:
    """float64[n]: normal scores of middle ranks; equal cells share one, empty ones are 0 and do not count."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    there, out = ~np.isnan(column), np.zeros(len(column))
    if there.any():
        out[there] = ndtri((rankdata(column[there]) - 0.5) / there.sum())
    return out


def correlations(z: Floats, there: NDArray[np.bool_]) -> Floats:
    """float64[d, d] of scores float64[n, d], over rows in which both of a pair are there; a column that does
    not vary goes with nothing.
    """
    squares = (z**2).T @ there.astype(np.float64)  # of i, over rows in which j is there
    sizes = np.sqrt(squares * squares.T)
    sizes[sizes == 0] = np.inf
    found = (z.T @ z) / sizes
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def scored(x: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """float64[n, 2 d]: the scores of cells, then of whether they hold anything; bool[n, 2 d]: what counts."""
    whole = np.concatenate([x, (~np.isnan(x)).astype(np.float64)], axis=1)
    return np.column_stack([scores(column) for column in whole.T]), ~np.isnan(whole)


def roots(x: Floats, y: Ints, classes: int) -> Floats:
    """float64[classes, 2 d, 2 d]: a root of each class's correlations, drawn towards those within all classes
    by as many rows as there are columns: a few rare rows say little about pairs.
    """
    width = x.shape[1]
    z, there = np.zeros((len(x), 2 * width)), np.zeros((len(x), 2 * width), bool)
    for code in np.unique(y):
        z[y == code], there[y == code] = scored(x[y == code])
    whole, out = correlations(z, there), np.zeros((classes, 2 * width, 2 * width))
    for code in range(classes):
        mine = y == code
        own, n = correlations(z[mine], there[mine]), int(mine.sum())
        values, vectors = np.linalg.eigh((n * own + width * whole) / (n + width))
        out[code] = vectors * np.sqrt(np.maximum(values, 0))
    return out


def turned_back(margins: Sequence[Margin], table: Table, z: Floats) -> Floats:
    """float64[d]: the cells of one row of scores float64[2 d]."""
    from scipy.special import ndtr

    out, u = np.full(len(margins), np.nan), ndtr(z)
    for j, (empty, values) in enumerate(margins):
        if u[len(margins) + j] < empty or not len(values):
            continue
        v = float(u[j])
        if table.columns[j].kind == "category" or table.columns[j].few:
            out[j] = values[min(int(v * len(values)), len(values) - 1)]
        else:
            out[j] = np.interp(v, (np.arange(len(values)) + 0.5) / len(values), values)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Copula:
    """A generator of rows; margins[class][column], root float64[k, 2 d, 2 d], able: rows of each class."""

    classes: tuple[str, ...]
    target: str
    table: Table
    margins: tuple[tuple[Margin, ...], ...]
    root: Floats
    able: tuple[int, ...]
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        order = drawing.ordered(rows, self.target, self.classes, dict(enumerate(self.able)), LEAST)
        out = np.full((len(order.y), len(self.table.columns)), np.nan)
        for i, (code, one) in enumerate(zip(order.y.tolist(), order.seeds, strict=True)):
            normal = drawing.random(self.seed, one).standard_normal(self.root.shape[1])
            z = (self.root[code] * normal).sum(axis=1)
            z /= np.maximum(np.sqrt((self.root[code] ** 2).sum(axis=1)), 1e-12)
            out[i] = turned_back(self.margins[code], self.table, z)
        return Answers(cells.back(self.table, out))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz: distributions of columns, small ones are the rows' own values."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "table": cells.table_json(self.table),
            "empty": [[one.empty for one in margins] for margins in self.margins],
            "able": self.able,
            "seed": str(self.seed),
        }
        arrays = {
            f"values.{c}.{j}": one.values for c, some in enumerate(self.margins) for j, one in enumerate(some)
        }
        drawing.write(folder, said, {"root": self.root, **arrays})


def load(folder: Path) -> Copula:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    margins = tuple(
        tuple(Margin(share, arrays[f"values.{c}.{j}"]) for j, share in enumerate(shares))
        for c, shares in enumerate(said["empty"])
    )
    return Copula(
        classes=tuple(said["classes"]),
        target=said["target"],
        table=cells.table_of(said["table"]),
        margins=margins,
        root=arrays["root"],
        able=tuple(said["able"]),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class TableCopula:
    """Trainer of a generator; see `table_copula`."""

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Copula:
        labels = drawing.taught(mixture, LEAST)
        table, x, y = cells.lesson(mixture, labels)
        k = len(labels.classes)
        margins = tuple(tuple(margin(x[y == code, j]) for j in range(x.shape[1])) for code in range(k))
        return Copula(
            classes=labels.classes,
            target=mixture.task.target,
            table=table,
            margins=margins,
            root=roots(x, y, k),
            able=tuple(np.bincount(y, minlength=k).tolist()),
            seed=seed,
        )


def table_copula() -> TableCopula:
    """A generator of rows with each class's own columns and correlations, for cells of any kind."""
    return TableCopula()
