"""What a person looks for by hand: records by key or words, refused rows with their reasons, unread lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from bapsim.core.arrow import booleans, strings
from bapsim.core.recipe import Recipe
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.quarantine import NAME, REASON, quarantined
from bapsim.wheel.refining import stored_verdicts
from bapsim.wheel.settling import SUPERSEDED
from bapsim.wheel.stock import REFUSED, STATES, Stock, load_stock

MOST = 50  # hits that are told: a longer list is no answer
A_RECORD = re.compile(r"q?[0-9a-f]{8,32}")


def is_record(said: str) -> bool:
    """Whether this can be the beginning of a record's id, as it is told or as a question sheet has it."""
    return A_RECORD.fullmatch(said.strip().lower()) is not None


def found(project: Project, recipe: Recipe, said: str) -> list[dict[str, Any]]:
    """Records whose id begins so, or else whose key is this, or else whose input contains it, whatever its
    case; `MOST` of them.

    Each: id, stands, input (the columns joined), target.
    """
    stock, state = _standing(project, recipe)
    digits = said.strip().lower().removeprefix("q")
    if is_record(said):
        rows = [n for i, n in stock.place.items() if i.hex().startswith(digits)]
        if rows:
            return [_told(stock, state, n) for n in rows[:MOST]]
    keys = strings(stock.records.column("_key"))
    keyed = np.isin(stock.origin, list(stock.keyed))
    rows = [i for i in np.flatnonzero(keyed).tolist() if keys[i] == said]
    words = said.casefold()
    rows = rows or [i for i, text in enumerate(stock.told) if words in text.casefold()]
    return [_told(stock, state, i) for i in rows[:MOST]]


def refused(project: Project, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Every refused row with the reason that comes first, the check that gave it, and what was measured."""
    stock, state = _standing(project, recipe)
    bad = quarantined(project.ledger, stock)
    for i, shard in enumerate(stock.shards):
        start = int(stock.starts[i])
        rows = np.flatnonzero(state[start : start + shard.rows] == REFUSED)
        named = stored_verdicts(project, shard)
        no = {n: ~booleans(said.column("keep"), True) for n, said in named.items() if n != SUPERSEDED}
        for row in rows.tolist():
            check = next((name for name, mask in no.items() if mask[row]), None)
            about = {"reason": "turn_refused", "value": None, "limit": None}
            if check is None and bad[start + row]:  # since the last turn judged
                check, about["reason"] = NAME, REASON
            elif check is not None:
                about = named[check].slice(row, 1).select(list(about)).to_pylist()[0]
            yield {**_told(stock, state, start + row), "check": check, **about}


def unread(project: Project) -> list[dict[str, Any]]:
    """Every line that is no record: source, file, line, reason, detail, and the turn that met it."""
    query = "select source, file, line, reason, detail, turn from unread order by turn, file, line"
    return project.ledger.rows(query)


def _standing(project: Project, recipe: Recipe) -> tuple[Stock, np.ndarray]:
    stock = load_stock(project, recipe.task)
    return stock, stands(project, stock)


def _told(stock: Stock, state: np.ndarray, row: int) -> dict[str, Any]:
    return {
        "id": stock.ids[row].tobytes().hex(),
        "stands": STATES[int(state[row])],
        "input": stock.told[row],
        "target": stock.labels[row],
    }
