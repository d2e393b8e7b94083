"""The bytes of a user's file as lines of text: decompressed, decoded, within limits.

What cannot be read is named, never skipped: a line that decodes in no encoding keeps its bytes as lone
surrogates, a line over the limit becomes None, and a file that ends too early raises `Cut` after its last
whole line.
"""

from __future__ import annotations

import codecs
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.errors import InputError

BLOCK = 1 << 20  # bytes decompressed at a time
RECORD = 16 << 20  # one record may be this long; longer ones are quarantined
EXPANSION = 200  # a compressed file may grow this many times, once it is larger than FLOOR
FLOOR = 64 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"  # .xlsx and other archives; .xls, and .xlsx under a password
LOCKED = "EncryptedPackage".encode("utf-16-le")
MARKS = (  # the longer ones first: a UTF-32 mark begins like a UTF-16 mark
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_CONTROL = re.compile("[\x00-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")


class Cut(Exception):
    """The rest of a file cannot be read: `reason` is truncated or damaged."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def shown(name: object) -> str:
    """A file or column name that is safe to print and to store, whatever bytes it is made of."""
    said = str(name).encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", said)[:200]


def head(path: Path, size: int = 4) -> bytes:
    """The first bytes of a regular file; devices, folders and pipes (they would wait) are refused."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("not_a_file", path=shown(path))
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError as why:
        raise InputError("not_there", path=shown(path)) from why
    except (OSError, ValueError) as why:
        raise InputError("unreadable", path=shown(path), why=shown(_said(why))) from why


def _said(why: Exception) -> str:
    """An error in words that do not change with the path or the platform."""
    return (why.strerror if isinstance(why, OSError) else None) or str(why).split("\n")[0]


def head_of_text(path: Path) -> bytes:
    """The first bytes of a file that is text by its name, plain or packed; a workbook is refused."""
    magic = head(path)
    if magic.startswith(OLE):
        raise old_workbook(path)
    if magic.startswith(ZIP):
        raise InputError("workbook", path=shown(path.name))
    return magic


def old_workbook(path: Path) -> InputError:
    """Why an OLE file is not read: its content is under a password, or in the old .xls format."""
    tail, locked = b"", False
    for block in _plain(path):
        locked = locked or LOCKED in tail + block
        tail = block[-len(LOCKED) :]
    return InputError("locked_workbook" if locked else "old_workbook", path=shown(path.name))


def blocks(path: Path) -> Iterator[bytes]:
    """The content of a plain, gzip or zstd file; the magic bytes decide, not the name.

    Raises Cut where a compressed file breaks off, InputError when it grows past EXPANSION.
    """
    magic = head_of_text(path)
    if magic.startswith(GZIP):
        return _bounded(path, _gunzip(path))
    if magic.startswith(ZSTD):
        return _bounded(path, _unzstd(path))
    return _plain(path)


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while raw := file.read(BLOCK):
            yield raw


def _bounded(path: Path, source: Iterable[bytes]) -> Iterator[bytes]:
    limit = max(FLOOR, EXPANSION * path.stat().st_size)
    grown = 0
    for block in source:
        grown += len(block)
        if grown > limit:
            raise InputError("expands", path=shown(path.name), limit=f"{limit:,}", times=EXPANSION)
        yield block


def _gunzip(path: Path) -> Iterator[bytes]:
    """Members one after another; what was inflated before a fault is kept."""
    inflate, inside = zlib.decompressobj(31), False
    with path.open("rb") as file:
        try:
            while raw := file.read(BLOCK // 4):
                while raw := raw if inside else raw.lstrip(b"\0"):  # tapes pad with zeros between members
                    yield inflate.decompress(raw, BLOCK)
                    raw, inside = inflate.unconsumed_tail, True
                    if inflate.eof:
                        raw, inside = inflate.unused_data, False
                        inflate = zlib.decompressobj(31)
            if inside:
                yield inflate.flush()
        except zlib.error as why:
            raise Cut("damaged", f"gzip: {why}") from why
    if inside:
        raise Cut("truncated", "gzip: the file ends before its last block does")


def _unzstd(path: Path) -> Iterator[bytes]:
    read = 0
    try:
        with pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd") as stream:
            while block := stream.read(BLOCK):
                read += len(block)
                yield block
    except (OSError, pa.ArrowException) as why:
        yield from _salvaged(path, read)
        reason = "truncated" if "runcated" in str(why) else "damaged"
        raise Cut(reason, f"zstd: {str(why).splitlines()[0][:80]}") from why


def _salvaged(path: Path, skip: int) -> Iterator[bytes]:
    """What a failed read swallowed: read again up to the fault, in small steps, then in the smallest."""
    for step in (1 << 10, 1):
        with pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd") as stream:
            passed = 0
            while passed < skip:
                passed += len(stream.read(min(skip - passed, BLOCK)))
            try:
                while block := stream.read(step):
                    skip += len(block)
                    yield block
            except (OSError, pa.ArrowException):
                pass  # the caller reports this fault


def detect(path: Path) -> str:
    """utf-8, utf-16, utf-32, cp949 (holds euc-kr) or mixed, by strictly decoding the whole file."""
    start = next(_until_cut(blocks(path)), b"")
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    return next((name for name in ("utf-8", "cp949") if _decodes(path, name)), "mixed")


def _until_cut(source: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from source
    except Cut:
        return  # the reader of the lines reports it


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    try:
        for block in blocks(path):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except Cut:
        return True  # a character cut in half is the cut's fault
    return True


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Decoding goes on after a fault, which stays visible as a byte that is no UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error("bapsim.mark", _mark)


def _transcoded(source: Iterable[bytes], name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)("bapsim.mark")
    try:
        for block in source:
            yield decoder.decode(block).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
    except UnicodeError as why:  # no single byte is wrong: the file is nothing of that kind
        raise Cut("encoding", f"{name}: {why}") from why


def utf8(path: Path, encoding: str) -> Iterator[bytes]:
    """The content as UTF-8 without a byte order mark; `encoding` from `detect` or any codec's name."""
    known(encoding)
    source = blocks(path)
    if encoding not in ("utf-8", "mixed"):
        source = _transcoded(source, encoding)
    first = True
    for block in source:
        yield block.removeprefix(codecs.BOM_UTF8) if first else block
        first = first and not block


def known(encoding: str) -> None:
    """Raises InputError when there is no text encoding of that name."""
    try:
        if encoding != "mixed":
            sample = "a".encode(encoding)  # refuses names of codecs that are not for text
            codecs.getincrementaldecoder(encoding)("bapsim.mark").decode(sample)
    except (LookupError, ValueError) as why:
        raise InputError("no_encoding", encoding=shown(encoding)) from why


def _split(source: Iterable[bytes]) -> Iterator[bytes | None]:
    """Physical lines without their line feed; None where a line is longer than RECORD.

    Only LF ends a line, a CR before it stays; a file whose first block has CR only ends its lines with CR.
    """
    tail, mac, first = b"", False, True
    for block in source:
        if first and block:
            mac, first = b"\n" not in block and b"\r" in block, False
        parts = (block.replace(b"\r", b"\n") if mac else block).split(b"\n")
        if len(tail) <= RECORD:
            tail += parts[0]
        if len(parts) > 1:
            yield tail if len(tail) <= RECORD else None
            yield from parts[1:-1]
            tail = parts[-1]
    if tail:
        yield tail if len(tail) <= RECORD else None


def _decoded(line: bytes, mixed: bool) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        said = line.decode("utf-8", "surrogateescape")
    if mixed:
        try:
            korean = line.decode("cp949")
        except UnicodeDecodeError:
            return said
        return korean if _HANGUL.search(korean) else said  # French in latin-1 must not become hanja
    return said


def lines(path: Path, encoding: str | None = None) -> Iterator[str | None]:
    """Physical lines as text; lone surrogates where a line decodes in no encoding, None where it is too long.

    Raises Cut after the last whole line of a file that breaks off.
    """
    name = encoding or detect(path)
    for line in _split(utf8(path, name)):
        yield None if line is None else _decoded(line, name == "mixed")


def texts(path: Path, encoding: str | None = None) -> Iterator[str]:
    """The content as blocks of text, for formats that do not go by lines."""
    decoder: Any = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for block in utf8(path, encoding or detect(path)):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)
