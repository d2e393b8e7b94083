"""Looking for one class in the pool: likely rows become questions, and their answers are taken."""

from dataclasses import replace
from pathlib import Path

import pytest

from bapsim.compose.asking import reserved, worth_asking
from bapsim.core.errors import InputError
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.seeking import seek
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import Clerk, History, bank, founded, sentence


def test_likely_rows_are_asked_about_and_their_answers_learnt(tmp_path: Path) -> None:
    sources = {"history": History(220, 400), "clerk": Clerk()}
    recipe = replace(bank(), sources=sources, checks={}, questions=worth_asking(20))
    with opened(founded(tmp_path / "p")) as project:
        with pytest.raises(InputError):
            seek(project, recipe, "loan", 30)
        run_turn(project, recipe)
        said = seek(project, recipe, "loan", 30)
        assert len(said["asked"]) == 30
        sheet = open_questions(project, recipe.task, said["asked"])
        assert sheet.ids == said["asked"]
        assert sheet.suggested == ["loan"] * 30 or set(sheet.suggested) > {"loan"}
        truth = [sentence(int(t.split()[-1]))[1] for t in sheet.rows.column("text").to_pylist()]
        assert truth.count("loan") >= 20
        assert said["expected"] > 3 * said["at_random"]
        stock = load_stock(project, recipe.task)
        rows = [stock.place[one] for one in said["asked"]]
        assert not reserved(stock.records, 0.2)[rows].any(), "the exam's share is left alone"
        assert seek(project, recipe, "loan", 30) == said, "run twice"
        assert check(project, recipe)["ok"]
        with pytest.raises(InputError, match="card"):
            seek(project, recipe, "fraud", 5)
        run_turn(project, recipe)
        query = "select count(*) from question q join asking a on a.id = q.id where a.why='sought'"
        assert project.ledger.value(f"{query} and q.state='answered'") == 30
