"""The rule of pay: nobody works for nothing, honesty pays best, and no pot pays more than it holds."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bapsim.core.errors import InputError, RecipeError
from bapsim.judge.pay import (
    HOUR,
    Pay,
    clocked,
    divided,
    merit,
    pay,
    pot,
    prize,
    spent,
    understood,
    wage,
)
from bapsim.mods import Money

SHARES = st.floats(0, 1)
ANSWERS = st.lists(st.tuples(st.floats(0, 100_000), st.integers(0, HOUR)), max_size=12)


def won(minor):
    return Money(minor=minor, currency="KRW")


def rule(**said):
    return pay(**{"hour": "30,000 KRW", "bonus": "500 KRW", "share": 0.1, "worth": "1,000,000 KRW"} | said)


# ------------------------------------------------------------------ the rule


def test_a_rule_is_known_by_what_it_says():
    one = rule()
    assert one == Pay(hour=won(30_000), bonus=won(500), share=0.1, worth=won(1_000_000), idle=5.0)
    assert understood(one.said()) == one
    assert one.id == rule(hour="30000 KRW").id == rule(hour=won(30_000)).id
    assert one.id.startswith("pay-")
    assert len({one.id, rule(idle=6).id, rule(share=0.2).id, rule(hour="30,001 KRW").id}) == 4
    bare = pay(hour="12.50 USD")
    assert (bare.bonus, bare.worth, bare.share) == (Money(minor=0, currency="USD"),) * 2 + (0.0,)


@pytest.mark.parametrize(
    "said", [{"share": 1.1}, {"share": -0.1}, {"idle": 0}, {"idle": 61}, {"share": math.nan}]
)
def test_a_rule_out_of_range_is_refused(said):
    with pytest.raises(RecipeError):
        rule(**said)


def test_a_rule_takes_amounts_only():
    with pytest.raises(InputError):
        rule(hour="much")


# ------------------------------------------------------------------ time


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        (12, 12_000),
        (0.5, 500),
        (0, 0),
        (-3, 0),
        (None, 0),
        (True, 0),
        ("9", 0),
        (math.nan, 0),
        (math.inf, HOUR),
        (1e9, HOUR),
        (10**400, HOUR),
    ],
)
def test_the_time_of_an_answer_is_a_time(said, ms):
    assert spent(said) == ms


def test_who_does_one_thing_at_a_time_is_paid_for_all_of_it():
    # three answers of 60, 200 and 290 s, one after another, then a pause of 20 minutes and one more
    assert clocked([(60, 60_000), (260, 200_000), (550, 290_000), (1800, 50_000)], 5) == 600_000


def test_an_idle_gap_counts_up_to_the_pause():
    assert clocked([(0, 0), (3000, 3_000_000)], 5) == 300_000
    assert clocked([], 5) == 0


def test_who_claims_more_than_the_clock_is_paid_by_the_clock():
    burst = [
        (float(i), 300_000) for i in range(100)
    ]  # 100 answers in 99 s, each said to have taken 5 minutes
    assert clocked(burst, 5) == 99_000 + 300_000


@given(ANSWERS, ANSWERS, st.floats(0.1, 60))
def test_more_answers_never_earn_less_in_whatever_order(some, more, idle):
    whole = clocked(some + more, idle)
    assert whole == clocked((some + more)[::-1], idle)
    assert clocked(some, idle) <= whole
    assert whole <= sum(min(took, round(idle * 60_000)) for _, took in some + more)


@given(st.lists(st.integers(1, 299_000), min_size=1, max_size=20), st.floats(0, 1e6))
def test_honest_work_is_never_cut(took, start):
    at, answers = start, []
    for one in took:
        at += one / 1000
        answers.append((at, one))
    assert abs(clocked(answers, 5) - sum(took)) <= 1  # the clock is in seconds, as floats


@given(st.integers(0, 10**12), st.integers(0, 10**9))
def test_a_wage_is_rounded_up_and_exact(ms, hour):
    exact = Fraction(ms) * hour / HOUR
    assert 0 <= wage(ms, won(hour)) - exact < 1


# ------------------------------------------------------------------ tests


def expected(chance, said):
    """What an answer that is right with this chance earns on average, at a confidence."""
    return chance * merit(True, said) + (1 - chance) * merit(False, said)


@given(SHARES, SHARES)
def test_the_true_confidence_can_expect_most(chance, said):
    honest = expected(chance, chance)
    assert honest >= expected(chance, said) - 1e-12
    assume(abs(chance - said) > 0.01)
    assert honest > expected(chance, said)


@given(SHARES, SHARES, SHARES, SHARES)
def test_the_likeliest_answer_can_expect_most(first, second, said, other):
    assume(first > second + 1e-6)
    assert expected(first, first) > expected(second, second) - 1e-12
    assert expected(first, first) >= expected(second, other) - 1e-12
    assert expected(first, said) >= expected(second, said) - 1e-12  # at the same confidence, too


@given(SHARES)
def test_whoever_answers_honestly_expects_no_less_than_who_says_nothing(chance):
    assert expected(chance, chance) >= merit(None) - 1e-12
    assert merit(None) > merit(False, 1.0) == 0


@given(st.sampled_from([True, False, None]), st.one_of(st.none(), st.floats(-2, 3)), st.integers(0, 10**9))
def test_no_test_pays_more_than_was_declared(right, said, most):
    assert 0 <= merit(right, said) <= 1
    assert 0 <= prize(won(most), merit(right, said)) <= most


def test_who_was_not_asked_how_sure_they_are_is_right_or_wrong():
    assert (merit(True), merit(False)) == (1.0, 0.0) == (merit(True, 1.0), merit(False, 1.0))
    assert prize(won(500), merit(True)) == 500


# ------------------------------------------------------------------ shares


@given(st.floats(-50, 90), SHARES)
def test_a_pot_is_a_share_of_what_the_points_are_worth(points, share):
    one = rule(share=share)
    found = pot(points, one)
    assert 0 <= found <= max(points + 0.005, 0) * share * 1_000_000
    assert pot(-points, one) == 0 or points < 0


def test_a_pot_of_nothing_is_empty():
    assert pot(math.nan, rule()) == pot(math.inf, rule()) == pot(-1, rule()) == 0
    assert pot(2.345, rule()) == 234_000 + 500 * (f"{2.345:.2f}" == "2.35") * 2


@given(st.integers(0, 10**12), st.lists(st.floats(0, 1e6), max_size=9))
def test_all_of_a_pot_is_divided_and_no_more(total, weights):
    found = divided(total, weights)
    whole = sum(Fraction(w) for w in weights)
    assert sum(found) == (total if whole else 0)
    for minor, weight in zip(found, weights, strict=True):
        assert minor >= 0
        assert not whole or abs(minor - total * Fraction(weight) / whole) < 1


def test_equal_weights_are_divided_in_their_order():
    assert divided(10, [1, 1, 1]) == [4, 3, 3]
    assert divided(10, []) == []
