"""Calculations in texts come out exactly as they should, or are wrong, or are none."""

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.calculation import NoCalculation, comes_to, equations, results, value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("48/2", 24),
        ("1,200 + $3.50", Fraction(2407, 2)),
        ("50%*20", 10),
        ("2(3)", None),
        ("2*(3+4)^2", 98),
        ("2 x 3 × 4 ÷ 8", 3),
        ("-3 - -4", 1),
        ("--3", 3),
        ("0.1+0.2", Fraction(3, 10)),
        ("1/0", None),
        ("", None),
        ("1 2", None),
        ("9**99", None),
        ("9**9**9", None),
        ("2**-2", Fraction(1, 4)),
        ("0**-1", None),
        ("(" * 100 + "1" + ")" * 100, None),
        ("1+" * 300 + "1", None),
        ("x", None),
        ("(1", None),
    ],
)
def test_what_an_expression_comes_to(text: str, result: Fraction | None) -> None:
    if result is None:
        with pytest.raises(NoCalculation):
            value(text)
    else:
        assert value(text) == result


@given(st.text("0123456789+-*/()%. ^", max_size=25))
def test_any_expression_has_a_value_or_none(text: str) -> None:
    with contextlib.suppress(NoCalculation):
        assert isinstance(value(text), Fraction)


@given(st.integers(-999, 999), st.integers(-999, 999), st.integers(1, 99))
def test_arithmetic_is_exact(a: int, b: int, c: int) -> None:
    assert value(f"({a} + {b}) * {c} / {c}") == a + b
    assert value(f"{a} - {b}*{c}") == a - b * c


def test_rounding_is_no_tolerance() -> None:
    third = Fraction(10, 3)
    assert comes_to(third, "3.33")
    assert comes_to(third, "3.333")
    for wrong in ("3", "3.34", "3.32", "3.3300", "3.43"):
        assert not comes_to(third, wrong)
    assert comes_to(Fraction(95), "95%")
    assert comes_to(Fraction(95, 100), "95%")
    assert not comes_to(Fraction(95), "96%")


def test_equations_of_a_worked_answer() -> None:
    text = "She sold 48/2 = <<48/2=24>>24 clips, 5 more, in all 24 + 5 = 29 = 30 - 1.\n#### 29"
    assert [(left.strip(), right.strip()) for left, right in equations(text)] == [
        ("48/2", "24"),
        ("24", "24"),
        ("48/2", "24"),
        ("24 + 5", "29"),
    ]
    assert list(equations("48/2 = 42, 48+42 = 90. 1+1=3")) == [
        ("48/2 ", " 42"),
        ("48+42 ", " 90"),
        ("1+1", "3"),
    ]
    assert results("3 * 4 = 12\nx = 5, so 2 + 2 = 5") == [12, 5]
    assert list(equations("<<no>> 3 = 4, a+b=c, version 1.2.3=4")) == []
    assert ("(", "5") in list(equations("<<(=5>>"))  # a mark that cannot be worked out is not left out


def test_floods_take_no_time() -> None:
    started = time.process_time()
    for flood in ("1 ", "1+", "<<", "=", "1=", ", ", "<<1", "(", "= 1 x "):
        list(equations("=" + flood * 20_000))
        list(equations(flood * 20_000 + "="))
    assert time.process_time() - started < 8
