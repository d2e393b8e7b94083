"""What texts cost a decoder, in nats: each token foreseen from what stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.train.lm.bpe import PAD, TEXT, Ids
from bapsim.train.lm.parts import part
from bapsim.train.lm.transformer import Shape

TOKENS = 16_384  # at once


def nats(module: Any, shape: Shape, texts: Sequence[Ids], skipped: Sequence[int]) -> NDArray[np.float64]:
    """float64[n]: what each text with its end costs, without its first `skipped` tokens.

    A text that is longer than the context is read in windows that overlap by half: each token is foreseen
    once, from half a context of tokens before it at least.
    """
    t = part("torch")
    device = next(module.parameters()).device
    windows = [(i, *one) for i, text in enumerate(texts) for one in _windows(len(text) + 1, shape.context)]
    windows.sort(key=lambda one: one[2] - one[1])
    whole = np.zeros(len(texts))
    size = max(1, TOKENS // shape.context)
    with t.inference_mode():
        for at in range(0, len(windows), size):
            some = windows[at : at + size]
            wide = max(end - begin for _, begin, end, _ in some)
            seen = np.full((len(some), wide), PAD, np.int64)
            behind, counts = np.full_like(seen, PAD), np.zeros(seen.shape, bool)
            for row, (i, begin, end, first) in enumerate(some):
                text = np.concatenate([[TEXT], texts[i], [TEXT]])
                seen[row, : end - begin], behind[row, : end - begin] = (
                    text[begin:end],
                    text[begin + 1 : end + 1],
                )
                counts[row, max(first, skipped[i]) - begin : end - begin] = True
            logits = module.logits(module(t.from_numpy(seen).to(device))).float()
            lost = t.nn.functional.cross_entropy(
                logits.flatten(0, 1), t.from_numpy(behind).to(device).flatten(), reduction="none"
            )
            rows = (lost.double().cpu().numpy().reshape(counts.shape) * counts).sum(1)
            np.add.at(whole, [i for i, *_ in some], rows)
    return whole


def _windows(size: int, context: int) -> list[tuple[int, int, int]]:
    """(begin, end, first token that counts) over a text of `size` places."""
    if size <= context:
        return [(0, size, 0)]
    step = max(1, context // 2)
    begins = [*range(0, size - context, step), size - context]
    found, done = [], 0
    for begin in begins:
        found.append((begin, begin + context, done))
        done = begin + context
    return found
