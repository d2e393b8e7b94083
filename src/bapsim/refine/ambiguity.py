"""Pairs of classes that people do not tell apart alike: the evidence, the rows, what one could do about it.

A model's confusions alone do not prove that people differ, and every model confuses some classes. So a pair
must show more than other pairs do, or differ where the model is surest, or people must have judged the same
thing twice and differed; and the more pairs there are, the stronger the evidence must be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bapsim.refine.noise import Floats, Ints, Mask, fit_curve, judged, sureness

LEVEL = 0.05  # that any pair is named without reason
SHARE = 0.05  # of a pair's rows that must be confused: less is no pattern
ONE_WAY = 0.2  # of the confusions that must go the rarer way: one way only is wrong labels, or the model
FEWEST = 2  # confusions either way; things judged both ways
SURE_SHARE = 0.05  # of labels that contradict the model where it is surest
DISPUTED = 0.1  # of things judged more than once
WIDTH = 4.0  # odds between the two classes up to which a row is on the border

Evidence = Literal["confusion", "surest", "disputed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two classes that are labelled inconsistently.

    first, second: their names; evidence: `confusion`, more rows of one were taken for the other than the
    errors of both classes explain; `surest`, labels contradict the model where it is surest; `disputed`,
    equal inputs or raters differ; rows: labelled one or the other; confused: labelled first and answered
    second, and the other way round; expected: both together by the errors of each class; disputed, twice:
    things that were called both, of those judged more than once; border: positions int64[m] of rows between
    the two, the most ambiguous first; examples: some of them, labelled first and second in turn; merged: what
    accuracy would be more if the two were one class (share of all rows) and its 95 % interval, nan where no
    other class is left; relabelled: share of the border whose label is not the likelier one, with its 95 %
    interval: what a written rule that follows the majority would change; nan without a border.
    """

    first: str
    second: str
    evidence: tuple[Evidence, ...]
    rows: int
    confused: tuple[int, int]
    expected: float
    disputed: int
    twice: int
    border: Ints
    examples: tuple[int, ...]
    merged: tuple[float, float, float]
    relabelled: tuple[float, float, float]


def ambiguous_pairs(
    probs: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str],
    *,
    groups: NDArray[Any] | None = None,
    votes: NDArray[Any] | None = None,
) -> tuple[Pair, ...]:
    """The pairs with evidence, those first that cost most accuracy.

    probs: float[n, k], calibrated, each row by a model that was not trained on it, nan = no answer; labels:
    int[n], -1 = none; classes: k names, then those of labels that the model does not know; groups: int[n],
    equal for equal inputs, copies included, for those that agree count as well; votes: int[n, classes], how
    many raters chose each. Each test keeps a level of .05 over all pairs.
    """
    k = len(classes)
    said = np.asarray(labels, np.int64)
    rows = judged(probs, said)
    p = np.pad(np.asarray(probs[rows], np.float64), ((0, 0), (0, k - probs.shape[1])))
    y = said[rows]
    answer = p.argmax(axis=1) if len(rows) else rows
    a, b = np.triu_indices(k, 1)
    found: dict[int, list[Evidence]] = {}
    counts = confusions(y, answer, k)
    expected = by_chance(counts)
    for i in unusual(counts, expected, np.bincount(y, minlength=k)):
        found.setdefault(i, []).append("confusion")
    for i in contradicted_surest(p, y, answer, counts):
        found.setdefault(i, []).append("surest")
    things = judgements(said, k, groups, votes)
    both, twice = disputes(things, k)
    for i in often(both, twice):
        found.setdefault(i, []).append("disputed")
    pairs = []
    for i, evidence in found.items():
        u, v = int(a[i]), int(b[i])
        place, examples = on_the_border(p, y, u, v)
        pairs.append(
            Pair(
                first=str(classes[u]),
                second=str(classes[v]),
                evidence=tuple(evidence),
                rows=int(((said == u) | (said == v)).sum()),
                confused=(int(counts[u, v]), int(counts[v, u])),
                expected=float(expected[u, v] + expected[v, u]),
                disputed=int(both[i]),
                twice=int(twice[i]),
                border=rows[place],
                examples=tuple(rows[examples].tolist()),
                merged=merged_gain(p, y, answer, u, v),
                relabelled=_share(p[place, np.where(y[place] == u, v, u)] > p[place, y[place]]),
            )
        )
    return tuple(sorted(pairs, key=lambda pair: (-np.nan_to_num(pair.merged[0]), pair.first, pair.second)))


