"""Answers of the model that serves about a file, line by line; and of the model that a user has already."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings, take, valid
from bapsim.core.errors import InputError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Model, Recipe
from bapsim.core.records import Rows, Task, Unread, rows_of
from bapsim.gather.answers import escaped
from bapsim.gather.chunk import Chunk
from bapsim.gather.folder import Picture, as_rows, in_pieces
from bapsim.gather.read import read
from bapsim.gather.types import cast, typed
from bapsim.gather.unpack import shown
from bapsim.judge.opponents import Endpoint, predicted, row_key
from bapsim.store import fault
from bapsim.store.lake import file_sha256
from bapsim.store.project import Project
from bapsim.text.targets import written
from bapsim.wheel.column_types import declared_types, input_types
from bapsim.wheel.merging import merging
from bapsim.wheel.pictures import are_pictures
from bapsim.wheel.plain import as_json, measures, nothing, plain
from bapsim.wheel.state import current_model, state, the_champion
from bapsim.wheel.turn import Incumbent


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was written: lines, those of them without a prediction, and the version that answered."""

    lines: int
    unread: int
    version: str


def _harmless(project: Project, file: Path, out: Path) -> None:
    """Predictions go anywhere but over their own input and into what the project lives on."""
    place = out.resolve()
    kept = [project.root.resolve() / name for name in ("wheel", "inbox", "recipe.py")]
    if place == file.resolve() or any(place == one or one in place.parents for one in kept):
        raise InputError("out_is_needed", out=str(out))


