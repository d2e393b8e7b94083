"""What repeated text is worth: the published curve, the warning, and the constant of one's own runs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import NotEnough
from bapsim.train.lm.epochs import PRIOR, Budget, Run, budget_of, effective, fit, marginal, useful
from tests.train.lm.world import documents


def test_the_published_worth_of_repeats() -> None:
    """Muennighoff et al. 2023: epoch 2 .94, 4 .82, 8 .63, 16 .38, 40 .08; at most 16.4 times the text."""
    assert [round(marginal(e), 2) for e in (2, 4, 8, 16, 40)] == [0.94, 0.82, 0.63, 0.38, 0.08]
    assert effective(1, 1e9) == pytest.approx(1 + PRIOR)
    assert [round(effective(1, e), 2) for e in (1, 2, 4, 8, 16)] == [1, 1.97, 3.73, 6.62, 10.58]
    assert useful() == pytest.approx(11.67, abs=0.01)


@given(st.floats(1, 1e9), st.floats(0, 100), st.floats(0.5, 100))
def test_a_repeat_is_worth_something_and_less_than_fresh_text(unique: float, epochs: float, r: float) -> None:
    worth = effective(unique, epochs, r)
    assert worth <= unique * epochs * (1 + 1e-9)
    assert effective(unique, epochs + 1, r) >= worth
    assert 0 <= marginal(epochs, r) <= 1


def budget(unique: int, seen: int, repeats: float = PRIOR, fitted: bool = False) -> Budget:
    return Budget(parameters=100, unique=unique, human=unique, seen=seen, repeats=repeats, fitted=fitted)


def test_what_a_person_is_told() -> None:
    assert "Muennighoff" in budget(1000, 4000).say()
    assert "Past" not in budget(1000, 11_000).say()
    assert "Past the useful 11.7 epochs" in budget(1000, 12_000).say()
    assert "published constant does not hold" in budget(999, 999).say()
    assert "직접 학습한 기록에 맞추었습니다(상수 3.00)" in budget(99, 99, 3, True).say("ko")


def test_only_texts_that_people_made_are_counted_as_theirs() -> None:
    mixture = documents(0, 3)
    made = budget_of(mixture, [10, 20, 30, 100], 320, 5)
    assert (made.human, made.unique, made.epochs, made.repeats) == (60, 160, 2.0, PRIOR)
    assert budget_of(mixture, [10, 20, 30], 60, 5, 4.4).fitted
    assert budget_of(mixture, [10, 20, 30], 60, 500).repeats < PRIOR


@pytest.mark.parametrize("r", [2.0, 5.0, 15.0])
def test_the_constant_is_found_again(r: float) -> None:
    def loss(tokens: float) -> float:
        return 1.5 + 40 * tokens**-0.35

    fresh = [Run(u, 1, loss(u)) for u in np.geomspace(1e4, 1e7, 25).tolist()]
    again = [Run(1e5, e, loss(effective(1e5, e, r))) for e in (2, 4, 8, 16)]
    found = fit(fresh + again)
    assert found.repeats == pytest.approx(r, rel=0.05)
    assert found.holds
    assert not fit([*fresh, *again, Run(1e5, 32, again[-1].loss + 0.2)]).holds, "a loss that rises again"


def test_too_few_runs_fit_nothing() -> None:
    with pytest.raises(NotEnough):
        fit([Run(10, 1, 3.0), Run(20, 1, 2.0), Run(10, 4, 2.5), Run(10, 2, 2.7)])
    with pytest.raises(NotEnough):
        fit([])
    assert math.isfinite(
        fit([Run(10, 1, 3), Run(20, 1, 2.5), Run(40, 1, 2), Run(10, 2, 2.6), Run(10, 4, 2.4)]).repeats
    )
