"""Near-duplicate pictures: small sketches of grey edges, compared exactly, and clusters of what is alike.

A sketch is the low half of the cosine transform of a 32 x 32 grey version (a perceptual hash, Zauner 2010,
kept as numbers), each coefficient times its frequency: by Parseval, two sketches agree as the edges of the
pictures do. Their likeness is the share of the one's edges that the other explains, the squared correlation:
1 for the same picture saved again, at another size, or exposed longer. Colour, brightness and contrast do not
count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.image.pixels import NoPicture, grey, square
from bapsim.text.minhash import Ints, unite

SIDE, HALF = 32, 16
ROWS, COLUMNS = 512, 8192  # of one block of comparisons: 16 MB
STEPS = 4  # how often the threshold may come half-way nearer to 1
FEW, SHARE = 50, 0.05  # pictures, and share of all of them, that one cluster may tie together
UNREADABLE = -1
MEMORY = 200_000  # sketches that a process keeps: 70 MB

Floats = NDArray[np.float64]


class Sketches(NamedTuple):
    """Of n pictures: edges int8[n, 256], all zero for a picture without any; level int16[n], its mean grey
    (0 to 255), UNREADABLE where there is no picture.
    """

    edges: NDArray[np.int8]
    level: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.level)

    def part(self, rows: np.ndarray) -> Sketches:
        """Those at these positions, or where a mask is true."""
        return Sketches(self.edges[rows], self.level[rows])


def sketches(bodies: Sequence[bytes | None]) -> Sketches:
    """The sketches of pictures from their bytes; no picture (None, or not to be read) is like nothing."""
    edges = np.zeros((len(bodies), HALF * HALF), np.int8)
    level = np.full(len(bodies), UNREADABLE, np.int16)
    for i, body in enumerate(bodies):
        known = None if body is None else _sketch(body)
        if known is not None:
            edges[i], level[i] = known
    return Sketches(edges, level)


_known: dict[bytes, tuple[NDArray[np.int8], int] | None] = {}  # a turn asks about a picture several times


def _sketch(body: bytes) -> tuple[NDArray[np.int8], int] | None:
    """Edges and level of one picture; it is decoded once in a process."""
    name = hashlib.blake2b(body, digest_size=16).digest()
    if name not in _known:
        if len(_known) >= MEMORY:
            _known.clear()
        try:
            small = grey(square(body, SIDE))
            _known[name] = _edges(small), round(255 * float(small.mean()))
        except NoPicture:
            _known[name] = None
    return _known[name]


def joined(parts: Sequence[Sketches]) -> Sketches:
    """The sketches of several parts, one after another."""
    empty = Sketches(np.empty((0, HALF * HALF), np.int8), np.empty(0, np.int16))
    edges, level = zip(empty, *parts, strict=True)
    return Sketches(np.concatenate(edges), np.concatenate(level))


def _cosines() -> Floats:
    """float64[HALF, SIDE]: the first rows of the orthonormal cosine transform."""
    angle = np.pi / SIDE * np.outer(np.arange(HALF), np.arange(SIDE) + 0.5)
    waves = np.cos(angle) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves)


COSINES = _cosines()
FREQUENCY = np.hypot(*np.meshgrid(np.arange(HALF), np.arange(HALF)))  # 0 for the mean


def _edges(small: NDArray[np.float32]) -> NDArray[np.int8]:
    """int8[256], the largest 127: sums of products stay exact in float32, so no order of adding matters."""
    waves = COSINES @ small.astype(np.float64) @ COSINES.T * FREQUENCY
    most = float(np.abs(waves).max())
    if most < 1e-3:  # less than a grey level: there is nothing to be seen
        return np.zeros(HALF * HALF, np.int8)
    return np.rint(waves.ravel() * (127 / most)).astype(np.int8)


def likeness(found: Sketches, left: Ints, right: Ints) -> Floats:
    """float64[m] in [0, 1]: of the pictures at the positions left[i] and right[i]."""
    a, b = found.edges[left].astype(np.float64), found.edges[right].astype(np.float64)
    both = np.einsum("ij,ij->i", a, b)
    lengths = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
    seen = (found.level[left] != UNREADABLE) & (found.level[right] != UNREADABLE)
    flat = (lengths == 0) & seen & (found.level[left] == found.level[right])
    same = flat & ~a.any(axis=1) & ~b.any(axis=1)
    return np.where(same, 1.0, np.maximum(both, 0) ** 2 / np.maximum(lengths, 1))


def _distinct(found: Sketches) -> tuple[Ints, Ints]:
    """Positions of the first of each different picture, and which of them each row is; what cannot be read
    is different from everything.
    """
    own = np.where(found.level == UNREADABLE, np.arange(len(found)) + 1, 0)
    key = np.column_stack([found.edges, found.level.view(np.int8).reshape(len(found), 2)])
    key = np.column_stack([key, own.astype("<i8").view(np.int8).reshape(len(found), 8)])
    packed = np.ascontiguousarray(key).view(f"V{key.shape[1]}").ravel()
    _, first, which = np.unique(packed, return_index=True, return_inverse=True)
    return first, which


Pairs = Callable[[Ints, Ints], None]


def _compare(a: NDArray[np.int8], b: NDArray[np.int8], threshold: float, met: Pairs) -> None:
    """Calls `met` with positions in a and in b of pairs at least `threshold` alike, block by block; where a
    is b, with each pair once. Exact: the sums fit a float32, whatever the order of adding.
    """
    of_a, of_b = (np.einsum("ij,ij->i", m.astype(np.float64), m.astype(np.float64)) for m in (a, b))
    for i in range(0, len(a), ROWS):
        rows = a[i : i + ROWS].astype(np.float32)
        for j in range(i // COLUMNS * COLUMNS if a is b else 0, len(b), COLUMNS):
            both = rows @ b[j : j + COLUMNS].astype(np.float32).T
            least = np.sqrt(threshold * np.outer(of_a[i : i + ROWS], of_b[j : j + COLUMNS]))
            at, by = np.nonzero((both > 0) & (both >= least))
            at, by = at + i, by + j
            once = at < by if a is b else np.ones(len(at), bool)
            met(at[once], by[once])


class Groups(NamedTuple):
    """of: int64[n], the smallest row of each row's cluster; threshold: the one that was used."""

    of: Ints
    threshold: float


