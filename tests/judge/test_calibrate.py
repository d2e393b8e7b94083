"""What counts as calibrated."""

import numpy as np
import pytest

from bapsim.judge.calibrate import calibration_error, is_calibrated


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
    assert calibration_error(np.full(1000, 0.7), right) <= 0.08
    assert is_calibrated(np.full(1000, right.mean()), right), "knows no better, and says so"


@pytest.mark.parametrize("rows", [100, 1000])
def test_who_is_nearly_always_right_and_always_sure_is_not_calibrated(rows):
    right = np.arange(rows) % 20 > 0
    sure, honest = np.full(rows, 0.9999), np.full(rows, 0.95)
    assert calibration_error(sure, right) < 0.08
    assert not is_calibrated(sure, right)
    assert is_calibrated(honest, right)
    assert is_calibrated(np.full(rows, 0.96), right)
    assert is_calibrated(np.ones(rows), np.ones(rows, bool)), "sure, and right in all"


def test_honest_models_pass():
    """Of 2,000 honest models of 100 to 400 rows, nearly all: chance does not cost them their losses."""
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(2000):
        rows = int(rng.integers(100, 400))
        confidence = 1 - (1 - rng.uniform(0.3, 0.98)) * rng.beta(1, 1.5, rows)
        passed += is_calibrated(confidence, rng.random(rows) < confidence)
    assert passed > 1960
