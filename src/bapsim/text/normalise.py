"""Folding: texts to code points in one spelling, so that the same words are the same numbers everywhere.

The rules and the table (fold.json, made by tools/make_fold_table.py) are specified in docs/features.md; the C
and JavaScript references in ship/device follow the same page. Idea: NFKC and case folding one code
point at a time through a committed table (so that no Unicode library of some version decides), then Hangul
and Latin composition from the left, so that macOS's decomposed text folds to the same points.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import Damaged

Points = NDArray[np.uint32]
Texts: TypeAlias = "Sequence[str | None] | pa.Array[Any] | pa.ChunkedArray[Any]"

LIMIT = 1 << 16  # code points of a text that count: bounds the memory of one huge line
BLANK = 0x20
TABLE = Path(__file__).with_name("fold.json")
# What every stored model names: the table's SHA-256, first 16 digits. It stands here as code, so that another
# table is another identity of every recipe that reads text.
TABLE_HASH = "ccd8285ce77b12e6"
# Not code points: the place between two texts; delete; _MANY + k is expansion k.
_BREAK, _DROP, _MANY = 0x110000, 0x110001, 0x110002
_SECOND, _WORD = 1, 2  # flag bits: may compose with the point before it; part of a word


@dataclass(frozen=True, eq=False)
class Codes:
    """Folded texts end to end: a blank, text 0, a blank, text 1, a blank, ...

    points: uint32, all code points. starts: int64, n + 1: text i is points[starts[i] : starts[i + 1] - 1].
    """

    points: Points
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def strings(self) -> list[str]:
        """The folded texts as Python strings."""
        text = self.points.astype("<u4").tobytes().decode("utf-32-le")
        return [text[a : b - 1] for a, b in pairwise(self.starts.tolist())]


class _Table(NamedTuple):
    to: Points  # code point -> code point, _DROP or _MANY + k
    flags: NDArray[np.uint8]
    many: Points  # the expansions end to end
    many_at: NDArray[np.int64]
    pair_keys: NDArray[np.uint64]  # base << 32 | mark, ascending
    pair_to: Points
    late: Points  # conjoining jamo that found no partner, 0x1100..0x11FF -> the jamo that keyboards type


@lru_cache(1)
def _table() -> _Table:
    body = TABLE.read_bytes()
    if hashlib.sha256(body).hexdigest()[:16] != TABLE_HASH:
        raise Damaged("text_table_differs", path=str(TABLE))
    raw: dict[str, Any] = json.loads(body)
    to = np.arange(_BREAK + 1, dtype=np.uint32)
    to[0xD800:0xE000] = 0xFFFD
    for name, value in (("blank", BLANK), ("drop", _DROP)):
        for first, last in raw[name]:
            to[first : last + 1] = value
    to[raw["one"][::2]] = raw["one"][1::2]
    to[[m[0] for m in raw["many"]]] = np.arange(len(raw["many"])) + _MANY
    pairs = np.array(raw["pairs"], np.uint64).reshape(-1, 3)
    flags = np.zeros(_BREAK + 1, np.uint8)
    flags[pairs[:, 1]] = _SECOND
    flags[0x1161:0x1176] = flags[0x11A8:0x11C3] = _SECOND
    for first, last in raw["word"]:
        flags[first : last + 1] |= _WORD
    late = np.arange(0x1100, 0x1200, dtype=np.uint32)
    late[np.array(raw["late"][::2]) - 0x1100] = raw["late"][1::2]
    return _Table(
        to,
        flags,
        np.array([x for m in raw["many"] for x in m[1:]], np.uint32),
        np.cumsum([0] + [len(m) - 1 for m in raw["many"]]),
        pairs[:, 0] << np.uint64(32) | pairs[:, 1],
        pairs[:, 2].astype(np.uint32),
        late,
    )


def fold(texts: Texts, limit: int = LIMIT) -> Codes:
    """Fold texts (strings or None, or an Arrow string array; null = empty) by docs/features.md, section 1.

    Only the first `limit` code points of a text count. About 0.1 CPU-s and 60 MB per million code points; the
    whole result is in memory, so give a large corpus in chunks.
    """
    table = _table()
    points, bounds = code_points(texts, limit)
    a = np.full(len(points) + len(bounds), _BREAK, np.uint32)
    inside = np.ones(len(a), bool)
    inside[bounds + np.arange(len(bounds))] = False
    a[inside] = table.to[points]
    if (a > _BREAK).any():
        a = _expand(a, table)
    a = _compose(a, table)
    jamo = np.flatnonzero((a >= 0x1100) & (a < 0x1200))
    a[jamo] = table.late[a[jamo] - 0x1100]
    a = _collapse(a)
    breaks = np.flatnonzero(a == _BREAK)
    a[breaks] = BLANK
    return Codes(a, breaks + 1)


def is_word(points: Points) -> NDArray[np.bool_]:
    """Which folded code points are letters, marks or digits (so belong to a word)."""
    return (_table().flags[points] & _WORD) > 0


def code_points(texts: Texts, limit: int = LIMIT) -> tuple[Points, NDArray[np.int64]]:
    """All code points end to end, and n + 1 bounds of the texts, each text cut at `limit`."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.cast(pa.large_string()).combine_chunks()
    if isinstance(texts, pa.Array):
        return _arrow_points(texts, limit)
    cut = [(t or "")[:limit] for t in texts]
    raw = "".join(cut).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(raw, "<u4").astype(np.uint32, copy=False), _cumulated([len(t) for t in cut])


