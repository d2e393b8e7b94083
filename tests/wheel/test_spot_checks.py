"""People vouch for a machine's batch by a random sample: asked blindly, then all is taken or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bapsim.compose.asking import worth_asking
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe
from bapsim.refine.spot_check import spot_checked
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.turn import run_turn
from tests.wheel.world import Clerk, History, Part, bank, founded

MADE, POOL = 100, 20


def world(wrong: int, budget: int = 120) -> Recipe:
    """250 rows of people's, 100 of a machine's, so many of ten with another intent; a clerk who knows."""
    sources = {
        "history": History(250, POOL),
        "made": Part(2000, MADE, wrong=wrong, maker="machine"),
        "clerk": Clerk(),
    }
    asks = worth_asking(budget, exam_share=0.0, repair_share=1.0)
    return bank(sources=sources, questions=asks, checks={}, surveys={"spot": spot_checked("made")})


def told(root: Path, recipe: Recipe, turns: int) -> list[dict[str, Any]]:
    with opened(root) as project:
        done = [run_turn(project, recipe) for _ in range(turns)]
        assert check(project, recipe)["ok"]
    return done


@pytest.mark.parametrize(("wrong", "reason"), [(0, ""), (3, "lot_refused")])
def test_a_batch_enters_where_its_sample_is_right(tmp_path: Path, wrong: int, reason: str) -> None:
    plan = spot_checked("made").planned(MADE)
    assert plan is not None
    first, second = told(founded(tmp_path), world(wrong), 2)
    asked = first["asked"]["spot_check"]
    assert asked["count"] == plan.n, "a sample, no more"
    assert first["reasons"]["unverified"] == MADE
    assert "spot_check" not in second["asked"], "it is known"
    left = second["reasons"]
    answered = plan.n
    if not reason:
        assert "lot_refused" not in left
        assert "unverified" not in left
        assert second["fused"] is not None, "the rest may join, if that helps"
    else:
        assert left["lot_refused"] == MADE - answered
    assert second["accounts"]["superseded"] == answered + POOL, "what people answered is theirs"


def test_a_sample_may_take_several_turns_and_says_nothing_until_then(tmp_path: Path) -> None:
    plan = spot_checked("made").planned(MADE)
    assert plan is not None
    budget = plan.n // 2 + 5
    first, second, third = told(founded(tmp_path), world(0, budget), 3)
    assert first["asked"]["spot_check"]["count"] == budget
    assert second["asked"]["spot_check"]["count"] == plan.n - budget
    assert second["reasons"]["unverified"] == MADE - budget
    assert "unverified" not in third["reasons"]


def test_a_lot_that_is_refused_is_asked_about_no_more(tmp_path: Path) -> None:
    plan = spot_checked("made").planned(MADE)
    assert plan is not None
    _, second = told(founded(tmp_path), world(9, plan.n // 2), 2)
    assert second["reasons"]["lot_refused"] == MADE - plan.n // 2
    assert "spot_check" not in second["asked"]


def test_small_lots_and_plans_that_cannot_be() -> None:
    assert spot_checked("made").planned(19) is None
    assert replace(spot_checked("made"), bad=0.5).planned(30) is not None
    for good, bad in ((0.1, 0.1), (-0.1, 0.2), (0.1, 1.2)):
        with pytest.raises(RecipeError):
            spot_checked("made", good=good, bad=bad)
