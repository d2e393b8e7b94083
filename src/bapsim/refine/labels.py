"""Which labels are likely to be wrong, in the order of asking, and whether leaving them out is advised.

A model's doubt ranks all rows, the labels of similar rows mend the order of the worst, and equal inputs with
different labels go first. Nothing is changed here: people say what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.refine.noise import Floats, Ints, Mask, Noise, estimated, judged

WORST = 0.05  # of the rows: those whose neighbours are looked up,
MOST = 2500  # and no more: each is compared with every row
NEIGHBOURS = 20
WEIGHED = 500  # rows on which is measured what neighbours add
CELLS = 16_000_000  # similarities that are held at once: 64 MB
PRUNE_ABOVE = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspicion:
    """What is said against n labels.

    wrong: float64[n] in [0, 1], how likely the label is wrong, nan = it cannot be judged; suggested:
    int64[n], the class that is likelier, -1 where none is; contradicted: float64[n], the share of equal
    inputs that say something else, 0 for the side that wins; limit: as many rows reach it as the estimate
    finds wrong.
    """

    wrong: Floats
    suggested: Ints
    contradicted: Floats
    limit: float
    noise: Noise

    def order(self) -> Ints:
        """Positions of the rows that can be judged or are contradicted, the most suspect first."""
        rows = np.flatnonzero(~np.isnan(self.wrong) | (self.contradicted > 0))
        return rows[np.lexsort((rows, -self.wrong[rows], -self.contradicted[rows]))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Flagged:
    """The rows to ask about, the most suspect first.

    rows, suggested: int64[m]; wrong: float64[m]; contradiction: bool[m], the reason is an equal input with
    another label, else the model's answer; prune: whether leaving rows out of training until somebody was
    asked is better than nothing; prunable: bool[m], these rows.
    """

    rows: Ints
    suggested: Ints
    wrong: Floats
    contradiction: Mask
    prune: bool
    prunable: Mask


def suspicion(
    probs: NDArray[Any],
    labels: NDArray[Any],
    *,
    groups: NDArray[Any] | None = None,
    features: Any = None,
    worst: float = WORST,
) -> Suspicion:
    """What a model's answers, similar rows and equal inputs say against each label.

    probs: float[n, k], calibrated, each row by a model that was not trained on it, nan = no answer; labels:
    int[n], class positions, -1 = none, k and more = classes that the model does not know; groups: int[n],
    equal for equal or nearly equal inputs (text.minhash.clusters); features: float32[n, d], dense or CSR,
    rows of length 1 (text.vectors.unit_vectors), where neighbours of the `worst` share of rows are sought.
    """
    rows = judged(probs, labels)
    y = labels[rows].astype(np.int64)
    p = np.asarray(probs[rows], np.float64)
    estimate, odds = estimated(p, y)
    best, instead = runner_up(p, y)
    if features is not None and len(rows):
        odds = mended(p, odds, features, rows, y, instead, worst)
    wrong, suggested = np.full(len(labels), np.nan), np.full(len(labels), -1, np.int64)
    wrong[rows] = probability(odds, estimate.rate)
    suggested[rows] = np.where(best != y, instead, -1)
    share = np.zeros(len(labels))
    if groups is not None:
        share, winner = contradictions(np.asarray(groups), np.asarray(labels), wrong)
        suggested = np.where((share > 0) & (winner >= 0), winner, suggested)
    expected = 0 if np.isnan(estimate.rate) else round(estimate.rate * len(rows))
    limit = float(-np.sort(-wrong[rows])[expected - 1]) if expected else 1.0
    return Suspicion(wrong=wrong, suggested=suggested, contradicted=share, limit=limit, noise=estimate)


def flag(said: Suspicion, labels: NDArray[Any], *, prune_above: float = PRUNE_ABOVE) -> Flagged:
    """Which rows to ask about: contradicted labels, and as many as the estimate finds wrong altogether.

    A label that the model agrees with is never flagged for the model's sake. Rows are prunable that are more
    likely wrong than right, at most half of those of one label: a class that the model cannot learn must not
    vanish. Pruning is advised where the estimate's lower bound is above `prune_above` and the model can tell:
    most of what it flags is prunable. Both were chosen by what leaving out did to accuracy on several sets
    (docs/results/label_errors.md).
    """
    order = said.order()
    contradiction = said.contradicted[order] > 0
    doubted = (said.wrong[order] >= said.limit) & (said.suggested[order] >= 0) & ~contradiction
    room = (said.wrong >= said.limit).sum() - contradiction.sum()
    kept = contradiction | (doubted & (np.cumsum(doubted) <= room))
    rows = order[kept]
    wrong = said.wrong[rows]
    prunable = (wrong >= max(said.limit, 0.5)) & _not_all(rows, wrong, labels)
    return Flagged(
        rows=rows,
        suggested=said.suggested[rows],
        wrong=wrong,
        contradiction=contradiction[kept],
        prune=bool(said.noise.low > prune_above and 2 * prunable.sum() >= len(rows)),
        prunable=prunable,
    )


def _not_all(rows: Ints, wrong: Floats, labels: NDArray[Any]) -> Mask:
    """bool[m]: the worst of these rows of each label, as many as half of all rows that have it."""
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    mine = labels[rows]
    order = np.lexsort((rows, -np.nan_to_num(wrong, nan=-1.0), mine))
    first = np.flatnonzero(np.diff(mine[order], prepend=-1) != 0)
    within = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
    found = np.zeros(len(rows), bool)
    found[order] = within < sizes[mine[order]] // 2
    return found


def runner_up(p: Floats, y: Ints) -> tuple[Ints, Ints]:
    """The likeliest class, and the likeliest one that is not the given label; both int64[n]."""
    if not p.size:
        return y, y
    best = p.argmax(axis=1)
    others = p.copy()
    others[np.arange(len(y)), y] = -1
    return best, others.argmax(axis=1)


def probability(odds: Floats, rate: float) -> Floats:
    """Log odds up to a constant as probabilities whose mean is `rate`, float64[n]."""
    low, high = -100.0, 100.0
    rising = np.sort(odds)  # how a mean is rounded depends on the order of its rows, and their odds must not
    for _ in range(60):
        middle = (low + high) / 2
        mean = _logistic(rising + middle).mean() if len(odds) else 0.0
        low, high = (middle, high) if mean < rate else (low, middle)
    return _logistic(odds + low)


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x.clip(-100, 100))))


def contradictions(groups: Ints, labels: Ints, wrong: Floats) -> tuple[Floats, Ints]:
    """What equal inputs say: share float64[n] of the labels of a row's group that are not its own, 0 where
    its own is the winner; and the winner int64[n], -1 where there is none.

    The most frequent label wins, of several the one whose rows are the least likely `wrong` (float64[n], nan
    = unknown). groups: int[n]; labels: int[n], -1 = none.
    """
    share, winner = np.zeros(len(labels)), np.full(len(labels), -1, np.int64)
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        return share, winner
    _, group = np.unique(groups, return_inverse=True)
    width = int(labels.max()) + 1
    pair, which, own = np.unique(
        group[rows] * np.int64(width) + labels[rows], return_inverse=True, return_counts=True
    )
    of, said = pair // width, pair % width
    doubt = np.bincount(which, np.nan_to_num(wrong[rows], nan=0.5)) / own
    order = np.lexsort((doubt, -own, of))
    first = np.flatnonzero(np.diff(of[order], prepend=-1) != 0)
    best, after = order[first], order[np.minimum(first + 1, len(order) - 1)]
    tied = (after != best) & (of[after] == of[best]) & (own[after] == own[best])
    tied &= np.abs(doubt[after] - doubt[best]) < 1e-9
    wins = np.zeros(len(pair), bool)
    wins[best[~tied]] = True
    total = np.bincount(of, own)[of]
    share[rows] = np.where(wins, 0.0, 1 - own / total)[which]
    by_group = np.full(int(group.max()) + 1, -1, np.int64)
    by_group[of[wins]] = said[wins]
    return share, by_group[group]


def mended(
    p: Floats, odds: Floats, features: Any, rows: Ints, y: Ints, instead: Ints, worst: float
) -> Floats:
    """The log odds with those of the `worst` share in the order that their neighbours' labels say, too.

    The values change places among these rows, so that none falls behind a row that was not looked at.
    """
    order = np.lexsort((rows, -odds))
    top = order[: min(int(np.ceil(worst * len(rows))), MOST)]
    labels = np.full(features.shape[0], -1, np.int64)
    labels[rows] = y
    some = order[np.unique(np.linspace(0, len(order) - 1, WEIGHED).astype(np.int64))]
    first, second = p[some].argmax(axis=1), runner_up(p[some], p[some].argmax(axis=1))[1]
    said = neighbours_say(features, rows[some], labels, first, second)
    margin = np.log(p[some, first].clip(1e-12)) - np.log(p[some, second].clip(1e-12))
    either = (y[some] == first) | (y[some] == second)
    weight = added(margin[either], said[either], (y[some] == first)[either])
    mended = odds[top] + weight * neighbours_say(features, rows[top], labels, instead[top], y[top])
    found = odds.copy()
    found[top[np.lexsort((rows[top], -mended))]] = odds[top]
    return found


def added(margin: Floats, said: Floats, first: Mask) -> float:
    """What neighbours add to a model's own log odds of two classes: the weight in [0, 1] under which the
    labels are likeliest, with half a row against it.

    A strong model has nothing to learn from rows that look alike; a weak one has.
    """
    sign = np.where(first, 1.0, -1.0)
    low, high = 0.0, 1.0
    for _ in range(30):  # the likelihood is concave in the weight
        middle = (low + high) / 2
        slope = float((sign * said * _logistic(-sign * (margin + middle * said))).sum()) - 0.5
        low, high = (middle, high) if slope > 0 else (low, middle)
    return low


def neighbours_say(
    features: Any, rows: Ints, labels: Ints, one: Ints, other: Ints, count: int = NEIGHBOURS
) -> Floats:
    """float64[m]: log odds of class `one` over class `other` among the rows most similar to each of m rows.

    features: float32[n, d], dense or CSR, rows of length 1; labels: int[n], -1 = not a neighbour; one, other:
    int[m]. Neighbours count by their cosine, and half a neighbour for either side is there beforehand.
    """
    known = np.flatnonzero(labels >= 0)
    found = np.zeros(len(rows))
    count = min(count, len(known) - 1)
    if count < 1:
        return found
    among = features[known].T
    place = np.full(len(labels), -1, np.int64)
    place[known] = np.arange(len(known))
    size = max(CELLS // len(known), 1)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        product = features[rows[part]] @ among
        alike = np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float32)
        itself = np.flatnonzero(place[rows[part]] >= 0)
        alike[itself, place[rows[part]][itself]] = -np.inf
        near = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        cosine = np.take_along_axis(alike, near, 1).clip(0).astype(np.float64)
        said = labels[known[near]]
        sides = [(cosine * (said == of[part, None])).sum(axis=1) + 0.5 for of in (one, other)]
        found[part] = np.log(sides[0] / sides[1])
    return found
