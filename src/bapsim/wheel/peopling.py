"""The source of what people give in the rooms, put into a user's recipe: one line, shown as a diff."""

from __future__ import annotations

import sys
from pathlib import Path

from bapsim.core.fingerprint import forget
from bapsim.core.recipe import Recipe
from bapsim.gather.people import FromRooms
from bapsim.store import fault
from bapsim.wheel.applying import RECIPE, loads
from bapsim.wheel.rewriting import diff, read_recipe, rewritten

LINE = '"people": people()'  # among the sources; what a person types where the recipe is made in another way


def take_up(root: Path, recipe: Recipe) -> str | None:
    """Add the source where there is none; returns the diff, "" where it is there, None where it has no place
    (the recipe is made in another way, or another source has that name).

    Raises RecipeError where the new recipe would not load; then the old one stays.
    """
    if any(isinstance(one, FromRooms) for one in recipe.sources.values()):
        return ""
    path = (root / RECIPE).resolve()
    old = path.read_bytes()
    try:
        before, encoding = read_recipe(old)
    except (SyntaxError, UnicodeDecodeError):
        return None
    after, (placed,) = rewritten(before, [{"what": "people"}])
    if not placed or "people" in recipe.sources:
        return None
    new = after.encode(encoding)
    loads(path, new)
    fault.write(path, new)
    sys.modules.pop(path.stem, None)  # for whoever loads it again in this very process
    forget()
    return diff(before, after)
