"""Rows of separated values (CSV, TSV): quoted line breaks, a delimiter found by looking, strict quoting.

`csv` in strict mode refuses a record whose quotes do not fit. Then only its first line is quarantined and the
lines behind it are read again, so that one stray quote cannot swallow a file.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import COLUMNS, NOT_TEXT, PART, Item, NotRead, encodable, too_long
from bapsim.gather.unpack import BLOCK, RECORD, Cut, shown

DELIMITERS = ",;\t|"
LOOKED_AT = 200  # lines from which the delimiter is found


class Separated(csv.Dialect):
    """RFC 4180 with some delimiter."""

    delimiter = ","
    quotechar = '"'
    doublequote = True
    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL
    strict = True


class _Lines:
    """Physical lines for `csv.reader`, which can be given again; a file that breaks off simply ends."""

    def __init__(self, source: Iterable[str | None], first: int = 1) -> None:
        self._source = enumerate(source, first)
        self._again: deque[tuple[int, str | None]] = deque()
        self.taken: list[tuple[int, str | None]] = []
        self.size = 0
        self.cut: Cut | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            line, said = self._again.popleft() if self._again else next(self._source)
        except Cut as cut:
            self.cut = cut
            raise StopIteration from cut
        self.taken.append((line, said))
        self.size += len(said or "")
        if said is None or self.size > RECORD:
            raise too_long()
        return said + "\n"

    def start(self) -> None:
        self.taken.clear()
        self.size = 0

    def again(self) -> tuple[int, str | None]:
        """Gives all lines of the failed record again but the first, which is returned."""
        self._again.extendleft(reversed(self.taken[1:]))
        return self.taken[0]

    @property
    def said(self) -> str:
        return "\n".join(said or "" for _, said in self.taken)


def dialect(delimiter: str, quoting: bool = True) -> type[Separated]:
    """The way in which one file separates its cells."""
    how = csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    return type("_Found", (Separated,), {"delimiter": delimiter, "quoting": how})


def _counts(head: list[str], how: type[Separated]) -> list[int]:
    """Cells of each record, 0 where the quotes do not fit."""
    counts: list[int] = []
    source = iter(head)
    reader = csv.reader((line + "\n" for line in source), how)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return counts
        except csv.Error:
            counts.append(0)
            reader = csv.reader((line + "\n" for line in source), how)
        else:
            if cells:
                counts.append(len(cells))


def sniff(head: list[str], tabs: bool = False) -> type[Separated]:
    """The delimiter under which most records have as many cells as the header, and whether tabs are quoted.

    `tabs`: the file's name says so; it counts when there is a tab in the header.
    """
    best, found = (0.0, 0), dialect(",")
    for delimiter in "\t" if tabs and head and "\t" in head[0] else DELIMITERS:
        for quoting in (True, False) if delimiter == "\t" else (True,):
            counts = _counts(head, dialect(delimiter, quoting))
            if counts and counts[0] > 1:
                score = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
                if score > best:
                    best, found = score, dialect(delimiter, quoting)
    return found


def _well_quoted(said: str, delimiter: str) -> bool:
    """Whether each cell has no quote in it or is quoted as a whole."""
    cell = f'(?:[^"{re.escape(delimiter)}\n]*|"[^"]*(?:""[^"]*)*")'
    return re.fullmatch(f"{cell}(?:{re.escape(delimiter)}{cell})*\r?", said) is not None


def separated(
    source: Iterable[str | None], file: str, *, tabs: bool = False
) -> tuple[list[str], Iterator[Item | Unread]]:
    """The column names, and the records under them; no names: the file is empty.

    Blank lines are no records. Raises InputError when the header cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), 2 * RECORD))  # of the whole process, 128 KiB by default
    rest = iter(source)
    head, rest = _looked_at(rest)
    how = sniff([said for said in head if said], tabs)
    feed = _Lines(itertools.chain(head, rest))
    names = _header(feed, how, file)
    return names, _records(feed, how, len(names), file)


def _looked_at(rest: Iterator[str | None]) -> tuple[list[str | None], Iterator[str | None]]:
    """The first lines, as many as are looked at, and what comes behind them."""
    head: list[str | None] = []
    size = 0
    try:
        while len(head) < LOOKED_AT and size < BLOCK:
            said = next(rest)
            head.append(said)
            size += len(said or "")
    except StopIteration:
        pass
    except Cut as cut:
        rest = _cut(cut)
    return head, rest


def _cut(cut: Cut) -> Iterator[str]:
    raise cut
    yield ""


def _header(feed: _Lines, how: type[Separated], file: str) -> list[str]:
    reader = csv.reader(feed, how)
    try:
        cells = next((cells for cells in reader if cells), [])
    except (csv.Error, NotRead) as why:
        raise InputError("header", file=file, why=shown(why)) from why
    if len(cells) > COLUMNS:
        raise InputError("too_many_columns", file=file, count=len(cells), limit=COLUMNS)
    if "\0" in feed.said or not encodable(feed.said):
        raise InputError("header", file=file, why=NOT_TEXT)
    return [cell.strip() or f"column_{i}" for i, cell in enumerate(cells, 1)]


def _records(feed: _Lines, how: type[Separated], width: int, file: str) -> Iterator[Item | Unread]:
    reader, wary = csv.reader(feed, how), False
    while True:
        feed.start()
        try:
            cells = next(reader)
            if cells:
                _check(cells, feed, width, how.delimiter if wary else "")
                wary = False
                yield Item(feed.taken[0][0], feed.size + PART * width, cells)
        except StopIteration:
            break
        except (csv.Error, NotRead) as why:
            many = len(feed.taken) > 1
            line, said = feed.again()
            reader = csv.reader(feed, how)
            literal = said.rstrip("\r").split("\t") if said and how.delimiter == "\t" else []
            if isinstance(why, csv.Error) and len(literal) == width and "\0" not in (said or ""):
                yield Item(
                    line, len(said or "") + PART * width, literal
                )  # most writers of tabs do not quote at all
                continue
            wary = wary or many or isinstance(why, csv.Error)
            refused = why if isinstance(why, NotRead) and not many else NotRead("quote", "quotes do not fit")
            yield refused.at(file, line)
    if feed.cut is not None:
        raise feed.cut


def _check(cells: list[str], feed: _Lines, width: int, wary_of: str) -> None:
    """Raises NotRead; behind a stray quote, text that was inside quotes must not pass for a record."""
    said = feed.said
    if "\0" in said:
        raise NotRead("nul", "a NUL byte")
    if len(cells) != width:
        raise NotRead("cells", f"{len(cells)} cells under {width} columns")
    if wary_of and '"' in said and not _well_quoted(said, wary_of):
        raise NotRead("quote", "quotes do not fit")
