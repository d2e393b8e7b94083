"""What the desk is given: open questions, blind tests, likely items; nothing is written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bapsim.compose.asking import reserved, worth_asking
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.image.pixels import look
from bapsim.store.project import opened
from bapsim.wheel.audit import stands
from bapsim.wheel.desk_items import known_items, likely_items, picture, questions
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.kin import kin
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.stock import exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.cli.conftest import run
from tests.image.pictures import write_parts
from tests.wheel.world import History, bank, founded, sentence


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A bank after its first turn, with questions and a pool."""
    recipe = replace(bank(), sources={"history": History(220, 400)}, checks={}, questions=worth_asking(20))
    root = founded(tmp_path_factory.mktemp("desk") / "p")
    with opened(root) as project:
        run_turn(project, recipe)
    return root, recipe


def state_of(root: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes()) for path in (root / "wheel").rglob("*.parquet"))


def test_questions_are_those_of_the_sheet(texts: tuple[Path, Recipe]) -> None:
    root, recipe = texts
    with opened(root, writing=False) as project:
        sheet = open_questions(project, recipe.task)
        items = questions(project, recipe)
        draws = {r["id"]: r["draw"] for r in project.ledger.rows("select id, draw from question")}
    assert [bytes.fromhex(item.key) for item in items] == sheet.ids
    assert [item.shows["text"] for item in items] == sheet.rows.column("text").to_pylist()
    led = {item.guess is not None for item in items if draws[bytes.fromhex(item.key)] == "random"}
    assert led == {False}, "nobody is led on what may refresh the exam"
    assert any(item.guess for item in items)


def test_blind_tests_come_from_no_exam_and_are_right(texts: tuple[Path, Recipe]) -> None:
    root, recipe = texts
    before = state_of(root)
    with opened(root, writing=False) as project:
        items = known_items(project, recipe, 24)
        again = known_items(project, recipe, 24)
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        groups = kin(stock, np.ones(len(stock), bool), recipe.exam.near)
    assert items == again
    assert state_of(root) == before
    assert len(items) == 24
    rows = [stock.place[bytes.fromhex(item.key)] for item in items]
    assert not exam[rows].any()
    assert not set(groups[rows].tolist()) & set(groups[exam].tolist())
    labels = [item.voices[0].said for item in items]
    assert labels == [sentence(int(item.shows["text"].split()[-1]))[1] for item in items]
    counts = [labels.count(label) for label in set(labels)]
    assert max(counts) - min(counts) <= 1, "as many of each label"


def test_likely_items_leave_the_share_of_the_exam_alone(texts: tuple[Path, Recipe]) -> None:
    root, recipe = texts
    before = state_of(root)
    with opened(root, writing=False) as project:
        items = likely_items(project, recipe, "loan", 30)
        stock = load_stock(project, recipe.task)
        with pytest.raises(InputError, match="card"):
            likely_items(project, recipe, "fraud", 5)
    truth = [sentence(int(item.shows["text"].split()[-1]))[1] for item in items]
    assert truth.count("loan") >= 20
    guesses = [item.guess for item in items]
    assert guesses == sorted(guesses, reverse=True)
    rows = [stock.place[bytes.fromhex(item.key)] for item in items]
    assert not reserved(stock.records, 0.2)[rows].any()
    assert state_of(root) == before


def test_before_a_model_there_is_nothing_known(tmp_path: Path) -> None:
    recipe = bank()
    root = founded(tmp_path / "p")
    with opened(root) as project:
        assert questions(project, recipe) == []
        assert known_items(project, recipe, 5) == []
        with pytest.raises(InputError):
            likely_items(project, recipe, "loan", 5)


def test_pictures_are_shown_small_and_by_name(tmp_path: Path) -> None:
    write_parts(tmp_path / "부품", range(60))
    write_parts(tmp_path / "line", range(60, 90), labelled=False)
    run("new", tmp_path / "wheel", "--from", tmp_path / "부품", "--target", "defect")
    run("-C", tmp_path / "wheel", "add", tmp_path / "line")
    run("-C", tmp_path / "wheel", "turn")
    recipe = load_recipe(tmp_path / "wheel")
    with opened(tmp_path / "wheel", writing=False) as project:
        stock = load_stock(project, recipe.task)
        items = questions(project, recipe)
        assert items
        assert all(set(item.shows) == {"file"} for item in items)
        known = known_items(project, recipe, 20)
        assert known
        assert not [one for one in known if "/" in one.shows["file"]], "the folder of a picture is its label"
        media, body = picture(project, recipe.task, items[0].key)
        assert media == f"image/{look(body, whole=True).format.lower()}"
        for odd in ("zz", "", "ab" * 16, "../key"):
            with pytest.raises(InputError):
                picture(project, recipe.task, odd)
        assert len(stands(project, stock)) == len(stock)
