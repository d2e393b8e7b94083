"""Workbooks (.xlsx) as tables: every cell as text, as a person sees or typed it, every row accounted for.

The XML is read here in a stream and within limits, because openpyxl's own reader drops a row whose number
goes back, fills a gap of a billion rows row by row, reads a formula without a saved result as blank, and ends
at the first bad cell; what number formats and dates mean is openpyxl's. Source: ECMA-376-1, 18.3 to 18.8.
"""

from __future__ import annotations

import math
import posixpath
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import PART, Chunk, Item, NotRead, by_position, chunks, too_long, uncut
from bapsim.gather.unpack import BLOCK, EXPANSION, FLOOR, OLE, RECORD, ZIP, Cut, head, old_workbook, shown

ROWS, COLUMNS = 1_048_576, 16_384  # of a sheet
STRINGS = 256 << 20  # the table of texts is held in memory
MARKS, DEEPEST = 200_000, 1000  # of styles, links or merged cells; inside one another
FAULTS = (BadZipFile, zlib.error, expat.ExpatError, EOFError, RuntimeError, OSError, ValueError, KeyError)
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_CELL = re.compile("([A-Z]{1,3})([1-9][0-9]{0,6})")
_AREA = re.compile("([A-Z]{1,3})([1-9][0-9]{0,6}):([A-Z]{1,3})([1-9][0-9]{0,6})")


def read_workbook(path: Path, file: str, sheet: str | None) -> Iterator[Chunk]:
    """The rows of a sheet, or of the first visible one that has rows, under the names in its first row.

    Raises InputError where the file is no workbook, would grow without measure, or has no such sheet.
    """
    with _opened(path, file) as archive:
        book = _book(archive, file)
        limit = max(FLOOR, EXPANSION * path.stat().st_size)
        empty = None
        for one in _wanted(book, sheet, file):
            found = _table(archive, book, one, file, limit)
            first = next(found, None)
            if first is not None and (len(first.rows) or first.unread):
                yield first
                yield from found
                return
            empty = empty or first
        if empty is not None:
            yield empty


def sheets(path: Path) -> list[str]:
    """The visible sheets that have rows; the first of them is what is read."""
    file = shown(path.name)
    with _opened(path, file) as archive:
        book = _book(archive, file)
        first = {
            one.name: next(_table(archive, book, one, file, FLOOR), None) for one in _wanted(book, None, file)
        }
    return [name for name, chunk in first.items() if chunk is not None and len(chunk.rows)]


# ---------------------------------------------------------------- the package


class Place(NamedTuple):
    """A worksheet: its name, whether people see it, and its part in the archive."""

    name: str
    visible: bool
    part: str


@dataclass(frozen=True, kw_only=True)
class Book:
    """What all sheets share: texts, the number format of each style, and the day that is number 0."""

    sheets: tuple[Place, ...]
    strings: tuple[str, ...]
    formats: tuple[str, ...]
    epoch: Any


def _opened(path: Path, file: str) -> ZipFile:
    """The archive, if it is one that a workbook can be, and small enough when it is unpacked."""
    magic = head(path)
    if magic.startswith(OLE):
        raise old_workbook(path)
    if not magic.startswith(ZIP):
        raise InputError("not_workbook", file=file, why="not a zip archive")
    try:
        archive = ZipFile(path)
    except FAULTS as why:
        raise InputError("not_workbook", file=file, why=_said(why)) from why
    parts = archive.infolist()
    limit = max(FLOOR, EXPANSION * path.stat().st_size)
    if sum(part.file_size for part in parts) > limit:
        archive.close()
        raise InputError("expands", path=file, limit=f"{limit:,}", times=EXPANSION)
    if any(part.flag_bits & 1 or part.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for part in parts):
        archive.close()
        raise InputError("not_workbook", file=file, why="packed in a way that no workbook is")
    return archive


def _said(why: BaseException) -> str:
    return shown((str(why).splitlines() or [type(why).__name__])[0])[:120]


def _book(archive: ZipFile, file: str) -> Book:
    from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH  # type: ignore[import-untyped]

    try:
        main = next((t for kind, t in _links(archive, "").values() if kind == "officeDocument"), None)
        if main is None:
            raise InputError("not_workbook", file=file, why="the archive holds no workbook")
        links, found, epoch = _links(archive, main), [], WINDOWS_EPOCH
        for tag, about in _elements(archive, main, ("sheet", "workbookPr")):
            kind, part = links.get(about.get("id", ""), ("", ""))
            if tag == "workbookPr":
                epoch = MAC_EPOCH if about.get("date1904") in ("1", "true") else epoch
            elif kind == "worksheet":
                found.append(Place(about.get("name", ""), about.get("state", "visible") == "visible", part))
        parts = dict(links.values())
        if not found:
            raise InputError("not_workbook", file=file, why="it has no sheet with cells")
        return Book(
            sheets=tuple(found),
            strings=tuple(_strings(archive, parts.get("sharedStrings"), file)),
            formats=tuple(_formats(archive, parts.get("styles"))),
            epoch=epoch,
        )
    except Cut as why:
        raise InputError("not_workbook", file=file, why=why.detail) from why


