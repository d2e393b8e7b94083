"""Text for a terminal: Korean letters are two columns wide, lines break between words, tables line up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(said: object) -> str:
    """Text from data without what would steer a terminal; line breaks and tabs become blanks."""
    return _CONTROL.sub("�", re.sub(r"[\r\n\t]+", " ", str(said)))


def width(said: str) -> int:
    """Columns that a text takes."""
    bare = _ANSI.sub("", said)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in bare
    )


def wrapped(said: str, columns: int, *, first: str = "", rest: str = "") -> str:
    """Lines of at most `columns`, broken between words; a longer word stands alone."""
    lines, line = [], first
    empty = True
    for word in said.split(" "):
        if not empty and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line, empty = rest, True
        line += word if empty else f" {word}"
        empty = False
    return "\n".join([*lines, line])


def clipped(said: str, columns: int) -> str:
    """A text cut to so many columns, with an ellipsis where something is missing."""
    if width(said) <= columns:
        return said
    kept, used = "", 0
    for c in said:
        used += width(c)
        if used > columns - 1:
            break
        kept += c
    return kept + "…"


def table(rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> str:
    """Cells in columns, two blanks apart; the columns named in `right` are flush right."""
    cells = [list(row) for row in rows]
    count = max((len(row) for row in cells), default=0)
    wide = [max((width(row[i]) for row in cells if i < len(row)), default=0) for i in range(count)]
    lines = []
    for row in cells:
        said = []
        for i, cell in enumerate(row):
            gap = " " * (wide[i] - width(cell))
            said.append(gap + cell if i in right else cell + gap)
        lines.append((indent + "  ".join(said)).rstrip())
    return "\n".join(lines)
