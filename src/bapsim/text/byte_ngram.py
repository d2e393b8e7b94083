"""A byte n-gram model of texts: how surely each byte is foreseen from those before it, in any language.

Orders are interpolated as Witten and Bell (1991) do: a context that was followed by many different bytes
says little of the next one. Nothing is unknown to it: at the bottom every byte has a chance of one in 257.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
END = 256  # before and after each text
SYMBOLS = 257
LONGEST = 6  # 257 ** 7 contexts with their next symbol fit 63 bits


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One order: contexts int64[c] sorted, how often each was followed (total) and by how many different
    symbols (kinds); pairs int64[p] sorted, context x 257 + symbol, with counts.
    """

    contexts: Ints
    total: Ints
    kinds: Ints
    pairs: Ints
    count: Ints


@dataclass(frozen=True, kw_only=True)
class ByteModel:
    """Counts by order: 0 (no context) to the longest context."""

    orders: tuple[Counts, ...]


def symbols(texts: Sequence[str], order: int) -> tuple[Ints, Ints]:
    """int64[m]: END `order` times, the bytes of a text, END, of one text after another; int64[n + 1]: where
    each begins. Lone surrogates are written as the replacement character.
    """
    parts, starts = [], [0]
    for text in texts:
        body = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64)
        parts += [np.full(order, END), body, np.full(1, END)]
        starts.append(starts[-1] + order + len(body) + 1)
    return np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64), np.array(starts, np.int64)


def _foreseen(codes: Ints, starts: Ints, order: int) -> Ints:
    """int64[k]: positions of symbols that are foreseen: all but the marks before each text."""
    mine = np.ones(len(codes), bool)
    for shift in range(order):
        mine[starts[:-1] + shift] = False
    return np.flatnonzero(mine).astype(np.int64)


def _contexts(codes: Ints, at: Ints, order: int) -> Ints:
    """int64[k]: the `order` symbols before each position as one number."""
    found = np.zeros(len(at), np.int64)
    for back in range(order, 0, -1):
        found = found * SYMBOLS + codes[at - back]
    return found


def learn(texts: Sequence[str], order: int = 4) -> ByteModel:
    """Count all contexts of up to `order` bytes (0 to 6) in these texts."""
    if not 0 <= order <= LONGEST:
        raise ValueError(f"the order is 0 to {LONGEST}, not {order}")
    codes, starts = symbols(texts, order)
    at = _foreseen(codes, starts, order)
    return ByteModel(orders=tuple(_counted(codes, at, k) for k in range(order + 1)))


def _counted(codes: Ints, at: Ints, order: int) -> Counts:
    pairs, count = np.unique(_contexts(codes, at, order) * SYMBOLS + codes[at], return_counts=True)
    contexts, first = np.unique(pairs // SYMBOLS, return_index=True)
    ends = np.append(first, len(pairs))
    total = np.add.reduceat(count, first) if len(count) else np.zeros(0, np.int64)
    return Counts(
        contexts=contexts,
        total=total.astype(np.int64),
        kinds=np.diff(ends).astype(np.int64),
        pairs=pairs,
        count=count.astype(np.int64),
    )


def _find(sorted_values: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where each wanted value lies, and whether it is there."""
    if not len(sorted_values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    return at.astype(np.int64), sorted_values[at] == wanted


def chances(model: ByteModel, codes: Ints, at: Ints) -> Floats:
    """float64[k]: the chance that the model gave each of these symbols, from those before it."""
    found = np.full(len(at), 1 / SYMBOLS)
    for k, order in enumerate(model.orders):
        context = _contexts(codes, at, k)
        place, known = _find(order.contexts, context)
        pair, seen = _find(order.pairs, context * SYMBOLS + codes[at])
        total = np.where(known, order.total[place], 0) if len(order.total) else np.zeros(len(at))
        kinds = np.where(known, order.kinds[place], 0) if len(order.kinds) else np.zeros(len(at))
        count = np.where(seen, order.count[pair], 0) if len(order.count) else np.zeros(len(at))
        weight = total + kinds
        found = np.where(weight > 0, (count + kinds * found) / np.maximum(weight, 1), found)
    return found


def nats(model: ByteModel, texts: Sequence[str], after: Sequence[str] | None = None) -> tuple[Floats, Ints]:
    """What each text costs, with its end, in nats, float64[n]; its bytes, the end counted as one, int64[n].

    after: what stands before each text and costs nothing.
    """
    order = len(model.orders) - 1
    before = [""] * len(texts) if after is None else list(after)
    codes, starts = symbols([a + b for a, b in zip(before, texts, strict=True)], order)
    skipped = np.array([len(a.encode("utf-8", "replace")) for a in before], np.int64)
    at = _foreseen(codes, starts, order)
    of = np.searchsorted(starts, at, side="right") - 1
    mine = at - starts[of] - order >= skipped[of]
    at, of = at[mine], of[mine]
    cost = -np.log(chances(model, codes, at))
    whole = np.bincount(of, cost, len(texts)).astype(np.float64)
    return whole, np.bincount(of, minlength=len(texts)).astype(np.int64)


def drawn(model: ByteModel, prompts: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """A text for each prompt, byte by byte, `most` bytes at the longest; what is no UTF-8 is left out."""
    order = len(model.orders) - 1
    said = [list(symbols([prompt], order)[0][:-1]) for prompt in prompts]
    begun = [len(one) for one in said]
    live = list(range(len(prompts)))
    for _ in range(most):
        if not live:
            break
        tails = np.array([said[i][len(said[i]) - order :] if order else [] for i in live], np.int64)
        table = _next(model, tails.reshape(len(live), order))
        pick = (table.cumsum(axis=1) < rng.random((len(live), 1))).sum(axis=1).clip(max=END)
        for i, symbol in zip(live, pick.tolist(), strict=True):
            said[i].append(symbol)
        live = [i for i in live if said[i][-1] != END]
    bodies = [[c for c in one[at:] if c != END] for one, at in zip(said, begun, strict=True)]
    return [bytes(body).decode("utf-8", "ignore") for body in bodies]


def _next(model: ByteModel, tails: Ints) -> Floats:
    """float64[k, 257]: the chances of every symbol after these contexts."""
    n, order = tails.shape
    codes = np.concatenate(
        [np.repeat(tails, SYMBOLS, axis=0), np.tile(np.arange(SYMBOLS), n)[:, None]], axis=1
    )
    at = np.arange(n * SYMBOLS) * (order + 1) + order
    return chances(model, codes.reshape(-1).astype(np.int64), at.astype(np.int64)).reshape(n, SYMBOLS)
