"""Which deliveries are set aside, whatever there is to hold them against; what people then do about them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import worth_asking
from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Rows, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.store.project import opened
from bapsim.wheel import suspicion
from bapsim.wheel.aside import SAMPLE, agreed, set_aside, take_back, to_check
from bapsim.wheel.audit import check
from bapsim.wheel.stock import TRAINED, adds_up, exam_ids, load_stock
from bapsim.wheel.stock import standing as standing_of
from bapsim.wheel.turn import run_turn
from bapsim.wheel.using import use
from tests.wheel.world import ASKS, History, Part, Vouches, bank, founded, origin, sentence

NAMES = list(ASKS)


@dataclass(frozen=True)
class Checker:
    """Answers at its turn what it was told to look at again: the truth about these rows, by id."""

    ids: tuple[bytes, ...]
    at_turn: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n != self.at_turn:
            return
        for view in turn.data.values():
            asked = view.find(pa.array(sorted(self.ids), pa.binary(16)))
            if len(asked):
                truth = [sentence(int(t.split()[-1]))[1] for t in asked.column("text").to_pylist()]
                rows = Rows(rows_of(asked).set_column(1, "intent", pa.array(truth)))
                parents = [[i] for i in range(len(asked))]
                made = replace(origin("asked:repair"), source="checker")
                yield derive(asked, parents, rows, changed=frozenset({"target"}), origin=made)


FOUR = {"base": Part(0, 200), "a": Part(1000, 90), "b": Part(2000, 90, 4), "c": Part(3000, 90)}


def recipe_of(**sources: Any) -> Any:
    return bank(sources=sources, questions=None, checks={"vouch": Vouches()})


def suspects(told: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(one["name"], one["refused"]) for one in told["suspects"]]


def test_in_a_first_turn_deliveries_are_held_against_one_another(tmp_path: Path) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert suspects(told) == [("b@1", True)]
        (one,) = told["suspects"]
        assert one["low"] < 0.4 < one["high"]
        assert one["points"]["rows"] > 300
        assert told["reasons"]["harmful_delivery"] == 90
        assert adds_up(told["accounts"])
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        assert not (exam & stock.of_origins(lambda _, o: o.source == "b")).any(), "nor examined with"
        assert check(project, recipe)["ok"]


def test_a_resumed_turn_reads_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        with monkeypatch.context() as broken:
            broken.setattr("bapsim.wheel.turn.candidates", lambda scene: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run_turn(project, recipe)
        monkeypatch.setattr(suspicion, "residuals", lambda *given, **more: 1 / 0)
        assert suspects(run_turn(project, recipe)) == [("b@1", True)]


@pytest.mark.parametrize(
    "sources",
    [
        {"only": Part(0, 200, 4)},
        {"base": Part(0, 200), "few": Part(1000, 29, 10)},
        {"base": Part(0, 200), "a": Part(1000, 90), "b": Part(2000, 90)},
        {"base": Part(0, 200), "new": Part(1000, 120, new=True)},
    ],
)
def test_nothing_is_named_where_nothing_can_be_told_or_nothing_is_wrong(
    sources: dict[str, Any], tmp_path: Path
) -> None:
    with opened(founded(tmp_path / "p")) as project:
        assert run_turn(project, recipe_of(**sources))["suspects"] == []


def test_a_source_of_new_classes_is_not_named_by_a_proven_model_either(tmp_path: Path) -> None:
    recipe = recipe_of(base=Part(0, 220), new=Part(1000, 120, at_turn=2, new=True))
    with opened(founded(tmp_path / "p")) as project:
        assert run_turn(project, recipe)["verdict"] == "accept"
        told = run_turn(project, recipe)
        assert told["suspects"] == []
        (row,) = [one for one in told["sources"] if one["name"] == "new"]
        assert row["new"]["classes"] == 4
        assert row["new"]["low"] < row["new"]["share"] <= row["new"]["high"]
        assert row["noise"] is None


@dataclass(frozen=True)
class Never:
    """A gate that proves nothing."""

    budget: float = 0.05

    def level(self, wear: Any) -> float:
        return 0.0

    def screen(self, diffs: np.ndarray, groups: np.ndarray | None = None) -> Any:
        return replace(bank().gate.screen(diffs, groups), look=True)


def test_with_nothing_proven_the_last_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fit of everything and one without the suspect: the first reading costs none."""
    asked = []
    real = suspicion.unkept
    monkeypatch.setattr(suspicion, "unkept", lambda *given: asked.append(1) or real(*given))
    recipe = replace(recipe_of(base=Part(0, 220), b=Part(2000, 90, 4, at_turn=2)), gate=Never())
    with opened(founded(tmp_path / "p")) as project:
        assert run_turn(project, recipe)["verdict"] == "undecided"
        assert not asked
        assert suspects(run_turn(project, recipe)) == [("b@2", True)]
        assert len(asked) == 2


