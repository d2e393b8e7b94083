"""How far a recipe's verifiers may be believed: their audits on people's rows, in each turn that needs them.

A check that lets wrong answers in more often than 2 %, as far as that can be told, may refuse and rank; its
word lets nothing in. Surveys that vouch measure themselves (refine.agrees, refine.agreement).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, take
from bapsim.core.recipe import Recipe
from bapsim.core.records import Records
from bapsim.core.turn import Turn
from bapsim.refine.mutation import Audit, admits
from bapsim.store.lake import read_batch, with_columns
from bapsim.store.project import Project
from bapsim.wheel.admitting import is_verifier
from bapsim.wheel.reading import as_read
from bapsim.wheel.stock import Stock

ROWS = 2000  # of people's, drawn by seed: audits draw from these


def audits(
    project: Project, recipe: Recipe, turn: Turn, stock: Stock, shown: np.ndarray
) -> Mapping[str, Audit]:
    """The audits of the recipe's checks that vouch and can be audited, by name.

    shown: bool[N], rows that may be looked at (no exam items) and that nothing refused.
    """
    inner = {name: getattr(one, "check", one) for name, one in recipe.checks.items() if is_verifier(one)}
    wanted: dict[str, Any] = {name: one for name, one in inner.items() if hasattr(one, "mutated")}
    if not wanted:
        return {}
    rows = np.flatnonzero(shown & stock.labelled & ~stock.by_machine)
    if len(rows) > ROWS:
        rows = np.sort(turn.rng("audits").choice(rows, ROWS, replace=False))
    people = _records(project, recipe, stock, rows)
    return {name: one.mutated(people, turn) for name, one in wanted.items()}


def disbelieved(found: Mapping[str, Audit]) -> frozenset[str]:
    """The names of those whose word lets nothing in."""
    return frozenset(name for name, audit in found.items() if not admits(audit))


def as_values(found: Mapping[str, Audit]) -> dict[str, dict[str, Any]]:
    """Audits as plain values, for the turn's summary."""
    return {
        name: {
            "admits": admits(one),
            "answers": one.answers,
            "fooled": one.fooled,
            "upper": one.upper,
            "false_refuse": None if np.isnan(one.false_refuse) else one.false_refuse,
            "kinds": {kind.name: [kind.taken, kind.tried] for kind in one.kinds if kind.tried},
        }
        for name, one in found.items()
    }


def _records(project: Project, recipe: Recipe, stock: Stock, rows: np.ndarray) -> Records:
    """These rows of the stock with all their columns, those of one shard absent in another as null."""
    parts: list[pa.RecordBatch] = []
    for shard, (start, end) in zip(stock.shards, pairwise(stock.starts.tolist()), strict=True):
        mine = rows[(rows >= start) & (rows < end)] - start
        if len(mine):
            whole = with_columns(read_batch(project.wheel / shard.path), recipe.task.columns)
            parts.append(as_read(Records(take(whole, mine)), recipe.task, stock.records.schema))
    if not parts:
        return Records(take(stock.records, rows))
    names = list(dict.fromkeys(name for part in parts for name in part.schema.names))
    kinds = {field.name: field.type for part in reversed(parts) for field in part.schema}
    fit = [part for part in parts if all(part.schema.field(n).type == kinds[n] for n in part.schema.names)]
    return Records(concat([_widened(part, names, kinds) for part in fit]))


def _widened(part: pa.RecordBatch, names: list[str], kinds: Mapping[str, Any]) -> pa.RecordBatch:
    have = set(part.schema.names)
    columns = [part.column(n) if n in have else pa.nulls(len(part), kinds[n]) for n in names]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([(n, kinds[n]) for n in names]))
