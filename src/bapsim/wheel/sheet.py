"""The open questions of a project as a sheet that people fill in."""

from __future__ import annotations

import pyarrow as pa

from bapsim.core.arrow import ID, id_bytes
from bapsim.core.records import Task, rows_of
from bapsim.gather.answers import Sheet
from bapsim.store.lake import View
from bapsim.store.project import Project
from bapsim.text.targets import labels_in, written


def open_questions(project: Project, task: Task) -> Sheet:
    """What is worth asking, in the order of asking: inputs, ids, what the model says, known labels."""
    asked = project.ledger.rows("select id, suggested from question where state='open' order by rowid")
    ids = pa.array([one["id"] for one in asked], ID)
    view = View(name="questions", root=project.wheel, shards=tuple(project.shards()))
    found = view.find(ids)
    suggested = {one["id"]: one["suggested"] for one in asked}
    there = [one.tobytes() for one in id_bytes(found.column("_id"))]
    return Sheet(
        rows=rows_of(found, task.inputs),
        ids=there,
        target=task.target,
        suggested=[suggested[one] for one in there],
        classes=() if task.answer == "number" else known_labels(project, task),
    )


def known_labels(project: Project, task: Task) -> list[str]:
    """All labels that records have, sorted; of sets, each by itself."""
    said: set[str | None] = set()
    view = View(name="all", root=project.wheel, shards=tuple(project.shards()))
    for batch in view.batches([task.target]):
        said.update(written(batch.column(task.target), task.answer))
    return labels_in(said) if task.answer == "labels" else sorted(one for one in said if one is not None)
