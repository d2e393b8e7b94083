"""Rows that cannot be what was meant: empty, broken encoding, too long, not finite, unknown class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, numbers, valid
from bapsim.core.recipe import Check
from bapsim.core.records import VERDICT, Records, Task, Verdicts
from bapsim.core.turn import Turn
from bapsim.image.pixels import NoPicture, look
from bapsim.text.normalise import Points, code_points
from bapsim.text.targets import label_set, numbers_of, written

Mask = NDArray[np.bool_]
REASONS = (
    None,
    "empty_input",
    "bad_encoding",
    "too_long",
    "not_finite",
    "unknown_class",
    "not_a_number",
    "not_a_picture",
)
_EMPTY, _ENCODING, _LONG, _FINITE, _CLASS, _NUMBER, _PICTURE = range(1, 8)
_SPACES = ((0, 0x20), (0x7F, 0xA0), (0x1680, 0x1680), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F))
_BLANK = (*_SPACES, (0xAD, 0xAD), (0x180E, 0x180E), (0x3000, 0x3000), (0x3164, 0x3164), (0xFEFF, 0xFEFF))
_BROKEN = ((0, 8), (0xB, 0xC), (0xE, 0x1F), (0x7F, 0x9F), (0xD800, 0xDFFF), (0xFFFD, 0xFFFF))
_CP1252 = [
    ord(c) for c in bytes(b for b in range(0x80, 0xA0) if b not in b"\x81\x8d\x8f\x90\x9d").decode("cp1252")
]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Refuses a row for its first fault: empty_input, bad_encoding, too_long, not_finite, unknown_class,
    not_a_number (a target that should be one), not_a_picture.

    longest: characters of one input; strange: share of an input's characters that are control characters,
    U+FFFD, or bytes of UTF-8 read as Latin-1 or CP949; classes: the only labels that are allowed, none = any.
    A row is empty when all its inputs are null, blank or nan (a missing number in a table is no fault); a
    number is not finite when it is infinite. Rows without a target are a pool and pass.
    """

    longest: int = 65_536
    strange: float = 0.1
    classes: tuple[str, ...] = ()

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        fault, value = self.faults(records, turn.task)
        limits = np.array([np.nan, np.nan, self.strange, self.longest, np.nan, np.nan, np.nan, np.nan])
        columns: list[Column] = [
            pa.array(fault == 0),
            pa.array([REASONS[f] for f in fault.tolist()], pa.string()),
            pa.array(value, pa.float32(), from_pandas=True),
            pa.array(limits[fault], pa.float32(), from_pandas=True),
        ]
        return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))

    def faults(self, rows: pa.RecordBatch, task: Task) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """int8[n] positions in REASONS (0 = none) and float64[n] what was measured, nan = nothing."""
        fault, value = np.zeros(len(rows), np.int8), np.full(len(rows), np.nan)

        def found(kind: int, where: Mask, measured: NDArray[np.float64] | None = None) -> None:
            new = where & (fault == 0)
            fault[new] = kind
            if measured is not None:
                value[new] = measured[new]

        measures = [_measured(rows.column(name)) for name in task.inputs]
        found(_EMPTY, np.all([m.empty for m in measures], axis=0))
        for m in measures:
            found(_ENCODING, m.strange > self.strange, m.strange)
            found(_LONG, m.length > self.longest, m.length)
            found(_FINITE, m.infinite)
        if task.kind == "image":
            found(_PICTURE, _no_picture(rows.column(task.inputs[0])))
        if task.target in rows.schema.names:
            target = rows.column(task.target)
            found(_FINITE, _infinite(target))
            said = written(target, task.answer)
            if self.classes:
                labels = ((one,) if task.answer == "class" else label_set(one or "") for one in said)
                known = {*self.classes, None}
                found(_CLASS, np.array([not known.issuperset(one) for one in labels], bool))
            if task.answer == "number":
                found(_NUMBER, np.isnan(numbers_of(said)) & np.array([one is not None for one in said], bool))
        return fault, value