def groups(found: Sketches, threshold: float = 0.8) -> Groups:
    """Clusters of pictures that are linked by pairs at least `threshold` alike; order decides nothing.

    Where one camera looks at one kind of part, all pictures are alike: while a cluster ties together more
    than a twentieth of all different pictures (and more than 50), the threshold comes half-way nearer to 1,
    up to four times. Cost: n * n * 128 multiplications (7 s for 20,000 pictures).
    """
    first, which = _distinct(found)
    edges = np.ascontiguousarray(found.edges[first])
    root = np.arange(len(first))
    for step in range(STEPS + 1):
        threshold = threshold if step == 0 else (1 + threshold) / 2
        root = _linked(edges, threshold)
        if np.bincount(root, minlength=1).max() <= max(FEW, SHARE * len(first)):
            break
    least = np.full(len(first), len(found), np.int64)
    np.minimum.at(least, root[which], np.arange(len(found)))
    return Groups(least[root[which]], threshold)


def _linked(edges: NDArray[np.int8], threshold: float) -> Ints:
    """int64[n]: the least member of each row's cluster."""
    root = np.arange(len(edges))

    def met(at: Ints, by: Ints) -> None:
        nonlocal root
        apart = root[at] != root[by]
        root = unite(root, at[apart], by[apart])

    _compare(edges, edges, threshold, met)
    return root


def near(known: Sketches, asked: Sketches, threshold: float = 0.8) -> NDArray[np.bool_]:
    """bool[len(asked)]: pictures that are at least `threshold` alike to one of those that are known."""
    first, which = _distinct(joined([known, asked]))
    hit = np.zeros(len(first), bool)
    hit[which[: len(known)]] = True
    wanted = np.setdiff1d(which[len(known) :], which[: len(known)])
    whole = joined([known, asked]).edges

    def met(at: Ints, by: Ints) -> None:
        hit[wanted[by]] = True

    _compare(whole[first[np.unique(which[: len(known)])]], whole[first[wanted]], threshold, met)
    return hit[which[len(known) :]]
