"""Surveys vouch for machine-made rows in a turn: what none of them keeps is left out as unverified."""

from pathlib import Path

import pytest

from bapsim.core.recipe import Recipe
from bapsim.refine.agrees import agrees
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.turn import run_turn
from tests.wheel.world import History, Part, bank, founded


def world(**changes: object) -> Recipe:
    """700 rows of people's, and 100 of a machine's, half of them with the next intent."""
    sources = {"history": History(700, 20), "made": Part(2000, 100, wrong=5, maker="machine")}
    return bank(sources=sources, questions=None, **changes)


@pytest.mark.parametrize(("limit", "kept"), [(0.02, range(20)), (0.3, range(40, 60))])
def test_a_survey_vouches_and_refuses(tmp_path: Path, limit: float, kept: range) -> None:
    """A tenth of people's own labels are wrong: hardly a machine's row is safe at 2 %, nearly all at 30 %."""
    recipe = world(checks={}, surveys={"agrees": agrees(text_linear(), limit=limit)})
    with opened(founded(tmp_path)) as project:
        reasons = run_turn(project, recipe)["reasons"]
    assert 100 - sum(reasons.values()) in kept
    assert set(reasons) <= {"not_agreed", "unverified"}
    assert reasons["not_agreed"] > 0


def test_without_a_verifier_nothing_machine_made_comes_in(tmp_path: Path) -> None:
    with opened(founded(tmp_path)) as project:
        assert run_turn(project, world(checks={}))["reasons"] == {"unverified": 100}
