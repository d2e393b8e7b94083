"""What the next turn would take in and look at: everything is read, nothing is kept or spent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from bapsim.core.recipe import Recipe
from bapsim.core.records import Numbering, Unread, certify
from bapsim.core.turn import Turn
from bapsim.gather.asking import Preview
from bapsim.mods import Money
from bapsim.store.lake import read_batch
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import Project
from bapsim.wheel.answering import whole
from bapsim.wheel.column_types import fitting
from bapsim.wheel.examining import wear
from bapsim.wheel.gathering import returns
from bapsim.wheel.permits import inner, is_over, sparing, withdrawn
from bapsim.wheel.state import state


def preview(project: Project, recipe: Recipe) -> dict[str, Any]:
    """Turn number, rows by source (fresh, again, unread), and what the exam has left.

    A source that asks language models says what that would take: `requests`, those of them that are `taped`
    or were in flight at a kill (`doubtful`), and of the others `tokens` and `money` at most, `minutes` at
    least; `left`, where it is less than that, is what the ceiling still allows. Any other source that does
    not read files (it may ask or pay somebody) is not run: null.
    """
    ledger = project.ledger
    open_turn = ledger.value("select n from turn where state='open'")
    n = int(open_turn or 1 + int(ledger.value("select coalesce(max(n), 0) from turn")))
    turn = replace(state(project, recipe, n), inbox=project.inbox)
    known: set[Any] = set()
    for shard in project.shards():
        known.update(read_batch(project.wheel / shard.path, ["_id"]).column("_id").to_pylist())
    before = wear(ledger, recipe.gate.budget)
    level = recipe.gate.level(before) if before.items else None
    exam = {"items": before.items, "looks": before.looks, "budget": before.budget, "level": level}
    gone = withdrawn(ledger)
    sources = {name: one for name, one in recipe.sources.items() if not is_over(one, gone)}
    found = {name: _read(project, name, source, turn, known) for name, source in sources.items()}
    return {"turn": n, "resumes": open_turn is not None, "sources": found, "exam": exam}


def _asks(said: Preview | None) -> dict[str, Any] | None:
    if said is None:
        return None
    names = ("requests", "taped", "doubtful", "minutes")
    found = {name: getattr(said, name) for name in names} | {"tokens": said.tokens_in + said.tokens_out}
    stops = said.left is not None and said.money is not None and said.left.minor < said.money.minor
    return found | {"money": _amount(said.money), "left": _amount(said.left) if stops else None}


def _amount(money: Money | None) -> str | None:
    return None if money is None else f"{money.amount} {money.currency}"


def _read(project: Project, name: str, source: Any, turn: Turn, known: set[Any]) -> dict[str, Any] | None:
    """Rows of one source that nobody delivered before, those that somebody did, and unread lines."""
    asker: Any = inner(source)
    if hasattr(asker, "preview"):
        with closing(MachineTape(project.wheel / FILE, name)) as tape:
            return _asks(asker.preview(replace(sparing(project, turn, source), tape=tape)))
    if getattr(source, "reads", None) is None:
        return None
    numbering, brought, fresh, again = Numbering(), 0, 0, 0
    told: dict[tuple[str, ...], list[str | None]] = {}
    unread: set[Unread] = set()
    for draft in (part for one in source(turn) for part in whole(project, one, turn)):
        read = fitting(draft, turn.types, brought)
        brought += len(draft.rows)
        unread.update(read.unread)
        if not len(read.rows):
            continue
        named = replace(read, origin=replace(draft.origin, source=name), again=returns(read, turn.task, told))
        records = certify(named, secret=project.secret, origin=0, numbering=numbering)
        ids = records.column("_id").to_pylist()
        new = {one for one in ids if one not in known}
        known |= new
        fresh += len(new)
        again += len(ids) - len(new)
    return {"fresh": fresh, "again": again, "unread": len(unread)}
