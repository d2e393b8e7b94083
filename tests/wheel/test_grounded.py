"""A wheel that answers from passages: who answers more and invents more is refused, and is told why."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bapsim.compose.plan import exam
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.report.facts import facts
from bapsim.report.words import story
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.wheel.turn import run_turn
from tests.wheel.world import founded

TASK = Task(input=("passage", "question"), target="answer", answer="text")


def recipe(root: Path, knows: int, *, invents: bool = False, passage: str = "passage") -> Recipe:
    shutil.copy(Path(__file__).with_name("reader.py"), root)
    reader = artifacts.import_file(root / "reader.py")
    steps: dict[str, Any] = {"train": reader.Teaches(knows, invents), "judge": per_item(passage=passage)}
    plan = {"metric": accuracy, "gate": paired(), "exam": exam(120), "folds": 3}
    return Recipe(task=TASK, sources={"q": reader.Questions(90)}, **steps, **plan)


def test_who_answers_more_and_invents_more_is_refused(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        assert run_turn(project, recipe(root, 1))["verdict"] == "accept"
        told = run_turn(project, recipe(root, 2, invents=True))
        assert (told["verdict"], told["reason"]) == ("refuse", "decision.invents_more")
        assert told["gain"] > 0.2, "it is right more often"
        assert told["values"]["invented_before"] == 0
        assert told["values"]["invented_after"] == pytest.approx(1 / 3, abs=0.1)
        for lang, word in (("en", "do not stand in their passages"), ("ko", "지문에 없습니다")):
            said = story(facts(project), lang)
            assert any(word in one for one in said.sentences)
        assert run_turn(project, recipe(root, 2))["verdict"] == "accept"


def test_a_passage_that_is_no_input_is_said_before_anything_is_learnt(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project, pytest.raises(RecipeError, match="passage"):
        run_turn(project, recipe(root, 1, passage="text"))