def schema(*, longest: int = 65_536, strange: float = 0.1, classes: tuple[str, ...] = ()) -> Check:
    """The check `Schema` with these limits."""
    return Schema(longest=longest, strange=strange, classes=classes)


@dataclass(frozen=True)
class _Measured:
    empty: Mask
    infinite: Mask
    strange: NDArray[np.float64]
    length: NDArray[np.float64]


def _measured(column: Column) -> _Measured:
    """What one input column shows, row by row."""
    nothing = np.zeros(len(column))
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        empty = ~valid(column)
        if pa.types.is_floating(column.type):
            empty |= np.isnan(numbers(column))
        return _Measured(empty, _infinite(column), nothing, nothing)
    points, bounds = code_points(column, 1 << 62)
    length = np.diff(bounds).astype(np.float64)
    return _Measured(
        _counts(~_within(points, _BLANK), bounds) == 0,
        np.zeros(len(column), bool),
        np.divide(strange_points(points, bounds), length, out=nothing, where=length > 0),
        length,
    )


def _no_picture(column: Column) -> Mask:
    """Bytes whose head is that of no picture."""
    return np.array([not _has_head(body) for body in column.to_pylist()], bool)


def _has_head(body: object) -> bool:
    try:
        look(body if isinstance(body, bytes) else b"", whole=False)
    except NoPicture:
        return False
    return True


def _infinite(column: Column) -> Mask:
    return np.isinf(numbers(column)) if pa.types.is_floating(column.type) else np.zeros(len(column), bool)


def _counts(marks: Mask, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n]: how many points of each text are marked."""
    before = np.concatenate([[0], np.cumsum(marks)])
    return np.asarray(before[bounds[1:]] - before[bounds[:-1]])


def _within(points: Points, ranges: tuple[tuple[int, int], ...]) -> Mask:
    table = np.zeros(0x10000, bool)
    for first, last in ranges:
        table[first : last + 1] = True
    return table[np.minimum(points, 0x10000 - 3)] & (points < 0x10000)


def strange_points(points: Points, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n]: points of each text that a wrong decoding left: broken ones, and UTF-8 in the clothes of
    Latin-1 (a lead byte and all its followers) or of CP949 (syllables outside KS X 1001 among hanja)."""
    marks = _within(points, _BROKEN) | _latin(points, bounds)
    rare = _counts(_rare()[np.clip(points, 0xABFF, 0xD7A4) - 0xABFF], bounds)
    hanja = _counts((points >= 0x4E00) & (points <= 0x9FFF), bounds)
    foreign = np.where((rare >= 3) & (rare + hanja >= 0.4 * np.diff(bounds)), rare + hanja, 0)
    return np.asarray(_counts(marks, bounds) + foreign)


def _latin(points: Points, bounds: NDArray[np.int64]) -> Mask:
    """Points of sequences that are UTF-8 bytes read one by one."""
    tail = (points >= 0x80) & (points <= 0xBF) | np.isin(points, _CP1252)
    tail[1:] &= (points[:-1] != 0xE0) | (points[1:] >= 0xA4)  # "à «" with a fixed space is French
    tail[bounds[:-1][bounds[:-1] < len(points)]] = False  # a sequence does not go on into the next text
    marks = np.zeros(len(points), bool)
    followed = np.concatenate([tail, np.zeros(4, bool)])
    so_far = np.ones(len(points), bool)
    for size, (first, last) in enumerate(((0xC2, 0xDF), (0xE0, 0xEF), (0xF0, 0xF4)), 2):
        so_far &= followed[size - 1 : size - 1 + len(points)]
        leads = np.flatnonzero(so_far & (points >= first) & (points <= last))
        for step in range(size):
            marks[leads + step] = True
    return marks


@cache
def _rare() -> Mask:
    """Which of U+ABFF to U+D7A4 are Hangul syllables outside the 2,350 of KS X 1001."""
    inside = [len(chr(code).encode("euc_kr")) > 2 for code in range(0xAC00, 0xD7A4)]
    return np.array([False, *inside, False])
