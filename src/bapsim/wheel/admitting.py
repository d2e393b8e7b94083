"""Nothing machine-made enters unverified: a row that a machine made needs the word of a verifier or a person.

A verifier is a check or survey of the recipe that says so (`verifies = True`), and that knows more than the
machine that made the row: it keeps what it can vouch for and abstains elsewhere. What a model says of its own
rows is none (measured to make things worse: docs/collapse.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bapsim.core.arrow import booleans
from bapsim.core.recipe import Check, Recipe, Survey
from bapsim.core.records import Verdicts, verdicts
from bapsim.wheel.permits import as_given
from bapsim.wheel.stock import ASKED, Stock

UNVERIFIED = "unverified"


def is_verifier(check: object) -> bool:
    """Whether a check vouches for what machines made; one that is restricted to a source may, too."""
    return bool(getattr(getattr(check, "check", check), "verifies", False))


def verifiers(recipe: Recipe) -> Mapping[str, Check | Survey]:
    """The recipe's verifiers by name."""
    every: dict[str, Check | Survey] = {**recipe.checks, **recipe.surveys}
    return {name: one for name, one in every.items() if is_verifier(one)}


def needs_word(stock: Stock) -> np.ndarray:
    """bool[N]: machine-made rows that nobody vouched for yet: not released by an accepted turn, not labelled
    by a person who saw what the machine made, and not a copy that only lost personal data.
    """
    proven = stock.of_origins(lambda n, _: stock.states[n] == "released")
    seen = stock.of_origins(lambda _, o: o.target_maker == "person" and o.method.startswith(ASKED))
    given = stock.of_origins(lambda _, o: as_given(o.method))
    return np.asarray(stock.by_machine & ~proven & ~seen & ~given & ~stock.erased)


def unverified(
    recipe: Recipe, stock: Stock, named: Mapping[str, Verdicts], disbelieved: frozenset[str] = frozenset()
) -> Verdicts:
    """A no for each machine-made row that no verifier of the recipe kept; named: what was said;
    disbelieved: verifiers whose word lets nothing in (wheel.vouching).
    """
    vouched = np.zeros(len(stock), bool)
    for name in set(verifiers(recipe)) - disbelieved:
        vouched |= booleans(named[name].column("keep"), False)
    return verdicts(~needs_word(stock) | vouched, UNVERIFIED)


def words(recipe: Recipe, stock: Stock, named: Mapping[str, Verdicts]) -> dict[str, dict[str, int]] | None:
    """What each verifier says of machine-made rows that need a word: `kept`, `refused`, and `silent`, had
    nothing to say; None where no row needs one.
    """
    waiting = needs_word(stock)
    if not waiting.any():
        return None
    found = {}
    for name in verifiers(recipe):
        yes, no = (booleans(named[name].column("keep"), other)[waiting] for other in (False, True))
        counts = {"kept": int(yes.sum()), "refused": int((~no).sum())}
        found[name] = counts | {"silent": int(waiting.sum()) - sum(counts.values())}
    return found
