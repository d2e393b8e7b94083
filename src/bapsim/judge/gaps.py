"""For whom a model is worse: the gap between the best and the worst value of a declared group.

The largest of many noisy values is too large, so the difference of the extremes is no estimate of the gap.
Values are drawn together as far as chance can explain how they differ, and the interval holds for whichever
pair is extreme: below by the studentised range over all pairs, above pair by pair (docs/groups.md; coverage:
docs/results/gap.md). Never from exam items where anything is chosen by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bapsim.judge.compare import NORMAL, Floats, Ints, points_interval, standard_error, units

FEWEST = 20  # rows of their own of a value: of fewer nothing is said
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Part:
    """One value: its rows, what they score with its own 95 % interval, and the score drawn to the others
    (`likely`); nan where there are too few rows."""

    name: str
    rows: int
    score: float = math.nan
    low: float = math.nan
    high: float = math.nan
    likely: float = math.nan

    @property
    def told(self) -> bool:
        return not math.isnan(self.score)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How much better the best value is than the worst, with a 95 % interval of the true gap; nan where fewer
    than two values have enough rows. parts: in the order of their names; best, worst: positions in it."""

    parts: tuple[Part, ...]
    best: int = -1
    worst: int = -1
    gap: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def told(self) -> bool:
        return self.best >= 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """Scores of k values: mean float64[k], standard error float64[k], rows of their own int64[k]; share: they
    lie between 0 and 1; smaller: less is better."""

    mean: Floats
    error: Floats
    count: Ints
    share: bool
    smaller: bool = False

    def limits(self, z: float) -> tuple[Floats, Floats]:
        """float64[k] twice: each value's interval at z standard errors: Wilson's, of means Student's t."""
        if not self.share:
            from scipy.special import stdtrit

            half = stdtrit(self.count - 1, NORMAL.cdf(z)) * self.error
            return self.mean - half, self.mean + half
        n = self.worth
        wide = 1 + z * z / n
        centre = (self.mean + z * z / (2 * n)) / wide
        half = z / wide * np.sqrt(self.mean * (1 - self.mean) / n + z * z / (4 * n * n))
        return np.minimum(centre - half, self.mean), np.maximum(centre + half, self.mean)

    @property
    def worth(self) -> Floats:
        """float64[k]: how many independent rows a share is worth by its standard error."""
        spread = self.mean * (1 - self.mean)
        known = (self.error > 0) & (spread > 0)
        return np.where(known, spread / np.where(known, self.error, 1) ** 2, self.count)


def means(scores: Floats, of: Sequence[int], kin: Ints, *, share: bool, smaller: bool = False) -> Means:
    """Scores float64[n] by value: of int64[n], codes from 0; kin int64[n], rows of one number as one draw."""
    codes = np.asarray(of, np.int64)
    k = int(codes.max(initial=-1)) + 1
    mean, error, count = np.zeros(k), np.zeros(k), np.zeros(k, np.int64)
    for one in range(k):
        mine = codes == one
        sums, n = units(scores[mine], _numbered(kin[mine])), int(mine.sum())
        mean[one], count[one] = sums.sum() / n, len(sums)
        error[one] = standard_error(units(scores[mine] - mean[one], _numbered(kin[mine])), n)
    if share:  # one draw of few rows must not look surer than its rows
        error = np.maximum(error, np.sqrt(mean * (1 - mean) / np.maximum(np.bincount(codes), 1)))
    return Means(mean=mean, error=error, count=count, share=share, smaller=smaller)


def _numbered(kin: Ints) -> Ints:
    return np.unique(kin, return_inverse=True)[1].astype(np.int64)


# --- the gap


def gap(names: Sequence[str], rows: Sequence[int], told: Means) -> Gap:
    """The gap between values `names` of so many rows; values of fewer than 20 rows of their own: none."""
    enough = np.flatnonzero((told.count >= FEWEST) & ~np.isnan(told.mean))
    some = Means(
        mean=told.mean[enough],
        error=told.error[enough],
        count=told.count[enough],
        share=told.share,
        smaller=told.smaller,
    )
    low, high = some.limits(NORMAL.inv_cdf((1 + LEVEL) / 2))
    likely = drawn_together(some)
    found = [Part(name=name, rows=n) for name, n in zip(names, rows, strict=True)]
    for k, at in enumerate(enough.tolist()):
        ends = {"score": float(some.mean[k]), "low": float(low[k]), "high": float(high[k])}
        found[at] = Part(name=names[at], rows=rows[at], likely=float(likely[k]), **ends)
    if len(enough) < 2:
        return Gap(parts=tuple(found))
    sign = -1.0 if told.smaller else 1.0
    order = np.lexsort((sign * some.mean, sign * likely))
    worst, best = int(order[0]), int(order[-1])
    least, most = _extremes(some, sign)
    middle = min(max(abs(float(likely[best] - likely[worst])), least), most)
    ends = {"gap": middle, "low": least, "high": most}
    return Gap(parts=tuple(found), best=int(enough[best]), worst=int(enough[worst]), **ends)


