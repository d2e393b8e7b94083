"""JSON records, one object a line or one long list of objects, with their numbers as they were written.

pyarrow's reader makes timestamps of dates and stops at a line that does not fit; this one does neither.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import COLUMNS, KINDS, NOT_TEXT, PART, Item, NotRead, encodable, too_long
from bapsim.gather.unpack import BLOCK, RECORD, Cut

DEEPEST = 10_000  # brackets inside brackets


class Number(str):
    """The source text of a JSON number."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotRead("duplicate_key", "a key stands twice in one object")
    return made


def _constant(name: str) -> None:
    """NaN is how Python writes nothing; an infinity is no JSON, and no number to learn from."""
    if name != "NaN":
        raise NotRead("json", f"{name} is not JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=Number, parse_constant=_constant
)


def decoded(said: str) -> dict[str, Any]:
    """One JSON object, or NotRead with the reason."""
    try:
        value = DECODER.decode(said)
    except RecursionError as why:
        raise NotRead("deep", "nested too deeply") from why
    except json.JSONDecodeError as why:
        if not encodable(said):
            raise NotRead("encoding", NOT_TEXT) from why
        if "\0" in said:
            raise NotRead("nul", "a NUL byte") from why
        raise NotRead("json", f"{why.msg} (character {why.pos + 1})") from why
    return _with_keys(value)


def _with_keys(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise NotRead("object", "not an object with keys")
    return value


def weight(said: str, start: int, end: int) -> int:
    """About the bytes that JSON text takes when it is parsed: sixteen megabytes of `[],` are not small."""
    return end - start + PART * sum(said.count(sign, start, end) for sign in ",[{")


def json_lines(source: Iterable[str | None], file: str) -> Iterator[Item | Unread]:
    """One object a line; blank lines are no records."""
    for line, said in enumerate(source, 1):
        try:
            if said is None:
                raise too_long()
            if said and not said.isspace():
                yield Item(line, weight(said, 0, len(said)), decoded(said))
        except NotRead as why:
            yield why.at(file, line)


# ---------------------------------------------------------------- a list of objects

_OUTSIDE, _INSIDE = re.compile(r'["\[\]{},]'), re.compile(r'\\.|"', re.DOTALL)
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1, ",": 0}


class _Window:
    """A moving view of a long text: what lies before `at` is forgotten."""

    def __init__(self, source: Iterable[str]) -> None:
        self._source = iter(source)
        self._cut: Cut | None = None
        self.text, self.at, self.line, self.passed = "", 0, 1, 0

    def more(self) -> bool:
        """Reads on; false at the end, also where the file breaks off."""
        try:
            block = next(self._source, None)
        except Cut as cut:
            block, self._cut = None, cut
        self.text += block or ""
        return block is not None

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.passed += weight(self.text, self.at, to)
        self.at = to
        if to > BLOCK:
            self.text, self.at = self.text[to:], 0

    def sign(self) -> str:
        """The next character that is neither space nor comma, "" at the end."""
        while True:
            found = _BETWEEN.match(self.text, self.at)
            self.move(found.end() if found else self.at)
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def finish(self) -> None:
        """Raises Cut when the file broke off."""
        if self._cut is not None:
            raise self._cut


def json_list(source: Iterable[str], file: str) -> Iterator[Item | Unread]:
    """One list of objects, however it is laid out; a broken element does not spoil the next.

    Elements are numbered from 1 in place of lines: many may stand on one line.
    """
    window, number = _Window(source), 0
    window.sign()
    window.move(window.at + 1)  # the opening bracket
    while (sign := window.sign()) not in ("]", ""):
        number, line, passed = number + 1, window.line, window.passed
        try:
            cells = _element(window)
            yield Item(number, window.passed - passed, cells)
        except NotRead as why:
            yield NotRead(why.reason, f"line {line}: {why.detail}").at(file, number)
    window.finish()
    if not sign:
        raise Cut("truncated", "the list is never closed")
    window.move(window.at + 1)
    if window.sign():
        raise Cut("damaged", "something stands behind the end of the list")


def _element(window: _Window) -> dict[str, Any]:
    """The next element; the window moves behind it, also when it is broken."""
    try:
        value, end = DECODER.raw_decode(window.text, window.at)
    except (json.JSONDecodeError, RecursionError, NotRead):
        end = len(window.text)  # not whole yet, or broken: its brackets say where it ends
    if end < len(window.text):
        window.move(end)
        return _with_keys(value)
    end = _end(window)
    said = window.text[window.at : end]
    window.move(end)
    return decoded(said)


def _end(window: _Window) -> int:
    """Where the element at the window ends; one that is too long is passed over and refused."""
    place, depth, quoted, done, long = window.at, 0, False, False, False
    while True:
        place, depth, quoted, done = _scan(window.text, place, depth, quoted)
        long = long or place - window.at > RECORD
        if done and not long:
            return place
        if long:
            window.move(place)
            place = window.at
        if done:
            raise too_long()
        if not window.more():
            window.move(len(window.text))
            raise too_long() if long else NotRead("json", "this element never ends")


def _scan(text: str, place: int, depth: int, quoted: bool) -> tuple[int, int, bool, bool]:
    """Counts brackets outside strings up to the end of the element, or of the text: then it is not done."""
    while found := (_INSIDE if quoted else _OUTSIDE).search(text, place):
        sign = found[0]
        if sign == '"':
            quoted = not quoted
        elif not quoted:
            if depth == 0 and sign in ",]":
                return found.start(), 0, False, True
            depth += _DEPTH[sign]
            if depth <= 0 and sign in "]}":
                return found.end(), 0, False, True
            if depth > DEEPEST:
                raise Cut("damaged", f"brackets nested over {DEEPEST:,} deep")
        place = found.end()
    half = quoted and text.endswith("\\")  # an escape whose second character is not here yet
    return max(place, len(text) - half), depth, quoted, False


# ---------------------------------------------------------------- columns

_PLAIN = {str, bool, type(None)}  # what json itself writes as it stood
_KIND = {str: "string", Number: "number", bool: "bool", dict: "object", list: "array"}


def by_name(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Objects as text columns, in the order in which their keys first appear; absent keys are null."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    if len(names) > COLUMNS:
        raise InputError("too_many_columns", file="JSON", count=len(names), limit=COLUMNS)
    arrays, fields = [], []
    for name in names:
        column = [row.get(name) for row in rows]
        kinds = set(map(type, column)) - {type(None)}
        if not kinds <= {str, Number}:
            column = [written(value) for value in column]
        arrays.append(pa.array(column, pa.string()))
        said = " ".join(sorted(_KIND[kind] for kind in kinds))
        fields.append(pa.field(name or "unnamed", pa.string(), metadata={KINDS: said.encode()}))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def written(value: Any) -> str | None:
    """A JSON value as text: strings bare, numbers as they stood, nested values as JSON; null is null."""
    return value if value is None or type(value) is str else _nested(value)


def _nested(value: Any) -> str:
    match value:
        case Number():
            return str(value)
        case dict():
            if set(map(type, value.values())) <= _PLAIN:
                return json.dumps(value, ensure_ascii=False)
            return "{" + ", ".join(f"{_nested(key)}: {_nested(part)}" for key, part in value.items()) + "}"
        case list():
            kinds = set(map(type, value))
            if kinds <= _PLAIN:
                return json.dumps(value, ensure_ascii=False)
            return "[" + ", ".join(value if kinds == {Number} else map(_nested, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
