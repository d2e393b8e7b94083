"""Surveys vouch for machine-made rows in a turn: what none of them keeps is left out as unverified."""

from dataclasses import replace
from pathlib import Path

from bapsim.core.recipe import Recipe
from bapsim.refine.agreement import agreed_across
from bapsim.refine.agrees import agrees
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.turn import run_turn
from tests.wheel.world import History, Part, bank, founded


def world(**changes: object) -> Recipe:
    """400 rows of people's, and 100 of a machine's, half of them with the next intent."""
    sources = {"history": History(400, 20), "made": Part(2000, 100, wrong=5, maker="machine")}
    return bank(sources=sources, questions=None, **changes)


def test_a_survey_vouches_and_refuses(tmp_path: Path) -> None:
    """A tenth of people's own labels are wrong, so that no label is safe at 2 %; at 30 % they are told."""
    recipe = world(checks={}, surveys={"agrees": agrees(text_linear(), limit=0.3)})
    with opened(founded(tmp_path)) as project:
        reasons = run_turn(project, recipe)["reasons"]
    assert 40 <= 100 - sum(reasons.values()) <= 60
    assert set(reasons) <= {"not_agreed", "unverified"}
    assert reasons["not_agreed"] >= 40


def test_generators_that_agree_are_believed(tmp_path: Path) -> None:
    """A second machine gives half of the same 100 rows another label: the other half is agreed on."""
    changes = {"checks": {}, "surveys": {"alike": agreed_across(limit=1.0)}}
    recipe = world(**changes)
    again = Part(2000, 100, maker="machine")
    recipe = replace(recipe, sources={**recipe.sources, "again": again})
    with opened(founded(tmp_path)) as project:
        assert run_turn(project, recipe)["reasons"] == {"unverified": 100}


def test_without_a_verifier_nothing_machine_made_comes_in(tmp_path: Path) -> None:
    with opened(founded(tmp_path)) as project:
        assert run_turn(project, world(checks={}))["reasons"] == {"unverified": 100}
