"""Cosines of n-grams: equal texts have 1, texts without anything in common 0."""

import numpy as np
import pytest

from bapsim.text.vectors import unit_vectors


def test_rows_are_of_length_one_and_equal_texts_are_equal():
    texts = ["카드를 잃었어요", "카드를 잃었어요", "my card is lost", "my card was lost", "zzz", "", None]
    x = unit_vectors(texts)
    alike = (x @ x.T).toarray()
    assert x.dtype == np.float32
    assert alike[0, 1] == pytest.approx(1)
    assert 0.2 < alike[2, 3] < 1
    assert alike[0, 2] == 0
    np.testing.assert_allclose(np.sqrt((x.toarray() ** 2).sum(axis=1)), [1, 1, 1, 1, 0, 0, 0], atol=1e-6)


def test_what_most_texts_have_is_left_out():
    rng = np.random.default_rng(0)
    texts = [f"the of {rng.integers(10**9)}" for _ in range(400)] + ["the of xylophone"] * 2
    alike = unit_vectors(texts)
    assert (alike[-1] @ alike[-2].T).toarray()[0, 0] == pytest.approx(1)
    assert (alike[0] @ alike[-1].T).toarray()[0, 0] == 0


def test_no_texts_are_no_rows():
    assert unit_vectors([]).shape[0] == 0
