"""A small transformer as a writer of the lab: characters, learnt from scratch at every generation.

The network and the loop are those of the trainer (train.lm); it takes as many steps whatever the arm, so that
an arm with more text does not learn longer. Nothing here was measured on a GPU yet.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bapsim.lab.arms import Floats, Ints, Learn
from bapsim.lab.collapse import Cut, Learner
from bapsim.train.lm.learning import Plan, device_of, learn, steady
from bapsim.train.lm.parts import part
from bapsim.train.lm.sampling import Kept
from bapsim.train.lm.transformer import Shape, angles, built

GRAIN = 4  # characters of a type whose coverage is told: about a short word
CHAINS = 1_000  # texts that are written side by side
COLDEST = 0.05  # temperature


@dataclass(frozen=True, kw_only=True)
class Size:
    """layers, width, heads and context of the network; steps of so many rows (batch) at this largest rate."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    context: int = 64
    steps: int = 300
    batch: int = 32
    rate: float = 4e-3

    @property
    def shape(self) -> Shape:
        return Shape(layers=self.layers, width=self.width, heads=self.heads, context=self.context)


@dataclass(frozen=True, eq=False)
class Transformer:
    """A writer: what a text costs it, a context at a time, and what it writes, from places of its
    lessons on.
    """

    module: Any
    shape: Shape
    data: Ints

    def nats(self, codes: Ints) -> Floats:
        """float64[n - 2]; each is foreseen from the half context before it at least."""
        t = part("torch")
        device = next(self.module.parameters()).device
        half, found = self.shape.context // 2, np.zeros(len(codes))
        begins = [*range(0, max(len(codes) - half, 1), half)]
        rows = np.stack([_window(codes, begin, 2 * half) for begin in begins])
        with t.inference_mode():
            for at in range(0, len(rows), 256):
                ids = t.from_numpy(rows[at : at + 256]).to(device)
                logits = self.module.logits(self.module(ids))[:, :-1].float()
                lost = t.nn.functional.cross_entropy(
                    logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
                )
                for begin, row in zip(
                    begins[at:], lost.double().cpu().numpy().reshape(len(ids), -1), strict=False
                ):
                    first = 1 if begin == 0 else half
                    end = min(begin + 2 * half, len(codes))
                    found[begin + first : end] = row[first - 1 : end - begin - 1]
        return np.asarray(found[2:])

    def drawn(self, count: int, rng: np.random.Generator, sharp: float) -> Ints:
        """Chains that each begin with half a context from somewhere in what was learnt; sharp: 1 less the
        temperature.
        """
        half = self.shape.context // 2
        chains = min(CHAINS, max(count // 50, 1))
        length = -(-count // chains)
        start = rng.integers(0, max(len(self.data) - half, 1), chains)
        begun = self.data[(start[:, None] + np.arange(half)) % len(self.data)]
        said = [self._chunk(begun, min(half, length), rng, max(1 - sharp, COLDEST))]
        while sum(one.shape[1] for one in said) < length:
            left = length - sum(one.shape[1] for one in said)
            said.append(self._chunk(said[-1][:, -half:], min(half, left), rng, max(1 - sharp, COLDEST)))
        return np.concatenate(said, axis=1).reshape(-1)[:count]

    def _chunk(self, begun: Ints, length: int, rng: np.random.Generator, warm: float) -> Ints:
        """int64[chains, length]: what follows half a context; keys and values are kept meanwhile."""
        t = part("torch")
        device = next(self.module.parameters()).device
        room = begun.shape[1] + length
        past = [Kept(room) for _ in range(self.shape.layers)]
        cos, sin = (one.to(device) for one in angles(room, self.shape.width // self.shape.heads))
        out = np.empty((len(begun), length), np.int64)
        ids, begin = t.from_numpy(np.ascontiguousarray(begun)).to(device), 0
        with t.inference_mode():
            for k in range(length):
                end = begin + ids.shape[1]
                seen = t.arange(end, device=device)[None] <= t.arange(begin, end, device=device)[:, None]
                hidden = self.module(ids, seen[None, None], past, (cos[begin:end], sin[begin:end]))[:, -1]
                chance = t.softmax(self.module.logits(hidden).double() / warm, 1).cumsum(1)
                aim = t.from_numpy(rng.random(len(begun))).to(device) * chance[:, -1]
                picked = t.searchsorted(chance, aim[:, None], right=True)[:, 0].clamp(max=chance.shape[1] - 1)
                out[:, k] = picked.cpu().numpy()
                ids, begin = picked[:, None], end
        return out


def _window(codes: Ints, begin: int, size: int) -> Ints:
    """int64[size]: a part of a text, filled up by its last character."""
    some = codes[begin : begin + size]
    return np.pad(some, (0, size - len(some)), mode="edge")


def transformers(size: Size = Size(), device: str | None = "cpu") -> Learner:
    """Learners of characters: of a text always the same transformer."""

    def make(of: Cut) -> Learn:
        return lambda data: learnt(data, of.vocabulary, size, device)

    return Learner(make=make, units=list, grain=GRAIN)


def learnt(data: Ints, vocabulary: int, size: Size, device: str | None = "cpu") -> Transformer:
    """A transformer after so many steps on rows from random places of a text."""
    t = part("torch")
    rng = np.random.default_rng(zlib.crc32(data.tobytes()))
    plan = Plan(steps=size.steps, batch=size.batch, rate=size.rate, device=device)

    def rows(step: int) -> tuple[list[Any], float]:
        at = rng.integers(0, len(data) - size.context, size.batch)
        some = data[at[:, None] + np.arange(size.context + 1)]
        return [t.from_numpy(some[:, :-1].copy()), t.from_numpy(some[:, 1:].copy())], float(some[:, 1:].size)

    with steady(device_of(device), 1, int(rng.integers(2**31))):
        module = built(size.shape, vocabulary)
        learn(_lesson(module), rows, plan)
    return Transformer(module.eval(), size.shape, data)


def _lesson(module: Any) -> Any:
    """The network with its loss: the sum over a row's characters of what each costs."""
    t = part("torch")

    class Lesson(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, ids: Any, gold: Any) -> Any:
            logits = module.logits(module(ids)).float()
            return t.nn.functional.cross_entropy(logits.flatten(0, 1), gold.flatten(), reduction="sum")

    return Lesson()
