"""Jobs for the label desk: items from any file with what people said of them already, and back out again.

An item is shown to people in one of four ways: a label (one, several or a number), a pair of texts of which
one is better, spans within a text, or a page of likely items to confirm. Formats: Label Studio's JSON, CSV,
TSV, Excel workbooks, JSON lines; out as they came in, every voice on a line of its own.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.answers import escaped, unescaped
from bapsim.gather.chunk import Chunk, NotRead
from bapsim.gather.label_studio import as_tasks, is_tasks, read_tasks
from bapsim.gather.question_book import question_book
from bapsim.gather.read import WORKBOOKS, read, suffix
from bapsim.gather.types import written
from bapsim.gather.voices import ANSWERS, Item, Kind, Span, Voice

OUT = Literal["json", "jsonl", "csv", "xlsx"]
ABOUT = ("item", "said", "by", "at", "seconds", "comment", "gold")  # columns of a voice beside the item's own
CHOSEN = ("chosen", "rejected")
PAIRED = (("a", "b"), CHOSEN, ("left", "right"), ("response_a", "response_b"))
NOBODY = Voice(said=None)
MOST = 100_000  # items of one job: people answer them


@dataclass(frozen=True, kw_only=True)
class Job:
    """Items of one kind, the labels that they know, and lines that could not be read.

    items + unread = records of the file.
    """

    kind: Kind
    items: tuple[Item, ...]
    labels: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = field(default=())


def read_job(path: Path, kind: Kind = "label", target: str | None = None, key: str | None = None) -> Job:
    """The items of a file. target: the column with labels, spans or the better one, if it has any; key: the
    column with the source's own name of an item, else they are numbered.

    Of pairs the columns a and b (or chosen and rejected, left and right) are the two. Raises InputError for a
    file that cannot be used as a whole, without items, or with more than MOST.
    """
    items: list[Item] = []
    unread: list[Unread] = []
    undo = str if suffix(path) in WORKBOOKS else unescaped
    for chunk in read(path):
        unread += chunk.unread
        if is_tasks(chunk.rows.schema.names):
            kind = read_tasks(chunk, items, unread) or kind
        else:
            _read_rows(chunk, _Form(kind, target, key, undo), items, unread)
    if len(items) > MOST:
        raise InputError("job_too_large", file=path.name, items=len(items), most=MOST)
    if not items:
        raise InputError("job_empty", file=path.name, unread=len(unread))
    said = {label for item in items for voice in item.voices for label in _labels(voice.said)}
    return Job(kind=kind, items=tuple(items), labels=tuple(sorted(said)), unread=tuple(unread))


class _Form(NamedTuple):
    """How the rows of a file are read."""

    kind: Kind
    target: str | None
    key: str | None
    undo: Callable[[str], str]


def _read_rows(chunk: Chunk, form: _Form, items: list[Item], unread: list[Unread]) -> None:
    """Adds the rows of a chunk: lines of one name are one item, on which several people spoke."""
    names = chunk.rows.schema.names
    if "item" in names and "said" in names:  # as `write_job` writes them
        form = form._replace(key=form.key or "item", target=form.target or "said")
    two = _two(names, form.kind, chunk.file)
    columns = [written(column).to_pylist() for column in chunk.rows.columns]
    place = {item.key: i for i, item in enumerate(items)} if form.key is not None else {}
    for line, *row in zip(chunk.lines.tolist(), *columns, strict=True):
        cells = {n: form.undo(said) for n, said in zip(names, row, strict=True) if said is not None}
        try:
            one = _item(cells, form, two, len(items) + 1)
            at = place.setdefault(one.key, len(items)) if form.key is not None else len(items)
            if at == len(items):
                items.append(one)
            elif items[at].shows == one.shows:
                items[at] = replace(items[at], voices=(*items[at].voices, *one.voices))
            else:
                raise NotRead("item", one.key[:40])
        except NotRead as why:
            unread.append(why.at(chunk.file, line))


def _two(names: Sequence[str], kind: Kind, file: str) -> tuple[str, str] | None:
    """The columns of the two texts of a pair."""
    if kind != "pair":
        return None
    found = next((two for two in PAIRED if set(two) <= set(names)), None)
    if found is None:
        known = ", ".join(" + ".join(two) for two in PAIRED)
        raise InputError("job_no_pair", file=file, columns=", ".join(names[:12]), known=known)
    return found


def _item(cells: dict[str, str], form: _Form, two: tuple[str, str] | None, number: int) -> Item:
    name = str(number) if form.key is None else cells.pop(form.key, "").strip()
    if not name:
        raise NotRead("no_key", form.key or "")
    said = cells.pop(form.target, "").strip() if form.target is not None else ""
    about = {n: cells.pop(n) for n in ABOUT if n in cells and form.key == "item"}
    shows, better = cells, None
    if two is not None:
        better = "a" if two == CHOSEN else None  # what was chosen once is a voice, shown on either side
        shows |= {"a": shows.pop(two[0], ""), "b": shows.pop(two[1], "")}
    if not any(text.strip() for text in shows.values()):
        raise NotRead("no_input", name[:40])
    given = _said(said, form.kind, shows) if said else better
    if given is None and not about.get("by"):
        return Item(key=name, shows=shows)
    voice = Voice(
        said=given,
        by=about.get("by"),
        at=about.get("at"),
        seconds=_number(about.get("seconds")),
        comment=about.get("comment"),
        gold=about.get("gold", "").casefold() == "true",
        skipped=given is None,
    )
    return Item(key=name, shows=shows, voices=(voice,))


def _number(said: str | None) -> float | None:
    try:
        value = float(said or "nan")
    except ValueError as why:
        raise NotRead("type", f"seconds: {(said or '')[:20]}") from why
    return value if math.isfinite(value) else None


def _said(said: str, kind: Kind, shows: Mapping[str, str]) -> Any:
    """An answer as a cell has it; a JSON list of texts is a set of labels."""
    if kind == "spans":
        return spans_in(said, next(iter(shows.values())))
    if kind == "pair":
        if said.casefold() not in ANSWERS["pair"]:
            raise NotRead("unknown_label", said[:40])
        return said.casefold()
    if said.startswith("["):
        try:
            listed = json.loads(said)
        except (ValueError, RecursionError):
            return said
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            return tuple(listed)
    return said


def spans_in(said: str, text: str) -> tuple[Span, ...]:
    """Spans as JSON: a list of objects {start, end, label (or type)} or of triples; code points of the text.

    Raises NotRead where one is none, empty or outside of the text.
    """
    try:
        listed = json.loads(said)
    except (ValueError, RecursionError) as why:
        raise NotRead("spans", said[:40]) from why
    found = []
    for one in listed if isinstance(listed, list) else [None]:
        parts = _parts(one)
        whole = len(parts) == 3 and all(type(n) is int for n in parts[:2]) and isinstance(parts[2], str)
        if not whole or not 0 <= parts[0] < parts[1] <= len(text):
            raise NotRead("spans", json.dumps(one, ensure_ascii=False)[:40])
        found.append(Span(*parts))
    return tuple(sorted(set(found)))


def _parts(one: Any) -> list[Any]:
    """Start, end and label of a span."""
    if isinstance(one, dict):
        return [one.get("start"), one.get("end"), one.get("label", one.get("type"))]
    return one if isinstance(one, list) else []


def _labels(said: Any) -> Iterable[str]:
    if isinstance(said, str):
        return [said]
    return [one.label if isinstance(one, Span) else str(one) for one in said or ()]


# ---------------------------------------------------------------- out


def write_job(job: Job, out: OUT) -> bytes:
    """A job as a file: Label Studio's JSON, or a line for every voice (an item without one has a line, too).

    `read_job` reads it again: the same items, and of each the voices in their order.
    """
    if out == "json":
        return (json.dumps(as_tasks(job.items, job.kind), ensure_ascii=False, indent=1) + "\n").encode()
    rows = list(_rows(job))
    if out == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for row in rows] for name in names]
    if out == "xlsx":
        return question_book(names, cells, "said", ())
    body = io.StringIO(newline="")
    writer = csv.writer(body)
    writer.writerow(map(escaped, names))
    writer.writerows([escaped(cell or "") for cell in row] for row in zip(*cells, strict=True))
    return body.getvalue().encode("utf-8-sig")


def _rows(job: Job) -> Iterator[dict[str, Any]]:
    for item in job.items:
        for voice in item.voices or (NOBODY,):
            about = {"said": _plain(voice), "by": voice.by, "at": voice.at, "seconds": voice.seconds}
            yield {
                "item": item.key,
                **item.shows,
                **about,
                "comment": voice.comment,
                "gold": voice.gold or None,
            }


def _plain(voice: Voice) -> Any:
    if voice.skipped:
        return None
    if isinstance(voice.said, tuple):
        return [s._asdict() if isinstance(s, Span) else s for s in voice.said]
    return voice.said


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
