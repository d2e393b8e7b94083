"""The open questions of a project as a sheet that people fill in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, id_bytes, positions
from bapsim.core.records import Task, rows_of
from bapsim.gather.answers import Sheet
from bapsim.store.lake import View, by_folder
from bapsim.store.project import Project
from bapsim.text.targets import labels_in, numbers_of
from bapsim.wheel.audit import stands
from bapsim.wheel.stock import EXAM, FILE, PENDING, TRAINED, load_stock


def open_questions(project: Project, task: Task, only: Sequence[bytes] | None = None) -> Sheet:
    """What is worth asking, in the order of asking: inputs, ids, what the model says, known labels.

    only: of these questions, in this order.
    """
    query = "select id, suggested from question where state='open' order by rowid"
    asked = {one["id"]: one["suggested"] for one in project.ledger.rows(query)}
    asked = asked if only is None else {one: asked[one] for one in only}
    found = _questions(project, task, list(asked))
    there = [one.tobytes() for one in id_bytes(found.column("_id"))]
    return Sheet(
        rows=rows_of(found),
        ids=there,
        target=task.target,
        suggested=[asked[one] for one in there],
        classes=() if task.answer == "number" else known_labels(project, task),
    )


def _questions(project: Project, task: Task, ids: list[bytes]) -> pa.RecordBatch:
    """The asked rows in the order of asking: `_id`, inputs, names of picture files.

    Questions may come from sources that have other columns beside the task's.
    """
    wanted, shards = pa.array(ids, ID), project.shards()
    names = ["_id", *task.inputs, *([FILE] if task.kind == "image" else [])]
    parts = []
    for folder, mine in by_folder(shards).items():
        view = View(name=folder, root=project.wheel, shards=tuple(shards[i] for i in mine))
        found = view.find(wanted)
        parts.append(pa.table(found.select([name for name in names if name in found.schema.names])))
    if not ids or not parts:
        return pa.RecordBatch.from_pylist([], schema=pa.schema([("_id", ID)]))
    whole = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
    place = positions(wanted, whole.column("_id").combine_chunks())
    return whole.take(pa.array(place[place >= 0])).combine_chunks().to_batches()[0]


def odd_numbers(project: Project, task: Task, said: Mapping[str, int]) -> dict[str, int]:
    """Answers that are no numbers, or farther from all known ones than these lie apart; with their counts."""
    known = numbers_of(standing_labels(project, task))
    low, high = (float(np.nanmin(known)), float(np.nanmax(known))) if len(known) else (-np.inf, np.inf)
    values = dict(zip(said, numbers_of(list(said)).tolist(), strict=True))
    reach = high - low if len(known) else np.inf
    return {one: said[one] for one, v in values.items() if not low - reach <= v <= high + reach}


def known_labels(project: Project, task: Task) -> list[str]:
    """The labels of records that stand, sorted: a slip that was mended is none; of sets, each by itself."""
    said = standing_labels(project, task)
    return labels_in(said) if task.answer == "labels" else said


def standing_labels(project: Project, task: Task) -> list[str]:
    """What the records that stand say, written, each once, sorted."""
    stock = load_stock(project, task)
    stand = np.isin(stands(project, stock), [EXAM, TRAINED, PENDING]) & stock.labelled
    return sorted(set(stock.labels[stand].tolist()))
