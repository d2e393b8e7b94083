"""Which machine-made rows a way takes, and which way a race picks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.fusing import MOST, chosen, foretold, half_out, least, raced
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Raced, Way


def told(gains: list[tuple[float, float]], made: int = 10) -> list[Raced]:
    """Ways of growing share with these gains and standard errors."""
    ways = [Way(share=(k + 1) / 10) for k in range(len(gains))]
    return [
        Raced(way=way, gain=gain, error=error, rows=100, made=made)
        for way, (gain, error) in zip(ways, gains, strict=True)
    ]


def test_none_wins_ties() -> None:
    race = raced()
    assert race.pick([], suspect=False) is None
    assert race.pick(told([(0.0, 0.0), (-0.1, 0.01)]), suspect=False) is None
    assert race.pick(told([(0.01, 0.01)]), suspect=False) is None, "one standard error is not more than one"
    assert race.pick(told([(math.nan, math.nan)]), suspect=False) is None
    assert race.pick(told([(0.1, math.inf)]), suspect=False) is None


def test_the_simplest_way_within_a_standard_error_of_the_best() -> None:
    race = raced()
    assert race.pick(told([(0.03, 0.01), (0.035, 0.01), (0.02, 0.01)]), suspect=False) == Way(share=0.1)
    assert race.pick(told([(0.015, 0.01), (0.022, 0.01), (0.02, 0.01)]), suspect=False) == Way(share=0.2)
    assert race.pick(told([(0.01, 0.001), (0.05, 0.01)]), suspect=False) == Way(share=0.2)


def test_rows_unlike_peoples_must_gain_for_certain() -> None:
    race, rows = raced(), told([(0.015, 0.01)])
    assert race.pick(rows, suspect=False) is not None
    assert race.pick(rows, suspect=True) is None
    assert race.pick(told([(0.017, 0.01)]), suspect=True) is not None


@pytest.mark.parametrize("together", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("ways", [1, 3, 12])
@pytest.mark.parametrize("suspect", [False, True])
def test_of_many_ways_without_a_gain_none_is_taken_more_often_than_of_one(
    together: float, ways: int, suspect: bool
) -> None:
    rng, race, draws = np.random.default_rng(ways), raced(), 4000
    gains = together**0.5 * rng.normal(size=(draws, 1)) + (1 - together) ** 0.5 * rng.normal(
        size=(draws, ways)
    )
    taken = (gains.max(1) > least(ways, suspect=suspect)).mean()
    assert taken <= (0.05 if suspect else 0.159) + 0.018
    if not together:
        assert taken >= (0.05 if suspect else 0.159) - 0.018, "nor is it stricter than that"
    for row in gains[:40]:
        said = race.pick(told([(float(one), 1.0) for one in row]), suspect=suspect)
        assert (said is not None) == bool(row.max() > least(ways, suspect=suspect))


def test_one_way_must_gain_more_than_one_standard_error() -> None:
    assert least(1) == pytest.approx(1.0)
    assert least(0) == pytest.approx(1.0)
    assert least(1, suspect=True) == pytest.approx(1.645, abs=1e-3)
    assert [round(least(ways), 2) for ways in (3, 6)] == [1.59, 1.91]


@given(
    scale=st.floats(0.01, 10),
    slope=st.floats(0.01, 2),
    rows=st.integers(20, 10_000),
    times=st.floats(1.01, 8),
)
def test_what_labels_gain_is_foretold_exactly_by_a_power_law(
    scale: float, slope: float, rows: int, times: float
) -> None:
    def loss(n: float) -> float:
        return float(scale * n**-slope)

    said = foretold(loss(rows), loss(rows / 2) - loss(rows), times)
    assert said == pytest.approx(loss(rows) - loss(rows * times), rel=1e-6)


def test_rows_that_gained_nothing_are_foretold_to_gain_nothing() -> None:
    assert foretold(0.3, -0.1, 2) == foretold(0.0, 0.1, 2) == foretold(0.3, 0.1, 1) == 0
    assert foretold(math.nan, 0.1, 2) == foretold(0.3, math.nan, 2) == 0


def test_a_half_is_left_out_of_the_classes_that_machines_wrote_only() -> None:
    people = np.array([True] * 6 + [False] * 2)
    labels = np.array(["a", "a", "a", "b", "b", "b", "a", "b"], object)
    half = np.array([True, False, True] * 2 + [True, True])
    assert half_out(people, ~people & (labels == "a"), labels, half).tolist() == (
        [False, True, False, True, True, True, False, False]
    )
    assert half_out(people, np.zeros(8, bool), labels, half).tolist() == people.tolist()


def test_a_way_without_rows_cannot_win() -> None:
    assert raced().pick(told([(1.0, 0.0)], made=0), suspect=False) is None


def test_the_ways_are_all_combinations_the_simplest_first() -> None:
    ways = raced((0.5, 0, 0.1), weight=(0.3, 1), classes=("all", "rare"), order=("mixed", "first")).ways()
    assert len(ways) == 2 * 2 * 2 * 2
    assert ways[0] == Way(share=0.1)
    assert [one.share for one in ways] == [0.1] * 8 + [0.5] * 8
    assert len(set(ways)) == 16


@pytest.mark.parametrize(
    "wrong",
    [
        {"machine_share": (0.95,)},
        {"machine_share": ()},
        {"machine_share": (-0.1,)},
        {"weight": (0.0,)},
        {"weight": (2.0,)},
        {"classes": ("some",)},
        {"order": ("last",)},
        {"depth": 0},
    ],
)
def test_a_race_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as error:
        raced(**wrong)  # type: ignore[arg-type]
    assert error.value.key == "race_out_of_range"


@given(
    labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=60),
    split=st.lists(st.booleans(), min_size=60, max_size=60),
    share=st.floats(0.01, MOST),
    rare=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_way_takes_no_more_than_its_share_and_no_row_of_people(
    labels: list[str], split: list[bool], share: float, rare: bool, seed: int
) -> None:
    made = np.array(split[: len(labels)])
    ids = np.random.default_rng(seed).bytes(16 * len(labels))
    given_ids, names = np.frombuffer(ids, "V16"), np.array(labels, object)
    way = Way(share=share, rare=rare)
    taken = chosen(way, ~made, made, names, given_ids)
    assert not (taken & ~made).any()
    people, count = int((~made).sum()), int(taken.sum())
    assert count <= share / (1 - share) * people + 1e-9
    if not rare:
        assert count == min(int(made.sum()), int(share / (1 - share) * people))
    order = np.random.default_rng(seed + 1).permutation(len(labels))
    again = chosen(way, ~made[order], made[order], names[order], given_ids[order])
    assert set(order[again].tolist()) == set(np.flatnonzero(taken).tolist()), (
        "whatever the order of gathering"
    )


def test_classes_advance_together_and_rare_means_fewer_than_the_middle() -> None:
    people = np.array([True] * 16 + [False] * 40)
    labels = np.array(["a"] * 10 + ["b"] * 4 + ["c"] * 2 + ["a", "b", "c", "c"] * 10, object)
    ids = np.frombuffer(np.random.default_rng(0).bytes(16 * 56), "V16")
    taken = chosen(Way(share=0.5), people, ~people, labels, ids)
    assert [int((labels[taken] == one).sum()) for one in "abc"] == [4, 4, 8]
    taken = chosen(Way(share=0.5, rare=True), people, ~people, labels, ids)
    assert set(labels[taken].tolist()) == {"c"}
    nobody = np.zeros(56, bool)
    assert not chosen(Way(share=0.5), nobody, ~nobody, labels, ids).any(), (
        "without people's rows nothing joins"
    )
