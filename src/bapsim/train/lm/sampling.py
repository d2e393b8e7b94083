"""What a decoder writes: many texts at once, keys and values kept, each row by its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.train.lm.bpe import MASK, PAD, TEXT, Ids
from bapsim.train.lm.parts import part
from bapsim.train.lm.transformer import Shape, angles

BATCH = 128  # texts at once


class Kept:
    """Keys and values of one layer, [b, heads, room, one] each; `at` of them are there."""

    def __init__(self, room: int) -> None:
        self.room, self.at = room, 0
        self.keys: Any = None
        self.values: Any = None

    def __call__(self, k: Any, v: Any) -> tuple[Any, Any]:
        t = part("torch")
        if self.keys is None:
            b, heads, _, one = k.shape
            self.keys, self.values = (
                t.empty(b, heads, self.room, one, dtype=k.dtype, device=k.device) for _ in "kv"
            )
        end = self.at + k.shape[2]
        self.keys[:, :, self.at : end], self.values[:, :, self.at : end] = k, v
        self.at = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: Any) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]


def drawn(
    module: Any,
    shape: Shape,
    prompts: Sequence[Ids],
    uniform: Sequence[NDArray[np.float64]],
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[list[int]]:
    """Tokens that follow each prompt, until the text ends, or its random numbers do.

    uniform: float64[longest] in [0, 1) of each prompt: the same numbers give the same text, whoever else is
    asked. temperature 0: the likeliest token, always. top_p: only the likeliest tokens that have so much of
    the chance together (Holtzman et al. 2020). A prompt's last `context` tokens are seen.
    """
    out: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), len(uniform[i])))  # little to pad
    for at in range(0, len(order), BATCH):
        some = order[at : at + BATCH]
        said = _batch(
            module, shape, [prompts[i] for i in some], [uniform[i] for i in some], (temperature, top_p)
        )
        for i, one in zip(some, said, strict=True):
            out[i] = one
    return out


def _batch(
    module: Any,
    shape: Shape,
    prompts: list[Ids],
    uniform: list[NDArray[np.float64]],
    how: tuple[float, float],
) -> list[list[int]]:
    t = part("torch")
    device = next(module.parameters()).device
    begun = [np.append(np.int32(TEXT), one)[-shape.context :] for one in prompts]
    wide, longest = max(map(len, begun)), max(map(len, uniform))
    numbers = np.zeros((len(begun), longest))
    for i, one in enumerate(uniform):
        numbers[i, : len(one)] = one
    ends = np.array([len(one) for one in uniform])
    ids = t.tensor(np.stack([np.pad(one, (wide - len(one), 0), constant_values=PAD) for one in begun]))
    pads = t.tensor([wide - len(one) for one in begun], device=device)
    cos, sin = (one.to(device) for one in angles(wide + longest, shape.width // shape.heads))
    past = [Kept(wide + longest) for _ in range(shape.layers)]
    said: list[list[int]] = [[] for _ in begun]
    live = np.arange(len(begun))
    step_in, begin = ids.long().to(device), 0
    with t.inference_mode():
        for n in range(longest):
            end = begin + step_in.shape[1]
            mask = _mask(begin, end, pads, shape.context)
            hidden = module(step_in, mask, past, (cos[begin:end], sin[begin:end]))[:, -1]
            picked = chosen(module.logits(hidden).double(), numbers[live, n], *how)
            going = (picked != TEXT) & (ends[live] > n)
            for row, token in zip(live[going].tolist(), picked[going].tolist(), strict=True):
                said[row].append(token)
            if not going.any():
                break
            if not going.all():  # who is done is asked no more
                rows = t.from_numpy(np.flatnonzero(going)).to(device)
                pads, live, picked = pads[rows], live[going], picked[going]
                for layer in past:
                    layer.keep(rows)
            step_in, begin = t.from_numpy(picked)[:, None].to(device), end
    return said


def _mask(begin: int, end: int, pads: Any, context: int) -> Any:
    """bool[b, 1, end - begin, end]: who is before, no padding, and not further back than the context."""
    t = part("torch")
    rows, columns = t.arange(begin, end, device=pads.device), t.arange(end, device=pads.device)
    near = (columns <= rows[:, None]) & (columns > rows[:, None] - context)
    real = (columns >= pads[:, None])[:, None, None]
    own = columns == rows[:, None]  # what stands before a text sees itself alone: a row needs something
    return (near & real) | own


def chosen(logits: Any, uniform: NDArray[np.float64], temperature: float, top_p: float) -> NDArray[np.int64]:
    """A token for each row of float64[b, vocabulary], by numbers in [0, 1); no padding or mask."""
    t = part("torch")
    logits[:, [PAD, MASK]] = -t.inf
    if temperature <= 0:
        return np.asarray(logits.argmax(1).cpu().numpy())
    chance = t.softmax(logits / temperature, 1)
    if top_p < 1:
        ranked, order = chance.sort(dim=1, descending=True, stable=True)
        ranked = ranked * (ranked.cumsum(1) - ranked < top_p)
        chance = t.zeros_like(chance).scatter(1, order, ranked)
    reached = chance.cumsum(1)
    aim = t.from_numpy(uniform).to(chance.device) * reached[:, -1]
    place = t.searchsorted(reached, aim[:, None], right=True)[:, 0]
    return np.asarray(place.clamp(max=chance.shape[1] - 1).cpu().numpy())
