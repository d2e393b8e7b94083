"""Rows that a generator of the recipe draws, each with its closest real row as its parent.

The generator was trained before gathering, on people's rows of which something may be made, and arrives in
`turn.models`. While it is not there, nothing is drawn. What it draws is as little proven as any other
machine's rows: checks and the gate decide.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings, take
from bapsim.core.errors import InputError
from bapsim.core.recipe import Model
from bapsim.core.records import Answers, Draft, Origin, Records, Rows, derive
from bapsim.core.turn import Turn, named_seed
from bapsim.image.closest import Points, axes, closest, of_people, points
from bapsim.store.artifacts import folder_digest


def identity(model: Model) -> str:
    """Sixteen hex digits of a model's files: the same rows are drawn by the same files."""
    with tempfile.TemporaryDirectory() as place:
        model.save(Path(place))
        return folder_digest(Path(place))[:16]


def order(target: str, wanted: list[tuple[str, int]]) -> Rows:
    """What a generator is asked: a class and a seed in each row."""
    labels, seeds = zip(*wanted, strict=True)
    columns: list[Any] = [pa.array(labels, pa.string()), pa.array(seeds, pa.int64())]
    return Rows(pa.RecordBatch.from_arrays(columns, names=[target, "_seed"]))


@dataclass(frozen=True, kw_only=True)
class DrawnBy:
    """A source of rows that a generator draws; see `drawn_by`."""

    of: str
    only: tuple[str, ...] = ()
    count: int = 100
    rights: str = "derived"
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        model, people = turn.models.get(self.of), of_people(turn)
        if model is None or people is None or not self.count:
            return
        real = strings(people.column(turn.task.target))
        labels = [one for one in self.only or model.classes if one in real or one not in model.classes]
        wanted = [
            (one, named_seed(turn.seed, "drawn", self.of, one, i) % 2**63)
            for one in labels
            for i in range(self.count)
        ]
        drawn = model(order(turn.task.target, wanted)) if wanted else None
        if drawn is not None:
            yield self._draft(turn, people, drawn, [one for one, _ in wanted], model)

    def _draft(self, turn: Turn, people: Records, drawn: Answers, labels: list[str], model: Model) -> Draft:
        task = turn.task
        columns = [drawn.column(name).cast(people.column(name).type) for name in task.inputs]
        columns.append(pa.array(labels, pa.string()).cast(people.column(task.target).type))
        rows = Rows(pa.RecordBatch.from_arrays(columns, names=[*task.inputs, task.target]))
        parents = parents_of(people, rows, task.inputs, task.target)
        there = np.flatnonzero(parents >= 0)
        origin = Origin(
            source=self.of,
            input_maker="machine",
            target_maker="machine",
            method=f"drawn:{self.of}:{identity(model)}",
            rights=self.rights,
            batch=getattr(model, "version", None),  # by which what it drew goes when it goes
        )
        return derive(
            people,
            [[int(parents[i])] for i in there],
            Rows(take(rows, there)),
            changed=frozenset({"input", "target"}),
            origin=origin,
            keys=[f"{labels[i]}:{i % self.count}" for i in there],
        )


def parents_of(people: Records, rows: Rows, inputs: tuple[str, ...], target: str) -> np.ndarray:
    """int64[n]: the position of the closest real row of the same class, -1 where none can be compared."""
    scale = axes(people, inputs)
    known, asked = points(scale, people), points(scale, rows)
    real, said = np.array(strings(people.column(target))), np.array(strings(rows.column(target)))
    out = np.full(len(rows), -1, np.int64)
    for label in np.unique(said):
        mine, at = np.flatnonzero(real == label), np.flatnonzero(said == label)
        _, which = closest(Points(asked.at[at], asked.known[at]), Points(known.at[mine], known.known[mine]))
        out[at] = np.where(which >= 0, mine[which], -1) if len(mine) else -1
    return out


def drawn_by(of: str, *, only: tuple[str, ...] = (), count: int = 100, rights: str = "derived") -> DrawnBy:
    """`count` rows of each class in `only` (none named: of all), drawn by the recipe's generator `of`.

    The same generator draws the same rows again: an order is filled once, and anew when the generator
    changed. InputError for a count below 0; for a class that the generator has never seen, when it is
    asked.
    """
    if count < 0:
        raise InputError("drawn_count", count=count)
    return DrawnBy(of=of, only=tuple(only), count=count, rights=rights)
