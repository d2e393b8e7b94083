"""What a project has for the label desk: open questions, items whose answer is known, likely ones of a class.

Read-only, so that the desk waits for no turn; never an exam item, nor a row that is kin to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, positions, strings
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.core.turn import named_seed
from bapsim.gather.voices import Item, Voice
from bapsim.image.pixels import thumbnail
from bapsim.store.lake import View, by_folder
from bapsim.store.project import Project
from bapsim.text.targets import label_set
from bapsim.wheel.audit import stands
from bapsim.wheel.held_out import table_of
from bapsim.wheel.seeking import likeliest
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.state import the_newest, unseen
from bapsim.wheel.stock import FILE, TRAINED, Stock, examined, load_stock

SURE = 0.8  # the out-of-fold confidence from which a model that agrees vouches for a label
PICTURE = 640  # pixels of the longer side of a picture as the desk shows it


def questions(project: Project, recipe: Recipe) -> list[Item]:
    """The open questions in the order of asking; key: the record's id in hex; guess: what the model says,
    None where nobody is to be led.
    """
    sheet = open_questions(project, recipe.task)
    shown = _shown(sheet.rows, recipe.task)
    said = sheet.suggested or [None] * len(sheet.ids)
    return [
        Item(key=one.hex(), shows=shows, guess=guess)
        for one, shows, guess in zip(sheet.ids, shown, said, strict=True)
    ]


def known_items(project: Project, recipe: Recipe, count: int) -> list[Item]:
    """At most `count` items whose answer is known, for blind tests: their voice is declared right.

    People's rows that are trained on, of as many labels as there are, whose label a model that had not seen
    them gives with confidence SURE or more: a slip of whoever labelled them first is nobody's test. No row of
    the exam, nor one of the same kin; of numbers there is none, for nearly right is not wrong.
    """
    task = recipe.task
    stock = load_stock(project, task)
    n = int(project.ledger.value("select coalesce(max(n), 0) from turn"))
    newest = the_newest(project, n + 1, task)
    if task.answer == "number" or newest is None or newest.oof is None:
        return []
    hidden = unseen(stock, stock.rows_with(examined(project.ledger, before=n + 1)))
    rows = np.flatnonzero((stands(project, stock) == TRAINED) & stock.by_people & stock.labelled & ~hidden)
    rows = rows[_vouched(newest.oof, stock, rows)]
    rng = np.random.default_rng(named_seed(recipe.seed, "known items"))
    rows = rng.permutation(rows)
    turn_of_each = _place_among_equals(stock.labels[rows])
    rows = rows[np.argsort(turn_of_each, kind="stable")][:count]
    shown = _shown(stock.part(rows), task)
    found = []
    for row, shows in zip(rows.tolist(), shown, strict=True):
        label = str(stock.labels[row])
        said = label_set(label) if task.answer == "labels" else label
        found.append(
            Item(key=stock.ids[row].tobytes().hex(), shows=shows, voices=(Voice(said=said, gold=True),))
        )
    return found


def _vouched(oof: Any, stock: Stock, rows: np.ndarray) -> np.ndarray:
    """bool[m]: rows whose label the out-of-fold answer gives, surely."""
    table = table_of(oof, ["_id", "prediction", "confidence"])
    place = positions(stock.records.column("_id").take(pa.array(rows)), table.column("_id"))
    said = np.array(strings(table.column("prediction")), object)[np.maximum(place, 0)]
    sure = table.column("confidence").to_numpy(zero_copy_only=False)[np.maximum(place, 0)] >= SURE
    return np.asarray((place >= 0) & sure & (said == stock.labels[rows]), bool)


def _place_among_equals(labels: np.ndarray) -> np.ndarray:
    """int64[m]: how many of the same label stand before each."""
    seen: dict[str, int] = {}
    found = []
    for label in labels.tolist():
        found.append(seen.get(label, 0))
        seen[label] = found[-1] + 1
    return np.array(found, np.int64)


def likely_items(project: Project, recipe: Recipe, label: str, count: int) -> list[Item]:
    """The pool's likeliest rows of one class, for a page of items to confirm; guess: the probability.

    Raises InputError for a class that the model does not know, for numbers, and without a model or a pool.
    """
    found = likeliest(project, recipe, label, count)
    rows = _records(project, found.ids)
    shown = _shown(rows, recipe.task)
    return [
        Item(key=one.hex(), shows=shows, guess=round(float(p), 3))
        for one, shows, p in zip(found.ids, shown, found.probability, strict=True)
    ]


def picture(project: Project, task: Task, key: str) -> tuple[str, bytes]:
    """Media type and bytes of a record's picture, PICTURE pixels at most and without what is hidden in files.

    Raises InputError where there is no such record.
    """
    try:
        one = bytes.fromhex(key)
    except ValueError:
        one = b""
    rows = _records(project, [one]) if len(one) == ID.byte_width else None
    if rows is None or not len(rows) or task.inputs[0] not in rows.schema.names:
        raise InputError("record_not_found", said=key[:40], hits=0)
    return thumbnail(rows.column(task.inputs[0])[0].as_py(), PICTURE)


def _records(project: Project, ids: Sequence[bytes]) -> pa.RecordBatch:
    """The records with these ids, in their order."""
    wanted, shards, parts = pa.array(ids, ID), project.shards(), []
    for folder, mine in by_folder(shards).items():
        view = View(name=folder, root=project.wheel, shards=tuple(shards[i] for i in mine))
        parts.append(pa.table(view.find(wanted)))
    whole = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
    place = positions(wanted, whole.column("_id").combine_chunks())
    batches = whole.take(pa.array(place[place >= 0])).combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=whole.schema)


def _shown(rows: pa.RecordBatch, task: Task) -> list[dict[str, str]]:
    """What a person sees of each row: its inputs as text, of a picture the name of its file without the
    folder, which is the label of those that have one.
    """
    names = [FILE] if task.kind == "image" else list(task.inputs)
    columns = [strings(rows.column(name)) for name in names if name in rows.schema.names]
    if task.kind == "image":
        columns = [[None if path is None else PurePosixPath(path).name for path in one] for one in columns]
    return (
        [
            {name: said for name, said in zip(names, cells, strict=True) if said is not None}
            for cells in zip(*columns, strict=True)
        ]
        if columns
        else [{} for _ in range(len(rows))]
    )
