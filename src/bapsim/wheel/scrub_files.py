"""Files of any format without what is sought: opened to the last layer, rewritten, or named as left.

Parquet, Arrow, workbooks, gzip, zstd, bzip2, xz, zip and tar archives, SQLite, text. In a format that nobody
here can write the words are blanked where they stand; where bapsim made the file, it is deleted. Every
rewrite is a new file in the place of the old one; the old bytes are freed, not overwritten, for on
journalling file systems and on flash that would reach other blocks.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bapsim.core.arrow import strings
from bapsim.store.lake import only_rows
from bapsim.text.escaped import has_trace, trace_places
from bapsim.text.verbatim import holds
from bapsim.wheel.scrub_text import Cleaned, decoded, without_text
from bapsim.wheel.sought import Sought

DEEPEST = 6  # layers of packing
ROWS = 8_192  # of Parquet, looked at once
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_NUMPY = b"\x93NUMPY"
_TAR = slice(257, 262)
ENCODINGS = (("utf-8", 1), ("cp949", 1), ("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4))  # bytes a step
LAST = 0x10FFFF  # the last letter there is
_LONE = re.compile("[\ud800-\udfff]")


def without(body: bytes, name: str, sought: Sought, *, given: bool, depth: int = 0) -> Cleaned | None:
    """The bytes of a file without what is sought; None: nothing of it is there. given: by people, as data."""
    if sought.is_blob(body):
        return Cleaned(None, 1)
    if depth > DEEPEST or not body:
        return None
    for begins, clean in _FORMATS:
        if body.startswith(begins):
            return clean(body, name, sought, given, depth)
    if body[_TAR] == b"ustar":
        return _tar(body, name, sought, given, depth)
    if body.startswith(_PICTURES):
        return None
    if body.startswith(_NUMPY) and _numbers(body):
        return None
    text = decoded(body)
    if text is None:
        return _unknown(body, sought)
    return without_text(text, body, name, sought, given)


def _numbers(body: bytes) -> bool:
    """Whether an array of numpy holds numbers: its head says so."""
    kind = re.search(rb"'descr': '[<>|=]?([a-zA-Z])", body[:256])
    return kind is not None and kind[1] in b"fiubc"


def _unknown(body: bytes, sought: Sought) -> Cleaned | None:
    """A format that nobody here reads: whatever in it is text, in any of the encodings that people use, is
    blanked where it stands. Lengths stay, so that most formats are still what they were.
    """
    left, parts = body, 0
    for encoding, width in ENCODINGS:
        for start in range(width):
            found = _spans(left, start, encoding, width, sought)
            for a, b in found:
                left = left[:a] + (" " * ((b - a) // width)).encode(encoding) + left[b:]
            parts += len(found)
    return Cleaned(left, parts, blanked=True) if parts else None


def _spans(body: bytes, start: int, encoding: str, width: int, sought: Sought) -> list[tuple[int, int]]:
    """From which byte to which something stands that is sought, where letters begin at `start`."""
    if width > 1:
        kind = {"utf-16-le": "<u2", "utf-16-be": ">u2"}.get(encoding, "<u4")
        count = (len(body) - start) // width
        units = np.frombuffer(body, kind, count, start).astype("<u4") if count > 0 else np.empty(0, "<u4")
        units[(units > LAST) | ((units >= 0xD800) & (units < 0xE000))] = ord(" ")
        hits = trace_places(sought.traces, units.tobytes().decode("utf-32-le"))
        return [(start + width * a, start + width * b) for a, b in hits]
    text = body.decode(encoding, "surrogateescape")
    hits = trace_places(sought.traces, _LONE.sub(" ", text))
    ends = [(len(text[:a].encode(encoding, "surrogateescape")), text[a:b]) for a, b in hits]
    return [(at, at + len(said.encode(encoding, "surrogateescape"))) for at, said in ends]


# ---------------------------------------------------------------------- one file in another


def _packed(
    unpack: Callable[[bytes], bytes], pack: Callable[[bytes], bytes]
) -> Callable[[bytes, str, Sought, bool, int], Cleaned | None]:
    def clean(body: bytes, name: str, sought: Sought, given: bool, depth: int) -> Cleaned | None:
        try:
            whole = unpack(body)
        except (OSError, EOFError, ValueError, lzma.LZMAError, pa.ArrowException):
            return _unknown(body, sought)
        found = without(whole, name.rpartition(".")[0] or name, sought, given=given, depth=depth + 1)
        if found is None or found.body is None:
            return found
        return Cleaned(pack(found.body), found.parts)

    return clean


def _unzstd(body: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        whole: bytes = stream.read()
    return whole


def _zstd(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return sink.getvalue().to_pybytes()


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _zip(body: bytes, name: str, sought: Sought, given: bool, depth: int) -> Cleaned | None:
    """An archive member by member; a workbook by its rows."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if "xl/workbook.xml" in archive.namelist():
                return _workbook(body, sought, given)
            return _members(archive, sought, given, depth)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError):
        return _unknown(body, sought)


def _members(archive: zipfile.ZipFile, sought: Sought, given: bool, depth: int) -> Cleaned | None:
    parts, sink = 0, io.BytesIO()
    with zipfile.ZipFile(sink, "w") as new:
        for about in archive.infolist():
            body = archive.read(about)
            found = without(body, about.filename, sought, given=given, depth=depth + 1)
            parts += 0 if found is None else found.parts
            if found is None or found.body is not None:
                new.writestr(about, body if found is None or found.body is None else found.body)
    return Cleaned(sink.getvalue(), parts) if parts else None


