"""Debian's machine-readable copyright files (DEP-5): which licence stands for which files.

https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/ : paragraphs of fields; the last one whose
`Files` patterns match a path stands for it. A short name that nobody knows is looked up in the words of its
licence paragraph.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bapsim.text.licence_texts import licences
from bapsim.text.spdx import expression, licence_id

_FORMAT = re.compile(r"(?im)^format(?:-specification)?:[ \t]*\S*copyright-format|^format:[ \t]*\S*dep-?5")
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]*):[ \t]*(.*)$")


@dataclass(frozen=True)
class Copyright:
    """The `Files` paragraphs in order: patterns, and the licence of each as an expression, None = unknown."""

    files: tuple[tuple[tuple[str, ...], str | None], ...]

    def licence_of(self, path: str) -> str | None:
        """The licence that stands for a path below the folder that the file speaks about."""
        found = None
        for patterns, licence in self.files:
            if any(_matches(pattern, path) for pattern in patterns):
                found = licence
        return found


def is_dep5(text: str) -> bool:
    """Whether a text is such a file."""
    return _FORMAT.search(text[:4000]) is not None


def dep5(text: str) -> Copyright:
    """Read such a file; what cannot be read says nothing."""
    paragraphs = [_fields(one) for one in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))]
    alone = {
        _short(one["license"]): one["license"]
        for one in paragraphs
        if "license" in one and "files" not in one
    }
    files = []
    for one in paragraphs:
        if "files" in one and "license" in one:
            files.append((tuple(one["files"].split()), _licence(one["license"], alone)))
    return Copyright(tuple(files))


def _fields(paragraph: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        m = _FIELD.match(line)
        if m is not None:
            name = m[1].lower()
            found[name] = m[2]
        elif name and line[:1] in " \t":
            found[name] += "\n" + ("" if line.strip() == "." else line.strip())
    return found


def _short(field: str) -> str:
    return field.partition("\n")[0].strip()


def _licence(field: str, alone: dict[str, str]) -> str | None:
    """The short name as an expression, unknown names by the words that stand under them."""
    short = _short(field)
    known = expression(short)
    names = (
        []
        if known is None
        else re.findall(r"[A-Za-z0-9][\w.+-]*", re.sub(r"\b(?:AND|OR|WITH)\b", " ", known))
    )
    if known is not None and all(licence_id(name) is not None for name in names):
        return known
    words = field.partition("\n")[2] or alone.get(short, "").partition("\n")[2]
    return " AND ".join(_bracketed(one) for one in licences(words)) or known


def _bracketed(said: str) -> str:
    return f"({said})" if " OR " in said else said


def _matches(pattern: str, path: str) -> bool:
    """`*` is anything, slashes too; `?` one letter; a backslash takes the next one as it is."""
    parts = re.findall(r"\\.|[^\\]", pattern.removeprefix("./"))
    at, here, star, mark = 0, 0, -1, 0
    while at < len(path):
        if here < len(parts) and parts[here] == "*":
            star, mark = here, at
            here += 1
        elif here < len(parts) and (parts[here] == "?" or parts[here][-1] == path[at]):
            here, at = here + 1, at + 1
        elif star >= 0:
            mark += 1
            here, at = star + 1, mark
        else:
            return False
    return all(part == "*" for part in parts[here:])
