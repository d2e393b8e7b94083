"""What an exam can find: power, detectable gain and items needed, for right/wrong and for per-item losses.

d is the discordance: the share of items on which exactly one of the two models is right. A power without its
d says nothing: at +2 points and 2,000 items it is .87 for d = .06 and .60 for d = .10.
"""

from __future__ import annotations

import math

import numpy as np

from bapsim.judge.compare import NORMAL


def _quantiles(alpha: float, power: float) -> tuple[float, float]:
    return NORMAL.inv_cdf(1 - alpha), NORMAL.inv_cdf(power)


def items_needed(gain: float, d: float, *, alpha: float = 0.005, power: float = 0.8) -> int | None:
    """Items on which the paired test finds a gain with this power (Miettinen 1968); None for no gain or gain
    > d.
    """
    if not 0 < gain <= d:
        return None
    level, reach = _quantiles(alpha, power)
    return math.ceil(((level * math.sqrt(d) + reach * math.sqrt(max(d - gain**2, 0.0))) / gain) ** 2)


def detectable(items: int, d: float, *, alpha: float = 0.005, power: float = 0.8) -> float | None:
    """The smallest gain that this many items find with this power; None where even one-sided wins are too
    few.
    """
    needed = items_needed(d, d, alpha=alpha, power=power)
    if needed is None or needed > items:
        return None
    level, reach = _quantiles(alpha, power)
    # reach^2 (d - g^2) = (g sqrt(n) - level sqrt(d))^2, solved for g
    a, b, c = items + reach**2, 2 * level * math.sqrt(d * items), (level**2 - reach**2) * d
    return min((b + math.sqrt(b * b - 4 * a * c)) / (2 * a), d)


def items_needed_mean(gain: float, sd: float, *, alpha: float = 0.005, power: float = 0.8) -> int | None:
    """Items on which a mean difference with this spread per item is found; None for no gain."""
    if gain <= 0:
        return None
    return max(1, math.ceil((sum(_quantiles(alpha, power)) * sd / gain) ** 2))


def power_of(items: int, d: float, gain: float, *, alpha: float = 0.005) -> float:
    """Exact power of the one-sided mid-p McNemar test: the number of discordant items is binomial, so are the
    wins.

    Sums over all numbers of discordant items that have a chance above 1e-12.
    """
    from scipy.special import bdtr, bdtrc, gammaln

    if not -d <= gain <= d:
        raise ValueError(f"a gain of {gain} needs a discordance of at least {abs(gain)}, not {d}")
    if d == 0:
        return 0.0
    m = np.arange(items + 1)
    outside = (
        np.where(m < items, (items - m) * math.log1p(-d), 0.0) if d < 1 else np.where(m < items, -np.inf, 0)
    )
    chance = np.exp(gammaln(items + 1) - gammaln(m + 1) - gammaln(items - m + 1) + m * math.log(d) + outside)
    total = 0.0
    for found in m[(chance > 1e-12) & (m > 0)]:
        losses = np.arange(found // 2 + 1)
        p = (
            np.where(losses > 0, bdtr(np.maximum(losses - 1, 0), found, 0.5), 0.0) + bdtr(losses, found, 0.5)
        ) / 2
        passing = np.flatnonzero(p <= alpha)
        if len(passing):
            wins = int(found - passing[-1])
            total += chance[found] * float(bdtrc(wins - 1, found, (d + gain) / (2 * d)))
    return total
