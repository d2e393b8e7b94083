"""A model's version names one model only, whatever came before it in the same turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Decision, Metric, Wear
from bapsim.core.records import Scores
from bapsim.judge.gate import Paired
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from tests.wheel import world


@dataclass(frozen=True, kw_only=True)
class Willing(Paired):
    """Looks at every candidate and accepts it: what comes after machine-made data was released?"""

    screen_z: float = -99.0

    def __call__(self, before: Scores | None, after: Scores, metric: Metric, wear: Wear) -> Decision:
        values = {"wins": 1, "losses": 0, "level": 0.005, "slices": "", "groups": len(after)}
        return Decision(verdict="accept", reason="decision.better", values=values, items=len(after))


def test_both_candidates_may_have_eaten_released_rows(tmp_path: Path) -> None:
    root, recipe = world.founded(tmp_path / "bank"), world.bank(gate=Willing())
    pool = world.History(220, 400)  # every turn has new answers, whenever the screen picks which
    recipe = replace(recipe, sources={**recipe.sources, "history": pool})
    told = world.turns(root, recipe, 2)
    while not told[-2]["candidate"].endswith("-pending"):  # the screen decides who looks, and so when
        assert len(told) < 10
        told += world.turns(root, recipe, len(told) + 1)
    after = told[-1]
    names = [f"t{after['turn']:03d}-{word}" for word in ("released", "pending")]
    assert [one["candidate"] for one in after["screen"]] == names
    with opened(root, writing=False) as project:
        assert check(project, recipe)["ok"]


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
