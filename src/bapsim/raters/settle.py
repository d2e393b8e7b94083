"""One label for each item, by the method that items with a known label speak for.

Votes alone cannot tell a crowd that errs independently from one that shares a mistake: a model of agreement
is better with the first and worse than counting with the second. So it settles something only where known
labels bear it out; without any the majority does, and where the model is sure of something else the item is
doubted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bapsim.raters.agreement import Agreement, dawid_skene, one_coin, shares, weighted
from bapsim.raters.votes import Coded, Floats, Ints, Vote, best, coded

How = Literal["majority", "weighted", "one_coin", "dawid_skene", "tested"]
HOWS: tuple[How, ...] = ("majority", "weighted", "one_coin", "dawid_skene", "tested")
MODELS: Mapping[str, Callable[[Coded], Agreement]] = {  # from few assumptions to many
    "weighted": weighted,
    "one_coin": one_coin,
    "dawid_skene": dawid_skene,
}
ODDS = 0.75  # three to one that a method settles more items rightly than the majority
FEWEST = 10  # known items with a vote, below which the majority settles
SURE = 0.95  # the posterior from which on a model that differs from the label makes an item doubted


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A method against the majority on items whose label is known, which it was not told: how many it gained
    and lost (a tie of k labels is 1/k right), and the chance that it is the better one of the two.
    """

    method: str
    gained: float
    lost: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class Settled:
    """labels: of each item, None where two are as likely or nobody voted; known ones stand.

    sure: float64[items], the method's probability of the label, for the majority its share of the votes;
    method: that settled; trials: what known labels said of the others; doubted: items on which the model of
    Dawid and Skene is sure of another label than that: ask once more.
    """

    labels: tuple[str | None, ...]
    sure: Floats
    method: str
    trials: tuple[Trial, ...]
    doubted: tuple[int, ...]


def settle(
    said: Sequence[Sequence[Vote]], known: Mapping[int, str] | None = None, how: How = "tested"
) -> Settled:
    """The labels of items from the votes on each; known: labels, by position, of items that are beyond doubt.

    how: "tested" takes what known labels speak for, and without any the majority; else the method by name.
    """
    votes = coded(said, known)
    told = MODELS["dawid_skene"](votes) if votes.labels else None
    trials = tried(votes) if how == "tested" else ()
    method = _chosen(trials) if how == "tested" else how
    if told is None:
        return Settled(
            labels=(None,) * votes.items, sure=np.zeros(votes.items), method=method, trials=(), doubted=()
        )
    if method == "majority":
        posterior = shares(votes)
    else:
        posterior = (told if method == "dawid_skene" else MODELS[method](votes)).posterior
    at = np.where(votes.known >= 0, votes.known, best(posterior))
    other = told.posterior.argmax(1)
    doubted = (told.posterior.max(1) >= SURE) & (at >= 0) & (other != at) & (votes.known < 0)
    return Settled(
        labels=tuple(votes.labels[k] if k >= 0 else None for k in at.tolist()),
        sure=np.where(votes.known >= 0, 1.0, posterior.max(1)),
        method=method,
        trials=trials,
        doubted=tuple(np.flatnonzero(doubted).tolist()),
    )


def tried(votes: Coded) -> tuple[Trial, ...]:
    """Each method against the majority on the items whose label is known and that somebody voted on.

    Nothing is tried on fewer than FEWEST. Models of agreement are told none of them, so that they cannot look
    better than they are; a vote that is weighted by known labels leaves out the item's own.
    """
    there = np.flatnonzero((votes.known >= 0) & (np.bincount(votes.item, minlength=votes.items) > 0))
    if len(there) < FEWEST:
        return ()
    truth = votes.known[there]
    blind = votes.unknown()
    plain = credit(shares(blind)[there], truth)
    found = []
    for name, model in MODELS.items():
        said = model(votes if name == "weighted" else blind).posterior[there]
        gain = credit(said, truth) - plain
        gained, lost = float(gain[gain > 0].sum()), float(-gain[gain < 0].sum())
        found.append(Trial(method=name, gained=gained, lost=lost, chance=chance(gained, lost)))
    return tuple(found)


def credit(scores: Floats, truth: Ints) -> Floats:
    """float64[items]: 1 where the true label has the highest score, of k that tie for it 1/k."""
    top = scores >= scores.max(1, keepdims=True, initial=-np.inf) - 1e-9
    return np.asarray(top[np.arange(len(truth)), truth] / np.maximum(top.sum(1), 1))


def chance(gained: float, lost: float) -> float:
    """The chance that who gained and lost so many is more often right, if nothing was known before."""
    from scipy.special import betainc

    return 1 - float(betainc(gained + 1, lost + 1, 0.5))


def _chosen(trials: Sequence[Trial]) -> str:
    better = [one for one in trials if one.chance >= ODDS - 1e-9]
    return max(better, key=lambda one: one.chance).method if better else "majority"
