"""How a recipe wants its exam: its size, and how near two texts may be before they are kin."""

from __future__ import annotations

from dataclasses import dataclass

from bapsim.compose.exam import exam_size
from bapsim.core.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class ExamPlan:
    """size: items to aim at, None = a fifth of people's rows (100 to 2,000); near: Jaccard of kin texts."""

    size: int | None = None
    near: float = 0.8

    def size_for(self, rows: int) -> int:
        """Items to draw from this many eligible rows: never more than half of them."""
        return exam_size(rows) if self.size is None else min(self.size, rows // 2)


def exam(size: int | None = None, *, near: float = 0.8) -> ExamPlan:
    """The exam of a recipe: `size` items of people, not trained on, nor what is within `near` of them."""
    if (size is not None and size < 1) or not 0 < near <= 1:
        raise RecipeError("exam_out_of_range", size=size, near=near)
    return ExamPlan(size=size, near=near)
