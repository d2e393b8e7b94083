"""Where a model is worse than elsewhere: slices of rows whose share of errors is beyond chance.

Out of fold, never on exam items: a report that shows where the exam was missed leaks it (docs/gate.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bapsim.judge.compare import NORMAL, holm

Ints = NDArray[np.int64]
FEWEST = 20  # rows of a slice
LEVEL = 0.05  # over all slices together


@dataclass(frozen=True, kw_only=True)
class Slice:
    """at: its place among those given; wrong, elsewhere: shares of errors inside and outside; p: one-sided,
    adjusted by Holm over all slices."""

    at: int
    rows: int
    wrong: float
    elsewhere: float
    p: float

    @property
    def excess(self) -> float:
        """Errors beyond what the rows would have elsewhere."""
        return self.rows * (self.wrong - self.elsewhere)


def worst(rows: Ints, wrong: Ints, n: int, errors: int) -> tuple[Slice, ...]:
    """The slices with more errors than the other rows, those with the most errors in excess first.

    rows, wrong: int64[m], rows and errors of each slice; n, errors: of all rows. One-sided test of two shares
    (pooled normal approximation) with Holm's correction; slices of fewer than 20 rows are not looked at.
    """
    asked = np.flatnonzero((rows >= FEWEST) & (rows < n)).tolist()
    shares = [(wrong[at] / rows[at], (errors - wrong[at]) / (n - rows[at])) for at in asked]
    p = []
    for at, (share, rest) in zip(asked, shares, strict=True):
        mean = errors / n
        spread = math.sqrt(max(mean * (1 - mean), 1e-12) * (1 / rows[at] + 1 / (n - rows[at])))
        p.append(1 - NORMAL.cdf((share - rest) / spread))
    bad = [
        Slice(at=at, rows=int(rows[at]), wrong=float(share), elsewhere=float(rest), p=adjusted)
        for at, (share, rest), adjusted in zip(asked, shares, holm(p), strict=True)
        if adjusted < LEVEL
    ]
    return tuple(sorted(bad, key=lambda one: (-one.excess, one.at)))
