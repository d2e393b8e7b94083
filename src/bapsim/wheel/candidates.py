"""Train: candidates with one out-of-fold table each, saved under the fingerprint of what they ate."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.exam import folds
from bapsim.core.arrow import numbers, positions
from bapsim.core.errors import NotEnough
from bapsim.core.fingerprint import digest, fingerprint
from bapsim.core.recipe import CrossFit, Mixture, Model, Recipe, Way
from bapsim.core.turn import named_seed
from bapsim.store import artifacts
from bapsim.store.lake import read_batch
from bapsim.wheel.examining import frame
from bapsim.wheel.held_out import OOF, WEIGHT, held_out, write_oof
from bapsim.wheel.stock import Scene, Stock
from bapsim.wheel.weighing import (
    Looks,
    by_source,
    coded,
    counted,
    doubt,
    inputs_alike,
    learn,
    looks_of,
    weighs,
)

NAME = "main"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trained model: version, what it ate (bool[N]), its own folder; people_only: nothing pending in it."""

    version: str
    rows: np.ndarray
    people_only: bool
    model: Model
    folder: Path
    fingerprint: str
    fits: int
    way: Way | None = None  # how machine-made rows joined people's

    @property
    def oof(self) -> Path:
        return self.folder / "judged" / OOF


def mixture_of(stock: Stock, rows: np.ndarray, way: Way | None = None) -> tuple[Mixture, np.ndarray]:
    """The chosen rows in the order of their ids, so that a model is a function of a set; and that order.

    way: of machine-made rows among them: they may come first, and count for less.
    """
    at = np.flatnonzero(rows)
    at = at[np.argsort(stock.ids[at], kind="stable")]
    weight = None
    if way is not None and way.first:
        at = at[np.argsort(~stock.by_machine[at], kind="stable")]
    if way is not None and way.weight != 1:
        weight = np.where(stock.by_machine[at], way.weight, 1).astype(np.float32)
    return Mixture(task=stock.task, records=stock.part(at), weight=weight), at


def data_fingerprint(stock: Stock, rows: np.ndarray) -> str:
    """The identity of a set of records."""
    return digest(np.sort(stock.ids[rows]).tobytes())


def candidate(scene: Scene, rows: np.ndarray, way: Way | None = None) -> Candidate:
    """Train on these rows (bool[N]), or find the model that already ate them under the same recipe.

    way: of machine-made rows among them. The training seed derives from the data: running again is not a new
    draw at the gate.
    """
    project, recipe, stock = scene.project, scene.recipe, scene.stock
    people_only = not bool(stock.waiting[rows].any())
    data = data_fingerprint(stock, rows)
    task = stock.task
    parts = (data, recipe.train, recipe.seed, recipe.folds, list(task.columns), task.answer, weighs(recipe))
    more: tuple[object, ...] = (task.merged, recipe.weights) if task.merged or recipe.weights else ()
    if way is not None and (way.first or way.weight != 1):
        more = (*more, way.first, way.weight)
    name = fingerprint(*parts, *more)
    ledger = project.ledger
    row = ledger.row("select * from model where fingerprint=? and judged is not null", name)
    if row is None:
        folder = project.models / NAME / _free_version(scene, rows)
        row = _train(scene, rows, folder, {"data": data, "fingerprint": name}, way)
    folder = project.models / NAME / str(row["version"])
    return Candidate(
        version=str(row["version"]),
        rows=rows,
        people_only=people_only,
        model=artifacts.load(folder / "judged", project.root),
        folder=folder,
        fingerprint=name,
        fits=int(json.loads(row["details"])["fits"]),
        way=way,
    )


def _free_version(scene: Scene, rows: np.ndarray) -> str:
    """A name that no model has: released machine-made rows are eaten by both candidates of a turn, and a turn
    that goes on under another recipe trains again.
    """
    machine, pending = scene.stock.by_machine, scene.stock.waiting
    word = "people" if not machine[rows].any() else "pending" if pending[rows].any() else "released"
    taken = {r["version"] for r in scene.project.ledger.rows("select version from model")}
    first = f"t{scene.turn.n:03d}-{word}"
    names = (first if n == 1 else f"{first}-{n}" for n in count(1))
    return next(name for name in names if name not in taken)


