"""A number that was to be reached, and what was found; where the results are read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t

RESULTS = Path(__file__).parents[1] / "docs" / "results"


class Bar(NamedTuple):
    asked: str
    found: str
    reached: bool
    program: str


@cache
def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t)."""
    x = np.asarray(values, float)
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return float(x.mean()), float(x.mean()) - half, float(x.mean()) + half


def said(mean: float, low: float, high: float) -> str:
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
