"""A model's version names one model only, whatever came before it in the same turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bapsim.core.fingerprint import fingerprint
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from tests.wheel import world


def test_a_turn_that_goes_on_under_another_recipe_trains_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = world.bank(sources={"history": world.History(220, 120)})
    other = replace(recipe, seed=1)
    steps = world.points(tmp_path, lambda: world.turns(world.founded(tmp_path / "whole"), recipe, 1))
    trained = steps.index("after commit trained") + 1
    root = world.founded(tmp_path / "bank")
    assert world.killed_run(root, recipe, 1, trained)
    monkeypatch.delenv("BAPSIM_FAULT", raising=False)
    monkeypatch.setattr(fault, "_passed", 0)
    told = world.turns(root, other, 1)
    assert told[0]["candidate"] == "t001-people-2"
    with opened(root, writing=False) as project:
        assert check(project, other)["ok"]
        assert project.ledger.value("select recipe from turn where n=1") == fingerprint(other)
