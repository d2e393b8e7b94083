"""Surprisingly popular answers: a flag that the crowd may be wrong and who knows better is few.

Each is asked what share of their peers would agree. Who knows better knows also that most do not; so an
answer that more people give than people foretold is likelier to be right than one that most give. It holds
where those who know foresee the error of the others; it is a reason to ask on, never a label.
Source: Prelec, Seung and McCoy 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 3  # people with a forecast, below which nothing is said


def surprisingly_popular(said: Sequence[tuple[str, float]]) -> str | None:
    """The label that is given most beyond what was foretold; None for few answers, or two that tie.

    said: of each person the label, and the share of peers (0 to 1) that they expect to give it, too; what is
    left is foretold evenly for the other labels that were given.
    """
    labels = sorted({label for label, _ in said})
    if len(said) < FEWEST or len(labels) < 2:
        return None
    given, foretold = np.zeros(len(labels)), np.zeros(len(labels))
    for label, peers in said:
        mine = np.full(len(labels), (1 - peers) / (len(labels) - 1))
        mine[labels.index(label)] = peers
        foretold += mine
        given[labels.index(label)] += 1
    gap = (given - foretold) / len(said)
    first, second = np.sort(gap)[::-1][:2]
    return labels[int(gap.argmax())] if first - second > 1e-9 else None


def popular_doubt(said: Sequence[tuple[str, float]], label: str | None) -> bool:
    """Whether another answer than this label is surprisingly popular: then somebody should look again."""
    found = surprisingly_popular(said)
    return found is not None and label is not None and found != label
