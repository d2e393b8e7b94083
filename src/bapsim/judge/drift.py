"""Drift: whether what a service sees is still what a model was trained on. Counts and values in, figures out.

Two questions, never one alone: is the difference large (population stability index, or the largest gap of
the two cumulative distributions), and is it more than chance (chi-square, Kolmogorov-Smirnov). With many rows
every difference is more than chance; with few, every index is large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

LARGE = 0.2  # of the index: .1 is called moderate, .2 large (Siddiqi 2006)
GAP = 0.1  # of two cumulative distributions
CHANCE = 0.001
FEWEST = 200  # observations


@dataclass(frozen=True, kw_only=True)
class Drift:
    """size: the index or the gap; p: the chance of so much without any drift; drifted: large and no chance;
    observations: how many it rests on.
    """

    size: float
    p: float
    drifted: bool
    observations: int

    @property
    def state(self) -> Literal["yes", "few", "no"]:
        """Whether it drifted; few: too few observations to say that it did not."""
        return "yes" if self.drifted else "few" if self.observations < FEWEST else "no"


def histogram(values: Floats, bins: int) -> Counts:
    """int64[bins]: how many values lie in each of equal parts of [0, 1]; nan is left out."""
    there = values[~np.isnan(values)]
    at = np.clip((there * bins).astype(np.int64), 0, bins - 1)
    return np.bincount(at, minlength=bins).astype(np.int64)


def stability(expected: Counts, observed: Counts) -> float:
    """Population stability index of two counts of the same kinds, half a row added to each kind."""
    a, b = expected + 0.5, observed + 0.5
    a, b = a / a.sum(), b / b.sum()
    return float(((b - a) * np.log(b / a)).sum())


def shift_of_mix(expected: Counts, observed: Counts) -> Drift:
    """Drift of counts by kind. The index beyond what chance gives: under no drift its mean is
    (k - 1) (1/n + 1/m); p by the chi-square test of homogeneity, kinds that are rare together as one.
    """
    from scipy.stats import chi2

    n, m = int(expected.sum()), int(observed.sum())
    if not n or not m:
        return Drift(size=0.0, p=1.0, drifted=False, observations=m)
    size = max(stability(expected, observed) - (len(expected) - 1) * (1 / n + 1 / m), 0.0)
    table = np.stack([expected, observed]).astype(np.float64)
    table = _together(table[:, table.sum(axis=0) > 0])
    fitted = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    value = float(((table - fitted) ** 2 / fitted).sum())
    freedom = table.shape[1] - 1
    p = float(chi2.sf(value, freedom)) if freedom else 1.0
    return Drift(size=size, p=p, drifted=_large(size, LARGE, p, m), observations=m)


def shift_of_values(expected: Counts, observed: Counts) -> Drift:
    """Drift of values by their histograms: the largest gap of the cumulative shares, and its
    Kolmogorov-Smirnov p (of binned values: never too small).
    """
    n, m = int(expected.sum()), int(observed.sum())
    if not n or not m:
        return Drift(size=0.0, p=1.0, drifted=False, observations=m)
    gap = float(np.abs(np.cumsum(expected) / n - np.cumsum(observed) / m).max())
    p = kolmogorov(gap * math.sqrt(n * m / (n + m)))
    return Drift(size=gap, p=p, drifted=_large(gap, GAP, p, m), observations=m)


def kolmogorov(x: float) -> float:
    """P(K > x) of the Kolmogorov distribution."""
    if x < 0.2:  # 1 to 10 digits, and the sum would need many terms
        return 1.0
    signs = (1.0, -1.0)
    total = sum(signs[k % 2] * math.exp(-2 * ((k + 1) * x) ** 2) for k in range(100))
    return min(max(2 * total, 0.0), 1.0)


def shift_of_share(expected: float, observed: int, of: int) -> Drift:
    """Drift of one share that is known beforehand: size is the difference; p two-sided, exact."""
    from scipy.stats import binomtest

    if not of:
        return Drift(size=0.0, p=1.0, drifted=False, observations=0)
    size = observed / of - expected
    p = float(binomtest(observed, of, expected).pvalue)
    return Drift(size=size, p=p, drifted=_large(abs(size), GAP / 2, p, of), observations=of)


def _large(size: float, limit: float, p: float, observations: int) -> bool:
    return bool(size > limit and p < CHANCE and observations >= FEWEST)


def _together(table: Floats) -> Floats:
    """Kinds of which both rows together have fewer than ten count as one kind."""
    rare = table.sum(axis=0) < 10
    if rare.sum() < 2:
        return table
    joined = table[:, rare].sum(axis=1, keepdims=True)
    return np.concatenate([table[:, ~rare], joined], axis=1)
