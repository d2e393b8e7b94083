"""Models of agreement: labels and skills that explain the votes best, with what is known held fast.

They gain where people err independently of one another, and lose where most share a mistake, for then they
trust most those who share it. Whether they may settle anything is decided by items whose label is known
(`bapsim.raters.settle`).
Source: Dawid and Skene 1979; one coin for each rater: Zhang et al. 2014 (arXiv:1406.3824); confusions that
lean on those of all raters: Kim and Ghahramani 2012 (Bayesian classifier combination), here by maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bapsim.raters.votes import Coded, Floats, Ints

ROUNDS, STILL = 200, 1e-6
LEAN = 4.0  # votes by which a rater's confusions lean on those of all raters, for each class
PLAIN = 4.0  # of one's own skill at items whose label is known: as many votes at the rate of all raters


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """posterior: float64[items, labels]; skill: float64[raters], the share of right votes that is expected of
    each over the labels as they are distributed."""

    posterior: Floats
    skill: Floats


def clamped(posterior: Floats, known: Ints) -> Floats:
    """The same, certain of what is known."""
    at = np.flatnonzero(known >= 0)
    if len(at):
        posterior = posterior.copy()
        posterior[at] = 0.0
        posterior[at, known[at]] = 1.0
    return posterior


def shares(votes: Coded) -> Floats:
    """float64[items, labels]: shares of each item's votes, certain of what is known; zeros without a vote."""
    counts = votes.counts()
    return clamped(counts / np.maximum(counts.sum(1, keepdims=True), 1), votes.known)


def one_coin(votes: Coded) -> Agreement:
    """Each rater is right with one probability, whatever the label, and wrong evenly over the others.

    Each has one right and one wrong vote in advance, so that three votes make nobody infallible.
    """
    classes, raters = len(votes.labels), len(votes.raters)
    count = np.bincount(votes.rater, minlength=raters)
    posterior, skill = shares(votes), np.full(raters, 0.5)
    for _ in range(ROUNDS):
        right = np.bincount(votes.rater, posterior[votes.item, votes.label], raters)
        skill = (right + 1) / (count + 2)
        gain = np.log(skill) - np.log((1 - skill) / max(classes - 1, 1))
        after = _posterior(votes, _spread(votes, gain[votes.rater]), posterior)
        still = bool(np.abs(after - posterior).max(initial=0) < STILL)
        posterior = after
        if still:
            break
    return Agreement(posterior=posterior, skill=skill)


def dawid_skene(votes: Coded) -> Agreement:
    """Each rater takes each label for another with probabilities of their own.

    A rater's confusions lean on those of all raters as if LEAN votes of each class had been seen, and those
    of all raters on right being twice as likely as any one mistake: whoever voted three times is judged by
    the crowd, whoever voted a hundred times by the votes. Memory: votes x labels.
    """
    classes, raters = len(votes.labels), len(votes.raters)
    pair, cell = np.unique(votes.rater * max(classes, 1) + votes.label, return_inverse=True)
    of, to = (pair // max(classes, 1), pair % max(classes, 1)) if classes else (pair, pair)
    posterior = shares(votes)
    likely, base, whole = np.zeros((len(pair), classes)), np.eye(classes), np.zeros((raters, classes))
    for _ in range(ROUNDS):
        seen, whole = (
            _summed(posterior[votes.item], by, n) for by, n in ((cell, len(pair)), (votes.rater, raters))
        )
        base = _summed(seen, to, classes).T + 1 + np.eye(classes)
        base /= base.sum(1, keepdims=True)
        likely = (seen + LEAN * base[:, to].T) / (whole[of] + LEAN)
        score = _summed(np.log(likely)[cell], votes.item, votes.items)
        after = _posterior(votes, score, posterior)
        still = bool(np.abs(after - posterior).max(initial=0) < STILL)
        posterior = after
        if still:
            break
    own = LEAN * np.diag(base) / (whole + LEAN)  # of labels that a rater never gave
    hit = np.zeros((len(pair), classes), bool)
    hit[np.arange(len(pair)), to] = True
    own[of, to] = likely[hit]
    return Agreement(posterior=posterior, skill=own @ _prior(posterior))


def weighted(votes: Coded) -> Agreement:
    """Each rater's vote counts by how often it was right where the label is known.

    Skills lean on that of all raters, as if each had PLAIN votes at its rate. Nobody's vote counts against
    the label that it names: of many raters with a few known items each, some are wrong on all of theirs by
    chance. Labels that are known do not vote for themselves: such an item's posterior leaves its own out.
    """
    classes, raters = len(votes.labels), len(votes.raters)
    there = votes.known[votes.item] >= 0
    right = there & (votes.known[votes.item] == votes.label)
    hits, of = (
        np.bincount(votes.rater[rows], minlength=raters).astype(np.float64) for rows in (right, there)
    )
    score = _spread(votes, _gain(hits, of, classes)[votes.rater])
    order = np.argsort(votes.item, kind="stable")
    start = np.searchsorted(votes.item[order], np.arange(votes.items + 1))
    for i in np.flatnonzero(votes.known >= 0).tolist():
        mine = order[start[i] : start[i + 1]]
        who, said = votes.rater[mine], votes.label[mine]
        without, fewer = hits.copy(), of.copy()
        without[who] -= said == votes.known[i]
        fewer[who] -= 1
        score[i] = np.bincount(said, _gain(without, fewer, classes)[who], classes)
    score -= score.max(1, keepdims=True, initial=-np.inf) if classes else 0.0
    posterior = np.exp(score)
    posterior /= np.maximum(posterior.sum(1, keepdims=True), STILL)
    voted = np.bincount(votes.item, minlength=votes.items) > 0
    return Agreement(posterior=posterior * voted[:, None], skill=_leaning(hits, of))


def _leaning(hits: Floats, of: Floats) -> Floats:
    rate = (hits.sum() + 1) / (of.sum() + 2)
    return np.asarray((hits + PLAIN * rate) / (of + PLAIN))


def _gain(hits: Floats, of: Floats, classes: int) -> Floats:
    """What a rater's vote adds to its label's score: never less than nothing."""
    skill = _leaning(hits, of)
    return np.asarray(np.maximum(np.log(skill) - np.log((1 - skill) / max(classes - 1, 1)), 0.0))


def _summed(values: Floats, by: Ints, count: int) -> Floats:
    """Rows summed within groups: float64[n, k] -> float64[count, k]."""
    found = np.zeros((count, values.shape[1]))
    for k in range(values.shape[1]):
        found[:, k] = np.bincount(by, values[:, k], count)
    return found


def _spread(votes: Coded, gain: Floats) -> Floats:
    """float64[items, labels]: what the votes add to the score of each label."""
    width = len(votes.labels)
    whole = np.bincount(votes.item * width + votes.label, gain, votes.items * width)
    return whole.reshape(votes.items, width).astype(np.float64)


def _prior(posterior: Floats) -> Floats:
    voted = posterior.sum(1) > 0
    return np.asarray((posterior.sum(0) + 1) / (voted.sum() + posterior.shape[1]))


def _posterior(votes: Coded, score: Floats, before: Floats) -> Floats:
    if not score.size:
        return before
    score = score + np.log(_prior(before))
    score = np.exp(score - score.max(1, keepdims=True))
    after = score / score.sum(1, keepdims=True)
    after[np.bincount(votes.item, minlength=votes.items) == 0] = 0.0  # nobody voted: nothing is claimed
    return clamped(after, votes.known)
