"""Words of a user in Markdown and YAML, where nothing in them is markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDEST = 120  # letters of a user's word in a table
_WORD = re.compile(r"[^\W_](?:[\w .,()-]*[^\W_])?")


def visible(said: str) -> str:
    """One line in which every character shows: controls, line ends and marks of direction as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in said)


def _escape(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def code(said: str, *, widest: int = WIDEST) -> str:
    """A user's word as a code span, in a table too: no link, no HTML, no end of a cell."""
    line = visible(said)
    line = line if len(line) <= widest else line[: widest - 1] + "…"
    if not line.strip():
        return f"`{json.dumps(line, ensure_ascii=False)}`"  # blanks alone do not show
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line[0] in "` " or line[-1] in "` " else ""
    line = line.replace("\\|", "\\u005c|").replace("|", "\\|")  # a backslash before would free the bar
    return f"{ticks}{pad}{line}{pad}{ticks}"


def title(said: str) -> str:
    """A user's word where it is a heading: as it is when it is harmless, else as code."""
    return said if _WORD.fullmatch(said) and said.isprintable() else code(said)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A Markdown table; the columns named in `right` are flush right."""
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def scalar(said: object) -> str:
    """A value as YAML that every parser reads alike: texts in double quotes, what does not show escaped."""
    if not isinstance(said, str):
        return json.dumps(said)
    return "".join(c if c.isprintable() else _escape(c) for c in json.dumps(said, ensure_ascii=False))


def yaml(values: Mapping[str, Any]) -> str:
    """Nested mappings and lists as block YAML; keys are ours, values are quoted."""
    return "\n".join(_block(values, 0)) + "\n"


def _block(value: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, one in value.items():
            if isinstance(one, Mapping | list | tuple):
                yield f"{pad}{key}:"
                yield from _block(one, depth + 1)
            else:
                yield f"{pad}{key}: {scalar(one)}"
        return
    for one in value:
        if isinstance(one, Mapping):
            first, *rest = _block(one, depth + 1)
            yield f"{pad}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{pad}- {scalar(one)}"
