"""The word trigram model: chances add up, the weights fit, and what is drawn stood in the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.text.ngram_lm import drawn, learn, nats, numbered, tokens

CODES = st.lists(st.integers(0, 6), min_size=3, max_size=80)


def test_words_marks_and_line_ends_are_tokens() -> None:
    assert tokens("카드를 잃어버렸어요!\nOK, 3.5") == [
        "카드를",
        "잃어버렸어요",
        "!",
        "\n",
        "OK",
        ",",
        "3",
        ".",
        "5",
    ]
    codes, words = numbered(["b", "a", "b"])
    assert codes.tolist() == [0, 1, 0]
    assert words == ["b", "a"]
    assert numbered([])[0].dtype == np.int64


@settings(max_examples=40, deadline=None)
@given(data=CODES, development=CODES, one=st.integers(0, 6), two=st.integers(0, 6))
def test_the_chances_of_all_words_add_up_to_one(
    data: list[int], development: list[int], one: int, two: int
) -> None:
    model = learn(np.array(data), 7, np.array(development))
    costs = [nats(model, np.array([one, two, word]))[0] for word in range(7)]
    assert np.exp(-np.array(costs)).sum() == pytest.approx(1)
    for weights in model.weights:
        assert weights.sum() == pytest.approx(1)
        assert (weights > 0).all()


@settings(max_examples=30, deadline=None)
@given(data=CODES, seed=st.integers(0, 9), sharp=st.sampled_from([0.0, 0.5, 1.0]), count=st.integers(1, 300))
def test_what_is_drawn_stood_in_the_data(data: list[int], seed: int, sharp: float, count: int) -> None:
    model = learn(np.array(data), 7, np.array(data))
    found = drawn(model, count, np.random.default_rng(seed), sharp=sharp)
    assert len(found) == count
    assert set(found.tolist()) <= set(data)
    assert found.tolist() == drawn(model, count, np.random.default_rng(seed), sharp=sharp).tolist()


def test_fitted_weights_foresee_development_text_better_than_even_ones() -> None:
    rng = np.random.default_rng(3)
    chain = rng.integers(0, 30, (30, 30))  # each pair is followed by one of few words
    text = [0, 1]
    for _ in range(6000):
        text.append(int(chain[text[-2], text[-1]]) if rng.random() < 0.8 else int(rng.integers(0, 30)))
    codes = np.array(text)
    model = learn(codes[:4000], 30, codes[4000:5000])
    even = type(model)(
        **{**vars(model), "weights": (np.full(2, 1 / 2), np.full(3, 1 / 3), np.full(4, 1 / 4))}
    )
    assert nats(model, codes[4000:5000]).mean() < nats(even, codes[4000:5000]).mean()
    assert nats(model, codes[5000:]).mean() < np.log(30)


def test_sharpened_text_has_fewer_words() -> None:
    rng = np.random.default_rng(1)
    data = rng.zipf(1.5, 20_000) % 500
    model = learn(data, 500, data)
    types = [len(np.unique(drawn(model, 20_000, np.random.default_rng(0), sharp=s))) for s in (0.0, 0.5, 1.0)]
    assert types == sorted(types, reverse=True)


def test_too_little_text_is_no_model() -> None:
    with pytest.raises(ValueError, match="three tokens"):
        learn(np.array([1, 2]), 3, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="three tokens"):
        learn(np.array([0, 1, 2]), 3, np.array([0, 1]))
