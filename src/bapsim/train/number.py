"""Numbers: raw scores as answers with intervals, by constants that are fitted out of fold.

What decides between models is the absolute error, which the conditional median makes smallest; squares aim at
the mean. A monotone map from score to median mends the difference where held-out rows prove that it does. An
interval holds four truths out of five: split conformal prediction (Vovk 2005; Papadopoulos 2002) on held-out
errors, wider where rows are harder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.records import Answers

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
INSIDE = 0.8  # of all truths lie in their interval
FEWEST = 100  # held-out rows for each width of interval
KNOTS, PER_KNOT = 30, 40  # of the monotone map, and held-out rows for each
FARTHEST = 100.0  # quartile distances from the quartiles: what lies beyond is learnt as if it stood there


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Constants: least and most that training saw; score -> median at some knots (none: as it is); half the
    width of the interval at some degrees of difficulty, ascending.
    """

    least: float
    most: float
    scores: tuple[float, ...] = ()
    medians: tuple[float, ...] = ()
    difficulties: tuple[float, ...] = (0.0,)
    halves: tuple[float, ...] = (0.0,)


def reading_of(said: Mapping[str, Any]) -> Reading:
    """Constants as `dataclasses.asdict` and JSON left them."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Reading(**fields)


def tamed(value: Floats) -> Floats:
    """Numbers to learn from: a slip of the finger by three digits must not bend a model."""
    low, high = np.quantile(value, [0.25, 0.75])
    reach = FARTHEST * (high - low)
    return np.asarray(np.clip(value, low - reach, high + reach)) if reach > 0 else value


def read(score: Floats, difficulty: Floats, constants: Reading) -> tuple[Floats, Floats, Floats]:
    """Answer, low and high, float64[n] each, within what training saw."""
    value = np.interp(score, constants.scores, constants.medians) if constants.scores else score
    value = np.clip(value, constants.least, constants.most)
    half = np.interp(difficulty, constants.difficulties, constants.halves)
    low, high = (np.clip(value + sign * half, constants.least, constants.most) for sign in (-1, 1))
    return np.asarray(value), np.asarray(low), np.asarray(high)


def medians(score: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Knots of the monotone map: mean scores of equal parts of the rows, and the rising medians there."""
    from sklearn.isotonic import isotonic_regression

    parts = np.array_split(np.argsort(score, kind="stable"), min(KNOTS, len(score) // PER_KNOT))
    at = np.array([score[part].mean() for part in parts])
    to = np.array([np.median(value[part]) for part in parts])
    return at, np.asarray(isotonic_regression(to), np.float64)


def _mapped(score: Floats, value: Floats) -> tuple[Floats, bool]:
    """Scores through maps that did not see their rows, and whether these are surely nearer to the truth."""
    if len(score) < 2 * PER_KNOT * 5:
        return score, False
    fold, out = np.arange(len(score)) % 5, np.empty(len(score))
    for k in range(5):
        out[fold == k] = np.interp(score[fold == k], *medians(score[fold != k], value[fold != k]))
    gain = np.abs(score - value) - np.abs(out - value)
    return out, bool(gain.mean() > 2 * gain.std() / np.sqrt(len(gain)))


def fit(score: Floats, difficulty: Floats, value: Floats, least: float, most: float) -> Reading:
    """Constants from held-out rows, float64[n] each; without any, the interval is all that training saw."""
    if not len(score):
        return Reading(least=least, most=most, halves=(most - least,))
    out, better = _mapped(score, value)
    at, to = medians(score, value) if better else (np.zeros(0), np.zeros(0))
    error = np.abs(np.clip(out if better else score, least, most) - value)
    where, half = widths(difficulty, error)
    return Reading(
        least=least,
        most=most,
        scores=tuple(at.tolist()),
        medians=tuple(to.tolist()),
        difficulties=tuple(where.tolist()),
        halves=tuple(half.tolist()),
    )


def widths(difficulty: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Half an interval's width by difficulty: the conformal quantile of held-out errors in up to five parts
    of a hundred rows at least, made to rise.
    """
    from sklearn.isotonic import isotonic_regression

    count = min(max(len(error) // FEWEST, 1), 5)
    parts = np.array_split(np.argsort(difficulty, kind="stable"), count)
    where = np.array([np.median(difficulty[part]) for part in parts])
    half = np.array([conformal(error[part]) for part in parts])
    known, first = np.unique(where, return_inverse=True)  # many rows may be equally hard
    weight = np.bincount(first).astype(np.float64)
    half = np.bincount(first, half) / weight
    return known, np.asarray(isotonic_regression(half, sample_weight=weight), np.float64)


def conformal(error: Floats) -> float:
    """The error that four of five new rows do not exceed, at least: the ceil(.8 (n + 1))-th of n."""
    rank = min(int(np.ceil(INSIDE * (len(error) + 1))), len(error))
    return float(np.sort(error)[rank - 1])


def answer_numbers(
    score: Floats, difficulty: Floats, scope: Floats, constants: Reading, asked: Mask | None = None
) -> Answers:
    """Answers of n rows: prediction, low and high in the target's own unit; confidence: that the truth lies
    between the two, .8; null where `asked` bool[n] is false.
    """
    silent = np.zeros(len(score), bool) if asked is None else ~asked
    value, low, high = read(score, difficulty, constants)
    sure = np.full(len(score), INSIDE, np.float32)
    columns: dict[str, Any] = {
        "prediction": pa.array(value, pa.float64(), mask=silent),
        "low": pa.array(low, pa.float64(), mask=silent),
        "high": pa.array(high, pa.float64(), mask=silent),
        "confidence": pa.array(sure, pa.float32(), mask=silent),
        "in_scope": pa.array(scope.astype(np.float32), pa.float32(), mask=silent),
        "_status": pa.array([None if quiet else "answered" for quiet in silent.tolist()], pa.string()),
    }
    return Answers(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))
