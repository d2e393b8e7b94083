"""Temperature against a grid, invariances, and what counts as calibrated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.judge.calibrate import calibration_error, is_calibrated, sharpness, softmax


def made(seed, true=2.0, rows=3000, classes=5):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, classes))
    p = softmax(scores, true)
    gold = np.array([rng.choice(classes, p=row) for row in p])
    return scores, gold


def loss(scores, gold, sharp):
    return -np.log(softmax(scores, sharp)[np.arange(len(gold)), gold]).mean()


def test_softmax():
    assert softmax(np.array([[0.0, np.log(3.0)]]), 1.0) == pytest.approx(np.array([[0.25, 0.75]]))
    assert softmax(np.array([[0.0, np.log(3.0)]]), 2.0) == pytest.approx(np.array([[0.1, 0.9]]))
    assert softmax(np.array([[1e5, 0.0]]), 1.0).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_true_sharpness_is_found(true):
    scores, gold = made(0, true)
    assert sharpness(scores, gold) == pytest.approx(true, rel=0.1)


def test_no_other_sharpness_has_less_loss():
    scores, gold = made(1)
    best = sharpness(scores, gold)
    assert all(
        loss(scores, gold, best) <= loss(scores, gold, best * f) for f in (0.5, 0.99, 0.999, 1.001, 1.01, 2)
    )


@settings(max_examples=30)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_offset_of_scores_do_not_matter(scale, offset):
    scores, gold = made(2, rows=300)
    assert sharpness(scores * scale + offset, gold) * scale == pytest.approx(
        sharpness(scores, gold), rel=1e-6
    )


def test_unknown_classes_are_left_out_and_nothing_to_fit_is_one():
    scores, gold = made(3, rows=500)
    more = np.vstack([scores, scores[:100]])
    assert sharpness(more, np.r_[gold, np.full(100, -1)]) == sharpness(scores, gold)
    assert sharpness(scores[:0], gold[:0]) == 1.0
    assert sharpness(scores[:2], np.array([-1, -1])) == 1.0
    assert sharpness(np.ones((9, 3)), np.zeros(9, np.int64)) == 1.0


def test_scores_that_are_always_right_or_always_wrong_stay_finite():
    scores = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    sure = sharpness(scores, np.array([0, 1, 2, 0, 1, 2]))
    unsure = sharpness(scores, np.array([1, 2, 0, 1, 2, 0]))
    spread = scores.std()
    assert 20 < sure * spread <= 1000
    assert unsure * spread == pytest.approx(1e-3, rel=0.1)


def test_calibration_error_of_an_honest_and_a_boastful_model():
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.4, 1.0, 20_000)
    right = rng.random(20_000) < honest
    assert calibration_error(honest, right) < 0.01
    assert calibration_error(np.minimum(honest + 0.15, 1), right) == pytest.approx(0.12, abs=0.03)
    assert calibration_error(honest - 0.15, right) == pytest.approx(0.15, abs=0.02)
    assert calibration_error(np.empty(0), np.empty(0, bool)) == 0.0
    assert calibration_error(np.array([0.9]), np.array([False])) == pytest.approx(
        0.9 - np.sqrt(2 * 0.09 / np.pi)
    )


def test_errors_in_opposite_directions_do_not_cancel():
    confidence = np.repeat([0.3, 0.9], 500)
    right = np.r_[np.ones(300), np.zeros(200), np.ones(300), np.zeros(200)].astype(bool)
    assert right.mean() == pytest.approx(confidence.mean())
    assert calibration_error(confidence, right) > 0.25


def test_who_counts_as_calibrated():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 1000)
    right = rng.random(1000) < confidence
    assert is_calibrated(confidence, right)
    assert is_calibrated(confidence[:100], right[:100])
    assert not is_calibrated(confidence[:99], right[:99])
    assert not is_calibrated(np.full(1000, 0.99), right)
