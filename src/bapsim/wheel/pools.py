"""A trainer's pool of unlabelled text holds nothing of what its model is judged by.

A pool is a file that no source gathered, so no leak check saw it. Before a fit its texts are held against the
hidden rows; what equals or nearly equals one is left out, and the turn says how much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bapsim.wheel.stock import Stock


def apart(train: Any, stock: Stock, hidden: np.ndarray, say: Callable[..., None]) -> Any:
    """The trainer with a pool that says nothing of the rows `hidden` (bool[N]): neither inputs nor, where the
    answer is a text, targets. InputError for a pool that nothing can be left out of.
    """
    if getattr(train, "pool", None) is None or not hasattr(train, "apart") or not hidden.any():
        return train
    rows, task = np.flatnonzero(hidden), stock.task
    texts = [stock.texts[i] for i in rows.tolist()]
    if task.answer == "text":
        texts += [str(one) for one in stock.labels[rows] if one is not None]
    found = train.apart([one for one in texts if one.strip()], task)
    if found.left_out:
        say("pool_apart", texts=len(found.left_out))
    return found
