"""Byte n-grams: chances add up, nothing is impossible, and what was seen is foreseen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.text.byte_ngram import END, SYMBOLS, _next, chances, drawn, learn, nats, symbols

TEXTS = st.lists(st.text(max_size=20), max_size=6)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, order=st.integers(0, 6), tail=st.lists(st.integers(0, END), min_size=6, max_size=6))
def test_the_chances_of_all_symbols_add_up_to_one(texts: list[str], order: int, tail: list[int]) -> None:
    model = learn(texts, order)
    table = _next(model, np.array([tail[6 - order :]], np.int64).reshape(1, order))
    assert table.shape == (1, SYMBOLS)
    assert table.sum() == pytest.approx(1)
    assert (table > 0).all()


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, held=TEXTS, order=st.integers(0, 4))
def test_a_text_costs_what_its_bytes_cost(texts: list[str], held: list[str], order: int) -> None:
    model = learn(texts, order)
    cost, size = nats(model, held)
    assert size.tolist() == [len(one.encode("utf-8", "replace")) + 1 for one in held]
    assert np.isfinite(cost).all()
    assert (cost > 0).all()
    for text, whole in zip(held, cost.tolist(), strict=True):
        codes, _ = symbols([text], order)
        at = np.arange(order, len(codes))
        assert whole == pytest.approx(float(-np.log(chances(model, codes, at)).sum()))
        for cut in range(len(text)):  # a text costs what its beginning costs, and what follows it
            begun = nats(model, [text[cut:]], [text[:cut]])[0][0]
            head = -math.fsum(np.log(chances(model, codes, at[: len(text[:cut].encode("utf-8", "replace"))])))
            assert head + begun == pytest.approx(whole)


def test_what_was_seen_is_foreseen_and_more_context_helps() -> None:
    texts = ["환불해 주세요", "카드를 잃어버렸어요"] * 20
    costs = [nats(learn(texts, order), texts)[0].sum() for order in range(5)]
    assert costs == sorted(costs, reverse=True)
    assert costs[4] < costs[0] / 5
    known, odd = nats(learn(texts, 4), ["환불해 주세요", "qwxz jkv"])[0]
    assert known < odd


def test_drawn_texts_are_those_that_were_learnt_and_the_same_for_a_seed() -> None:
    texts = ["abcde", "abxyz"]
    model = learn(texts * 500, 4)
    said = drawn(model, [""] * 40 + ["abx"] * 10, 50, np.random.default_rng(1))
    assert said == drawn(model, [""] * 40 + ["abx"] * 10, 50, np.random.default_rng(1))
    assert sum(one in texts for one in said[:40]) >= 38
    assert said[40:].count("yz") >= 9
    assert all(len(one.encode()) <= 3 for one in drawn(model, [""] * 9, 3, np.random.default_rng(2)))
    assert drawn(model, [], 5, np.random.default_rng(0)) == []
    assert drawn(learn([], 0), ["x"], 4, np.random.default_rng(0))[0] is not None


def test_lone_surrogates_and_nothing_cost_something() -> None:
    model = learn(["a\udcff", ""], 2)
    assert np.isfinite(nats(model, ["\ud800", ""])[0]).all()
    with pytest.raises(ValueError, match="order"):
        learn(["a"], 7)
