"""Machine-made rows join people's only where a race on people's rows says so, and in a measured share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bapsim.compose.fusing import Race, raced
from bapsim.compose.plan import exam
from bapsim.core.recipe import Decision, Metric, Raced, Recipe, Way, Wear
from bapsim.core.records import Scores
from bapsim.judge.gate import Paired
from bapsim.store.lake import read_batch
from bapsim.store.project import Project, opened
from bapsim.wheel import fusing
from bapsim.wheel.audit import check
from bapsim.wheel.stock import load_stock
from bapsim.wheel.tainting import consumed
from bapsim.wheel.turn import run_turn
from tests.wheel.world import Part, Vouches, bank, founded


@dataclass(frozen=True, kw_only=True)
class Willing(Paired):
    """Looks at every candidate and accepts it: what comes after machine-made data was released?"""

    screen_z: float = -99.0

    def __call__(self, before: Scores | None, after: Scores, metric: Metric, wear: Wear) -> Decision:
        values = {"wins": 1, "losses": 0, "level": 0.005, "slices": "", "groups": len(after)}
        return Decision(verdict="accept", reason="decision.better", values=values, items=len(after))


def recipe_of(wrong: int, count: int = 300, **changes: object) -> Recipe:
    """A few rows of people, more later, and many by machines with `wrong` of ten labels, in small parts."""
    made = {f"made{k}": Part(1000 + 29 * k, 29, wrong, maker="machine") for k in range(count // 29)}
    more = {f"more{n}": Part(5000 + 20 * n, 20, at_turn=n) for n in (2, 3, 4)}
    sources = {"base": Part(0, 90), **more, **made}
    given = {"questions": None, "checks": {"vouch": Vouches()}, "gate": Willing(), "exam": exam(30, near=0.9)}
    return bank(sources=sources, **given, **changes)


def names(told: dict[str, object]) -> list[str]:
    return [one["candidate"] for one in told["screen"]]  # type: ignore[index,attr-defined]


def test_rows_that_help_join_and_stay_with_the_model_that_they_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAPSIM_KEY", f"{2:064x}")  # a draw of 60 judging rows in which they are seen to help
    recipe = recipe_of(0)
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert names(told) == ["t001-people", "t001-pending"]
        way, rows = told["fused"]["way"], told["fused"]["raced"]
        assert way["share"] > 0
        best = max(one["gain"] for one in rows)
        assert next(one for one in rows if one["share"] == way["share"])["gain"] > 0
        assert best > 0
        won = next(one["gain"] for one in rows if one["share"] == way["share"])
        assert told["fused"]["labels"] > 0, "60 rows of people: more of theirs would be worth something"
        assert told["fused"]["buy"] == (told["fused"]["labels"] > won)
        assert _share(project, "t001-pending") == pytest.approx(way["share"], abs=0.02)
        while not told["candidate"].endswith("-pending"):  # the screen decides who looks
            assert told["turn"] < 4
            told = run_turn(project, recipe)
        assert told["accounts"]["pending"] != 290
        after = run_turn(project, recipe)  # proven rows are raced again beside people's new ones
        assert names(after)[0].endswith("-people")
        assert [one["share"] for one in after["fused"]["raced"]] == [0.1, 0.3, 0.5]
        assert check(project, recipe)["ok"]


def _share(project: Project, version: str) -> float:
    """What part of a model's rows machines made."""
    stock = load_stock(project, bank().task)
    ids = {i.tobytes() for i in stock.ids[stock.by_machine]}
    every = {i.tobytes() for i in stock.ids}
    return consumed(project, ids)[version] / consumed(project, every)[version]


def test_rows_that_harm_wait_and_nobody_looks(tmp_path: Path) -> None:
    recipe = recipe_of(7)
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert told["fused"]["way"] is None
        assert [one["share"] for one in told["fused"]["raced"]] == [0.1, 0.3, 0.5]
        assert names(told) == ["t001-people"]
        assert (told["fused"]["buy"], told["fused"]["labels"]) == (True, None)
        stock = load_stock(project, recipe.task)
        assert told["accounts"]["pending"] == int(stock.by_machine.sum())
        assert check(project, recipe)["ok"]


def test_a_race_is_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(7)
    with opened(founded(tmp_path / "p")) as project:
        first = run_turn(project, replace(recipe, sources={**recipe.sources, "more2": Part(0, 0)}))["fused"]
        monkeypatch.setattr(fusing, "fit", None)  # nothing may be trained again
        assert (
            run_turn(project, replace(recipe, sources={**recipe.sources, "more2": Part(0, 0)}))["fused"]
            == first
        )


def test_ways_that_take_the_same_rows_are_raced_once(tmp_path: Path) -> None:
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe_of(7, count=29, compose=raced((0.1, 0.5, 0.9))))
        assert [(one["share"], one["made"]) for one in told["fused"]["raced"]] == [(0.1, 6), (0.5, 29)]


def test_nothing_is_raced_without_anything_to_judge_by(tmp_path: Path) -> None:
    recipe = recipe_of(0, compose=raced((0.3,)))
    with opened(founded(tmp_path / "p")) as project, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusing, "LEAST", 10_000)
        told = run_turn(project, recipe)
        assert (told["fused"]["way"], told["fused"]["raced"]) == (None, [])


@dataclass(frozen=True, kw_only=True)
class Eager(Race):
    """Takes the first way, whatever it gains."""

    def pick(self, raced: Sequence[Raced], *, suspect: bool = False) -> Way | None:
        return raced[0].way


def test_weights_and_order_are_part_of_a_model(tmp_path: Path) -> None:
    eager = Eager(machine_share=(0.3,), weight=(0.5,), order=("first",))
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe_of(0, compose=eager))
        version = names(told)[1]
        table = read_batch(project.models / "main" / version / "judged" / "oof.parquet")
        weights = np.array(table.column("weight").to_pylist())
        made = int((weights == 0.5).sum())
        assert made == told["fused"]["raced"][0]["made"] == 25
        assert weights.tolist() == [0.5] * made + [1.0] * 60, "machine-made rows come first, and count half"
        assert names(run_turn(project, recipe_of(0, compose=eager)))[1] != version
