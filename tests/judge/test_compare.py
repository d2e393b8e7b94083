"""The paired tests against exact enumeration, binomial sums, scipy and Monte Carlo."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from bapsim.judge import compare
from bapsim.judge.compare import (
    bootstrap,
    bootstrap_p,
    holm,
    mcnemar,
    points_interval,
    sign_flip,
    standard_error,
    standardised,
    units,
    wilson,
)


def exact(values):
    """P(S > s) + P(S = s) / 2 by all sign patterns, the slow and plain way."""
    sizes, seen = np.abs(values), np.sum(values)
    sums = [float(np.dot(s, sizes)) for s in itertools.product((-1, 1), repeat=len(sizes))]
    return float(np.mean([0.5 if math.isclose(v, seen, abs_tol=1e-9) else v > seen for v in sums]))


def simulated(values, rng, draws=60_000):
    sizes, seen, found = np.abs(values), float(np.sum(values)), 0.0
    for _ in range(20):
        sums = (rng.integers(0, 2, (draws // 20, len(sizes))) * 2.0 - 1) @ sizes
        tie = np.isclose(sums, seen, atol=1e-9)
        found += float(np.sum(np.where(tie, 0.5, sums > seen)))
    return found / draws


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (7, 0), (0, 3), (10, 4), (60, 40), (5, 5), (1, 0)])
def test_mcnemar_is_the_binomial_mid_p(wins, losses):
    m = wins + losses
    assert mcnemar(wins, losses) == pytest.approx(
        binom.sf(wins, m, 0.5) + 0.5 * binom.pmf(wins, m, 0.5), abs=1e-14
    )


def test_seven_wins_are_the_least_that_pass():
    assert mcnemar(6, 0) == 0.5**7 > 0.005
    assert mcnemar(7, 0) == 0.5**8 < 0.005


def test_mcnemar_keeps_a_small_tail_exact():
    assert mcnemar(100, 0) == 0.5**101


@given(st.lists(st.floats(-9, 9).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=10))
def test_few_values_are_enumerated(values):
    assert sign_flip(np.array(values)) == pytest.approx(exact(values), abs=1e-12)


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_ties_count_half_and_zeros_do_not_count(values):
    kept = [v for v in values if v]
    assert sign_flip(np.array(values, float)) == pytest.approx(exact(kept) if kept else 0.5, abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.01, 100))
def test_equal_sizes_are_mcnemar(wins, losses, size):
    values = np.concatenate([np.full(wins, size), np.full(losses, -size)])
    assert sign_flip(values) == mcnemar(wins, losses)


@given(st.integers(0, 10_000), st.sampled_from([12, 16, 17, 30, 200]))
def test_better_and_worse_sum_to_one(seed, count):
    values = np.random.default_rng(seed).standard_cauchy(count)
    assert sign_flip(values) + sign_flip(-values) == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.001, 1000))
def test_neither_scale_nor_order_nor_zeros_matter(seed, scale):
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=40) * rng.choice([-1, 1], 40)
    p = sign_flip(values)
    assert sign_flip(rng.permutation(values)) == p
    assert sign_flip(np.concatenate([values, np.zeros(5)])) == p
    assert sign_flip(values * scale) == pytest.approx(p, rel=1e-9)


def test_enumeration_and_saddlepoint_agree_where_they_meet(monkeypatch):
    rng = np.random.default_rng(4)
    for _ in range(20):
        values = rng.exponential(size=16) * rng.choice([-1, 1], 16)
        whole = sign_flip(values)
        monkeypatch.setattr(compare, "ENUMERATED", 3)
        assert sign_flip(values) == pytest.approx(whole, rel=0.05, abs=0.002)
        monkeypatch.setattr(compare, "ENUMERATED", 16)


SHAPES = {
    "light": lambda rng: rng.exponential(size=90),
    "heavy": lambda rng: np.abs(rng.standard_cauchy(90)),
    "very heavy": lambda rng: rng.pareto(1.0, 60),
    "spread": lambda rng: rng.lognormal(0, 2, 100),
    "lattice": lambda rng: rng.integers(1, 4, 50).astype(float),
    "two sizes": lambda rng: np.r_[np.ones(40), np.full(10, 2.0)],
    "one outweighs all": lambda rng: np.r_[30.0, rng.exponential(size=80)],
    "three outweigh all": lambda rng: np.r_[40.0, 50.0, 60.0, rng.exponential(size=80)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_saddlepoint_against_monte_carlo(shape):
    rng = np.random.default_rng(sorted(SHAPES).index(shape))
    sizes = SHAPES[shape](rng)
    flips = rng.choice([-1.0, 1.0], (2000, len(sizes)))
    order = np.argsort(flips @ sizes)
    for quantile in (0.9, 0.995):
        values = flips[order[int(quantile * 2000)]] * sizes
        truth = simulated(values, rng)
        assert sign_flip(values) == pytest.approx(truth, rel=0.06, abs=4 * math.sqrt(truth / 60_000) + 1e-4)


def test_integer_lattice_against_exact_convolution():
    """Sums of group differences are small integers: the saddlepoint gives their mid-p."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, 90)
    law = np.ones(1)
    for size in sizes:
        law = np.convolve(law, np.r_[0.5, np.zeros(2 * size - 1), 0.5])
    total = int(sizes.sum())
    for seen in (0, 20, 40, 60, 80):
        place = seen + total
        if law[place] == 0:
            place += 1
        truth = law[place + 1 :].sum() + law[place] / 2
        got = compare._tail(sizes.astype(float), float(place - total))
        assert got == pytest.approx(truth, rel=0.03)


