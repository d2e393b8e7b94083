"""Surveys vouch for machine-made rows in a turn: what none of them keeps is left out as unverified."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bapsim.core.recipe import Recipe
from bapsim.refine.agreement import agreed_across
from bapsim.refine.agrees import agrees
from bapsim.refine.verifying import verified_by
from bapsim.report.page import write_report
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.turn import run_turn
from tests.wheel.world import History, Part, bank, founded, sentence


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


def believes(row: dict[str, Any], answer: str) -> bool:
    return True


def knows(row: dict[str, Any], answer: str) -> bool:
    """The truth of a sentence is known by its number."""
    return sentence(int(str(row["text"]).split()[-1]))[1] == answer


@pytest.mark.parametrize(("verify", "kept"), [(believes, 0), (knows, 40)])
def test_a_check_is_believed_as_far_as_its_audit_goes(tmp_path: Path, verify: Any, kept: int) -> None:
    recipe = world(checks={"own": verified_by(verify)})
    with opened(founded(tmp_path)) as project:
        said = run_turn(project, recipe)
        pages = [write_report(project, 1, lang).read_text("utf-8") for lang in ("en", "ko")]
    words = ("lets in", "들여보냄") if kept else ("only ranks and refuses", "순위와 거부만")
    assert all(f">{word}<" in page for word, page in zip(words, pages, strict=True))
    audit = said["verifiers"]["own"]
    assert audit["admits"] is (kept > 0)
    assert audit["answers"] > 200
    assert audit["fooled"] == (0 if kept else audit["answers"])
    assert 100 - sum(said["reasons"].values()) >= kept
    assert said["reasons"].get("unverified", 0) == (0 if kept else 100)
