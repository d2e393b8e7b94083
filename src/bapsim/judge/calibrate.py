"""Calibration: one temperature fitted on out-of-fold scores, and whether a respondent counts as calibrated.

Uncalibrated losses are a trap at the gate (z = 14 at no gain in accuracy), so a loss decides only where both
models are calibrated on answers that they gave out of fold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10
FEWEST = 100  # out-of-fold rows
WORST = 0.08  # expected calibration error beyond chance


def softmax(scores: Floats, sharpness: float) -> Floats:
    """Probabilities float64[n, k] of scores times one sharpness (the inverse temperature)."""
    scaled = scores * sharpness
    grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def sharpness(scores: Floats, gold: Ints) -> float:
    """The inverse temperature with the least log-loss (Guo et al. 2017), within 1e-3 to 1e3 of the scores'
    scale.

    scores float64[n, k]; gold int64[n], -1 = a class that the model does not know (left out). The loss is
    convex in the inverse temperature: Newton inside a bracket, deterministic. 1.0 where nothing can be
    fitted.
    """
    known = gold >= 0
    kept, truth = scores[known], gold[known]
    spread = float(kept.std()) if kept.size else 0.0
    if spread == 0.0:
        return 1.0
    kept = (kept - kept.max(axis=1, keepdims=True)) / spread
    right = kept[np.arange(len(kept)), truth]
    low, high, beta = 1e-3, 1e3, 1.0
    for _ in range(100):
        probable = softmax(kept, beta)
        mean = (probable * kept).sum(axis=1)
        slope = float((mean - right).mean())
        bend = float(((probable * kept**2).sum(axis=1) - mean**2).mean())
        low, high = (low, beta) if slope > 0 else (beta, high)
        step = beta - slope / bend if bend > 0 else low
        if abs(step - beta) <= 1e-10 * beta:
            break
        beta = step if low < step < high else math.sqrt(low * high)
    return beta / spread


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal size, less what chance alone gives; not below 0.

    confidence float64[n], right bool[n]. A perfectly calibrated model of 1,000 rows shows .03 by chance.
    """
    order = np.argsort(confidence, kind="stable")
    error = 0.0
    for part in np.array_split(order, BINS):
        if len(part):
            gap = float((right[part] - confidence[part]).mean())
            noise = float((confidence[part] * (1 - confidence[part])).mean()) / len(part)
            error += len(part) * max(abs(gap) - math.sqrt(2 * noise / math.pi), 0.0)
    return error / max(len(confidence), 1)


def is_calibrated(confidence: Floats, right: NDArray[np.bool_]) -> bool:
    """Whether a respondent's losses may decide: at least 100 out-of-fold answers, and honest on them."""
    return len(confidence) >= FEWEST and calibration_error(confidence, right) <= WORST
