"""Kill a three-turn project anywhere, run it again, and it is the one that nobody disturbed."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.wheel.world import corrected_bank, differences, founded, killed_run, state_of, turns

MOMENTS = int(os.environ.get("BAPSIM_KILLS", "30"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = founded(tmp_path_factory.mktemp("undisturbed") / "p")
    assert not killed_run(root, corrected_bank(), 3, None)
    state = state_of(root)
    assert [t["state"] for t in state["turn"]] == ["done"] * 3
    assert json.loads(state["turn"][2]["accounts"])["superseded"] > 60, "questions, and corrected rows"
    assert [b["fresh"] for b in state["batch"] if b["source"] == "pii"] == [4, 2, 0], "masked letters"
    return state


def test_two_undisturbed_runs_agree(undisturbed: dict, tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, corrected_bank(), 3)
    assert differences(undisturbed, state_of(root)) == ""


def test_a_project_that_dies_at_step_one_then_two_then_three(undisturbed: dict, tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    deaths = 0
    while killed_run(root, corrected_bank(), 3, deaths + 1):
        deaths += 1
    assert deaths > 15
    assert differences(undisturbed, state_of(root)) == ""


def test_random_moments(undisturbed: dict, tmp_path: Path) -> None:
    rng = random.Random(20261122)
    root, deaths, run = founded(tmp_path / "0"), 0, 0
    while deaths < MOMENTS:
        if killed_run(root, corrected_bank(), 3, rng.randint(1, 150)):
            deaths += 1
            continue
        assert differences(undisturbed, state_of(root)) == ""
        run += 1
        root = founded(tmp_path / str(run))
    killed_run(root, corrected_bank(), 3, None)
    assert differences(undisturbed, state_of(root)) == ""
