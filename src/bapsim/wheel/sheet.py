"""The open questions of a project as a sheet that people fill in."""

from __future__ import annotations

import pyarrow as pa

from bapsim.core.arrow import ID, id_bytes, strings
from bapsim.core.records import Task, rows_of
from bapsim.gather.answers import Sheet
from bapsim.store.lake import View
from bapsim.store.project import Project
from bapsim.wheel.stock import FILE


def open_questions(project: Project, task: Task) -> Sheet:
    """What is worth asking, in the order of asking: inputs, ids, what the model says, known labels."""
    asked = project.ledger.rows("select id, suggested from question where state='open' order by rowid")
    ids = pa.array([one["id"] for one in asked], ID)
    view = View(name="questions", root=project.wheel, shards=tuple(project.shards()))
    found = view.find(ids)
    suggested = {one["id"]: one["suggested"] for one in asked}
    there = [one.tobytes() for one in id_bytes(found.column("_id"))]
    return Sheet(
        rows=rows_of(
            found, [*task.inputs, *({FILE} & set(found.schema.names) if task.kind == "image" else ())]
        ),
        ids=there,
        target=task.target,
        suggested=[suggested[one] for one in there],
        classes=known_labels(project, task),
    )


def known_labels(project: Project, task: Task) -> list[str]:
    """All labels that records have, sorted."""
    labels: set[str] = set()
    view = View(name="all", root=project.wheel, shards=tuple(project.shards()))
    for batch in view.batches([task.target]):
        labels.update(label for label in strings(batch.column(task.target)) if label is not None)
    return sorted(labels)
