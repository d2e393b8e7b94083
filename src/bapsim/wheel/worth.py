"""How many points a source gives: one model without it, held out, against the last candidate; when asked.

Not for every source at every turn: each costs the fits of a whole candidate, and a source of 500 rows moves a
model of 3,500 by less than such an interval can tell.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.contrast import contrast, unkept
from bapsim.wheel.examining import eligible
from bapsim.wheel.kin import kin
from bapsim.wheel.state import the_newest
from bapsim.wheel.stock import REFUSED, SUPERSEDED, Stock, load_stock
from bapsim.wheel.weighing import newest_looks


def worth_of(project: Project, recipe: Recipe, source: str) -> dict[str, Any]:
    """Points of accuracy that training with a source gives, on random held-out rows of the others.

    source, model, gain, low, high (95 %), tells: the interval is on one side of 0; rows, 0 = cannot be told.
    Asked again it is read, not made.
    Raises InputError where no model is there, the source taught it nothing, or nothing is left without it.
    """
    ledger = project.ledger
    turn = int(ledger.value("select coalesce(max(n), 0) from turn where state='done'"))
    model = the_newest(project, turn + 1, recipe.task)
    if model is None:
        raise InputError("no_turn_ended")
    key = f"worth:{model.fingerprint}:{source}"  # the model's says whether its labels were weighed
    staged = ledger.value("select output from stage where key=?", key)
    if staged is not None:
        return dict(json.loads(staged))
    stock = load_stock(project, recipe.task)
    ate = eaten_by(ledger, stock, model.name)
    mine = stock.of_origins(lambda _, origin: origin.source == source)
    left = ate & ~mine
    if not (ate & mine).any() or len(set(stock.labels[left].tolist())) < 2:
        taught = sorted({stock.origins[int(n)].source for n in np.unique(stock.origin[ate])})
        raise InputError("nothing_without", source=source, known=", ".join(taught) or "-")
    groups = kin(stock, ate, recipe.exam.near)
    at = np.flatnonzero(left & eligible(stock, np.zeros(len(stock), bool)))
    state = stands(project, stock)
    looks = newest_looks(ledger, stock, state == SUPERSEDED, state == REFUSED)
    points = contrast(stock, groups, unkept(recipe, stock, groups, left, looks), model, at)["points"]
    found = {"source": source, "model": model.name, **(points or {"tells": False, "rows": 0})}
    with ledger.change("worth told") as changed:
        changed.add("stage", key=key, name="worth", turn=turn, output=json.dumps(found))
    return found


def told_worth(ledger: Ledger, turn: int) -> list[dict[str, Any]]:
    """What was asked of the worth of sources after this turn, before the next one."""
    query = "select output from stage where name='worth' and turn=? order by rowid"
    return [json.loads(row["output"]) for row in ledger.rows(query, turn)]


def eaten_by(ledger: Ledger, stock: Stock, version: str) -> np.ndarray:
    """bool[N]: the rows that a model was trained on."""
    masks = {
        r["shard"]: r["mask"] for r in ledger.rows("select shard, mask from eaten where version=?", version)
    }
    found = np.zeros(len(stock), bool)
    for shard, start in zip(stock.shards, stock.starts, strict=False):
        if shard.key in masks:
            bits = np.unpackbits(np.frombuffer(zlib.decompress(masks[shard.key]), np.uint8))[: shard.rows]
            found[start : start + shard.rows] = bits.astype(bool)
    return found
