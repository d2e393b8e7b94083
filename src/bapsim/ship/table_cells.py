"""Rows of a table as numbers, and how little they resemble training: what head.onnx is asked with.

Needs numpy alone. A row is an object with a value for every column, null where there is none. A number may be
written as text; a category is text, and one that training did not see at least twice is code 0.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.I | re.A)
FARTHEST = 3e38  # trees read 32 bits
BINS = 20  # of a number
PLAIN = 1e-4, 1e10  # between them all write a fraction alike


def number(said: Any) -> float:
    """A cell as a number, NaN where there is none; ValueError for text that is no number."""
    if said is None:
        return float("nan")
    if isinstance(said, str):
        if not NUMBER.fullmatch(said):
            raise ValueError(f"{said[:80]!r} is no number")
        said = float(said)
    if not isinstance(said, int | float):  # bool is an int
        raise ValueError(f"{type(said).__name__} is no number")
    return float("nan") if isinstance(said, float) and math.isnan(said) else _near(said)


def _near(said: float) -> float:
    return float(min(max(said, -FARTHEST), FARTHEST))


def category(said: Any) -> str | None:
    """A cell as text, numbers and truth values as Arrow writes them; ValueError where that is not sure."""
    if said is None or isinstance(said, str):
        return said
    if isinstance(said, bool):
        return str(said).lower()
    if isinstance(said, float) and (said == 0 or PLAIN[0] <= abs(said) < PLAIN[1]):
        return repr(said).removesuffix(".0")
    if isinstance(said, int):
        return str(said)
    raise ValueError(f"{said!r} is no category: write it as text")


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
        return cells, self._scope(cells)

    def _row(self, i: int, row: Any) -> list[float]:
        if not isinstance(row, Mapping):
            raise ValueError(f"row {i} is no object with a value for each column")
        out = []
        for name, codes in zip(self.names, self.codes, strict=True):
            if name not in row:
                raise ValueError(f"row {i} has no column {name!r}: say null where there is no value")
            try:
                if codes is None:
                    out.append(number(row[name]))
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
