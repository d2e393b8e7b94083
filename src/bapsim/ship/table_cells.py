"""Rows of a table as numbers, and how little they resemble training: what head.onnx is asked with.

Needs numpy alone. A row is an object with a value for every column, null where there is none. A number may be
written as text, and is read as `bapsim predict` reads a column of its type: blanks around it do not count;
what is not finite, a truth value in a column of numbers and a fraction in one of whole numbers are refused.
A time is text in ISO 8601. A category is text, and one that training did not see at least twice is code 0.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

import numpy as np

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan", re.I | re.A)
WHOLE, WHOLE_TYPE = re.compile(r"[+-]?[0-9]{1,19}", re.A), re.compile(r"(u?)int([0-9]+)")
TIME_TYPE = re.compile(r"(timestamp|date|time)(?:32|64)?\[(s|ms|us|ns|day)(, tz=.+)?\]")
CLOCK = r"([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?(Z|([+-])([0-9]{2}):?([0-9]{2})?)?"
DAY = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
MOMENT = re.compile(rf"{DAY}(?:[ T]{CLOCK})?", re.A)
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "day": 0}  # of a fraction of a second
TRUTH = {"true": True, "1": True, "false": False, "0": False}
LARGEST = np.finfo(np.float64).max.item()
FARTHEST = 3e38  # trees read 32 bits
BINS = 20  # of a number
PLAIN = 1e-4, 1e10  # between them all write a fraction alike


def number(said: Any, kind: str = "") -> float:
    """A cell of a column of an Arrow type ("": not known) as a number, NaN where there is none; ValueError
    for what such a column does not hold.
    """
    value = said.item() if isinstance(said, np.generic) else said
    value = value.isoformat() if isinstance(value, date | time) else value  # a datetime is a date
    if isinstance(value, str):
        value = _spelled(value.strip(), kind)
    elif TIME_TYPE.fullmatch(kind) and isinstance(value, int | float) and not math.isnan(value):
        value = said = str(said)  # a number of what unit?
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return float("nan")
    if not isinstance(value, int | float) or not _holds(kind, value):  # bool is an int
        shown = repr(said[:80] if isinstance(said, str) else said)[:90]
        what = kind if TIME_TYPE.fullmatch(kind) else f"number of the type {kind or 'double'}"
        raise ValueError(f"{shown} ({type(said).__name__}) is no {what}")
    return float(min(max(value, -FARTHEST), FARTHEST))


def _spelled(said: str, kind: str) -> Any:
    """What a text says; the text itself where it is nothing that the column holds."""
    if kind == "bool":
        return TRUTH.get(said.lower(), said)
    if (of := TIME_TYPE.fullmatch(kind)) is not None:
        digits = min(DIGITS[of[2]], 6) if of[1] == "time" else DIGITS[of[2]]  # Python's times have no more
        return _seconds(said, of[1], digits, zoned=of[3] is not None)
    if WHOLE_TYPE.fullmatch(kind):
        return int(said) if WHOLE.fullmatch(said) else said
    return float(said) if NUMBER.fullmatch(said) else said


def _seconds(said: str, kind: str, digits: int, *, zoned: bool) -> Any:
    """A moment, day or time of day in ISO 8601 in seconds; the text itself where it is none."""
    found = MOMENT.fullmatch(f"1970-01-01 {said}" if kind == "time" else said)
    if not found or (kind == "date" and len(said) != 10) or (kind == "time" and not found[5]):
        return said
    year, month, day, hour, minute, second = (int(one or 0) for one in found.groups()[:6])
    fraction, zone, sign = found[7] or "", found[8], -1 if found[9] == "-" else 1
    if max(hour // 24, minute // 60, second // 60) or len(fraction) > digits or (zone is not None) != zoned:
        return said
    try:
        days = date(year, month, day).toordinal() - 719163  # of 1970-01-01
    except ValueError:
        return said
    ahead = sign * (int(found[10] or 0) * 3600 + int(found[11] or 0) * 60)
    count = days * 86400 + hour * 3600 + minute * 60 + second - ahead
    count = count * 10**digits + int(fraction.ljust(digits, "0") or 0)
    return float(count) / 10.0**digits if -(1 << 63) <= count < 1 << 63 else said


def _holds(kind: str, value: float) -> bool:
    if kind == "bool":
        return value in (0, 1)
    if isinstance(value, bool):
        return not kind
    whole = WHOLE_TYPE.fullmatch(kind)
    if whole is None:
        return -LARGEST <= value <= LARGEST
    least, beyond = (0, 1 << int(whole[2])) if whole[1] else (-1 << int(whole[2]) - 1, 1 << int(whole[2]) - 1)
    return least <= value < beyond and value == value // 1


def category(said: Any) -> str | None:
    """A cell as text, numbers and truth values as Arrow writes them; ValueError where that is not sure."""
    value = said.item() if isinstance(said, np.generic) else said
    if isinstance(value, str):
        value.encode()  # half a character is no text: UnicodeEncodeError is a ValueError
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    # 32 bits spell a number otherwise than 64
    same = isinstance(value, float) and str(said) == repr(value)
    if same and (value == 0 or PLAIN[0] <= abs(value) < PLAIN[1]):
        return repr(value).removesuffix(".0")
    if isinstance(value, int):
        return str(value)
    raise ValueError(f"{repr(said)[:90]} is no category: write it as text")


class Cells:
    """Rows as cells float64[n, p]: numbers, codes of categories, NaN where there is nothing."""

    def __init__(self, columns: Sequence[Mapping[str, Any]], body: bytes) -> None:
        """columns: as spec.json has them; body: features.bin, two sections of float64."""
        self.names = [str(column["name"]) for column in columns]
        self.codes = [
            {value: float(i + 1) for i, value in enumerate(column["values"])}
            if column["kind"] == "category"
            else None
            for column in columns
        ]
        size = struct.unpack_from("<I", body)[0] * 4
        self.strange = np.frombuffer(body, "<f8", size // 8, 4)
        self.outside = np.frombuffer(body, "<f8", -1, size + 8)
        self.types = [str(column.get("type", "")) for column in columns]
        self.narrow = [name == "float" for name in self.types]  # 32 bits
        self.plain = np.array([codes is None for codes in self.codes])
        numbers = [column for column in columns if column["kind"] == "number"]
        keys = ("centre", "scale", "low", "high")
        self.centre, self.scale, self.low, self.high = (
            np.array([column[key] for column in numbers], np.float64) for key in keys
        )
        width = (self.high - self.low) / BINS
        self.width = np.where(width == 0, 1 / BINS, width)
        sizes = [len(column["mass"]) for column in columns]
        self.first = np.cumsum([0, *sizes[:-1]])
        self.empty = np.array(sizes) - 1  # the bin of nulls
        self.mass = np.log(np.concatenate([column["mass"] for column in columns]))
        self.gap = np.concatenate([column["gap"] for column in columns])

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Cells, and in_scope float32[n]; ValueError names the row and the column that cannot be read."""
        cells = np.array([self._row(i, row) for i, row in enumerate(rows)], np.float64)
        cells = cells.reshape(len(rows), len(self.names))
        if any(self.narrow):
            narrow = cells[:, self.narrow].astype(np.float32).astype(np.float64)
            cells[:, self.narrow] = np.clip(narrow, -FARTHEST, FARTHEST)
        return cells, self._scope(cells)

    def _row(self, i: int, row: Any) -> list[float]:
        if not isinstance(row, Mapping):
            raise ValueError(f"row {i} is no object with a value for each column")
        out = []
        for name, codes, kind in zip(self.names, self.codes, self.types, strict=True):
            if name not in row:
                raise ValueError(f"row {i} has no column {name!r}: say null where there is no value")
            try:
                if codes is None:
                    out.append(number(row[name], kind))
                else:
                    said = category(row[name])
                    out.append(float("nan") if said is None else codes.get(said, 0.0))
            except ValueError as error:
                raise ValueError(f"row {i}, column {name!r}: {error}") from None
        return out

    def _scope(self, cells: np.ndarray) -> np.ndarray:
        null = np.isnan(cells)
        place, beyond = np.where(null, 0, cells), np.zeros(cells.shape)
        x = np.where(null[:, self.plain], self.centre, cells[:, self.plain])
        u = np.arcsinh((x - self.centre) / self.scale)
        far = np.maximum(0, np.maximum(u - self.high, self.low - u)) / self.width
        beyond[:, self.plain] = np.where(null[:, self.plain], 0, far)
        place[:, self.plain] = np.clip((u - self.low) / self.width, 0, BINS - 1)
        at = self.first + np.where(null, self.empty, place.astype(np.int64))
        # a running sum adds column by column, as bapsim does
        strange = -np.cumsum(self.mass[at], axis=1)[:, -1]
        outside = np.cumsum(beyond + self.gap[at], axis=1)[:, -1]
        share = [
            (1 + len(seen) - np.searchsorted(seen, measure - 1e-9)) / (len(seen) + 1)
            for seen, measure in ((self.strange, strange), (self.outside, outside))
        ]
        p = np.minimum(*share)
        return np.asarray(p / (p + 0.01), np.float32)
