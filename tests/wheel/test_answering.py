"""Answers through a wheel: counted line by line, also those to questions that became exam items."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from bapsim.core.records import Draft, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.preview import preview
from bapsim.wheel.stock import adds_up, exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import ASKS, bank, batch, founded, origin, sentence

CODES = {name: i for i, name in enumerate(ASKS)}


@dataclass(frozen=True)
class Coded:
    """History and a pool whose target is a number."""

    def __call__(self, turn: Turn):
        if turn.n == 1:
            for at, labelled in ((range(220), True), (range(220, 320), False)):
                rows = batch(at, labelled)
                codes = [CODES.get(label) for label in rows.column("intent").to_pylist()]
                rows = rows.set_column(1, "intent", pa.array(codes, pa.int64()))
                yield Draft(rows=Rows(rows), origin=origin("file"))


def sheet(root: Path, name: str, said: list[tuple[bytes, str]]) -> None:
    place = root / "inbox" / "answers"
    place.mkdir(exist_ok=True)
    (place / name).write_text("_ask,intent\n" + "".join(f"q{one.hex()},{label}\n" for one, label in said))


def test_every_line_of_every_sheet_is_counted_and_an_exam_item_can_be_corrected(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(
        task=Task(input="text", target="intent"),
        sources={"history": Coded(), "experts": answers("answers/")},
        questions=replace(bank().questions, budget=40, exam_share=0.5),
    )
    with opened(root) as project:
        run_turn(project, recipe)
        asked = [r["id"] for r in project.ledger.rows("select id from question order by id")]
        assert len(asked) == 40
        stock = load_stock(project, recipe.task)
        texts = {i.tobytes(): text for i, text in zip(stock.ids, stock.texts, strict=True)}
        truth = {one: str(CODES[sentence(int(texts[one].split()[-1]))[1]]) for one in asked}
        sheet(root, "1.csv", [(one, truth[one]) for one in asked[:30]] + [(asked[30], "one")])
        told = run_turn(project, recipe)
        assert told["fresh"]["experts"] == 30
        assert told["accounts"]["unread"] == 1
        assert project.ledger.value("select reason from unread") == "type"
        stock = load_stock(project, recipe.task)
        answered = {stock.ids[row].tobytes(): stock.ids[mums[0]].tobytes() for row, mums in stock.parents}
        examined = [answered[one] for one in exam_ids(project.ledger) if one in answered]
        assert examined, "random ones are exam items now"
        other = str((int(truth[examined[0]]) + 1) % 4)
        sheet(root, "2.csv", [(examined[0], other), (examined[1], truth[examined[1]])])
        assert preview(project, recipe)["sources"]["experts"] == {"fresh": 2, "again": 30, "unread": 1}
        told = run_turn(project, recipe)
        assert told["fresh"]["experts"] == 2
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        (row,) = [r for r, mums in stock.parents if exam[r] and stock.ids[mums[0]].tobytes() == examined[0]]
        assert stock.labels[row] == other
        lines = 320 + 30 + 1 + 2
        assert told["accounts"]["superseded"] == 30 + 1 + 1, "questions, the first answer, what is said again"
        assert told["accounts"]["lines"] == lines
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]


def test_a_bad_sheet_is_told_from_the_good_one_that_came_with_it(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(
        sources={"history": Coded(), "experts": answers("answers/")},
        questions=replace(bank().questions, budget=80, exam_share=0.2, repair_share=0.0),
    )
    with opened(root) as project:
        run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        texts = {i.tobytes(): text for i, text in zip(stock.ids, stock.texts, strict=True)}
        asked = [r["id"] for r in project.ledger.rows("select id from question order by id")]
        truth = {one: CODES[sentence(int(texts[one].split()[-1]))[1]] for one in asked}
        sheet(root, "good.csv", [(one, str(truth[one])) for one in asked[:40]])
        sheet(root, "bad.csv", [(one, str((truth[one] + 1) % 4)) for one in asked[40:]])
        told = run_turn(project, recipe)
        assert [(one["name"], one["refused"]) for one in told["suspects"]] == [("answers/bad.csv@2", True)]
        assert told["reasons"]["harmful_delivery"] == 40
        assert told["questions"] > 0
        again = {r["id"] for r in project.ledger.rows("select id from question where state='open'")}
        assert set(asked[40:]) <= again, "who answered wrongly has not answered: it is asked again"
        assert not set(asked[:40]) & again
        assert check(project, recipe)["ok"]