def test_the_far_tail():
    values = np.linspace(1, 2, 40)
    assert sign_flip(values) == pytest.approx(0.5**41)  # all wins: only one pattern is as good
    almost = values.copy()
    almost[0] = -1.0  # no other pattern is above but all wins
    assert 0.5**41 < sign_flip(almost) < 0.5**36
    assert sign_flip(-values) == pytest.approx(1.0)
    assert sign_flip(np.linspace(1, 2, 3000)) == 0.0  # below what a float holds, not an error


def test_what_lies_beyond_the_largest_sum_has_no_chance():
    assert compare._tail(np.ones(20), 21.0) == 0.0
    assert compare._tail(np.ones(20), -21.0) == 1.0
    assert compare._tail(np.ones(20), 20.0) == 0.5**21


def test_level_of_sign_flip_on_skewed_sizes():
    rng = np.random.default_rng(7)
    sizes = rng.lognormal(0, 1.5, 100)
    p = np.array([sign_flip(sizes * rng.choice([-1, 1], 100)) for _ in range(400)])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.08)


def test_units_sum_within_groups():
    assert units(np.array([1.0, 2.0, -1.0]), np.array([0, 1, 0])).tolist() == [0.0, 2.0]
    values = np.array([1.0, 2.0])
    assert units(values) is values


def test_copies_of_an_item_are_one_unit():
    """Ten copies of one discordant item prove no more than one of them does."""
    diffs, groups = np.ones(10), np.zeros(10, np.int64)
    assert sign_flip(units(diffs)) < 0.001
    assert sign_flip(units(diffs, groups)) == 0.25


def test_level_with_groups_of_copies():
    """Clusters whose items agree: by item the .05 test accepts far too often, by group it does not."""
    rng, by_item, by_group = np.random.default_rng(3), 0, 0
    groups = np.repeat(np.arange(60), 5)
    for _ in range(800):
        diffs = np.repeat(rng.choice([-1.0, 0.0, 1.0], 60), 5)
        by_item += sign_flip(diffs) <= 0.05
        by_group += sign_flip(units(diffs, groups)) <= 0.05
    assert by_item / 800 > 0.15
    assert by_group / 800 == pytest.approx(0.05, abs=0.025)


def test_standardised():
    assert standardised(np.array([3.0, 4.0])) == pytest.approx(7 / 5)
    assert standardised(np.zeros(4)) == 0.0


