"""Sorted lists are judged without an answer: same members, right order, nothing else."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Task
from bapsim.refine.mutation import admits
from bapsim.refine.sorting import sorted_answer
from bapsim.refine.verifying import verified_by
from bapsim.testing import check_check, records_of, turn_of

TURN = turn_of(Task(input="question", target="answer"))
UP = "Sort these numbers in ascending order: 3, -1, 2.5\nPlease answer with a list: [..]"


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (UP, "-1, 2.5, 3", True),
        (UP, "['-1', '2.5', '3']", True),
        (UP, "[-1 2.50 3.0]", True),
        (UP, "So:\n#### -1 2.5 3", True),
        (UP, "3, 2.5, -1", False),
        (UP, "-1, 2.5", False),
        (UP, "-1, 2.5, 3, 3", False),
        (UP, "-1, 2.6, 3", False),
        (UP, "-1, 2.5, 3 or maybe not", False),
        (UP, "", False),
        (UP, "x" * 100_000, False),
        (UP, "a" * 200 + "[", False),
        (UP, "[-1, 2.5, 3", False),
        (UP, "-1, , 2.5, 3", False),
        (UP.replace("ascending", "descending"), "3, 2.5, -1", True),
        ("내림차순으로 정렬하세요: 4 9 1", "9 4 1", True),
        ("오름차순으로 정렬하세요: 4 9 1", "9 4 1", False),
        ("Sort the words alphabetically: pear Apple fig", "apple fig pear", True),
        ("Sort the words alphabetically: pear Apple fig", "apple pear fig", False),
        ("What is this?", "1 2 3", None),
        ("Sort: 1", "1", None),
    ],
)
def test_lists(question: str, answer: str, right: bool | None) -> None:
    assert sorted_answer().accepts(question, answer) is right
    assert sorted_answer(question="question").accepts({"question": question}, answer) is right


def test_case_may_count() -> None:
    assert sorted_answer(case=True).accepts("Sort: b A a B", "A B a b") is True
    assert sorted_answer(case=True).accepts("Sort: b A a B", "a A b B") is False


@given(st.lists(st.integers(-99, 99), min_size=2, max_size=9), st.booleans())
def test_the_right_answer_is_taken_and_others_are_not(values: list[int], down: bool) -> None:
    asked = f"Sort in {'descending' if down else 'ascending'} order: {', '.join(map(str, values))}"
    right = sorted(values, reverse=down)
    verify = sorted_answer()
    assert verify.accepts(asked, ", ".join(map(str, right))) is True
    assert verify.accepts(asked, ", ".join(map(str, right[:-1]))) is False
    assert verify.accepts(asked, ", ".join(map(str, right[::-1]))) is (right == right[::-1])


def items(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    made = []
    for n in range(count):
        values = rng.integers(-99, 100, int(rng.integers(5, 9))).tolist()
        word = ("ascending", "descending")[n % 2]
        right = ", ".join(map(str, sorted(values, reverse=n % 2 == 1)))
        made.append({"question": f"Sort in {word} order: {', '.join(map(str, values))}", "answer": right})
    return made


def test_its_audit_admits() -> None:
    said = sorted_answer().mutated(records_of(items(200)), TURN)
    assert (said.refused, said.taken) == (0, 0)
    assert admits(said)
    check_check(sorted_answer(), records_of(items(5), maker="machine"), TURN)
    with pytest.raises(RecipeError, match="no group"):
        sorted_answer(listed="x")
    with pytest.raises(RecipeError):
        sorted_answer(down="(")


def even(row: dict[str, Any], answer: str) -> bool | None:
    return int(answer) % 2 == 0 if row["question"] else None


def test_a_function_of_one_s_own() -> None:
    check = verified_by(even)
    rows = [{"question": q, "answer": a} for q, a in (("x", "2"), ("x", "3"), ("x", "three"), ("", "2"))]
    said = check(records_of(rows, maker="machine"), TURN)
    assert said.column("keep").to_pylist() == [True, False, False, None]
    assert set(said.column("reason").to_pylist()) == {None, "not_verified"}
    assert check.accepts({"question": "x"}, "4") is True
    assert fingerprint(check) == fingerprint(verified_by(even))
    check_check(check, records_of(rows, maker="machine"), TURN)
    evens = records_of([{"question": f"q{n}", "answer": str(2 * n)} for n in range(200)])
    assert not admits(check.mutated(evens, TURN))