def confusions(labels: Ints, answers: Ints, k: int) -> Floats:
    """float64[k, k]: rows by label and answer, the diagonal empty."""
    counts = np.bincount(labels * k + answers, minlength=k * k).astype(np.float64).reshape(k, k)
    np.fill_diagonal(counts, 0)
    return counts


def by_chance(counts: Floats) -> Floats:
    """float64[k, k]: confusions if classes lost and attracted rows as they do, but blindly.

    Quasi-independence (Goodman 1968): outer products off the diagonal with the same sums, fitted in turns.
    """
    lost, drawn = counts.sum(axis=1), counts.sum(axis=0)
    u, v = lost.copy(), drawn.copy()
    for _ in range(100):
        u = np.divide(lost, v.sum() - v, out=np.zeros_like(lost), where=v.sum() - v > 1e-9)
        v = np.divide(drawn, u.sum() - u, out=np.zeros_like(drawn), where=u.sum() - u > 1e-9)
    expected = np.outer(u, v)
    np.fill_diagonal(expected, 0)
    return expected


def unusual(counts: Floats, expected: Floats, sizes: Ints) -> list[int]:
    """Pairs (positions among the upper triangle's) confused both ways and more often than expected.

    Poisson tail, Holm over all pairs. Up to three classes the expectation fits almost anything: none.
    """
    from scipy.stats import poisson

    k = len(counts)
    if k < 4:
        return []
    a, b = np.triu_indices(k, 1)
    seen, chance = counts[a, b] + counts[b, a], expected[a, b] + expected[b, a]
    tail = poisson.sf(seen - 1, np.maximum(chance, 1e-9))
    return np.flatnonzero(holm(tail) & _material(counts, sizes[a] + sizes[b])).tolist()


def _material(counts: Floats, rows: NDArray[Any]) -> Mask:
    """bool[pairs]: confused both ways, and in a share of the pair's rows that matters."""
    a, b = np.triu_indices(len(counts), 1)
    there, back = counts[a, b], counts[b, a]
    rarer = np.minimum(there, back)
    enough = there + back >= SHARE * np.maximum(rows, 1)
    return np.asarray(enough & (rarer >= FEWEST) & (rarer >= ONE_WAY * (there + back)))


def contradicted_surest(p: Floats, y: Ints, answer: Ints, counts: Floats) -> list[int]:
    """Pairs of which a share of the labels contradicts the model even where it is surest of the two."""
    k = len(counts)
    a, b = np.triu_indices(k, 1)
    sizes = np.bincount(y, minlength=k)
    z = _z(len(a))
    found = []
    for i in np.flatnonzero(_material(counts, sizes[a] + sizes[b])).tolist():
        u, v = int(a[i]), int(b[i])
        mine = np.flatnonzero(((y == u) | (y == v)) & ((answer == u) | (answer == v)))
        two = p[mine][:, [u, v]]
        _, surer = sureness(two / two.sum(axis=1, keepdims=True))
        curve = fit_curve(y[mine] != answer[mine], surer)
        if curve.rate - (curve.rate - curve.low) * z / 1.96 > SURE_SHARE:
            found.append(i)
    return found


def _z(pairs: int) -> float:
    """The one-sided normal quantile of the level, divided by the number of pairs."""
    from scipy.special import ndtri

    return float(-ndtri(LEVEL / max(pairs, 1)))


