"""The cells of a mixed table as numbers, and back: what is drawn can stand in the table.

A number is held to the grain of its column (whole numbers, tenths, days) and to the range that was seen, one
of few values to these values, a category to those that were seen; each column keeps its Arrow type.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from math import gcd
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, positions, strings, take
from bapsim.core.errors import InputError, NotEnough
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows
from bapsim.train.columns import UNITS, floats, text_of
from bapsim.train.labels import Labels
from bapsim.train.trees import input_columns

FEW = 10  # different numbers of a column that are its only values
CATEGORIES = 254  # different texts of a column; where there are more they are names
PLACES = 4  # after the point

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What may stand in a column: texts, or numbers from low to high in steps of grain (0 = any); few: the
    only numbers that were seen; gaps: whether a cell may be empty.
    """

    name: str
    kind: Literal["number", "category"]
    values: tuple[str, ...] = ()
    few: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    grain: float = 0.0
    gaps: bool = False


class Table(NamedTuple):
    """The columns of a table, and their Arrow types."""

    columns: tuple[Cells, ...]
    schema: pa.Schema


class Lesson(NamedTuple):
    """A mixture as numbers: x float64[n, d] after `read`, rows of a weight only; class positions int64[n]."""

    table: Table
    x: Floats
    y: NDArray[np.int64]


def lesson(mixture: Mixture, labels: Labels) -> Lesson:
    """What a table teaches a generator; NotEnough where no cell holds anything."""
    rows, mine = input_columns(mixture), labels.weight > 0
    rows = Rows(take(rows, mine))
    table = learnt(rows)
    x = read(table, rows)
    if np.isnan(x).all():
        raise NotEnough("drawn_empty", columns=", ".join(rows.schema.names))
    return Lesson(table, x, labels.y[mine])


def learnt(rows: Rows) -> Table:
    """What may stand in each column, from n >= 1 rows; InputError for texts that are names, and for types
    that no table model reads.
    """
    return Table(tuple(_learnt(name, rows.column(name)) for name in rows.schema.names), rows.schema)


def _learnt(name: str, column: Column) -> Cells:
    if _is_category(column, name):
        coded = text_of(column).drop_null().dictionary_encode()
        if len(coded.dictionary) > CATEGORIES:
            raise InputError("drawn_names", column=name, values=len(coded.dictionary), most=CATEGORIES)
        counts = np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary))
        often = sorted(zip((-counts).tolist(), strings(coded.dictionary), strict=True))
        values = tuple(str(value) for _, value in often)
        return Cells(name=name, kind="category", values=values, gaps=column.null_count > 0)
    x = _numbers(column, name)
    seen = np.unique(x[~np.isnan(x)])
    if not len(seen):
        return Cells(name=name, kind="number", gaps=True)
    few = tuple(seen.tolist()) if len(seen) <= FEW else ()
    low, high = float(seen[0]), float(seen[-1])
    gaps = bool(np.isnan(x).any())
    return Cells(name=name, kind="number", few=few, low=low, high=high, grain=grain(seen), gaps=gaps)


def _is_category(column: Column, name: str) -> bool:
    """Texts and truth values; InputError for lists, structures and bytes."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError("table_column_type", column=name, type=str(kind))
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)


def _numbers(column: Column, name: str) -> Floats:
    """float64[n], nan where there is no number; times in their own unit, so that they come back exactly."""
    kind: Any = column.type
    x = floats(column, name) * unit(kind)
    return np.where(np.isinf(x) | (np.abs(x) >= 3e38), np.nan, x)


def unit(kind: Any) -> float:
    """What a second, as `floats` reads times, is in the type's own unit; 1 for numbers."""
    if pa.types.is_date(kind):
        return 1 / 86_400
    return UNITS[kind.unit] if pa.types.is_temporal(kind) else 1.0  # type: ignore[union-attr]


def grain(seen: Floats) -> float:
    """The largest step by which all of n >= 1 different, ascending numbers can be counted; 0 = none.

    Whole numbers by their greatest common divisor, so that days in seconds and prices in hundreds stay such.
    """
    for places in range(PLACES + 1):
        scaled = seen * 10.0**places
        whole = np.rint(scaled)
        close = np.abs(scaled - whole) <= (1e-7 * np.abs(scaled) + 1e-9 if places else 0)
        if close.all() and (np.abs(scaled) <= (1e5 if places else 2**53)).all():
            steps = [int(one - whole[0]) for one in whole[1:]]
            return float(reduce(gcd, steps, 0)) / 10.0**places
    return 0.0


