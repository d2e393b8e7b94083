"""How machine-made rows join people's: the ways are raced on development rows, and none wins ties.

People's rows stay, all of them: machine-made ones are put to them, never in their place (replacing people's
rows by a model's is what collapses, docs/collapse.md), up to a share and a depth. Whether any are worth it,
and how many, is measured turn by turn: by how much the model gains on people-made rows that neither it nor a
generator learnt from. The simplest way within one standard error of the best is taken (Breiman's rule), of
those that gain more than the best of so many ways would by chance (Sidak 1967). What as many rows of people
would gain follows from what the last doubling of theirs did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist

import numpy as np

from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Raced, Way

CHANCE = NormalDist().cdf(-1.0)  # that one way without a gain shows more than one standard error
SURE = 0.05  # the same where rows are not like people's
MOST = 0.9
SHARES = (0.0, 0.1, 0.3, 0.5)


@dataclass(frozen=True, kw_only=True)
class Race:
    """A composer: all combinations of shares, weights, classes (all, rare) and orders (mixed, first)."""

    machine_share: tuple[float, ...] = SHARES
    weight: tuple[float, ...] = (1.0,)
    classes: tuple[str, ...] = ("all",)
    order: tuple[str, ...] = ("mixed",)
    depth: int = 2

    def ways(self) -> Sequence[Way]:
        """The smallest share first, then full weight, all classes, and mixed, before the others."""
        shares = sorted({share for share in self.machine_share if share > 0})
        kinds = product(shares, self.order, self.classes, sorted(self.weight, reverse=True))
        return [
            Way(share=share, weight=weight, rare=classes == "rare", first=order == "first")
            for share, order, classes, weight in kinds
        ]

    def pick(self, raced: Sequence[Raced], *, suspect: bool = False) -> Way | None:
        """The first way within one standard error of the best, of those that gain more than `least` of their
        own standard errors. None where there is no such way.
        """
        tried = [one for one in raced if one.made and not math.isnan(one.gain)]
        bar = least(len(tried), suspect=suspect)
        good = [one for one in tried if one.gain > bar * one.error]
        if not good:
            return None
        best = max(good, key=lambda one: one.gain)
        return next(one.way for one in good if one.gain >= best.gain - best.error)


def least(ways: int, *, suspect: bool = False) -> float:
    """Standard errors that the gain of one of so many ways must exceed, so that where none gains anything one
    is taken with a chance of .16 at most (.05 where rows are suspect): 1 for one way, 1.59 for three.

    Ways that go together, as shares of the same rows do, pass less often (Slepian's inequality).
    """
    chance = SURE if suspect else CHANCE
    return NormalDist().inv_cdf((1 - chance) ** (1 / max(ways, 1)))


def foretold(loss: float, doubling: float, times: float) -> float:
    """By how much a loss falls with `times` the rows, by a power law: the last doubling gained `doubling`.

    0 where it gained nothing.
    """
    if not (loss > 0 and doubling > 0 and times > 1):
        return 0.0
    return float(loss * (1 - times ** -math.log2(1 + doubling / loss)))


def raced(
    machine_share: Sequence[float] = SHARES,
    *,
    weight: Sequence[float] = (1.0,),
    classes: Sequence[str] = ("all",),
    order: Sequence[str] = ("mixed",),
    depth: int = 2,
) -> Race:
    """Race shares of machine-made rows (of all rows; .9 at most), their weights, `classes` "all" or only the
    "rare" ones, and `order` "mixed" or machine-made rows "first"; rows deeper than `depth` stay out.

    Raises RecipeError for what is out of range.
    """
    found = Race(
        machine_share=tuple(machine_share),
        weight=tuple(weight),
        classes=tuple(classes),
        order=tuple(order),
        depth=depth,
    )
    fits = (
        all(0 <= share <= MOST for share in found.machine_share)
        and all(0 < one <= 1 for one in found.weight)
        and set(found.classes) <= {"all", "rare"}
        and set(found.order) <= {"mixed", "first"}
        and depth >= 1
        and bool(found.machine_share and found.weight and found.classes and found.order)
    )
    if not fits:
        raise RecipeError("race_out_of_range", said=str(replace(found)))
    return found


def chosen(way: Way, people: np.ndarray, made: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """bool[N]: the machine-made rows of a way.

    people, made: bool[N]; labels: object[N]; ids: void16[N], keyed hashes: rows are taken in their order,
    which is random, and the same one again. Of each class as large a part as of the others.
    """
    rows = made & (_rare(labels, people) if way.rare else True)
    most = int(way.share / (1 - way.share) * people.sum()) if way.share < 1 else len(people)
    at = np.flatnonzero(rows)
    if len(at) > most:
        at = at[np.argsort(ids[at], kind="stable")]
        at = at[np.argsort(_turns(labels[at]), kind="stable")[:most]]
    found = np.zeros(len(rows), bool)
    found[at] = True
    return found


def half_out(people: np.ndarray, taken: np.ndarray, labels: np.ndarray, half: np.ndarray) -> np.ndarray:
    """bool[N]: people's rows without one half of those whose class machines were asked for; all bool[N].

    Labels object[N]: with it, people's rows tell what the last doubling of such rows was worth.
    """
    classes = set(labels[taken].astype(str).tolist())
    mine = np.array([str(label) in classes for label in labels], bool)
    return np.asarray(people & ~(mine & half))


def _turns(labels: np.ndarray) -> np.ndarray:
    """float64[n]: where each row comes in its class, from 0 to 1: all classes advance together."""
    _, codes = np.unique(labels.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    place = np.empty(len(labels))
    place[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray((place + 0.5) / sizes[codes])


def _rare(labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """bool[N]: rows of classes of which people gave fewer rows than of the middle one."""
    names, counts = np.unique(labels[people].astype(str), return_counts=True)
    middle = float(np.median(counts)) if len(counts) else 0.0
    common = set(names[counts >= middle].tolist())
    return np.array([str(label) not in common for label in labels], bool)
