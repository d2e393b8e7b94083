"""Likely rare items of the pool: the rows to show a person who looks for one class.

Real items of a rare class teach more than any resampling of the few that are known. They are found in the
order of the model's calibrated probability, which also says how many to expect. Nearness to the known
examples was tried, alone and with the probability, and found no more (docs/results/pictures.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Likely(NamedTuple):
    """Rows of the pool in the order of showing, int64[m]; probability that each is what is looked for,
    float64[m]; how many of them to expect, and how many of as many drawn at random.
    """

    rows: NDArray[np.int64]
    probability: NDArray[np.float64]
    expected: float
    at_random: float


def likely(probs: np.ndarray, wanted: int, count: int = 100, groups: np.ndarray | None = None) -> Likely:
    """At most `count` rows of the pool that are most probably of the class at position `wanted`.

    probs: float[n, k], calibrated; rows of NaN (nobody answered) come last. groups: int64[n], equal for near
    duplicates, of which one is shown. Ties keep the order of the pool. Raises ValueError for arrays that do
    not fit.
    """
    if not 0 <= wanted < probs.shape[1] or count < 0 or (groups is not None and len(groups) != len(probs)):
        raise ValueError("wanted must be a class of probs, count be >= 0 and groups fit probs")
    chance = np.nan_to_num(probs[:, wanted].astype(np.float64), nan=0.0)
    order = np.argsort(-chance, kind="stable")
    if groups is not None:
        _, first = np.unique(groups[order], return_index=True)
        order = order[np.sort(first)]
    rows = order[:count]
    mean = float(chance[order].mean()) if len(order) else 0.0
    return Likely(rows.astype(np.int64), chance[rows], float(chance[rows].sum()), mean * len(rows))
