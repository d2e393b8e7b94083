"""Verbatim traces: what some texts alone say, known again wherever it stands, without keeping the texts.

A text counts as its words: folded (docs/features.md), with one blank for whatever stands between two of them,
so that case, punctuation, line breaks and markup between words do not hide it. A trace is a span of WIDTH
code points, or a name that tells (a run of letters and digits such as an address, a number, an id); in what
was made of the texts also a whole value, and in prose a short text or a rare long word. What any living text
says as well is no trace. Spans
are polynomials modulo 2^64; what is stored are keyed digests of them, and 24 bits of each as a filter.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.text.normalise import BLANK, Points, fold, is_word

WIDTH = 16  # code points of a span, blanks included
SHORT = 6  # code points from which on a shorter whole text is looked for in prose
NAME = 8  # code points from which on a name that tells is looked for
RUN = 8  # pieces of a name or a short text at most
LONG_WORD = (12, 6)  # letters of a rare word that tells, of ASCII and of other scripts
CHUNK = 1 << 21  # characters that are hashed at once: about 150 MB

How = Literal["strict", "values", "prose"]  # which kinds of traces are sought, spans and names always
Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BASE = 0x9E3779B97F4A7C15
_BACK = pow(_BASE, -1, 1 << 64)
_LOW = np.uint64((1 << 24) - 1)
_TELLS = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+#/:-]{5,}[A-Za-z0-9]")
_NO_NAME = re.compile(  # ids, versions, days and times, pseudonyms: of the program, not of a person
    r"q?[0-9a-f]{32}|[pcd]-[a-z2-7]{10,12}(/[0-9]+)?|t[0-9]{3}-[a-z]+(-[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*"
)
_ID = re.compile(r"(?<![0-9A-Za-z-])(?:q?[0-9a-f]{32}|[pcd]-[a-z2-7]{10,12}(?:/[0-9]+)?)(?![0-9A-Za-z])")
_NUMBERS = re.compile(r"[0-9TZ\s:.,/+-]*")  # times and amounts: many say them
_UNIT = re.compile(r"(?:[0-9A-Za-z]|[^\x00-\x7f\s])+")  # all else is white space and marks, however it folds


class Plain(NamedTuple):
    """n texts as their words: points uint32[m], blanks only between words; text int64[m] is ascending."""

    points: Points
    text: Ints
    n: int


def plain(texts: Sequence[str | None]) -> Plain:
    """Texts as they are compared."""
    codes = fold(texts, 1 << 60)
    sizes = np.concatenate([[1], np.diff(codes.starts)]).astype(np.int64)
    text = np.repeat(np.arange(-1, len(codes)), sizes)[: len(codes.points)]
    word = is_word(codes.points)
    keep = word.copy()
    keep[1:] |= ~word[1:] & word[:-1] & (text[1:] == text[:-1])
    keep &= text >= 0
    points, text = np.where(word, codes.points, np.uint32(BLANK))[keep], text[keep]
    last = np.ones(len(points), bool)
    last[:-1] = text[1:] != text[:-1]
    keep = ~(last & (points == BLANK))
    return Plain(points[keep], text[keep], len(codes))


class _Hashed:
    """Hashes of any run of a sequence of points, by prefix sums."""

    def __init__(self, points: Points) -> None:
        size = len(points)
        up = np.full(size + 1, _BASE, np.uint64)
        down = np.full(size + 1, _BACK, np.uint64)
        up[0] = down[0] = 1
        with np.errstate(over="ignore"):
            np.cumprod(up, out=up)
            np.cumprod(down, out=down)
            self._sums = np.zeros(size + 1, np.uint64)
            np.cumsum((points.astype(np.uint64) + np.uint64(1)) * up[:size], out=self._sums[1:])
        self._down = down

    def of(self, start: Ints, end: Ints) -> Hashes:
        """uint64[k] of the runs from `start` to before `end`."""
        with np.errstate(over="ignore"):
            one = (self._sums[end] - self._sums[start]) * self._down[start]
            one ^= one >> np.uint64(31)
            one *= np.uint64(0xBF58476D1CE4E5B9)
            one ^= one >> np.uint64(29)
        return np.asarray(one)


class Found(NamedTuple):
    """Hashes of parts of texts, and where they stand: points from `start` to before `end`."""

    hashes: Hashes
    start: Ints
    end: Ints


class Parts:
    """Everything of some texts that may be a trace."""

    def __init__(self, texts: Plain) -> None:
        self.texts = texts
        self._hashed = _Hashed(texts.points)

    def _found(self, start: Ints, end: Ints) -> Found:
        return Found(self._hashed.of(start, end), start, end)

    @cached_property
    def spans(self) -> Found:
        """All spans of WIDTH points within one text."""
        text = self.texts.text
        start = np.flatnonzero(text[: max(len(text) - WIDTH + 1, 0)] == text[WIDTH - 1 :])
        return self._found(start, start + WIDTH)

    @cached_property
    def wholes(self) -> Found:
        """Each text that has a word, whole."""
        there, start = np.unique(self.texts.text, return_index=True)
        end = np.append(start[1:], len(self.texts.text))
        return self._found(start[: len(there)].astype(np.int64), end[: len(there)].astype(np.int64))

    @cached_property
    def _pieces(self) -> tuple[Ints, Ints]:
        """Starts and ends of words, and of their parts in ASCII and in other scripts."""
        points, text = self.texts.points, self.texts.text
        word, plain_ascii = points != BLANK, points < 128
        edge = np.ones(len(points) + 1, bool)
        edge[1:-1] = (word[1:] != word[:-1]) | (plain_ascii[1:] != plain_ascii[:-1]) | (text[1:] != text[:-1])
        at = np.flatnonzero(edge)
        inside = word[at[:-1]]
        return at[:-1][inside], at[1:][inside]

    def runs(self, most: int) -> Found:
        """All runs of one to `most` pieces within one text."""
        start, end = self._pieces
        starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for k in range(min(most, len(start))):
            a, b = start[: len(start) - k], end[k:]
            same = self.texts.text[a] == self.texts.text[b - 1]
            starts.append(a[same])
            ends.append(b[same])
        return self._found(np.concatenate(starts), np.concatenate(ends))

    def pieces_of(self, wholes: Found) -> Ints:
        """int64[k]: how many pieces each whole text has."""
        start, _ = self._pieces
        return np.searchsorted(start, wholes.end) - np.searchsorted(start, wholes.start)


# ---------------------------------------------------------------------- what is sought


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """Parts that are said by texts that must go, uint64 each, ascending.

    spans, wholes: as in `Parts`; names: runs of letters and digits that tell, in whatever they stand; words:
    short texts and rare long words, sought in prose only; single: all words, for lists of words; pieces: of
    the longest name or short text.
    """

    spans: Hashes
    wholes: Hashes
    names: Hashes
    words: Hashes
    single: Hashes
    pieces: int


def _chunks(texts: Sequence[str | None]) -> Iterator[Sequence[str | None]]:
    start = size = 0
    for i, one in enumerate(texts):
        size += len(one or "")
        if size >= CHUNK:
            yield texts[start : i + 1]
            start, size = i + 1, 0
    if start < len(texts):
        yield texts[start:]


def telling(text: str) -> Iterator[str]:
    """Names in a text that tell who or what is meant: with a digit or an @ sign, and not short."""
    for found in _TELLS.finditer(text):
        one = found[0]
        if (
            len(one) >= NAME
            and not _NO_NAME.fullmatch(one)
            and ("@" in one or any(sign.isdigit() for sign in one))
        ):
            yield one


def said_by(texts: Sequence[str | None]) -> Said:
    """What these texts say."""
    spans, wholes, words, each = [], [], [], []
    names: dict[str, None] = {}
    pieces = 1
    for chunk in _chunks(texts):
        bare = [_ID.sub(" ", one) for one in chunk if one]
        speaks = [one for one in bare if not (_NUMBERS.fullmatch(one) or _NO_NAME.fullmatch(one))]
        parts = Parts(plain(speaks))
        whole = parts.wholes
        spans.append(parts.spans.hashes)
        wholes.append(whole.hashes[_has_letters(parts.texts.points, whole)])
        size, count = whole.end - whole.start, parts.pieces_of(whole)
        short = (size >= SHORT) & (size < WIDTH) & (count <= RUN)
        pieces = max(pieces, int(count[short].max(initial=1)))
        single = parts.runs(1)
        letters = single.end - single.start
        least = np.where(parts.texts.points[single.start] < 128, *LONG_WORD)
        words += [whole.hashes[short], single.hashes[letters >= least]]
        each.append(single.hashes)
        names |= dict.fromkeys(name for text in chunk if text for name in telling(text))
    told = Parts(plain(list(names)))
    count = told.pieces_of(told.wholes)
    pieces = max(pieces, int(count[count <= RUN].max(initial=1)))
    return Said(
        spans=_joined(spans),
        wholes=_joined(wholes),
        names=_joined([told.wholes.hashes[count <= RUN]]),
        words=_joined(words),
        single=_joined(each),
        pieces=pieces,
    )


def _has_letters(points: Points, found: Found) -> Mask:
    """bool[k]: runs with two points that are no digits: what a number says, many say."""
    before = np.concatenate([[0], np.cumsum((points < 48) | (points > 57))])
    return np.asarray(before[found.end] - before[found.start] >= 2)


def _joined(parts: Sequence[Hashes]) -> Hashes:
    return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))


def spared(said: Said, living: Sequence[str | None]) -> Said:
    """What is said, without what living texts say as well."""
    for chunk in _chunks(living):
        parts = Parts(plain(chunk))
        runs = parts.runs(said.pieces).hashes
        said = Said(
            spans=_less(said.spans, parts.spans.hashes),
            wholes=_less(said.wholes, parts.wholes.hashes),
            names=_less(said.names, runs),
            words=_less(said.words, runs),
            single=_less(said.single, runs),
            pieces=said.pieces,
        )
    return said


def _less(these: Hashes, those: Hashes) -> Hashes:
    return these[~_among(these, np.unique(those))]


def _among(these: Hashes, among: Hashes) -> Mask:
    """bool[n]: which are in an ascending array."""
    if not len(among):
        return np.zeros(len(these), bool)
    at = np.minimum(np.searchsorted(among, these), len(among) - 1)
    return np.asarray(among[at] == these)


# ---------------------------------------------------------------------- what is stored


@dataclass(frozen=True, kw_only=True, eq=False)
class Sealed:
    """Keyed digests of hashes, uint64 ascending, and the low 24 bits of these hashes, ascending."""

    secret: bytes
    digests: Hashes
    low: NDArray[np.uint32]

    @cached_property
    def _filter(self) -> Mask:
        mask = np.zeros(1 << 24, bool)
        mask[self.low] = True
        return mask

    def has(self, hashes: Hashes) -> Mask:
        """bool[n]: which of these were sealed."""
        found = np.zeros(len(hashes), bool)
        if not len(self.digests):
            return found
        maybe = np.flatnonzero(self._filter[(hashes & _LOW).astype(np.int64)])
        if len(maybe):
            one, back = np.unique(hashes[maybe], return_inverse=True)
            found[maybe] = _among(_digests(one, self.secret), self.digests)[back]
        return found


def _digests(hashes: Hashes, secret: bytes) -> Hashes:
    body = hashes.astype("<u8").tobytes()
    parts = (body[i : i + 8] for i in range(0, len(body), 8))
    made = b"".join(hashlib.blake2b(part, digest_size=8, key=secret[:64]).digest() for part in parts)
    return np.frombuffer(made, "<u8").astype(np.uint64)


def sealed(hashes: Hashes, secret: bytes) -> Sealed:
    """Hashes as they may lie on a disk: who has no key learns nothing, who has it can only guess."""
    low = np.unique((hashes & _LOW).astype(np.uint32))
    return Sealed(secret=secret, digests=np.sort(_digests(hashes, secret)), low=low)


@dataclass(frozen=True, kw_only=True, eq=False)
class Traces:
    """What is sought: `Said`, sealed."""

    spans: Sealed
    wholes: Sealed
    names: Sealed
    words: Sealed
    single: Sealed
    pieces: int

    def __bool__(self) -> bool:
        return any(len(one.digests) for one in (self.spans, self.wholes, self.names, self.words))


_KINDS = ("spans", "wholes", "names", "words", "single")


def traces_of(said: Said, secret: bytes) -> Traces:
    """What is said, sealed under a key."""
    return Traces(**{kind: sealed(getattr(said, kind), secret) for kind in _KINDS}, pieces=said.pieces)


def written(traces: Traces) -> bytes:
    """Traces as bytes."""
    said: dict[str, object] = {"pieces": traces.pieces}
    for kind in _KINDS:
        one: Sealed = getattr(traces, kind)
        said[kind] = [one.digests.astype("<u8").tobytes().hex(), one.low.astype("<u4").tobytes().hex()]
    return json.dumps(said).encode()


def read(body: bytes, secret: bytes) -> Traces:
    """Traces from bytes."""
    said = json.loads(body)
    parts = {}
    for kind in _KINDS:
        digests, low = (bytes.fromhex(one) for one in said[kind])
        parts[kind] = Sealed(
            secret=secret,
            digests=np.frombuffer(digests, "<u8").astype(np.uint64),
            low=np.frombuffer(low, "<u4").astype(np.uint32),
        )
    return Traces(**parts, pieces=int(said["pieces"]))


# ---------------------------------------------------------------------- seeking


def holds(traces: Traces, texts: Sequence[str | None], how: How) -> Mask:
    """bool[n]: texts in which something stands that is sought.

    how: strict, spans and names; values, also whole values; prose, also short texts and rare words.
    """
    found = np.zeros(len(texts), bool)
    done = 0
    for chunk in _chunks(texts):
        parts = Parts(plain(chunk))
        for one, hit in _hits(traces, parts, how):
            found[done + parts.texts.text[one.start[hit]]] = True
        done += len(chunk)
    return found


def _hits(traces: Traces, parts: Parts, how: How) -> Iterator[tuple[Found, Mask]]:
    yield parts.spans, traces.spans.has(parts.spans.hashes)
    wanted = [traces.names, *([traces.words] if how == "prose" else [])]
    if any(len(one.digests) for one in wanted):
        runs = parts.runs(traces.pieces)
        yield from ((runs, one.has(runs.hashes)) for one in wanted)
    if how == "values":
        yield parts.wholes, traces.wholes.has(parts.wholes.hashes)


def shares(traces: Traces, texts: Sequence[str | None]) -> NDArray[np.float64]:
    """float64[n]: of the spans of each text, the share that is sought; 0 for a text without any."""
    found, done = np.zeros(len(texts)), 0
    for chunk in _chunks(texts):
        spans = Parts(read := plain(chunk)).spans
        of = read.text[spans.start]
        hits = np.bincount(of, traces.spans.has(spans.hashes), len(chunk))
        found[done : done + len(chunk)] = hits / np.maximum(np.bincount(of, minlength=len(chunk)), 1)
        done += len(chunk)
    return found


def is_rare(traces: Traces, words: Sequence[str]) -> Mask:
    """bool[n]: single words that only what must go has."""
    parts = Parts(plain(words))
    found = np.zeros(len(words), bool)
    whole = parts.wholes
    found[parts.texts.text[whole.start]] = traces.single.has(whole.hashes)
    return found


def places(traces: Traces, text: str, how: How) -> list[tuple[int, int]]:
    """Where in a text something stands that is sought: characters from, to; ascending, apart."""
    units = list(_UNIT.finditer(text))
    parted = plain([one[0] for one in units])
    fresh = np.ones(len(parted.points), bool)
    fresh[1:] = parted.text[1:] != parted.text[:-1]
    fresh[:1] = False
    points = np.insert(parted.points, np.flatnonzero(fresh), BLANK)
    unit = np.insert(parted.text, np.flatnonzero(fresh), -1)
    parts = Parts(Plain(points, np.zeros(len(points), np.int64), 1))
    hit = np.zeros(len(units) + 1, bool)
    for one, mask in _hits(traces, parts, how):
        for a, b in zip(one.start[mask].tolist(), one.end[mask].tolist(), strict=True):
            hit[unit[a:b]] = True
    found: list[tuple[int, int]] = []
    for i in np.flatnonzero(hit[:-1]).tolist():
        a, b = units[i].span()
        if found and i and hit[i - 1]:
            found[-1] = (found[-1][0], b)
        else:
            found.append((a, b))
    return found
