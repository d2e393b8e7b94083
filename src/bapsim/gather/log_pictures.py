"""Pictures that a log names: a line says in which file beside it one lies, rows hold its bytes and `file`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import strings, take
from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import BYTES as MANY
from bapsim.gather.chunk import Chunk, NotRead
from bapsim.gather.files import inside
from bapsim.gather.folder import read_picture
from bapsim.gather.unpack import shown
from bapsim.image.pixels import NoPicture


def with_pictures(chunk: Chunk, column: str, folder: Path) -> Iterator[Chunk]:
    """Chunks of about MANY bytes whose `column` holds pictures; it named them as {"file": path in `folder`}.

    A row whose picture is not there, or is none, is unread.
    """
    said = strings(chunk.rows.column(column))
    unread = list(chunk.unread)
    bodies: list[bytes] = []
    at: list[int] = []
    size = 0
    for i, named in enumerate(said):
        found = _opened(named, folder, chunk.file, int(chunk.lines[i]))
        if isinstance(found, Unread):
            unread.append(found)
            continue
        bodies.append(found)
        at.append(i)
        size += len(found)
        if size >= MANY:
            yield _held(chunk, column, at, bodies, unread)
            bodies, at, unread, size = [], [], [], 0
    if at or unread:
        yield _held(chunk, column, at, bodies, unread)


def _held(chunk: Chunk, column: str, at: list[int], bodies: list[bytes], unread: list[Unread]) -> Chunk:
    place = chunk.rows.schema.get_field_index(column)
    field = pa.field(column, pa.large_binary())
    names = [_file_in(said) for said in strings(take(chunk.rows, at).column(column))]
    rows = take(chunk.rows, at).set_column(place, field, pa.array(bodies, pa.large_binary()))
    rows = rows.append_column("file", pa.array(names, pa.string()))
    return replace(chunk, rows=rows, lines=chunk.lines[at], unread=tuple(unread))


def _opened(named: str | None, folder: Path, file: str, line: int) -> bytes | Unread:
    try:
        return read_picture(inside(folder, _file_in(named)))
    except NoPicture as why:
        return NotRead(why.reason, why.detail).at(file, line)
    except NotRead as why:
        return why.at(file, line)
    except InputError:
        return NotRead("outside", shown(named or "")[:60]).at(file, line)


def _file_in(named: str | None) -> str:
    try:
        value: Any = json.loads(named or "null")
    except ValueError:
        value = None
    file = value.get("file") if isinstance(value, dict) else None
    if not isinstance(file, str) or not file or file.endswith("/"):
        raise NotRead("no_picture", shown(named or "")[:60])
    return file
