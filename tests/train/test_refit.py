"""A head fitted again from where it stands is the head of all rows, however it was reached."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, random

from bapsim.train.linear import learn
from bapsim.train.refit import Effort, Rows, refit

TIGHT = Effort(steps=60, inner=300, tolerance=1e-7)


def problem(seed=0, n=400, v=120, rare=0.2):
    rng = np.random.default_rng(seed)
    x = random(n, v, 0.1, format="csr", dtype=np.float32, rng=rng)
    w = rng.normal(size=v)
    y = np.where(x @ w + rng.normal(0, 0.3, n) > np.quantile(x @ w, 1 - rare), 1, -1).astype(np.float32)
    return x, y, rng.uniform(0.2, 2, n).astype(np.float32)


def none(x, bias=0.0):
    return np.zeros(x.shape[1], np.float32), bias


def loss(x, y, weight, cost, w, b):
    short = np.maximum(1 - y * (x @ w + b), 0)
    return 0.5 * (w @ w + b * b) + cost * (weight * short**2).sum()


@pytest.mark.parametrize("cost", [0.03, 1.0, 10.0])
def test_it_ends_at_the_minimum(cost):
    x, y, weight = problem()
    weight = weight / weight.mean()
    got = refit([Rows(x, y, weight)], cost, none(x), TIGHT)
    theirs, bias = learn(x, (y > 0).astype(np.int64), weight, 2, cost)
    ours = loss(x, y, weight, cost, got.weights.astype(float), got.bias)
    assert ours <= loss(x, y, weight, cost, theirs[:, 1].astype(float), float(bias[1])) * (1 + 1e-6)
    least = minimize(lambda at: loss(x, y, weight, cost, at[:-1], at[-1]), np.zeros(121), method="L-BFGS-B")
    assert ours <= least.fun * (1 + 1e-5)


def test_from_an_old_head_or_from_none_it_is_the_same():
    x, y, weight = problem(1)
    old = refit([Rows(x, y, weight)], 1.0, none(x), TIGHT)
    more, also, much = problem(2, n=20)
    parts = [Rows(x, y, weight), Rows(more, also, much)]
    warm = refit(parts, 1.0, (old.weights, old.bias), TIGHT)
    cold = refit(parts, 1.0, none(x, -1.0), TIGHT)
    assert warm.steps < cold.steps
    np.testing.assert_allclose(x @ warm.weights + warm.bias, x @ cold.weights + cold.bias, atol=2e-3)
    nothing = refit([Rows(x, y, weight)], 1.0, (old.weights, old.bias), Effort(tolerance=1e-4))
    assert nothing.steps == 0
    assert (nothing.weights == old.weights).all()


def test_a_row_of_weight_zero_is_not_there():
    x, y, weight = problem(3)
    weight[::3] = 0
    kept = np.flatnonzero(weight)
    whole = refit([Rows(x, y, weight)], 1.0, none(x), TIGHT)
    part = refit([Rows(x[kept], y[kept], weight[kept])], 1.0, none(x), TIGHT)
    np.testing.assert_allclose(whole.weights, part.weights, atol=2e-4)
    turned = whole.turned()
    assert (turned.weights == -whole.weights).all()
    other = refit([Rows(x, -y, weight)], 1.0, none(x), TIGHT)
    np.testing.assert_allclose(turned.weights, other.weights, atol=2e-4)


def test_the_same_twice_and_odd_problems():
    x, y, weight = problem(4)
    first, again = (refit([Rows(x, y, weight)], 0.3, none(x), Effort()) for _ in range(2))
    assert (first.weights == again.weights).all()
    alone = refit([Rows(x, np.ones(len(y), np.float32), weight)], 1.0, none(x), Effort())
    assert (x @ alone.weights + alone.bias > 0.5).all()
    empty = csr_matrix((0, 7), dtype=np.float32)
    nobody = np.zeros(0, np.float32)
    assert refit([Rows(empty, nobody, nobody)], 1.0, none(empty), Effort()).weights.tolist() == [0] * 7
    blank = csr_matrix((5, 7), dtype=np.float32)
    flat = refit(
        [Rows(blank, np.array([1, 1, -1, -1, -1], np.float32), np.ones(5, np.float32))],
        1.0,
        none(blank),
        TIGHT,
    )
    assert flat.bias == pytest.approx(-0.2 * 10 / 11, abs=1e-3)  # the minimum, by hand
