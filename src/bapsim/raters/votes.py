"""What several people say of one item, as pairs and as codes; the majority; who goes with the others.

Below the stages: sources settle votes, the label desk decides by them whom to ask, reports tell who is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vote = tuple[str | None, str]  # rater, None = nobody knows, and label
SAME = 1e-6  # scores that differ by less are a tie


@dataclass(frozen=True, kw_only=True)
class Coded:
    """Votes as codes from 0: item, rater, label int64[votes]; raters and labels are their names in order;
    known int64[items] is the label that is known of an item, -1 = none; items counts those without a vote,
    too.
    """

    items: int
    raters: tuple[str, ...]
    labels: tuple[str, ...]
    item: Ints
    rater: Ints
    label: Ints
    known: Ints

    def counts(self) -> Floats:
        """float64[items, labels]: how many gave each label."""
        width = len(self.labels)
        cell = np.bincount(self.item * width + self.label, minlength=self.items * width)
        return cell.reshape(self.items, width).astype(np.float64)

    def unknown(self) -> Coded:
        """The same votes, with nothing known of any item."""
        known = np.full(self.items, -1, np.int64)
        return Coded(
            items=self.items,
            raters=self.raters,
            labels=self.labels,
            item=self.item,
            rater=self.rater,
            label=self.label,
            known=known,
        )


def pairs_of(votes: Any, raters: Any) -> list[list[Vote]]:
    """The votes of each record, from its columns `votes` and `raters`."""
    both = zip(votes.to_pylist(), raters.to_pylist(), strict=True)
    return [list(zip(who or [], said or [], strict=True)) for said, who in both]


def counted(said: Sequence[Vote]) -> list[Vote]:
    """The votes on one item, of each rater the last one."""
    last = {rater: at for at, (rater, _) in enumerate(said) if rater is not None}
    return [vote for at, vote in enumerate(said) if vote[0] is None or last[vote[0]] == at]


def coded(said: Sequence[Sequence[Vote]], known: Mapping[int, str] | None = None) -> Coded:
    """The votes of each item as codes; a vote of nobody's is that of a rater of its own; known: labels by
    item.

    A known label that nobody gave is a label like the others.
    """
    known = known or {}
    votes = [(i, r, label) for i, one in enumerate(said) for r, label in counted(one)]
    names = sorted({r for _, r, _ in votes if r is not None})
    labels = sorted({label for _, _, label in votes} | set(known.values()))
    who = {name: at for at, name in enumerate(names)}
    place = {name: at for at, name in enumerate(labels)}
    nobody = len(names)
    rater = []
    for _, r, _ in votes:
        rater.append(nobody if r is None else who[r])
        nobody += r is None
    return Coded(
        items=len(said),
        raters=(*names, *(f"? {at}" for at in range(nobody - len(names)))),
        labels=tuple(labels),
        item=np.array([i for i, _, _ in votes], np.int64),
        rater=np.array(rater, np.int64),
        label=np.array([place[label] for _, _, label in votes], np.int64),
        known=np.array([place[known[i]] if i in known else -1 for i in range(len(said))], np.int64),
    )


def best(scores: np.ndarray) -> Ints:
    """int64[items]: the class with the highest score, -1 where two have it."""
    if not scores.size:
        return np.full(len(scores), -1)
    top = scores.max(1, keepdims=True)
    tied = (scores > top - SAME).sum(1) > 1
    return np.where(tied | (top[:, 0] <= 0), -1, scores.argmax(1))


def majority(said: Sequence[Vote]) -> str | None:
    """The label that most raters gave; None where two labels have as many votes, or there is none."""
    counts = Counter(label for _, label in counted(said)).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def with_others(said: Sequence[Sequence[Vote]]) -> dict[str, tuple[int, int]]:
    """Of each rater's votes where the others have a majority: how many go with it, and how many there are."""
    went, of = Counter[str](), Counter[str]()
    for one in said:
        votes = counted(one)
        for at, (rater, label) in enumerate(votes):
            others = majority(votes[:at] + votes[at + 1 :])
            if rater is not None and others is not None:
                of[rater] += 1
                went[rater] += others == label
    return {rater: (went[rater], count) for rater, count in sorted(of.items())}
