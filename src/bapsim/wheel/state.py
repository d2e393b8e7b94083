"""Where a wheel stands: its open turn, what sources may see, the last proven model and what serves."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Model, Recipe
from bapsim.core.records import Answers, Task
from bapsim.core.turn import Turn
from bapsim.store import artifacts
from bapsim.store.lake import View, by_folder, read_verdicts, verdict_path
from bapsim.store.ledger import now
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import Project
from bapsim.wheel.candidates import NAME
from bapsim.wheel.column_types import declared_types, known_types
from bapsim.wheel.held_out import OOF, table_of
from bapsim.wheel.judging import Opponent
from bapsim.wheel.merging import merging, merging_opponent
from bapsim.wheel.refining import refused_by, superseded_by
from bapsim.wheel.snapshot import note_taken, snapshot_of, take_snapshot
from bapsim.wheel.stock import Stock, examined, load_stock, origin_of


def begin(project: Project, recipe: Recipe) -> Turn:
    """Open turn n with a snapshot of the inbox, or find the one that is open."""
    ledger, name = project.ledger, fingerprint(recipe)
    n = ledger.value("select n from turn where state='open'")
    if n is None:
        n = int(ledger.value("select coalesce(max(n), 0) from turn")) + 1
        at = now()  # what was written before that is in the snapshot, whole
        sizes = take_snapshot(project, n)
        with ledger.change("turn begun"):
            ledger.add("turn", n=n, state="open", recipe=name, started=at, pid=os.getpid())
            note_taken(ledger, n, sizes)
    elif ledger.value("select recipe from turn where n=?", n) != name:
        with ledger.change("turn goes on under another recipe"):
            ledger.amend("turn", {"n": n}, recipe=name)
    return state(project, recipe, int(n))


def stop(project: Project) -> None:
    """End the open turn without a decision, after an error that a person can mend: the next one looks anew.

    Left open it would go on with its old snapshot, and whoever adds what was missing would meet the same
    error for ever. What was gathered stays.
    """
    n = project.ledger.value("select n from turn where state='open'")
    if n is not None:
        with project.ledger.change("turn stopped") as ledger:
            ledger.amend("turn", {"n": n}, state="stopped", ended=now())


def state(project: Project, recipe: Recipe, n: int) -> Turn:
    """What sources, checks and surveys may see: never the exam, nor the questions that became exam items."""
    ledger = project.ledger
    champion, current = the_champion(project, recipe.task), current_model(project)
    models: dict[str, Any] = {"champion": champion.respond} if champion is not None else {}
    if current is not None:  # the judged one: what ate the exam must not choose questions or make rows
        folder = project.models / NAME / current[0] / "judged"
        place = folder if folder.is_dir() else folder.parent / "served"
        models["current"] = merging(artifacts.load(place, project.root), recipe.task)
    oof = Answers(table_of(champion.oof)) if champion is not None and champion.oof is not None else None
    asked = {
        r["id"]: r["draw"] for r in ledger.rows("select id, draw from question where state<>'withdrawn'")
    }
    origins = {r["n"]: origin_of(r) for r in ledger.rows("select * from origin where turn < ?", n)}
    return Turn(
        n=n,
        seed=recipe.seed,
        task=recipe.task,
        models=models,
        data=views(project, recipe, n),
        oof=oof,
        inbox=snapshot_of(project, n),
        origins=origins,
        asked=asked,
        types=known_types(ledger, recipe.task) | declared_types(recipe),
        tape=MachineTape(project.wheel / FILE),
        day=str(ledger.value("select started from turn where n=?", n) or now())[: len("2026-01-01")],
    )


def views(project: Project, recipe: Recipe, n: int) -> dict[str, View]:
    """Every table of the task as the last turn left it, without exam items; refused rows are marked by its
    verdicts.
    """
    if not project.shards(before=n):
        return {}
    stock = load_stock(project, recipe.task, before=n)
    hidden = stock.split(stock.erased | unseen(stock, stock.rows_with(examined(project.ledger, before=n))))
    found: dict[str, View] = {}
    for folder, mine in by_folder(stock.shards).items():
        if stock.strange.issuperset(mine):
            continue
        found[folder] = View(
            name=folder,
            root=project.wheel,
            shards=tuple(stock.shards[i] for i in mine),
            hidden=tuple(hidden[i] for i in mine),
            refused=tuple(refused_before(project, stock, i, n - 1) for i in mine),
        )
    return found


def refused_before(project: Project, stock: Stock, i: int, turn: int) -> np.ndarray:
    """bool[rows]: what the last turn that judged a shard refused, answered and replaced rows included."""
    paths = (verdict_path(stock.shards[i].path, n) for n in range(turn, 0, -1))  # a stopped turn wrote none
    path = next((one for one in paths if (project.wheel / one).exists()), None)
    named = {} if path is None else read_verdicts(project.wheel, path)
    return np.asarray(refused_by(named, stock.shards[i].rows) | superseded_by(named, stock.shards[i].rows))


def unseen(stock: Stock, exam: np.ndarray) -> np.ndarray:
    """bool[N]: exam items and the questions that they answer."""
    mask = exam.copy()
    for row, mums in stock.parents:
        if exam[row]:
            mask[list(mums)] = True
    return mask


def the_champion(project: Project, task: Task | None = None) -> Opponent | None:
    """The last proven model; its labels are those of the task, if one is given."""
    query = "select * from model where state='proven' and judged is not null order by turn desc, rowid desc"
    return _opponent(project, project.ledger.row(query), task)


def the_newest(project: Project, before: int, task: Task | None = None) -> Opponent | None:
    """The last model of an earlier turn that can still answer, proven or not; people's data first."""
    query = "select * from model where judged is not null and turn < ? order by turn desc, rowid"
    return _opponent(project, project.ledger.row(query, before), task)


def _opponent(project: Project, row: dict[str, Any] | None, task: Task | None) -> Opponent | None:
    if row is None:
        return None
    folder = project.models / NAME / row["version"] / "judged"
    model = artifacts.load(folder, project.root)
    found = Opponent(name=row["version"], fingerprint=row["fingerprint"], respond=model, oof=folder / OOF)
    return merging_opponent(found, task)


def current_model(project: Project) -> tuple[str, Model] | None:
    """The version that serves, and its served model."""
    version = project.ledger.value("select version from used order by n desc limit 1")
    if version is None:
        return None
    return str(version), artifacts.load(project.models / NAME / str(version) / "served", project.root)
