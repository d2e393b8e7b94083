"""Whether people know how sure they may be: the Brier score of their confidence, and what it is made of.

Source: Brier 1950; its parts: Murphy 1973.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bapsim.raters.shares import Share, share

STEPS = 10  # confidences are read as tenths, so that the parts add up to the score exactly
LEAN = 10.0  # answers by which a score leans on that of all people


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A person's confidence against what was right, in answers whose truth is known.

    brier: mean squared distance, 0 is best, .25 is "always .5", with its interval; shrunk: the same, leaning
    on that of all people; reliability: how far stated shares are from those that came true, 0 is best;
    resolution: how far the person can tell the sure from the unsure, more is better; uncertainty: what the
    answers themselves have; brier = reliability - resolution + uncertainty. over: confidence less the share
    of right answers, above 0 is too sure.
    """

    brier: Share
    shrunk: float
    reliability: float
    resolution: float
    uncertainty: float
    over: float


def calibration(
    confidence: Sequence[float], right: Sequence[bool], everybody: float = 0.25
) -> Calibration | None:
    """The calibration of one person; None without an answer. everybody: the mean Brier score of all."""
    if not len(confidence):
        return None
    said = np.round(np.clip(np.asarray(confidence, np.float64), 0, 1) * STEPS) / STEPS
    came = np.asarray(right, np.float64)
    level, at, count = np.unique(said, return_inverse=True, return_counts=True)
    rate, base = np.bincount(at, came) / count, float(came.mean())
    total = float(((said - came) ** 2).sum())
    n = len(came)
    return Calibration(
        brier=share(total, n),
        shrunk=(total + LEAN * everybody) / (n + LEAN),
        reliability=float((count * (level - rate) ** 2).sum()) / n,
        resolution=float((count * (rate - base) ** 2).sum()) / n,
        uncertainty=base * (1 - base),
        over=float(said.mean()) - base,
    )
