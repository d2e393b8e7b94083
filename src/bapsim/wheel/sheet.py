"""The open questions of a project as a sheet that people fill in."""

from __future__ import annotations

import numpy as np

from bapsim.core.arrow import strings
from bapsim.core.records import Task, rows_of
from bapsim.gather.answers import Sheet
from bapsim.store.lake import View
from bapsim.store.project import Project
from bapsim.wheel.stock import load_stock


def open_questions(project: Project, task: Task) -> Sheet:
    """What is worth asking, in the order of asking: inputs, ids, what the model says, known labels."""
    query = "select id, suggested from question where state='open' order by rowid"
    stock = load_stock(project, task)  # questions may come from sources with other columns beside the task's
    asked = [one for one in project.ledger.rows(query) if one["id"] in stock.place]
    found = stock.part(np.array([stock.place[one["id"]] for one in asked], np.int64))
    return Sheet(
        rows=rows_of(found, task.inputs),
        ids=[one["id"] for one in asked],
        target=task.target,
        suggested=[one["suggested"] for one in asked],
        classes=known_labels(project, task),
    )


def known_labels(project: Project, task: Task) -> list[str]:
    """All labels that records have, sorted."""
    labels: set[str] = set()
    view = View(name="all", root=project.wheel, shards=tuple(project.shards()))
    for batch in view.batches([task.target]):
        labels.update(label for label in strings(batch.column(task.target)) if label is not None)
    return sorted(labels)
