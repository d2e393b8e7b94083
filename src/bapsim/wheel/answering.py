"""Answers become records: the question's own columns, with the target that a person gave.

Here and not in a source: the questions that became exam items are hidden from every source, and their answers
are counted, and may be corrected, all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, strings, take
from bapsim.core.records import Draft, Records, Rows, Unread, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.answers import with_target
from bapsim.gather.unpack import shown
from bapsim.store.lake import View, by_folder
from bapsim.store.project import Project


def whole(project: Project, draft: Draft, turn: Turn) -> Iterator[Draft]:
    """A draft as it is, or, where its rows are bare answers, drafts of the questions that they answer; other
    columns of the answers stand beside the target.

    A target that does not fit the type of its column is an unread line (`type`).
    """
    if draft.asked is None:
        yield draft
        return
    said = strings(draft.rows.column(turn.task.target))
    for asked in _questions(project, draft.asked, turn.n):
        place = {one: i for i, one in enumerate(asked.column("_id").to_pylist())}
        mine = [i for i, one in enumerate(draft.asked) if one in place]
        parents = Records(take(asked, np.array([place[draft.asked[i]] for i in mine], np.int64)))
        given = pa.array([said[i] for i in mine], pa.string())
        rows, bad = with_target(rows_of(parents), turn.task, given)
        for name in (n for n in draft.rows.schema.names if n != turn.task.target):
            column = draft.rows.column(name).take(pa.array(mine, pa.int64()))
            rows = _beside(rows, name, column)
        good = np.flatnonzero(~bad)
        made = derive(
            Records(take(parents, good)),
            [[i] for i in range(len(good))],
            Rows(take(rows, good)),
            changed=frozenset({"target"}),
            origin=draft.origin,
        )
        places = (draft.places[mine[i]] for i in np.flatnonzero(bad))
        unread = tuple(_unfit(file, line, turn.task.target) for file, line in places)
        consents = None if draft.consents is None else [draft.consents[mine[i]] for i in good.tolist()]
        yield replace(made, unread=unread, consents=consents)


def _beside(rows: pa.RecordBatch, name: str, column: Any) -> pa.RecordBatch:
    """The rows with a column that the answers brought along, such as who said what."""
    at = rows.schema.get_field_index(name)
    return rows.append_column(name, column) if at < 0 else rows.set_column(at, name, column)


def _unfit(file: str, line: int, target: str) -> Unread:
    return Unread(file=file, line=line, reason="type", detail=shown(target))


def _questions(project: Project, ids: Any, n: int) -> Iterator[Records]:
    """The asked records, one batch a folder (all of one schema)."""
    shards = project.shards(before=n)
    wanted = pa.array(list(dict.fromkeys(ids)), ID)
    for folder, mine in by_folder(shards).items():
        view = View(name=folder, root=project.wheel, shards=tuple(shards[i] for i in mine))
        found = view.find(wanted)
        if len(found):
            yield found
