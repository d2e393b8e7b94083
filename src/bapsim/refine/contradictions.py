"""Inputs that say the same and carry different labels, and rows of one split that stand in another, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def contradictions(groups: Ints, labels: NDArray[np.object_]) -> list[Ints]:
    """The rows of each group of equal inputs that has several labels, the largest groups first.

    groups: int64[n], equal for inputs that say the same; labels: object[n], None = no label, says nothing.
    """
    rows = np.flatnonzero([label is not None for label in labels])
    if not len(rows):
        return []
    rows = rows[np.argsort(groups[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1)
    found = [part for part in parts if len(part) > 1 and len(set(labels[part].tolist())) > 1]
    return sorted(found, key=lambda part: (-len(part), int(part[0])))


@dataclass(frozen=True, kw_only=True)
class Leak:
    """Rows of the split `inside` that some row of the split `known` says, too: int64[k], and int64[k], the
    first such row of `known` for each.
    """

    known: str
    inside: str
    rows: Ints
    twins: Ints


def split_leaks(groups: Ints, splits: Sequence[str | None]) -> list[Leak]:
    """What leaks from each split into each smaller one (of equal ones, into the later named).

    groups: int64[n], equal for inputs that say (nearly) the same; splits: the split of each row, None = none.
    """
    named = np.array([s or "" for s in splits], object)
    names = [name for name in dict.fromkeys(named.tolist()) if name]
    sizes = {name: int((named == name).sum()) for name in names}
    order = sorted(names, key=lambda name: (-sizes[name], name))
    found = []
    for i, known in enumerate(order):
        at = np.flatnonzero(named == known)
        values, first = np.unique(groups[at], return_index=True)
        for inside in order[i + 1 :]:
            rows = np.flatnonzero(named == inside)
            place = np.searchsorted(values, groups[rows]).clip(max=max(len(values) - 1, 0))
            hit = values[place] == groups[rows] if len(values) else np.zeros(len(rows), bool)
            if hit.any():
                found.append(Leak(known=known, inside=inside, rows=rows[hit], twins=at[first[place[hit]]]))
    return found