def _tar(body: bytes, name: str, sought: Sought, given: bool, depth: int) -> Cleaned | None:
    parts, sink = 0, io.BytesIO()
    try:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive, tarfile.open(fileobj=sink, mode="w") as new:
            for about in archive.getmembers():
                file = archive.extractfile(about) if about.isfile() else None
                inner = b"" if file is None else file.read()
                found = without(inner, about.name, sought, given=given, depth=depth + 1)
                parts += 0 if found is None else found.parts
                if found is not None and found.body is None:
                    continue
                inner = inner if found is None or found.body is None else found.body
                about.size = len(inner) if file is not None else about.size
                new.addfile(about, None if file is None else io.BytesIO(inner))
    except (tarfile.TarError, OSError, EOFError):
        return _unknown(body, sought)
    return Cleaned(sink.getvalue(), parts) if parts else None


# ---------------------------------------------------------------------- tables


def going_rows(batch: pa.RecordBatch, sought: Sought, given: bool) -> np.ndarray:
    """bool[n]: rows of a table that have to go."""
    gone = np.zeros(len(batch), bool)
    names = [f.name for f in batch.schema if _may_say(f.type)]
    plain = [n for n in names if pa.types.is_string(batch.schema.field(n).type) and n not in sought.fields]
    for name in plain:
        gone |= holds(sought.traces, strings(batch.column(name)), "strict" if given else "values")
    rest = [n for n in names if n not in plain or n in ("row_id", "_ask", "id", "request")]
    rest += [n for n in sought.inputs if sought.rows and n not in rest and n in batch.schema.names]
    if rest:
        gone |= sought.goes(batch.select(list(dict.fromkeys(rest))).to_pylist(), made=not given)
    return gone


def _may_say(kind: Any) -> bool:
    simple = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_temporal)
    return not any(is_it(kind) for is_it in (*simple, pa.types.is_null, pa.types.is_decimal))


def _parquet(body: bytes, name: str, sought: Sought, given: bool, depth: int) -> Cleaned | None:
    parts, left = 0, []
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        for batch in file.iter_batches(ROWS, use_threads=False):
            gone = going_rows(batch, sought, given)
            parts += int(gone.sum())
            left.append(only_rows(batch, ~gone))
    except (pa.ArrowException, OSError):
        return _unknown(body, sought)
    about = {k: v for k, v in (file.schema_arrow.metadata or {}).items() if not _says(v, sought)}
    if not parts and len(about) == len(file.schema_arrow.metadata or {}):
        return None
    table = pa.Table.from_batches(left, file.schema_arrow).replace_schema_metadata(about or None)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return Cleaned(sink.getvalue(), max(1, parts))


def _says(value: bytes, sought: Sought) -> bool:
    return has_trace(sought.traces, value.decode("utf-8", "replace"))


def _arrow(body: bytes, name: str, sought: Sought, given: bool, depth: int) -> Cleaned | None:
    """An Arrow file or stream; a stream has no mark of its own but its first message."""
    is_file = body.startswith(b"ARROW1")
    parts, sink = 0, pa.BufferOutputStream()
    try:
        source = pa.BufferReader(body)
        reader: Any = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)] if is_file else list(reader)
        write: Any = pa.ipc.new_file if is_file else pa.ipc.new_stream
        with write(sink, reader.schema) as writer:
            for batch in batches:
                gone = going_rows(batch, sought, given)
                parts += int(gone.sum())
                writer.write_batch(only_rows(batch, ~gone))
    except (pa.ArrowException, OSError):
        return _unknown(body, sought)
    return Cleaned(sink.getvalue().to_pybytes(), parts) if parts else None


def _workbook(body: bytes, sought: Sought, given: bool) -> Cleaned | None:
    """A workbook without the rows in which something stands that is sought, in cells or in remarks."""
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    book = load_workbook(io.BytesIO(body))
    parts = 0
    for sheet in book.worksheets:
        rows = list(sheet.iter_rows())
        said = [[one for cell in row for one in _said(cell)] for row in rows]
        for at in np.flatnonzero(sought.goes(said, made=not given))[::-1].tolist():
            sheet.delete_rows(rows[at][0].row)
            parts += 1
    sink = io.BytesIO()
    book.save(sink)
    left = sink.getvalue() if parts else body
    with zipfile.ZipFile(io.BytesIO(left)) as archive:
        names = [one for one in archive.namelist() if one.endswith((".xml", ".rels"))]
        if any(has_trace(sought.traces, archive.read(one).decode("utf-8", "replace")) for one in names):
            return Cleaned(None, max(1, parts))
    return Cleaned(left, parts) if parts else None


def _said(cell: Any) -> list[str]:
    """What a cell and the remark on it say."""
    return [str(one) for one in (cell.value, cell.comment and cell.comment.text) if one is not None]


_FORMATS: tuple[tuple[bytes, Callable[[bytes, str, Sought, bool, int], Cleaned | None]], ...] = (
    (b"PAR1", _parquet),
    (b"ARROW1", _arrow),
    (b"\xff\xff\xff\xff", _arrow),
    (b"\x1f\x8b", _packed(gzip.decompress, _gzip)),
    (b"\x28\xb5\x2f\xfd", _packed(_unzstd, _zstd)),
    (b"BZh", _packed(bz2.decompress, bz2.compress)),
    (b"\xfd7zXZ\0", _packed(lzma.decompress, lzma.compress)),
    (b"PK\x03\x04", _zip),
)
