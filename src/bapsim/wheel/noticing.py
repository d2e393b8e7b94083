"""What a turn shows of the data besides its verdict: noise, confused classes, weak slices, repairs, hands.

Everything comes from out-of-fold answers about rows that are trained on, never from exam items. Rows are
named by their ids: texts stay in the records, so that what is erased there is gone from every page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from bapsim.core.arrow import strings
from bapsim.judge.exam import contradicts
from bapsim.judge.slices import worst
from bapsim.refine.ambiguity import Pair
from bapsim.text.normalise import fold
from bapsim.text.scripts import letters
from bapsim.text.targets import labels_in, memberships
from bapsim.text.words import strings as spelled
from bapsim.text.words import words
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.doubting import Doubted
from bapsim.wheel.held_out import held_out
from bapsim.wheel.judging import random_rows
from bapsim.wheel.stock import PENDING, TRAINED, Scene, Stock, standing
from bapsim.wheel.weighing import second_looks

SHOWN = 5  # ids of each finding
SLICES = 8
PAIRS = 5
OFTEN = 0.5  # a word that more rows have than this says nothing of a slice


def notice(scene: Scene, model: Candidate, found: Doubted) -> dict[str, Any]:
    """The findings of a turn as plain values; ids in hexadecimal digits."""
    stock = scene.stock
    stands = standing(stock, scene.exam, scene.refused, scene.superseded)
    trained = np.flatnonzero((stands == TRAINED) | (stands == PENDING))
    own = np.flatnonzero(random_rows(scene) & model.rows)  # who picks hard rows would be called weak
    said = held_out(model.model, model.oof, stock, own)
    wrong = contradicts(said, stock.labels[own].tolist())
    return {
        "noise": doubtful(stock, found),
        "confused": [mixed_up(stock, found, pair) for pair in found.pairs[:PAIRS]],
        "slices": weak_slices(scene, own, wrong),
        "repaired": repaired(scene),
        "made": provenance(stock, trained),
        "scripts": letters([stock.texts[i] for i in trained.tolist()]) if stock.task.kind == "text" else {},
    }


def doubtful(stock: Stock, found: Doubted) -> dict[str, Any] | None:
    """The estimated share of wrong labels with its interval, and the most doubtful of them."""
    noise = found.said.noise
    if np.isnan(noise.rate):
        return None
    some = []
    for i in found.said.order()[: 2 * SHOWN].tolist():
        wrong, suggested = float(found.said.wrong[i]), found.suggested[i]
        if suggested is not None and wrong > 0.5:
            some.append(
                {"id": stock.ids[found.at[i]].tobytes().hex(), "suggested": suggested, "wrong": wrong}
            )
    return {"rate": noise.rate, "low": noise.low, "high": noise.high, "rows": noise.rows, "some": some}


def mixed_up(stock: Stock, found: Doubted, pair: Pair) -> dict[str, Any]:
    """Two classes that people do not tell apart alike, and what merging them would change."""
    gain, low, high = (None if np.isnan(v) else float(v) for v in pair.merged)
    counts = {"rows": len(pair.border), "gain": gain, "low": low, "high": high}
    ids = hexed(stock, found.at[list(pair.examples)])
    return {"first": pair.first, "second": pair.second, "evidence": list(pair.evidence), **counts, "ids": ids}


def hexed(stock: Stock, rows: np.ndarray) -> list[str]:
    """The ids of the first few rows, as a page names them."""
    return [stock.ids[i].tobytes().hex() for i in rows[:SHOWN].tolist()]


def weak_slices(scene: Scene, at: np.ndarray, wrong: np.ndarray) -> list[dict[str, Any]]:
    """Slices of the rows `at` that are answered wrongly more often than the others: by declared columns, by
    source, by label, and for texts by word."""
    names, members = [], []
    for kind, name, mask in candidates(scene, at):
        names.append((kind, name))
        members.append(mask)
    if not members or not len(at):
        return []
    rows = np.array([m.sum() for m in members])
    errors = np.array([(m & wrong).sum() for m in members])
    found = []
    for one in worst(rows, errors, len(at), int(wrong.sum())):
        kind, name = names[one.at]
        missed = at[members[one.at] & wrong]
        found.append(
            {
                "kind": kind,
                "name": name,
                "rows": one.rows,
                "wrong": one.wrong,
                "elsewhere": one.elsewhere,
                "ids": hexed(scene.stock, missed),
            }
        )
    return found[:SLICES]


def candidates(scene: Scene, at: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Kind, name and rows (bool[len(at)]) of every slice that is looked at."""
    stock, task = scene.stock, scene.stock.task
    for column in task.slices:
        yield from by_value(f"column {column}", np.array(strings(stock.records.column(column)), object)[at])
    sources = {n: origin.source for n, origin in stock.origins.items()}
    yield from by_value("source", np.array([sources[int(n)] for n in stock.origin[at]], object))
    if task.answer == "class":
        yield from by_value("label", stock.labels[at])
    if task.answer == "labels":
        names = labels_in(stock.labels[at].tolist())
        for name, mask in zip(names, memberships(stock.labels[at].tolist(), names).T, strict=True):
            yield "label", name, mask
    if task.kind == "text":
        yield from by_word([stock.texts[i] for i in at.tolist()])


def by_value(kind: str, values: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """A slice for each value, where there are several."""
    counts = Counter(v for v in values.tolist() if v is not None)
    for value in counts if len(counts) > 1 else ():
        yield kind, str(value), np.array([v == value for v in values], bool)


def by_word(texts: list[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """A slice for each word of at least 20 texts and at most half of them; "t" of "don't" is none."""
    codes = fold(texts)
    found = words(codes)
    names, at = np.unique(np.array(spelled(codes, found), object), return_inverse=True)
    pairs = np.unique(np.stack([at, found.texts]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(names))
    edges = np.cumsum([0, *counts])
    whole = np.array([len(name) > 1 or not name.isascii() for name in names], bool)
    for i in np.flatnonzero((counts >= 20) & (counts <= OFTEN * len(texts)) & whole).tolist():
        mask = np.zeros(len(texts), bool)
        mask[pairs[1, edges[i] : edges[i + 1]]] = True
        yield "word", str(names[i]), mask


def repaired(scene: Scene) -> dict[str, Any]:
    """Labels that were looked at again and are settled now: how many were changed, and some of these."""
    stock = scene.stock
    second = second_looks(stock, scene.superseded, scene.refused)
    changed = [(row, old) for row, old in second if stock.labels[row] != stock.labels[old]]
    now = [pair for pair in changed if stock.turns[int(stock.origin[pair[0]])] == scene.turn.n]
    some = [
        {"id": stock.ids[row].tobytes().hex(), "old": stock.labels[old], "new": stock.labels[row]}
        for row, old in now[: 2 * SHOWN]
    ]
    return {"asked": len(second), "changed": len(changed), "now": len(now), "some": some}


def provenance(stock: Stock, trained: np.ndarray) -> dict[str, Any]:
    """Of the rows that are trained on: how many by hands of machines, by rights, by source."""
    depth = Counter("unknown" if np.isnan(d) else str(int(d)) for d in stock.depth[trained])
    origins = [stock.origins[int(n)] for n in stock.origin[trained]]
    rights, sources = (Counter(getattr(o, name) for o in origins) for name in ("rights", "source"))
    return {
        name: dict(sorted(c.items()))
        for name, c in (("depth", depth), ("rights", rights), ("source", sources))
    }
