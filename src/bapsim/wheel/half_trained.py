"""Trainings that were killed and never went on hold what they read, where only their trainer knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bapsim.core.recipe import Recipe
from bapsim.store import fault

_NAMED = re.compile(r"[0-9a-f]{16,64}\.safetensors(\..*)?")  # and what a kill left of writing one


def half_trained(recipe: Recipe) -> Iterator[Path]:
    """The checkpoints of the recipe's trainers, generators among them, of runs that were not finished."""
    trainers: list[Any] = [recipe.train, *recipe.generators.values()]
    for train in trainers:
        folder = getattr(getattr(train, "plan", None), "checkpoints", None)
        if folder is not None and Path(folder).is_dir():
            yield from sorted(one for one in Path(folder).iterdir() if _NAMED.fullmatch(one.name))


def forget(path: Path) -> None:
    """Remove a checkpoint: nobody can tell of whom its weights know, and its rows are no longer the same."""
    path.unlink(missing_ok=True)
    fault.sync(path.parent)
