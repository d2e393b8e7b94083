"""Spot checks by people: how many rows of a lot are looked at, and what the lot's verdict is.

Acceptance sampling by attributes (Dodge and Romig; ISO 2859): of a lot of N rows n are drawn at random, and
the lot is taken where at most c of them are wrong. Probabilities are exact (hypergeometric).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bapsim.core.errors import RecipeError

LotVerdict = Literal["accept", "refuse", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Look at n of the lot's rows; take it where at most c are wrong.

    producer: the chance that a good lot (a share `good` of it wrong) is refused; consumer: that a bad one (a
    share `bad`) is taken; both as they come out, at most what was asked.
    """

    lot: int
    n: int
    c: int
    good: float
    bad: float
    producer: float
    consumer: float


def accepted(lot: int, n: int, c: int, wrong: int) -> float:
    """The chance that a plan takes a lot of which so many rows are wrong: the operating characteristic."""
    from scipy.stats import hypergeom

    return float(hypergeom.cdf(c, lot, wrong, n))


def plan(
    lot: int, *, good: float = 0.01, bad: float = 0.05, producer: float = 0.05, consumer: float = 0.05
) -> Plan:
    """The plan with the fewest rows that keeps both risks; it may be the whole lot.

    good: the share of wrong rows of a lot that should be taken; bad: of one that should not. A share that is
    no whole number of rows is taken to the stricter side. Raises RecipeError where no plan has these risks.
    """
    right = 0 <= good < bad <= 1 and 0 < producer < 1 and 0 < consumer < 1
    fine, foul = int(np.floor(good * lot + 1e-9)), int(np.ceil(bad * lot - 1e-9))
    if not right or lot < 1 or fine >= foul:
        raise RecipeError("sampling_plan", lot=lot, good=good, bad=bad, producer=producer, consumer=consumer)
    for c in range(foul):
        n = _least(lot, c, foul, consumer)
        if 1 - accepted(lot, n, c, fine) <= producer:
            return Plan(
                lot=lot,
                n=n,
                c=c,
                good=good,
                bad=bad,
                producer=1 - accepted(lot, n, c, fine),
                consumer=accepted(lot, n, c, foul),
            )
    raise RecipeError("sampling_plan", lot=lot, good=good, bad=bad, producer=producer, consumer=consumer)


def _least(lot: int, c: int, foul: int, consumer: float) -> int:
    """The fewest rows of which c wrong ones are that unlikely in a bad lot; the chance falls with n."""
    low, high = c + 1, lot
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if accepted(lot, middle, c, foul) <= consumer else (middle + 1, high)
    return low


def drawn(made: Plan, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: the places of the lot's rows to look at, in a random order."""
    return np.asarray(rng.choice(made.lot, made.n, replace=False), np.int64)


def lot_verdict(made: Plan, answers: Sequence[bool | None]) -> LotVerdict:
    """What follows from people's answers so far: True = the row is right, False = wrong, None = not answered.

    A lot is refused as soon as more than c rows are wrong, and accepted once no answer that is missing could
    change that. A row about which people cannot decide is wrong: nobody vouches for it.
    """
    wrong = sum(one is False for one in answers)
    missing = made.n - sum(one is not None for one in answers)
    if wrong > made.c:
        return "refuse"
    return "accept" if wrong + missing <= made.c else "undecided"


def wrong_share(made: Plan, wrong: int) -> tuple[float, float]:
    """The one-sided 95 % bounds of the share of wrong rows in the lot, when so many of the n were wrong."""
    from scipy.stats import hypergeom

    counts = np.arange(wrong, made.lot - (made.n - wrong) + 1)
    at_most = hypergeom.cdf(wrong, made.lot, counts, made.n)
    at_least = hypergeom.sf(wrong - 1, made.lot, counts, made.n)
    low, high = counts[at_least > 0.05], counts[at_most > 0.05]
    return float(low.min()) / made.lot, float(high.max()) / made.lot
