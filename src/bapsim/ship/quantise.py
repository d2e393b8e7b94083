"""Weights as int8: one scale a class, symmetric, so that 0 stays 0 and a missing n-gram counts nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 127
# Of the largest weight: what is beyond is cut off where that makes all others finer.
REACH = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
Scaled = tuple[NDArray[np.int8], NDArray[np.float32]]


def quantised(weights: NDArray[Any], importance: NDArray[np.float64]) -> Scaled:
    """int8[v, k] and scale float32[k] of weights float[v, k].

    importance: float64[v], the mean square of each column's value over calibration rows: the scale of a class
    is the one with the least squared error of its scores there.
    """
    wide = weights.astype(np.float64)
    largest = np.maximum(np.abs(wide).max(axis=0, initial=0.0), 1e-12)
    best, scale = np.full(wide.shape[1], np.inf), np.ones(wide.shape[1])
    for reach in REACH:
        step = (reach * largest / MOST).astype(np.float32).astype(np.float64)
        lost = (importance + 1e-12) @ (wide - _rounded(wide, step) * step) ** 2
        scale = np.where(lost < best, step, scale)
        best = np.minimum(lost, best)
    return _rounded(wide, scale).astype(np.int8), scale.astype(np.float32)


def _rounded(wide: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.rint(wide / step), -MOST, MOST)
