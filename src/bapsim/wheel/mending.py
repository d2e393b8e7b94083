"""Mend: what a check refuses and can make sound is gathered as records of a source named like the check.

Sound rows are derived from those that are refused, which stay. A check looks once at every shard of a source
and of the checks before it in the recipe; under another recipe or version of the check, once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bapsim.core.arrow import booleans, take
from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Only, Recipe
from bapsim.core.records import Draft, Origin, Records, Rows, Verdicts
from bapsim.core.turn import Turn
from bapsim.store.lake import read_batch, with_columns
from bapsim.store.project import Project
from bapsim.wheel.gathering import gather_one
from bapsim.wheel.settling import settle
from bapsim.wheel.state import unseen
from bapsim.wheel.stock import ASKED, Stock, examined, load_stock


@runtime_checkable
class Mending(Protocol):
    """A check that can also make sound rows of those that it refuses."""

    def __call__(self, records: Records, turn: Turn, /) -> Verdicts: ...

    def mend(self, records: Records, origin: Origin, turn: Turn, /) -> Draft:
        """Rows derived, one each, from those of `records` (all of this origin) that it refuses; or none."""


@dataclass(frozen=True, kw_only=True)
class Mender:
    """A mending check of the recipe: its name, and the only source that it speaks about, if it is one."""

    name: str
    check: Mending
    only: str | None


def menders(recipe: Recipe) -> list[Mender]:
    """The checks that mend, in the recipe's order; raises RecipeError where one is named like a source."""
    found = []
    for name, check in recipe.checks.items():
        only, inner = (check.source, check.check) if isinstance(check, Only) else (None, check)
        if isinstance(inner, Mending):
            if name in recipe.sources:
                raise RecipeError("check_named_like_source", name=name)
            found.append(Mender(name=name, check=inner, only=only))
    return found


def mend(project: Project, recipe: Recipe, turn: Turn) -> dict[str, int]:
    """Gather what every mending check makes of the rows that it has not looked at; new records by check."""
    found, wanted = {}, menders(recipe)
    for i, one in enumerate(wanted):
        found[one.name] = _mend_one(project, recipe, turn, one, {later.name for later in wanted[i:]})
    return found


def _mend_one(project: Project, recipe: Recipe, turn: Turn, one: Mender, not_of: set[str]) -> int:
    ledger, stage = project.ledger, f"mend:{one.name}"
    version = fingerprint(one.check, one.only, recipe.task)
    done = [json.loads(r["output"]) for r in ledger.rows("select output from stage where name=?", stage)]
    seen = {path for said in done if said["check"] == version for path in said["shards"]}
    among = "select path from shard where source in (select value from json_each(?)) order by rowid"
    sources = {r["source"] for r in ledger.rows("select distinct source from shard")} - not_of
    if one.only is not None:
        sources &= {one.only}
    paths = [r["path"] for r in ledger.rows(among, json.dumps(sorted(sources))) if r["path"] not in seen]
    if paths:
        output = {"check": version, "shards": paths}
        made = partial(_made, project, one, set(paths), any(said["check"] != version for said in done))
        gather_one(project, one.name, made, turn, f"{stage}:{fingerprint(output)}", stage, output)
    rows = ledger.rows("select output from stage where name=? and turn=?", stage, turn.n)
    return sum(int(json.loads(r["output"])["fresh"]) for r in rows)


def _made(project: Project, one: Mender, paths: set[str], again: bool, turn: Turn) -> Iterator[Draft]:
    """What a check makes of the rows of these shards, but for those that stand no more or were examined.

    again: another version of the check has looked before; where this one keeps what that one made, nothing
    is made anew.
    """
    stock = load_stock(project, turn.task)
    turn = replace(turn, origins=stock.origins)
    out = settle(stock, np.zeros(len(stock), bool)).superseded | stock.refused_deliveries
    out |= unseen(stock, stock.rows_with(examined(project.ledger, before=turn.n + 1)))
    if again:
        out |= stock.rows_with(_sound(project, stock, one, turn))
    answered = dict(stock.parents)
    for shard, first, barred in zip(stock.shards, stock.starts, stock.split(out), strict=False):
        if shard.path not in paths:
            continue
        at = int(first) + np.flatnonzero(~barred)
        whole = read_batch(project.wheel / shard.path)
        own = whole.schema.names
        records = take(with_columns(whole, turn.task.columns), ~barred)
        for number in np.unique(stock.origin[at]).tolist():
            mine = Records(take(records, stock.origin[at] == number))
            draft = one.check.mend(mine, stock.origins[number], turn)
            if draft.parents is None:
                raise RecipeError("mended_not_derived", name=one.name)
            if len(draft.rows):
                mums: list[Any] = draft.parents.ids.to_pylist()
                rows_of = [stock.place[ids[0]] for ids in mums]
                keys = [_subject(project.secret, stock, row, answered) for row in rows_of]
                rows = draft.rows.select([name for name in draft.rows.schema.names if name in own])
                yield replace(draft, rows=Rows(rows), keys=keys)


def _subject(secret: bytes, stock: Stock, row: int, answered: Mapping[int, Sequence[int]]) -> str:
    """The key of what is made of a row: rows that speak about one thing have one, and replace each other.

    A hash, for the source's own key may be a person's name.
    """
    number = int(stock.origin[row])
    said: list[Any] = ["row", stock.ids[row].tobytes().hex()]
    if stock.origins[number].method.startswith(ASKED) and answered.get(row):
        said = ["answer", *(stock.ids[mum].tobytes().hex() for mum in answered[row])]
    elif number in stock.keyed:
        said = ["key", stock.origins[number].source, stock.records.column("_key")[row].as_py()]
        said += [stock.texts[row]]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16, key=secret).hexdigest()


def _sound(project: Project, stock: Stock, one: Mender, turn: Turn) -> set[bytes]:
    """The ids of rows of which the check made, in an earlier version, what it keeps."""
    sound: set[bytes] = set()
    for shard, first in zip(stock.shards, stock.starts, strict=False):
        if shard.rows and stock.origins[int(stock.origin[int(first)])].source == one.name:
            records = with_columns(read_batch(project.wheel / shard.path), turn.task.columns)
            keep = booleans(one.check(Records(records), turn).column("keep"), True)
            for mums in take(records, keep).column("_parents").to_pylist():
                sound.update(mums or ())
    return sound
