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
from itertools import pairwise
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
from bapsim.wheel.refining import leaks, spread
from bapsim.wheel.settling import settle
from bapsim.wheel.state import unseen
from bapsim.wheel.stock import ASKED, Stock, examined, load_stock


@runtime_checkable
class Mending(Protocol):
    """A check that can also make sound rows of those that it refuses."""

    def __call__(self, records: Records, turn: Turn, /) -> Verdicts: ...

    def mend(self, records: Records, origin: Origin, turn: Turn, /) -> Draft:
        """Rows derived, one each, from `records`, which are all of this origin and all refused; or fewer."""


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
    """Gather what every mending check makes of the rows that it has not looked at; new records by check.

    What a check made that is in the recipe no more, or has another name now, is as if each had made it.
    """
    found, wanted = {}, menders(recipe)
    stages = project.ledger.rows("select distinct name from stage where name like 'mend:%'")
    former = {r["name"].removeprefix("mend:") for r in stages} - {one.name for one in wanted}
    for i, one in enumerate(wanted):
        later = {other.name for other in wanted[i + 1 :]}
        found[one.name] = _mend_one(project, recipe, turn, one, (former | {one.name}, later))
    return found


def _mend_one(
    project: Project, recipe: Recipe, turn: Turn, one: Mender, not_of: tuple[set[str], set[str]]
) -> int:
    """not_of: sources that hold what this check made, and what later ones did."""
    own, later = not_of
    ledger, stage = project.ledger, f"mend:{one.name}"
    version = fingerprint(one.check, one.only, recipe.task)
    done = [json.loads(r["output"]) for r in ledger.rows("select output from stage where name=?", stage)]
    seen = {path for said in done if said["check"] == version for path in said["shards"]}
    sources = {r["path"]: r["source"] for r in ledger.rows("select path, source from shard order by rowid")}
    paths = [
        path
        for path, source in sources.items()
        if path not in seen and source not in own | later and one.only in {None, source}
    ]
    if paths:
        output = {"check": version, "shards": paths}
        again = len(own) > 1 or any(said["check"] != version for said in done)
        made = partial(_made, project, recipe, one, frozenset(paths), frozenset(own if again else ()))
        gather_one(project, one.name, made, turn, f"{stage}:{fingerprint(output)}", stage, output)
    rows = ledger.rows("select output from stage where name=? and turn=?", stage, turn.n)
    return sum(int(json.loads(r["output"])["fresh"]) for r in rows)


def _made(
    project: Project, recipe: Recipe, one: Mender, paths: frozenset[str], own: frozenset[str], turn: Turn
) -> Iterator[Draft]:
    """What a check makes of the rows of these shards that it refuses: rows that stand, were not examined, and
    are neither kin nor copies of what was.

    own: sources with what was made before by another version; where the check keeps that, nothing is made
    anew.
    """
    stock = load_stock(project, recipe.task)
    turn = replace(turn, origins=stock.origins)
    exam = stock.rows_with(examined(project.ledger, before=turn.n + 1))
    shown = ~(unseen(stock, exam) | stock.refused_deliveries | _stands_no_more(stock))
    wanted = np.zeros(len(stock), bool)
    parts = [slice(int(a), int(b)) for a, b in pairwise(stock.starts)]
    for shard, part in zip(stock.shards, parts, strict=True):
        if shard.key in paths:
            body = with_columns(read_batch(project.wheel / shard.path), recipe.task.columns)
            said = one.check(Records(take(body, shown[part])), turn)
            wanted[part] = ~booleans(spread(said, shown[part], one.name).column("keep"), True)
    copies = leaks(stock, exam, wanted, stock.roots, recipe.exam.near)
    wanted &= booleans(copies.column("keep"), True)
    if own:
        wanted &= ~stock.rows_with(_sound(project, stock, one, own, turn))
    answered = dict(stock.parents)
    for shard, part in zip(stock.shards, parts, strict=True):
        whole = read_batch(project.wheel / shard.path) if wanted[part].any() else None
        if whole is None:
            continue
        columns, records = whole.schema.names, Records(with_columns(whole, recipe.task.columns))
        for number in np.unique(stock.origin[part][wanted[part]]).tolist():
            mine = np.flatnonzero(wanted[part] & (stock.origin[part] == number))
            draft = one.check.mend(Records(take(records, mine)), stock.origins[number], turn)
            if draft.parents is None:
                raise RecipeError("mended_not_derived", name=one.name)
            mums: list[Any] = draft.parents.ids.to_pylist()
            keys = [_subject(project.secret, stock, stock.place[ids[0]], answered) for ids in mums]
            rows = draft.rows.select([name for name in draft.rows.schema.names if name in columns])
            yield replace(draft, rows=Rows(rows), keys=keys)


def _stands_no_more(stock: Stock) -> np.ndarray:
    """bool[N]: rows that were answered or replaced, whatever checks say of the rows that did so."""
    return settle(stock, np.zeros(len(stock), bool)).superseded


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


def _sound(project: Project, stock: Stock, one: Mender, own: frozenset[str], turn: Turn) -> set[bytes]:
    """The ids of rows of which the check, in an earlier version, made what it keeps."""
    sound: set[bytes] = set()
    for shard, first in zip(stock.shards, stock.starts, strict=False):
        if shard.rows and stock.origins[int(stock.origin[int(first)])].source in own:
            records = with_columns(read_batch(project.wheel / shard.path), turn.task.columns)
            keep = booleans(one.check(Records(records), turn).column("keep"), True)
            for mums in take(records, keep).column("_parents").to_pylist():
                sound.update(mums or ())
    return sound
