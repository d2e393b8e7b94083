"""How far a row lies from the closest record: cells of a table on the scale of known rows, pictures by
pixels.

A number counts linearly near the middle of its column and logarithmically far away, so that one outlier
does not make all others alike; an empty cell and another category are one away. A picture is a small square
of colours. It stands in this layer, the lowest from which both are seen, because sources and checks need
the same distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, concat, numbers, positions, strings, take, valid
from bapsim.core.records import Records
from bapsim.core.turn import Turn
from bapsim.image.pixels import NoPicture, square

SIDE = 16  # of the squares on which pictures are compared
CATEGORIES = 254  # of a column; the rarer ones are one
BLOCK = 1 << 22  # distances at once: 32 MB

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """How a column is measured: categories by name, else numbers by centre and scale; pictures by neither."""

    name: str
    values: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 0.0  # 0: no numbers


class Points(NamedTuple):
    """Rows as places: at float64[n, e], whose Euclidean distance is the distance; known bool[n]: others lie
    nowhere.
    """

    at: Floats
    known: NDArray[np.bool_]


def of_people(turn: Turn, also: Sequence[str] = ()) -> Records | None:
    """What people made and labelled and nothing refused: the task's inputs and target, `also`, certificates;
    None without any. Rows of a table whose columns are of other types than the first's are left out.
    """
    wanted = list(dict.fromkeys([*turn.task.inputs, turn.task.target, *also]))
    parts: list[pa.RecordBatch] = []
    for view in turn.data.values():
        for batch, keep in zip(view.batches(wanted), view.kept(), strict=True):
            mine = keep & valid(batch.column(turn.task.target))
            for part in ("_input_depth", "_target_depth"):
                mine &= numbers(batch.column(part)) == 0
            parts.append(take(batch, mine))
    parts = [part for part in parts if part.schema.equals(parts[0].schema)]
    return Records(concat(parts)) if sum(map(len, parts)) else None


def axes(rows: pa.RecordBatch, columns: Sequence[str]) -> tuple[Axis, ...]:
    """How the columns of n known rows are measured."""
    return tuple(_axis(name, rows.column(name)) for name in columns)


def _axis(name: str, column: Column) -> Axis:
    if _is_picture(column):
        return Axis(name=name)
    if _is_text(column):
        said, counts = np.unique([s for s in _texts(column) if s is not None], return_counts=True)
        often = sorted(zip((-counts).tolist(), said.tolist(), strict=True))[:CATEGORIES]
        return Axis(name=name, values=tuple(value for _, value in often))
    x = _numbers(column)
    seen = x[~np.isnan(x)]
    low, centre, high = np.quantile(seen, [0.25, 0.5, 0.75]) if len(seen) else (0.0, 0.0, 0.0)
    scale = high - low or (float(np.ptp(seen)) if len(seen) else 0.0) or max(1.0, abs(centre))
    return Axis(name=name, centre=float(centre), scale=float(scale))


def points(axes: Sequence[Axis], rows: pa.RecordBatch) -> Points:
    """Where rows lie: float64[n, e] on these axes; pictures that cannot be read lie nowhere."""
    parts, known = [np.zeros((len(rows), 0))], np.ones(len(rows), bool)
    for axis in axes:
        column = rows.column(axis.name)
        if _is_picture(column):
            part, seen = _pictures(column)
            known &= seen
        elif axis.scale:
            part = _measured(axis, column)
        else:
            part = _named(axis, column)
        parts.append(part)
    return Points(np.concatenate(parts, axis=1) / np.sqrt(max(len(axes), 1)), known)


def _measured(axis: Axis, column: Column) -> Floats:
    x = numbers(pa.nulls(len(column), pa.float64())) if _is_text(column) else _numbers(column)
    there = ~np.isnan(x)
    place = np.arcsinh((np.where(there, x, axis.centre) - axis.centre) / axis.scale)
    return np.column_stack([place, there.astype(np.float64)])


def _named(axis: Axis, column: Column) -> Floats:
    """A place for each category, the last two for any other and for none."""
    at = positions(pa.array(_texts(column), pa.string()), pa.array(axis.values, pa.string()))
    empty = np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)
    codes = np.where(empty, len(axis.values) + 1, np.where(at < 0, len(axis.values), at)).astype(np.int64)
    return np.asarray(np.eye(len(axis.values) + 2)[codes] / np.sqrt(2))


def _pictures(column: Column) -> tuple[Floats, NDArray[np.bool_]]:
    bodies: list[Any] = column.to_pylist()
    out, known = np.zeros((len(bodies), 3 * SIDE * SIDE)), np.zeros(len(bodies), bool)
    for i, body in enumerate(bodies):
        try:
            out[i] = square(body or b"", SIDE).ravel()
        except NoPicture:
            continue
        known[i] = True
    return out / np.sqrt(out.shape[1]), known


def _is_picture(column: Column) -> bool:
    return pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)


def _is_text(column: Column) -> bool:
    kind: Any = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_nested(kind)


def _texts(column: Column) -> list[str | None]:
    """Texts; lists and structures written out."""
    if pa.types.is_nested(column.type):
        return [None if one is None else repr(one) for one in column.to_pylist()]
    return strings(column)


def _numbers(column: Column) -> Floats:
    """float64[n]: numbers, truth values, and times in their own unit; what is not finite is none."""
    kind = column.type
    if pa.types.is_temporal(kind):
        narrow = pa.types.is_date32(kind) or pa.types.is_time32(kind)
        column = column.cast(pa.int32() if narrow else pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    x = numbers(column)
    return np.where(np.isfinite(x), np.clip(x, -1e150, 1e150), np.nan)


def closest(asked: Points, among: Points, apart: NDArray[np.bool_] | None = None) -> tuple[Floats, Ints]:
    """The distance float64[n] of each asked row to the closest of those it is compared with, and which one
    that is, int64[n]; inf and -1 where there is none. apart: bool[n, m], true where two are not compared.
    """
    n, m = len(asked.at), len(among.at)
    far, which = np.full(n, np.inf), np.full(n, -1, np.int64)
    own = (among.at**2).sum(axis=1)
    for start in range(0, n if m else 0, max(1, BLOCK // max(m, 1))):
        part = slice(start, start + max(1, BLOCK // m))
        square_of = own - 2 * asked.at[part] @ among.at.T
        square_of[:, ~among.known] = np.inf
        if apart is not None:
            square_of[apart[part]] = np.inf
        best = square_of.argmin(axis=1)
        there = np.isfinite(square_of[np.arange(len(best)), best]) & asked.known[part]
        gap = np.sqrt(((asked.at[part] - among.at[best]) ** 2).sum(axis=1))
        far[part], which[part] = np.where(there, gap, np.inf), np.where(there, best, -1)
    return far, which
