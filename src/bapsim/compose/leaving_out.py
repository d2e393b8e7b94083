"""Which sources to leave out or to weigh less: one at a time, on rows of the others, and all found together.

Dropping every source whose removal helps by the paired 80 % bound beat random search, TPE and greedy
elimination at a third of their cost (docs/results/source_search.md). What is chosen on some rows looks better
there than it is, so the gain is told from rows that chose nothing, and the difference is told, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Losses = Callable[[Mapping[str, float]], Floats]  # weights of sources, 1 = not named -> held-out losses [n]

BOUND = 0.8  # one-sided: that a source is left out by chance in one of five where it does nothing
Z = NormalDist().inv_cdf(BOUND)
FEWEST = 50  # rows of others that must judge a source


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One source under one weight: what it gains on rows of the others that choose, and its lower bound."""

    source: str
    weight: float
    gain: float
    bound: float
    rows: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """weights: of sources that are left out (0) or weighed less; tried: all that was; gain, low, high: of the
    weights together on rows that chose nothing, with 95 %; optimism: the gain on those that chose, minus it;
    rows: that told it; fits: mixtures that were trained.
    """

    weights: Mapping[str, float]
    tried: tuple[Tried, ...]
    gain: float
    low: float
    high: float
    optimism: float
    rows: int
    fits: int


def leave_out(
    names: Sequence[str],
    losses: Losses,
    of: NDArray[np.object_],
    groups: NDArray[np.int64],
    *,
    weights: Sequence[float] = (0.0,),
) -> Found:
    """The sources (of `names`) that help when they are left out, or under the first of `weights` that does.

    of: the source of each of n held-out rows; groups: int64[n], rows of one number are one unit of the test
    and stay on one side: every other group chooses, the rest tells. Losses are less where models are better.
    """
    selects = chooses(groups)
    whole = losses({})
    tried: list[Tried] = []
    kept: dict[str, float] = {}
    last = whole
    for name in names:
        rows = selects & (of != name)
        for weight in weights:
            said = losses({name: weight})
            one = _gain(whole - said, rows, groups)
            tried.append(Tried(source=name, weight=weight, gain=one[0], bound=one[1], rows=int(rows.sum())))
            if rows.sum() >= FEWEST and one[1] > 0:
                kept[name], last = weight, said
                break
    fits = 1 + len(tried)
    if not kept:
        return Found(
            weights={}, tried=tuple(tried), gain=0.0, low=0.0, high=0.0, optimism=0.0, rows=0, fits=fits
        )
    better = whole - (losses(kept) if len(kept) > 1 else last)
    others = ~np.isin(of, list(kept))
    chose = _gain(better, selects & others, groups)
    gain, bound = _gain(better, ~selects & others, groups)
    half = NormalDist().inv_cdf(0.975) * (gain - bound) / Z
    rows = int((~selects & others).sum())
    return Found(
        weights=kept,
        tried=tuple(tried),
        gain=gain,
        low=gain - half,
        high=gain + half,
        optimism=chose[0] - gain,
        rows=rows,
        fits=fits + (len(kept) > 1),
    )


def chooses(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[n]: rows of every other group, in the order of their first rows."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[group] % 2 == 0)


def _gain(better: Floats, rows: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[float, float]:
    """The mean over these rows and its one-sided lower bound; nothing is known of fewer than two groups."""
    said = np.nan_to_num(better[rows])
    sums = np.bincount(np.unique(groups[rows], return_inverse=True)[1], said)
    if len(sums) < 2:
        return 0.0, -math.inf
    error = math.sqrt(len(sums) / (len(sums) - 1) * float(((sums - sums.mean()) ** 2).sum())) / len(said)
    return float(said.mean()), float(said.mean()) - Z * error
