"""Whose data gave how much: parts sum to one, harm gets nothing, and nobody is judged by their own rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.judge import contribution
from bapsim.judge.contribution import Expected, balanced, parts, trust

NOBODY = np.empty((0, 3))
NONE = np.empty(0, np.int64)


def measured(gains, error=0.01, rows=400, seed=0):
    """Per-row gains that are so large on average."""
    rng = np.random.default_rng(seed)
    return np.array(gains) + rng.normal(0, error * rows**0.5, (rows, len(gains)))


def divide(gains, expected, **said):
    rows = len(gains)
    weights = np.full(gains.shape, 1 / max(rows, 1))
    return parts(gains, weights, np.arange(rows), expected, 7, **said)


def test_trust_is_what_tests_say():
    assert trust(0, 0) == 0.25
    assert trust(20, 20) > 0.9 > trust(16, 20) > trust(10, 20) > trust(0, 20)
    assert trust(0, 20) < 0.01


def test_nobody_is_judged_by_their_own_rows_and_both_halves_count_alike():
    base = np.array([True, True, True, False, False, False])
    own = np.array([[False, False]] * 3 + [[True, False], [True, True], [False, True]])
    found = balanced(base, np.array([1, 1, 1, 0.9, 0.5, 0.1]), own)
    assert (found[own] == 0).all()
    assert found[base].sum(axis=0) == pytest.approx([1, 1])
    assert found[~base].sum(axis=0) == pytest.approx([1, 1])
    assert found[3, 1] == 1
    alone = balanced(base, np.ones(6), np.array([[False]] * 3 + [[True]] * 3))
    assert alone.sum() == pytest.approx(1)


def test_what_was_measured_beyond_doubt_decides():
    found = divide(measured([0.3, 0.1, -0.2], 0.001), [Expected(10, 5, 10)] * 3)
    assert [one.share for one in found] == pytest.approx([0.75, 0.25, 0], abs=0.02)
    assert found[2].high < 0.01
    assert all(one.low <= one.share <= one.high for one in found)
    assert found[0].gain == pytest.approx(0.3, abs=0.01)
    assert found[0].error == pytest.approx(0.001, rel=0.3)


def test_where_nothing_can_be_told_what_was_expected_decides():
    vague = divide(
        measured([0.01, 0.01, 0.01], 5.0), [Expected(40, 19, 20), Expected(20, 19, 20), Expected(40, 0, 20)]
    )
    assert vague[0].share > vague[1].share > vague[2].share
    assert vague[2].share < 0.15


def test_without_any_fit_what_was_expected_decides():
    found = parts(NOBODY, NOBODY, NONE, [Expected(40, 20, 20), Expected(40, 20, 20), Expected(0, 20, 20)], 1)
    assert [one.share for one in found] == pytest.approx([0.5, 0.5, 0])
    assert found[0].low < 0.5 < found[0].high
    assert np.isnan(found[0].gain)


def test_where_everybody_does_harm_what_was_expected_decides():
    found = divide(measured([-0.3, -0.2], 0.001), [Expected(30, 10, 10), Expected(10, 10, 10)])
    assert [one.share for one in found] == pytest.approx([0.75, 0.25])


def test_who_surely_did_harm_gets_nothing_of_what_was_expected():
    """A liar did more harm than the expert good: what was expected of the liar is refuted all the same."""
    expected = [Expected(10, 0, 0), Expected(30, 0, 0), Expected(10, 0, 0)]
    found = divide(measured([0.05, -0.2, -0.001], 0.02), expected)
    assert (found[1].share, found[1].low, found[1].high) == (0, 0, 0)
    assert found[1].gain < -0.1
    assert found[0].share > 0.4
    assert found[2].share > 0, "it cannot be told of them"
    assert sum(one.share for one in found) == pytest.approx(1)


def test_nothing_at_all_is_nobodys():
    found = parts(NOBODY, NOBODY, NONE, [Expected(0, 0, 0)] * 3, 1)
    assert [one.share for one in found] == [0, 0, 0]


def test_the_same_seed_divides_alike_and_groups_are_drawn_together(monkeypatch):
    gains, expected = measured([0.2, 0.1], 0.05), [Expected(10, 5, 6)] * 2
    monkeypatch.setattr(contribution, "CELLS", 3000)  # in several pieces
    assert divide(gains, expected) == divide(gains, expected)
    weights = np.full(gains.shape, 1 / len(gains))
    tied = parts(gains, weights, np.arange(len(gains)) // 100, expected, 7)
    assert tied[0].error != divide(gains, expected)[0].error


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 50), st.integers(0, 10)), min_size=1, max_size=4),
    st.floats(0, 3),
)
def test_parts_are_of_one_whole(people, error):
    expected = [Expected(news, right, 10) for _, news, right in people]
    found = divide(measured([gain for gain, _, _ in people], error, rows=50), expected)
    total = sum(one.share for one in found)
    assert total == pytest.approx(1) or total == 0
    for one in found:
        assert 0 <= one.low <= one.share <= one.high <= 1