def _links(archive: ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """What a part refers to, by reference: what it is, and its part."""
    folder, name = posixpath.split(part)
    found = {}
    for _, about in _elements(archive, posixpath.join(folder, "_rels", f"{name}.rels"), ("Relationship",)):
        kind, target = about.get("Type", "").rpartition("/")[2], about.get("Target", "")
        found[about.get("Id", "")] = (kind, posixpath.normpath(posixpath.join("/", folder, target))[1:])
    return found


def _formats(archive: ZipFile, part: str | None) -> Iterator[str]:
    """The number format of each style of cells."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS  # type: ignore[import-untyped]

    if part is None:
        return
    known, cells = {str(n): said for n, said in BUILTIN_FORMATS.items()}, False
    for tag, about in _elements(archive, part, ("numFmt", "cellXfs", "cellStyleXfs", "cellStyles", "xf")):
        if tag == "numFmt":
            known[about.get("numFmtId", "")] = about.get("formatCode", "")
        elif tag == "xf" and cells:
            yield known.get(about.get("numFmtId", "0"), "General")
        elif tag != "xf":
            cells = tag == "cellXfs"


def _strings(archive: ZipFile, part: str | None, file: str) -> Iterable[str]:
    if part is None:
        return []
    if part in archive.namelist() and archive.getinfo(part).file_size > STRINGS:
        raise InputError("expands", path=file, limit=f"{STRINGS:,}", times=EXPANSION)
    return _parsed(archive, part, _Texts())


def _wanted(book: Book, sheet: str | None, file: str) -> list[Place]:
    if sheet is None:
        return [one for one in book.sheets if one.visible]
    named = [one for one in book.sheets if one.name == sheet]
    if not named:
        known = ", ".join(shown(one.name) for one in book.sheets[:20])
        raise InputError("no_sheet", file=file, sheet=shown(sheet), known=known)
    return named


# ---------------------------------------------------------------- XML in a stream


def _parsed(archive: ZipFile, part: str, found: Any) -> Iterator[Any]:
    """What a handler finds in a part, block by block; raises Cut where the part breaks off."""
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = found.data, _doctype
    passed, more, why = 0, True, None
    with closing(_blocks(archive, part)) as blocks:
        while more and why is None:
            try:
                block = next(blocks, b"")
                passed, more = passed + len(block), bool(block)
                parser.Parse(block, not block)
                if passed - parser.CurrentByteIndex > RECORD:
                    raise Cut("damaged", "one mark is longer than a record may be")
                if found.depth > DEEPEST:
                    raise Cut("damaged", "marks inside marks without end")
            except Cut as cut:
                why = cut
            except FAULTS as fault:
                why = Cut("truncated" if isinstance(fault, EOFError) else "damaged", _said(fault))
            yield from found.made
            found.made.clear()
    if why is not None:
        raise why


def _blocks(archive: ZipFile, part: str) -> Generator[bytes, None, None]:
    with archive.open(part) as source:
        while block := source.read(BLOCK):
            yield block


def _doctype(*_: object) -> None:
    raise Cut("damaged", "no workbook declares a document type")


def _local(name: str) -> str:
    return name.rpartition(":")[2] if ":" in name else name


class _Marks:
    """Elements of some names with their attributes, without namespaces."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self.wanted, self.made, self.depth = wanted, list[tuple[str, dict[str, str]]](), 0

    def start(self, name: str, about: dict[str, str]) -> None:
        self.depth += 1
        if (tag := _local(name)) in self.wanted:
            self.made.append((tag, {_local(key): said for key, said in about.items()}))

    def end(self, name: str) -> None:
        self.depth -= 1

    def data(self, said: str) -> None: ...


def _elements(archive: ZipFile, part: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    for count, found in enumerate(_parsed(archive, part, _Marks(wanted))):
        if count > MARKS:
            why = f"more than {MARKS:,} marks of one kind"
            raise InputError("not_workbook", file=shown(posixpath.basename(archive.filename or "")), why=why)
        yield found


class _Texts:
    """The table of texts; how a word is pronounced is not part of it."""

    def __init__(self) -> None:
        self.made, self._parts, self._open, self.depth = list[str](), list[str](), "", 0

    def start(self, name: str, about: dict[str, str]) -> None:
        self.depth += 1
        tag = _local(name)
        if tag == "si":
            self._parts = []
        if tag in ("t", "rPh") and self._open != "rPh":
            self._open = tag

    def end(self, name: str) -> None:
        self.depth -= 1
        tag = _local(name)
        if tag == self._open:
            self._open = ""
        if tag == "si":
            self.made.append(unescaped("".join(self._parts)))

    def data(self, said: str) -> None:
        if self._open == "t":
            self._parts.append(said)


def unescaped(said: str) -> str:
    """Text with the characters that a workbook writes as _xHHHH_."""
    return _ESCAPED.sub(lambda one: chr(int(one[1], 16)), said) if "_x" in said else said


# ---------------------------------------------------------------- cells and rows


@cache
def column_number(letters: str) -> int:
    """1 for A, 27 for AA."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


@cache
def _meaning(format_code: str) -> str:
    """What a number is under its format: a date, datetime or span, zeros in front, else a number."""
    from openpyxl.styles.numbers import STRIP_RE, is_date_format, is_timedelta_format

    if re.fullmatch("0{2,}", format_code):
        return format_code
    if not is_date_format(format_code):
        return ""
    if is_timedelta_format(format_code):
        return "span"
    bare = STRIP_RE.sub("", format_code.partition(";")[0]).lower()
    return "datetime" if re.search("[hs]", bare) else "date"


def number_text(raw: str, meaning: str, epoch: Any) -> str:
    """A number as people see its value: 1.0 is 1, dates are ISO, zeros in front if the format pads."""
    if meaning in ("date", "datetime", "span"):
        return _time_text(float(raw), meaning, epoch)
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)", raw):
        value = float(raw)
        if not math.isfinite(value):
            raise ValueError(raw)
        raw = str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    return raw.zfill(len(meaning)) if raw.isdigit() else raw


def _time_text(value: float, meaning: str, epoch: Any) -> str:
    from openpyxl.utils.datetime import from_excel

    try:
        said: Any = from_excel(value, epoch, timedelta=meaning == "span")
    except (OverflowError, ValueError):
        return repr(value)  # no date has this number; a spreadsheet shows it as #####
    if meaning == "span":
        seconds = round(said.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if not hasattr(said, "date"):
        return str(said.isoformat())
    midnight = said.time().isoformat() == "00:00:00"
    return str(said.date() if midnight and meaning == "date" else said)


def cell_text(book: Book, kind: str, style: str, raw: str | None, formula: bool) -> str:
    """One cell as text; "" where it is blank. Raises NotRead for a formula whose result was never saved."""
    if raw is None or (raw == "" and kind in ("n", "b", "e")):
        if formula:
            raise NotRead("formula", "no saved result")
        return ""
    if kind == "s":
        number = int(raw)
        if number < 0:
            raise ValueError(raw)
        return book.strings[number]
    if kind == "b":
        return {"1": "TRUE", "0": "FALSE", "true": "TRUE", "false": "FALSE"}[raw]
    if kind == "n":
        meaning = "" if style == "0" else _meaning(book.formats[int(style)])
        return number_text(raw.strip(), meaning, book.epoch)
    return unescaped(raw)


class _Rows:
    """The rows of a sheet: their number, and cells by column, or why they cannot be read."""

    def __init__(self, book: Book) -> None:
        self.made: list[tuple[int, dict[int, str] | NotRead]] = []
        self._book, self._inside, self._row = book, False, 0
        self._cells: dict[int, str] = {}
        self._bad: NotRead | None = None
        self._size = self._column = 0
        self._about: dict[str, str] = {}
        self._open, self._raw, self._formula = "", list[str](), False
        self.depth = 0

    def start(self, name: str, about: dict[str, str]) -> None:
        self.depth += 1
        tag = _local(name)
        if not self._inside:
            self._inside = tag == "sheetData"
        elif tag == "row":
            self._begin(about.get("r"))
        elif self._bad is not None:
            return
        elif tag == "c":
            self._about, self._raw, self._formula, self._open = about, [], False, ""
        elif tag == "f":
            self._formula = True
        elif tag in ("v", "t", "rPh") and self._open != "rPh":
            self._open = tag
            self._raw.append("")  # there, if empty

    def end(self, name: str) -> None:
        self.depth -= 1
        tag = _local(name)
        if tag == self._open:
            self._open = ""
        elif not self._inside:
            return
        elif tag == "row":
            self.made.append((self._row, self._bad or self._cells))
        elif tag == "sheetData":
            self._inside = False
        elif tag == "c" and self._bad is None:
            self._finish()

    def data(self, said: str) -> None:
        if self._open in ("v", "t") and self._size <= RECORD:
            self._size += len(said)
            self._raw.append(said)

    def _begin(self, said: str | None) -> None:
        number = self._row + 1 if said is None else int(said) if re.fullmatch("[0-9]{1,7}", said) else 0
        if not self._row < number <= ROWS:
            raise Cut("damaged", f"row {shown(said)[:20]} stands behind row {self._row}")
        self._row, self._cells, self._bad = number, {}, None
        self._size = self._column = 0
        self._open = ""

    def _finish(self) -> None:
        about, raw = self._about, "".join(self._raw) if self._raw else None
        try:
            self._column = self._place(about.get("r"))
            text = cell_text(self._book, about.get("t", "n"), about.get("s", "0"), raw, self._formula)
        except NotRead as why:
            where = about.get("r") or f"column {self._column}"
            self._bad = NotRead(why.reason, f"{shown(where)[:20]}: {why.detail}")
            return
        except (ValueError, IndexError, KeyError) as why:
            self._bad = NotRead("cell", f"{shown(about.get('r', ''))[:20]}: {_said(why)[:60]}")
            return
        self._size += len(text)
        if self._size > RECORD:
            self._bad, self._cells = too_long(), {}
        elif text:
            self._cells[self._column] = text

    def _place(self, said: str | None) -> int:
        if said is None:
            column = self._column + 1
        else:
            found = _CELL.fullmatch(said)
            column = column_number(found[1]) if found and int(found[2]) == self._row else 0
        if not self._column < column <= COLUMNS:
            raise NotRead("cell", "out of its place")
        return column


# ---------------------------------------------------------------- merged cells


class Merge(NamedTuple):
    """Cells of one column that are one: from a row to another."""

    column: int
    last: int


def _merges(archive: ZipFile, part: str) -> dict[int, list[Merge]]:
    """Cells merged over several rows, by their first row; one merged over columns fills its first alone."""
    if not _holds(archive, part, b"mergeCell"):
        return {}
    found: dict[int, list[Merge]] = {}
    try:
        for _, about in _elements(archive, part, ("mergeCell",)):
            area = _AREA.fullmatch(about.get("ref", ""))
            if area and int(area[2]) < int(area[4]):
                found.setdefault(int(area[2]), []).append(Merge(column_number(area[1]), int(area[4])))
    except Cut:
        return found  # the reader of the rows reports it
    return found


def _holds(archive: ZipFile, part: str, mark: bytes) -> bool:
    tail = b""
    try:
        for block in _blocks(archive, part):
            if mark in tail + block:
                return True
            tail = block[-len(mark) :]
    except FAULTS:
        return False  # the reader of the rows reports it
    return False


@dataclass
class _Filling:
    """What merged cells say in rows below their first."""

    starts: dict[int, list[Merge]]
    open: dict[int, tuple[int, str]] = field(default_factory=dict)  # column: last row, text

    def fill(self, row: int, cells: dict[int, str]) -> None:
        for column, (last, text) in list(self.open.items()):
            if last < row:
                del self.open[column]
            else:
                cells.setdefault(column, text)
        for merge in self.starts.get(row, ()):
            if merge.column in cells:
                self.open[merge.column] = (merge.last, cells[merge.column])


# ---------------------------------------------------------------- a table


def _table(archive: ZipFile, book: Book, place: Place, file: str, limit: int) -> Iterator[Chunk]:
    """Chunks of one sheet; one without rows where there is only a header, none where there is nothing."""
    names: list[str] = []

    def build(rows: list[list[str]]) -> Any:
        return by_position(names)([row + [""] * (len(names) - len(row)) for row in rows])

    empty = True
    filling = _Filling(_merges(archive, place.part))
    rows = _parsed(archive, place.part, _Rows(book))
    for chunk in chunks(uncut(_records(rows, names, filling, file, limit), file), build, file):
        empty = False
        yield chunk
    if empty and names:
        yield Chunk(build([]), np.empty(0, np.int64))


def _records(
    rows: Iterator[tuple[int, dict[int, str] | NotRead]],
    names: list[str],
    filling: _Filling,
    file: str,
    limit: int,
) -> Iterator[Item | Unread]:
    """The rows under the header; `names` grows where a row goes on beyond it, to the right."""
    places: dict[int, int] = {}
    grown = 0
    for row, cells in rows:
        if isinstance(cells, NotRead):
            if not names:
                raise InputError("header", file=file, why=shown(cells))
            yield cells.at(file, row)
            continue
        if not cells:
            continue
        if not names:
            places = {column: i for i, column in enumerate(cells)}
            names += [said.strip() or f"column_{column}" for column, said in cells.items()]
            continue
        filling.fill(row, cells)
        for column in sorted(cells.keys() - places.keys()):
            places[column] = len(names)
            names.append(f"column_{column}")
        made = [""] * len(names)
        for column, said in cells.items():
            made[places[column]] = said
        size = sum(map(len, made))
        grown += size
        if grown > limit:
            raise InputError("expands", path=file, limit=f"{limit:,}", times=EXPANSION)
        if any("\0" in said for said in made):
            yield NotRead("nul", "a NUL byte").at(file, row)
        else:
            yield Item(row, size + PART * len(names), made)
