"""Rows that must stay together: near-duplicates, descendants of one root, and the user's own groups."""

from __future__ import annotations

import numpy as np

from bapsim.compose.exam import Frame, groups
from bapsim.core.arrow import strings
from bapsim.image.alike import groups as near_pictures
from bapsim.text.minhash import clusters, unite
from bapsim.wheel.stock import Stock

VERSIONS = 20  # of one row, that a source delivers over time


def numbered(values: list[str]) -> np.ndarray:
    """int64[n]: equal values get the position of the first of them."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(v, i) for i, v in enumerate(values)], np.int64)


def alike(stock: Stock, rows: np.ndarray, threshold: float) -> np.ndarray:
    """int64[N]: rows of one number (nearly) say the same; only `rows` (bool[N]) are compared."""
    chosen = np.flatnonzero(rows)
    found = np.arange(len(stock), dtype=np.int64)
    if stock.task.kind == "image":
        found[chosen] = chosen[near_pictures(stock.sketches.part(chosen), threshold).of]
        return found
    texts = [stock.compared[i] for i in chosen.tolist()]
    found[chosen] = chosen[clusters(texts, threshold) if stock.task.kind == "text" else numbered(texts)]
    return found


def kin(stock: Stock, rows: np.ndarray, threshold: float) -> np.ndarray:
    """int64[N]: rows of one number go to one side of any split; only `rows` (bool[N]) are compared.

    Text and pictures: clusters of near-duplicates; tables: equal inputs; all: shared ancestors, the source's
    own name for a row, and the task's group (compose.exam.groups, which keeps texts that everybody writes
    from tying all groups into one).
    """
    cluster = alike(stock, rows, threshold)
    group = None
    if stock.task.group is not None:
        names = strings(stock.records.column(stock.task.group))
        codes = numbered([n or "" for n in names])
        group = np.where([n is None for n in names] | ~rows, -1, codes)
    labels = np.full(len(stock), -1, np.int64)
    return groups(Frame(labels=labels, clusters=cluster, roots=namesakes(stock, rows), group=group))


def namesakes(stock: Stock, rows: np.ndarray) -> np.ndarray:
    """int64[N]: the roots, joined where a source delivered a row of one key again, whatever it says now.

    A key of more than VERSIONS rows is no name of a row.
    """
    at = np.flatnonzero(np.isin(stock.origin, list(stock.keyed)) & rows)
    if not len(at):
        return stock.roots
    keys, sources = strings(stock.records.column("_key")), {n: o.source for n, o in stock.origins.items()}
    name = numbered([f"{sources[int(stock.origin[i])]}\x1f{keys[i]}" for i in at.tolist()])
    few = np.bincount(name)[name] <= VERSIONS
    return unite(stock.roots, at[name[few]], at[few])
