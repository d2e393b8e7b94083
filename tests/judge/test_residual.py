"""Bad deliveries are named, honest ones are not."""

import math

import numpy as np
import pytest

from bapsim.judge.residual import flagged, residuals


def delivery(rng, name, rows, wrong, low=0.6):
    """Rows of a champion that is honest about itself, with a share of wrong labels."""
    confidence = rng.uniform(low, 1, rows)
    differs = (rng.random(rows) > confidence) | (rng.random(rows) < wrong)
    return np.full(rows, name), differs, confidence, np.ones(rows, bool)


def judged(*parts, **more):
    return residuals(*(np.concatenate(column) for column in zip(*parts, strict=True)), **more)


def test_the_noisy_delivery_is_named_and_the_hard_one_is_not():
    rng = np.random.default_rng(0)
    found = judged(
        delivery(rng, "bad", 300, 0.4),
        delivery(rng, "hard", 300, 0.0, low=0.2),
        delivery(rng, "good", 300, 0.0),
    )
    assert flagged(found) == ("bad",)
    assert found["bad"].rows == 300
    assert found["bad"].excess > 0.2
    assert abs(found["good"].excess) < 0.06


def test_figures_by_hand():
    names = np.array(["a"] * 100 + ["b"] * 100)
    differs = np.r_[np.ones(50), np.zeros(50), np.ones(20), np.zeros(80)].astype(bool)
    found = residuals(names, differs, np.full(200, 0.9), np.ones(200, bool))
    assert found["a"].excess == pytest.approx(0.4)
    assert found["a"].beyond == pytest.approx(0.1)
    assert found["a"].z == pytest.approx((0.4 - 0.1 - 0.06) / math.sqrt(25 / 99 / 100))
    assert found["b"].beyond == pytest.approx(0.4)
    assert found["b"].z < 0
    wide = residuals(names, differs, np.full(200, 0.9), np.ones(200, bool), margin=0.3)
    assert wide["a"].z == pytest.approx(0.0, abs=1e-9)
    assert flagged(found) == ("a",)
    assert flagged(wide) == ()


def test_others_that_do_better_than_expected_do_not_lower_the_bar():
    names = np.array(["a"] * 200 + ["b"] * 200)
    differs = np.r_[np.ones(30), np.zeros(370)].astype(bool)
    found = residuals(names, differs, np.full(400, 0.85), np.ones(400, bool))
    assert found["a"].beyond == 0.0
    assert not found["a"].flagged


def test_one_delivery_alone_is_held_against_the_champion():
    rng = np.random.default_rng(1)
    assert flagged(judged(delivery(rng, "only", 200, 0.5))) == ("only",)
    assert flagged(judged(delivery(rng, "only", 200, 0.0))) == ()


def test_unknown_classes_and_small_deliveries_are_not_judged():
    rng = np.random.default_rng(2)
    names, differs, confidence, known = delivery(rng, "new classes", 200, 1.0)
    found = residuals(names, differs, confidence, ~known)
    assert found["new classes"].rows == 0
    assert math.isnan(found["new classes"].z)
    assert flagged(found) == ()
    assert flagged(judged(delivery(rng, "few", 29, 1.0))) == ()
    assert flagged(judged(delivery(rng, "few", 30, 1.0))) == ("few",)


def test_certain_contradiction_without_spread_is_finite():
    found = residuals(np.full(40, "x"), np.ones(40, bool), np.ones(40), np.ones(40, bool))
    assert math.isfinite(found["x"].z)
    assert found["x"].flagged


def test_the_worst_comes_first():
    rng = np.random.default_rng(3)
    parts = [
        delivery(rng, name, 300, wrong)
        for name, wrong in (("a", 0.5), ("b", 0.9), ("c", 0), ("d", 0), ("e", 0))
    ]
    assert flagged(judged(*parts)) == ("b", "a")
