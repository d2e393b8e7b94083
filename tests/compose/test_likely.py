"""Rows to show a person who looks for one class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.likely import likely


def test_the_most_probable_come_first_and_say_how_many_to_expect() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan], [0.5, 0.5], [0.99, 0.01]], np.float32)
    found = likely(probs, 1, 3)
    assert found.rows.tolist() == [1, 3, 0]
    assert found.expected == pytest.approx(1.4)
    assert found.at_random == pytest.approx(3 * 1.41 / 5)
    assert likely(probs, 1).rows.tolist() == [1, 3, 0, 4, 2]
    assert likely(probs[:0], 1).expected == 0


def test_of_near_duplicates_one_is_shown() -> None:
    probs = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    assert likely(probs, 1, 2, np.array([5, 5, 6, 6])).rows.tolist() == [0, 2]


@given(st.integers(0, 10**6), st.integers(0, 30))
def test_calibrated_probabilities_expect_what_is_there(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.2, 2, 4000)
    found = likely(np.stack([1 - chance, chance], axis=1), 1, 400 + count)
    there = (rng.random(4000) < chance)[found.rows].sum()
    assert abs(there - found.expected) < 6 * np.sqrt(max(found.expected, 1))
    assert found.expected >= found.at_random
    assert (np.diff(found.probability) <= 0).all()


@pytest.mark.parametrize(
    ("wanted", "count", "groups"), [(2, 1, None), (-1, 1, None), (0, -1, None), (0, 1, [1])]
)
def test_arrays_that_do_not_fit_are_refused(wanted: int, count: int, groups: list[int] | None) -> None:
    with pytest.raises(ValueError, match="wanted"):
        likely(np.ones((3, 2)), wanted, count, None if groups is None else np.array(groups))
