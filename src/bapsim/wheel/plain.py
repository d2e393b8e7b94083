"""What a model answers as plain values: what `predict` writes, and what a service sends and logs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import valid
from bapsim.core.records import Task
from bapsim.text.targets import label_set, numbers_of, written


def measures(task: Task) -> tuple[str, ...]:
    """What is said beside a prediction."""
    return ("low", "high", "in_scope") if task.answer == "number" else ("confidence", "in_scope")


def plain(answers: pa.RecordBatch, task: Task) -> list[dict[str, Any]]:
    """One mapping a row: prediction, and the measures of the task; a set of labels is its one text."""
    said: list[Any] = written(answers.column("prediction"), task.answer)
    if task.answer == "number":
        said = [_digits(value) for value in numbers_of(said).tolist()]
    names = ("prediction", *measures(task))
    beside = [_values(answers, name) for name in names[1:]]
    return [dict(zip(names, row, strict=True)) for row in zip(said, *beside, strict=True)]


def as_json(row: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The same for JSON, where a set of labels is a list."""
    if task.answer != "labels" or row["prediction"] is None:
        return dict(row)
    return {**row, "prediction": list(label_set(row["prediction"]))}


def nothing(task: Task, error: str) -> dict[str, Any]:
    """What stands where there is no answer."""
    return {"prediction": None, **dict.fromkeys(measures(task)), "error": error}


def _values(answers: pa.RecordBatch, name: str) -> list[float | None]:
    """A column of shares with six decimals, or of numbers; a model without it says nothing."""
    if name not in answers.schema.names:
        return [None] * len(answers)
    column = answers.column(name)
    if name in ("low", "high"):
        return [None if v is None else _digits(v) for v in column.to_pylist()]
    shares = np.clip(np.asarray(column.to_numpy(zero_copy_only=False), np.float64), 0, 1).round(6).tolist()
    if not column.null_count:
        return list(shares)
    return [share if there else None for share, there in zip(shares, valid(column).tolist(), strict=True)]


def _digits(value: float) -> float | None:
    """Six digits: more would claim what no model knows."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
