"""What records are used for: what a recipe declares, what its checks of rights say, what every turn does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe
from bapsim.refine.rights import Rights
from bapsim.store.terms import SCOPES

ALWAYS = ("train", "evaluate")  # a turn trains, and draws its exam among the same records


def purposes_of(recipe: Recipe) -> frozenset[str]:
    """What people have to have allowed: a check of rights that declares more is not more than it says."""
    return frozenset(ALWAYS).union(recipe.purposes, *(check.uses for _, check in _rights(recipe)))


def uses_of(recipe: Recipe) -> frozenset[str]:
    """What a deal has to have bought; an exam goes with training, unless a check declares it."""
    declared = frozenset(recipe.purposes) - {"evaluate"}
    return frozenset({"train"}).union(declared, *(check.uses for _, check in _rights(recipe)))


def known_purposes(recipe: Recipe) -> None:
    """Raises RecipeError for a purpose that no terms know, and for one of which a check of rights knows
    nothing: it would let licences pass that forbid it.
    """
    if strange := [name for name in recipe.purposes if name not in SCOPES]:
        raise RecipeError("unknown_purpose", wrong=", ".join(strange), known=", ".join(SCOPES))
    for name, check in _rights(recipe):
        if missing := [one for one in recipe.purposes if one not in {*ALWAYS, *check.uses}]:
            raise RecipeError("purpose_unchecked", check=name, missing=", ".join(missing))


def _rights(recipe: Recipe) -> Iterator[tuple[str, Rights]]:
    """The checks of rights, also those that are one source's."""
    for name, check in recipe.checks.items():
        inner: Any = check
        while inner is not None and not isinstance(inner, Rights):
            inner = getattr(inner, "check", None)
        if inner is not None:
            yield name, inner
