"""Whose each row is: of a settled answer all who voted for it, else who consented, else the source itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bapsim.core.recipe import Recipe
from bapsim.gather.votes import RATERS, VOTES
from bapsim.store.lake import read_batch
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.pay_work import people_source
from bapsim.wheel.stock import Stock


class Player(NamedTuple):
    """Whoever new rows came from: a person, or, with person "", a whole source."""

    person: str
    source: str


def persons_of_consents(ledger: Ledger) -> dict[str, str]:
    """Whose each consent is, by what was written down of work and of terms."""
    rows = ledger.rows("select distinct consent, person from worked")
    rows += ledger.rows("select consent, person from permit")
    return {str(row["consent"]): str(row["person"]) for row in rows}


def makers(project: Project, recipe: Recipe, stock: Stock, rows: np.ndarray) -> dict[int, tuple[Player, ...]]:
    """Who each of these rows (bool[N]) came from: of an answer that several voted for, all who did."""
    source, persons = people_source(recipe), persons_of_consents(project.ledger)
    voted = _voters(project, stock, rows & stock.of_origins(lambda _, o: o.source == source))
    found = {}
    for row in np.flatnonzero(rows).tolist():
        origin = stock.origins[int(stock.origin[row])]
        names = voted.get(row) or [n for n in [persons.get(origin.consent or "")] if n is not None]
        found[row] = tuple(Player(n, origin.source) for n in names) or (Player("", origin.source),)
    return found


def _voters(project: Project, stock: Stock, rows: np.ndarray) -> dict[int, list[str]]:
    """By row, who said what it says."""
    found: dict[int, list[str]] = {}
    merged = stock.task.merged
    for shard, start, mine in zip(stock.shards, stock.starts, stock.split(rows), strict=False):
        path = project.wheel / shard.path
        if mine.any() and {RATERS, VOTES} <= set(pq.read_schema(path).names):
            batch = read_batch(path, [RATERS, VOTES])
            columns: list[Any] = [batch.column(name).to_pylist() for name in (RATERS, VOTES)]
            for at in np.flatnonzero(mine).tolist():
                names, said = columns[0][at] or (), columns[1][at] or ()
                label, row = stock.labels[start + at], int(start + at)
                found[row] = [n for n, s in zip(names, said, strict=True) if merged.get(s, s) == label]
    return found