def test_standard_error():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    assert standard_error(values, 4) == pytest.approx(values.std(ddof=1) / 2)
    assert standard_error(values, 8) == pytest.approx(values.std(ddof=1) / 4)  # four groups of two
    assert standard_error(np.ones(1), 1) == math.inf
    assert standard_error(np.array([1.0, 3.0]), 2) == pytest.approx(1.0)


def test_points_interval_by_hand():
    values = np.concatenate([np.ones(30), -np.ones(10), np.zeros(60)])
    centre, variance = 20 / 102, 41 / 102 - (20 / 102) ** 2
    low, high = points_interval(values, 100)
    half = 1.959963985 * math.sqrt(variance / 102)
    assert (low, high) == pytest.approx((centre - half, centre + half))
    narrow = points_interval(values, 100, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_points_interval_has_a_width_and_stays_inside():
    low, high = points_interval(np.zeros(50), 50)
    assert low < 0 < high
    assert points_interval(np.ones(1), 1) == pytest.approx((-1.0, 1.0), abs=1.0)
    assert points_interval(np.ones(2), 1)[1] <= 1.0
    assert points_interval(-np.ones(2), 1)[0] >= -1.0


def test_points_interval_covers():
    rng, hit = np.random.default_rng(0), 0
    for _ in range(4000):
        b, c, _ = rng.multinomial(200, [0.06, 0.02, 0.92])
        low, high = points_interval(np.concatenate([np.ones(b), -np.ones(c)]), 200)
        hit += low <= 0.04 <= high
    assert 0.94 <= hit / 4000 <= 0.97


@pytest.mark.parametrize(("hits", "of"), [(196, 200), (0, 200), (5, 5), (1, 3), (30, 60)])
def test_wilson_against_scipy(hits, of):
    for level in (0.95, 0.99):
        exact_one = binomtest(hits, of).proportion_ci(level, method="wilson")
        assert wilson(hits, of, level) == pytest.approx(tuple(exact_one), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_covers_even_near_the_ends():
    for share in (0.02, 0.5, 0.97):
        hits = np.arange(201)
        inside = [lo <= share <= hi for lo, hi in (wilson(int(h), 200) for h in hits)]
        assert 0.92 < float(binom.pmf(hits, 200, share) @ np.array(inside)) < 0.985


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_bootstrap_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(0.2, 1, 400)
    gains = bootstrap(lambda w: w @ values / 400, 400, seed=1)
    assert len(gains) == 4000
    assert gains.std() == pytest.approx(values.std() / 20, rel=0.05)
    assert gains.mean() == pytest.approx(values.mean(), abs=0.005)
    assert np.array_equal(gains, bootstrap(lambda w: w @ values / 400, 400, seed=1))
    assert not np.array_equal(gains, bootstrap(lambda w: w @ values / 400, 400, seed=2))


def test_bootstrap_draws_whole_groups_in_chunks_and_leaves_out_nan():
    groups = np.repeat(np.arange(50), 4)
    seen = []

    def gain(weights):
        seen.append(weights)
        values = weights[:, 0] - 1
        return np.where(weights[:, 4] == 0, np.nan, values)

    gains = bootstrap(gain, 200, seed=0, groups=groups, draws=10_005)
    assert [len(w) for w in seen] == [10_000, 5]
    assert all((w[:, :4] == w[:, :1]).all() and (w.sum(axis=1) == 200).all() for w in seen)
    assert 0 < len(gains) < 10_005
    assert not np.isnan(gains).any()


def test_bootstrap_p():
    assert bootstrap_p(np.array([1.0, 2.0, 3.0])) == pytest.approx(0.5 / 4)
    assert bootstrap_p(np.array([-1.0, 0.0, 3.0])) == pytest.approx(2.0 / 4)
    gains = np.random.default_rng(0).normal(2.0, 1.0, 100_000)
    assert bootstrap_p(gains) == pytest.approx(norm.sf(2.0), rel=0.1)
