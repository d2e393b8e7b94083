"""The guard's three signals: what is like people's passes, what lost its tail or its form does not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.judge.collapse import (
    Items,
    Signal,
    coverage,
    diversity,
    guard,
    items,
    outside,
    rare_types,
    signals,
)


def texts(count: int, seed: int, tail: float = 1.3, length: int = 12) -> Items:
    """Items of words with a long tail, as language has it."""
    codes = (np.random.default_rng(seed).zipf(tail, count * length) % 5000).astype(np.int64)
    return Items(codes=codes, starts=np.arange(count + 1, dtype=np.int64) * length)


def names(found: tuple[Signal, ...]) -> list[str]:
    return [one.name for one in outside(found)]


def test_people_are_like_people() -> None:
    for seed in range(8):
        found = signals(texts(300, 100 + seed), texts(600, seed), np.random.default_rng(seed))
        assert [one.name for one in found] == ["coverage", "distinct_1", "distinct_2", "compression"]
        assert names(found) == []


def test_a_batch_without_a_tail_or_of_copies_or_of_noise_is_seen() -> None:
    human, rng = texts(600, 0), np.random.default_rng(1)
    common = texts(300, 5)
    common = Items(codes=np.where(common.codes > 40, common.codes % 40, common.codes), starts=common.starts)
    assert "coverage" in names(signals(common, human, rng))
    copies = texts(20, 6).part(np.arange(300) % 20)
    assert "compression" in names(signals(copies, human, rng))
    noise = Items(codes=np.random.default_rng(2).integers(0, 5000, 3600), starts=texts(300, 0).starts)
    told = {one.name: one for one in signals(noise, human, rng)}
    assert told["distinct_2"].value > told["distinct_2"].high, "diversity may rise, too"


def test_an_order_for_a_rare_class_is_compared_with_that_class() -> None:
    """A batch of one class has that class's words only: that is no loss of the others."""
    rng = np.random.default_rng(0)
    common, rare = texts(500, 1), texts(200, 2)
    human = items(
        [*np.split(common.codes, common.starts[1:-1]), *np.split(rare.codes + 10_000, rare.starts[1:-1])]
    )
    classes = np.array([0] * 500 + [1] * 200)
    made = texts(150, 3)
    made = Items(codes=made.codes + 10_000, starts=made.starts)
    blind = names(signals(made, human, rng))
    fair = names(signals(made, human, rng, of_machine=np.ones(150, np.int64), of_human=classes))
    assert "coverage" in blind
    assert fair == []


def test_too_few_items_say_nothing() -> None:
    rng = np.random.default_rng(0)
    assert signals(texts(300, 1), texts(39, 2), rng) == ()
    assert signals(texts(5, 1), texts(400, 2), rng) == ()
    none = np.full(300, 7, np.int64)
    assert signals(texts(300, 1), texts(400, 2), rng, of_machine=none, of_human=np.zeros(400, np.int64)) == ()


def test_vectors_tell_how_far_items_lie_apart() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(400, 8))
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    near = wide[:1] + 0.1 * rng.normal(size=(200, 8))
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    human = Items(codes=texts(400, 1).codes, starts=texts(400, 1).starts, vectors=wide)
    batch = Items(codes=texts(200, 2).codes, starts=texts(200, 2).starts, vectors=near)
    assert names(signals(batch, human, rng)) == ["spread"]
    assert diversity(batch)["spread"] < diversity(human)["spread"]


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8), seed=st.integers(0, 9))
def test_measures_are_shares_and_do_not_cross_items(rows: list[list[int]], seed: int) -> None:
    one = items(rows)
    assert len(one) == len(rows)
    told = diversity(one)
    assert all(0 <= told[name] <= 1 for name in ("distinct_1", "distinct_2"))
    pairs = [(a, b) for row in rows for a, b in pairwise(row)]
    assert told["distinct_2"] == pytest.approx(len(set(pairs)) / max(len(pairs), 1))
    at = np.random.default_rng(seed).permutation(len(rows))
    again = list(np.split(one.part(at).codes, one.part(at).starts[1:-1])) if len(rows) else []
    assert [row.tolist() for row in again] == [rows[i] for i in at.tolist()]
    rare = rare_types(one)
    assert coverage(one, rare) == 1 if len(rare) else np.isnan(coverage(one, rare))


def test_the_guard_asks_more_of_what_is_strange() -> None:
    usual = (Signal(name="coverage", value=0.5, low=0.4, high=float("inf")),)
    strange = (Signal(name="distinct_2", value=0.9, low=0.4, high=0.6),)
    assert guard(usual, 0.0, 1.0).admitted
    assert guard(usual, -1.0, 1.0).admitted, "what may be chance is no harm"
    assert guard(usual, -2.0, 1.0).reason == "collapse.harm"
    assert guard(strange, 1.0, 1.0).reason == "collapse.outside"
    assert guard(strange, 1.0, 1.0).outside == strange
    assert guard(strange, 2.0, 1.0).admitted
    assert guard((), 0.0, 0.0).admitted
