"""Columns of a table: how trees and lines read them, and how little a new row resembles what training saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column as Values
from bapsim.core.arrow import positions, strings
from bapsim.core.errors import InputError

CODES = 254  # categories of a column with a code of their own: what one bin table of the booster holds
BINS = 20  # bins of a number for the out-of-scope score


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one input column looked like in training.

    type: of numbers, as Arrow names it (models saved earlier: ""); values: categories seen at least twice,
    most frequent first (code i + 1; code 0 = rare or never seen); centre, scale, low, high: of
    arcsinh((x - centre) / scale); mass: share of the training rows in each bin or code, nulls last;
    gap: what a cell that fits no training row adds to the row's strangeness, by bin.
    """

    name: str
    kind: Literal["number", "category"]
    values: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    mass: tuple[float, ...] = ()
    gap: tuple[float, ...] = ()
    varies: bool = True
    type: str = ""


NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.I | re.A)
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # of a time, in a second


def floats(column: Values, name: str) -> np.ndarray:
    """A column of numbers, truth values or times as float64[n]; nulls and NaN are NaN, infinity is clipped.

    Times are seconds, whatever unit the file had: Parquet, a log and another file may each have their own.
    Raises InputError for text that is not a number and for columns that hold no numbers.
    """
    kind, unit = column.type, 1.0
    if pa.types.is_date(kind):
        column, unit = column.cast(pa.date32()).cast(pa.int32()), 1 / 86_400
    elif pa.types.is_temporal(column.type):
        unit = UNITS[column.type.unit]  # type: ignore[union-attr]
        column = column.cast(pa.int32() if pa.types.is_time32(column.type) else pa.int64())
    try:
        wide = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise InputError("table_not_a_number", column=name, type=str(kind)) from e
    # the forests read float32
    return np.clip(np.array(wide.to_numpy(zero_copy_only=False), np.float64) / unit, -3e38, 3e38)


def _kind(column: Values, name: str) -> Literal["number", "category"]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "category"
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError("table_column_type", column=name, type=str(kind))
    return "number"


def text_of(column: Values) -> Values:
    """A column as plain text: dictionaries are read, numbers and truth values are written."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.string())


def _codes(column: Column, values: Values) -> np.ndarray:
    """float64[n]: 0 rare or unseen, 1.. a known category, NaN null."""
    said = text_of(values)
    code = (positions(said, pa.array(column.values, pa.string())) + 1).astype(np.float64)
    code[np.asarray(said.is_null().to_numpy(zero_copy_only=False), bool)] = np.nan
    return code


def read(column: Column, values: Values) -> np.ndarray:
    """One column as the trees read it: float64[n], NaN = null.

    A recipe may call a column text that an older model learnt as numbers: what spells none is null to it.
    """
    if column.kind == "number" and pa.types.is_string(values.type):
        said = [one if one and NUMBER.fullmatch(one.strip()) else None for one in values.to_pylist()]
        values = pa.array([None if one is None else float(one) for one in said], pa.float64())
    return _codes(column, values) if column.kind == "category" else floats(values, column.name)


def encode(columns: Sequence[Column], rows: pa.RecordBatch) -> np.ndarray:
    """float64[n, columns]; raises InputError where a column is missing or of another kind."""
    absent = [c.name for c in columns if c.name not in rows.schema.names]
    if absent:
        raise InputError(
            "table_column_missing", columns=", ".join(absent), available=", ".join(rows.schema.names)
        )
    return np.column_stack([read(c, rows.column(c.name)) for c in columns])


def _spread(column: Column, x: np.ndarray) -> np.ndarray:
    """Numbers on the scale of the histogram: linear near the centre, logarithmic far away."""
    return np.arcsinh((x - column.centre) / column.scale)


def bins(column: Column, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64[n]: each cell's bin, nulls in the last; float64[n]: bins between it and all of training."""
    null = np.isnan(x)
    if column.kind == "category":
        return np.where(null, len(column.values) + 1, x).astype(np.int64), np.zeros(len(x))
    u = _spread(column, np.where(null, column.centre, x))
    width = (column.high - column.low) / BINS or 1 / BINS
    beyond = np.maximum(0, np.maximum(u - column.high, column.low - u)) / width
    place = np.clip((u - column.low) / width, 0, BINS - 1).astype(np.int64)
    return np.where(null, BINS, place), np.where(null, 0, beyond)


