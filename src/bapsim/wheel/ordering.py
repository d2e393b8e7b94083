"""What a project lacks after its last turn, as an order: rare and weak classes, clusters of errors, groups.

Everything comes from people's rows that are trained on and from out-of-fold answers of the last proven model;
never from the exam. Rules and sizes: compose.ordering.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bapsim.compose.novel import proposals
from bapsim.compose.ordering import Seen, behind, capped, classes, clusters
from bapsim.core.arrow import strings
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.turn import Turn
from bapsim.store.order_file import Line, Order
from bapsim.store.project import Project
from bapsim.text.pii import PEOPLE, scrub
from bapsim.wheel.audit import stands
from bapsim.wheel.gapping import group_values
from bapsim.wheel.state import state
from bapsim.wheel.stock import TRAINED, Stock, load_stock

MOST = 6  # clusters


@dataclass(frozen=True, kw_only=True, eq=False)
class _People:
    """People's labelled rows that are trained on: their places `at` in the stock (int64[n]), ids, labels, and
    whether what was said of them out of fold was right (None: nothing was said).
    """

    stock: Stock
    at: np.ndarray
    ids: list[bytes]
    labels: list[str]
    right: list[bool | None]

    def seen(self, values: Sequence[str | None]) -> dict[str, Seen]:
        """Rows, answers and right ones by value."""
        rows = Counter(one for one in values if one is not None)
        known = [(one, ok) for one, ok in zip(values, self.right, strict=True) if ok is not None]
        answered, right = Counter(one for one, _ in known), Counter(one for one, ok in known if ok)
        return {one: Seen(rows=n, answered=answered[one], right=right[one]) for one, n in rows.items()}


def order(project: Project, recipe: Recipe) -> Order:
    """The order of what lacks now, empty where nothing does.

    Raises InputError before a turn has ended, while one is open, and for targets that are no single class.
    """
    ledger, task = project.ledger, recipe.task
    if task.answer != "class":
        raise InputError("order_answer", target=task.target)
    begun = ledger.value("select n from turn where state='open'")
    if begun is not None:
        raise InputError("turn_is_open", turn=begun)
    last = ledger.row("select n, decision from turn where state='done' order by n desc limit 1")
    if last is None:
        raise InputError("no_turn_ended")
    turn, stock = state(project, recipe, int(last["n"]) + 1), load_stock(project, task)
    mine = (stands(project, stock) == TRAINED) & stock.labelled & stock.by_people
    people = _people(stock, np.flatnonzero(mine), _out_of_fold(turn))
    told: list[dict[str, Any]] = json.loads(last["decision"]).get("gaps", [])
    lines = [
        *classes(people.seen(people.labels)),
        *clusters(list(_alike(people))),
        *_groups(recipe, turn, people, told),
    ]
    return Order(
        project=project.root.resolve().name,
        turn=int(last["n"]),
        target=task.target,
        lines=tuple(capped(lines, len(people.ids))),
    )


def _people(stock: Stock, at: np.ndarray, said: Mapping[bytes, str | None]) -> _People:
    ids = [one.tobytes() for one in stock.ids[at]]
    labels = [str(one) for one in stock.labels[at]]
    told = zip(ids, labels, strict=True)
    right = [None if said.get(one) is None else said[one] == label for one, label in told]
    return _People(stock=stock, at=at, ids=ids, labels=labels, right=right)


def _out_of_fold(turn: Turn) -> dict[bytes, str | None]:
    if turn.oof is None or "prediction" not in turn.oof.schema.names:
        return {}
    ids: list[Any] = turn.oof.column("_id").to_pylist()
    return dict(zip(ids, strings(turn.oof.column("prediction")), strict=True))


def _alike(people: _People) -> Iterator[tuple[str, list[bytes]]]:
    """Errors that say something alike, the most telling first, under words that show nothing personal."""
    task = people.stock.task
    if task.kind != "text":
        return
    wrong = [i for i, ok in enumerate(people.right) if ok is False]
    texts = [people.stock.texts[people.at[i]] for i in wrong]
    taken: set[str] = set()
    for one in proposals(texts, np.ones(len(texts)), [], MOST):
        name = str(scrub([one.name.replace("_", " ")], PEOPLE)[0][0])
        if name not in taken | {"?"}:  # nothing that they have in common can be said
            taken.add(name)
            yield name, [people.ids[wrong[i]] for i in one.rows.tolist()]


def _groups(recipe: Recipe, turn: Turn, people: _People, told: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Of each declared group whose gap is surely there, the value for which the model is worst."""
    for one in told:
        if one["name"] not in recipe.groups or one["worst"] is None or not (one["low"] or 0) > 0:
            continue
        values = group_values(recipe, people.stock, turn, one["name"], people.at)
        seen, worst = people.seen(values), one["worst"]
        best = seen.get(one["best"], Seen(rows=0)).rows
        ids = [one_id for one_id, value in zip(people.ids, values, strict=True) if value == worst]
        known = [ok for ok in people.right if ok is not None]
        others = sum(known) / len(known) if known else float("nan")
        line = behind(one["name"], worst, seen.get(worst, Seen(rows=0)), best, others, ids)
        if line is not None:
            yield line
