"""Which rows of the pool are worth a person's time: a random share for the exam, the rest chosen to teach.

Random rows measure the world as it is; chosen rows teach most and would flatter or slander a model that is
judged on them. So the two never mix, and each row says how it was drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RANDOM, CHOSEN = "random", "chosen"
HELD = 5.0  # expected errors beforehand, before a class is taken for a trouble spot
SHORTLIST = 5  # uncertain candidates for each question
WORK = 2_000_000_000  # multiplications that the search for diversity may cost, before its shortlist shrinks


class Asked(NamedTuple):
    """Rows to ask about, in the order of asking: rows int64[m], draw str[m] of "random" or "chosen"."""

    rows: np.ndarray
    draw: np.ndarray


def uncertainty(probs: np.ndarray) -> np.ndarray:
    """float64[n] in [0, 1]: 1 - (first - second probability), from probs float[n, k].

    A row that nobody answered (NaN), or a model with fewer than two classes, is wholly uncertain.
    """
    if probs.shape[1] < 2:
        return np.ones(len(probs))
    top = np.partition(probs, probs.shape[1] - 2, axis=1)[:, -2:].astype(np.float64)
    return np.nan_to_num(1 - (top[:, 1] - top[:, 0]), nan=1.0).clip(0, 1)


def surprise(probs: np.ndarray) -> np.ndarray:
    """float32[n, k]: the loss's gradient at the output if the model's own answer were right.

    Long where the model is unsure, and pointing at the classes that it confuses.
    """
    n, k = probs.shape
    if k == 0:
        return np.ones((n, 1), np.float32)
    known = np.where(np.isnan(probs), 1 / k, probs).astype(np.float32)
    known[np.arange(n), known.argmax(1)] -= 1
    return known


def spread(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64[count]: rows of float32[n, k] far from the origin and from one another, at random.

    k-means++ seeding from the origin, each pick in proportion to the squared distance to what is picked
    (BADGE, Ash et al. 2020, on the output layer). Sums without BLAS: the same under any number of threads.
    """
    norm = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
    room, left, picked = norm.copy(), np.ones(len(vectors), bool), np.zeros(count, np.int64)
    for j in range(count):
        odds = np.cumsum(np.where(left, np.maximum(room, 1e-9), 0.0))
        i = int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))
        i = min(i, len(vectors) - 1)
        while not left[i]:  # a draw on the border of the last sum
            i -= 1
        picked[j], left[i] = i, False
        room = np.minimum(room, norm + norm[i] - 2.0 * np.einsum("ij,j->i", vectors, vectors[i]))
    return picked


def _first_of_each(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The positions in `order` whose group has not occurred before, in order."""
    _, first = np.unique(groups[order], return_index=True)
    return np.asarray(order[np.sort(first)])


def trouble(predicted: np.ndarray, right: np.ndarray, confidence: np.ndarray, k: int) -> np.ndarray:
    """float64[k] >= 1: how many times the errors that it expects the model makes where it answers a class.

    predicted int[n], right bool[n], confidence float[n]: out-of-fold answers about labelled rows. HELD errors
    of each kind beforehand: a class with few answers is left alone; a class that errs less gets 1.
    """
    made = np.bincount(predicted, ~right, k) + HELD
    expected = np.bincount(predicted, 1 - confidence, k) + HELD
    return np.maximum(made / expected, 1.0)


def choose(
    probs: np.ndarray,
    groups: np.ndarray,
    budget: int,
    exam_share: float,
    rng: np.random.Generator,
    weight: np.ndarray | None = None,
) -> Asked:
    """At most `budget` rows of the pool, each near-duplicate group at most once.

    probs: float32[n, k], calibrated, NaN rows and k = 0 allowed (no model yet); groups: int64[n], equal for
    exact and near duplicates. round(budget * exam_share) rows are drawn uniformly from the pool ("random");
    the rest ("chosen") by uncertainty (times `weight`, float64[n]), then diversity, from groups that the
    random ones left. The two are shuffled together: whoever answers cannot tell them apart, and an unfinished
    list keeps the proportion.
    """
    if len(groups) != len(probs) or budget < 0 or not 0 <= exam_share <= 1:
        raise ValueError("groups must fit probs, budget be >= 0 and exam_share lie in [0, 1]")
    drawn = _first_of_each(rng.permutation(len(probs)), groups)[: round(budget * exam_share)]
    free = np.flatnonzero(~np.isin(groups, groups[drawn]))
    doubt = uncertainty(probs[free]) * (1.0 if weight is None else weight[free])
    ties = rng.permutation(len(free))
    free = _first_of_each(free[np.lexsort((ties, -doubt))], groups)
    count = min(budget - len(drawn), len(free))
    fits = WORK // max(1, count * max(1, probs.shape[1]))
    short = free[: max(2 * count, min(SHORTLIST * count, fits))]
    chosen = short[spread(surprise(probs[short]), count, rng)]
    index = np.concatenate([drawn, chosen]).astype(np.int64)
    draw = np.array([RANDOM] * len(drawn) + [CHOSEN] * len(chosen), dtype="U6")
    mixed = rng.permutation(len(index))
    return Asked(rows=index[mixed], draw=draw[mixed])