# --- there and back -------------------------------------------------------------------------------


def read(table: Table, rows: Rows) -> Floats:
    """float64[n, d]: numbers, and categories by position in `values`; nan where nothing known is."""
    out = np.full((len(rows), len(table.columns)), np.nan)
    for j, cells in enumerate(table.columns):
        column = rows.column(cells.name)
        if cells.kind == "number":
            out[:, j] = _numbers(column, cells.name)
        elif cells.values:
            at = positions(text_of(column), pa.array(cells.values, pa.string())).astype(np.float64)
            out[:, j] = np.where(at < 0, np.nan, at)
    return out


def back(table: Table, x: Floats) -> Rows:
    """Rows of the table's types; numbers are held to what may stand in their column."""
    columns = [
        _back(cells, x[:, j], field.type)
        for j, (cells, field) in enumerate(zip(table.columns, table.schema, strict=True))
    ]
    return Rows(pa.RecordBatch.from_arrays(columns, schema=table.schema))


def _back(cells: Cells, x: Floats, kind: Any) -> Any:
    there = ~np.isnan(x)
    if cells.kind == "category":
        said = [cells.values[int(v)] if ok else None for v, ok in zip(x, there, strict=True)]
        return _typed(pa.array(said, pa.string()), kind)
    if not there.any() or (not cells.few and cells.low == cells.high == 0.0):
        return pa.nulls(len(x), kind)
    held = nearest(cells, np.where(there, x, cells.low))
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        room = 2 ** (
            _stored(kind).bit_width - (not pa.types.is_unsigned_integer(kind))
        )  # floats go beyond it
        low, high = max(int(cells.low), -room), min(int(cells.high), room - 1)
        whole = [min(max(int(v), low), high) if ok else None for v, ok in zip(held, there, strict=True)]
        return _typed(pa.array(whole, _stored(kind)), kind)
    return _typed(pa.array(held, pa.float64(), mask=~there), kind)


def nearest(cells: Cells, x: Floats) -> Floats:
    """The numbers nearest to x that may stand in the column."""
    held = np.clip(x, cells.low, cells.high)
    if cells.few:
        few = np.array(cells.few)
        return np.asarray(few[np.abs(held[:, None] / 2 - few / 2).argmin(axis=1)])
    if cells.grain:
        steps = np.rint((held - cells.low) / cells.grain)
        return np.clip(cells.low + steps * cells.grain, cells.low, cells.high)
    return held


def _stored(kind: Any) -> Any:
    """The integer type under a time; integers are their own."""
    if pa.types.is_integer(kind):
        return kind
    return pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64()


def _typed(column: Any, kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column.cast(kind, safe=False)


# --- as numbers of one scale ----------------------------------------------------------------------


def points(table: Table, x: Floats, scale: Floats) -> Floats:
    """float64[n, e]: rows among which distances mean something: numbers over their scale, an empty cell one
    away from any other, a category one away from another (Chawla et al. 2002: SMOTE-NC).
    """
    parts = []
    for j, cells in enumerate(table.columns):
        v, there = x[:, j], ~np.isnan(x[:, j])
        if cells.kind == "category":
            codes = np.where(there, v, len(cells.values)).astype(np.int64)
            parts.append(np.eye(len(cells.values) + 1)[codes] / np.sqrt(2))
        else:
            parts += [(np.where(there, v, 0) / scale[j])[:, None], there[:, None].astype(np.float64)]
    return np.concatenate(parts, axis=1)


def spread(x: Floats) -> Floats:
    """float64[d]: the standard deviation of each column, 1 where there is none."""
    out = np.ones(x.shape[1])
    for j in range(x.shape[1]):
        seen = x[~np.isnan(x[:, j]), j]
        out[j] = (float(seen.std()) if len(seen) else 0.0) or 1.0
    return out


# --- in a file ------------------------------------------------------------------------------------


def table_json(table: Table) -> dict[str, Any]:
    """A table as JSON holds it."""
    schema = base64.b64encode(table.schema.remove_metadata().serialize().to_pybytes()).decode()
    return {"schema": schema, "columns": [asdict(cells) for cells in table.columns]}


def table_of(said: Mapping[str, Any]) -> Table:
    """The table that `table_json` took apart."""
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["schema"])))
    columns: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in one.items()} for one in said["columns"]
    ]
    return Table(tuple(Cells(**one) for one in columns), schema)
