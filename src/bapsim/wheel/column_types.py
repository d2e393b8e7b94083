"""The types of a task's columns: as the recipe declares them, else as the records have them already.

A source that infers its types, such as a service's log, meets other cells than the first file did: a column
of times is text in JSON. What it brings is read in the types that there are, or is unread; the stock of a
wheel whose recipe changed a type is read in the newest type that all its cells fit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import take
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Lineage, Rows, Task, Unread
from bapsim.gather.types import NATIVE, arrow_type, cast, common, name_of
from bapsim.gather.unpack import shown
from bapsim.store.ledger import Ledger


def declared_types(recipe: Recipe) -> dict[str, str]:
    """The types of the task's columns, but for what it answers, that the recipe's sources declare."""
    types: dict[str, str] = {}
    for source in recipe.sources.values():
        types |= getattr(source, "types", {})
    there = (name for name in _read_as_they_are(recipe.task) if types.get(name, NATIVE) != NATIVE)
    return {name: types[name] for name in there}


def known_types(ledger: Ledger, task: Task) -> dict[str, str]:
    """The types in which the records have these columns: one that holds all, else the newest."""
    types: dict[str, str] = {}
    for row in ledger.rows("select columns from folder order by rowid"):
        there = dict(json.loads(row["columns"]))
        for name in _read_as_they_are(task):
            if name in there and there[name] != "null":
                types[name] = _both(types.get(name), there[name])
    return types


def input_types(ledger: Ledger, task: Task) -> dict[str, str]:
    """The types of the input columns in the records; text where there are none."""
    return {name: known_types(ledger, task).get(name, "string") for name in task.inputs}


def _both(old: str | None, new: str) -> str:
    try:
        kind = arrow_type(new)
    except InputError:  # decimals, dictionaries and the like have no name
        return NATIVE
    held = kind if old in (None, NATIVE) else common(arrow_type(str(old)), kind)
    return name_of(kind if held is None else held)


def _read_as_they_are(task: Task) -> list[str]:
    """The task's columns but for its answers, which are read as text whatever they are."""
    return [name for name in task.columns if name not in (task.target, task.votes)]


def fitting(draft: Draft, types: Mapping[str, str], first: int) -> Draft:
    """A draft whose columns go with those types; a row with a cell that does not is unread.

    first: how many rows the source brought before, for rows without a place of their own are counted.
    """
    rows, bad = draft.rows, np.full(len(draft.rows), "", object)
    for at, column in enumerate(draft.rows.schema):
        kind = types.get(column.name, NATIVE)
        if kind == NATIVE or common(column.type, arrow_type(kind)) is not None:
            continue
        made, misfit = cast(rows.column(at), kind)
        rows = Rows(rows.set_column(at, column.name, made))
        bad[misfit & (bad == "")] = f"{shown(column.name)}: not {kind}"
    draft, lost = replace(draft, rows=rows), np.flatnonzero(bad != "")
    if not len(lost):
        return draft
    file = draft.origin.batch or draft.origin.source
    unread = [Unread(file=file, line=first + int(i) + 1, reason="type", detail=bad[i]) for i in lost]
    return _part(replace(draft, unread=(*draft.unread, *unread)), np.flatnonzero(bad == ""))


def _part(draft: Draft, at: np.ndarray) -> Draft:
    """Some rows of a draft."""
    line, index = draft.parents, pa.array(at)
    return replace(
        draft,
        rows=Rows(take(draft.rows, at)),
        keys=None if draft.keys is None else [draft.keys[i] for i in at.tolist()],
        consents=None if draft.consents is None else [draft.consents[i] for i in at.tolist()],
        parents=line
        and Lineage(
            ids=line.ids.take(index),
            input_depth=line.input_depth.take(index),
            target_depth=line.target_depth.take(index),
        ),
    )


def alike(tables: Sequence[pa.Table], task: Task) -> list[pa.Table]:
    """Tables of which each has the task's columns in types that go with the others'.

    Where none holds all, the newest that every cell fits, else text, so that nothing is lost.
    """
    made = list(tables)
    for name in _read_as_they_are(task):
        kinds = [t.schema.field(name).type for t in made if name in t.schema.names]
        if len(set(kinds)) > 1 and not _held(made, name, reduce(_or_none, kinds)):
            names = dict.fromkeys([name_of(kind) for kind in reversed(kinds)])
            kind = next((k for k in names if k != NATIVE and _fit(made, name, k)), "string")
            made = [_with(t, name, kind) for t in made]
    return made


def _held(tables: Sequence[pa.Table], name: str, kind: Any) -> bool:
    """Whether all cells fit a type as they are: a date of 9999 has no nanoseconds, 2^53 + 1 is no float64."""
    try:
        for table in tables if kind is not None else ():
            if name in table.schema.names:
                table.column(name).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return kind is not None


def _or_none(one: Any, other: Any) -> Any:
    return None if one is None else common(one, other)


def _fit(tables: Sequence[pa.Table], name: str, kind: str) -> bool:
    """The same, of texts: whether each says a value of that type."""
    for table in tables:
        if name not in table.schema.names:
            continue
        column = table.column(name).combine_chunks()
        text = pa.types.is_string(column.type)
        if cast(column, kind)[1].any() if text else not _held([table], name, arrow_type(kind)):
            return False
    return True


def _with(table: pa.Table, name: str, kind: str) -> pa.Table:
    if name not in table.schema.names:
        return table
    made, _ = cast(table.column(name).combine_chunks(), kind)
    return table.set_column(table.schema.get_field_index(name), name, made)
