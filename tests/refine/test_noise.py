"""How many labels are wrong is read off where the model is surest; a weak model is not taken for noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.refine.noise import fit_curve, judged, noise, sureness


def world(seed, n=3000, k=4, strength=3.0, rate=0.0, pairs=False):
    """Calibrated probabilities of a model of this strength, given labels and true classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), y] += strength
    p = np.exp(strength * scores)
    p /= p.sum(axis=1, keepdims=True)
    labels = y.copy()
    at = rng.choice(n, round(rate * n), replace=False)
    labels[at] = (y[at] + (1 if pairs else rng.integers(1, k, len(at)))) % k
    to = np.full((k, k), rate / (k - 1)) if not pairs else rate * np.roll(np.eye(k), 1, axis=1)
    np.fill_diagonal(to, 1 - rate)
    return p @ to, labels, y


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("strength", [1.4, 3.0])
def test_the_estimate_is_near_the_truth_also_of_a_weak_model(rate, pairs, strength):
    p, labels, y = world(0, rate=rate, pairs=pairs, strength=strength)
    said = noise(p, labels)
    right = (p.argmax(axis=1) == y).mean()
    assert right > 0.95 if strength == 3 else 0.6 < right < 0.75
    assert said.rate == pytest.approx(rate, abs=0.03 if strength == 3 else 0.06)
    assert said.low <= said.rate <= said.high
    assert said.low - 0.02 < rate < said.high + 0.02
    assert said.rows == len(labels)


def test_of_the_errors_of_a_very_weak_model_less_than_half_are_taken_for_wrong_labels():
    p, labels, y = world(0, strength=1.0)
    assert (p.argmax(axis=1) == y).mean() < 0.56
    assert noise(p, labels).rate < 0.2


def test_wrong_labels_along_pairs_are_told_from_those_spread_evenly():
    along = noise(*world(1, rate=0.2, pairs=True)[:2])
    spread = noise(*world(1, rate=0.2)[:2])
    assert along.along > 0.9
    assert spread.along == 0
    assert along.astray.argmax(axis=1).tolist() == [1, 2, 3, 0]
    np.testing.assert_allclose(along.astray.sum(axis=1), 1)
    np.testing.assert_allclose(spread.astray[0, 1:], 1 / 3, atol=0.05)
    assert (np.diag(along.astray) == 0).all()


def test_the_interval_holds_the_truth_in_most_draws():
    held = [
        said.low <= 0.1 <= said.high for said in (noise(*world(i, n=800, rate=0.1)[:2]) for i in range(40))
    ]
    assert sum(held) >= 36


def test_rows_that_cannot_be_judged_are_left_out():
    odd = np.array(
        [[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [0.9, 0.9], [0.5, 0.5], [1.5, -0.5], [np.inf, 0]]
    )
    p = np.concatenate([odd, np.full((30, 2), 0.5)])
    none = np.full(30, -1)
    assert judged(p, np.concatenate([[0, 0, 1, 1, -1, 0, 0], none])).tolist() == [0, 2]
    assert judged(p, np.concatenate([[2, 0, 1, 1, 5, 0, 0], none])).tolist() == [2]
    several = np.random.default_rng(0).random((50, 4))
    several[:40] /= several[:40].sum(axis=1, keepdims=True)
    assert len(judged(several, np.zeros(50, int))) == 0
    assert len(judged(several[:42], np.zeros(42, int))) == 40
    full, labels, _ = world(2, n=500, rate=0.1)
    holes = np.concatenate([full, np.full((70, 4), np.nan), full[:9]])
    more = np.concatenate([labels, np.zeros(70, int), np.full(9, -1)])
    assert noise(holes, more).rate == noise(full, labels).rate


def test_nothing_is_said_of_no_rows_and_nothing_is_wrong_where_nothing_differs():
    for k in (0, 1, 3):
        said = noise(np.zeros((0, k)), np.zeros(0, int))
        assert np.isnan(said.rate)
        assert said.rows == 0
        assert said.astray.shape == (k, k)
    sure = np.eye(3)[np.arange(30) % 3]
    said = noise(sure, np.arange(30) % 3)
    assert (said.rate, said.low) == (0, 0)
    one = noise(np.ones((20, 1)), np.zeros(20, int))
    assert one.rate == 0
    single = noise(np.array([[0.3, 0.7]]), np.array([0]))
    assert 0 <= single.low <= single.high <= 1


def test_classes_with_few_rows_or_none_are_no_trouble():
    p, labels, _ = world(3, n=600, rate=0.1)
    wide = np.concatenate([p * 0.98, np.full((600, 2), 0.01)], axis=1)
    labels[:2] = 4
    said = noise(wide, labels)
    assert said.astray.shape == (6, 6)
    assert np.isfinite(said.astray).all()
    assert said.rate == pytest.approx(0.1, abs=0.05)


@given(st.integers(0, 20), st.sampled_from([2, 5]), st.floats(0, 0.4))
def test_the_order_of_rows_and_of_classes_makes_no_difference(seed, k, rate):
    p, labels, _ = world(seed, n=120, k=k, strength=1.5, rate=rate)
    said, rng = noise(p, labels), np.random.default_rng(seed)
    rows, classes = rng.permutation(120), rng.permutation(k)
    back = np.argsort(classes)
    again = noise(p[rows][:, classes], back[labels[rows]])
    assert again.rate == pytest.approx(said.rate, abs=1e-9)
    assert again.high == pytest.approx(said.high, abs=1e-9)
    np.testing.assert_allclose(again.astray, said.astray[classes][:, classes], atol=1e-6)


def test_more_noise_gives_a_higher_estimate():
    rates = [noise(*world(4, rate=rate, strength=1.5)[:2]).rate for rate in (0, 0.05, 0.1, 0.2, 0.3)]
    assert rates == sorted(rates)


def test_ties_share_their_place_and_classes_are_ranked_apart():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.4, 0.6], [0.6, 0.4]])
    answer, surer = sureness(p)
    assert answer.tolist() == [0, 0, 0, 1, 0]
    assert surer.tolist() == [0.125, 0.5, 0.5, 0.5, 0.875]
    assert [len(part) for part in sureness(np.zeros((0, 2)))] == [0, 0]


def test_the_curve_finds_what_made_it():
    rng = np.random.default_rng(0)
    r = (np.arange(40_000) + 0.5) / 40_000
    curve = fit_curve(rng.random(40_000) < 0.12 + 0.4 * r**2, r)
    assert curve.rate == pytest.approx(0.12, abs=0.01)
    assert curve.rise == pytest.approx(0.4, abs=0.03)
    assert curve.power == pytest.approx(2, abs=0.5)
    assert curve.low < 0.12 < curve.high
    falling = fit_curve(rng.random(40_000) < 0.3 - 0.2 * r, r)  # no model is like that: the share of all rows
    assert falling.rise == 0
    assert falling.rate == pytest.approx(0.2, abs=0.02)
