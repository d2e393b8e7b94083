"""A service log in a wheel: a pool to ask about, corrections that replace and that no exam is made of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl

from bapsim.compose.asking import worth_asking
from bapsim.gather.answers import answers, write_questions
from bapsim.gather.service import service
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.audit import check, stands, why_record
from bapsim.wheel.gathering import gather
from bapsim.wheel.settling import SUPERSEDED, settle
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.state import begin, stop
from bapsim.wheel.stock import STATES, adds_up, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import History, bank, founded, sentence

FIELDS = {"input": "q", "prediction": "p", "request": "id", "correction": "fixed", "at": "at"}


def requests(at: range, corrected: int = 0) -> list[dict]:
    said = [{"id": f"r{i}", "at": i, "q": sentence(i)[0], "p": "card"} for i in at]
    fixed = [{"fixed": sentence(i)[1]} for i in at[:corrected]]
    return [one | more for one, more in zip(said, [*fixed, *[{}] * len(said)], strict=False)]


def written(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def test_a_log_in_a_wheel(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    log = root / "inbox" / "log"
    sources = {
        "history": History(220, 40),
        "log": service("log/", rights="terms-3", fields=FIELDS),
        "experts": answers("answers/"),
    }
    pool = replace(bank().questions, repair_share=0.0)
    recipe = replace(bank(), sources=sources, checks={}, train=text_linear(cost=1.0), questions=pool)
    written(log / "a.jsonl", requests(range(5000, 5060), corrected=10))
    with opened(root) as project:
        told = run_turn(project, recipe)
        assert told["accounts"]["pool"] == 40 + 50
        stock = load_stock(project, recipe.task)
        from_log = stock.of_origins(lambda _, origin: origin.source == "log")
        assert (from_log & stock.labelled).sum() == 10
        sheet = open_questions(project, recipe.task)
        asked = set(sheet.rows.column("text").to_pylist())
        assert len(asked) == 30
        assert asked & {one["q"] for one in requests(range(5000, 5060))}, "requests are asked about"
        assert asked - {one["q"] for one in requests(range(5000, 5060))}, "and so are others"
        ask = root / "inbox" / "answers" / "ask.xlsx"
        write_questions(ask, sheet)
    fill(ask, {sentence(i)[0]: sentence(i)[1] for i in [*range(220, 260), *range(5000, 5060)]})
    # the file is rotated, grows, and brings a correction of a request that had none, and of one that had one
    (log / "a.jsonl").rename(log / "a.jsonl.1")
    later = [{"id": "r5059", "at": 9000, "fixed": "loan"}, {"id": "r5000", "at": 9000, "fixed": "loan"}]
    written(log / "a.jsonl", [*requests(range(5059, 5080)), *later])
    with opened(root) as project:
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        fresh = dict(project.ledger.rows("select source, fresh from batch where turn=2 and source='log'")[0])
        assert fresh["fresh"] == 20 + 2
        state = np.array(STATES)[stands(project, stock)]
        keys = stock.records.column("_key").to_pylist()
        for name, labels in {"r5059": {None, "loan"}, "r5000": {"loan", sentence(5000)[1]}}.items():
            rows = [i for i, key in enumerate(keys) if key == name]
            states = state[rows].tolist()
            assert len(rows) == 2
            assert set(states) - {"trained", "refused"} == {SUPERSEDED}, "one of two stands"
            now = [stock.labels[i] for i, state in zip(rows, states, strict=True) if state != SUPERSEDED]
            assert now == ["loan"]
            assert {stock.labels[i] for i in rows} == labels
        answered = stock.of_origins(lambda _, origin: origin.method.startswith("asked:"))
        assert answered.sum() == 30
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]
        chosen = stock.of_origins(lambda _, origin: origin.method == "service:chosen")
        assert "exam" not in state[chosen], "people correct what went wrong: no exam of that"
        old = int(np.flatnonzero(state == SUPERSEDED)[0])
        assert why_record(project, recipe, stock.ids[old].tobytes().hex())["stands"] == SUPERSEDED


def test_a_random_question_may_be_about_a_corrected_request(tmp_path: Path) -> None:
    """Requests that people corrected are harder than others: an exam without them would be too easy."""
    root = founded(tmp_path / "p")
    sources = {
        "history": History(220, 0),
        "log": service("log/", rights="terms-3", fields=FIELDS),
        "experts": answers("answers/"),
    }
    every = worth_asking(20, exam_share=1.0)
    recipe = replace(bank(), sources=sources, checks={}, train=text_linear(cost=1.0), questions=every)
    written(root / "inbox" / "log" / "a.jsonl", requests(range(5000, 5020), corrected=10))
    with opened(root) as project:
        told = run_turn(project, recipe)
        assert told["reasons"]["exam_share"] == 10, "what may be examined is not learnt"
        sheet = open_questions(project, recipe.task)
        texts = sheet.rows.column("text").to_pylist()
        assert sorted(texts) == sorted(sentence(i)[0] for i in range(5000, 5020))
        assert sheet.suggested == [None] * 20, "nobody is led"
        ask = root / "inbox" / "answers" / "ask.xlsx"
        write_questions(ask, sheet)
    fill(ask, {sentence(i)[0]: sentence(i)[1] for i in range(5000, 5020)})
    with opened(root) as project:
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        state = np.array(STATES)[stands(project, stock)]
        from_log = stock.of_origins(lambda _, origin: origin.source == "log")
        answered = stock.of_origins(lambda _, origin: origin.method == "asked:random")
        assert set(state[from_log]) == {SUPERSEDED}
        assert (state[answered] == "exam").sum() == 20
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]


def test_feedback_that_is_added_leaves_one_row(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    source = service("log/", rights="own", fields=FIELDS | {"thumbs": "thumb"})
    recipe = replace(bank(), sources={"history": History(220, 0), "log": source}, checks={})
    log = root / "inbox" / "log" / "a.jsonl"
    written(log, requests(range(5000, 5005)))
    with opened(root) as project:
        gather(project, dict(recipe.sources), begin(project, recipe))
        stop(project)
        written(log, [*requests(range(5000, 5005)), {"id": "r5001", "thumb": "down"}])
        gather(project, dict(recipe.sources), begin(project, recipe))
        stock = load_stock(project, recipe.task)
        settled = settle(stock, np.zeros(len(stock), bool))
        keys = np.array(stock.records.column("_key").to_pylist())
        assert (keys == "r5001").sum() == 2
        assert np.flatnonzero(settled.replaced).tolist() == np.flatnonzero(keys == "r5001")[:1].tolist()
        assert not settled.answered.any()


def fill(path: Path, labels: dict[str, str]) -> None:
    book = openpyxl.load_workbook(path)
    for row in book["questions"].iter_rows(min_row=2):
        row[3].value = labels[row[1].value]
    book.save(path)
