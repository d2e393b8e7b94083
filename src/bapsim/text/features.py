"""Hashed n-grams with tf-idf weights, defined so that Python, C and JavaScript compute the same numbers.

docs/features.md is the specification; ship/device holds the C and JavaScript programs that follow
it. Words and characters are two blocks; an n-gram is MurmurHash3 (x86, 32 bits) of its code points, so that a
model is a sorted array of hashes, their idf and a head, and needs no strings. Everything works on whole
corpora: no Python code runs for a single text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import pc
from bapsim.text.normalise import BLANK, LIMIT, TABLE_HASH, Codes, Points, Texts, fold
from bapsim.text.words import words

Hashes = NDArray[np.uint32]
Indices = NDArray[np.int64]
CHUNK = 1 << 20  # code points (bytes, of Arrow texts) that are folded and hashed at once: about 100 MB


@dataclass(frozen=True)
class Spec:
    """Which n-grams are counted and how: what a stored model must agree on.

    words, chars: sizes of n-grams in words and in characters. limit: code points of a text that count.
    word_limit: code points of a word that enter its hash. tf_limit: counts above it count as it (<= 255).
    word_share: length of the word block, that of the character block being 1 (.5 beat 1 by .4 to 1 point on
    four sets, Korean and English).
    """

    words: tuple[int, ...] = (1, 2)
    chars: tuple[int, ...] = (1, 2, 3)
    limit: int = LIMIT
    word_limit: int = 64
    tf_limit: int = 64
    word_share: float = 0.5
    version: int = 1

    def json(self) -> dict[str, Any]:
        """The specification, the hash of its folding table, and the weights of the counts 1 to tf_limit."""
        return {**asdict(self), "fold": TABLE_HASH, "tf": tf_weights(self.tf_limit)[1:].tolist()}


class Grams(NamedTuple):
    """The distinct n-grams of n texts: those of text i are hashes[indptr[i] : indptr[i + 1]], ascending.

    indptr: int64[n + 1]; hashes: uint32; counts: uint8, at most tf_limit.
    """

    indptr: Indices
    hashes: Hashes
    counts: NDArray[np.uint8]


def ngrams(codes: Codes, spec: Spec) -> tuple[Grams, Grams]:
    """The word block and the character block of folded texts."""
    blocks = word_hashes(codes, spec.words, spec.word_limit), char_hashes(codes, spec.chars)
    word, char = (_counted(texts, hashes, len(codes), spec.tf_limit) for texts, hashes in blocks)
    return word, char


def grams(texts: Texts, spec: Spec) -> tuple[Grams, Grams]:
    """The two blocks of a whole corpus, folded and hashed chunk by chunk.

    nsmc_ko (121,798 reviews, 4.3 million code points): 1.6 CPU-s and 110 MB for 11.6 million entries.
    """
    parts = [ngrams(fold(texts[a:b], spec.limit), spec) for a, b in _chunks(texts, spec.limit)]
    word, char = (_joined([part[block] for part in parts]) for block in (0, 1))
    return word, char


def char_hashes(codes: Codes, sizes: Sequence[int]) -> tuple[Indices, Hashes]:
    """(texts, hashes) of all character n-grams, repeated as they occur.

    A text stands between two blanks; an n-gram counts if no blank is inside it and it is not all blank.
    """
    scrambled, filled = _scrambled(codes.points), codes.points != BLANK
    text = np.zeros(len(filled), np.int64)
    text[codes.starts[:-1] - 1] = 1
    text = np.cumsum(text) - 1  # a blank belongs to the text after it, which is right for " a"
    state, inside = np.zeros(len(filled), np.uint32), np.ones(len(filled), bool)
    found = []
    for n in range(1, max(sizes, default=0) + 1):
        starts = max(len(filled) - n + 1, 0)
        state = _mixed(state[:starts], scrambled[n - 1 :])
        inside = inside[:starts] & (filled[n - 2 : n - 2 + starts] if n > 2 else True)
        if n in sizes:
            at = np.flatnonzero(inside if n > 2 else filled[:starts] | filled[n - 1 :])
            found.append((text[at], _finished(state[at], n)))
    return _ends_to_end(found)


def word_hashes(codes: Codes, sizes: Sequence[int], word_limit: int) -> tuple[Indices, Hashes]:
    """(texts, hashes) of all runs of n words; an n-gram of words is the hash of their n hashes, seed n."""
    found = words(codes)
    length = np.minimum(found.ends - found.starts, word_limit)
    order = np.argsort(-length, kind="stable")
    starts, lengths = found.starts[order], length[order]
    longer = np.searchsorted(-lengths, -np.arange(lengths[:1].sum()), side="left")  # words longer than j
    state, scrambled = np.zeros(len(order), np.uint32), _scrambled(codes.points)
    for j, count in enumerate(longer.tolist()):
        state[:count] = _mixed(state[:count], scrambled[starts[:count] + j])
    single = np.empty_like(state)
    single[order] = _finished(state, lengths)
    return _ends_to_end([_word_runs(single, found.texts, n) for n in sizes])


def _word_runs(single: Hashes, texts: Indices, n: int) -> tuple[Indices, Hashes]:
    if n == 1:
        return texts, single
    runs = max(len(single) - n + 1, 0)
    state, scrambled = np.full(runs, n, np.uint32), _scrambled(single)
    for j in range(n):
        state = _mixed(state, scrambled[j : j + runs])
    together = texts[:runs] == texts[n - 1 :]
    return texts[:runs][together], _finished(state, n)[together]


def _rotated(x: Hashes, bits: int) -> Hashes:
    return x << np.uint32(bits) | x >> np.uint32(32 - bits)


def _scrambled(blocks: Points) -> Hashes:
    """What MurmurHash3 makes of a 32-bit block before it enters the state."""
    return _rotated(blocks * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)


def _mixed(state: Hashes, scrambled: Hashes) -> Hashes:
    return _rotated(state ^ scrambled, 13) * np.uint32(5) + np.uint32(0xE6546B64)


def _finished(state: Hashes, blocks: int | Indices) -> Hashes:
    h = state ^ np.asarray(blocks, np.uint32) * np.uint32(4)
    h = (h ^ h >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    h = (h ^ h >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return np.asarray(h ^ h >> np.uint32(16), np.uint32)


def _ends_to_end(found: Sequence[tuple[Indices, Hashes]]) -> tuple[Indices, Hashes]:
    empty = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    texts, hashes = zip(empty, *found, strict=True)
    return np.concatenate(texts), np.concatenate(hashes)


def _counted(texts: Indices, hashes: Hashes, n: int, tf_limit: int) -> Grams:
    key = texts.astype(np.uint64) << np.uint64(32) | hashes
    key.sort()
    first = np.flatnonzero(np.diff(key, prepend=~key[:1]) != 0)
    counts = np.minimum(np.diff(first, append=len(key)), tf_limit).astype(np.uint8)
    indptr = np.searchsorted(key[first], np.arange(n + 1, dtype=np.uint64) << np.uint64(32))
    return Grams(indptr.astype(np.int64), key[first].astype(np.uint32), counts)


def _chunks(texts: Texts, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts of about CHUNK points each."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    sizes = np.minimum(_sizes(texts), 4 * limit) + 1
    cuts = np.searchsorted(np.cumsum(sizes), np.arange(CHUNK, sizes.sum() + CHUNK, CHUNK))
    start = 0
    for end in np.unique(np.minimum(cuts + 1, len(sizes))).tolist():
        yield start, end
        start = end


def _sizes(texts: Texts) -> Indices:
    if isinstance(texts, pa.Array):
        lengths: Any = pc.binary_length(texts)
        return np.asarray(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False), np.int64)
    return np.array([len(t or "") for t in texts], np.int64)


def _joined(parts: Sequence[Grams]) -> Grams:
    if not parts:
        return Grams(np.zeros(1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.uint8))
    sizes = np.concatenate([np.diff(p.indptr) for p in parts])
    return Grams(
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([p.hashes for p in parts]),
        np.concatenate([p.counts for p in parts]),
    )


def vocabulary(found: Grams, min_df: int = 1) -> tuple[Hashes, NDArray[np.int32]]:
    """The ascending hashes that occur in at least min_df texts, and every entry's column (-1 = left out)."""
    hashes = np.sort(found.hashes)
    first = np.flatnonzero(np.diff(hashes, prepend=~hashes[:1]) != 0)
    df = np.diff(first, append=len(hashes))
    known = hashes[first[df >= min_df]]
    return known, columns(found, known)


