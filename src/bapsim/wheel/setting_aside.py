"""Put something into quarantine, or release it, in one transaction: who did it, why, what it reaches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.audit import recount, stands
from bapsim.wheel.quarantine import RELEASED, STAGE, Quarantine, holding, meant, named, quarantined, resolved
from bapsim.wheel.stock import STATES, Stock, load_stock
from bapsim.wheel.tainting import consumed, examined_by


def put_aside(project: Project, recipe: Recipe, said: str, reason: str, by: str = "owner") -> dict[str, Any]:
    """Put a record, source, generator, version or batch into quarantine, with all that was made of it; what
    is in it already stays as it is (`new` is false).

    Returns the entry; rows: how many it names; made: how many were made of these; standing: where all of them
    stood; models, generators: which ate them. Raises InputError for a name that is nothing, without a reason,
    and while a turn is open.
    """
    ledger = project.ledger
    _may_change(ledger, reason)
    stock = load_stock(project, recipe.task)
    what = resolved(ledger, stock, said)
    number = int(ledger.value("select count(*) from stage where name=?", STAGE)) + 1
    new = Quarantine(**what | {"kinds": tuple(what["kinds"])}, number=number, by=by, reason=reason.strip())
    same = (one for one in holding(ledger) if (one.name, one.source) == (new.name, new.source))
    old = next(same, None)
    mine = named(ledger, stock, new)
    rows = stock.with_descendants(mine)
    reached = _reached(project, stock, rows) | {"rows": int(mine.sum()), "made": int((rows & ~mine).sum())}
    reached["standing"] = _standing(project, stock, rows)
    if old is None:
        _enter(project, recipe, STAGE, number, {"number": number, **what, "by": by, "reason": reason.strip()})
    return _as_told(old or new) | reached | {"new": old is None}


def release(project: Project, recipe: Recipe, said: str, reason: str, by: str = "owner") -> dict[str, Any]:
    """End an entry: from the next turn on its rows are judged as all others are, unless another entry holds
    them.

    Returns the entry; rows, made: as it was; still: how many of them other entries hold. Raises InputError
    for a name that is not in quarantine, without a reason, and while a turn is open.
    """
    ledger = project.ledger
    _may_change(ledger, reason)
    one = meant(ledger, said)
    if one is None:
        known = ", ".join(each.name for each in holding(ledger)) or "-"
        raise InputError("not_quarantined", name=said, known=known)
    stock = load_stock(project, recipe.task)
    mine = named(ledger, stock, one)
    rows = stock.with_descendants(mine)
    body = {"number": one.number, "name": one.name, "by": by, "reason": reason.strip()}
    _enter(project, recipe, RELEASED, one.number, body)
    still = int((rows & quarantined(ledger, stock)).sum())
    counts = {"rows": int(mine.sum()), "made": int((rows & ~mine).sum()), "still": still}
    return _as_told(one) | counts | {"released_by": by, "released_for": reason.strip()}


def eaten_in_quarantine(project: Project, recipe: Recipe, version: str) -> int:
    """How many rows that a model was trained on are in quarantine now."""
    if not holding(project.ledger):
        return 0
    stock = load_stock(project, recipe.task)
    ids = {one.tobytes() for one in stock.ids[quarantined(project.ledger, stock)]}
    return consumed(project, ids).get(version, 0)


def _may_change(ledger: Ledger, reason: str) -> None:
    if not reason.strip():
        raise InputError("reason_is_empty")
    begun = ledger.value("select n from turn where state='open'")
    if begun is not None:
        raise InputError("turn_is_open", turn=begun)


def _enter(project: Project, recipe: Recipe, stage: str, number: int, body: dict[str, Any]) -> None:
    """The entry and the accounts with it: a kill leaves both or neither."""
    ledger = project.ledger
    turn = int(ledger.value("select coalesce(max(n), 0) from turn"))
    with ledger.change(stage) as changed:
        output = json.dumps(body, ensure_ascii=False, sort_keys=True)
        changed.add("stage", key=f"{stage}:{number}", name=stage, turn=turn, output=output)
        counts = json.dumps(recount(project, recipe))
        last = changed.row("select n, accounts from turn where state='done' order by n desc limit 1")
        if last is not None and last["accounts"] != counts:
            changed.amend("turn", {"n": last["n"]}, accounts=counts)


def _as_told(one: Quarantine) -> dict[str, Any]:
    said: dict[str, Any] = {"what": one.name, "kinds": list(one.kinds), "source": one.source}
    return said | {"number": one.number, "by": one.by, "reason": one.reason}


def _standing(project: Project, stock: Stock, rows: np.ndarray) -> dict[str, int]:
    counts = np.bincount(stands(project, stock)[rows], minlength=len(STATES)).tolist()
    return {name: count for name, count in zip(STATES, counts, strict=True) if count}


def _reached(project: Project, stock: Stock, rows: np.ndarray) -> dict[str, Any]:
    """Which models and generators ate these rows, how many of them; of a generator, how many rows that it
    drew are not among them.
    """
    ledger = project.ledger
    ids = {one.tobytes() for one in stock.ids[rows]}
    eaten, exams = consumed(project, ids), examined_by(ledger, ids)
    serves = ledger.value("select version from used order by n desc limit 1")
    models, generators = [], []
    for row in ledger.rows("select version, turn, state, served from model order by turn, rowid"):
        asked = [count for turn, count in exams.values() if turn <= int(row["turn"])]
        count = eaten.get(str(row["version"]), 0) + (max(asked, default=0) if row["served"] else 0)
        if count:
            one = {"version": row["version"], "rows": count, "state": row["state"]}
            models.append(one | {"serves": row["version"] == serves})
    for row in ledger.rows("select version from generator order by turn, rowid"):
        version = row["version"]
        if version in eaten:
            drawn = stock.of_origins(lambda _, origin, version=version: origin.batch == version)
            left = int((drawn & ~rows).sum())
            generators.append({"version": version, "rows": eaten[version], "drawn": left})
    return {"models": models, "generators": generators}
