"""Near-duplicate texts: shingle sets, MinHash signatures, banded candidates, exact verification, clusters.

A text is its letters, digits and symbols: folded, without white space and punctuation. Two texts are near
equal when the Jaccard similarity of their sets of five-letter windows reaches a threshold; MinHash (Broder
1997) with banding only proposes pairs, each of which is then verified exactly, so that precision is 1 by
construction. Buckets with very many texts are searched in a window of an order that keeps similar texts
together (an LSH forest, Bawa et al. 2005), so that the work grows with the number of texts, never with its
square. Memory: about 4 bytes a letter and 250 bytes a distinct text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bapsim.text.normalise import Points, fold

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]

WIDTH = 5  # letters in a shingle
PERMUTATIONS = 128
WINDOW = 32  # neighbours that a text meets in one bucket: all of them in buckets of up to 33 texts
PATIENCE = 128  # exact comparisons in vain that a text gets: bounds the work on texts of one template
RECALL = 0.999  # of pairs at the threshold, before verification
LONGEST = 1 << 20  # code points of a text that count: bounds the memory of one huge line
_CHUNK = 1 << 17
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)
_LOW, _ONES = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x0101010101010101)
_TABLE = np.random.default_rng(20260819).integers(0, 2**32, (2, PERMUTATIONS), np.uint32)
_FACTORS, _SHIFTS = _TABLE[0] | np.uint32(1), _TABLE[1]


@dataclass(frozen=True)
class Shingles:
    """Shingle sets of n texts: hashes uint32[total], sorted and distinct in each set; starts int64[n + 1]."""

    hashes: Points
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Ints:
        """int64[n]: distinct shingles of each text."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Sketches:
    """What the search needs of n texts: band keys uint32[bands, n], low bytes of signatures uint8[n, 128]."""

    keys: Points
    marks: NDArray[np.uint8]


def _codes(text: str) -> Points:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _kinds(codes: Points) -> NDArray[np.uint8]:
    """uint8[n] of folded points: 0 letter or symbol, 1 digit, 2 punctuation, 3 white space or control."""
    seen = np.zeros(int(codes.max()) + 1, bool)
    seen[codes] = True
    table = np.zeros(len(seen), np.uint8)
    for code in np.flatnonzero(seen).tolist():
        category = unicodedata.category(chr(code))
        if category[0] == "P":
            table[code] = 2
        elif category[0] == "Z" or category in ("Cc", "Cf"):
            table[code] = 3
        elif category == "Nd":
            table[code] = 1
    return table[codes]


def letters(texts: Sequence[str | None]) -> list[str]:
    """What is compared of each text: folded, without white space and punctuation; the first million points.

    A mark between two digits stays (3.5 is not 35), and so does everything but white space where a text has
    no letter at all ("..." is not "?!").
    """
    sizes = np.cumsum([0] + [min(len(text or ""), LONGEST) + 1 for text in texts])
    kept: list[str] = []
    for a, b in _chunks(sizes, 1 << 19):
        codes = fold(texts[a:b], LONGEST)
        kinds, starts = _kinds(codes.points), codes.starts
        digit = np.concatenate([[False], kinds == 1, [False]])
        keep = (kinds < 2) | ((kinds == 2) & digit[:-2] & digit[2:])
        before = _counted(keep)
        for row in np.flatnonzero(before[starts[1:]] == before[starts[:-1]]):
            keep[starts[row] : starts[row + 1]] = kinds[starts[row] : starts[row + 1]] < 3
        bounds = _counted(keep)[starts].tolist()
        whole = codes.points[keep].tobytes().decode("utf-32-le")
        kept += [whole[i:j] for i, j in pairwise(bounds)]
    return kept


def _counted(marks: NDArray[np.bool_]) -> Ints:
    """int64[n + 1]: how many are true before each place."""
    return np.concatenate([[0], np.cumsum(marks)])


def _chunks(starts: Ints, size: int = _CHUNK) -> Iterator[tuple[int, int]]:
    """Ranges of rows that hold about `size` elements together, at least one row each."""
    row, last = 0, len(starts) - 1
    while row < last:
        stop = int(np.searchsorted(starts, starts[row] + size, side="right")) - 1
        stop = min(max(stop, row + 1), last)
        yield row, stop
        row = stop


