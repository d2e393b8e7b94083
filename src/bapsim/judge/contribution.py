"""What each of several people's data gave: what was to be expected of them, corrected by models without them.

Everybody is seen twice: what their rows add to what was there, and what is lost when theirs alone are left
out. The mean of both is the Shapley value where data interact in pairs only, for two fits a person in place
of two to the power of persons. It is noisy: a few dozen rows move a model by less than held-out rows can
tell. So it is weighed, by how sure it is, against what the model before did not know of their rows and what
their hidden tests say of their word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 1000
SURE = 4.0  # errors below 0 from which on rows surely do harm; they do not know that another fit would differ
CELLS = 2_000_000  # of a resample that are held at once


class Expected(NamedTuple):
    """What is known of somebody's rows before any fit: news, how much of them the model before held for
    unlikely, summed; hidden tests, and how many of these were right.
    """

    news: float
    right: int
    tests: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one of several gave of what all gave together, 0 to 1, with its 95 % interval.

    gain, error: what their rows take from the loss on a row of others, as measured, and its standard error;
    nan where nothing was fitted.
    """

    share: float
    low: float
    high: float
    gain: float
    error: float


def trust(right: float, tests: float) -> float:
    """How much the word of somebody counts, 0 to 1: the square of how often they are right, with one test
    passed and one failed before all. Who is right half of the time says next to nothing.
    """
    return float(((right + 1) / (tests + 2)) ** 2)


def balanced(base: NDArray[np.bool_], word: Floats, own: NDArray[np.bool_]) -> Floats:
    """float64[n, p]: how much each row says about each of p people: nothing if it is their own.

    base: bool[n], rows that none of them made; word: float64[n], the trust in whoever made a row; own:
    bool[n, p]. Base rows count for one half and others' rows for the other: the first say what the model was
    for, the second what was asked about because it fell short.
    """
    found = np.where(own, 0.0, np.where(base, 1.0, word)[:, None])
    for part in (base, ~base):
        sums = found[part].sum(axis=0)
        found[part] /= np.where(sums > 0, sums, 1.0)
    return found


def parts(
    gains: Floats, weights: Floats, groups: Ints, expected: Sequence[Expected], seed: int
) -> list[Part]:
    """The part of each of p people; what did harm is 0, also where all together gave nothing that can be
    measured and what was expected decides; unless it surely did with everybody of whom anything was expected.

    gains: float64[n, p], by how much a person's data make the loss on a row smaller, n = 0 where nothing was
    fitted; weights: float64[n, p] (`balanced`); groups: int64[n], rows of one number are drawn together.
    Intervals are of resampled groups and of tests; they do not know that another fit would differ.
    """
    rng = np.random.default_rng(seed)
    now = np.array([one.news * trust(one.right, one.tests) for one in expected])
    prior = np.stack(
        [one.news * rng.beta(one.right + 1, one.tests - one.right + 1, DRAWS) ** 2 for one in expected]
    )
    if not len(gains):
        shares, drawn, values = _scaled(now[None])[0], _scaled(prior.T), np.full(len(expected), np.nan)
        error = values
    else:
        values = _means(np.ones((1, len(gains))), gains, weights)[0]
        told = np.concatenate(list(_resampled(gains, weights, groups, rng)))
        error = told.std(axis=0)
        harm = (error > 0) & (values + SURE * error < 0)  # what was expected of them is refuted
        if (now[~harm] > 0).any():
            now, prior = np.where(harm, 0.0, now), np.where(harm[:, None], 0.0, prior)
        shares, drawn = _weighed(values[None], error, now[None])[0], _weighed(told, error, prior.T)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [
        Part(share=float(s), low=float(min(a, s)), high=float(max(b, s)), gain=float(v), error=float(e))
        for s, a, b, v, e in zip(shares, low, high, values, error, strict=True)
    ]


def _weighed(values: Floats, error: Floats, prior: Floats) -> Floats:
    """float64[draws, p]: shares by what was measured and what was expected, each by its precision.

    What is expected sums to what was measured of all together, harm included, and each is off by as much as
    an equal share of it: where together they give nothing that can be measured, it alone decides.
    """
    total = np.maximum(values.sum(axis=1, keepdims=True), 0.0)
    spread = total / values.shape[1]
    mine = spread**2 / np.maximum(spread**2 + error**2, np.finfo(float).tiny)
    return _scaled(mine * values + (1 - mine) * total * _scaled(prior), otherwise=prior)


def _resampled(gains: Floats, weights: Floats, groups: Ints, rng: np.random.Generator) -> Iterator[Floats]:
    names, place = np.unique(groups, return_inverse=True)
    size = max(1, CELLS // max(len(groups), 1))
    for start in range(0, DRAWS, size):
        count = min(size, DRAWS - start)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
        yield _means(drawn[:, place].astype(np.float64), gains, weights)


def _means(drawn: Floats, gains: Floats, weights: Floats) -> Floats:
    """float64[draws, p]: mean gains; drawn: float64[draws, n], how often each row was drawn."""
    whole = drawn @ weights
    return np.asarray(drawn @ (weights * gains) / np.where(whole > 0, whole, 1.0))


def _scaled(values: Floats, otherwise: Floats | None = None) -> Floats:
    """float64[draws, p]: what is above 0, as parts of one; where nothing is, those of `otherwise`."""
    kept = np.maximum(values, 0.0)
    if otherwise is not None:
        kept = np.where(kept.sum(axis=1, keepdims=True) > 0, kept, np.maximum(otherwise, 0.0))
    sums = kept.sum(axis=1, keepdims=True)
    return np.asarray(kept / np.where(sums > 0, sums, 1.0))
