"""Do people make the same mistakes together? Shown by items whose label is known, and by nothing else.

Where they do, agreement says nothing about who is right, and a model of agreement ranks those who know better
last. Mistakes that a class of items invites in everybody are no such sharing: a model of confusions knows
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bapsim.raters.votes import Coded, Ints

DRAWS = 999
LEVEL = 0.05  # below it agreement says nothing of a person
FEWEST = 20  # known items with two votes or more, below which nothing can be shown


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """pairs: of votes that are wrong together, with the same label on the same item; expected: how many there
    would be if each rater made the same mistakes on items of the same class by chance; p: of so many or more;
    items: with a known label and two votes or more.
    """

    pairs: int
    expected: float
    p: float
    items: int

    @property
    def independent(self) -> bool:
        """Whether known labels are enough to tell, and show no mistakes that are shared."""
        return self.items >= FEWEST and self.p >= LEVEL


def shared_mistakes(votes: Coded) -> Mistakes:
    """A permutation test: each rater's votes are exchanged among known items of one class. Same votes, same
    p."""
    there = votes.known[votes.item] >= 0
    item, rater, label = votes.item[there], votes.rater[there], votes.label[there]
    truth = votes.known[item]
    width = len(votes.labels)
    wrong = np.flatnonzero(label != truth)
    several = int((np.bincount(item, minlength=1) > 1).sum())
    seen = _pairs(item[wrong], label[wrong], width)
    if not len(wrong):
        return Mistakes(pairs=0, expected=0.0, p=1.0, items=several)
    rng = np.random.default_rng(0)
    cell = rater * width + truth
    order = np.argsort(cell, kind="stable")
    drawn = []
    for _ in range(DRAWS):
        mixed = np.empty_like(label)
        mixed[order] = label[np.lexsort((rng.random(len(cell)), cell))]
        off = np.flatnonzero(mixed != truth)
        drawn.append(_pairs(item[off], mixed[off], width))
    found = np.array(drawn)
    p = float((np.sum(found >= seen) + 1) / (DRAWS + 1))
    return Mistakes(pairs=seen, expected=float(found.mean()), p=p, items=several)


def _pairs(item: Ints, label: Ints, width: int) -> int:
    _, count = np.unique(item * width + label, return_counts=True)
    return int((count * (count - 1) // 2).sum())
