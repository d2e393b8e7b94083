"""A generator of table rows by class-conditional denoising diffusion.

Numbers become normal scores of their quantiles, empty cells and categories bits of their own. It is taught
all classes at once, rare rows more often (by one over the root of the frequency): what rows look like at all
it learns from the common ones. Source: Kotelnikov et al. 2023, with Gaussian noise on the bits as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import cells, diffusion, drawing
from bapsim.train.cells import Table

LOADER = "bapsim.train.table_diffusion:load"
LEAST = 2  # rows of a class
KNOTS = 1000  # quantiles that a column is kept as
LIMIT = 4.0  # of a normal score

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


# --- cells as scores and bits ---------------------------------------------------------------------


def quantiles(column: Floats) -> Floats:
    """float64[<= KNOTS]: the numbers of a column in order, nan left out."""
    seen = np.sort(column[~np.isnan(column)])
    kept = np.linspace(0, len(seen) - 1, min(len(seen), KNOTS)).round().astype(np.int64)
    return seen[kept]


def encoded(table: Table, knots: list[Floats], x: Floats) -> NDArray[np.float32]:
    """float32[n, width] of cells float64[n, d]: a score and a bit for a number, a bit for each category."""
    from scipy.special import ndtri

    parts = []
    for j, column in enumerate(table.columns):
        v, there = x[:, j], ~np.isnan(x[:, j])
        if column.kind == "category":
            codes = np.where(there, v, len(column.values)).astype(np.int64)
            parts.append(np.eye(len(column.values) + 1)[codes] * 2 - 1)
            continue
        n, filled = max(len(knots[j]), 1), np.where(there, v, 0)
        left, right = (np.searchsorted(knots[j], filled, side) for side in ("left", "right"))
        u = np.clip((left + right) / 2 / n, 0.5 / n, 1 - 0.5 / n)
        parts += [np.where(there, ndtri(u), 0)[:, None], np.where(there, 1.0, -1.0)[:, None]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def decoded(table: Table, knots: list[Floats], drawn: NDArray[np.float32]) -> Floats:
    """float64[n, d]: the cells that float32[n, width] stand for."""
    from scipy.special import ndtr

    out, at = np.full((len(drawn), len(table.columns)), np.nan), 0
    for j, column in enumerate(table.columns):
        if column.kind == "category":
            bits = drawn[:, at : at + len(column.values) + 1]
            at += len(column.values) + 1
            most = (
                bits[:, : None if column.gaps else -1].argmax(axis=1) if column.values else bits[:, :0].sum(1)
            )
            out[:, j] = np.where(most < len(column.values), most, np.nan)
            continue
        score, bit = drawn[:, at].astype(np.float64), drawn[:, at + 1]
        at += 2
        if len(knots[j]):
            n = len(knots[j])
            made = np.interp(ndtr(score), (np.arange(n) + 0.5) / n, knots[j])
            out[:, j] = np.where((bit > 0) | (not column.gaps), made, np.nan)
    return out


# --- the model and its trainer --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Denoised:
    """A generator of rows; able: rows of each class; knots: quantiles of each column; net: of torch."""

    classes: tuple[str, ...]
    target: str
    table: Table
    knots: list[Floats]
    able: tuple[int, ...]
    hidden: int
    net: Any
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        order = drawing.ordered(rows, self.target, self.classes, dict(enumerate(self.able)), LEAST)
        width = encoded(self.table, self.knots, np.zeros((0, len(self.table.columns)))).shape[1]

        def draw(y: Ints, seeds: list[int]) -> NDArray[np.float32]:
            rngs = [drawing.random(self.seed, one) for one in seeds]
            return diffusion.drawn(self.net, y, rngs, (width,), LIMIT)

        with drawing.repeatable(0):
            made = drawing.in_batches(order, draw)
        return Answers(cells.back(self.table, decoded(self.table, self.knots, made)))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz (weights, and quantiles of columns)."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "table": cells.table_json(self.table),
            "able": self.able,
            "hidden": self.hidden,
            "seed": str(self.seed),
        }
        knots = {f"knots.{j}": one for j, one in enumerate(self.knots)}
        net = {f"net.{name}": value for name, value in drawing.weights(self.net).items()}
        drawing.write(folder, said, knots | net)


def load(folder: Path) -> Denoised:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    table, knots = cells.table_of(said["table"]), []
    for j in range(len(table.columns)):
        knots.append(arrays[f"knots.{j}"])
    width = encoded(table, knots, np.zeros((0, len(table.columns)))).shape[1]
    net = diffusion.net_of(width, len(said["classes"]), int(said["hidden"]))
    named = {name.removeprefix("net."): value for name, value in arrays.items() if name.startswith("net.")}
    return Denoised(
        classes=tuple(said["classes"]),
        target=said["target"],
        table=table,
        knots=knots,
        able=tuple(said["able"]),
        hidden=int(said["hidden"]),
        net=drawing.filled(net, named, folder),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class TableDiffusion:
    """Trainer of a generator; see `table_diffusion`."""

    steps: int = 2500
    hidden: int = 256
    batch: int = 128

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Denoised:
        labels = drawing.taught(mixture, LEAST)
        table, x, y = cells.lesson(mixture, labels)
        knots = [quantiles(x[:, j]) for j in range(x.shape[1])]
        rows = encoded(table, knots, x)
        with drawing.repeatable(seed) as t:
            net = diffusion.net_of(rows.shape[1], len(labels.classes), self.hidden)
            clean = t.from_numpy(rows)
            plan = diffusion.Plan(steps=self.steps, batch=self.batch)
            diffusion.train(net, clean, y, drawing.rarely(y), plan, seed)
        return Denoised(
            classes=labels.classes,
            target=mixture.task.target,
            table=table,
            knots=knots,
            able=tuple(np.bincount(y, minlength=len(labels.classes)).tolist()),
            hidden=self.hidden,
            net=net,
            seed=seed,
        )


def table_diffusion(steps: int = 2500, hidden: int = 256) -> TableDiffusion:
    """A generator of rows by diffusion, conditional on the class; extra [vision] or [lm] (torch).

    steps: of learning, 128 rows each; hidden: width of the net.
    """
    return TableDiffusion(steps=steps, hidden=hidden)