def judgements(
    labels: Ints, k: int, groups: NDArray[Any] | None, votes: NDArray[Any] | None
) -> NDArray[np.int64]:
    """int64[m, k]: how often each class was said of m things: groups of equal inputs, and rows with votes."""
    parts = [np.zeros((0, k), np.int64)]
    if groups is not None:
        rows = np.flatnonzero((labels >= 0) & (labels < k))
        _, thing, size = np.unique(groups[rows], return_inverse=True, return_counts=True)
        rows, thing = rows[size[thing] > 1], thing[size[thing] > 1]
        _, thing = np.unique(thing, return_inverse=True)
        count = int(thing.max(initial=-1)) + 1
        parts.append(np.bincount(thing * k + labels[rows], minlength=count * k).reshape(count, k))
    if votes is not None:
        given = np.asarray(votes, np.int64)
        parts.append(given[given.sum(axis=1) > 1])
    return np.concatenate(parts)


def disputes(things: NDArray[np.int64], k: int) -> tuple[Ints, Ints]:
    """For each pair, things that were called both, and things judged twice or more by the two, int64."""
    a, b = np.triu_indices(k, 1)
    said = (things > 0).astype(np.float64)
    both = said.T @ said
    again = (things > 1).astype(np.float64)
    either = again.sum(axis=0)[a] + again.sum(axis=0)[b] - (again.T @ again)[a, b]
    once = (things == 1).astype(np.float64)
    twice = either + (once.T @ once)[a, b]
    return both[a, b].round().astype(np.int64), twice.round().astype(np.int64)


def often(both: Ints, twice: Ints) -> list[int]:
    """Pairs of which more than a tenth of what was judged more than once is disputed: binomial tail, Holm."""
    from scipy.stats import binom

    tail = np.where(both >= FEWEST, binom.sf(both - 1, np.maximum(twice, 1), DISPUTED), 1.0)
    return np.flatnonzero(holm(tail)).tolist()


def holm(tails: Floats) -> Mask:
    """bool[n]: the null hypotheses that Holm's procedure rejects at the level, from their p-values."""
    order = np.argsort(tails, kind="stable")
    passed = tails[order] * np.arange(len(order), 0, -1) < LEVEL
    found = np.zeros(len(tails), bool)
    found[order[: len(order) if passed.all() else int(np.argmin(passed))]] = True
    return found


def on_the_border(p: Floats, y: Ints, u: int, v: int, width: float = WIDTH) -> tuple[Ints, Ints]:
    """Rows labelled one of two classes that the model finds about as likely as the other, and examples.

    Both int64, the most ambiguous first: p[u] / p[v] between 1 / width and width, no third class likelier
    than both; six examples, three of each label in turn where there are so many.
    """
    mine = np.flatnonzero((y == u) | (y == v))
    two = p[mine][:, [u, v]].clip(1e-12)
    odds = np.abs(np.log(two[:, 0]) - np.log(two[:, 1]))
    near = (odds <= math.log(width)) & (p[mine].max(axis=1) <= two.max(axis=1))
    border = mine[near][np.argsort(odds[near], kind="stable")]
    sides = [border[y[border] == label][:3].tolist() for label in (u, v)]
    examples = [side[i] for i in range(3) for side in sides if i < len(side)]
    return border, np.array(examples, np.int64)


def merged_gain(p: Floats, y: Ints, answer: Ints, u: int, v: int) -> tuple[float, float, float]:
    """What accuracy would be more if two classes were one: the mean over all rows and its 95 % interval; nan
    where no other class is left.
    """
    if p.shape[1] < 3:
        return math.nan, math.nan, math.nan
    together = p[:, u] + p[:, v]
    one = np.flatnonzero(together >= p[np.arange(len(y)), answer])
    change = ((y[one] == u) | (y[one] == v)).astype(np.float64) - (answer[one] == y[one])
    n = max(len(y), 1)
    mean = float(change.sum()) / n
    half = 1.96 * math.sqrt(max(float((change**2).sum()) / n - mean**2, 0.0) / n)
    return mean, mean - half, mean + half


def _share(hits: Mask) -> tuple[float, float, float]:
    """A share with its 95 % interval (Wilson); nan of nothing."""
    n = len(hits)
    if not n:
        return math.nan, math.nan, math.nan
    share, z = float(hits.mean()), 1.96
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
