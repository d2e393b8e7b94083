"""Text as it is meant where it stands escaped: HTML, JSON, percent and CSV escapes, and where each was.

A page holds texts as `&amp;`, `&#44032;`, `\\uac00`, `%EC%B9%B4` or `""`, sometimes one inside another. What
is sought in a text is sought in what it means; what is found is cut out of what is written.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.text.verbatim import Traces, holds, places

DEEPEST = 4  # escapes inside escapes
_ESCAPE = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
    r"|(?:\\u[0-9a-fA-F]{4})+|\\[nrtbf\"'/\\]|\\x[0-9a-fA-F]{2}|(?:%[0-9a-fA-F]{2})+"
)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_TAG = re.compile(r"<[!/?A-Za-z][^<>]*>")
_INLINE = re.compile(r"</?(?:a|abbr|b|bdi|code|em|i|kbd|mark|q|s|small|span|strong|sub|sup|u|wbr)\b", re.I)

Ints = NDArray[np.int64]


class Meant(NamedTuple):
    """A text without escapes; at: int64[n + 1], where each of its characters begins in what is written."""

    text: str
    at: Ints


def _one(said: str) -> str:
    if said[0] == "&":
        return html.unescape(said)
    if said[0] == "%":
        return bytes.fromhex(said.replace("%", "")).decode("utf-8", "replace")
    if said[1] == "u":
        units = bytes.fromhex(said.replace("\\u", ""))
        return units.decode("utf-16-be", "replace")
    if said[1] == "x":
        return chr(int(said[2:], 16))
    return _SIMPLE.get(said[1], said[1])


def _once(text: str, at: Ints, escape: re.Pattern[str], meant: object) -> Meant:
    parts: list[str] = []
    where: list[Ints] = []
    done = 0
    for found in escape.finditer(text):
        said = meant(found[0]) if callable(meant) else str(meant)
        a, b = found.span()
        parts += [text[done:a], said]
        where += [at[done:a], np.full(len(said), at[a])]
        done = b
    parts.append(text[done:])
    where.append(at[done:])
    return Meant("".join(parts), np.concatenate(where))


def unescaped(text: str) -> Meant:
    """The text as it is meant, escapes in escapes too."""
    now = Meant(text, np.arange(len(text) + 1, dtype=np.int64))
    for _ in range(DEEPEST):
        if not _ESCAPE.search(now.text):
            break
        new = _once(now.text, now.at, _ESCAPE, _one)
        if new.text == now.text:
            break
        now = new
    return now


def readings(text: str) -> list[Meant]:
    """A page in all ways in which a text may stand in it: with its tags (their attributes), and without."""
    whole = unescaped(text)
    bare = _once(text, np.arange(len(text) + 1, dtype=np.int64), _TAG, _between)
    found = [Meant(text, np.arange(len(text) + 1, dtype=np.int64)), whole]
    if bare.text != text:
        inner = unescaped(bare.text)
        found.append(Meant(inner.text, bare.at[inner.at]))
    return found


def _between(tag: str) -> str:
    return "" if _INLINE.match(tag) else " "


def has_trace(traces: Traces, text: str) -> bool:
    """Whether something stands in a page that is sought, in whatever reading."""
    return bool(holds(traces, [one.text for one in readings(text)], "prose").any())


def trace_places(traces: Traces, text: str) -> list[tuple[int, int]]:
    """Where in a page something stands that is sought: characters as they are written, ascending, apart."""
    found: list[tuple[int, int]] = []
    for one in readings(text):
        found += [(int(one.at[a]), int(one.at[b])) for a, b in places(traces, one.text, "prose")]
    joined: list[tuple[int, int]] = []
    for a, b in sorted(found):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], b))
        else:
            joined.append((a, b))
    return joined


def without_traces(traces: Traces, text: str, instead: str) -> str:
    """A page with `instead` where something stood that is sought; tags that it went over stay."""
    out, done = [], 0
    for a, b in trace_places(traces, text):
        out += [text[done:a], instead, *(tag[0] for tag in _TAG.finditer(text, a, b))]
        done = b
    return "".join([*out, text[done:]])
