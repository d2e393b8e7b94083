"""The collapse guard in a turn: whether machine-made rows are like people's, in what they say and how.

Types are the words of texts, the characters of a short one, the cells of a table (numbers by twentieths), the
edges and shades of pictures. Rows are compared class by class, so that an order for a rare class is held
against that class. The loss on held-out people's rows, the third signal, is what the race measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, numbers, strings
from bapsim.core.turn import named_seed
from bapsim.judge.collapse import Items, Signal, items, outside, signals
from bapsim.text.normalise import fold
from bapsim.text.words import strings as spelled
from bapsim.text.words import words
from bapsim.wheel.candidates import data_fingerprint
from bapsim.wheel.stock import Scene, Stock

MOST = 4_000  # rows of each side that are looked at: bands are no narrower with more
PARTS = 20  # of the numbers of a column
SHADES = 16  # of a picture's mean grey


def guarded(scene: Scene, people: np.ndarray, made: np.ndarray) -> tuple[Signal, ...]:
    """The signals of machine-made rows (bool[N]) against people's (bool[N]); empty where there are
    too few.
    """
    stock = scene.stock
    seed = named_seed("guard", data_fingerprint(stock, people), data_fingerprint(stock, made))
    rng = np.random.default_rng(seed)
    mine, theirs = _some(stock, made, rng), _some(stock, people & stock.by_people, rng)
    whole = _items(stock, np.concatenate([mine, theirs]))
    at = np.arange(len(whole))
    labels = None
    if stock.task.answer == "class":
        named = stock.labels[np.concatenate([mine, theirs])].astype(str)
        labels = np.unique(named, return_inverse=True)[1].astype(np.int64)
    n = len(mine)
    return signals(
        whole.part(at[:n]),
        whole.part(at[n:]),
        rng,
        of_machine=None if labels is None else labels[:n],
        of_human=None if labels is None else labels[n:],
    )


def told(found: Sequence[Signal]) -> dict[str, Any]:
    """For the report: every signal, and which lie outside people's band."""
    rows = [asdict(one) | {"high": None if np.isinf(one.high) else one.high} for one in found]
    return {"signals": rows, "outside": [one.name for one in outside(found)]}


def _some(stock: Stock, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[m]: positions of these rows, a sample of them where there are many, whatever their order."""
    at = np.flatnonzero(rows)
    at = at[np.argsort(stock.ids[at], kind="stable")]
    return at if len(at) <= MOST else np.sort(rng.choice(at, MOST, replace=False))


def _items(stock: Stock, at: np.ndarray) -> Items:
    """The inputs of these rows as sequences of type codes."""
    if stock.task.kind == "image":
        return _of_pictures(stock, at)
    if stock.task.kind == "table":
        return _of_cells([stock.records.column(name).take(pa.array(at)) for name in stock.task.inputs])
    return _of_texts([stock.texts[i] for i in at.tolist()])


def _of_texts(texts: Sequence[str]) -> Items:
    codes = fold(texts)
    found = words(codes)
    _, numbered = np.unique(np.array(spelled(codes, found), object).astype(str), return_inverse=True)
    counts = np.bincount(found.texts, minlength=len(texts))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Items(codes=numbered.reshape(-1).astype(np.int64), starts=starts)


def _of_cells(columns: Sequence[Column]) -> Items:
    """Every cell is a type of its own column: a category, or which twentieth of the numbers."""
    coded, first = [], 0
    for column in columns:
        if pa.types.is_string(column.type) or pa.types.is_boolean(column.type):
            said = np.array(["" if one is None else one for one in strings(column)], object).astype(str)
            codes = np.unique(said, return_inverse=True)[1].reshape(-1)
        else:
            value = numbers(column)
            known = value[np.isfinite(value)]
            cuts = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS)) if len(known) else known
            codes = np.where(np.isnan(value), PARTS, np.searchsorted(cuts, value))
        coded.append(codes + first)
        first += int(codes.max(initial=0)) + 1
    return items(np.array(coded, np.int64).T.tolist())


def _of_pictures(stock: Stock, at: np.ndarray) -> Items:
    """The strongest edges of each picture, with their sign, and its shade."""
    seen = stock.sketches.part(at)
    strong = np.argsort(-np.abs(seen.edges.astype(np.int64)), axis=1, kind="stable")[:, :PARTS]
    sign = np.take_along_axis(seen.edges, strong, axis=1) > 0
    shade = 2 * seen.edges.shape[1] + np.clip(seen.level, 0, 255) * SHADES // 256
    return items(np.column_stack([2 * strong + sign, shade]).astype(np.int64).tolist())