def predict_file(
    project: Project, recipe: Recipe, file: Path, out: Path, keep: Sequence[str] = ()
) -> Predicted:
    """One line for each record of a file, in its order: prediction, confidence, in_scope (0..1).

    A set of labels is a list in JSON and written in a sheet; a number has low and high in place of a
    confidence: four of five truths lie between them. Of a picture, or a folder of them: one line for each
    file, with its name in the column `file`. JSON, or a sheet with the column `error` at its end where `out`
    is named .csv. keep: columns of the file that stand before the answers, as they were written.

    Cells that the recipe's sources read as no value (`nulls`) are none here, too. A record that cannot be
    read gets a line with null and `error`, so that lines can be counted off against
    the input. In pieces: memory does not grow with the file. `out` is there whole or not at all. Raises
    InputError when no model serves, the file lacks a column that the model reads or that is to be kept, or
    one is called like what is written beside it.
    """
    _harmless(project, file, out)
    if out.suffix.lower() not in (".csv", ".jsonl", ".json", ".ndjson", ".txt", ""):
        raise InputError("out_format", out=shown(out.name))
    served = current_model(project)
    if served is None:
        raise InputError("nothing_serves")
    task = recipe.task
    version, model = served[0], merging(served[1], task)
    types, nulls = input_types(project.ledger, task), _nulls(recipe)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    lines = unread = 0
    try:
        sheet = out.suffix.lower() == ".csv"
        named = ("file",) if task.kind == "image" and are_pictures(file) else ()
        columns = (*named, *keep, "prediction", *measures(task), "error")
        if len(set(columns)) < len(columns):
            raise InputError("keep_taken", columns=", ".join(map(shown, keep)), known=", ".join(columns))
        with temporary.open("w", encoding="utf-8-sig" if sheet else "utf-8", newline="") as sink:
            put = _sheet(sink, columns) if sheet else _json_lines(sink, task)
            for piece in _pieces(file, task, (types, nulls), model, keep):
                for row in piece:
                    lines, unread = lines + 1, unread + (row["prediction"] is None)
                    put(row)
        fault.sync(temporary)
        fault.rename(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return Predicted(lines=lines, unread=unread, version=version)


def has_columns(chunk: Chunk, wanted: Sequence[str], file: Path) -> None:
    """Raises InputError when a column is missing; a chunk of unread records alone has none to miss."""
    names = chunk.rows.schema.names
    missing = [name for name in wanted if name not in names]
    if names and missing:
        known = ", ".join(map(shown, names[:40]))
        raise InputError("input_missing", file=shown(file.name), columns=", ".join(missing), known=known)


Put = Callable[[dict[str, Any]], object]


def _json_lines(sink: IO[str], task: Task) -> Put:
    def put(row: dict[str, Any]) -> object:
        return sink.write(json.dumps(as_json(row, task), ensure_ascii=False) + "\n")

    return put


def _sheet(sink: IO[str], columns: Sequence[str]) -> Put:
    """Rows that open in a spreadsheet: with a head, and without a cell that would run."""
    writer = csv.DictWriter(sink, columns)
    writer.writeheader()
    return lambda row: writer.writerow({k: escaped(v) if isinstance(v, str) else v for k, v in row.items()})


def _nulls(recipe: Recipe) -> tuple[str, ...]:
    """Texts that mean that there is no value, in any source of the recipe: so a turn read them."""
    said = (getattr(source, "nulls", ()) for source in recipe.sources.values())
    return tuple(dict.fromkeys(null for nulls in said for null in nulls))


def _pieces(
    file: Path, task: Task, cells: tuple[Mapping[str, str], Sequence[str]], model: Model, keep: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """What is to be written, some lines at a time; cells: types of the columns, and what means no value."""
    if task.kind == "image" and are_pictures(file):
        for some in in_pieces(file):
            yield _of_pictures(some, task, model)
        return
    for chunk in read(file):
        has_columns(chunk, (*task.inputs, *keep), file)
        kept = _kept(chunk, keep)
        yield [{**kept.get(line, {}), **row} for line, row in _lines(typed(chunk, *cells), task, model)]


def _of_pictures(some: list[Picture | Unread], task: Task, model: Model) -> list[dict[str, Any]]:
    """One line for each file, in order."""
    pictures = [one for one in some if not isinstance(one, Unread)]
    said = iter(_answered(model, rows_of(as_rows(pictures, task), task.inputs), task))
    lines = []
    for one in some:
        if isinstance(one, Unread):
            error = f"{one.reason} {one.detail}".strip()
            lines.append({"file": one.file, **nothing(task, error)})
        else:
            lines.append({"file": one.place.file, **next(said)})
    return lines


def _kept(chunk: Chunk, keep: Sequence[str]) -> dict[int, dict[str, Any]]:
    """The cells of these columns as texts, by line; of a record that cannot be read there are none."""
    if not keep or not len(chunk.rows):
        return {}
    columns = [strings(cast(chunk.rows.column(name), "string")[0]) for name in keep]
    cells = (dict(zip(keep, row, strict=True)) for row in zip(*columns, strict=True))
    return dict(zip(chunk.lines.tolist(), cells, strict=True))


def _lines(chunk: Chunk, task: Task, model: Model) -> list[tuple[int, dict[str, Any]]]:
    """The lines of one chunk in the order of the file, each with its number."""
    said = list(_answered(model, rows_of(chunk.rows, task.inputs), task)) if len(chunk.rows) else []
    lines = [(int(line), 0, row) for line, row in zip(chunk.lines, said, strict=True)]
    for one in chunk.unread:
        error = f"line {one.line}: {one.reason} {one.detail}".strip()
        lines.append((one.line, 1, nothing(task, error)))
    lines.sort(key=lambda each: each[:2])
    return [(line, row) for line, _, row in lines]


def _answered(model: Model, rows: Rows, task: Task) -> Iterator[dict[str, Any]]:
    """Answers as plain values; a text that is not there is not answered."""
    answers = model(rows)
    blank = np.zeros(len(rows), bool)
    if task.kind == "text":
        texts = [strings(rows.column(name)) for name in task.inputs]
        blank = np.array([not any(t and t.strip() for t in row) for row in zip(*texts, strict=True)], bool)
    for silent, row in zip(blank.tolist(), plain(answers, task), strict=True):
        yield nothing(task, "no text") if silent else row


# --------------------------------------------------------------------------- the user's own model


def incumbent(recipe: Recipe, said: str) -> Incumbent:
    """The model to beat: a URL, or a file with the input columns and `prediction`.

    Raises InputError where the file has no such columns or contradicts itself.
    """
    if said.startswith(("http://", "https://")):
        return Incumbent(respond=Endpoint(url=said), fingerprint=fingerprint("endpoint", said))
    file, task = Path(said), recipe.task
    types = dict.fromkeys(task.inputs, "string") | declared_types(recipe)
    inputs: list[pa.RecordBatch] = []
    labels: list[str] = []
    for chunk in read(file):
        has_columns(chunk, [*task.inputs, "prediction"], file)
        if not chunk.rows.schema.names:
            continue
        prediction, _ = cast(chunk.rows.column("prediction"), "string")
        rows = typed(Chunk(chunk.rows, chunk.lines, file=chunk.file), types, _nulls(recipe))
        kept = np.isin(chunk.lines, rows.lines)
        told = written(prediction.filter(pa.array(kept)), task.answer)
        inputs.append(take(rows.rows, np.array([label is not None for label in told], bool)))
        labels += [label for label in told if label is not None]
    if not labels:
        raise InputError("nothing_to_read", file=shown(file.name), unread=0)
    whole = pa.Table.from_batches(inputs).combine_chunks().to_batches()[0]
    return Incumbent(respond=predicted(Rows(whole), labels), fingerprint=file_sha256(file)[:16])


def covers(project: Project, recipe: Recipe, beat: Incumbent) -> None:
    """Raises InputError where a predictions file leaves out labelled rows: each would count as wrong.

    Nothing is checked once a model was proven, for then the incumbent is no opponent any more.
    """
    known = getattr(beat.respond, "by_input", None)
    if known is None or the_champion(project) is not None:
        return
    turn = replace(state(project, recipe, 1), inbox=project.inbox)
    rows = missing = 0
    for source in recipe.sources.values():
        for draft in source(turn) if hasattr(source, "reads") else ():
            if recipe.task.target in draft.rows.schema.names:
                labelled = take(draft.rows, valid(draft.rows.column(recipe.task.target)))
                keys = row_key(rows_of(labelled, recipe.task.inputs))
                rows += len(keys)
                missing += sum(key not in known for key in keys)
    if missing:
        raise InputError("incumbent_has_gaps", missing=f"{missing:,}", rows=f"{rows:,}")
