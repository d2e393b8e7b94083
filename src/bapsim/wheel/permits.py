"""What people allowed, as a turn goes by it: grants entered at its beginning, and who must not be used.

A record rests on the consents under which it came, and on those of all that it was made from: what any of
them does not allow is left out, with the reason, and the strictest decides.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Verdicts, verdicts
from bapsim.core.turn import Turn
from bapsim.gather.endpoint import Endpoint
from bapsim.gather.service import Service
from bapsim.store.lake import View
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.store.sealing import SIGNING, Keys, public_key, verified
from bapsim.store.stated import METHOD as STATED
from bapsim.store.terms import (
    NO_TERMS,
    PEOPLE,
    REFUSALS,
    Terms,
    as_written,
    parsed,
    read_terms,
    refusal,
    signed_body,
    stem,
)
from bapsim.wheel.purposes import purposes_of
from bapsim.wheel.stock import Stock, load_stock

TERMS = "terms"  # the verdict on records that their terms do not allow
WITHDRAWN = "withdrawn"  # the verdict on records that rested on a consent which was withdrawn
PARENT = "withdrawn_parent"  # the reason where nothing else vouches for what was made of such records
SYNTHESISE, THIRD_PARTY = "synthesise", "third_party"
MASKED = "masked"  # the method of copies without personal data: nothing new is made by it


def enter_permits(project: Project, turn: Turn) -> None:
    """Enter the grants of the turn's inbox; the files are not needed for them later.

    Raises InputError for one that this project signed, and that says something else now.
    """
    ledger = project.ledger
    there = read_terms(turn.inbox)
    known = {row["consent"]: row["terms"] for row in ledger.rows("select consent, terms from permit")}
    bare = {name: as_written(replace(one, record={}, notice={})) for name, one in there.items()}
    said = {name: json.dumps(one, sort_keys=True, ensure_ascii=False) for name, one in bare.items()}
    new = [there[name] for name, body in said.items() if known.get(name) != body]
    if not new:
        return
    _as_signed(project.root / PEOPLE, new)
    with ledger.change("permits"):
        for one in new:
            row = {"given": one.given, "terms": said[one.consent], "turn": turn.n}
            if one.consent in known:
                ledger.amend("permit", {"consent": one.consent}, person=one.person, **row)
            else:
                ledger.add("permit", consent=one.consent, person=one.person, **row)


def _as_signed(folder: Path, terms: Iterable[Terms]) -> None:
    """folder: of the signing key; without one nobody can tell. Terms by other hands have no signature; those
    of a consent that has a key here have lost it.
    """
    if not (folder / SIGNING).exists():
        return
    key, keys = public_key(folder), Keys(folder / "keys")
    for one in terms:
        name = stem(one.consent)
        if one.signature is None and not keys.has(name):
            continue
        if one.signature is None or not verified(key, signed_body(one), one.signature):
            raise InputError("terms_altered", path=f"{PEOPLE}/{name}.terms.json")


def permits(ledger: Ledger) -> dict[str, Terms]:
    """All grants by consent."""
    rows = ledger.rows("select terms from permit order by consent")
    return {one.consent: one for one in (parsed(json.loads(row["terms"])) for row in rows)}


def withdrawn(ledger: Ledger) -> set[str]:
    """The consents that were withdrawn."""
    return {str(row["consent"]) for row in ledger.rows("select consent from withdrawal")}


def is_over(source: Any, gone: Collection[str]) -> bool:
    """Whether a source stands under a withdrawn consent as a whole; the lines of a log may name others."""
    while source is not None:
        if getattr(source, "consent", None) in gone and not isinstance(source, Service):
            return True
        source = getattr(source, "source", None)
    return False


def not_allowed(ledger: Ledger, purposes: Iterable[str], day: date) -> dict[str, str]:
    """By consent: why its records may not be used for these purposes on a day."""
    wanted = tuple(purposes)
    said = {name: refusal([terms], wanted, day) for name, terms in permits(ledger).items()}
    return {name: why for name, why in said.items() if why is not None}


def unknown_terms(ledger: Ledger, stock: Stock) -> set[str]:
    """Consents of the rooms of which no terms were ever seen: nobody knows what they allow."""
    named = [one for one in stock.origins.values() if one.method.startswith(("room", "asked:"))]
    given = {str(one.consent) for one in named if one.batch and one.batch.endswith(f"/{one.consent}.jsonl")}
    return given - permits(ledger).keys() - withdrawn(ledger)


def resting_on(ledger: Ledger, stock: Stock, reasons: Mapping[str, str]) -> np.ndarray:
    """object[N]: the reason of the strictest of these consents that a row rests on, None: it does on none."""
    found = np.full(len(stock), None, object)
    for why in reversed(REFUSALS):
        names = {name for name, one in reasons.items() if one == why}
        if names:
            found[stock.of_origins(lambda _, origin, names=names: origin.consent in names)] = why
            found[stock.rows_with(_descendants(ledger, names))] = why
    return found


def _descendants(ledger: Ledger, consents: Iterable[str]) -> set[bytes]:
    query = "select id from descendant where consent=?"
    return {row["id"] for name in consents for row in ledger.rows(query, name)}


def by_terms(ledger: Ledger, recipe: Recipe, turn: Turn, stock: Stock) -> Verdicts:
    """What the recipe's purposes have no permit for, and what was made of records of which nothing may be."""
    day = date.fromisoformat(turn.day)
    reasons = dict.fromkeys(unknown_terms(ledger, stock), NO_TERMS)
    why = resting_on(ledger, stock, reasons | not_allowed(ledger, purposes_of(recipe), day))
    made = stock.by_machine & stock.of_origins(lambda _, origin: not as_given(origin.method))
    free = np.array([one is None for one in why], bool)
    why[made & free & barred(ledger, stock, day)] = "never_synthesise"
    return _against(why)


