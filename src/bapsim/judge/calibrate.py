"""Calibration: whether a respondent is honest enough about its doubts for its losses to decide.

Uncalibrated losses are a trap at the gate (z = 14 at no gain in accuracy), so a loss decides only where both
models are calibrated on answers that they gave out of fold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10
FEWEST = 100  # out-of-fold rows
WORST = 0.08  # expected calibration error beyond chance


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


def expects_its_errors(confidence: Floats, right: NDArray[np.bool_]) -> bool:
    """Whether the errors that it expects are those that it makes, within a half and two standard deviations.

    A model that is right in 95 % and sure in all is off by .05 only, and by all of its errors.
    """
    expected, made = float((1 - confidence).sum()), float((~right).sum())
    chance = 2 * math.sqrt(float((confidence * (1 - confidence)).sum()))
    return abs(expected - made) <= 0.5 * max(expected, made) + chance


def is_calibrated(confidence: Floats, right: NDArray[np.bool_]) -> bool:
    """Whether a respondent's losses may decide: at least 100 out-of-fold answers, and honest on them."""
    if len(confidence) < FEWEST or calibration_error(confidence, right) > WORST:
        return False
    return expects_its_errors(confidence, right)
