"""The duel: people label only those random service items on which two models differ.

Items on which both say the same cannot tell them apart, so a verdict over 2,000 items costs about 130 labels.
Each duel draws new items, so nothing wears, and the labels become training data afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Decision
from bapsim.judge.compare import mcnemar, points_interval
from bapsim.judge.power import detectable, items_needed

Verdict = Literal["accept", "refuse", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Which rows of a pool to ask about: int64[labels] positions in drawing order; `items` were drawn for
    that.
    """

    rows: NDArray[np.int64]
    items: int


def duel(first: Sequence[str], second: Sequence[str], budget: int, rng: np.random.Generator) -> Duel:
    """Draws pool items at random until `budget` of them divide the two models, or the pool is used up.

    first, second: the two models' answers to the same pool. The pool must be a random sample of what the
    service is asked; `items`, not the number of labels, is the size of the exam that the duel amounts to.
    """
    order = rng.permutation(len(first))
    differ = np.array([first[i] != second[i] for i in order], bool)
    found = np.flatnonzero(differ)[: max(budget, 0)]
    used_up = len(found) < budget
    items = len(order) if used_up else (int(found[-1]) + 1 if len(found) else 0)
    return Duel(rows=order[found], items=items)


def _verdict(p_better: float, p_worse: float, alpha: float) -> tuple[Verdict, str]:
    if p_better <= alpha:
        return "accept", "decision.better"
    return ("refuse", "decision.worse") if p_worse <= alpha else ("undecided", "decision.not_proven")


def duel_verdict(
    drawn: Duel,
    labels: Sequence[str | None],
    first: Sequence[str],
    second: Sequence[str],
    *,
    alpha: float = 0.005,
) -> Decision:
    """What the labels say: is the second model better than the first on what the service is asked?

    labels: one per asked row, in its order, None where people gave none; first, second: answers to the whole
    pool. Items that are not answered count as not drawn, in proportion.
    """
    answered = [(row, label) for row, label in zip(drawn.rows, labels, strict=True) if label is not None]
    wins = sum(second[row] == label for row, label in answered)
    losses = sum(first[row] == label for row, label in answered)
    share = len(answered) / len(drawn.rows) if len(drawn.rows) else 1.0
    items = max(round(drawn.items * share), wins + losses)
    sums = np.concatenate([np.ones(wins), -np.ones(losses)])
    p_better, p_worse = mcnemar(wins, losses), mcnemar(losses, wins)
    verdict, reason = _verdict(p_better, p_worse, alpha)
    low, high = points_interval(sums, items) if items else (-1.0, 1.0)
    d = (wins + losses) / items if items else 0.0
    gain = (wins - losses) / items if items else 0.0
    needed = items_needed(gain, d, alpha=alpha)
    return Decision(
        verdict=verdict,
        reason=reason,
        gain=gain,
        low=low,
        high=high,
        p_better=p_better,
        p_worse=p_worse,
        test="duel",
        discordance=d,
        items=items,
        detectable=detectable(items, d, alpha=alpha),
        missing=None if needed is None else max(needed - items, 0),
    )