def learn_column(name: str, values: Values) -> Column:
    """What one column of training rows looks like: n >= 1 rows, all of them null at worst."""
    if _kind(values, name) == "category":
        coded = text_of(values).drop_null().dictionary_encode()
        counts = np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary))
        often = [(-int(n), v) for n, v in zip(counts, strings(coded.dictionary), strict=True) if n > 1]
        column = Column(name=name, kind="category", values=tuple(str(v) for _, v in sorted(often)[:CODES]))
        x = _codes(column, values)
    else:
        x = floats(values, name)
        seen = x[~np.isnan(x)]
        low, centre, high = np.quantile(seen, [0.25, 0.5, 0.75]) if len(seen) else (0.0, 0.0, 0.0)
        scale = high - low or (float(np.ptp(seen)) if len(seen) else 0.0) or max(1.0, abs(centre))
        column = Column(
            name=name, kind="number", centre=float(centre), scale=float(scale), type=str(values.type)
        )
        u = _spread(column, seen) if len(seen) else np.zeros(1)
        column = replace(column, low=float(u.min()), high=float(u.max()))
    size = len(column.values) + 2 if column.kind == "category" else BINS + 1
    count = np.bincount(bins(column, x)[0], minlength=size).astype(np.float64)
    gap = np.zeros(size)
    if column.kind == "category":
        gap[0] = count[0] == 0  # never seen, where training had no rare values either
    elif count[:-1].sum() == 0:
        gap[:-1] = 1.0
    gap[-1] = count[-1] == 0
    mass = (count + 0.5) / (len(x) + 0.5 * size)
    distinct = len(np.unique(x[~np.isnan(x)])) + bool(np.isnan(x).any())
    return replace(column, mass=tuple(mass.tolist()), gap=tuple(gap.tolist()), varies=distinct > 1)


def strangeness(columns: Sequence[Column], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two measures of how little a row resembles training, float64[n] each: larger is stranger.

    First the sum over columns of -log share of the cell's bin (histogram-based outlier score, Goldstein and
    Dengel 2012), then how far its cells lie outside all that training saw: ranges, categories, nulls.
    """
    strange, outside = np.zeros(len(x)), np.zeros(len(x))
    for j, column in enumerate(columns):
        place, beyond = bins(column, x[:, j])
        strange -= np.log(np.asarray(column.mass))[place]
        outside += beyond + np.asarray(column.gap)[place]
    return strange, outside


class Scope(Protocol):
    """What held-out training rows measured: strange, outside: ascending quantiles, float64[<= 10,001]."""

    @property
    def strange(self) -> np.ndarray: ...
    @property
    def outside(self) -> np.ndarray: ...


def in_scope(seen_before: Scope, strange: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """float64[n] in (0, 1]: .5 where a row is stranger than 99 % of held-out training rows.

    p / (p + .01), p = share of held-out training rows at least as strange, by the more alarming measure;
    p cannot fall below 1 / (rows + 1): 100 rows of training can only just call a row out of scope.
    """
    share = [
        (1 + len(seen) - np.searchsorted(seen, measure - 1e-9)) / (len(seen) + 1)
        for seen, measure in ((seen_before.strange, strange), (seen_before.outside, outside))
    ]
    p = np.minimum(*share)
    return p / (p + 0.01)


def quantiles(measure: np.ndarray) -> np.ndarray:
    """A measure of held-out rows as a model keeps it: sorted, at most 10,001 values."""
    points = np.linspace(0, len(measure) - 1, min(len(measure), 10_001)).astype(np.int64)
    return np.asarray(np.sort(measure)[points])


def used(columns: Sequence[Column]) -> list[int]:
    """Positions of the columns that the trees read: a constant teaches nothing (one stays, for the shape)."""
    return [j for j, c in enumerate(columns) if c.varies] or [0]


def column_of(said: Mapping[str, Any]) -> Column:
    """A column as `dataclasses.asdict` and JSON left it."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Column(**fields)
