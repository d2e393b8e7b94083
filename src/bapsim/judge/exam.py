"""Scores of a respondent on exam items, and the metrics over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import ExchangeError
from bapsim.core.recipe import Mixture, Respondent
from bapsim.core.records import Scores, rows_of


def gold_share(probs: np.ndarray, classes: Sequence[str], gold: Sequence[str | None]) -> np.ndarray:
    """float64[n]: the probability given to each row's gold class, 0 for a class that is not known."""
    place = {name: i for i, name in enumerate(classes)}
    at = np.array([-1 if g is None else place.get(g, -1) for g in gold], np.int64)
    if not len(classes):
        return np.zeros(len(gold))
    picked = probs[np.arange(len(gold)), np.maximum(at, 0)].astype(np.float64)
    return np.asarray(np.where(at >= 0, picked, 0.0))


SHARE = 0.01  # of each answer is spread over all classes: no single surprise outweighs an exam


def losses(probs: np.ndarray, classes: Sequence[str], gold: Sequence[str | None]) -> np.ndarray:
    """Log-loss per item in nats with a bound, float64[n]; probs calibrated, float[n, classes].

    1 % of each answer is spread over all classes: still a proper score of the answer so mixed, and the
    largest loss is log(classes / .01).
    """
    mixed = (1 - SHARE) * gold_share(probs, classes, gold) + SHARE / max(len(classes), 2)
    return np.asarray(-np.log(mixed))


def probs_of(answers: pa.RecordBatch) -> np.ndarray | None:
    """float32[n, classes] of answers that carry calibrated probabilities, else None."""
    if "probs" not in answers.schema.names:
        return None
    column: Any = answers.column("probs")
    width = column.type.list_size
    values = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count:
        whole = np.zeros((len(answers), width), np.float32)
        whole[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, width)
        return whole
    return np.asarray(values.reshape(len(answers), width), np.float32)


@dataclass(frozen=True, kw_only=True)
class PerItem:
    """A judge: prediction, calibrated loss (null without calibrated probabilities), group and slices."""

    def __call__(self, who: Respondent, exam: Mixture) -> Scores:
        answers = who(rows_of(exam.records, exam.task.inputs))
        if len(answers) != len(exam):
            raise ExchangeError("answers_do_not_fit", asked=len(exam), answered=len(answers))
        gold = strings(exam.records.column(exam.task.target))
        probs = probs_of(answers)
        classes = tuple(getattr(who, "classes", ()))
        loss = np.full(len(gold), np.nan) if probs is None else losses(probs, classes, gold)
        group = exam.task.group
        columns = {
            "_id": exam.records.column("_id"),
            "gold": pa.array(gold, pa.string()),
            "prediction": pa.array(strings(answers.column("prediction")), pa.string()),
            "loss": pa.array(loss, pa.float64(), from_pandas=True),
            "group": pa.array(
                [None] * len(gold) if group is None else strings(exam.records.column(group)), pa.string()
            ),
        }
        for name in exam.task.slices:
            columns[f"slice_{name}"] = pa.array(strings(exam.records.column(name)), pa.string())
        if probs is not None:
            columns |= {
                f"p_{name}": pa.array(probs[:, i].astype(np.float64)) for i, name in enumerate(classes)
            }
        scores = pa.record_batch(list(columns.values()), names=list(columns))
        return Scores(scores.replace_schema_metadata({"calibrated": "0" if probs is None else "1"}))


def per_item() -> PerItem:
    """The judge that scores each exam item by itself."""
    return PerItem()


def uncalibrated(scores: Scores) -> Scores:
    """The same scores, marked: their losses are measured, but decide nothing."""
    return Scores(scores.replace_schema_metadata({"calibrated": "0"}))


def right(scores: Scores) -> np.ndarray:
    """bool[n]: the prediction is the gold label; a missing prediction is wrong."""
    gold, said = strings(scores.column("gold")), strings(scores.column("prediction"))
    return np.array([g is not None and g == p for g, p in zip(gold, said, strict=True)], bool)


def accuracy(scores: Scores) -> float:
    """The share of items with the right prediction."""
    return float(right(scores).mean()) if len(scores) else float("nan")


def log_loss(scores: Scores) -> float:
    """Minus the mean calibrated log-loss in nats: greater is better, like every metric here."""
    return -float(np.mean(numbers(scores.column("loss")))) if len(scores) else float("nan")
