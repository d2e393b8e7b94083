"""Drift: what does not drift is called so at the stated rate; what does is found, and small is not large."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstwobign

from bapsim.judge.drift import (
    histogram,
    kolmogorov,
    shift_of_mix,
    shift_of_share,
    shift_of_values,
    stability,
)


@given(st.floats(0, 5))
def test_the_distribution_of_kolmogorov(x: float) -> None:
    assert kolmogorov(x) == pytest.approx(float(kstwobign.sf(x)), abs=1e-6)


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=60), st.integers(1, 30))
def test_every_value_is_in_one_bin(values: list[float], bins: int) -> None:
    counts = histogram(np.array(values, float), bins)
    assert counts.sum() == sum(not math.isnan(v) for v in values)
    assert len(counts) == bins


@given(st.lists(st.integers(0, 500), min_size=2, max_size=20))
def test_the_same_counts_have_not_drifted(counts: list[int]) -> None:
    same = np.array(counts, np.int64)
    for found in (shift_of_mix(same, same), shift_of_values(same, same)):
        assert not found.drifted
        assert found.size == pytest.approx(0, abs=1e-9)
    assert stability(same, same) == 0


def test_samples_of_one_world_hardly_ever_drift() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(40))
    alarms = 0
    for _ in range(300):
        a, b = rng.multinomial(3000, shares), rng.multinomial(400, shares)
        alarms += shift_of_mix(a, b).drifted
        alarms += shift_of_values(a, b).drifted
        alarms += shift_of_share(0.1, int(rng.binomial(400, 0.1)), 400).drifted
    assert alarms <= 3, "900 tests at .001, and large on top"


def test_another_world_drifts() -> None:
    rng = np.random.default_rng(2)
    shares, other = rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(20))
    a, b = rng.multinomial(3000, shares), rng.multinomial(500, other)
    assert shift_of_mix(a, b).drifted
    assert shift_of_values(np.array([0, 10, 90]), np.array([100, 200, 100])).drifted
    assert shift_of_share(0.1, 90, 300).drifted


def test_small_or_few_is_not_called_drift() -> None:
    much = np.array([50_000, 50_000])
    small = shift_of_mix(much, np.array([51_500, 48_500]))
    assert small.p < 1e-6
    assert not small.drifted
    assert not shift_of_mix(np.array([500, 500]), np.array([100, 0])).drifted, "a hundred answers are few"
    assert not shift_of_share(0.05, 0, 0).drifted
    empty = np.zeros(3, np.int64)
    for found in (shift_of_mix(empty, empty), shift_of_values(empty, empty)):
        assert (found.size, found.p, found.observations) == (0.0, 1.0, 0)
    rare = shift_of_mix(np.array([1, 2, 1]), np.array([2, 1, 1]))
    assert (rare.p, rare.drifted) == (1.0, False)
