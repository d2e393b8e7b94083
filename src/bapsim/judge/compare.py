"""Two models on the same items: tests and intervals of a paired difference.

Every function takes differences "after minus before", positive where the new model is better, and is
one-sided: a small value speaks for better. The units of a test must be independent; items of one
near-duplicate cluster or one declared group are not, so `units` sums the differences of a group and the group
is what is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NORMAL = NormalDist()
ENUMERATED = 16  # 65,536 sign patterns: exact in a millisecond
SPLIT, HEAVY = 6, 0.2  # up to six values with over 4 % of the variance each are enumerated, too
SAME = 1e-9  # sums that differ by less, relative to the largest possible sum, are ties


def units(diffs: Floats, groups: Ints | None = None) -> Floats:
    """The differences summed within groups: float64[g]; `groups` int64[n] numbers 0..g-1, None = each its
    own.
    """
    return diffs if groups is None else np.bincount(groups, diffs).astype(np.float64)


def mcnemar(wins: int, losses: int) -> float:
    """One-sided mid-p McNemar: the chance of more than `wins` of the discordant items, plus half of just as
    many.

    The exact test is conservative (.041 at .05); mid-p keeps its level (.0499). Fagerland, Lydersen, Laake
    2013.
    """
    from scipy.special import bdtr

    discordant = wins + losses  # P(W > w) = P(L < l) = P(Bin <= l - 1), exact in the small tail
    return float((bdtr(losses - 1, discordant, 0.5) if losses else 0.0) + bdtr(losses, discordant, 0.5)) / 2


def sign_flip(values: Floats) -> float:
    """One-sided mid-p of the sign-flip test: P(S > s) + P(S = s) / 2, S = the sum with random signs.

    Exact for equal magnitudes (McNemar) and for up to 16 values that are not 0, else the Rademacher
    saddlepoint (Lugannani and Rice 1980; Robinson 1982), with the largest magnitudes enumerated so that a few
    of them may outweigh all others. Deterministic: the same values always give the same p.
    """
    values = np.sort(values[values != 0.0])  # the order of the items must not move the last digit
    if len(values) == 0:
        return 0.5
    sizes = np.abs(values)
    if sizes.max() - sizes.min() <= SAME * sizes.max():
        return mcnemar(int((values > 0).sum()), int((values < 0).sum()))
    sizes = np.sort(sizes)[::-1] / math.sqrt(float(sizes @ sizes))
    seen = float(values.sum()) / math.sqrt(float(values @ values))
    if len(sizes) <= ENUMERATED:
        return _share_above(_sums(sizes), seen, float(sizes.sum()))
    heavy = min(SPLIT, int(np.sum(sizes > HEAVY)))
    return float(np.mean([_tail(sizes[heavy:], seen - s) for s in _sums(sizes[:heavy])]))


def _sums(sizes: Floats) -> Floats:
    """All 2^k sums of k magnitudes with either sign."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def _share_above(sums: Floats, seen: float, largest: float) -> float:
    tie = np.abs(sums - seen) <= SAME * largest
    return float(np.mean(np.where(tie, 0.5, sums > seen)))


def _tail(sizes: Floats, seen: float) -> float:
    """Mid-p of a sum of random signs; symmetric, so only the upper half is computed."""
    if seen < 0:
        return 1.0 - _tail(sizes, -seen)
    largest = float(sizes.sum())
    if seen >= largest * (1 - SAME):
        return 0.5 ** (len(sizes) + 1) if seen <= largest * (1 + SAME) else 0.0
    t = _saddlepoint(sizes, seen)
    x = sizes * t
    capped = np.minimum(x, 300.0)  # beyond, cosh overflows and has nothing left to say
    cumulant = float(np.sum(np.log1p(np.sinh(capped) ** 2) / 2 + (x - capped)))  # log cosh, exact near 0
    curvature = float(np.sum((sizes / np.cosh(capped)) ** 2))
    w = math.sqrt(max(2 * (t * seen - cumulant), 0.0))
    u = t * math.sqrt(curvature)
    if w < 1e-6 or u < 1e-9:  # 0/0 in the middle, where the symmetric law has no third cumulant
        return NORMAL.cdf(-w)
    return min(max(NORMAL.cdf(-w) + NORMAL.pdf(w) * (1 / u - 1 / w), 0.0), 0.5)


def _saddlepoint(sizes: Floats, seen: float) -> float:
    """t >= 0 where the tilted mean, sum of a tanh(a t), is what was seen; by Newton inside a bracket."""
    low, high = 0.0, 1.0
    while float(sizes @ np.tanh(sizes * high)) < seen:
        low, high = high, high * 2
    t = (low + high) / 2
    for _ in range(100):
        bend = np.tanh(sizes * t)
        off = float(sizes @ bend) - seen
        low, high = (low, t) if off > 0 else (t, high)
        slope = float((sizes * sizes) @ (1 - bend * bend))
        step = t - off / slope if slope > 0 else low
        if abs(step - t) <= 1e-12 * t:
            break
        t = step if low < step < high else (low + high) / 2
    return t


def standardised(values: Floats) -> float:
    """z of a sum of independent differences under the null of no difference; 0 where nothing differs."""
    spread = math.sqrt(float(values @ values))
    return float(values.sum()) / spread if spread > 0 else 0.0


def standard_error(values: Floats, items: int) -> float:
    """Standard error of the mean gain per item from unit sums; `items` may exceed the number of units."""
    count = len(values)
    if count < 2:
        return math.inf
    return math.sqrt(count / (count - 1) * float(np.sum((values - values.mean()) ** 2))) / items


def points_interval(values: Floats, items: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a gain in right answers: Wald after half a discordant pair more each way.

    (Agresti and Min 2005: Wald alone has no width where nothing differs and is too short for few pairs.)
    `values`: unit sums of +1, 0, -1 over `items` items.
    """
    count = items + 2
    centre = float(values.sum()) / count
    variance = (float(values @ values) + 1) / count - centre**2
    half = NORMAL.inv_cdf((1 + level) / 2) * math.sqrt(max(variance, 0.0) / count)
    return max(centre - half, -1.0), min(centre + half, 1.0)


def wilson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927): honest near 0 and 1, and for few; 0 to 1 where there are none."""
    if not of:
        return 0.0, 1.0
    z = NORMAL.inv_cdf((1 + level) / 2)
    share, wide = hits / of, 1 + z * z / of
    centre = (share + z * z / (2 * of)) / wide
    half = z / wide * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for having asked several questions (Holm 1979), in the order given."""
    adjusted, least = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = least
    return adjusted


def bootstrap(
    gain: Callable[[Floats], Floats], items: int, seed: int, *, groups: Ints | None = None, draws: int = 4000
) -> Floats:
    """Gains of `draws` paired resamples, for metrics that are not means over items.

    gain: weights float64[b, items] -> float64[b], nan where a resample has no value (no positive item); those
    are left out. Whole groups are drawn. The same seed gives the same draws.
    """
    rng = np.random.default_rng(seed)
    count = items if groups is None else int(groups.max()) + 1
    found, chunk = [], max(1, 2_000_000 // max(items, 1))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        found.append(gain(drawn if groups is None else drawn[:, groups]))
    gains = np.concatenate(found)
    return gains[~np.isnan(gains)]


def bootstrap_p(gains: Floats) -> float:
    """One-sided p that a gain is not above 0: the share of resamples below, ties half, never exactly 0."""
    below = float(np.sum(gains < 0)) + float(np.sum(gains == 0)) / 2
    return (below + 0.5) / (len(gains) + 1)
