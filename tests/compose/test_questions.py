"""Questions: no duplicate is asked twice, random rows are random, chosen rows are uncertain and diverse."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.questions import CHOSEN, RANDOM, choose, spread, surprise, uncertainty


def pool(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.3), n).astype(np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    st.integers(0, 60), st.integers(0, 4), st.integers(0, 80), st.floats(0, 1), st.integers(1, 30), st.data()
)
def test_laws_of_a_list_of_questions(n, k, budget, share, kinds, data):
    groups = np.array(data.draw(st.lists(st.integers(0, kinds), min_size=n, max_size=n)), np.int64)
    probs = pool(n, k) if k else np.zeros((n, 0), np.float32)
    if n and k:
        probs[data.draw(st.integers(0, n - 1))] = np.nan
    index, draw = choose(probs, groups, budget, share, rng())
    assert index.dtype == np.int64
    assert len(index) == len(draw) == min(budget, len(set(groups.tolist())))
    assert len(set(groups[index].tolist())) == len(index)
    assert set(draw) <= {RANDOM, CHOSEN}
    assert (draw == RANDOM).sum() == min(round(budget * share), len(set(groups.tolist())))
    again = choose(probs, groups, budget, share, rng())
    assert np.array_equal(index, again.rows)
    assert np.array_equal(draw, again.draw)


def test_random_rows_are_uniform_and_do_not_look_at_the_model():
    probs, groups = pool(50, 3), np.arange(50)
    counts = np.zeros(50)
    for seed in range(2000):
        index, draw = choose(probs, groups, 10, 0.5, rng(seed))
        counts[index[draw == RANDOM]] += 1
    assert counts.sum() == 10_000
    chi2 = ((counts - 200) ** 2 / 200).sum()
    assert chi2 < 90  # 49 degrees of freedom, less than 1 in 3,000
    other = choose(pool(50, 3, seed=9), groups, 10, 0.5, rng(3))
    same = choose(probs, groups, 10, 0.5, rng(3))
    assert set(other.rows[other.draw == RANDOM]) == set(same.rows[same.draw == RANDOM])


def test_a_large_group_is_drawn_as_often_as_it_occurs_but_asked_once():
    groups = np.concatenate([np.zeros(90, np.int64), np.arange(1, 11)])
    hit = [0 in groups[choose(pool(100, 2), groups, 1, 1.0, rng(s)).rows] for s in range(300)]
    assert 0.82 < np.mean(hit) < 0.97


def test_chosen_rows_are_the_uncertain_ones():
    probs = np.full((1000, 4), 0.01, np.float32)
    probs[:, 0] = 0.97
    unsure = rng(1).choice(1000, 100, replace=False)
    probs[unsure] = pool(100, 4, 2) * 0.2 + 0.2
    index, _ = choose(probs, np.arange(1000), 10, 0.0, rng())
    assert set(index) <= set(unsure)


def test_chosen_rows_cover_what_is_confused():
    """16 rows confuse classes 0 and 1 a little more than 4 rows confuse 2 and 3: both are asked about."""
    probs = np.zeros((100, 4), np.float32)
    probs[:, 0] = 1
    probs[:16, :2] = (0.505, 0.495)
    probs[16:20] = (0, 0, 0.52, 0.48)
    for seed in range(20):
        index, _ = choose(probs, np.arange(100), 4, 0.0, rng(seed))
        assert (index < 16).any()
        assert ((index >= 16) & (index < 20)).any()
        assert (index < 20).all()


def test_the_two_kinds_are_mixed():
    _, draw = choose(pool(2000, 3), np.arange(2000), 400, 0.25, rng())
    assert 25 < (draw[:200] == RANDOM).sum() < 75


def test_uncertainty_is_one_minus_the_margin():
    probs = np.array([[0.5, 0.5, 0], [1, 0, 0], [0.6, 0.1, 0.3], [np.nan, np.nan, np.nan]], np.float32)
    assert uncertainty(probs) == pytest.approx([1, 0, 0.7, 1], abs=1e-6)
    assert uncertainty(np.zeros((2, 0), np.float32)).tolist() == [1, 1]


def test_surprise_is_the_gradient_and_leaves_its_input_alone():
    probs = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
    assert surprise(probs) == pytest.approx(np.array([[0.2, -0.2], [-0.5, 0.5]]))
    assert probs[0, 1] == np.float32(0.8)


def test_spread_takes_every_row_once_even_when_all_are_equal():
    for vectors in (np.zeros((30, 2), np.float32), np.ones((30, 2), np.float32)):
        assert sorted(spread(vectors, 30, rng())) == list(range(30))


def test_wrong_arguments_are_refused():
    for args in ((3, 5, 0.5), (4, -1, 0.5), (4, 5, 1.5)):
        with pytest.raises(ValueError, match="exam_share"):
            choose(pool(4, 2), np.arange(args[0]), args[1], args[2], rng())


def test_a_pool_of_100_000_rows_is_quick():
    probs = rng().dirichlet(np.full(77, 0.1), 100_000).astype(np.float32)
    groups = rng().integers(0, 95_000, 100_000)
    start = time.process_time()
    index, _ = choose(probs, groups, 500, 0.2, rng())
    assert time.process_time() - start < 6
    assert len(index) == 500