def _mixed(value: Keys) -> Points:
    """The well-mixed upper half of 64-bit values, as uint32."""
    value = value ^ (value >> np.uint64(33))
    value *= _MIX
    return (value >> _HALF).astype(np.uint32)


def shingles(texts: Sequence[str | None]) -> Shingles:
    """The shingle sets of texts: hashes of all windows of five letters; a shorter text is one shingle."""
    return _sets(letters(texts))


def _sets(words: Sequence[str]) -> Shingles:
    padded = [word.ljust(WIDTH, "\0") for word in words]
    starts = np.concatenate([[0], np.cumsum([len(word) for word in padded], dtype=np.int64)])
    sizes = np.zeros(len(words), np.int64)
    found = []
    for a, b in _chunks(starts):
        codes = _codes("".join(padded[a:b])).astype(np.uint64)
        rolled = codes[: 1 - WIDTH].copy()
        for i in range(1, WIDTH):
            rolled *= _STEP
            rolled += codes[i : len(codes) - WIDTH + 1 + i]
        lengths = np.diff(starts[a : b + 1])
        rows = np.repeat(np.arange(b - a, dtype=np.uint64), lengths)
        inside = np.ones(len(codes), bool)
        inside[(np.cumsum(lengths)[:, None] - np.arange(1, WIDTH)).ravel()] = False
        inside = inside[: 1 - WIDTH]
        coded = (rows[: 1 - WIDTH] << _HALF | _mixed(rolled))[inside]
        coded.sort()
        coded = coded[np.concatenate([[True], coded[1:] != coded[:-1]])]
        sizes[a:b] = np.bincount((coded >> _HALF).astype(np.int64), minlength=b - a)
        found.append(coded.astype(np.uint32))
    hashes = np.concatenate(found) if found else np.empty(0, np.uint32)
    return Shingles(hashes, np.concatenate([[0], np.cumsum(sizes)]))


def _signed(sets: Shingles, a: int, b: int) -> Points:
    """uint32[128, b - a]: the least value of each permutation over each set of the rows a to b."""
    origin = sets.starts[a]
    values, places = sets.hashes[origin : sets.starts[b]], sets.starts[a:b] - origin
    out, room = np.empty((PERMUTATIONS, b - a), np.uint32), np.empty_like(values)
    for i in range(PERMUTATIONS):
        np.multiply(values, _FACTORS[i], out=room)
        np.add(room, _SHIFTS[i], out=room)
        np.minimum.reduceat(room, places, out=out[i])
    return out


def signatures(sets: Shingles) -> Points:
    """uint32[n, 128] MinHash signatures; the share of equal values estimates the Jaccard similarity."""
    parts = [_signed(sets, a, b).T for a, b in _chunks(sets.starts)]
    return np.concatenate(parts) if parts else np.empty((0, PERMUTATIONS), np.uint32)