def drawn_together(told: Means) -> Floats:
    """float64[k]: each score moved to the middle as far as chance explains how they differ.

    Empirical Bayes with the variance between values by DerSimonian and Laird (1986); two values stay as they
    are, for two tell nothing of how values differ.
    """
    if len(told.mean) < 3:
        return told.mean
    weight = 1 / _variance(told)
    centre = float(weight @ told.mean / weight.sum())
    excess = float(weight @ (told.mean - centre) ** 2) - (len(weight) - 1)
    between = max(excess, 0.0) / float(weight.sum() - weight @ weight / weight.sum())
    both = 1 / (1 / weight + between)
    centre = float(both @ told.mean / both.sum())
    return np.asarray(centre + between * both * (told.mean - centre))


def _variance(told: Means) -> Floats:
    """float64[k] of the means, never 0: of shares with two successes and failures more (Agresti, Coull)."""
    if told.share:
        n = told.worth + 4
        share = (told.mean * told.worth + 2) / n
        return np.asarray(share * (1 - share) / n)
    least = max(float(told.error.max()), 1e-12) / 1e3
    return np.maximum(told.error, least) ** 2


def _extremes(told: Means, sign: float) -> tuple[float, float]:
    """The interval of the largest true difference.

    Below: what some pair shows with all pairs looked at (Tukey, Kramer); above: what the widest pair may be,
    for the extreme pair is one of them and needs no allowance. Intervals of a difference by those of its two
    scores (Newcombe 1998; Zou and Donner 2008), which hold for few rows and shares near 0 or 1.
    """
    apart = sign * (told.mean[:, None] - told.mean[None, :])
    ends = []
    for z in (studentised_range(len(told.mean)) / math.sqrt(2), NORMAL.inv_cdf((1 + LEVEL) / 2)):
        low, high = told.limits(z)
        down, up = (told.mean - low, high - told.mean) if sign > 0 else (high - told.mean, told.mean - low)
        less = apart - np.hypot(down[:, None], up[None, :])
        more = apart + np.hypot(up[:, None], down[None, :])
        np.fill_diagonal(less, 0.0)
        np.fill_diagonal(more, 0.0)
        ends.append((float(less.max()), float(more.max())))
    most = ends[1][1]
    return max(ends[0][0], 0.0), min(most, 1.0) if told.share else most


@cache
def studentised_range(k: int, level: float = LEVEL) -> float:
    """The quantile of the range of k independent standard normal values: its integral by the trapezoid rule,
    inverted by bisection.
    """
    from scipy.special import ndtr

    z = np.linspace(-9, 9, 1801)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    least, most = 0.0, 20.0
    while most - least > 1e-6:
        q = (least + most) / 2
        chance = k * np.trapezoid(density * (ndtr(z + q) - ndtr(z)) ** (k - 1), z)
        least, most = (q, most) if chance < level else (least, q)
    return most


# --- before and after


def narrowed(
    diffs: Floats,
    of: Sequence[int],
    pair: tuple[int, int],
    kin: Ints,
    *,
    share: bool,
    inflation: float = 1.0,
    among: int = 2,
) -> tuple[float, float, float]:
    """By how much the gap of a pair (best, worst) became smaller, with its 95 % interval.

    diffs: float64[n], how much better a later model does on each row; of: int64[n], their values; inflation:
    of the variance, for rows that were answered out of fold (`judge.gate`); among: of how many values the
    pair was the widest by the earlier model on rows of which many are the same: the interval holds for all
    of their pairs (Tukey), for the widest one shrinks by chance. nan where one value has fewer than 20 rows
    of their own.
    """
    z = studentised_range(max(among, 2)) / math.sqrt(2)
    ends = []
    for value in pair:
        mine = np.asarray(of) == value
        sums = units(diffs[mine], _numbered(kin[mine])) if mine.any() else np.empty(0)
        if len(sums) < FEWEST:
            return math.nan, math.nan, math.nan
        mean, n = float(diffs[mine].mean()), int(mine.sum())
        if share:
            ends.append((mean, *points_interval(sums, n, 2 * NORMAL.cdf(z) - 1)))
        else:
            half = z * standard_error(units(diffs[mine] - mean, _numbered(kin[mine])), n)
            ends.append((mean, mean - half, mean + half))
    (best, best_low, best_high), (worst, worst_low, worst_high) = ends
    change, scale = worst - best, math.sqrt(inflation)
    down, up = (
        math.hypot(worst - worst_low, best_high - best),
        math.hypot(worst_high - worst, best - best_low),
    )
    return change, change - scale * down, change + scale * up
