"""Texts as rows of tokens of one length, packed one behind the other, in an order that the seed says.

Every step's rows follow from (seed, step) alone: a run that was killed needs no state of a loader,
and several processes agree without talking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import NotEnough
from bapsim.train.lm.bpe import PAD, TEXT, Ids

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """tokens: int32[n], each text begun by TEXT; starts: int64[texts + 1]; weight: float32[texts]."""

    tokens: Ids
    starts: NDArray[np.int64]
    weight: Floats32

    def windows(self, context: int) -> int:
        """Rows that one epoch makes."""
        return -(-len(self.tokens) // context)


def corpus_of(texts: Sequence[Ids], weight: Floats32) -> Corpus:
    """Tokens of texts, in order; a text of weight 0 is left out. NotEnough without any token."""
    kept = [(one, w) for one, w in zip(texts, weight.tolist(), strict=True) if w > 0]
    if not sum(len(one) for one, _ in kept):
        raise NotEnough("nothing_to_train", records=len(texts))
    mark = np.array([TEXT], np.int32)
    sizes = np.array([0] + [len(one) + 1 for one, _ in kept], np.int64)
    return Corpus(
        tokens=np.concatenate([part for one, _ in kept for part in (mark, one)]).astype(np.int32),
        starts=np.cumsum(sizes),
        weight=np.array([w for _, w in kept], np.float32),
    )


def stream(corpus: Corpus, seed: int, epoch: int) -> tuple[Ids, Floats32]:
    """All texts in the order of one epoch, int32[n], and what foreseeing the token behind each one counts,
    float32[n]: the end of a text is foreseen too, and counts for it.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(corpus.weight))
    sizes = np.diff(corpus.starts)[order]
    begin = np.repeat(corpus.starts[:-1][order] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    return corpus.tokens[np.arange(len(begin)) + begin], np.repeat(corpus.weight[order], sizes)


@dataclass(kw_only=True, eq=False)
class Rows:
    """The rows of a run, by number; keeps the stream of one epoch."""

    corpus: Corpus
    context: int
    seed: int
    _epoch: int = -1
    _stream: tuple[Ids, Floats32] | None = None

    def __call__(self, first: int, count: int) -> tuple[Ids, Ids, Floats32]:
        """Tokens int32[count, context], the tokens behind them, and weights float32[count, context]."""
        found = [self._row(row) for row in range(first, first + count)]
        seen, behind, weight = (np.stack(parts) for parts in zip(*found, strict=True))
        return seen, behind, weight

    def _row(self, row: int) -> tuple[Ids, Ids, Floats32]:
        epoch, place = divmod(row, self.corpus.windows(self.context))
        if epoch != self._epoch or self._stream is None:
            self._epoch, self._stream = epoch, stream(self.corpus, self.seed, epoch)
        tokens, weight = self._stream
        begin, end = place * self.context, (place + 1) * self.context
        behind = tokens[begin + 1 : end + 1]
        if len(behind) < self.context and end >= len(tokens):
            behind = np.append(behind, np.int32(TEXT))
        return (
            _filled(tokens[begin:end], self.context, PAD),
            _filled(behind, self.context, PAD),
            _filled(weight[begin:end], self.context, 0),
        )


def _filled(part: NDArray[Any], size: int, value: int) -> NDArray[Any]:
    return part if len(part) == size else np.pad(part, (0, size - len(part)), constant_values=value)
