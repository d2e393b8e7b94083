"""A share of right answers with its interval: nothing about a person is said as a bare number."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Share:
    """hits of `of`, not whole where they are expected or lean on others; low, high: 95 %."""

    hits: float
    of: float
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share itself; nan where there is nothing to count."""
        return self.hits / self.of if self.of else math.nan


def share(hits: float, of: float, level: float = 0.95) -> Share:
    """A share with the interval of Jeffreys (the ends are 0 and 1 where none or all hit); 0 to 1 of nothing.

    For the mean of `of` values between 0 and 1 it is at least as wide as it should be, for no values with
    that mean vary more than zeros and ones. Source: Brown, Cai and DasGupta 2001.
    """
    if of <= 0:
        return Share(hits=0.0, of=0.0, low=0.0, high=1.0)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(hits + 0.5, of - hits + 0.5, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 0.5, of - hits + 0.5, 1 - tail)) if hits < of else 1.0
    return Share(hits=float(hits), of=float(of), low=low, high=high)


def leaning(hits: float, of: float, rate: float, votes: float) -> Share:
    """A share as if there were so many votes more at a rate. Its interval holds for who is unlike the others,
    too: it is nowhere narrower than what the person's own answers show.
    """
    lean, own = share(hits + votes * rate, of + votes), share(hits, of)
    return replace(lean, low=min(lean.low, own.low), high=max(lean.high, own.high))


def apart(one: Share, other: Share) -> bool:
    """Whether the intervals of two shares have nothing in common."""
    return one.low > other.high or other.low > one.high
