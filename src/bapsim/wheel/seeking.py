"""Look for one class in the pool: its likeliest rows, as questions that a person confirms one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bapsim.compose.asking import marks_of, reserved, same
from bapsim.compose.likely import likely
from bapsim.compose.outcomes import outcomes
from bapsim.core.arrow import concat
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import rows_of
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.state import state
from bapsim.wheel.stock import POOL, load_stock

PIECE = 4096  # rows that are answered at once: pictures need not all fit into memory


class Found(NamedTuple):
    """The likeliest rows of one class. pool: rows looked through; ids of the found ones, in the order of
    their probability (float64[m]); expected, at_random: how many of them should be of the class, and of as
    many drawn at random.
    """

    pool: int
    ids: list[bytes]
    probability: np.ndarray
    expected: float
    at_random: float


def seek(project: Project, recipe: Recipe, label: str, count: int) -> dict[str, Any]:
    """Ask about the `count` pool rows that are most probably of a class; returns what is to be expected.

    Raises InputError for a class that the model does not know, for numbers, while a turn is open, and where
    no model is there.
    """
    ledger = project.ledger
    if ledger.value("select 1 from turn where state='open'") is not None:
        raise InputError("turn_is_open", turn=ledger.value("select n from turn where state='open'"))
    n = int(ledger.value("select coalesce(max(n), 0) from turn"))
    found = likeliest(project, recipe, label, count)
    hint = label if recipe.task.answer == "class" else None  # a set may have more in it
    with ledger.change("sought") as changed:
        for one in found.ids:
            if ledger.row("select 1 from question where id=?", one) is None:
                changed.add("question", id=one, draw="chosen", turn=n, state="open", suggested=hint)
            else:
                changed.amend("question", {"id": one}, state="open", turn=n, draw="chosen")
            if ledger.row("select 1 from asking where id=? and turn=?", one, n) is None:
                changed.add("asking", id=one, turn=n, why="sought")
    expected = {"expected": found.expected, "at_random": found.at_random}
    return {"pool": found.pool, "asked": found.ids, **expected}


def likeliest(project: Project, recipe: Recipe, label: str, count: int) -> Found:
    """The `count` pool rows that are most probably of a class; nothing is written.

    The rows that random questions are drawn from are left alone. Raises InputError as `seek` does.
    """
    n = int(project.ledger.value("select coalesce(max(n), 0) from turn"))
    turn = state(project, recipe, n + 1)
    model = turn.models.get("current")
    if model is None:
        raise InputError("nothing_serves")
    if recipe.task.answer == "number":
        raise InputError("like_number", target=recipe.task.target)
    classes = tuple(getattr(model, "classes", ()))
    if label not in classes:
        raise InputError("class_unknown", label=label, known=", ".join(classes[:40]) or "-")
    stock = load_stock(project, recipe.task)
    share = getattr(recipe.questions, "exam_share", 0.0)
    rows = np.flatnonzero((stands(project, stock) == POOL) & ~reserved(stock.records, share))
    if not len(rows):
        raise InputError("nothing_in_pool")
    said, marks = [], []
    for start in range(0, len(rows), PIECE):
        inputs = rows_of(stock.part(rows[start : start + PIECE]), recipe.task.inputs)
        said.append(model(inputs))
        marks.append(marks_of(inputs))
    probs = outcomes(concat(said), "class")  # of sets: of each label by itself
    found = likely(probs, classes.index(label), count, same(marks, getattr(recipe.questions, "near", 0.8)))
    return Found(
        pool=len(rows),
        ids=[stock.ids[rows[i]].tobytes() for i in found.rows],
        probability=found.probability,
        expected=found.expected,
        at_random=found.at_random,
    )
