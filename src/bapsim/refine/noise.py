"""How many labels are wrong, and which classes the wrong ones name: read off out-of-fold answers.

A model that is often wrong must not take its own errors for wrong labels. So their share is read where the
model is surest: there, only wrong labels are left to contradict it. The class thresholds of confident
learning (Northcutt et al. 2021) count the confusions of a weak model too: 10 % of a set as it was published,
on which the model is right in 85 %, and 40 % of one where it is right in 57 % (docs/results/label_errors.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

BINS = 20  # of sureness, each with as many rows
POWERS = np.geomspace(1.0, 6.0, 9)  # of the share of errors that grows as sureness falls
SURE = 0.5  # of the rows, the surest: their disagreements say where wrong labels go
ROUNDS = 10  # of expectation and maximisation
MOST = 0.98  # of wrong labels that pairs may explain
TINY = 1e-12


class Curve(NamedTuple):
    """The share of labels that contradict the model, by sureness: rate + rise * r ** power, r = 0 the surest.

    low, high: 95 % interval of the rate.
    """

    rate: float
    low: float
    high: float
    rise: float
    power: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What is wrong with n labels of k classes.

    rate: share of wrong labels among the `rows` that could be judged, nan without any; low, high: its 95 %
    interval; astray: float64[k, k], which class a wrong label of each true class names (rows sum to 1, the
    diagonal is 0); along: share of wrong labels that follow pairs of classes, 0 = spread as labels are.
    """

    rate: float
    low: float
    high: float
    rows: int
    astray: Floats
    along: float


def judged(probs: NDArray[Any], labels: NDArray[Any]) -> Ints:
    """Positions of rows that can be judged: a label among the k classes, and probabilities that are finite,
    not negative and sum to 1 within .02. Where a tenth of those that are finite do not, they are of several
    labels at once, and nothing is judged.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = probs.sum(axis=1, dtype=np.float64)
        sound = (np.abs(total - 1) < 0.02) & (probs.min(axis=1, initial=0) >= 0)
    if sound.sum() < 0.9 * np.isfinite(total).sum():
        return np.zeros(0, np.int64)
    return np.flatnonzero(sound & (labels >= 0) & (labels < probs.shape[1]))


def sureness(probs: Floats) -> tuple[Ints, Floats]:
    """The answers int64[n], and the share of rows of the same answer that are surer, float64[n] in (0, 1).

    Ties share their mean place. By answer, so that a class that the model is never sure of counts too.
    """
    answer = probs.argmax(axis=1)
    top = probs[np.arange(len(probs)), answer]
    order = np.lexsort((-top, answer))
    a, t = answer[order], top[order]
    first = np.flatnonzero((np.diff(a, prepend=-1) != 0) | (np.diff(t, prepend=np.nan) != 0))
    sizes = np.diff(first, append=len(order))
    mine = np.bincount(answer, minlength=probs.shape[1])
    start = (np.cumsum(mine) - mine)[a[first]] if len(first) else first
    middle = (first - start + sizes / 2) / np.maximum(mine[a[first]] if len(first) else first, 1)
    found = np.empty(len(order))
    found[order] = np.repeat(middle, sizes)
    return answer, found


def fit_curve(differs: Mask, surer: Floats) -> Curve:
    """The curve of least deviance over twenty bins of sureness; differs: the label is not the answer."""
    place = np.minimum((surer * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(place, minlength=BINS).astype(np.float64)
    hits = np.bincount(place, differs, BINS).astype(np.float64)
    x = (np.arange(BINS) + 0.5) / BINS
    fits = [_fit(rows, hits, x**power) for power in POWERS]
    best = int(np.argmax([fit[0] for fit in fits]))
    near = [fit for fit in fits if fit[0] > fits[best][0] - 1.92]
    low = min(rate - 1.96 * error for _, rate, _, error in near)
    high = max(rate + 1.96 * error for _, rate, _, error in near)
    _, rate, rise, _ = fits[best]
    return Curve(min(rate, 1.0), max(low, 0.0), min(high, 1.0), rise, float(POWERS[best]))


def _fit(rows: Floats, hits: Floats, grown: Floats) -> tuple[float, float, float, float]:
    """Log-likelihood, rate, rise and the rate's standard error; rate and rise are not negative."""
    share = hits / np.maximum(rows, 1)
    expected = np.full(len(rows), min(max(hits.sum() / max(rows.sum(), 1), 1e-4), 1 - 1e-4))
    for _ in range(8):
        weight = rows / (expected * (1 - expected))
        one, both, two = weight.sum(), weight @ grown, weight @ grown**2
        left, right = weight @ share, weight @ (grown * share)
        det = max(one * two - both**2, TINY)
        rate, rise = (two * left - both * right) / det, (one * right - both * left) / det
        if rate < 0:
            rate, rise = 0.0, right / max(two, TINY)
        elif rise < 0:
            rate, rise = left / max(one, TINY), 0.0
        expected = np.clip(rate + rise * grown, 1e-4, 1 - 1e-4)
    said = float(hits @ np.log(expected) + (rows - hits) @ np.log(1 - expected))
    return said, float(rate), float(rise), float(np.sqrt(two / det))


