"""Ranking metrics against scikit-learn, with ties and with weights."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from bapsim.core.errors import RecipeError
from bapsim.judge.ranking import auroc, auroc_of, average_precision, average_precision_of


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 8))
def test_against_scikit_learn(seed, rows, levels):
    rng = np.random.default_rng(seed)
    positive, score = rng.random(rows) < 0.4, rng.integers(0, levels, rows) / levels
    positive[:2] = [True, False]
    weights = np.vstack([np.ones(rows), rng.integers(0, 4, rows), rng.integers(0, 4, rows)]).astype(float)
    weights[:, :2] += 1
    for mine, theirs in ((auroc_of, roc_auc_score), (average_precision_of, average_precision_score)):
        expected = [theirs(positive, score, sample_weight=w) for w in weights]
        assert mine(positive, score, weights) == pytest.approx(expected)


def test_one_class_alone_has_no_value():
    score, one = np.array([0.1, 0.2]), np.ones((1, 2))
    assert np.isnan(auroc_of(np.zeros(2, bool), score, one)[0])
    assert np.isnan(auroc_of(np.ones(2, bool), score, one)[0])
    assert np.isnan(average_precision_of(np.zeros(2, bool), score, one)[0])
    assert average_precision_of(np.ones(2, bool), score, one)[0] == 1.0


def test_metrics_read_the_column_of_their_class():
    scores = pa.record_batch(
        {"gold": ["x", "y", "x", None], "p_x": [0.9, 0.8, 0.2, 0.1], "p_y": [0.1, 0.2, 0.8, 0.9]}
    )
    assert auroc("x")(scores) == pytest.approx(0.75)
    assert average_precision("x")(scores) == pytest.approx((1 + 2 / 3) / 2)
    assert auroc("x").weighted(scores, np.array([[1.0, 0.0, 1.0, 1.0]])).tolist() == [1.0]
    with pytest.raises(RecipeError) as caught:
        auroc("z")(scores)
    assert caught.value.values == {"label": "z"}
