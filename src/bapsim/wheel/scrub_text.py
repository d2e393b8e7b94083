"""Files of text without what is sought: records of data go whole, in prose the place is taken by a mark.

A line that cannot be parsed is looked at as it is written. Lines that stay keep their bytes, whatever their
encoding.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bapsim.gather.separated import sniff
from bapsim.gather.unpack import MARKS
from bapsim.text.escaped import has_trace, without_traces
from bapsim.text.verbatim import holds
from bapsim.wheel.sought import Sought, leaves

MARK = "[withdrawn]"
LINES, TABLES, PLAIN = (".jsonl", ".ndjson"), (".csv", ".tsv", ".tab"), (".txt", ".log")
HEAD = 50  # records that tell how a table is separated


class Cleaned(NamedTuple):
    """What is left of a body, and how many parts went; None: nothing is left, or it cannot be rewritten.

    blanked: nobody here knows the format, and words were blanked in it.
    """

    body: bytes | None
    parts: int
    emptied: bool = False
    blanked: bool = False


class Text(NamedTuple):
    """A body as lines of text: as they are, and as they are written."""

    lines: list[str]
    raw: list[bytes]
    encoding: str  # "" where each line has its own


def decoded(body: bytes) -> Text | None:
    """A body as text in UTF-8, cp949 (also mixed, line by line), UTF-16 or UTF-32; None: it is none."""
    for mark, name in MARKS:
        if body.startswith(mark) and name != "utf-8":
            return _whole(body, name)
    if b"\0" in body:
        return next((one for name in ("utf-16-le", "utf-16-be") if (one := _whole(body, name))), None)
    raw = body.splitlines(keepends=True)
    lines = []
    for i, line in enumerate(raw):
        said = line.removeprefix(codecs.BOM_UTF8) if not i else line
        try:
            lines.append(said.decode())
        except UnicodeDecodeError:
            try:
                lines.append(said.decode("cp949"))
            except UnicodeDecodeError:
                return None
    return Text(lines, raw, "")


def _whole(body: bytes, encoding: str) -> Text | None:
    try:
        said = body.decode(encoding)
    except UnicodeDecodeError:
        return None
    if not encoding.endswith(("16", "32")) and sum(one < " " and one not in "\t\r\n" for one in said) > 0:
        return None
    return Text(re.findall(r"[^\n]*\n|[^\n]+", said), [], encoding)


def without_text(text: Text, body: bytes, name: str, sought: Sought, given: bool) -> Cleaned | None:
    """A file of text without what is sought; None: nothing of it is there. given: by people, as data."""
    ending = "." + name.lower().rpartition(".")[2]
    if ending == ".json" and (whole := _document("".join(text.lines), sought, given)) is not _NOT:
        return _encoded(whole, body, text)
    if ending in (*LINES, ".json"):
        return _kept(text, going_lines(text.lines, sought, given=given))
    if ending in TABLES:
        return _kept(text, _rows_that_go(text.lines, sought, ending != ".csv", given))
    if given and ending in PLAIN:
        return _kept(text, holds(sought.traces, text.lines, "strict"))
    whole = "".join(text.lines)
    if not has_trace(sought.traces, whole):
        return None
    left = without_traces(sought.traces, whole, MARK)
    if has_trace(sought.traces, left):
        return Cleaned(None, 1)
    return Cleaned(_with_mark(left, body, text), max(1, left.count(MARK)))


def _kept(text: Text, gone: np.ndarray) -> Cleaned | None:
    if not gone.any():
        return None
    lines = text.lines if text.encoding else text.raw
    left: list[Any] = [line for line, go in zip(lines, gone, strict=True) if not go]
    if not any(one.strip() for one in left):
        return Cleaned(None, int(gone.sum()), emptied=True)
    return Cleaned("".join(left).encode(text.encoding) if text.encoding else b"".join(left), int(gone.sum()))


def _with_mark(said: str, body: bytes, text: Text) -> bytes:
    if text.encoding:
        return said.encode(text.encoding)
    mark = codecs.BOM_UTF8 if body.startswith(codecs.BOM_UTF8) else b""
    try:
        body.decode()
    except UnicodeDecodeError:
        return said.encode("cp949", "replace")
    return mark + said.encode()


# ---------------------------------------------------------------------- JSON


def going_lines(lines: Sequence[str], sought: Sought, *, given: bool) -> np.ndarray:
    """bool[n]: lines of JSON that have to go."""
    gone = np.zeros(len(lines), bool)
    there: list[int] = []
    records: list[Any] = []
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
            there.append(i)
        except (ValueError, RecursionError):
            gone[i] = has_trace(sought.traces, line)
    gone[np.array(there, np.int64)[sought.goes(records, made=not given)]] = True
    return gone


_NOT: Any = object()  # it is no JSON document


def _document(said: str, sought: Sought, given: bool) -> Any:
    """A JSON document without what is sought; None: nothing of it is there."""
    try:
        whole = json.loads(said)
    except (ValueError, RecursionError):
        return _NOT
    if isinstance(whole, list) and whole and all(isinstance(one, dict) for one in whole):
        gone = sought.goes(whole, made=not given)
        if not gone.any():
            return None
        return [one for one, go in zip(whole, gone, strict=True) if not go], int(gone.sum())
    cleaner = _Cleaner(sought)
    left = cleaner.of(whole)
    return (left, cleaner.parts) if cleaner.parts else None


class _Cleaner:
    """Values with a mark in place of what is sought, each another: some lists say each thing once."""

    def __init__(self, sought: Sought) -> None:
        self.sought = sought
        self.parts = 0

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._text(name, False): self.of(inner) for name, inner in value.items()}
        if isinstance(value, list):
            listed = all(isinstance(one, str) for one in value)
            return [self._text(one, True) if listed else self.of(one) for one in value]
        return self._text(value, False) if isinstance(value, str) else value

    def _text(self, said: str, whole: bool) -> str:
        hit = has_trace(self.sought.traces, said)
        if not hit and not (whole and holds(self.sought.traces, [said], "values")[0]):
            return said
        self.parts += 1
        mark = f"[withdrawn {self.parts}]"
        left = without_traces(self.sought.traces, said, mark) if hit else mark
        return mark if has_trace(self.sought.traces, left) else left


def masked(value: Any, sought: Sought) -> tuple[Any, int]:
    """A value as JSON holds it, with marks in place of what is sought, and how many."""
    cleaner = _Cleaner(sought)
    texts = [one for _, one in leaves(value) if isinstance(one, str)]
    if not texts:
        return value, 0
    return cleaner.of(value), cleaner.parts


def _encoded(whole: Any, body: bytes, text: Text) -> Cleaned | None:
    if whole is None:
        return None
    left, parts = whole
    wide = "\n" in "".join(text.lines).strip()
    said = json.dumps(left, ensure_ascii=False, indent=1 if wide else None) + "\n" * wide
    return Cleaned(_with_mark(said, body, text), parts)


# ---------------------------------------------------------------------- tables


def _rows_that_go(lines: Sequence[str], sought: Sought, tabs: bool, given: bool) -> np.ndarray:
    """bool[n] of lines: all those of a record that goes; the header stays."""
    how = sniff([line.rstrip("\r\n") for line in lines[:HEAD]], tabs)
    gone = np.zeros(len(lines), bool)
    header: list[str] | None = None
    records, places = [], []
    for cells, at in _records(lines, lambda source: csv.reader(source, how)):
        if header is None:
            header = cells
            continue
        records.append(dict(zip(header, cells, strict=False)) | _rest(header, cells))
        places.append(at)
    for at, go in zip(places, sought.goes(records, made=not given), strict=True):
        gone[at] = go
    return gone


def _rest(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells beyond the header, and those under a name that stands twice."""
    more = cells[len(header) :]
    twice = [cell for i, cell in enumerate(cells[: len(header)]) if header.index(header[i]) != i]
    return {f"\0{i}": cell for i, cell in enumerate([*more, *twice])}


def _records(
    lines: Sequence[str], reader: Callable[[Iterator[str]], Any]
) -> Iterator[tuple[list[str], slice]]:
    """Records with the lines that they take; a broken one is a line of one cell."""
    done = taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        while taken < len(lines):
            taken += 1
            yield lines[taken - 1]

    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))
    read = reader(source())
    while True:
        try:
            cells = next(read)
        except StopIteration:
            return
        except csv.Error:
            cells, taken = [lines[done]], done + 1
            read = reader(source())
        yield cells, slice(done, taken)
        done = taken
