"""How a model becomes the files of a target: converted, quantised with calibration rows, or distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.arrow import concat
from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import (
    Answer,
    Draft,
    Numbering,
    Origin,
    Records,
    Rows,
    Task,
    certify,
    derive,
    rows_of,
)
from bapsim.core.turn import named_seed
from bapsim.ship.pack import Target, text_files, write
from bapsim.ship.parts import TextParts
from bapsim.ship.pictures import picture_files, picture_head, picture_vectors, quantised_head
from bapsim.ship.quantise import quantised
from bapsim.ship.tables import table_files, table_vectors
from bapsim.text import features
from bapsim.text.targets import written
from bapsim.train.image import ImageModel, made_up
from bapsim.train.image_cnn import ImageNet
from bapsim.train.image_cnn import read as squares_of
from bapsim.train.linear import read
from bapsim.wheel.portable import picture_parts, text_parts
from bapsim.wheel.portable_tables import Tabular, table_parts
from bapsim.wheel.stock import Stock

POOL = 40_000  # rows that a teacher labels at most: a pool may hold millions
CALIBRATED = 2_000  # rows whose features weigh what quantising may lose
PICTURES = 500  # that say how far a net's values reach


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Rows that a file is made and checked with, none of them an exam item: bool[N] over the stock; weight:
    float32[N], how much each label counted for the judged model.
    """

    stock: Stock
    eaten: np.ndarray
    pool: np.ndarray
    weight: np.ndarray
    secret: bytes

    def some(self, most: int) -> Records:
        """At most so many rows, evenly spread, by their ids: the pool as well as what was learnt from."""
        at = np.flatnonzero(self.eaten | self.pool)
        at = at[np.argsort(self.stock.ids[at], kind="stable")]
        return self.stock.part(_spread(at, most))

    def texts(self, inputs: Sequence[str], most: int = CALIBRATED) -> list[str | None]:
        return read(Rows(self.some(most)), inputs)


@dataclass(frozen=True, kw_only=True)
class About:
    """What answers: input columns, kind of answer, classes, kind of input."""

    inputs: tuple[str, ...]
    answer: Answer
    classes: tuple[str, ...]
    kind: str = "text"


def _spread(at: np.ndarray, most: int) -> np.ndarray:
    return at if len(at) <= most else at[np.linspace(0, len(at) - 1, most).astype(np.int64)]


def make(model: Model, rest: Rest, target: Target, folder: Path) -> About:
    """Write the files of a target; InputError for a model that cannot be shipped so."""
    task = rest.stock.task
    if isinstance(model, ImageModel | ImageNet):
        return _make_pictures(model, rest, target, folder)
    if isinstance(model, Tabular):
        return _make_table(model, task.answer, target, folder)
    if target == "student":
        model = distil(model, rest)
    parts = text_parts(model)
    if target in ("onnx-int8", "student"):
        parts = small(parts, read(Rows(rest.some(CALIBRATED)), task.inputs))
    write(folder, text_files(parts, target))
    return About(inputs=task.inputs, answer=task.answer, classes=parts.classes)


def _make_pictures(model: ImageModel | ImageNet, rest: Rest, target: Target, folder: Path) -> About:
    known = ("onnx", "onnx-int8") if isinstance(model, ImageNet) else ("onnx",)
    if target not in known:
        kind = type(model).__name__
        raise InputError("ship_target", target=target, kind=kind, known=", ".join(known), first=known[0])
    parts = picture_parts(model)
    head = picture_head(parts)
    if target == "onnx-int8":
        squares, readable = squares_of(Rows(rest.some(PICTURES)), parts.inputs, parts.side)
        head = quantised_head(head, squares[readable])
    write(folder, picture_files(parts, head, made_up()), picture_vectors)
    return About(inputs=parts.inputs, answer="class", classes=parts.classes, kind="image")


def _make_table(model: Tabular, answer: Answer, target: Target, folder: Path) -> About:
    if target != "onnx":
        raise InputError("ship_table_target", target=target)
    write(folder, table_files(table_parts(model)), table_vectors)
    return About(inputs=model.inputs, answer=answer, classes=model.classes, kind="table")


def small(parts: TextParts, texts: Sequence[str | None]) -> TextParts:
    """The same parts with an int8 table; what matters is what these texts use."""
    found, values = used(parts, texts)
    squares = np.bincount(found, values.astype(np.float64) ** 2, len(parts.table)) / max(len(texts), 1)
    table, scale = quantised(parts.table, squares)
    return replace(parts, table=table, scale=scale)


def used(parts: TextParts, texts: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of all n-grams that texts have in the table."""
    if parts.buckets:
        from bapsim.train.student import bucketed

        x = bucketed(texts, parts.spec, parts.buckets)
        return x.indices, x.data
    found = features.entries(features.grams(texts, parts.spec), parts.hashes)
    return found.columns, features.weigh(found, parts.idf, parts.spec)


def distil(teacher: Model, rest: Rest) -> Model:
    """A student of a model: it learns from what people labelled and what the teacher says of the pool."""
    from bapsim.train.student import distilled

    stock, at = rest.stock, np.flatnonzero(rest.eaten)
    at = at[np.argsort(stock.ids[at], kind="stable")]
    people, pool = stock.part(at), np.flatnonzero(rest.pool)
    pool = _spread(pool[np.argsort(stock.ids[pool], kind="stable")], POOL)
    told = machine_labelled(teacher, stock.part(pool), stock.task, rest.secret) if len(pool) else None
    records = people if told is None else Records(concat([_alike(people, told), told]))
    weight = np.concatenate([rest.weight[at], np.ones(len(pool), np.float32)])
    seed = named_seed("student", digest(stock.ids[at].tobytes() + stock.ids[pool].tobytes())) % 2**31
    return distilled()(teacher, Mixture(task=stock.task, records=records, weight=weight), seed)


def machine_labelled(teacher: Model, pool: Records, task: Task, secret: bytes) -> Records:
    """Pool rows with the teacher's answers as targets, each derived from its row: one machine hand deeper."""
    answers = teacher(rows_of(pool, task.inputs))
    inputs = rows_of(pool, [name for name in task.columns if name != task.target])
    rows = inputs.append_column(task.target, _strings(written(answers.column("prediction"), task.answer)))
    origin = Origin(
        source="teacher", input_maker="person", target_maker="machine", method="distil", rights="as parents"
    )
    draft: Draft = derive(
        pool, [[i] for i in range(len(pool))], Rows(rows), changed=frozenset({"target"}), origin=origin
    )
    return certify(draft, secret=secret, origin=-1, numbering=Numbering())


def _strings(said: list[str | None]) -> Any:
    import pyarrow as pa

    return pa.array(said, pa.string())


def _alike(people: Records, told: Records) -> Records:
    """The same columns in the same order and types."""
    columns = [people.column(name).cast(told.schema.field(name).type) for name in told.schema.names]
    return Records(type(people).from_arrays(columns, schema=told.schema))
