"""Power and sizes against simulation and against figures that were measured elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bapsim.judge.compare import mcnemar
from bapsim.judge.power import detectable, items_needed, items_needed_mean, power_of


def test_figures_of_the_design():
    assert items_needed(0.05, 0.10) == 465
    assert items_needed(0.03, 0.05) == 646
    assert items_needed(0.02, 0.05) == 1457
    assert items_needed(0.02, 0.10, alpha=0.0025) == pytest.approx(3327, abs=10)


def test_no_gain_or_an_impossible_one_needs_no_number():
    assert items_needed(0.0, 0.1) is None
    assert items_needed(-0.01, 0.1) is None
    assert items_needed(0.11, 0.1) is None
    assert items_needed(0.1, 0.1) == math.ceil((2.5758293 * math.sqrt(0.1) + 0.8416212 * 0.3) ** 2 / 0.01)


@given(st.integers(50, 20_000), st.floats(0.005, 0.6), st.sampled_from([0.005, 0.0025, 0.05]))
def test_detectable_is_the_inverse_of_items_needed(items, d, alpha):
    gain = detectable(items, d, alpha=alpha)
    assume(gain is not None)
    assert 0 < gain <= d
    needed = items_needed(gain, d, alpha=alpha)
    assert needed == pytest.approx(items, abs=2) or (gain == d and needed <= items)


def test_nothing_is_detectable_where_too_few_items_differ():
    assert detectable(2000, 0.0) is None
    assert detectable(100, 0.05) is None
    least = items_needed(0.05, 0.05)
    assert detectable(least - 1, 0.05) is None
    assert detectable(least, 0.05) == pytest.approx(0.05, rel=0.01)


def test_means():
    assert items_needed_mean(0.1, 1.0) == math.ceil(((2.5758293 + 0.8416212) / 0.1) ** 2)
    assert items_needed_mean(0.0, 1.0) is None
    assert items_needed_mean(-0.1, 1.0) is None
    assert items_needed_mean(100.0, 1.0) == 1


@pytest.mark.parametrize(
    ("items", "d", "gain", "alpha"), [(300, 0.1, 0.05, 0.005), (300, 0.1, 0.0, 0.05), (60, 0.4, 0.2, 0.05)]
)
def test_power_against_simulation(items, d, gain, alpha):
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(items, [(d + gain) / 2, (d - gain) / 2, 1 - d], size=20_000)
    pairs, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    passed = sum(
        c for (won, lost), c in zip(pairs, counts, strict=True) if mcnemar(int(won), int(lost)) <= alpha
    )
    assert power_of(items, d, gain, alpha=alpha) == pytest.approx(passed / 20_000, abs=0.011)


def test_the_promise():
    assert power_of(2000, 0.06, 0.02) > 0.8
    assert power_of(2000, 0.10, 0.02) < 0.65
    assert power_of(2000, 0.05, 0.0, alpha=0.05) == pytest.approx(0.05, abs=0.002)


def test_edges_of_power():
    assert power_of(100, 0.0, 0.0) == 0.0
    assert power_of(6, 1.0, 1.0) == 0.0
    assert power_of(7, 1.0, 1.0) == pytest.approx(1.0)
    assert power_of(7, 1.0, 0.0) == pytest.approx(0.5**7)
    with pytest.raises(ValueError, match=r"discordance of at least 0\.2"):
        power_of(100, 0.1, 0.2)
    with pytest.raises(ValueError, match=r"discordance of at least 0\.2"):
        power_of(100, 0.1, -0.2)
