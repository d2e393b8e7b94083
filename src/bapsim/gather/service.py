"""The log of a service as a source: requests are rows, and a person's correction is their only label.

A line is what `bapsim serve` writes (docs/serve.md), an OpenAI request and its response in the schema of
NVIDIA's data-flywheel blueprint (README, "Log schema": timestamp, workload_id, client_id, request, response),
or any JSON object with a map of its fields. Each becomes a row of SERVICE_LOG, and what all lines say of one
request becomes a row of the task.
Source: github.com/NVIDIA-AI-Blueprints/data-flywheel.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings, take, valid
from bapsim.core.errors import BapsimError, RecipeError
from bapsim.core.records import SERVICE_LOG, Draft, Maker, Origin, Rows, Task, Unread
from bapsim.core.turn import Turn
from bapsim.gather.chunk import Chunk, Item, NotRead, chunks, uncut
from bapsim.gather.columnar import is_dataset
from bapsim.gather.files import found
from bapsim.gather.infer import Schema, infer
from bapsim.gather.log_fields import PARSE, conversation, text_of, value_at
from bapsim.gather.log_pictures import with_pictures
from bapsim.gather.objects import DECODER, by_name, json_lines, written
from bapsim.gather.types import agreed, arrow_type, typed
from bapsim.gather.unpack import GZIP, ZSTD, head, lines, shown
from bapsim.image.pixels import ENDINGS

Fields = Mapping[str, "str | Mapping[str, str]"]
OPENAI: Fields = {  # of NVIDIA's schema
    "input": "request.messages",
    "prediction": "response.choices.0.message.content",
    "request": "response.id",
    "at": "timestamp",
    "model": "response.model",
    "deployment": "client_id",
}
OURS: Fields = {"input": "input"} | {name: name for name in SERVICE_LOG.names if name != "input"}
KEPT = ("request", "model", "prediction", "confidence", "at", "out_of_scope", "thumbs")  # as columns of rows
FEEDBACK = ("correction", "consent", "out_of_scope", "thumbs", "by", "comment")  # the last word counts
STREAM = "by:"  # how the batch of a stream of corrections begins, below the source's path
LOOKED_AT = 20  # lines that tell whose file it is
Row = dict[str, Any]  # SERVICE_LOG as JSON values; at: microseconds since 1970


# ---------------------------------------------------------------- one line, one request, one log


def log_row(record: Mapping[str, Any], fields: Fields, inputs: Mapping[str, str], whole: bool) -> Row:
    """One line in the terms of SERVICE_LOG; `input` is null where it has none and adds to an earlier line.

    inputs: path by column; whole: of a list of messages all are read, not only the last of its user. Raises
    NotRead for a value that does not fit (`type`), and for a line that says nothing of any request.
    """
    row: Row = dict.fromkeys(SERVICE_LOG.names)
    for name, path in fields.items():
        value = None if name == "input" else value_at(record, str(path))
        try:
            parse: Callable[[Any], Any] = PARSE.get(name, text_of)
            row[name] = None if value is None else parse(value)
        except (ValueError, OverflowError) as why:
            raise NotRead("type", f"{name}: {shown(written(value))[:60]}") from why
    given = {name: conversation(value_at(record, path), whole) for name, path in inputs.items()}
    there = any(value is not None and str(value).strip() for value in given.values())
    row["input"] = written(given) if there else None
    if row["input"] is None and row["request"] is None:
        raise NotRead("no_input", ", ".join(map(shown, inputs.values())))
    return row


def merged(rows: Sequence[Row]) -> Row:
    """What several lines say of one request: the last correction, the first of everything else.

    In the order of their times where all have one, else as they stand. `by` is who gave that correction.
    """
    if all(row["at"] is not None for row in rows):
        rows = sorted(rows, key=lambda row: int(row["at"]))
    one = {}
    for name in SERVICE_LOG.names:
        said = [row[name] for row in rows if row[name] is not None]
        one[name] = None if not said else said[-1] if name in FEEDBACK else said[0]
    if one["correction"] is not None:
        one["by"] = next(row["by"] for row in reversed(rows) if row["correction"] is not None)
    return one


def name_of(row: Row) -> str:
    """The name of a request: its own, or one made of what was said and when."""
    if row["request"] is not None:
        return str(row["request"])
    said = [row[name] for name in ("at", "deployment", "model", "input", "prediction")]
    return f"unnamed:{_digest(said).hex()}"


def _digest(value: object) -> bytes:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=12).digest()


def service_log(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as a batch of SERVICE_LOG."""
    columns = []
    for column in SERVICE_LOG:
        values = [row[column.name] for row in rows]
        kind: Any = pa.int64() if column.name == "at" else column.type
        columns.append(pa.array(values, kind).cast(column.type))
    return pa.RecordBatch.from_arrays(columns, schema=SERVICE_LOG)


