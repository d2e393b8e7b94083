"""A byte-level byte-pair encoding of the project's own text: every text goes through it and comes back.

The 256 bytes are its first letters, so there is no unknown token, in any script. Pairs: Sennrich,
Haddow and Birch 2016; on bytes: Radford et al. 2019. What looks like a mark in a text is text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import Damaged, InputError
from bapsim.train.lm.parts import part

Ids = NDArray[np.int32]
MARKS = ("<|text|>", "<|pad|>", "<|mask|>")  # between texts, nothing, and what a masked model is to guess
TEXT, PAD, MASK = range(3)
SMALLEST = 256 + len(MARKS)
BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class Bpe:
    """A tokenizer, as the JSON of the package tokenizers."""

    said: str

    @cached_property
    def coder(self) -> Any:
        try:
            coder = part("tokenizers").Tokenizer.from_str(self.said)
        except Exception as error:  # the package raises nothing narrower
            raise Damaged("unreadable_tokenizer", why=str(error)[:80]) from error
        coder.encode_special_tokens = True
        return coder

    def __len__(self) -> int:
        return int(self.coder.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens of each text, int32; no marks among them."""
        found: list[Ids] = []
        for at in range(0, len(texts), BATCH):
            some = [_utf8(one) for one in texts[at : at + BATCH]]
            coded = self.coder.encode_batch_fast(some, add_special_tokens=False)
            found += [np.array(one.ids, np.int32) for one in coded]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens; marks are left out, and bytes that are no UTF-8 are U+FFFD."""
        return str(self.coder.decode([i for i in ids if i >= len(MARKS)], skip_special_tokens=False))


def _utf8(text: str) -> str:
    """The text as it can be written: half a surrogate pair is a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def learnt(texts: Sequence[str], size: int) -> Bpe:
    """A tokenizer of `size` tokens at most, learnt from texts; the same texts give the same tokenizer."""
    if size < SMALLEST:
        raise InputError("vocabulary_small", size=size, least=SMALLEST)
    tokenizers = part("tokenizers")
    coder = tokenizers.Tokenizer(tokenizers.models.BPE())
    coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(MARKS),
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    coder.train_from_iterator((_utf8(one) for one in texts), trainer)
    return Bpe(said=coder.to_str())
