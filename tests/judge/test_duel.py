"""The duel asks only what divides two models, and its verdict is a fair test."""

import numpy as np
import pytest

from bapsim.judge.compare import mcnemar, points_interval
from bapsim.judge.duel import Duel, duel, duel_verdict
from bapsim.judge.power import detectable, items_needed


def pool(rows, d, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.choice(["a", "b", "c"], rows)
    second = np.where(rng.random(rows) < d, "d", first)
    return first.tolist(), second.tolist()


def test_only_rows_that_differ_are_asked_in_drawing_order():
    first, second = pool(5000, 0.1)
    drawn = duel(first, second, 50, np.random.default_rng(1))
    assert len(drawn.rows) == len(set(drawn.rows.tolist())) == 50
    assert all(first[i] != second[i] for i in drawn.rows)
    order = np.random.default_rng(1).permutation(5000)
    walked = [i for i in order[: drawn.items] if first[i] != second[i]]
    assert drawn.rows.tolist() == walked
    assert order[drawn.items - 1] == drawn.rows[-1]
    assert 350 < drawn.items < 700


def test_a_pool_that_is_used_up():
    first, second = pool(200, 0.1)
    drawn = duel(first, second, 1000, np.random.default_rng(0))
    assert drawn.items == 200
    assert len(drawn.rows) == sum(a != b for a, b in zip(first, second, strict=True))
    same = duel(first, first, 10, np.random.default_rng(0))
    assert (same.items, len(same.rows)) == (200, 0)
    exact = duel(["a", "a"], ["b", "b"], 2, np.random.default_rng(0))
    assert (exact.items, len(exact.rows)) == (2, 2)


@pytest.mark.parametrize("budget", [0, -3])
def test_no_budget_asks_nothing(budget):
    drawn = duel(["a"], ["b"], budget, np.random.default_rng(0))
    assert (drawn.items, len(drawn.rows)) == (0, 0)


def verdict_of(wins, losses, neither=0, skipped=0, items=400, **more):
    first = ["old"] * (wins + losses + neither + skipped)
    second = ["new"] * len(first)
    labels = ["new"] * wins + ["old"] * losses + ["other"] * neither + [None] * skipped
    return duel_verdict(Duel(rows=np.arange(len(first)), items=items), labels, first, second, **more)


def test_verdicts():
    said = verdict_of(30, 8, neither=5)
    assert (said.verdict, said.reason, said.test, said.items) == ("accept", "decision.better", "duel", 400)
    assert said.gain == pytest.approx(22 / 400)
    assert said.discordance == pytest.approx(38 / 400)
    assert (said.p_better, said.p_worse) == (mcnemar(30, 8), mcnemar(8, 30))
    assert (said.low, said.high) == points_interval(np.r_[np.ones(30), -np.ones(8)], 400)
    assert said.detectable == detectable(400, 38 / 400)
    assert said.missing == 0
    worse = verdict_of(8, 30)
    assert (worse.verdict, worse.reason, worse.missing) == ("refuse", "decision.worse", None)
    open_ = verdict_of(12, 8)
    assert (open_.verdict, open_.reason) == ("undecided", "decision.not_proven")
    assert open_.missing == items_needed(4 / 400, 20 / 400) - 400
    assert verdict_of(12, 8, alpha=0.4).verdict == "accept"
    assert verdict_of(8, 12, alpha=0.4).verdict == "refuse"


def test_unanswered_items_count_as_not_drawn():
    assert verdict_of(20, 10, skipped=30, items=400).items == 200
    assert verdict_of(20, 10, skipped=300, items=40).items == 30


def test_nothing_labelled_is_undecided():
    said = verdict_of(0, 0, items=0)
    assert (said.verdict, said.items, said.gain, said.low, said.high) == ("undecided", 0, 0.0, -1.0, 1.0)
    assert said.discordance == 0.0
    assert verdict_of(0, 0, skipped=4).items == 0


def test_labels_must_fit_the_questions():
    with pytest.raises(ValueError, match="zip"):
        duel_verdict(Duel(rows=np.arange(2), items=2), ["a"], ["a", "a"], ["b", "b"])


def test_a_better_model_wins_and_an_equal_one_does_not():
    rng, better, equal = np.random.default_rng(5), 0, 0
    for _ in range(60):
        truth = rng.integers(0, 5, 3000)
        old = np.where(rng.random(3000) < 0.85, truth, 9)
        new = np.where((old == 9) & (rng.random(3000) < 0.2), truth, old)
        peer_old, peer_new = (np.where(rng.random(3000) < 0.9, truth, k) for k in (8, 9))
        for a, b, kind in ((old, new, "better"), (peer_old, peer_new, "equal")):
            first, second = a.astype(str).tolist(), b.astype(str).tolist()
            drawn = duel(first, second, 100, rng)
            said = duel_verdict(drawn, [str(truth[i]) for i in drawn.rows], first, second)
            better += kind == "better" and said.verdict == "accept"
            equal += kind == "equal" and said.verdict == "accept"
    assert better == 60
    assert equal <= 2
