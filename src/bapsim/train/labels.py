"""What a trainer is taught of targets: classes, sets or numbers with weights; or why it cannot be.

Where raters disagree (`Task.votes`) a classifier learns from each row once for every class that was voted
for, weighted by its share of the votes: the label that was settled on says less than the votes do.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture
from bapsim.text.targets import labels_in, memberships, numbers_of, votes_in, written

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Copies(NamedTuple):
    """Rows as they are learnt from, one for each class that was voted for: rows int64[c], ascending; class
    positions int64[c]; weights float64[c], those of a row sum to the row's.
    """

    rows: Ints
    y: Ints
    weight: Floats


class Labels(NamedTuple):
    """Class names in order, class positions int64[n] as settled, weights float64[n] (0 = not heard); copies:
    None where there are no votes, or all of them agree with the label.
    """

    classes: tuple[str, ...]
    y: Ints
    weight: Floats
    copies: Copies | None = None

    def learnt(self, rows: Ints) -> Copies:
        """The copies of these rows, as positions among them; a row without votes is its own."""
        if self.copies is None:
            return Copies(np.arange(len(rows)), self.y[rows], self.weight[rows])
        place = np.full(len(self.y), -1, np.int64)
        place[rows] = np.arange(len(rows))
        mine = np.flatnonzero(place[self.copies.rows] >= 0)
        at = place[self.copies.rows[mine]]
        mine, at = mine[np.argsort(at, kind="stable")], np.sort(at)
        return Copies(at, self.copies.y[mine], self.copies.weight[mine])


class Sets(NamedTuple):
    """Label names in order; which labels each row has bool[n, k]; weights float64[n] (0 = not heard)."""

    classes: tuple[str, ...]
    there: NDArray[np.bool_]
    weight: Floats


class Numbers(NamedTuple):
    """Values float64[n], weights float64[n] (0 = not heard)."""

    value: Floats
    weight: Floats


def labels_of(mixture: Mixture) -> Labels:
    """The classes of a mixture; NotEnough below two that are heard, InputError for rows without a target or a
    weight that is no weight.
    """
    said, weight = _said(mixture), _weight(mixture)
    names, y = np.unique(np.array(said, object), return_inverse=True)
    heard = np.unique(y[weight > 0])
    if len(heard) < 2:
        raise NotEnough("mixture_one_class", rows=len(said), classes=", ".join(names[heard]) or "-")
    classes, y = tuple(names.tolist()), y.astype(np.int64)
    return Labels(classes, y, weight, _copies(mixture, classes, y, weight))


def sets_of(mixture: Mixture) -> Sets:
    """The sets of a mixture; NotEnough where no label tells two heard rows apart."""
    said, weight = _said(mixture), _weight(mixture)
    _no_votes(mixture)
    classes = labels_in(said)
    there = memberships(said, classes)
    heard = there[weight > 0]
    if not len(heard) or not (heard.any(axis=0) & ~heard.all(axis=0)).any():
        raise NotEnough("mixture_one_set", rows=len(said), classes=", ".join(classes) or "-")
    return Sets(tuple(classes), there, weight)


def values_of(mixture: Mixture) -> Numbers:
    """The numbers of a mixture; NotEnough where fewer than two differ, InputError for what is no number."""
    said, weight = _said(mixture), _weight(mixture)
    _no_votes(mixture)
    value = numbers_of(said)
    odd = [one for one, number in zip(said, value, strict=True) if np.isnan(number)]
    if odd:
        target = mixture.task.target
        raise InputError("mixture_no_number", rows=len(odd), target=target, first=odd[0][:80])
    if len(np.unique(value[weight > 0])) < 2:
        raise NotEnough("mixture_one_number", rows=len(said))
    return Numbers(value, weight)


def _said(mixture: Mixture) -> list[str]:
    said = written(mixture.records.column(mixture.task.target), mixture.task.answer)
    there = [one for one in said if one is not None]
    if len(there) < len(said):
        rows = len(said) - len(there)
        raise InputError("mixture_no_target", rows=rows, target=mixture.task.target)
    return there


def _weight(mixture: Mixture) -> Floats:
    weight = np.ones(len(mixture)) if mixture.weight is None else mixture.weight.astype(np.float64)
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise InputError("mixture_weight")
    return weight


def _no_votes(mixture: Mixture) -> None:
    if mixture.task.votes is not None:
        raise RecipeError("votes_are_classes", votes=mixture.task.votes, answer=mixture.task.answer)


SETTLED = 1  # votes that the settled label counts for: it may be an expert's word over that of all raters


def _copies(mixture: Mixture, classes: tuple[str, ...], y: Ints, weight: Floats) -> Copies | None:
    """A vote for what is no class of any row is not heard: a typing error must not become a class."""
    votes = mixture.task.votes
    if votes is None or votes not in mixture.records.schema.names:
        return None
    place = {name: i for i, name in enumerate(classes)}
    rows, of, share = [], [], []
    for i, said in enumerate(votes_in(mixture.records.column(votes))):
        counts = Counter(place[one] for one in said or () if one in place)
        counts[int(y[i])] += SETTLED
        total = sum(counts.values())
        for code in sorted(counts):
            rows.append(i)
            of.append(code)
            share.append(weight[i] * counts[code] / total)
    if len(rows) == len(y):
        return None
    return Copies(np.array(rows, np.int64), np.array(of, np.int64), np.array(share, np.float64))
