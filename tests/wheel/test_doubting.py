"""Labels that look wrong are asked about blindly, and once; a changed rule asks about older labels again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.compose.asking import worth_asking
from bapsim.core.arrow import numbers
from bapsim.core.errors import text
from bapsim.gather.augment import misspell
from bapsim.store.project import opened
from bapsim.wheel.audit import check, stands
from bapsim.wheel.stock import AGAIN, TRAINED, adds_up, exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import ASKS, Books, Clerk, bank, founded, sentence, wrong

SLIPS = 30


@dataclass(frozen=True)
class Told:
    """What one turn left: its summary, the stock, and where each row stands."""

    said: dict[str, Any]
    stock: Any
    state: np.ndarray
    questions: list[dict[str, Any]]


def run(root: Path, recipe: Any) -> Told:
    with opened(root) as project:
        said = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        state = stands(project, stock)
        assert not (exam & (state == TRAINED)).any()
        assert adds_up(said["accounts"])
        assert check(project, recipe)["ok"]
        query = "select q.id, q.draw, q.suggested, a.why from question q join asking a on a.id = q.id"
        questions = project.ledger.rows(f"{query} where q.state='open' and a.turn=?", said["turn"])
    return Told(said, stock, state, questions)


def slipped_bank(**changes: Any) -> Any:
    """260 sentences, of which 30 have a wrong label; an expert answers what is asked."""
    said = tuple((i, wrong(i) if i < SLIPS else None) for i in range(260))
    sources = {"books": Books((said,)), "clerk": Clerk()}
    return bank(sources=sources, questions=worth_asking(40, exam_share=0.0, repair_share=0.5), **changes)


def texts_of(told: Told, why: str) -> list[str]:
    return [told.stock.texts[told.stock.place[q["id"]]] for q in told.questions if q["why"] == why]


def test_labels_that_look_wrong_are_asked_about_blindly_and_mended(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), slipped_bank()
    first = run(root, recipe)
    asked = texts_of(first, "label_error")
    assert asked
    assert all(q["draw"] == "repair" and q["suggested"] is None for q in first.questions)
    planted = {sentence(i)[0] for i in range(SLIPS)}
    assert len(planted & set(asked)) >= 0.4 * len(asked), "a tenth of the others is wrong as well"
    second = run(root, recipe)
    repaired = second.said["notice"]["repaired"]
    assert repaired["asked"] == len(asked)
    assert repaired["changed"] >= 0.4 * len(asked)
    again = second.stock.of_origins(lambda _, o: o.method == AGAIN)
    assert (second.state[again] == TRAINED).sum() == len(asked), "answers are trained on, none is a copy"
    for row, mums in second.stock.parents:
        if again[row]:
            assert second.state[mums[0]] != TRAINED, "the label that was asked about is not"
            assert second.stock.labels[row] == sentence(int(second.stock.texts[row].split()[-1]))[1]
    assert not set(asked) & set(texts_of(second, "label_error")), "what was looked at is not doubted again"


def test_answers_about_labels_never_enter_the_exam(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), slipped_bank()
    for _ in range(3):
        told = run(root, recipe)
    with opened(root) as project:
        exam = told.stock.rows_with(exam_ids(project.ledger))
    assert not (exam & told.stock.of_origins(lambda _, o: o.method == AGAIN)).any()


def test_good_answers_about_bad_labels_are_no_harmful_delivery(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), slipped_bank()
    for _ in range(3):
        assert not run(root, recipe).said["suspects"]


def test_without_a_share_no_label_is_asked_about(tmp_path: Path) -> None:
    none = slipped_bank()
    none = replace(none, questions=worth_asking(40, exam_share=0.0, repair_share=0.0))
    told = run(founded(tmp_path / "p"), none)
    assert not told.questions


def test_a_changed_rule_asks_about_older_labels_again(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    label = sorted(ASKS)[0]
    plain = slipped_bank(guideline={label: "cards only"})
    run(root, plain)
    same = run(root, plain)
    assert not texts_of(same, "guideline"), "the rule stands since the first turn, whose labels were told it"
    stub = {label: text("arrow.rule", "ko", second="loan", examples="")}
    assert not texts_of(run(root, replace(plain, guideline=stub)), "guideline"), "nobody wrote a rule"
    ruled = run(root, replace(plain, guideline={label: "cards, and what they cost"}))
    asked = [q for q in ruled.questions if q["why"] == "guideline"]
    assert asked
    labels = {ruled.stock.labels[ruled.stock.place[q["id"]]] for q in asked}
    assert labels == {label}
    after = run(root, replace(plain, guideline={label: "cards, and what they cost"}))
    now = [q for q in after.questions if q["why"] == "guideline"]
    assert not {q["id"] for q in asked} & {q["id"] for q in now}, "answered under the new rule: settled"


def test_the_row_is_asked_about_and_not_what_a_machine_made_of_it(tmp_path: Path) -> None:
    recipe = slipped_bank()
    said = tuple((i, wrong(i) if i < 120 else None) for i in range(500))
    sources = {"books": Books((said,)), "slips": misspell("books", share=0.9)}  # nobody answers
    recipe = replace(recipe, sources=sources)
    root = founded(tmp_path / "p")
    run(root, recipe)
    told = run(root, recipe)  # variants are of rows of earlier turns
    made = numbers(told.stock.records.column("_input_depth")) > 0
    asked = [told.stock.place[q["id"]] for q in told.questions if q["why"] == "label_error"]
    assert made.sum() > 100
    assert asked
    assert not made[asked].any()