def fit(
    recipe: Recipe,
    stock: Stock,
    groups: np.ndarray,
    rows: np.ndarray,
    looks: Looks | None,
    way: Way | None = None,
) -> tuple[Mixture, CrossFit, np.ndarray]:
    """The rows (bool[N]) as a mixture, its fit, and how much each counted; groups: int64[N]; way: of
    machine-made rows among them.

    looks: None = all labels count alike. Folds and seed derive from the rows.
    """
    mixture, at = mixture_of(stock, rows, way)
    seed = named_seed("train", data_fingerprint(stock, rows), recipe.seed)
    rng = np.random.default_rng(named_seed("folds", seed))
    split = folds(frame(stock, at, groups), recipe.folds, rng)
    return mixture, *learn(recipe, stock, looks, mixture, at, split, seed % 2**31)


def _train(
    scene: Scene, rows: np.ndarray, folder: Path, identity: dict[str, str], way: Way | None
) -> dict[str, Any]:
    project, recipe, stock = scene.project, scene.recipe, scene.stock
    labels = stock.labels[rows].astype(str)
    if len(set(labels.tolist())) < 2:
        raise NotEnough("one_class", rows=len(labels), classes=", ".join(sorted(set(labels.tolist()))) or "-")
    mixture, fitted, weight = fit(recipe, stock, scene.groups, rows, looks_of(scene), way)

    def write(place: Path) -> None:
        fitted.model.save(place)
        write_oof(place, mixture.records, fitted, weight)

    sha = artifacts.save(folder / "judged", write)
    details = {"fits": fitted.fits, "rows": len(mixture)}
    with project.ledger.change("trained") as ledger:
        row = {"name": NAME, "turn": scene.turn.n, "state": "candidate", "judged": "judged"}
        row |= {"version": folder.name, "sha256": sha, "details": json.dumps(details), **identity}
        ledger.add("model", **row)
        for shard, mask in zip(stock.shards, stock.split(rows), strict=True):
            if mask.any():
                body = zlib.compress(np.packbits(mask).tobytes(), 6)
                ledger.add("eaten", version=folder.name, shard=shard.key, mask=body)
    return project.ledger.rows("select * from model where version=?", folder.name)[0]


def refit(scene: Scene, chosen: Candidate) -> str:
    """The same recipe on everything that people made, exam included: what serves. Returns its digest.

    The judged model is kept for the next comparison; its calibration goes along as the parent's.
    """
    recipe, stock = scene.recipe, scene.stock
    rows = chosen.rows | scene.exam
    mixture, at = mixture_of(stock, rows, chosen.way)
    mixture = replace(mixture, weight=_as_judged(scene, chosen, at))
    seed = named_seed("train", data_fingerprint(stock, rows), recipe.seed) % 2**31
    folder = chosen.folder / "served"
    if folder.exists():
        return artifacts.folder_digest(folder)
    return artifacts.save(folder, recipe.train(chosen.model, mixture, seed).save)


def _as_judged(scene: Scene, chosen: Candidate, at: np.ndarray) -> np.ndarray | None:
    """float32[n]: how much stock rows `at` count where the judged model was weighed: as they did for it, and
    exam items, which it never saw, by what it says of their labels. None where it was not.
    """
    stock, table = scene.stock, read_batch(chosen.oof)
    if WEIGHT not in table.schema.names:  # of a wheel that is older than weights
        return None
    told = numbers(table.column(WEIGHT)).astype(np.float32)
    if (told == 1).all():
        return None
    given = by_source(scene.recipe, stock, at)
    said = held_out(chosen.model, chosen.oof, stock, at)
    if said.probs is None or not weighs(scene.recipe):
        return given if (given != 1).any() else None
    labels = coded(said.classes, stock.labels[at])
    doubts = doubt(stock, at, said.probs, labels, inputs_alike(stock, at))
    found: np.ndarray = given * counted(stock, looks_of(scene), at, doubts)
    place = positions(stock.records.column("_id").take(pa.array(at)), table.column("_id"))
    return np.where(place >= 0, told[np.maximum(place, 0)], found)
