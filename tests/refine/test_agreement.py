"""Agreement counts different makers: the samples of one are one voice, and its majority verifies nothing."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.core.records import Records, Task
from bapsim.refine.agreement import agreed_across, settled_answer, voices
from bapsim.refine.mutation import admits
from bapsim.testing import dataset_of, records_of, turn_of

TURN = turn_of(Task(input="question", target="answer"))


def said(rows: list[tuple[str, str, str | None]], least: int = 2) -> list[bool | None]:
    questions, makers, answers = zip(*rows, strict=True)
    return list(voices(questions, answers, makers, least).taken)


def test_different_makers_agree() -> None:
    assert said([("q", "a", "4"), ("q", "b", "4"), ("q", "c", "5")]) == [True, True, False]
    assert said([("q", "a", "4"), ("q", "b", "5")]) == [None, None]
    assert said([("q", "a", "4"), ("r", "b", "4")]) == [None, None]
    assert said([("q", "a", "4"), ("q", "b", "4"), ("q", "c", "5"), ("q", "d", "5")]) == [None] * 4
    assert said([("q", "a", "4"), ("q", "b", None), ("q", "c", "4")]) == [True, False, True]


def test_the_majority_of_one_model_is_no_agreement() -> None:
    assert said([("q", "a", "4")] * 100) == [None] * 100
    assert said([("q", "a", "4")] * 9 + [("q", "a", "5")] + [("q", "b", "5")]) == [None] * 11
    many = [("q", "a", "4"), ("q", "a", "4"), ("q", "a", "5"), ("q", "b", "4")]
    assert said(many) == [True, True, False, True]


ROWS = st.lists(st.tuples(st.sampled_from("qr"), st.sampled_from("abcd"), st.sampled_from(["1", "2", None])))


@given(ROWS, st.integers(2, 4))
def test_what_is_taken_has_enough_makers_behind_it(
    rows: list[tuple[str, str, str | None]], least: int
) -> None:
    if not rows:
        return
    for (question, _, answer), taken in zip(rows, said(rows, least), strict=True):
        makers = {maker for q, maker, a in rows if q == question and a == answer}
        if taken:
            assert answer is not None
            assert len(makers) >= least
    assert Counter(said(rows, least)) == Counter(said(rows[::-1], least))
    assert (
        len({a for (q, _, a), taken in zip(rows, said(rows, least), strict=True) if taken and q == "q"}) < 2
    )


def test_answers_are_compared_where_they_end() -> None:
    assert settled_answer("48/2=24\n#### 24.0") == settled_answer("A: 24") == "24"
    assert settled_answer("Paris.") == "paris"
    assert settled_answer(None) is None
    assert settled_answer(" ") is None
    with pytest.raises(RecipeError):
        agreed_across(least=1)


def machine(rows: list[dict[str, Any]], origin: int) -> Records:
    return records_of(rows, maker="machine", origin=origin)


def test_as_a_survey_people_have_no_voice() -> None:
    people = records_of([{"question": "q", "answer": "4"}, {"question": "r", "answer": "9"}])
    one = machine([{"question": "q", "answer": "4"}, {"question": "r", "answer": "8"}], 1)
    two = machine([{"question": "q", "answer": "4"}, {"question": "r", "answer": "8"}], 2)
    survey = agreed_across(limit=1.0)
    alone = list(survey(dataset_of(people, one), TURN))
    assert [part.column("keep").to_pylist() for part in alone] == [[None, None], [None, None]]
    both = list(survey(dataset_of(people, one, two), TURN))
    assert [part.column("keep").to_pylist() for part in both] == [[None, None], [True, True], [True, True]]
    assert both[1].column("value").to_pylist() == [2, 2]
    audit = survey.mutated(dataset_of(people, one, two), TURN)
    assert (audit.gold, audit.answers, audit.fooled, audit.taken) == (2, 1, 1, 2)
    assert not admits(audit)


@pytest.mark.parametrize(("alike", "kept"), [(0, True), (10, None)])
def test_generators_that_err_alike_only_rank(alike: int, kept: bool | None) -> None:
    """Two makers answer 300 questions; in 160 that people answered, too, one of them is wrong, or both."""
    asked = [{"question": f"q{n}", "answer": str(n)} for n in range(300)]
    one = [{**row, "answer": "x" if n < 160 else row["answer"]} for n, row in enumerate(asked)]
    two = [{**row, "answer": "x" if n < alike else row["answer"]} for n, row in enumerate(asked)]
    world = dataset_of(records_of(asked[:160]), machine(one, 1), machine(two, 2))
    survey = agreed_across()
    assert survey.mutated(world, TURN).fooled == alike
    said = list(survey(world, TURN))[1]
    assert said.column("keep").to_pylist()[160:] == [kept] * 140
    assert said.column("value").to_pylist()[160:] == [2] * 140


@pytest.mark.data
def test_on_answers_of_real_models(data: Path) -> None:
    """GPT-3's solutions of gsm8k: three of four models agree; precision above .9 at a recall above .5."""
    with gzip.open(data / "gsm8k/model_solutions.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    answers = [settled_answer(row["solution"]) for row in rows]
    taken = voices([row["id"] for row in rows], answers, [row["model"] for row in rows], 3).taken
    right = [row["is_correct"] for row, one in zip(rows, taken, strict=True) if one]
    assert sum(right) / len(right) > 0.9
    assert sum(right) / sum(row["is_correct"] for row in rows) > 0.5
