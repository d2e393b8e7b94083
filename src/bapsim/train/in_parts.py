"""Answers in parts: what a model holds at once is bounded, however many rows are asked."""

from __future__ import annotations

from collections.abc import Callable

from bapsim.core.arrow import concat
from bapsim.core.records import Answers, Rows


def in_parts(answer: Callable[[Rows], Answers], rows: Rows, size: int) -> Answers:
    """Answers to all rows, `size` of them at a time; no rows are asked about once, for the columns."""
    size = max(1, size)
    return Answers(concat([answer(Rows(rows.slice(at, size))) for at in range(0, max(1, len(rows)), size)]))