def _named(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as a batch of SERVICE_LOG, and `_name`, the name of each request."""
    return service_log(rows).append_column("_name", pa.array(map(name_of, rows), pa.string()))


def task_rows(log: pa.RecordBatch, task: Task) -> pa.RecordBatch:
    """A log as rows of a task: its inputs as they were written, the correction as target, and KEPT."""
    inputs = by_name([DECODER.decode(said or "{}") for said in strings(log.column("input"))])
    columns = dict(zip(inputs.schema, inputs.columns, strict=True))
    columns |= {pa.field(task.target, pa.string()): log.column("correction")}
    columns |= {pa.field(name, SERVICE_LOG.field(name).type): log.column(name) for name in KEPT}
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(list(columns)))


# ---------------------------------------------------------------- the source


@dataclass
class _Seen:
    """What the first reading of a log has found: requests of which several lines say different things."""

    content: dict[bytes, bytes] = field(default_factory=dict)
    several: set[bytes] = field(default_factory=set)
    held: dict[bytes, list[tuple[str, Item]]] = field(default_factory=dict)  # their lines, in the second one

    def note(self, row: Row) -> None:
        name, said = _digest(name_of(row)), _digest(row)
        if row["input"] is None or self.content.setdefault(name, said) != said:
            self.several.add(name)


@dataclass(frozen=True)
class Service:
    """A source of the requests that a service answered; those that nobody corrected are a pool.

    path: a folder of the inbox (also of rotated and packed files), or one file; rights, purpose: the terms of
    use, and what its users were told that the log is for; fields: where a line says what, as dotted paths, by
    the names of SERVICE_LOG; "input" is one path, or one for each input column; None: lines of `bapsim serve`
    or of OpenAI requests, each as it is; where: paths with the values
    that a line has if it is of this task (a log may hold several workloads); messages: the "last" one of the
    user, or "all" of a conversation; types: of input columns; sampled: every request, or a random sample, was
    reviewed, so that corrections may stand in an exam (else people correct what went wrong); maker: who
    wrote the inputs, else people, or nobody knows where they hold all messages.
    """

    path: str
    _: KW_ONLY
    rights: str
    fields: Fields | None = None
    purpose: str | None = None
    deployment: str | None = None
    consent: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    messages: Literal["last", "all"] = "last"
    types: Mapping[str, str] = field(default_factory=dict)
    sampled: bool = False
    maker: Maker | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        known = ", ".join(SERVICE_LOG.names)
        if unknown := [name for name in self.layout if name not in SERVICE_LOG.names]:
            raise RecipeError("log_fields", wrong=", ".join(map(shown, unknown)), known=known)
        if "input" not in self.layout:
            raise RecipeError("log_fields", wrong="input?", known=known)
        for kind in self.types.values():
            arrow_type(kind)

    @property
    def layout(self) -> Fields:
        return OPENAI if self.fields is None else self.fields

    def reads(self, turn: Turn) -> list[Path]:
        """The files of the log, in the order of their names; the pictures that it names lie beside them."""
        files = found(turn.inbox, self.path)
        pictured = turn.task.kind == "image"
        return [one for one in files if not (pictured and one.suffix.lower() in ENDINGS)]

    def takes(self, file: Path, task: Task) -> bool:
        """Whether a file is of this log: among its first lines is an input with a request id or an answer."""
        try:
            for item, _ in zip(self._lines(file, "", task), range(LOOKED_AT), strict=False):
                if isinstance(item, Item):
                    about = ("request", "prediction") if item.cells["input"] is not None else FEEDBACK
                    return any(item.cells[name] is not None for name in about)
        except BapsimError:
            return False
        return False

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """Drafts of the lines of each file; all lines about one request give the same row.

        Raises RecipeError where the map of fields does not fit the task.
        """
        task, seen = turn.task, _Seen()
        files = {path.relative_to(turn.inbox).as_posix(): path for path in self.reads(turn)}
        types = self._types(files, turn, seen)
        for name, path in files.items():
            source = self._unheld(self._lines(path, name, task), name, seen)
            yield from self._drafts(chunks(source, _named, shown(name)), path, types, turn)
        late: dict[str, list[Item | Unread]] = {}
        for name, one in settled(seen.held.values()):
            late.setdefault(name, []).append(one)
        for name, items in late.items():
            ordered = sorted(items, key=lambda one: one.line)
            yield from self._drafts(chunks(ordered, _named, shown(name)), files[name], types, turn)

    def _layout_of(self, record: Mapping[str, Any]) -> Fields:
        """The layout of one line: with fields=None, a request that is a name is one of `bapsim serve`."""
        named = self.fields is None and isinstance(record.get("request"), str)
        return OURS if named else self.layout

    def _inputs(self, task: Task, layout: Fields) -> Mapping[str, str]:
        """The path of each input column."""
        said = layout["input"]
        if layout is OURS:
            inputs = {name: f"input.{name}" for name in task.inputs}
        else:
            inputs = dict.fromkeys(task.inputs[:1], said) if isinstance(said, str) else dict(said)
        if missing := [name for name in task.inputs if name not in inputs]:
            raise RecipeError("log_inputs", columns=", ".join(map(shown, missing)))
        if taken := names_of_the_log(task, inputs):
            raise RecipeError("log_columns", columns=", ".join(map(shown, taken)))
        return inputs

    def _lines(self, path: Path, name: str, task: Task) -> Iterator[Item | Unread]:
        """The lines of one file that are of this task, each as a row of the log."""
        file = shown(name)
        paths: dict[int, Mapping[str, str]] = {}
        if is_dataset(path):
            yield Unread(file=file, line=0, reason="format", detail="unknown kind of file")
            return
        source = uncut(json_lines(lines(path, self.encoding), file), file)
        for item in _finished(source, path):
            if isinstance(item, Unread):
                yield item
            elif all(text_of(value_at(item.cells, at)) == said for at, said in self.where.items()):
                layout = self._layout_of(item.cells)
                if id(layout) not in paths:
                    paths[id(layout)] = self._inputs(task, layout)
                try:
                    yield replace(item, cells=self._row(item.cells, layout, paths[id(layout)]))
                except NotRead as why:
                    yield why.at(file, item.line)

    def _row(self, record: Mapping[str, Any], layout: Fields, inputs: Mapping[str, str]) -> Row:
        row = log_row(record, layout, inputs, self.messages == "all")
        for name in ("purpose", "deployment", "consent"):
            row[name] = row[name] or getattr(self, name)
        return row

    def _types(self, files: Mapping[str, Path], turn: Turn, seen: _Seen) -> dict[str, str]:
        """The types of all columns, after a first reading that also finds what lines belong together."""
        task = turn.task
        known = {**(dict.fromkeys(task.inputs, "string") if task.kind != "table" else {}), **self.types}
        columns = task.inputs if self.fields is None else self._inputs(task, self.layout)

        def noted(path: Path, name: str) -> Iterator[Item]:
            for item in self._lines(path, name, task):
                if isinstance(item, Item):
                    seen.note(item.cells)
                    if item.cells["input"] is not None:
                        yield item

        def inputs(rows: Sequence[Row]) -> pa.RecordBatch:
            return by_name([DECODER.decode(row["input"]) for row in rows])

        read = (one for name, path in files.items() for one in chunks(noted(path, name), inputs, name))
        inferred = infer(read, known=known).types
        return {
            **dict.fromkeys(columns, "string"),
            **agreed(inferred, turn.types),
            task.target: "string",
            **known,
            **dict.fromkeys(KEPT, "native"),
        }

    def _unheld(self, source: Iterable[Item | Unread], name: str, seen: _Seen) -> Iterator[Item | Unread]:
        for one in source:
            key = b"" if isinstance(one, Unread) else _digest(name_of(one.cells))
            if isinstance(one, Item) and key in seen.several:
                seen.held.setdefault(key, []).append((name, one))
            else:
                yield one

    def _drafts(
        self, source: Iterable[Chunk], path: Path, types: Mapping[str, str], turn: Turn
    ) -> Iterator[Draft]:
        """Drafts of the chunks of one file, one for each consent, purpose, and whoever corrects."""
        task, name = turn.task, path.relative_to(turn.inbox).as_posix()
        for chunk in source:
            log = chunk.rows
            rows = task_rows(log, task).append_column("_", pa.array(np.arange(len(log))))
            whole = typed(replace(chunk, rows=rows, file=shown(name)), {**types, "_": "native"})
            pictured = task.kind == "image"
            for part in with_pictures(whole, task.inputs[0], path.parent) if pictured else (whole,):
                yield from self._by_terms(part, log, name)

    def _by_terms(self, chunk: Chunk, log: pa.RecordBatch, name: str) -> Iterator[Draft]:
        """chunk: rows of a task, `_` says which of the log they are."""
        at = np.asarray(chunk.rows.column("_").to_numpy(), np.int64)
        rows, unread = chunk.rows.drop_columns(["_"]), chunk.unread
        names, by = strings(log.column("_name")), strings(log.column("by"))
        corrected = valid(log.column("correction"))
        terms = zip(
            strings(log.column("consent")),
            strings(log.column("purpose")),
            [who if who and fixed else None for who, fixed in zip(by, corrected, strict=True)],
            strict=True,
        )
        said = list(terms)
        under: dict[tuple[str | None, str | None, str | None], list[int]] = {}
        for place, i in enumerate(at.tolist()):
            under.setdefault(said[i], []).append(place)
        stream = f"{self.path.rstrip('/')}/{STREAM}"
        for (consent, purpose, who), mine in under.items() or [((self.consent, self.purpose, None), [])]:
            yield Draft(
                rows=Rows(take(rows, mine)),
                origin=self._origin(name if who is None else stream + who, consent, purpose),
                keys=[names[i] for i in at[mine].tolist()],
                unread=unread,
            )
            unread = ()

    def _origin(self, batch: str, consent: str | None, purpose: str | None) -> Origin:
        return Origin(
            source=self.path,
            input_maker=self.maker or ("person" if self.messages == "last" else "unknown"),
            target_maker="person",
            method="service" if self.sampled else "service:chosen",
            rights=self.rights if purpose is None else f"{self.rights}; purpose: {purpose}",
            consent=consent,
            batch=shown(batch),
        )


service = Service


def names_of_the_log(task: Task, inputs: Iterable[str] | None = None) -> list[str]:
    """Columns of a task (its inputs, or these) that are called like columns of the log that rows keep."""
    names = set(task.inputs if inputs is None else inputs)
    ours = {task.target, *(name for name in KEPT if name != task.time or name in names)}
    return sorted(ours & {*names, *(c for c in task.columns if c != task.target or c in KEPT)})


def workloads(file: Path) -> dict[str, int] | None:
    """How many requests of each workload a log in NVIDIA's schema has, most first; None: it is none."""
    task = Task(input="text", target="label")
    if is_dataset(file) or not service("", rights="").takes(file, task):
        return None
    counts = Counter[str]()
    for item in uncut(json_lines(lines(file), ""), ""):
        if isinstance(item, Item):
            counts.update([text_of(item.cells.get("workload_id")) or ""])
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def first_workload(found: Mapping[str, int]) -> dict[str, str]:
    """Which lines to read of a log with several workloads: those of the first, the most frequent."""
    return {"workload_id": next(iter(found))} if len(found) > 1 else {}


def schema_of(file: Path, task: Task, where: Mapping[str, str]) -> Schema:
    """What a log in NVIDIA's schema holds for a task, of the lines that `where` wants."""
    source = Service(file.name, rights="unknown", where=where)
    drafts = source(Turn(n=0, seed=0, task=task, inbox=file.parent))
    return infer(Chunk(draft.rows, np.arange(len(draft.rows)), draft.unread) for draft in drafts)


def settled(held: Iterable[Sequence[tuple[str, Item]]]) -> Iterator[tuple[str, Item | Unread]]:
    """Lines about one request at a time, each as what all of them say together, with the file it stands in.

    A line without an input is about the one input that its request has; else nobody can tell (it is unread,
    `unknown_request`). Two inputs under one id are two requests.
    """
    for said in held:
        inputs: dict[str | None, list[Row]] = {}
        for _, item in said:
            inputs.setdefault(item.cells["input"], []).append(item.cells)
        loose = inputs.pop(None, [])
        if len(inputs) == 1 and loose:
            inputs = {one: [item.cells for _, item in said] for one in [*inputs, None]}
        about = {one: merged(rows) for one, rows in inputs.items()}
        for name, item in said:
            one = about.get(item.cells["input"])
            if one is None:
                why = NotRead("unknown_request", shown(item.cells["request"]))
                yield name, why.at(shown(name), item.line)
            else:
                yield name, replace(item, cells=one)


def _finished(source: Iterable[Item | Unread], path: Path) -> Iterator[Item | Unread]:
    """The lines of a file; a broken last one without an end is being written at this moment."""
    last: Item | Unread | None = None
    for one in source:
        if last is not None:
            yield last
        last = one
    if isinstance(last, Unread) and last.reason in ("json", "encoding") and not _ends(path):
        last = replace(last, reason="unfinished")
    if last is not None:
        yield last


def _ends(path: Path) -> bool:
    """Whether the last line of a file has its end; what is packed was finished before."""
    if head(path).startswith((GZIP, ZSTD)):
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1) in (b"\n", b"\r", b"")