def as_given(method: str) -> bool:
    """Whether a machine made nothing of its own: it masked a row, or did what a person's rule says."""
    return method.endswith(MASKED) or method.startswith(STATED)


def inner(source: object) -> object:
    """The source that others (`masked`, `deal`) are wrapped around."""
    while callable(getattr(source, "source", None)):
        source = source.source  # type: ignore[attr-defined]
    return source


def asks_outside(source: object) -> bool:
    """Whether any endpoint that a source asks is not the house's own."""
    asked = [value for value in vars(inner(source)).values() if isinstance(value, Endpoint)]
    return any(one.outside for one in asked)


def barred(ledger: Ledger, stock: Stock, day: date, purposes: tuple[str, ...] = (SYNTHESISE,)) -> np.ndarray:
    """bool[N]: rows of which nothing new may be made, or that may not be used for these purposes."""
    reasons = dict.fromkeys(not_allowed(ledger, purposes, day), "never_synthesise")
    return np.array([one is not None for one in resting_on(ledger, stock, reasons)], bool)


def sparing(project: Project, turn: Turn, source: object) -> Turn:
    """A turn whose data do not show a source that makes rows those of which nothing new may be made, nor,
    where it asks somebody outside the house, those that may not leave it.
    """
    if getattr(inner(source), "purpose", "") != SYNTHESISE:
        return turn
    day = date.fromisoformat(turn.day)
    purposes = (SYNTHESISE, THIRD_PARTY) if asks_outside(source) else (SYNTHESISE,)
    if not not_allowed(project.ledger, purposes, day):
        return turn
    stock = load_stock(project, turn.task, before=turn.n)
    masks = stock.split(barred(project.ledger, stock, day, purposes))
    hide = {shard.key: mask for shard, mask in zip(stock.shards, masks, strict=True)}
    data = {n: _hiding(view, hide) if isinstance(view, View) else view for n, view in turn.data.items()}
    return replace(turn, data=data)


def _hiding(view: View, more: Mapping[str, np.ndarray]) -> View:
    parts = zip(view.shards, view.hidden or [None] * len(view.shards), strict=True)
    return replace(view, hidden=tuple(more[s.key] if m is None else m | more[s.key] for s, m in parts))


def by_withdrawal(ledger: Ledger, stock: Stock) -> Verdicts:
    """Rows that were erased, and those that nothing vouches for since."""
    query = "select id from action where action in ('drop', 're-verify')"
    left = stock.rows_with({row["id"] for row in ledger.rows(query)}) & ~stock.erased
    why = np.full(len(stock), None, object)
    left |= drawn_by_withdrawn(ledger, stock) & ~stock.erased
    why[stock.erased], why[left] = WITHDRAWN, PARENT
    return _against(why)


def drawn_by_withdrawn(ledger: Ledger, stock: Stock) -> np.ndarray:
    """bool[N]: rows that were drawn by a generator which had learnt from what was withdrawn."""
    gone = {row["version"] for row in ledger.rows("select version from generator where state='withdrawn'")}
    made = stock.of_origins(lambda _, o: "machine" in (o.input_maker, o.target_maker))
    drawn = made & stock.of_origins(lambda _, origin: origin.batch in gone)
    return np.asarray(drawn if gone else np.zeros(len(stock), bool))


def _against(why: np.ndarray) -> Verdicts:
    """A no where there is a reason (object[n], None = no opinion)."""
    no = np.array([one is not None for one in why], bool)
    said = verdicts(~no, why.tolist())
    keep = pa.array(np.zeros(len(no), bool), mask=~no)
    return Verdicts(said.set_column(said.schema.get_field_index("keep"), "keep", keep))
