"""Answers in one spelling: what says the same is equal, what does not is not."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.canonical import LONGEST, canonical, choice, final_answer, number, same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("72", "72.0"),
        ("72", " 72. "),
        ("1,200.50", "$1200.5"),
        ("-3", "−3"),
        ("7", "+7"),
        ("0.5", "1/2"),
        ("1e3", "1000"),
        ("True", "true"),
        ("**No**", "no"),
        ("\\boxed{12}", "12"),
        ("１２", "12"),
        ("총 3,000원", "총 3000원"),
        ('{"a": 1.0}', '{"a": 1}'),
    ],
)
def test_one_answer_in_two_spellings(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("72", "73"),
        ("2+5", "25"),
        ("5 +5", "5 5"),
        ("5-3", "53"),
        ("1.2.3.4", "1.20.3.4"),
        ("007", "7"),
        ("] }", "]"),
        ("0.1", "0.10000000000000001"),
        ("9007199254740992", "9007199254740993"),
        ("(A)", "(B)"),
        ("5", "5 or maybe not"),
        ("1,2", "12"),
        ("", "0"),
        ("1/0", "1"),
        ("nan", "0"),
    ],
)
def test_two_answers(one: str, other: str) -> None:
    assert not same(one, other)


def test_what_is_too_long_equals_nothing() -> None:
    long = "a" * (LONGEST + 1)
    assert not same(long, long)
    assert number("9" * 5000) is None
    assert canonical("9" * 5000) == "9" * 5000


@given(st.text(max_size=60))
def test_a_canonical_form_is_its_own(text: str) -> None:
    once = canonical(text)
    assert canonical(canonical(once)) == canonical(once)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_numbers_are_equal_exactly_where_they_are(one: int, other: int) -> None:
    assert same(f"{one:,}", f"{other}.0") is (one == other)
    assert number(f"{one:,}") == Fraction(one)


@given(st.text(max_size=200))
def test_any_text_may_be_asked_for_its_answer(text: str) -> None:
    said = final_answer(text)
    assert said is None or (said.strip() == said and said)
    assert choice(text) is None or len(choice(text) or "") == 1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2+2=4\n#### 4", "4"),
        ("A: 3\nA: 4", "4"),
        ("So the answer is (B). I think", "(B)"),
        ("정답은 5입니다.", "5"),
        ("so \\boxed{1/2} it is", "1/2"),
        ("I do not know", None),
        ("####", None),
    ],
)
def test_the_end_of_a_solution(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(("text", "letter"), [("(B)", "B"), ("c", "C"), ("D. red", "D"), ("both", None)])
def test_a_choice(text: str, letter: str | None) -> None:
    assert choice(text) == letter
