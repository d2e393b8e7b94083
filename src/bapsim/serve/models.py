"""Models as they are served: loaded, tried, and compared with what they said out of fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bapsim.core.arrow import numbers
from bapsim.core.errors import BapsimError, Damaged
from bapsim.core.recipe import Model
from bapsim.core.records import Task
from bapsim.judge.drift import histogram
from bapsim.serve.asked import Columns, batch, probe
from bapsim.serve.release import model_folder
from bapsim.store import artifacts
from bapsim.store.lake import read_batch
from bapsim.text.targets import label_set, numbers_of, written
from bapsim.wheel.held_out import OOF
from bapsim.wheel.merging import merging
from bapsim.wheel.plain import as_json, plain

BINS = 20  # of confidences, or of widths of intervals
TENTHS = 10  # of predicted numbers
UNSURE = 0.1  # the share of out-of-fold answers that is called unsure
FAR = 0.05  # the share of rows held out of training that have in_scope < .5, by its definition


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a model's out-of-fold answers looked like. mix: answers by name (of numbers: by tenth); sure:
    answers by confidence, BINS from 0 to 1; unsure: the confidence below which a tenth of them lay; edges: of
    the tenths.
    """

    mix: dict[str, int] = field(default_factory=dict)
    sure: tuple[int, ...] = ()
    unsure: float | None = None
    edges: tuple[float, ...] = ()

    def names_of(self, prediction: Any) -> list[str]:
        """Under which names of the mix an answer counts."""
        if isinstance(prediction, list):
            return [str(one) for one in prediction]
        if isinstance(prediction, str):
            return [prediction]
        if prediction is None or not self.edges:
            return []
        return [str(int(np.searchsorted(self.edges, prediction, side="right")))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Served:
    """A model that answers, its version, and what is expected of its answers."""

    version: str
    model: Model
    expected: Expected
    answer: Callable[[Sequence[Columns]], list[Any]]


def served(root: Path, version: str, task: Task, types: dict[str, str]) -> Served:
    """Load a version and try it on made-up rows; whatever is wrong with it is a BapsimError."""
    folder = model_folder(root, version)
    try:
        model = merging(artifacts.load(folder, root), task)  # under the names of today
        answers = answering(model, task, types)
        model(probe(task, types))
    except BapsimError:
        raise
    except Exception as why:  # a loader of the user's may raise anything
        raise Damaged("model_not_served", version=version, why=f"{type(why).__name__}: {why}") from why
    return Served(version=version, model=model, expected=expected(folder, task), answer=answers)


def answering(model: Model, task: Task, types: dict[str, str]) -> Callable[[Sequence[Columns]], list[Any]]:
    """A function from requests, as columns of values, to the answers of each, as values for JSON."""

    def answer(parts: Sequence[Columns]) -> list[Any]:
        rows = batch(parts, task, types)
        said = plain(model(rows), task)
        if len(said) != len(rows):
            raise ValueError(f"{len(said)} answers to {len(rows)} rows")
        if task.answer == "labels":
            said = [as_json(one, task) for one in said]
        if len(parts) == 1:
            return [said]
        found, at = [], 0
        for part in parts:
            count = len(part[task.inputs[0]])
            found.append(said[at : at + count])
            at += count
        return found

    return answer


def expected(folder: Path, task: Task) -> Expected:
    """What the out-of-fold answers of the model in a folder say; nothing where it has none."""
    path = folder.parent / "judged" / OOF
    if not path.is_file():
        return Expected()
    there = pq.read_schema(path).names
    table = read_batch(path, [name for name in ("prediction", "confidence") if name in there])
    table = table.filter(table.column("prediction").is_valid())
    said = written(table.column("prediction"), task.answer)
    edges: tuple[float, ...] = ()
    mix: dict[str, int] = {}
    if task.answer == "number":
        values = numbers_of(said)
        edges = tuple(np.quantile(values, np.arange(1, TENTHS) / TENTHS).tolist()) if len(values) else ()
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=TENTHS)
        mix = {str(i): int(n) for i, n in enumerate(counts.tolist())}
    else:
        for one in said:
            for name in label_set(one or "") if task.answer == "labels" else [one or ""]:
                mix[name] = mix.get(name, 0) + 1
    if "confidence" not in table.schema.names:
        return Expected(mix=mix, edges=edges)
    sure = numbers(table.column("confidence").filter(table.column("confidence").is_valid()))
    if not len(sure):
        return Expected(mix=mix, edges=edges)
    seen = tuple(histogram(sure, BINS).tolist())
    return Expected(mix=mix, sure=seen, unsure=float(np.quantile(sure, UNSURE)), edges=edges)
