"""One out-of-fold table a turn: every row answered by a model that was not trained on it or its kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, positions, take
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import CrossFit, CrossFitting, Mixture, Model, Trainer, said_of
from bapsim.core.records import Answers, Records


def part(mixture: Mixture, rows: np.ndarray) -> Mixture:
    """The rows of a mixture at these positions, or where a mask is true, with their weights."""
    weight = None if mixture.weight is None else mixture.weight[rows]
    return Mixture(task=mixture.task, records=Records(take(mixture.records, rows)), weight=weight)


def crossfit(
    train: Trainer, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int
) -> CrossFit:
    """The final model and out-of-fold answers of every row: K + 1 fits.

    folds: int8[n] in 0..K-1, -1 = never held out (its answer is null). A trainer with a `crossfit` of its own
    shares features between the fits and calibrates on the answers; any other is called once a fold.
    """
    if isinstance(train, CrossFitting):
        return train.crossfit(parent, mixture, folds, seed)
    model = train(parent, mixture, seed)
    names = sorted(set(folds[folds >= 0].tolist()))
    parts, places = [], []
    for k in names:
        fitted = train(parent, part(mixture, folds != k), seed)
        held = np.flatnonzero(folds == k)
        answers = said_of(fitted, Records(take(mixture.records, held)), mixture.task)
        parts.append(aligned(answers, fitted.classes, model.classes))
        places.append(held)
    if not parts:
        raise RecipeError("no_folds", rows=len(mixture))
    whole = concat(parts)
    place = np.full(len(mixture), -1, np.int64)
    place[np.concatenate(places)] = np.arange(len(whole))
    answers = Answers(whole.take(pa.array(place, pa.int64(), mask=place < 0)))
    return CrossFit(model=model, answers=answers, fits=len(names) + 1)


def aligned(answers: Answers, classes: Sequence[str], wanted: Sequence[str]) -> pa.RecordBatch:
    """Answers with their probabilities in the order of `wanted`; a class that is missing gets 0."""
    if "probs" not in answers.schema.names or tuple(classes) == tuple(wanted):
        return answers
    column: Any = answers.column("probs")
    values = column.flatten().to_numpy().reshape(len(answers), -1)
    place = positions(pa.array(list(wanted), pa.string()), pa.array(list(classes), pa.string()))
    spread = np.where(place >= 0, values[:, np.maximum(place, 0)], 0).astype(np.float32)
    probs = pa.FixedSizeListArray.from_arrays(pa.array(spread.ravel()), len(wanted))
    return answers.set_column(answers.schema.names.index("probs"), "probs", probs)
