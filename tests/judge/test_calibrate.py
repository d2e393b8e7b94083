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
