"""Ordinary turns in which a model learns from its own attempts: verified ones help, others never enter."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

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
from bapsim.wheel.state import state
from bapsim.wheel.turn import run_turn
from tests.wheel.world import founded, origin

TASK = Task(input="ask", target="reply", answer="text")
FLOORS = ("1st floor", "2nd floor", "3rd floor", "4th floor", "basement")
PEOPLE, POOL, FRESH = 230, 90, 60
GOODS = [f"{a}{b}{c}" for a in "bdfkmprst" for b in "aeiou" for c in "bdgkmnprst"][::2]  # 225 words
WORDS = ["please", "where", "may", "one", "find", "today", "the", "lovely", "old", "new", "big", "small"]


def floor_of(thing: str) -> str:
    """Which floor a thing is on: what a shop's own table says."""
    return FLOORS[zlib.crc32(thing.encode()) % len(FLOORS)]


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
    pool: int = POOL
    fresh: int = FRESH

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        start, count = (0, PEOPLE) if turn.n == 1 else (PEOPLE + self.fresh * (turn.n - 2), self.fresh)
        if not self.answered:
            start, count = 10_000, self.pool if turn.n == 1 else 0
        asks = [question(i) for i in range(start, start + count)]
        replies = [floor_of(ask.split()[-1]) if self.answered else None for ask in asks]
        columns = {"ask": pa.array(asks, pa.string()), "reply": pa.array(replies, pa.string())}
        yield Draft(rows=Rows(pa.record_batch(columns)), origin=origin("shop"))


def question(i: int) -> str:
    rng = np.random.default_rng([3, i])
    said = rng.choice(WORDS, int(rng.integers(2, 6)))
    return f"{' '.join(said)} {i} {GOODS[int(rng.integers(len(GOODS)))]}"


def recipe_of(verify: Any, *, judged_by: Any = None, pool: int = POOL, fresh: int = FRESH) -> Recipe:
    """judged_by: what the source asks on for, and the check says; verify: the check, if it is another one."""
    return Recipe(
        task=TASK,
        sources={
            "people": Shop(True, fresh=fresh),
            "pool": Shop(False, pool=pool),
            "own": attempts(tries=5, until=judged_by or verify),
        },
        checks={"table": verified_by(verify)},
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
        first, told = (run_turn(project, recipe) for _ in range(2))
        assert "own" not in first["fresh"] or not first["fresh"]["own"]
        assert (told["verdict"], told["candidate"]) == ("accept", "t002-pending")
        assert told["values"]["wins"] > 2 * told["values"]["losses"]
        assert told["verifiers"]["table"]["admits"]
        assert told["fused"]["deepest"] == 1
        own = next(one for one in told["sources"] if one["name"] == "own")
        assert own["trained"] == told["fused"]["taken"] > POOL / 2
        assert own["trained"] + sum(own["refused"].values()) + own["pending"] == own["lines"]
        assert own["refused"].keys() == {"not_verified"}
        rows = the_rows(project, recipe)
        made = [row for row in rows if row["_target_depth"]]
        asked = {row["_id"]: row["ask"] for row in rows if row["reply"] is None}
        assert len(made) == own["lines"]
        assert all([asked[mum] for mum in row["_parents"]] == [row["ask"]] for row in made)
        assert check(project, recipe)["ok"]


def test_no_attempt_enters_by_a_verifier_that_takes_anything(tmp_path: Path) -> None:
    recipe = recipe_of(anything, pool=30)
    with opened(founded(tmp_path / "p")) as project:
        _, told = (run_turn(project, recipe) for _ in range(2))
        assert not told["verifiers"]["table"]["admits"]
        own = next(one for one in told["sources"] if one["name"] == "own")
        assert own["lines"] == sum(own["refused"].values()) >= 30
        assert own["refused"]["unverified"] > 25
        assert (own["trained"], own["pending"]) == (0, 0)


def test_a_model_is_not_judged_on_what_it_ate(tmp_path: Path) -> None:
    """Without rows of people's that came later, what it wrote itself waits."""
    recipe = recipe_of(in_the_table, pool=30, fresh=0)
    with opened(founded(tmp_path / "p")) as project:
        _, told = (run_turn(project, recipe) for _ in range(2))
        assert told["fused"]["way"] is None
        assert told["fused"]["raced"] == []
        own = next(one for one in told["sources"] if one["name"] == "own")
        assert own["pending"] > 0
        assert own["trained"] == 0


def the_rows(project: Any, recipe: Recipe) -> list[dict[str, Any]]:
    return [
        row
        for view in state(project, recipe, 3).data.values()
        for batch in view.batches()
        for row in batch.to_pylist()
    ]
