"""A copy of an exam item in another form is a copy: masked, cut, with tags, rounded, or of the same key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.masked import masked
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.store.project import opened
from bapsim.text.pii import scrub
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear
from bapsim.wheel.audit import stands
from bapsim.wheel.stock import TRAINED, adds_up, exam_ids, load_stock
from tests.wheel.world import founded, sentence, turns

ROWS = 240


@dataclass(frozen=True)
class Told:
    """Rows that come at one turn."""

    n: int
    columns: Mapping[str, tuple[Any, ...]]
    later: Mapping[str, tuple[Any, ...]] | None = None

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        said = self.columns if turn.n == self.n else self.later if turn.n > self.n else None
        if said is not None:
            made = Origin(
                source="x", input_maker="person", target_maker="person", method="file", rights="own"
            )
            keys = None if self.later is None else [f"k{i}" for i in range(ROWS)]
            yield Draft(rows=Rows(pa.record_batch(dict(said))), origin=made, keys=keys)


def columns(kind: str) -> dict[str, tuple[Any, ...]]:
    """Labels that nobody can foretell: only who has seen the very row knows its label."""
    rng = np.random.default_rng(3)
    labels = tuple(np.array(["card", "loan"])[rng.integers(2, size=ROWS)].tolist())
    phones = [f"010-{a}-{b}" for a, b in rng.integers(1000, 10_000, size=(ROWS, 2))]
    if kind == "text":
        return {"text": tuple(f"{sentence(i)[0]} {p}" for i, p in enumerate(phones)), "intent": labels}
    km = tuple(int(k) for k in rng.integers(200_000, size=ROWS))
    return {"contact": tuple(phones), "km": km, "intent": labels}


@pytest.mark.parametrize("kind", ["text", "table"])
def test_a_masked_copy_of_an_exam_item_never_reaches_training(kind: str, tmp_path: Path) -> None:
    said = columns(kind)
    inputs = tuple(name for name in said if name != "intent")
    task = Task(input=inputs if kind == "table" else "text", target="intent", kind=kind)
    train = text_linear(cost=1.0) if kind == "text" else table_boosted()
    rest = {"train": train, "judge": per_item(), "metric": accuracy, "gate": paired()}
    more: dict[str, Any] = {**rest, "exam": exam(60), "folds": 3}
    root = founded(tmp_path / "p")
    turns(root, Recipe(task=task, sources={"x": Told(1, said)}, **more), 1)
    with opened(root) as project:
        stock = load_stock(project, task)
    assert stock.compared == stock.texts, "two numbers are two rows, until one of them comes masked"
    door = Recipe(task=task, sources={"x": Told(1, said), "again": masked(Told(2, said))}, **more)
    told = turns(root, door, 2)[-1]
    with opened(root) as project:
        stock = load_stock(project, task)
        asked = stock.rows_with(exam_ids(project.ledger))
        trained = np.asarray(stands(project, stock) == TRAINED)
    bare, _ = scrub([one.replace("\x1f", " ") for one in stock.texts])
    items = {bare[i] for i in np.flatnonzero(asked)}
    assert len(items) == 60
    assert not items & {bare[i] for i in np.flatnonzero(trained)}
    assert told["reasons"]["exam_leak"] >= 60
    assert told["verdict"] != "accept"
    assert adds_up(told["accounts"])


def again(form: str) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]:
    """Rows, and the same rows in another form."""
    rng, said = np.random.default_rng(4), columns("text" if form in ("cut", "tags") else "table")
    if "text" in said:
        long = tuple(f"{a} {b}" for a, b in zip(said["text"], reversed(said["text"]), strict=True))
        tagged = tuple(" ".join(f"<b class='w'>{w}</b>" for w in one.split()) for one in long)
        other = {"cut": tuple(one[: int(0.7 * len(one))] for one in long), "tags": tagged}[form]
        return said | {"text": long}, said | {"text": other}
    km = rng.uniform(0, 1000, ROWS)
    town = tuple(f"Town {i % 90}" for i in range(ROWS))
    first = {"contact": town, "km": tuple(km.tolist()), "intent": said["intent"]}
    if form == "key":
        return first, first | {"km": tuple((1.07 * km).tolist())}
    loud, single = tuple(one.upper() for one in town), tuple(np.float32(km).astype(float).tolist())
    return first, first | {"contact": loud, "km": single}


@pytest.mark.parametrize("form", ["cut", "tags", "spelling", "key"])
def test_a_copy_in_another_form_proves_nothing(form: str, tmp_path: Path) -> None:
    first, other = again(form)
    text = "text" in first
    task = Task(
        input="text" if text else ("contact", "km"), target="intent", kind="text" if text else "table"
    )
    train = text_linear(cost=1.0) if text else table_boosted()
    rest = {"train": train, "judge": per_item(), "metric": accuracy, "gate": paired()}
    more: dict[str, Any] = {**rest, "exam": exam(60), "folds": 3}
    sources = {"x": Told(1, first), "again": Told(2, other)}
    if form == "key":
        sources = {"x": Told(1, first, other)}
    root = founded(tmp_path / "p")
    told = turns(root, Recipe(task=task, sources=sources, **more), 2)[-1]
    assert told["reasons"].get("exam_leak", 0) >= 58, "a cut leaves some texts too short to tell"
    assert told["verdict"] != "accept"
    assert adds_up(told["accounts"])
