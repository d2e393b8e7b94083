"""Records of one file as chunks of columns; every record that is not a row is named with its reason."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.unpack import RECORD, Cut, shown

ROWS = 8192
BYTES = 64 << 20  # a chunk is closed earlier when its records are large
PART = 60  # what a cell or a nested value takes in memory beyond its text
COLUMNS = 2000  # more of them: the keys are data
KINDS = b"kinds"  # field metadata of text: cell, or as which JSON kinds the column was written
NOT_TEXT = "bytes that are neither UTF-8 nor cp949, or half a character"


@dataclass(frozen=True)
class Chunk:
    """Some records of one file, in file order.

    rows: text columns as written, or native ones from Parquet and Arrow; lines: int64[n], where each row
    starts, counted from 1 (records, not lines, in Parquet and Arrow); unread: the records that are missing.
    """

    rows: pa.RecordBatch
    lines: np.ndarray
    unread: tuple[Unread, ...] = ()
    file: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One record before it becomes columns: cells by position (list) or by name (dict).

    size: about the bytes of memory that it holds, its text and PART for each part of it.
    """

    line: int
    size: int
    cells: Any


Found = Iterable[Item | Unread]


class NotRead(ValueError):
    """A record that is refused, with the reason for its quarantine."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def at(self, file: str, line: int) -> Unread:
        return Unread(file=file, line=line, reason=self.reason, detail=self.detail)


def too_long() -> NotRead:
    """A record over the limit of one record's size."""
    return NotRead("long", f"over {RECORD >> 20} MiB")


def encodable(said: str) -> bool:
    """Whether text has no lone surrogate: a byte of an unknown encoding, or half a character in JSON."""
    try:
        said.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _sound(cells: Any) -> bool:
    return encodable(json.dumps(cells, ensure_ascii=False))


Build = Callable[[list[Any]], pa.RecordBatch]


def _built(items: list[Item], unread: list[Unread], build: Build, file: str) -> Chunk:
    """Columns of records; the few that are not text are quarantined."""
    try:
        rows = build([item.cells for item in items])
    except UnicodeEncodeError:
        sound = [_sound(item.cells) for item in items]
        lost = [i.line for i, ok in zip(items, sound, strict=True) if not ok]
        unread = [*unread, *(NotRead("encoding", NOT_TEXT).at(file, line) for line in lost)]
        items = list(itertools.compress(items, sound))
        rows = build([item.cells for item in items])
    return Chunk(
        rows, np.array([i.line for i in items], np.int64), tuple(sorted(unread, key=lambda u: u.line))
    )


def uncut(source: Found, file: str) -> Iterator[Item | Unread]:
    """The records of a source that may break off; where it does is one more unread."""
    last = 0
    try:
        for item in source:
            last = item.line
            yield item
    except Cut as cut:
        yield Unread(file=file, line=last + 1, reason=cut.reason, detail=cut.detail)


def chunks(source: Found, build: Build, file: str) -> Iterator[Chunk]:
    """At most ROWS records or about BYTES a chunk."""
    items: list[Item] = []
    unread: list[Unread] = []
    size = 0
    for item in source:
        if isinstance(item, Unread):
            unread.append(item)
        else:
            items.append(item)
            size += item.size
        if len(items) + len(unread) >= ROWS or size >= BYTES:
            yield _built(items, unread, build, file)
            items, unread, size = [], [], 0
    if items or unread:
        yield _built(items, unread, build, file)


def by_position(names: list[str]) -> Build:
    """A builder of text columns from lists of cells; an empty cell is null."""

    def build(rows: list[list[str]]) -> pa.RecordBatch:
        columns: Iterable[Iterable[str]] = zip(*rows, strict=True) if rows else [()] * len(names)
        arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
        fields = [pa.field(name, pa.string(), metadata={KINDS: b"cell"}) for name in names]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    return build


def named(source: Iterable[Chunk], file: str, rename: Mapping[str, str]) -> Iterator[Chunk]:
    """Chunks whose column names can be used; reserved, double and far too many names are errors."""
    seen: set[str] = set()
    for chunk in source:
        names = [rename.get(name, name) for name in chunk.rows.schema.names]
        seen.update(names)
        check_names(names, file, len(seen))
        fields = [field.with_name(name) for field, name in zip(chunk.rows.schema, names, strict=True)]
        rows = pa.RecordBatch.from_arrays(chunk.rows.columns, schema=pa.schema(fields))
        yield replace(chunk, rows=rows, file=chunk.file or file)


def check_names(names: list[str], file: str, count: int) -> None:
    """Raises InputError for names that start with an underscore, occur twice, or are too many."""
    reserved = [shown(name) for name in names if name.startswith("_")]
    if reserved:
        raise InputError("reserved_name", file=file, columns=", ".join(reserved[:5]))
    twice = [shown(name) for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError("double_column", file=file, columns=", ".join(twice[:5]))
    if count > COLUMNS:
        raise InputError("too_many_columns", file=file, count=count, limit=COLUMNS)
