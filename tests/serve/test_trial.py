"""The rule of rollback: a sound model stays, a bad one goes, at the stated rates."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bapsim.serve.trial import ALPHA, BLOCK, Trial, Usual, more_errors, percentile, upper_tail


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0, 1))
def test_tails_are_exact(k: int, n: int, p: float) -> None:
    wanted = float(binom.sf(k - 1, n, p))
    assert abs(upper_tail(k, n, p) - wanted) <= 1e-9 + 1e-6 * wanted


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.01, 1))
def test_percentiles_are_values_that_a_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9


def usual(rng: np.random.Generator, answers: int = 1000, errors: float = 0.005) -> Usual:
    known = Usual()
    for seconds, failed in zip(rng.lognormal(-5, 0.5, answers), rng.random(answers) < errors, strict=True):
        known.add(float(seconds), bool(failed))
    return known


def runs(rng: np.random.Generator, answers: int, errors: float, slower: float) -> int | None:
    """After how many answers a model is rolled back."""
    trial = Trial(usual(rng))
    for i in range(answers):
        slow = trial.slow(float(rng.lognormal(-5, 0.5) * slower))
        failed = bool(rng.random() < errors)
        if trial.add(failed=failed, slow=slow and not failed) is not None:
            return i + 1
    return None


def test_a_sound_model_stays() -> None:
    """100 trials of 2,000 answers as good as usual: 1 rolled back is expected at most, 4 by chance."""
    rng = np.random.default_rng(3)
    gone = sum(runs(rng, 2000, 0.005, 1.0) is not None for _ in range(100))
    assert gone <= binom.ppf(0.995, 100, ALPHA)


def test_a_bad_model_goes_soon() -> None:
    rng = np.random.default_rng(4)
    assert [runs(rng, 200, 1.0, 1.0) for _ in range(20)] == [BLOCK] * 20, "one that always fails: one block"
    assert max(runs(rng, 5000, 0.1, 1.0) or 9999 for _ in range(20)) <= 400
    assert max(runs(rng, 5000, 0.0, 5.0) or 9999 for _ in range(20)) <= 60, "five times slower"
    assert all(runs(rng, 20_000, 0.03, 1.0) for _ in range(5)), "a little, but always"


def test_one_that_begins_to_fail_late_goes_too() -> None:
    trial = Trial(usual(np.random.default_rng(5)))
    assert not any(trial.add(failed=False, slow=trial.slow(0.005)) for _ in range(20_000))
    said = [trial.add(failed=True, slow=False) for _ in range(2 * BLOCK)]
    assert any(said)
    assert "errors: " in next(one for one in said if one)


def test_few_failures_are_no_rate() -> None:
    assert more_errors(2, 20, 0, 10) > more_errors(20, 20, 0, 10)
    trial = Trial(Usual())
    assert not any(trial.add(failed=i < 2, slow=i >= 2 and trial.slow(9.9)) for i in range(200)), (
        "nobody to compare with: two failures, slow"
    )