def band_rows(threshold: float) -> int:
    """Values in a band: as many as still propose `RECALL` of the pairs at the threshold."""
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold lies above 0 and at most at 1, not at {threshold}")
    rows = 1
    while rows < 16 and (1 - threshold ** (rows + 1)) ** (PERMUTATIONS // (rows + 1)) <= 1 - RECALL:
        rows += 1
    return rows


def _sketched(sets: Shingles, threshold: float) -> Sketches:
    width = band_rows(threshold)
    count = PERMUTATIONS // width
    keys = np.empty((count, len(sets)), np.uint32)
    marks = np.empty((len(sets), PERMUTATIONS), np.uint8)
    for a, b in _chunks(sets.starts):
        signed = _signed(sets, a, b)
        marks[a:b] = signed.astype(np.uint8).T
        bands = signed[: count * width].reshape(count, width, b - a).astype(np.uint64)
        rolled = bands[:, 0]
        for i in range(1, width):
            rolled = rolled * _STEP + bands[:, i]
        keys[:, a:b] = _mixed(rolled)
    return Sketches(keys, marks)


def _expanded(starts: Ints, sizes: Ints) -> Ints:
    """The indices of all elements of several runs, run after run."""
    ends = np.cumsum(sizes)
    shift: Ints = np.repeat(starts - (ends - sizes), sizes)
    return np.arange(len(shift)) + shift


def jaccard(sets: Shingles, left: Ints, right: Ints) -> NDArray[np.float64]:
    """float64[m]: the exact Jaccard similarity of the sets at the positions left[i] and right[i]."""
    sizes = sets.sizes
    total = sizes[left] + sizes[right]
    common = np.zeros(len(left), np.int64)
    for a, b in _chunks(np.concatenate([[0], np.cumsum(total)]), 1 << 20):
        names = np.arange(b - a, dtype=np.uint64) << _HALF
        coded = []
        for side in (left[a:b], right[a:b]):
            elements = sets.hashes[_expanded(sets.starts[side], sizes[side])]
            coded.append(np.repeat(names, sizes[side]) | elements)
        both = np.concatenate(coded)
        both.sort(kind="stable")  # two sorted runs: a merge, 40 times faster than a sort
        shared = both[1:][both[1:] == both[:-1]]
        common[a:b] = np.bincount((shared >> _HALF).astype(np.int64), minlength=b - a)
    return common / (total - common)


@dataclass(frozen=True)
class Search:
    """Shingle sets and their sketches at one threshold; decides on proposed pairs."""

    sets: Shingles
    sketches: Sketches
    threshold: float

    def estimated(self, left: Ints, right: Ints) -> Ints:
        """int64[m] of pairs: equal signature bytes (of 128), 0 where the sizes of the sets, or an estimate
        three standard deviations below the threshold, spare the exact count."""
        sizes, t, words = self.sets.sizes, self.threshold, self.sketches.marks.view(np.uint64)
        least = PERMUTATIONS * t - 3 * np.sqrt(PERMUTATIONS * t * (1 - t))
        a, b = sizes[left], sizes[right]
        places = np.flatnonzero(np.minimum(a, b) >= t * np.maximum(a, b))
        equal = np.zeros(len(left), np.int64)
        for start in range(0, len(places), _CHUNK):
            part = places[start : start + _CHUNK]
            mixed = words[left[part]] ^ words[right[part]]
            zero = ~((mixed & _LOW) + _LOW | mixed) >> np.uint64(7) & _ONES  # 1 in each byte that is equal
            equal[part] = zero.sum(axis=1) * _ONES >> np.uint64(56)
        equal[equal < least] = 0
        return equal

    def sorting(self, band: int) -> Keys:
        """uint64[n]: the key of a band, then that of the next: similar texts lie together in a bucket."""
        keys = self.sketches.keys
        joined: Keys = keys[band].astype(np.uint64) << _HALF | keys[(band + 1) % len(keys)]
        return joined


def _search(words: Sequence[str], threshold: float) -> Search:
    sets = _sets(words)
    return Search(sets, _sketched(sets, threshold), threshold)


def unite(root: Ints, left: Ints, right: Ints) -> Ints:
    """Union-find over whole arrays: int64[n], the least member of each node's set after joining the pairs.

    root: int64[n] of an earlier call, or `np.arange(n)`.
    """
    root = root.copy()
    while len(left):
        a, b = root[left], root[right]
        apart = a != b
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(shorter := root[root], root):
            root = shorter
    return root


def _proposed(search: Search, band: int, root: Ints) -> tuple[Ints, Ints, Ints]:
    """Pairs of different clusters that meet in a bucket and look similar, and how many bytes are equal."""
    sorting = search.sorting(band)
    order = np.argsort(sorting, kind="stable")
    bucket = (sorting >> _HALF)[order]
    found = [np.empty((3, 0), np.int64)]
    for step in range(1, WINDOW + 1):
        places = np.flatnonzero(bucket[step:] == bucket[:-step])
        if len(places) == 0:
            break
        a, b = order[places], order[places + step]
        apart = root[a] != root[b]
        a, b = a[apart], b[apart]
        equal = search.estimated(a, b)
        found.append(np.stack([a, b, equal])[:, equal > 0])
    a, b, equal = np.concatenate(found, axis=1)
    return a, b, equal


def _joined(search: Search) -> Ints:
    """int64[n]: the least member of each text's cluster; the most similar pairs are verified first."""
    root = np.arange(len(search.sets))
    vain = np.zeros(len(root), np.int64)
    for band in range(len(search.sketches.keys)):
        left, right, equal = _proposed(search, band, root)
        for level in np.unique(equal)[::-1]:
            here = np.flatnonzero(equal == level)
            a, b = left[here], right[here]
            open_ = (root[a] != root[b]) & (np.minimum(vain[a], vain[b]) < PATIENCE)
            a, b = a[open_], b[open_]
            alike = jaccard(search.sets, a, b) >= search.threshold
            root = unite(root, a[alike], b[alike])
            vain += np.bincount(np.concatenate([a[~alike], b[~alike]]), minlength=len(root))
    return root


def _distinct(texts: Sequence[str | None]) -> tuple[list[str], Ints]:
    """The distinct letters of texts in their own order, so that the order of rows decides nothing; who has
    which, int64[n]."""
    words = letters(texts)
    distinct = sorted(set(words))
    number = {word: i for i, word in enumerate(distinct)}
    return distinct, np.fromiter((number[word] for word in words), np.int64, len(words))


def clusters(texts: Sequence[str | None], threshold: float = 0.8) -> Ints:
    """int64[n]: the smallest row among the texts that are linked by near-equal pairs.

    Two texts are linked when the exact Jaccard similarity of their shingle sets is at least `threshold`;
    clusters are connected components of links. Reordering the rows reorders the partition and nothing else.
    """
    distinct, which = _distinct(texts)
    root = _joined(_search(distinct, threshold))[which]
    first = np.full(len(distinct), len(texts), np.int64)
    np.minimum.at(first, root, np.arange(len(texts)))
    return first[root]


def _met(index: Keys, probe: Keys) -> Iterator[tuple[Ints, Ints]]:
    """Positions (in the sorted index, in the probe) that share a bucket, at most `WINDOW` of each probe."""
    low = np.searchsorted(index, probe >> _HALF << _HALF)
    high = np.searchsorted(index, probe | np.uint64(0xFFFFFFFF), side="right")
    busy = np.flatnonzero(high > low)
    low, high = low[busy], high[busy]
    start = np.clip(np.searchsorted(index, probe[busy]) - WINDOW // 2, low, np.maximum(high - WINDOW, low))
    for step in range(WINDOW):
        here = start + step < high
        if not here.any():
            return
        yield start[here] + step, busy[here]


def near(texts_a: Sequence[str | None], texts_b: Sequence[str | None], threshold: float = 0.8) -> Ints:
    """int64[len(texts_b)]: the row of a text in `texts_a` that each is near equal to, -1 where there is none.

    An equal text goes before a near-equal one, then the more similar of those that a band finds together.
    """
    distinct, which = _distinct([*texts_a, *texts_b])
    first = np.full(len(distinct), -1, np.int64)
    a, b = which[: len(texts_a)], which[len(texts_a) :]
    first[a[::-1]] = np.arange(len(a))[::-1]
    known, asked = np.flatnonzero(first >= 0), np.setdiff1d(b, a)
    if len(known) == 0 or len(asked) == 0:
        return first[b]
    search = _search(distinct, threshold)
    best, vain = np.zeros(len(distinct)), np.zeros(len(distinct), np.int64)
    for band in range(len(search.sketches.keys)):
        sorting = search.sorting(band)
        order = known[np.argsort(sorting[known], kind="stable")]
        asked = asked[first[asked] < 0]
        for at, by in _met(sorting[order], sorting[asked]):
            there, here = order[at], asked[by]
            open_ = (search.estimated(there, here) > 0) & (vain[here] < PATIENCE)
            there, here = there[open_], here[open_]
            alike = jaccard(search.sets, there, here)
            vain[here] += alike < threshold
            better = (alike >= threshold) & (
                (alike > best[here]) | ((alike == best[here]) & (first[there] < first[here]))
            )
            first[here[better]], best[here[better]] = first[there[better]], alike[better]
    return first[b]
