"""Looks for texts in every file of a folder, whatever it is packed in: independent of what erases them.

Plain substrings, in every decoding that is known: raw bytes in UTF-8, UTF-16, UTF-32 and cp949, escapes of
JSON, HTML and addresses, gzip, zstd, bzip2, xz, zip (workbooks too), tar, Parquet and Arrow values and
dictionaries, SQLite rows (blobs too) and raw pages, numpy arrays.
"""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import re
import sqlite3
import tarfile
import unicodedata
import urllib.parse
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


SHORTEST = 8  # bytes: what is sought is longer


def scan(root: Path, wanted: Iterable[str]) -> list[tuple[str, str]]:
    """(file, text) for each of the wanted texts that stands somewhere."""
    targets = {one: _plain(one) for one in wanted}
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            hits = {
                name
                for body in _texts(path.read_bytes(), 0)
                for name, said in targets.items()
                if said in body
            }
            found += [(path.relative_to(root).as_posix(), one) for one in sorted(hits)]
    return found


def _plain(said: str) -> str:
    return " ".join(unicodedata.normalize("NFC", said).casefold().split())


def _texts(body: bytes, depth: int) -> Iterator[str]:
    """Everything that a body says, decoded."""
    if depth > 6 or len(body) < SHORTEST:
        return
    for inner in _inside(body):
        yield from _texts(inner, depth + 1)
    if body.isascii():
        yield from _readings(body.decode())
        if b"\0" not in body:
            return
    for encoding in ("utf-8", "cp949", "utf-16-le", "utf-16-be", "utf-32-le"):
        starts = range(2 if "16" in encoding else 4 if "32" in encoding else 1)
        for start in starts:
            said = body[start:].decode(encoding, "ignore")
            yield from _readings(said)


def _readings(said: str) -> Iterator[str]:
    once = html.unescape(said)
    for text in dict.fromkeys((said, once, html.unescape(once), re.sub("<[^>]*>", "", once))):
        yield _plain(text)
        if "\\" in text:
            yield _plain(
                re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
                .replace("\\n", " ")
                .replace('\\"', '"')
            )
        if "%" in text:
            yield _plain(urllib.parse.unquote(text))
        if '""' in text:
            yield _plain(text.replace('""', '"'))


def _inside(body: bytes) -> Iterator[bytes]:
    try:
        yield from _unpacked(body)
    except (
        OSError,
        EOFError,
        ValueError,
        lzma.LZMAError,
        pa.ArrowException,
        zipfile.BadZipFile,
        tarfile.TarError,
    ):
        return


def _unpacked(body: bytes) -> Iterator[bytes]:
    for begins, opened in FORMATS.items():
        if body.startswith(begins):
            yield from opened(body)
            return
    if body[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            files = (archive.extractfile(one) for one in archive.getmembers())
            yield from (file.read() for file in files if file is not None)


def _unzstd(body: bytes) -> Iterator[bytes]:
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        yield stream.read()


def _zip(body: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        yield " ".join(archive.namelist()).encode()
        yield from (archive.read(one) for one in archive.namelist())


def _array(body: bytes) -> Iterator[bytes]:
    array = np.load(io.BytesIO(body), allow_pickle=False)
    if array.dtype.kind in "SU":
        yield "\n".join(map(str, array.ravel().tolist())).encode()


def _parquet(body: bytes) -> Iterator[bytes]:
    """All values, and all values of the dictionaries of pages, also those that no row has any more."""
    file = pq.ParquetFile(pa.BufferReader(body))
    yield from _values(file.read())
    names = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    if names:
        coded = pq.ParquetFile(pa.BufferReader(body), read_dictionary=names)
        for group in range(coded.num_row_groups):
            for column in coded.read_row_group(group, columns=names).columns:
                for chunk in column.chunks:
                    if pa.types.is_dictionary(chunk.type):
                        yield json.dumps(
                            [_said(v) for v in chunk.dictionary.to_pylist()], ensure_ascii=False
                        ).encode()


def _values(table: pa.Table) -> Iterator[bytes]:
    for column in table.columns:
        yield "\n".join(_said(value) for value in column.to_pylist()).encode()
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                yield "\n".join(_said(value) for value in chunk.dictionary.to_pylist()).encode()


def _said(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "ignore")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return json.dumps(
        value,
        ensure_ascii=False,
        default=lambda v: v.decode("utf-8", "ignore") if isinstance(v, bytes) else str(v),
    )


def _rows(body: bytes) -> Iterator[bytes]:
    db = sqlite3.connect(":memory:")
    try:
        db.deserialize(body[:18] + b"\x01\x01" + body[20:])  # as if it had no log of its own beside it
        for (table,) in db.execute("select name from sqlite_master where type='table'").fetchall():
            rows = db.execute(f'select * from "{table}"').fetchall()
            yield from (value for row in rows for value in row if isinstance(value, bytes))
            said = (value for row in rows for value in row if isinstance(value, str))
            yield "\n".join(said).encode("utf-8", "replace")
    except sqlite3.DatabaseError:  # its pages are looked at as they are
        return
    finally:
        db.close()


FORMATS = {
    b"\x1f\x8b": lambda body: iter([gzip.decompress(body)]),
    b"\x28\xb5\x2f\xfd": _unzstd,
    b"BZh": lambda body: iter([bz2.decompress(body)]),
    b"\xfd7zXZ\0": lambda body: iter([lzma.decompress(body)]),
    b"PK\x03\x04": _zip,
    b"PAR1": _parquet,
    b"ARROW1": lambda body: _values(pa.ipc.open_file(pa.BufferReader(body)).read_all()),
    b"\xff\xff\xff\xff": lambda body: _values(pa.ipc.open_stream(pa.BufferReader(body)).read_all()),
    b"SQLite format 3\0": _rows,
    b"\x93NUMPY": _array,
}
