"""Plans of spot checks keep their risks exactly, with as few rows as can be."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.refine.sampling_plan import accepted, drawn, lot_verdict, plan, wrong_share


def chance(lot: int, n: int, c: int, wrong: int) -> float:
    """The same by counting."""
    return sum(comb(wrong, k) * comb(lot - wrong, n - k) for k in range(c + 1)) / comb(lot, n)


@given(st.integers(1, 60), st.data())
def test_the_operating_characteristic_is_exact(lot: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, lot))
    c, wrong = data.draw(st.integers(0, n)), data.draw(st.integers(0, lot))
    assert accepted(lot, n, c, wrong) == pytest.approx(chance(lot, n, c, wrong), abs=1e-9)


def test_the_plan_of_a_table() -> None:
    """The classic: of a large lot, .01 good and .05 bad with 5 % and 10 %: about 130 rows, 3 wrong ones."""
    made = plan(100_000, good=0.01, bad=0.05, producer=0.05, consumer=0.1)
    assert (made.n, made.c) == (132, 3)
    none_wrong = plan(100_000, good=0.0, bad=0.02)
    assert (none_wrong.n, none_wrong.c) == (149, 0)


@given(st.integers(20, 400), st.sampled_from([0.0, 0.01, 0.02]), st.sampled_from([0.05, 0.1, 0.3]))
def test_risks_are_kept_with_the_fewest_rows(lot: int, good: float, bad: float) -> None:
    made = plan(lot, good=good, bad=bad)
    fine, foul = int(good * lot + 1e-9), int(np.ceil(bad * lot - 1e-9))
    assert 1 <= made.n <= lot
    assert made.producer == 1 - accepted(lot, made.n, made.c, fine)
    assert made.consumer == accepted(lot, made.n, made.c, foul)
    assert max(made.producer, made.consumer) <= 0.05
    if made.n > made.c + 1:
        assert accepted(lot, made.n - 1, made.c, foul) > 0.05
    if made.c:
        fewer = made.n - 1
        assert not any(
            accepted(lot, fewer, c, foul) <= 0.05 and 1 - accepted(lot, fewer, c, fine) <= 0.05
            for c in range(made.c)
        )


@pytest.mark.parametrize(
    ("lot", "good", "bad"),
    [(0, 0.01, 0.05), (100, 0.05, 0.05), (100, 0.1, 0.05), (100, -0.1, 0.1), (9, 0, 2)],
)
def test_what_is_no_plan(lot: int, good: float, bad: float) -> None:
    with pytest.raises(RecipeError, match=f"{lot}"):
        plan(lot, good=good, bad=bad)


def test_a_small_lot_is_looked_at_whole() -> None:
    made = plan(10, good=0.0, bad=0.1)
    assert (made.n, made.c, made.consumer) == (10, 0, 0)
    assert plan(1, good=0.0, bad=1.0).n == 1


def test_a_lot_s_verdict() -> None:
    made = plan(500, good=0.01, bad=0.1)
    assert made.c >= 1
    assert lot_verdict(made, []) == "undecided"
    assert lot_verdict(made, [True] * made.n) == "accept"
    assert lot_verdict(made, [True] * (made.n - made.c)) == "accept"  # whatever the others are
    assert lot_verdict(made, [True] * (made.n - made.c - 1)) == "undecided"
    assert lot_verdict(made, [False] * (made.c + 1)) == "refuse"
    assert lot_verdict(made, [None] * made.n) == "undecided"


@given(st.lists(st.sampled_from([True, False, None]), max_size=60), st.integers(0, 9))
def test_a_verdict_never_turns_round(answers: list[bool | None], seed: int) -> None:
    made = plan(200, good=0.02, bad=0.15)
    said = lot_verdict(made, answers[: made.n])
    rng = np.random.default_rng(seed)
    filled = [bool(rng.integers(2)) if one is None else one for one in answers[: made.n]]
    filled += [bool(rng.integers(2)) for _ in range(made.n - len(filled))]
    assert lot_verdict(made, filled) != "undecided"
    if said != "undecided":
        assert lot_verdict(made, filled) == said


def test_rows_are_drawn_once_each() -> None:
    made = plan(300)
    rows = drawn(made, np.random.default_rng(0))
    assert len(set(rows.tolist())) == made.n
    assert 0 <= rows.min() <= rows.max() < 300


def test_the_share_of_wrong_rows_is_bounded() -> None:
    made = plan(400, good=0.01, bad=0.06)
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        lot = rng.permutation(400) < 20
        low, high = wrong_share(made, int(lot[drawn(made, rng)].sum()))
        missed += not low <= 0.05 <= high
    assert missed <= 400 * 0.1 + 3 * 6
    assert wrong_share(plan(10, good=0, bad=0.1), 0) == (0, 0)
