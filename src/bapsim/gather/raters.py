"""What several raters say of one item: the majority, or the one-coin model of Dawid and Skene; their skill.

Majority is the default elsewhere, on purpose: a model of agreement is better where raters err independently,
and worse where most of them share a mistake, for then it trusts them most.
Source: Dawid and Skene 1979; one coin for each rater: Zhang et al. 2014 (arXiv:1406.3824).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Vote = tuple[str | None, str]  # rater, None = nobody knows, and label
ROUNDS, STILL = 200, 1e-6


@dataclass(frozen=True, kw_only=True)
class OneCoin:
    """posterior: float64[items, classes]; skill: float64[raters], the estimated share of right votes."""

    posterior: np.ndarray
    skill: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A rater: votes, the share of them that agrees with most of the others (nan: nobody else voted), and the
    estimated share of right ones. Where the two differ, look at the rater before you trust either."""

    rater: str
    votes: int
    agrees: float
    skill: float


def one_coin(item: Ints, rater: Ints, label: Ints) -> OneCoin:
    """Labels and skills that explain the votes best, by expectation and maximisation.

    item, rater, label: int64[votes], codes from 0. A rater is right with one probability, whatever the class,
    and wrong evenly over the others. Each has one right and one wrong vote in advance, so that three votes
    make nobody infallible.
    """
    items, raters, classes = (int(codes.max(initial=-1)) + 1 for codes in (item, rater, label))
    cell = item * classes + label
    posterior = np.bincount(cell, minlength=items * classes).reshape(items, classes).astype(np.float64)
    posterior /= np.maximum(posterior.sum(1, keepdims=True), 1)
    count = np.bincount(rater, minlength=raters)
    skill = np.full(raters, 0.5)
    for _ in range(ROUNDS):
        skill = (np.bincount(rater, posterior[item, label], raters) + 1) / (count + 2)
        prior = (posterior.sum(0) + 1) / (items + classes)
        gain = np.log(skill) - np.log((1 - skill) / max(classes - 1, 1))
        score = np.bincount(cell, gain[rater], items * classes).reshape(items, classes) + np.log(prior)
        score = np.exp(score - score.max(1, keepdims=True, initial=-np.inf))
        after = score / score.sum(1, keepdims=True)
        still = bool(np.abs(after - posterior).max(initial=0) < STILL)
        posterior = after
        if still:
            break
    return OneCoin(posterior=posterior, skill=skill)


def best(scores: np.ndarray) -> Ints:
    """int64[items]: the class with the highest score, -1 where two have it."""
    if not scores.size:
        return np.full(len(scores), -1)
    top = scores.max(1, keepdims=True)
    tied = (scores > top - STILL).sum(1) > 1
    return np.where(tied | (top[:, 0] <= 0), -1, scores.argmax(1))


def pairs_of(votes: Any, raters: Any) -> list[list[Vote]]:
    """The votes of each record, from its columns `votes` and `raters`."""
    both = zip(votes.to_pylist(), raters.to_pylist(), strict=True)
    return [list(zip(who or [], said or [], strict=True)) for said, who in both]


def counted(said: Sequence[Vote]) -> list[Vote]:
    """The votes on one item, of each rater the last one."""
    last = {rater: at for at, (rater, _) in enumerate(said) if rater is not None}
    return [vote for at, vote in enumerate(said) if vote[0] is None or last[vote[0]] == at]


def majority(said: Sequence[Vote]) -> str | None:
    """The label that most raters gave; None where two labels have as many votes, or there is none."""
    counts = Counter(label for _, label in counted(said)).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]


def _codes(values: Sequence[str]) -> tuple[list[str], Ints]:
    names = sorted(set(values))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place[value] for value in values], np.int64)


def _coded(
    said: Sequence[Sequence[Vote]],
) -> tuple[list[str], list[str], Ints, Ints, Ints]:
    """Raters, labels, and codes of item, rater and label of each vote whose rater is known."""
    votes = [(i, str(r), label) for i, one in enumerate(said) for r, label in counted(one) if r is not None]
    raters, rater = _codes([r for _, r, _ in votes])
    labels, label = _codes([said for _, _, said in votes])
    return raters, labels, np.array([i for i, _, _ in votes], np.int64), rater, label


def settle_one_coin(said: Sequence[Sequence[Vote]]) -> list[str | None]:
    """The label of each item by the one-coin model; None where two are as likely, or nobody voted."""
    _, labels, item, rater, label = _coded(said)
    found: list[str | None] = [None] * len(said)
    voted, at = np.unique(item, return_inverse=True)
    for i, k in zip(voted.tolist(), best(one_coin(at, rater, label).posterior).tolist(), strict=True):
        found[i] = labels[k] if k >= 0 else None
    return found


def skills(said: Sequence[Sequence[Vote]]) -> list[Skill]:
    """What can be said of each rater, the most doubtful first."""
    raters, _, item, rater, label = _coded(said)
    _, at = np.unique(item, return_inverse=True)
    skill = one_coin(at, rater, label).skill
    agree = _agreement(said)
    made = [
        Skill(rater=name, votes=n, agrees=agree.get(name, float("nan")), skill=float(share))
        for name, n, share in zip(
            raters, np.bincount(rater, minlength=len(raters)).tolist(), skill, strict=True
        )
    ]
    return sorted(made, key=lambda one: (one.skill, one.rater))


def _agreement(said: Sequence[Sequence[Vote]]) -> Mapping[str, float]:
    """Of each rater's votes on which the others have a majority, the share that goes with it."""
    right, of = Counter[str](), Counter[str]()
    for one in said:
        votes = counted(one)
        for at, (rater, label) in enumerate(votes):
            others = majority(votes[:at] + votes[at + 1 :])
            if rater is not None and others is not None:
                of[rater] += 1
                right[rater] += others == label
    return {rater: right[rater] / count for rater, count in of.items()}