def columns(found: Grams, known: Hashes) -> NDArray[np.int32]:
    """The column of every entry in the ascending array `known`, -1 = not there."""
    if 16 * len(found.hashes) < len(known):
        at = np.minimum(np.searchsorted(known, found.hashes), len(known) - 1).astype(np.int32)
        at[known[at] != found.hashes] = -1
        return np.asarray(at, np.int32)
    # Hashes are uniform: their leading bits lead to within a few places, 3 times faster than bisection.
    drop = np.uint32(31 - len(known).bit_length())
    first = np.searchsorted(known >> drop, np.arange(2 ** (32 - int(drop)), dtype=np.uint32)).astype(np.int32)
    padded = np.append(known, np.uint32(0xFFFFFFFF))
    at = first[found.hashes >> drop]
    behind = np.flatnonzero(padded[at] < found.hashes)
    while len(behind):
        at[behind] += 1
        behind = behind[padded[at[behind]] < found.hashes[behind]]
    at[(padded[at] != found.hashes) | (at == len(known))] = -1
    return np.asarray(at, np.int32)


class Entries(NamedTuple):
    """The known n-grams of n texts, text by text, the word block before the character block.

    groups: 2 * text + block, ascending; columns: 0 .. |words| + |characters| - 1; counts: uint8.
    words: int64[n], how many distinct word n-grams each text has, known or not.
    """

    groups: Indices
    columns: NDArray[np.int32]
    counts: NDArray[np.uint8]
    words: Indices

    @property
    def coverage(self) -> NDArray[np.float64]:
        """The share of each text's distinct word n-grams that are known, 0 where it has none."""
        of_words = self.groups[self.groups % 2 == 0] // 2
        share = np.bincount(of_words, minlength=len(self.words)) / np.maximum(self.words, 1)
        return np.asarray(share, np.float64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a text has any known n-gram."""
        return np.bincount(self.groups // 2, minlength=len(self.words)) > 0

    def only(self, chosen: NDArray[np.bool_]) -> "Entries":
        """The entries where a mask is true."""
        return Entries(self.groups[chosen], self.columns[chosen], self.counts[chosen], self.words)


def entries(found: Sequence[Grams], known: Sequence[Hashes]) -> Entries:
    """Look the n-grams up: found and known are (word block, character block)."""
    at = [columns(block, hashes) for block, hashes in zip(found, known, strict=True)]
    return placed(found, at, len(known[0]))


def placed(found: Sequence[Grams], at: Sequence[NDArray[np.int32]], words_known: int) -> Entries:
    """Entries of n-grams whose columns within their block are known (-1 = left out)."""
    n = len(found[0].indptr) - 1
    groups, cols, counts = [], [], []
    for block, (grams_, place) in enumerate(zip(found, at, strict=True)):
        kept = place >= 0
        groups.append((2 * np.repeat(np.arange(n), np.diff(grams_.indptr)) + block)[kept])
        cols.append(place[kept] + np.int32(block * words_known))
        counts.append(grams_.counts[kept])
    # Two ascending runs into one: each word entry moves behind the characters of the texts before it.
    sizes = [np.bincount(g // 2, minlength=n) for g in groups]
    before = np.cumsum(sizes[1]) - sizes[1], np.cumsum(sizes[0])
    where = np.concatenate(
        [np.arange(len(g)) + np.repeat(b, s) for g, b, s in zip(groups, before, sizes, strict=True)]
    )
    order = np.empty(len(where), np.int64)
    order[where] = np.arange(len(where))
    ordered: list[Any] = [np.concatenate(part)[order] for part in (groups, cols, counts)]
    return Entries(ordered[0], ordered[1], ordered[2], np.diff(found[0].indptr))


def tf_weights(tf_limit: int) -> NDArray[np.float32]:
    """The weight 1 + ln(count), to float32, at the index of the count; 0 at 0."""
    out = np.zeros(tf_limit + 1, np.float32)
    out[1:] = 1 + np.log(np.arange(1, tf_limit + 1, dtype=np.float64))
    return out


def idf(df: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """ln((1 + n) / (1 + df)) + 1, to float32."""
    return (np.log((1 + n) / (1 + df)) + 1).astype(np.float32)


def weigh(found: Entries, weights: NDArray[np.float32], spec: Spec) -> NDArray[np.float32]:
    """tf * idf of the entries, each block of a text of its length; `weights` is the idf of every column.

    Every step is one rounding to float32 (products) or a sum in float64 in the order of the entries, so that
    other languages get the same bits.
    """
    values = tf_weights(spec.tf_limit)[found.counts] * weights[found.columns]
    square = np.bincount(found.groups, values.astype(np.float64) ** 2, 2 * len(found.words))
    length = np.tile([spec.word_share, 1.0], len(found.words))
    scale = np.zeros(len(square), np.float32)
    scale[square > 0] = length[square > 0] / np.sqrt(square[square > 0])
    return values * scale[found.groups]


def matrix(found: Entries, values: NDArray[np.float32], width: int) -> Any:
    """The texts as a scipy CSR matrix float32[n, width]."""
    from scipy.sparse import csr_matrix

    n = len(found.words)
    indptr = np.searchsorted(found.groups, 2 * np.arange(n + 1)).astype(np.int32)
    return csr_matrix((values, found.columns, indptr), (n, width))
