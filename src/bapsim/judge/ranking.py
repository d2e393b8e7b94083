"""Metrics of a ranking (AUROC, average precision): not means over items, so the gate bootstraps them.

Scores need a column `p_CLASS`, the respondent's probability (any score will do) that an item is of CLASS, or
that its set of labels holds CLASS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import RecipeError
from bapsim.core.records import Scores
from bapsim.judge.exam import of_sets
from bapsim.text.targets import memberships

Floats = NDArray[np.float64]


def _by_threshold(positive: NDArray[np.bool_], score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of positives and negatives at each distinct score, highest first: two float64[b, thresholds]."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    hit = positive[order]
    weighed = weights[:, order]
    return np.add.reduceat(weighed * hit, starts, axis=1), np.add.reduceat(weighed * ~hit, starts, axis=1)


def auroc_of(positive: NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve, ties half: float64[b] for weights float64[b, n]; nan without both classes."""
    hits, misses = _by_threshold(positive, score, weights)
    above = np.cumsum(hits, axis=1) - hits / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((above * misses).sum(axis=1) / (hits.sum(axis=1) * misses.sum(axis=1)))


def average_precision_of(positive: NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Mean precision over the positives' thresholds (scikit-learn's definition); nan without positives."""
    hits, misses = _by_threshold(positive, score, weights)
    found, false = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.where(hits > 0, found / (found + false), 0.0)
        return np.asarray((hits * precision).sum(axis=1) / hits.sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A metric of how well one class is ranked above all others."""

    of: Literal["auroc", "average_precision"]
    positive: str

    def __call__(self, scores: Scores) -> float:
        return float(self.weighted(scores, np.ones((1, len(scores))))[0])

    def weighted(self, scores: Scores, weights: Floats) -> Floats:
        """The metric under each row of item weights: float64[b, n] -> float64[b]."""
        name = f"p_{self.positive}"
        if name not in scores.schema.names:
            raise RecipeError("metric_needs_probs", label=self.positive)
        gold = strings(scores.column("gold"))
        positive = (
            memberships(gold, [self.positive])[:, 0]
            if of_sets(scores)
            else np.array([one == self.positive for one in gold], bool)
        )
        measure = auroc_of if self.of == "auroc" else average_precision_of
        return measure(positive, numbers(scores.column(name)), weights)


def auroc(positive: str) -> Ranked:
    """Area under the ROC curve of one class against all others."""
    return Ranked(of="auroc", positive=positive)


def average_precision(positive: str) -> Ranked:
    """Average precision of one class: for rare classes, where right answers elsewhere say little."""
    return Ranked(of="average_precision", positive=positive)
