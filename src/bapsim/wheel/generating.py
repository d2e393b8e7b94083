"""Train what sources ask for new rows: on what people made, before anything is gathered.

A generator never saw an exam item, a row of which nothing new may be made, or a row that a machine made: what
it draws is one machine hand deep, whatever the turn. It is trained again only when these rows change.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.errors import NotEnough, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Model, Recipe, Trainer
from bapsim.core.records import Answers, Rows
from bapsim.core.turn import Turn, named_seed
from bapsim.store import artifacts
from bapsim.store.project import Project
from bapsim.wheel.candidates import NAME, data_fingerprint, mixture_of
from bapsim.wheel.permits import barred
from bapsim.wheel.pools import apart
from bapsim.wheel.quarantine import quarantined
from bapsim.wheel.state import refused_before, unseen
from bapsim.wheel.stock import Stock, examined, load_stock


@dataclass(frozen=True, kw_only=True)
class Generator:
    """A trained generator with its version, which the origins of what it draws name as their batch."""

    model: Model
    version: str

    @property
    def classes(self) -> tuple[str, ...]:
        return self.model.classes

    def __call__(self, rows: Rows, /) -> Answers:
        return self.model(rows)

    def save(self, folder: Path) -> None:
        self.model.save(folder)


TAKEN = (NAME, "champion", "current")
Say = Callable[..., None]


def with_generators(project: Project, recipe: Recipe, turn: Turn, say: Say) -> Turn:
    """The turn with the recipe's generators among its models; one that has too little to learn from waits."""
    if not recipe.generators:
        return turn
    if clash := [name for name in recipe.generators if name in TAKEN or not name.isidentifier()]:
        raise RecipeError("generator_name", name=clash[0], taken=", ".join(TAKEN))
    stock = load_stock(project, recipe.task, before=turn.n)
    judging = development(recipe, stock)
    rows = learnable(project, turn, stock) & ~judging
    hidden = unseen(stock, stock.rows_with(examined(project.ledger, turn.n))) | (judging & stock.by_people)
    found: dict[str, Model] = {}
    for name, train in recipe.generators.items():
        say("generator", name=name, rows=int(rows.sum()))
        try:
            learns = apart(train, stock, hidden, say)
            found[name] = _generator(project, recipe, turn, stock, rows, (name, learns))
        except NotEnough as error:
            say("generator_waits", name=name, why=str(error))
    return replace(turn, models={**turn.models, **found})


def development(recipe: Recipe, stock: Stock) -> np.ndarray:
    """bool[N]: rows that no generator learns from, a fifth of all: on these its rows are judged. All rows
    where the recipe has none. Ids are keyed hashes: whose row it is, or what it says, has no say.
    """
    if not recipe.generators:
        return np.ones(len(stock), bool)
    last = stock.ids.view(np.uint8).reshape(len(stock), 16)[:, -1]
    return np.asarray(last % 5 == 0)


def learnable(project: Project, turn: Turn, stock: Stock) -> np.ndarray:
    """bool[N]: labelled rows by people that no verdict of the last turn refuses, and of which new ones
    may be made.
    """
    refused = [refused_before(project, stock, i, turn.n - 1) for i in range(len(stock.shards))]
    hidden = (
        stock.erased | stock.other_task | unseen(stock, stock.rows_with(examined(project.ledger, turn.n)))
    )
    free = ~barred(project.ledger, stock, date.fromisoformat(turn.day))
    kept = ~np.concatenate([*refused, np.zeros(0, bool)]) & ~quarantined(project.ledger, stock)
    return np.asarray(stock.labelled & stock.by_people & kept & ~hidden & free)


def _generator(
    project: Project, recipe: Recipe, turn: Turn, stock: Stock, rows: np.ndarray, named: tuple[str, Trainer]
) -> Model:
    """The generator of these rows: trained now, or the one that ate the same rows before."""
    name, train = named
    if not rows.any():
        raise NotEnough("nothing_to_train", records=len(stock))
    data = data_fingerprint(stock, rows)
    identity = fingerprint("generator", name, data, train, recipe.seed, list(stock.task.columns))
    row = project.ledger.row(
        "select version from generator where fingerprint=? and sha256 is not null", identity
    )
    version = f"{name}-t{turn.n:03d}" if row is None else str(row["version"])
    folder = project.models / name / version
    if row is None:
        mixture, _ = mixture_of(stock, rows)
        model = train(None, mixture, named_seed("generator", name, data, recipe.seed) % 2**31)
        sha = artifacts.save(folder, model.save)
        said = {"name": name, "turn": turn.n, "fingerprint": identity, "data": data, "state": "kept"}
        _enter(project, stock, rows, {"version": version, "sha256": sha, **said})
    return Generator(model=artifacts.load(folder, project.root), version=version)


def _enter(project: Project, stock: Stock, rows: np.ndarray, row: dict[str, Any]) -> None:
    """One transaction: the generator, and which rows it ate, so that a withdrawal finds it."""
    with project.ledger.change("generator") as ledger:
        old = ledger.row("select version from generator where version=?", row["version"])
        if old is not None:  # a turn that goes on under another recipe trains again
            ledger.erase("generator", {"version": row["version"]})
            for one in ledger.rows("select shard from eaten where version=?", row["version"]):
                ledger.erase("eaten", {"version": row["version"], "shard": one["shard"]})
        ledger.add("generator", **row, details=json.dumps({"rows": int(rows.sum())}))
        for shard, mask in zip(stock.shards, stock.split(rows), strict=True):
            if mask.any():
                body = zlib.compress(np.packbits(mask).tobytes(), 6)
                ledger.add("eaten", version=row["version"], shard=shard.key, mask=body)