def test_rows_that_a_machine_labelled_are_judged_too(tmp_path: Path) -> None:
    recipe = recipe_of(base=Part(0, 220), weak=Part(2000, 90, 9, at_turn=2, maker="machine"))
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        assert suspects(run_turn(project, recipe)) == [("weak@2", True)]
        (name,) = set_aside(project.ledger)
        take_back(project, name, "looked at")
        assert project.ledger.value("select state from origin where source='weak'") == "pending"


def test_a_sample_is_asked_and_what_people_say_is_told(tmp_path: Path) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        aside = set_aside(project.ledger)
        done = np.zeros(len(stock), bool)
        rows = to_check(stock, aside, done)["b@1"]
        assert len(rows) == SAMPLE
        assert {stock.origins[int(n)].source for n in stock.origin[rows]} == {"b"}
        assert rows.tolist() == to_check(stock, aside, done)["b@1"].tolist(), "the same whenever it is asked"
        done[rows[:10]] = True
        assert to_check(stock, aside, done)["b@1"].tolist() == rows[10:].tolist(), "and none in its place"
        ids = tuple(stock.ids[row].tobytes() for row in rows[:20])
        more = replace(recipe, sources={**recipe.sources, "checker": Checker(ids, 2)})
        told = run_turn(project, more)
        wrong = sum(stock.labels[row] != sentence(int(stock.texts[row].split()[-1]))[1] for row in rows[:20])
        (row,) = [one for one in told["sources"] if one["name"] == "b"]
        assert (row["checked"]["agree"], row["checked"]["rows"]) == (20 - wrong, 20)
        assert row["superseded"] == 20, "the answers stand for them"
        assert adds_up(told["accounts"])
        exam = load_stock(project, recipe.task).rows_with(exam_ids(project.ledger))
        now = load_stock(project, recipe.task)
        assert not (exam & now.of_origins(lambda _, o: o.source == "checker")).any()


def test_the_sample_is_among_the_next_questions_and_is_asked_blindly(tmp_path: Path) -> None:
    recipe = bank(sources={**FOUR, "base": History(200, 60)}, questions=worth_asking(200))
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert told["asked"]["set_aside"]["count"] == SAMPLE
        query = "select id, draw, suggested from question where id in (select id from asking where why=?)"
        rows = project.ledger.rows(query, "set_aside")
        assert {(row["draw"], row["suggested"]) for row in rows} == {("repair", None)}
        stock = load_stock(project, recipe.task)
        sample = to_check(stock, set_aside(project.ledger), np.zeros(len(stock), bool))["b@1"]
        assert {row["id"] for row in rows} == {stock.ids[row].tobytes() for row in sample}


def test_an_owner_takes_a_delivery_back(tmp_path: Path) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        for name, reason, key in (("a@1", "x", "not_set_aside"), ("b@1", "  ", "reason_is_empty")):
            with pytest.raises(InputError) as caught:
                take_back(project, name, reason)
            assert caught.value.key == key
        said = use(project, "b@1", "the codes are ours, read by hand")
        assert (said["delivery"], len(said["origins"])) == ("b@1", 1)
        assert set_aside(project.ledger) == {}
        told = run_turn(project, recipe)
        assert told["suspects"] == [], "who knows better is not told again"
        assert told["accounts"]["refused"] == 0
        stock = load_stock(project, recipe.task)
        none = np.zeros(len(stock), bool)
        state = standing_of(stock, stock.rows_with(exam_ids(project.ledger)), none, none)
        mine = stock.of_origins(lambda _, o: o.source == "b")
        assert (state[mine] == TRAINED).all()
        kept = project.ledger.value("select output from stage where name='taken back'")
        assert "read by hand" in kept
        assert check(project, recipe)["ok"]


def test_nothing_is_taken_back_under_a_turn_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        monkeypatch.setattr("bapsim.wheel.turn.candidates", lambda scene: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_turn(project, recipe)
        with pytest.raises(InputError) as caught:
            take_back(project, "b@1", "why not")
        assert caught.value.key == "turn_is_open"


def test_answers_that_are_not_taken_say_nothing(tmp_path: Path) -> None:
    recipe = recipe_of(**FOUR)
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        rows = to_check(stock, set_aside(project.ledger), np.zeros(len(stock), bool))["b@1"]
        more = replace(
            recipe, sources={**recipe.sources, "checker": Checker((stock.ids[rows[0]].tobytes(),), 2)}
        )
        run_turn(project, more)
        stock = load_stock(project, recipe.task)
        all_rows = np.ones(len(stock), bool)
        assert list(agreed(stock, all_rows, ~all_rows)) == [rows[0]]
        assert agreed(stock, all_rows, all_rows) == {}


def test_a_history_without_labels_is_no_delivery_to_judge(tmp_path: Path) -> None:
    recipe = recipe_of(base=History(200, 100), b=Part(2000, 90, 4))
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert suspects(told) == [("b@1", True)]
        assert isinstance(told["suspects"][0]["origins"], list | tuple)
