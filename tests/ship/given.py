"""A data label as an export would make it, to change part by part; and projects that have only gathered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Rows, Task
from bapsim.core.turn import Turn
from bapsim.ship.certificate import Terms
from bapsim.ship.label import Agreement, Label, Split, Tally
from bapsim.ship.release import Wanted, own_columns, with_certificate
from bapsim.ship.shards import Written
from bapsim.store.project import opened
from bapsim.wheel.audit import recount
from bapsim.wheel.gathering import gather
from bapsim.wheel.refining import refine, write_opinions
from bapsim.wheel.state import begin, unseen
from bapsim.wheel.stock import POOL, REFUSED, TRAINED, exam_ids, load_stock, standing
from tests.wheel.world import bank, founded

PEOPLE = Origin(source="desk", input_maker="person", target_maker="person", method="files", rights="own")


def label_of(
    *,
    names: Sequence[str] = ("text", "label"),
    labels: Sequence[str] = ("card", "loan"),
    source: str = "desk",
    rights: Sequence[str] = ("own",),
    **changes: Any,
) -> Label:
    """A hundred rows: 60 to train on, 40 in the exam, half of each label."""
    tally = Tally()
    for split in ("train", "test"):
        tally.classes[split] = Counter(dict.fromkeys(labels, 20))
    tally.letters.update(hangul=80, latin=20)
    tally.rows[(replace(PEOPLE, source=source), Terms(tuple(rights), ()), (0, 0, True))] = 100
    task = Task(input=tuple(names[:-1]), target=names[-1])
    own = own_columns({name: [pa.string()] for name in names}, task, Wanted())
    files = [
        Written(path=f"data/{n}-00000.parquet", rows=50, size=9, sha256="0" * 64) for n in ("train", "test")
    ]
    said = {
        "name": "bank",
        "kind": "text",
        "inputs": task.inputs,
        "target": task.target,
        "form": "parquet",
        "turn": 2,
        "ended": "2026-11-22",
        "verdict": "accept",
        "columns": {"default": with_certificate(own, Wanted(), "default")},
        "splits": (
            Split(name="train", config="default", state="trained", rows=60, files=(files[0],)),
            Split(name="test", config="default", state="exam", rows=40, files=(files[1],)),
        ),
        "tally": tally,
        "agreement": Agreement(questions=0, agreed=0),
        "accounts": {
            **dict.fromkeys(("exam", "superseded", "refused", "pool", "pending", "unread", "again"), 0),
            **{"lines": 100, "trained": 60, "exam": 40},
        },
        "refused": {},
        "unread": {},
        "left_out": {},
        "only_rights": (),
        "other_rights": 0,
        "columns_left_out": (),
        "lost": 0,
        "exam_version": 1,
        "looks": 1,
        "recipe": "7318675412df088c",
        "chain": "189 " + "7a" * 32,
        "program": "bapsim 0.1.0",
    }
    return Label(**(said | changes))


@dataclass(frozen=True)
class Brings:
    """A source of one batch (as an Arrow stream: it needs an identity), made by one origin."""

    body: bytes
    origin: Origin

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for batch in pa.ipc.open_stream(self.body):
            yield Draft(rows=Rows(batch), origin=self.origin)


def brings(rows: pa.RecordBatch, **origin: Any) -> Brings:
    """A source of these rows; whatever its origin does not say is a person's, from files, under `own`."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return Brings(sink.getvalue().to_pybytes(), replace(PEOPLE, **origin))


def gathered(root: Path, task: Task, sources: dict[str, Any], *, exam: int = 0) -> Recipe:
    """A project after one turn without training; the first `exam` labelled rows are the exam."""
    recipe = bank(task=task, sources=sources, checks={})
    untrained(founded(root), recipe, exam=exam)
    return recipe


def untrained(root: Path, recipe: Recipe, *, exam: int = 0, ask: int = 0) -> None:
    """A turn that gathers, judges rows and ends: no model. exam: labelled rows that become exam items;
    ask: rows of the pool that people are asked about.
    """
    with opened(root) as project:
        turn = begin(project, recipe)
        gather(project, dict(recipe.sources), turn)
        stock = load_stock(project, recipe.task)
        items = stock.rows_with(exam_ids(project.ledger))
        opinions = refine(project, recipe, turn, stock, unseen(stock, items), items)
        write_opinions(project, opinions, turn.n)
        stood = standing(stock, items, opinions.refused() & ~items, opinions.settled.superseded)
        with project.ledger.change("examined and asked") as ledger:
            ledger.add("exam", version=turn.n, turn=turn.n, items=exam, fresh=exam, refund=0.0)
            for row in np.flatnonzero(stood == TRAINED)[:exam].tolist():
                origin = int(stock.origin[row])
                ledger.add("exam_item", id=stock.ids[row].tobytes(), version=turn.n, origin=origin)
            for row in np.flatnonzero(stood == POOL)[:ask].tolist():
                said = {"draw": "chosen", "state": "open", "suggested": None}
                ledger.add("question", id=stock.ids[row].tobytes(), turn=turn.n, **said)
        counts = recount(project, recipe)
        said = {"verdict": "undecided", "reason": "decision.no_exam", "wear": {"version": turn.n}}
        said["reasons"] = opinions.reasons(stood == REFUSED)
        words = {"decision": json.dumps(said), "accounts": json.dumps(counts), "ended": "2026-11-22T10:00"}
        with project.ledger.change("turn done") as ledger:
            ledger.amend("turn", {"n": turn.n}, state="done", **words)