def noise(probs: NDArray[Any], labels: NDArray[Any]) -> Noise:
    """How many labels are wrong and where wrong ones go.

    probs: float[n, k], calibrated, each row by a model that was not trained on it; nan = no answer. labels:
    int[n], -1 = none, k and more = classes that the model does not know. Measured on injected noise
    (docs/results/label_errors.md): 0 to 2 points above the truth without any, 0 to 4 at 10 %, 1 to 11 at 30 %
    (most for confused labels of 77 classes), by models that are right in 84 to 92 %; 22 by one that is right
    in 56 %. The interval is of sampling alone, not of this bias.
    """
    rows = judged(probs, labels)
    return estimated(np.asarray(probs[rows], np.float64), labels[rows].astype(np.int64))[0]


def estimated(p: Floats, y: Ints) -> tuple[Noise, Floats]:
    """The estimate from rows that can all be judged, and each label's log odds of being wrong, float64[n], up
    to a constant.

    The odds are the other classes' probabilities, each times the share of its wrong labels that name the
    given class, against the given class's own. Where wrong labels are spread evenly that is self-confidence,
    normalised by class; along pairs it is a margin between the two.
    """
    n, k = p.shape
    if not n:
        none = Noise(rate=np.nan, low=np.nan, high=np.nan, rows=0, astray=np.zeros((k, k)), along=0.0)
        return none, np.zeros(0)
    answer, surer = sureness(p)
    curve = fit_curve(answer != y, surer)
    went = whither(p, y, answer, surer, curve)
    others = np.zeros(n)
    for label in np.unique(
        y
    ):  # a product by class: as fast, without an n x k result, the same on any machine
        mine = np.flatnonzero(y == label)
        others[mine] = np.einsum("ij,j->i", p[mine], went.astray[:, label])
    odd = np.flatnonzero(~np.isnan(went.own))
    others[odd] += p[odd, answer[odd]] * (went.own[odd] - went.astray[answer[odd], y[odd]])
    odds = np.log(others.clip(TINY)) - np.log(p[np.arange(n), y].clip(TINY))
    said = Noise(
        rate=curve.rate, low=curve.low, high=curve.high, rows=n, astray=went.astray, along=went.along
    )
    return said, odds


class Whither(NamedTuple):
    """Where wrong labels go: `astray` and `along` of Noise; own: float64[n], the share of its answer's class
    that goes to each row's label by the other rows' testimony, nan where the row itself did not testify.
    """

    astray: Floats
    along: float
    own: Floats


def whither(p: Floats, y: Ints, answer: Ints, surer: Floats, curve: Curve) -> Whither:
    """Which class a wrong label names: spread as all labels are, or along pairs; what explains more is taken.

    A label that contradicts the surer half of the answers is either wrong (by the curve) or the model is, and
    then the label is what the model's probabilities say. Pairs are counted without the row at hand, or each
    odd label would be its own evidence; a pair that nobody saw gets what the model's probabilities say.
    """
    k = p.shape[1]
    spread = _shares(np.tile(np.bincount(y, minlength=k) + 0.5, (k, 1)))
    confused = _shares(_sums(answer, p, k) + TINY)
    odd = np.flatnonzero((answer != y) & (surer <= SURE))
    a, b = answer[odd], y[odd]
    rate = max(curve.rate, 0.5 / len(y))
    wrong = rate / (rate + curve.rise * surer[odd] ** curve.power)
    by_model = p[odd, b] / np.maximum(1 - p[odd, a], TINY)
    weight, along = wrong, 0.5
    pairs: Floats = np.zeros((k, k))
    for _ in range(ROUNDS):
        pairs = np.bincount(a * k + b, weight, k * k).astype(np.float64).reshape(k, k)
        left = pairs.sum(axis=1)[a] - weight
        others = np.where(left > 1e-9, (pairs[a, b] - weight) / np.maximum(left, TINY), 0).clip(0, 1)
        as_noise = along * others + (1 - along) * spread[a, b]
        weight = wrong * as_noise / np.maximum(wrong * as_noise + (1 - wrong) * by_model, TINY)
        follows = along * others / np.maximum(as_noise, TINY)
        along = min(float((weight * follows).sum() / max(weight.sum(), TINY)), MOST)
    own = np.full(len(y), np.nan)
    if along <= 0.5:
        own[odd] = spread[a, b]
        return Whither(spread, 0.0, own)
    seen = pairs.sum(axis=1, keepdims=True)
    counted = np.where(seen > 1e-9, pairs / np.maximum(seen, TINY), confused)
    own[odd] = along * others + (1 - along) * confused[a, b]
    return Whither(along * counted + (1 - along) * confused, along, own)


def _sums(answer: Ints, p: Floats, k: int) -> Floats:
    """float64[k, k]: the sum of the probabilities of the rows of each answer."""
    order = np.argsort(answer, kind="stable")
    met, first = np.unique(answer[order], return_index=True)
    found = np.zeros((k, k))
    found[met] = np.add.reduceat(p[order], first, axis=0)
    return found


def _shares(table: Floats) -> Floats:
    """The table with an empty diagonal, each row divided by its sum."""
    np.fill_diagonal(table, 0)
    return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), TINY))
