"""Merged classes: what older models say is read as the task reads labels now (records: `wheel.reading`).

Records keep what people said. A model that was trained before two classes were merged still tells them apart;
its answers are mapped, so that it is compared, held against labels and served under the names of today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column
from bapsim.core.recipe import Model, Respondent
from bapsim.core.records import Answers, Rows, Task
from bapsim.judge.exam import probs_of
from bapsim.text.targets import renamed, written
from bapsim.wheel.held_out import table_of
from bapsim.wheel.judging import Opponent


def classes_of(classes: Sequence[str], task: Task) -> tuple[str, ...]:
    """The names of a model's classes after merging, each once, in the order of the model."""
    return tuple(dict.fromkeys(task.merged.get(name, name) for name in classes))


def merged_answers(answers: pa.RecordBatch, classes: Sequence[str], task: Task) -> pa.RecordBatch:
    """Answers under the names of today: chances of merged classes are added, and the likeliest is the answer.

    Of sets, the larger chance stands: whoever said either label said the one that is left.
    """
    names = classes_of(classes, task)
    said = renamed(written(answers.column("prediction"), task.answer), task.merged, task.answer)
    probs = probs_of(answers) if classes and task.answer != "number" else None
    columns: dict[str, Column] = {"prediction": pa.array(said, pa.string())}
    if probs is not None:
        place = [names.index(task.merged.get(name, name)) for name in classes]
        whole = np.zeros((len(answers), len(names)), np.float32)
        for k, at in enumerate(place):
            both = whole[:, at], probs[:, k]
            whole[:, at] = both[0] + both[1] if task.answer == "class" else np.maximum(*both)
        columns["probs"] = pa.FixedSizeListArray.from_arrays(pa.array(whole.ravel()), len(names))
        if task.answer == "class" and len(answers):
            best = whole.argmax(axis=1)
            gave = np.array([one is not None for one in said], bool)
            likeliest = [names[k] if g else None for k, g in zip(best.tolist(), gave.tolist(), strict=True)]
            columns["prediction"] = pa.array(likeliest, pa.string())
            if "confidence" in answers.schema.names:
                kind = answers.schema.field("confidence").type
                columns["confidence"] = pa.array(whole[np.arange(len(best)), best]).cast(kind)
    return pa.RecordBatch.from_arrays(
        [columns.get(name, answers.column(name)) for name in answers.schema.names],
        names=answers.schema.names,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Merged:
    """A model whose answers are read under the names of today."""

    model: Any
    task: Task

    @property
    def classes(self) -> tuple[str, ...]:
        return classes_of(tuple(getattr(self.model, "classes", ())), self.task)

    def __call__(self, rows: Rows, /) -> Answers:
        known = tuple(getattr(self.model, "classes", ()))
        return Answers(merged_answers(self.model(rows), known, self.task))

    def save(self, folder: Path) -> None:
        self.model.save(folder)


def told_apart(model: Respondent, task: Task | None) -> bool:
    """Whether a model still says labels that the task has merged; of one without classes nobody knows."""
    merged = set() if task is None else set(task.merged)
    return bool(merged & set(getattr(model, "classes", merged)))


def merging(model: Model, task: Task | None) -> Model:
    """The model itself, or, where it knows merged classes, under the names of today."""
    return Merged(model=model, task=task) if task is not None and told_apart(model, task) else model


def merging_opponent(opponent: Opponent, task: Task | None) -> Opponent:
    """An opponent and its out-of-fold answers under the names of today."""
    if task is None or not told_apart(opponent.respond, task):
        return opponent
    model: Any = opponent.respond
    known = tuple(getattr(model, "classes", ()))
    oof = None if opponent.oof is None else merged_answers(table_of(opponent.oof), known, task)
    return replace(opponent, respond=Merged(model=model, task=task), oof=oof)
