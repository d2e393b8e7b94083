"""Users' files as chunks of rows, every cell as it was written, and every record that could not be read.

Nothing is guessed here: `007` stays `007`, JSON numbers keep their source text, nested JSON stays JSON text.
Types are inferred afterwards, once over everything (`infer`). Rows and unread add up to the records of the
file; one chunk bounds the memory. Parquet and `datasets` folders keep the types they were written with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import Chunk, Found, Item, NotRead, by_position, chunks, named, too_long, uncut
from bapsim.gather.columnar import dataset, is_dataset, parquet
from bapsim.gather.objects import by_name, json_lines, json_list
from bapsim.gather.separated import separated
from bapsim.gather.unpack import Cut, detect, head_of_text, lines, shown, texts
from bapsim.gather.workbook import read_workbook

PACKED = (".gz", ".zst", ".zstd")
JSON, TABLES, PARQUET = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv", ".tab"), (".parquet", ".pq")
WORKBOOKS = (".xlsx", ".xlsm")
FORMATS = (*TABLES, *JSON, *PARQUET, *WORKBOOKS, ".txt")
# Why a record is no row (truncated and damaged stand for all behind them), then why an answer is none.
REASONS = (
    "encoding",
    "json",
    "duplicate_key",
    "object",
    "deep",
    "cells",
    "quote",
    "nul",
    "cell",
    "formula",
    "long",
    "truncated",
    "damaged",
    "type",
    "no_key",
    "format",
    "empty_file",
    "not_a_picture",
    "too_large",
    "outside",
    "unfinished",
    "no_input",
    "unknown_request",
    "raters",
    "item",
    "unknown_item",
    "no_picture",
    "unknown_question",
    "unknown_label",
    "spans",
    "cannot_tell",
    "unknown_kind",
    "field",
    "unknown_parent",
)


def suffix(path: Path) -> str:
    """What a file is by its name, whatever it is packed in; "" when the name says nothing that we read."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return next((known for known in FORMATS if name.endswith(known)), "")


def readable(path: Path) -> bool:
    """Whether `read` knows what to do with a file or folder of this name."""
    return is_dataset(path) or (bool(suffix(path)) and not path.is_dir())


def read(
    path: Path,
    *,
    encoding: str | None = None,
    rename: Mapping[str, str] | None = None,
    name: str | None = None,
    sheet: str | None = None,
) -> Iterator[Chunk]:
    """Reads CSV, TSV, JSON lines, a JSON list, text (one a line), each also .gz or .zst, Parquet, `datasets`,
    workbooks.

    encoding: a codec's name instead of looking (UTF-8, UTF-16 and UTF-32 with a mark, cp949, or mixed line
    by line); rename: other names for columns; name: what to call the file; sheet: of a workbook, else its
    first visible one with rows. An empty file gives no chunk, a header alone one without rows. Raises
    InputError where the file as a whole cannot be used.
    """
    file = shown(name or path.name)
    return named(_opened(path, file, encoding, sheet), file, rename or {})


def _opened(path: Path, file: str, encoding: str | None, sheet: str | None) -> Iterator[Chunk]:
    if is_dataset(path):
        return dataset(path, file)
    kind = suffix(path)
    if not kind:
        head_of_text(path)
        raise InputError("unknown_format", file=file, known=" ".join(FORMATS))
    if kind in PARQUET:
        return parquet(path, file)
    if kind in WORKBOOKS:
        return read_workbook(path, file, sheet)
    return _text(path, file, kind, encoding or detect(path))


def _text(path: Path, file: str, kind: str, encoding: str) -> Iterator[Chunk]:
    if kind in TABLES:
        names, records = separated(lines(path, encoding), file, tabs=kind != ".csv")
        return _table(names, records, file)
    if kind == ".txt":
        return chunks(uncut(_plain(path, file, encoding), file), by_position(["text"]), file)
    return chunks(uncut(_json(path, file, kind, encoding), file), by_name, file)


def _table(names: list[str], records: Found, file: str) -> Iterator[Chunk]:
    build = by_position(names)
    empty = bool(names)
    for chunk in chunks(uncut(records, file), build, file):
        empty = False
        yield chunk
    if empty:
        yield Chunk(build([]), np.empty(0, np.int64))


def _plain(path: Path, file: str, encoding: str) -> Iterator[Item | Unread]:
    for line, said in enumerate(lines(path, encoding), 1):
        if said is None:
            yield too_long().at(file, line)
        elif "\0" in said:
            yield NotRead("nul", "a NUL byte").at(file, line)
        elif said.rstrip("\r"):
            yield Item(line, len(said), [said.rstrip("\r")])


def _json(path: Path, file: str, kind: str, encoding: str) -> Iterator[Item | Unread]:
    """A list when the first character says so, else one object a line."""
    if _first_sign(path, encoding) == "[":
        return json_list(texts(path, encoding), file)
    records = json_lines(lines(path, encoding), file)
    return _by_lines(records, file) if kind == ".json" else records


def _first_sign(path: Path, encoding: str) -> str:
    try:
        started = (block.lstrip("\ufeff \t\r\n") for block in texts(path, encoding))
        return next((said[0] for said in started if said), "")
    except Cut:
        return ""  # the reader of the records reports it


def _by_lines(records: Iterator[Item | Unread], file: str) -> Iterator[Item | Unread]:
    """The records of a .json file, unless already its first lines are no JSON: then it is one long object."""
    first = list(itertools.islice(records, 2))
    if first and all(isinstance(record, Unread) and record.reason == "json" for record in first):
        raise InputError("no_rows_in_json", file=file)
    yield from first
    yield from records
