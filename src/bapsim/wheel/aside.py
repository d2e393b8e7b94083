"""Deliveries that were set aside: a sample of their rows is asked, and their owner may take one back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bapsim.core.errors import InputError
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.stock import ASKED, Stock, origin_of

SAMPLE = 30  # rows that people are asked about: .98 of such samples tell 40 % wrong labels from 10 %

Origins = tuple[int, ...]


def set_aside(ledger: Ledger, states: Mapping[int, str] | None = None) -> dict[str, Origins]:
    """The deliveries that are not trained on because their labels look wrong, with their origins' numbers.

    states: of origins, as `Stock` has them within a turn; without them, as the last turn left them.
    """
    if states is None:
        states = {int(r["n"]): str(r["state"]) for r in ledger.rows("select n, state from origin")}
    refused = {n for n, state in states.items() if state == "refused"}
    found: dict[str, Origins] = {}
    for row in ledger.rows("select output from stage where name='suspects' order by turn, rowid"):
        for one in json.loads(row["output"]):
            if one["refused"] and refused.issuperset(one["origins"]):
                found[one["name"]] = tuple(one["origins"])
    return found


def to_check(
    stock: Stock, deliveries: Mapping[str, Collection[int]], done: np.ndarray
) -> dict[str, np.ndarray]:
    """The rows to ask people about, by delivery: int64, without those that are `done` (bool[N]).

    A sample at random, the same ever after: the labelled rows with the lowest ids, which are keyed hashes.
    Whoever answers is not shown the label, nor a model's; the answers do not refresh the exam.
    """
    found = {}
    for name, origins in deliveries.items():
        rows = np.flatnonzero(np.isin(stock.origin, list(origins)) & stock.labelled)
        sample = rows[np.argsort(stock.ids[rows], kind="stable")[:SAMPLE]]
        found[name] = sample[~done[sample]]
    return found


def agreed(stock: Stock, rows: np.ndarray, unfit: np.ndarray) -> dict[int, bool]:
    """Whether people's answers say what these labelled rows (bool[N]) say: by the position of the row.

    Of several answers about one row the last counts; unfit: bool[N], answers that are not taken.
    """
    asked = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))
    found = {}
    for answer, mums in stock.parents:
        if asked[answer] and stock.labelled[answer] and not unfit[answer]:
            for mum in mums:
                if rows[mum]:
                    found[mum] = bool(stock.labels[answer] == stock.labels[mum])
    return found


def take_back(project: Project, name: str, reason: str) -> dict[str, Any]:
    """Train on a delivery that was set aside after all, from the next turn on: its owner knows better.

    Raises InputError for a delivery that is not set aside, without a reason, and while a turn is open.
    """
    ledger = project.ledger
    aside = set_aside(ledger)
    if not reason.strip():
        raise InputError("reason_is_empty")
    begun = ledger.value("select n from turn where state='open'")
    if begun is not None:
        raise InputError("turn_is_open", turn=begun)
    if name not in aside:
        raise InputError("not_set_aside", name=name, known=", ".join(aside) or "-")
    turn = int(ledger.value("select coalesce(max(n), 0) from turn"))
    said = {"name": name, "reason": reason.strip(), "origins": aside[name]}
    with ledger.change("taken back") as changed:
        for n in aside[name]:
            made = origin_of(ledger.rows("select * from origin where n=?", n)[0])
            machine = "machine" in (made.input_maker, made.target_maker)
            changed.amend("origin", {"n": n}, state="pending" if machine else "kept")
        number = int(ledger.value("select count(*) from stage where name='taken back'")) + 1
        key = f"taken back:{number}:{name}"
        changed.add(
            "stage", key=key, name="taken back", turn=turn, output=json.dumps(said, ensure_ascii=False)
        )
    return {"delivery": name, "reason": reason.strip(), "origins": list(aside[name])}
