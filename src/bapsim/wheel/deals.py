"""Licence deals as the ledger knows them: their terms, what was due for them, and whether they hold.

A deal that is no longer in the recipe is not forgotten: its last known terms go on to decide about its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe, Source
from bapsim.core.records import Verdicts, verdicts
from bapsim.core.turn import Turn
from bapsim.gather.deal import Deal
from bapsim.mods import money
from bapsim.store.ledger import Ledger, now
from bapsim.text.licence_uses import DEAL, FORBIDS
from bapsim.wheel.purposes import uses_of
from bapsim.wheel.stock import Stock

ENDED = "deal"  # the verdict on rows whose deal does not hold, or does not cover what the recipe does
EXPIRED, REVOKED = "deal_expired", "deal_revoked"
_STAGE = "deal"
_MONTHS = {"month": 1, "year": 12}


def deals_in(source: Source) -> Iterator[Deal]:
    """The deals around a source, whatever else is around them."""
    inner: Any = source
    for _ in range(32):
        if isinstance(inner, Deal):
            yield inner
        inner = getattr(inner, "source", None)
        if inner is None:
            return


def enter_deals(ledger: Ledger, recipe: Recipe, turn: Turn) -> None:
    """Write down the recipe's deals as they are now, and the prices of terms that have begun since.

    A deal around several sources is a cost of the first. Raises RecipeError for a name with two meanings.
    """
    seen: dict[str, Deal] = {}
    for name, source in recipe.sources.items():
        for deal in deals_in(source):
            other = seen.setdefault(deal.name, deal)
            if other is deal:
                _enter(ledger, deal, name, turn)
            elif replace(other, source=deal.source) != deal:
                raise RecipeError("deal_twice", name=deal.name)


def _enter(ledger: Ledger, deal: Deal, source: str, turn: Turn) -> None:
    key = f"deal:{deal.name}"
    known = ledger.value("select output from stage where key=?", key)
    before: dict[str, Any] = {} if known is None else json.loads(known)
    begins = deal.begins or before.get("begins") or turn.day
    terms = {"name": deal.name, "source": source, "price": deal.price, "term": deal.term, "begins": begins}
    terms |= {"expires": deal.expires, "revoked": deal.revoked, "scope": list(deal.scope)}
    paid, due = int(before.get("paid", 0)), 0 if deal.price is None else terms_begun(terms, turn.day)
    terms["paid"] = max(paid, due)
    if terms == before:
        return
    with ledger.change("deal"):
        said = json.dumps(terms, sort_keys=True, ensure_ascii=False)
        if known is None:
            ledger.add("stage", key=key, name=_STAGE, turn=turn.n, output=said)
        else:
            ledger.amend("stage", {"key": key}, turn=turn.n, output=said)
        if due > paid and deal.price is not None:
            price = money(deal.price)
            n = int(ledger.value("select coalesce(max(n), 0) + 1 from cost"))
            cost = {"minor": price.minor * (due - paid), "currency": price.currency, "calls": due - paid}
            ledger.add("cost", n=n, turn=turn.n, what=source, **cost, at=now())


def terms_begun(terms: Mapping[str, Any], day: str) -> int:
    """How many terms of a deal have begun by a day (ISO), none after it ended."""
    ends = [one for one in (day, terms["expires"], terms["revoked"]) if one is not None]
    first, last = date.fromisoformat(terms["begins"]), date.fromisoformat(min(ends))
    if last < first:
        return 0
    length = _MONTHS.get(terms["term"])
    if length is None:
        return 1
    months = (last.year - first.year) * 12 + last.month - first.month - (last.day < first.day)
    return months // length + 1


def deals(ledger: Ledger) -> list[dict[str, Any]]:
    """Every deal that there ever was, with its last known terms."""
    rows = ledger.rows("select output from stage where name=? order by key", _STAGE)
    return [json.loads(row["output"]) for row in rows]


def why_ended(terms: Mapping[str, Any], uses: Set[str], day: str) -> str | None:
    """Why rows of a deal may not be used on a day: revoked, expired, or not what was bought."""
    if terms["revoked"] is not None and day >= terms["revoked"]:
        return REVOKED
    if terms["expires"] is not None and day > terms["expires"]:
        return EXPIRED
    return None if uses <= set(terms["scope"]) and day >= terms["begins"] else FORBIDS


def by_deal(ledger: Ledger, recipe: Recipe, turn: Turn, stock: Stock) -> Verdicts:
    """Rows whose deal does not hold on the day of the turn, and what was made of them, also by people: a
    label is no licence.
    """
    uses = uses_of(recipe)
    said: np.ndarray = np.full(len(stock), None, object)
    for terms in deals(ledger):
        why = why_ended(terms, uses, turn.day)
        if why is not None:
            rights = DEAL + terms["name"]
            mine = stock.of_origins(lambda _, origin, rights=rights: origin.rights == rights)
            said[stock.with_descendants(mine) & np.array([one is None for one in said], bool)] = why
    return verdicts(np.array([one is None for one in said], bool), said.tolist())
