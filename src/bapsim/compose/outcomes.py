"""Answers of each kind as probabilities of outcomes, so that one measure of doubt and diversity fits all.

Of classes they are what the model says. Of a set, they are the likeliest set and each one that differs
from it in one label: doubt is a close second, and what two rows doubt is alike where it is the same label. Of
a number, only how wide its interval is and where it lies are known: the wider of two intervals has the more
even outcomes, and rows in other tenths of the predictions doubt other things.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.strata import PARTS
from bapsim.core.arrow import numbers
from bapsim.core.records import Answer


def outcomes(answers: pa.RecordBatch, answer: Answer) -> np.ndarray:
    """float32[n, k] of answers; k = 0 where nothing is known of any row."""
    names = answers.schema.names
    if answer == "number":
        if "low" not in names or "high" not in names:
            return np.zeros((len(answers), 0), np.float32)
        return of_intervals(*(numbers(answers.column(name)) for name in ("prediction", "low", "high")))
    if "probs" not in names:
        return np.zeros((len(answers), 0), np.float32)
    column: Any = answers.column("probs")
    probs = np.asarray(column.flatten().to_numpy().reshape(len(answers), -1), np.float32)
    return probs if answer == "class" else of_sets(probs)


def of_sets(probs: np.ndarray) -> np.ndarray:
    """float32[n, labels + 1]: the likeliest set, then the sets with one label put in or left out.

    probs: float[n, labels], of each label by itself; shares are of these outcomes alone.
    """
    other = np.minimum(probs, 1 - probs).astype(np.float64).clip(1e-6, 0.5)
    odds = np.column_stack([np.ones(len(probs)), other / (1 - other)])
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def of_intervals(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """float32[n, 2 * PARTS]: two outcomes for each tenth of the predictions, even where the interval is wide.

    The place of a width among all widths, not the width, says how even: 0 is the narrowest, 1 the widest.
    """
    n = len(value)
    width = np.nan_to_num(high - low, nan=np.inf)
    doubt = np.searchsorted(np.sort(width), width, side="right") / max(n, 1)
    tenth = np.minimum(
        np.argsort(np.argsort(value, kind="stable"), kind="stable") * PARTS // max(n, 1), PARTS - 1
    )
    out = np.zeros((n, 2 * PARTS), np.float32)
    out[np.arange(n), 2 * tenth] = 1 - doubt / 2
    out[np.arange(n), 2 * tenth + 1] = doubt / 2
    return out
