"""Ordinary turns in which a model learns from its own attempts: verified ones help, others never enter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bapsim.compose.fusing import raced
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.gather.attempts import attempts
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.verifying import verified_by
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.state import state
from bapsim.wheel.turn import run_turn
from tests.wheel import shop
from tests.wheel.shop import FRESH, POOL, Learn, Shop, anything, in_the_table
from tests.wheel.world import founded

TASK = Task(input="ask", target="reply", answer="text")


def shop_in(root: Path) -> Path:
    """A project with the model's loader beside its recipe."""
    founded(root)
    (root / "shop.py").write_bytes(Path(shop.__file__).read_bytes())
    return root


def recipe_of(verify: Any, *, pool: int = POOL, fresh: int = FRESH) -> Recipe:
    return Recipe(
        task=TASK,
        sources={
            "people": Shop(True, fresh=fresh),
            "pool": Shop(False, pool=pool),
            "own": attempts(tries=10, until=verify),
        },
        checks={"table": verified_by(verify)},
        compose=raced(machine_share=(0, 0.75)),
        train=Learn(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(60),
        folds=2,
    )


def test_verified_attempts_join_and_help(tmp_path: Path) -> None:
    recipe = recipe_of(in_the_table)
    with opened(shop_in(tmp_path / "p")) as project:
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
    with opened(shop_in(tmp_path / "p")) as project:
        _, told = (run_turn(project, recipe) for _ in range(2))
        assert not told["verifiers"]["table"]["admits"]
        own = next(one for one in told["sources"] if one["name"] == "own")
        assert own["lines"] == sum(own["refused"].values()) >= 30
        assert own["refused"]["unverified"] > 25
        assert (own["trained"], own["pending"]) == (0, 0)


def test_a_model_is_not_judged_on_what_it_ate(tmp_path: Path) -> None:
    """Without rows of people's that came later, what it wrote itself waits."""
    recipe = recipe_of(in_the_table, pool=30, fresh=0)
    with opened(shop_in(tmp_path / "p")) as project:
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
