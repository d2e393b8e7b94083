"""Rows that must stay together: near-duplicates, descendants of one root, and the user's own groups."""

from __future__ import annotations

import numpy as np

from bapsim.core.arrow import strings
from bapsim.text.minhash import clusters, unite
from bapsim.wheel.stock import Stock


def numbered(values: list[str]) -> np.ndarray:
    """int64[n]: equal values get the position of the first of them."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(v, i) for i, v in enumerate(values)], np.int64)


def kin(stock: Stock, rows: np.ndarray, threshold: float) -> np.ndarray:
    """int64[N]: rows of one number go to one side of any split; only `rows` (bool[N]) are compared.

    Text: clusters of near-duplicates; tables: equal inputs; both: shared ancestors and the task's group.
    """
    root = stock.roots.copy()
    chosen = np.flatnonzero(rows)
    texts = [stock.texts[i] for i in chosen]
    alike = clusters(texts, threshold) if stock.task.kind == "text" else numbered(texts)
    root = unite(root, chosen, chosen[alike])
    if stock.task.group is not None:
        names = strings(stock.records.column(stock.task.group))
        told = [i for i in chosen if names[i] is not None]
        first = numbered([str(names[i]) for i in told])
        at = np.array(told, np.int64)
        root = unite(root, at, at[first] if len(at) else at)
    return root
