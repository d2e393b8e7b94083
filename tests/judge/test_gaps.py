"""The gap between the best and the worst value: never invented, never hidden, the same whatever the order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.judge.gaps import FEWEST, Means, drawn_together, gap, means, narrowed, studentised_range


def told(shares: list[float], n: int, seed: int = 0, *, kin: bool = False):
    """Values with so many right of n each, drawn."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(shares)), n)
    scores = (rng.random(len(codes)) < np.repeat(shares, n)).astype(float)
    groups = np.arange(len(codes)) // 2 if kin else np.arange(len(codes))
    return means(scores, codes.tolist(), groups, share=True), [n] * len(shares)


def names(k: int) -> list[str]:
    return [f"v{i}" for i in range(k)]


def test_a_gap_that_is_there_is_told_with_whom() -> None:
    some, rows = told([0.9, 0.6, 0.88], 400)
    one = gap(names(3), rows, some)
    assert one.told
    assert (one.parts[one.worst].name, one.low > 0) == ("v1", True)
    assert one.low < 0.3 < one.high
    assert one.low <= one.gap <= one.high


def test_few_rows_tell_nothing() -> None:
    some, rows = told([0.9, 0.2], FEWEST - 1)
    one = gap(names(2), rows, some)
    assert not one.told
    assert math.isnan(one.gap)
    assert not any(part.told for part in one.parts)
    assert [part.rows for part in one.parts] == rows
    none = means(np.empty(0), [], np.empty(0, np.int64), share=True)
    assert gap([], [], none).parts == ()


def test_copies_of_a_row_are_one_row() -> None:
    codes = [0] * 40 + [1] * 40
    same = means(np.ones(80), codes, np.repeat(np.arange(8), 10), share=True)
    assert same.count.tolist() == [4, 4]
    assert not gap(names(2), [40, 40], same).told


def test_numbers_count_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    off = np.concatenate([rng.gamma(2, 1, 200), rng.gamma(2, 3, 200)])
    codes = [0] * 200 + [1] * 200
    some = means(off, codes, np.arange(400), share=False, smaller=True)
    one = gap(names(2), [200, 200], some)
    assert (one.best, one.worst) == (0, 1)
    assert one.low > 0
    assert one.low < 4 < one.high + 2
    flat = means(np.full(400, 2.0), codes, np.arange(400), share=False, smaller=True)
    assert gap(names(2), [200, 200], flat).gap == pytest.approx(0, abs=1e-9)
    three = means(np.full(600, 2.0), [0, 1, 2] * 200, np.arange(600), share=False)
    assert gap(names(3), [200] * 3, three).gap == pytest.approx(0, abs=1e-6)


@settings(max_examples=60)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=9), st.integers(20, 200), st.randoms(use_true_random=False)
)
def test_the_laws(shares: list[float], n: int, draw: object) -> None:
    some, rows = told(shares, n, seed=3, kin=n % 2 == 0)
    one = gap(names(len(shares)), rows, some)
    if not one.told:
        assert some.count.max() < FEWEST
        return
    assert 0 <= one.low <= one.gap <= one.high <= 1
    for part in one.parts:
        assert part.low - 1e-12 <= part.score <= part.high + 1e-12
        assert -1e-9 <= part.likely <= 1 + 1e-9
    order = list(range(len(shares)))
    draw.shuffle(order)  # type: ignore[attr-defined]
    turned = Means(mean=some.mean[order], error=some.error[order], count=some.count[order], share=True)
    other = gap([names(len(shares))[i] for i in order], rows, turned)
    assert (other.gap, other.low, other.high) == pytest.approx((one.gap, one.low, one.high))


def test_chance_is_taken_for_what_it_is() -> None:
    """Equal values: the extremes of twelve differ by chance, and the lower bound says so."""
    above = 0
    for seed in range(60):
        some, rows = told([0.8] * 12, 60, seed)
        one = gap(names(12), rows, some)
        above += one.low > 0
        spread = some.mean.max() - some.mean.min()
        assert one.gap < spread
    assert above <= 6


def test_values_are_drawn_together_only_as_far_as_chance_goes() -> None:
    apart = Means(mean=np.array([0.2, 0.5, 0.8]), error=np.full(3, 0.01), count=np.full(3, 2000), share=True)
    assert drawn_together(apart) == pytest.approx(apart.mean, abs=0.02)
    near = Means(mean=np.array([0.5, 0.52, 0.48]), error=np.full(3, 0.1), count=np.full(3, 25), share=True)
    assert drawn_together(near) == pytest.approx([0.5] * 3, abs=0.005)


def test_the_studentised_range_is_the_table_s() -> None:
    # Harter 1960, infinite degrees of freedom, 5 %
    assert [round(studentised_range(k), 2) for k in (2, 3, 5, 10, 20)] == [2.77, 3.31, 3.86, 4.47, 5.01]


def test_a_gap_that_became_smaller_is_told_and_one_that_did_not_is_not() -> None:
    rng = np.random.default_rng(1)
    codes = [0] * 300 + [1] * 300
    kin = np.arange(600)
    better = np.concatenate([np.zeros(300), (rng.random(300) < 0.3).astype(float)])
    change, low, high = narrowed(better, codes, (0, 1), kin, share=True)
    assert low > 0
    assert low < 0.3 < high
    assert change == pytest.approx(better[300:].mean())
    wider = narrowed(better, codes, (0, 1), kin, share=True, inflation=2.25)
    assert wider[1] < low
    many = narrowed(better, codes, (0, 1), kin, share=True, among=12)
    assert many[0] == change
    assert many[1] < low
    assert many[2] > high
    same = narrowed(np.zeros(600), codes, (0, 1), kin, share=True)
    assert same[1] <= 0 <= same[2]
    moved = narrowed(rng.normal(0, 1, 600) + np.repeat([0, 2], 300), codes, (0, 1), kin, share=False)
    assert moved[1] > 1.5
    assert all(math.isnan(v) for v in narrowed(better, codes, (0, 2), kin, share=True))
    few = narrowed(better[:310], codes[:310], (0, 1), kin[:310], share=True)
    assert all(math.isnan(v) for v in few)


def test_the_widest_gap_does_not_close_by_being_the_widest() -> None:
    """Twelve equal values, two models that agree by chance alone: the pair was chosen by the first one."""
    codes, kin, closed = np.repeat(np.arange(12), 100), np.arange(1200), {2: 0, 12: 0}
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        before, after = ((rng.random(1200) < 0.8).astype(float) for _ in range(2))
        mean = before.reshape(12, 100).mean(axis=1)
        pair = int(mean.argmax()), int(mean.argmin())
        for among in closed:
            closed[among] += narrowed(after - before, codes, pair, kin, share=True, among=among)[1] > 0
    assert closed[12] <= 6
    assert closed[12] < closed[2], "as a pair that nobody chose it would be told far too often"