def _arrow_points(texts: "pa.Array[Any]", limit: int) -> tuple[Points, NDArray[np.int64]]:
    texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = texts.fill_null("")  # a null slot may hide bytes
    buffers: list[Any] = texts.buffers()
    _, offsets, data = buffers
    if len(texts) == 0 or data is None:
        return np.zeros(0, np.uint32), np.zeros(len(texts) + 1, np.int64)
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    octets = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    bounds = bounds - bounds[0]
    octets, bounds = _cut_octets(octets, bounds, limit)
    raw = octets.tobytes().decode("utf-8").encode("utf-32-le")
    points = np.frombuffer(raw, "<u4").astype(np.uint32, copy=False)
    before = np.zeros(len(octets) + 1, np.int64)
    np.cumsum((octets & 0xC0) != 0x80, out=before[1:])
    bounds = before[bounds]
    size = np.diff(bounds)
    if (size > limit).any():
        place = np.arange(len(points)) - np.repeat(bounds[:-1], size)
        points, bounds = points[place < limit], _cumulated(np.minimum(size, limit))
    return points, bounds


def _cut_octets(
    octets: NDArray[np.uint8], bounds: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Leave out what lies beyond 4 * limit bytes of a text (at least `limit` points)."""
    size = np.diff(bounds)
    long = np.flatnonzero(size > 4 * limit)
    if not len(long):
        return octets, bounds
    keep = np.ones(len(octets), bool)
    for i in long.tolist():
        end = int(bounds[i]) + 4 * limit
        while octets[end] & 0xC0 == 0x80:
            end -= 1
        keep[end : bounds[i + 1]] = False
        size[i] = end - bounds[i]
    return octets[keep], _cumulated(size)


def _cumulated(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=out[1:])
    return out


def _expand(a: Points, table: _Table) -> Points:
    """Delete ignorable points and put the expansions in."""
    a = a[a != _DROP]
    at = np.flatnonzero(a >= _MANY)
    if not len(at):
        return a
    which = a[at] - _MANY
    size = np.ones(len(a), np.int64)
    size[at] = table.many_at[which + 1] - table.many_at[which]
    out = np.repeat(a, size)
    first = (np.cumsum(size) - size)[at]
    within = np.arange(size[at].sum()) - np.repeat(_cumulated(size[at])[:-1], size[at])
    out[np.repeat(first, size[at]) + within] = table.many[np.repeat(table.many_at[which], size[at]) + within]
    return out


def _compose(a: Points, table: _Table) -> Points:
    """Replace (base, mark) by its composite, from the left, until nothing composes.

    No mark is a base or a composite (the table's maker checks it), so passes over all pairs at once give what
    one pass from the left gives; at most four passes, the longest chain of marks.
    """
    while True:
        at = np.flatnonzero(table.flags[a] & _SECOND)  # never 0: a break comes first
        composite = _composite(a[at - 1], a[at], table)
        at, composite = at[composite > 0], composite[composite > 0]
        if not len(at):
            return a
        a[at - 1] = composite
        a = np.delete(a, at)


def _composite(base: Points, mark: Points, table: _Table) -> Points:
    """The composite of each pair, 0 where there is none."""
    key = base.astype(np.uint64) << np.uint64(32) | mark
    at = np.minimum(np.searchsorted(table.pair_keys, key), len(table.pair_keys) - 1)
    out = np.where(table.pair_keys[at] == key, table.pair_to[at], np.uint32(0))
    # Differences of unsigned numbers: what lies before the range wraps to a large number.
    lead, vowel, tail = base - np.uint32(0x1100), mark - np.uint32(0x1161), mark - np.uint32(0x11A7)
    syllable = base - np.uint32(0xAC00)
    out = np.where((lead < 19) & (vowel < 21), 0xAC00 + (lead * 21 + vowel) * 28, out)
    open_syllable = (syllable < 11172) & (syllable % 28 == 0)
    out = np.where(open_syllable & (tail > 0) & (tail < 28), base + tail, out)
    return np.asarray(out, np.uint32)


def _collapse(a: Points) -> Points:
    """One blank for a run of blanks, none next to a break."""
    blank = a == BLANK
    if not blank.any():
        return a
    edge = blank | (a == _BREAK)
    after_edge = np.empty_like(edge)
    after_edge[0], after_edge[1:] = True, edge[:-1]
    a = a[~(blank & after_edge)]
    before_break = np.zeros(len(a), bool)
    before_break[:-1] = a[1:] == _BREAK
    return np.asarray(a[~((a == BLANK) & before_break)])
