"""Ordinary turns in which a model learns from its own attempts: verified ones help, others never enter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.fusing import raced
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.attempts import attempts
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.verifying import verified_by
from bapsim.store.project import opened
from bapsim.train.ngram import text_ngram
from bapsim.wheel.audit import check
from bapsim.wheel.turn import run_turn
from tests.wheel.world import founded, origin

TASK = Task(input="ask", target="reply", answer="text")
FLOORS = ("1st floor", "2nd floor", "3rd floor", "4th floor", "basement")
PEOPLE, POOL, FRESH = 120, 500, 60
GOODS = [f"{a}{b}{c}" for a in "bdfkmprst" for b in "aeiou" for c in "bdgkmnprst"][::3]  # 150 words
WORDS = "please where may one find today the lovely old new big small".split()


def floor_of(thing: str) -> str:
    """Which floor a thing is on: what a shop's own table says."""
    return FLOORS[GOODS.index(thing) * 7 % len(FLOORS)]


def in_the_table(row: Any, answer: str) -> bool:
    return floor_of(row["ask"].split()[-1]) == answer


def anything(row: Any, answer: str) -> bool:
    return answer in FLOORS


@dataclass(frozen=True)
class Shop:
    """Questions where a thing is: some answered by people, more of them each turn, and a pool without
    answers.
    """

    answered: bool

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        start, count = (0, PEOPLE) if turn.n == 1 else (PEOPLE + FRESH * (turn.n - 2), FRESH)
        if not self.answered:
            start, count = 10_000, POOL if turn.n == 1 else 0
        asks = [question(i) for i in range(start, start + count)]
        replies = [floor_of(ask.split()[-1]) if self.answered else None for ask in asks]
        columns = {"ask": pa.array(asks, pa.string()), "reply": pa.array(replies, pa.string())}
        yield Draft(rows=Rows(pa.record_batch(columns)), origin=origin("shop"))


def question(i: int) -> str:
    rng = np.random.default_rng([3, i])
    said = rng.choice(WORDS, int(rng.integers(2, 6)))
    return f"{' '.join(said)} {i} {GOODS[int(rng.integers(len(GOODS)))]}"


def recipe_of(verify: Any) -> Recipe:
    return Recipe(
        task=TASK,
        sources={"people": Shop(True), "pool": Shop(False), "own": attempts(tries=4, until=verify)},
        checks={"table": verified_by(verify)} if verify is not None else {},
        compose=raced(machine_share=(0, 0.75)),
        train=text_ngram(6, longest=12),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(60),
        folds=2,
    )


def test_verified_attempts_join_and_help(tmp_path: Path) -> None:
    recipe = recipe_of(in_the_table)
    with opened(founded(tmp_path / "p")) as project:
        told = [run_turn(project, recipe) for _ in range(3)]
        print([(t["verdict"], t.get("gain"), t["accounts"], t.get("fused")) for t in told])
        print(told[-1])
        assert check(project, recipe)["ok"]


@pytest.mark.parametrize("verify", [None])
def test_x(tmp_path: Path, verify: Any) -> None:
    pass
