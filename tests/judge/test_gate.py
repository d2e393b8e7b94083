"""Wear, the look, its three answers, and what may serve meanwhile."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.core.recipe import Decision, Wear
from bapsim.judge.compare import mcnemar, points_interval, sign_flip, units
from bapsim.judge.exam import accuracy, log_loss
from bapsim.judge.gate import (
    Duo,
    Paired,
    Provisional,
    duo,
    fresh_needed,
    group_numbers,
    paired,
    point_worth,
    pooled,
    provisional,
    refund,
    screen,
    spent,
    wear_after,
)
from bapsim.judge.power import detectable, items_needed, items_needed_mean
from bapsim.judge.ranking import auroc

FRESH = Wear(version=1, items=400, looks=0, budget=0.05)


def scores(right, loss=None, group=None, **more):
    """Scores of a respondent that is right on these items."""
    n = len(right)
    columns = {
        "_id": pa.array([i.to_bytes(16, "big") for i in range(n)], pa.binary(16)),
        "gold": pa.array(["yes"] * n),
        "prediction": pa.array(["yes" if r else "no" for r in right]),
        "loss": pa.array([None] * n if loss is None else loss, pa.float64()),
    }
    if group is not None:
        columns["group"] = pa.array(group, pa.string())
    return pa.record_batch({**columns, **more})


def pair(wins, losses, same=0, **more):
    """Before and after with so many items won and lost; the rest both right."""
    before = [False] * wins + [True] * losses + [True] * same
    after = [True] * wins + [False] * losses + [True] * same
    return scores(before, **more), scores(after, **more)


def look(wins, losses, same=300, wear=FRESH, gate=None, **more):
    before, after = pair(wins, losses, same, **more)
    return (gate or paired())(before, after, accuracy, wear)


# --- wear


def test_a_new_exam_has_the_whole_budget():
    assert wear_after([(400, 400)], []) == Wear(version=1, items=400, looks=0, budget=0.05)
    assert wear_after([], []) == Wear(version=0, items=0, looks=0, budget=0.0)
    assert wear_after([(400, 400)], [], full=0.1).budget == pytest.approx(0.1)


def test_refund_is_the_squared_share():
    assert refund(400, 400) == 0.05
    assert refund(100, 400) == pytest.approx(0.05 / 16)
    assert refund(0, 400) == 0.0
    assert refund(0, 0) == 0.0


def test_looks_spend_and_fresh_items_give_back():
    spent_ = wear_after([(400, 400)], [(1, 0.005), (1, 0.0), (1, 0.0045)])
    assert spent_.budget == pytest.approx(0.0405)
    assert spent_.looks == 3
    more = wear_after([(400, 400), (500, 100)], [(1, 0.005), (2, 0.004)])
    assert more == Wear(version=2, items=500, looks=2, budget=pytest.approx(0.045 + 0.05 * 0.04 - 0.004))
    assert wear_after([(400, 400), (800, 400)], []).budget == 0.05
    assert wear_after([(4, 4)], [(1, 0.03), (1, 0.03)]).budget == 0.0


def test_what_was_spent_later_is_not_refunded_by_earlier_items():
    """The cap holds version by version: unspent budget is not saved up."""
    assert wear_after([(10, 10), (20, 10), (20, 0)], [(3, 0.02)]).budget == pytest.approx(0.03)


@pytest.mark.parametrize("version", [0, 2])
def test_a_look_at_an_exam_that_never_was(version):
    with pytest.raises(InputError) as caught:
        wear_after([(10, 10)], [(version, 0.005)])
    assert caught.value.key == "look_without_exam"
    assert "1" in str(caught.value)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 3)), max_size=8))
def test_budget_stays_between_nothing_and_all(steps):
    versions, looks, items = [(400, 400)], [], 400
    for fresh, count in steps:
        items += fresh
        versions.append((items, fresh))
        looks += [(len(versions), paired().level(wear_after(versions, looks))) for _ in range(count)]
    assert 0 <= wear_after(versions, looks).budget <= 0.05


def test_levels_of_all_looks_sum_to_less_than_the_budget():
    gate, looks = paired(), []
    while (level := gate.level(wear_after([(400, 400)], looks))) > 0:
        looks.append((1, level))
    assert looks[0][1] == 0.005
    assert looks[1][1] == pytest.approx(0.0045)
    assert len(looks) == 22
    assert sum(level for _, level in looks) < 0.05


def test_the_least_level_is_a_tenth_of_the_first():
    gate = paired()
    assert gate.level(Wear(version=1, items=9, looks=0, budget=0.005)) == pytest.approx(0.0005)
    assert gate.level(Wear(version=1, items=9, looks=0, budget=0.00499)) == 0.0
    assert gate.level(Wear(version=1, items=9, looks=0, budget=0.5)) == 0.005


def test_only_an_accepted_look_is_free():
    assert spent(Decision(verdict="accept", reason="x"), 0.004) == 0.0
    assert spent(Decision(verdict="refuse", reason="x"), 0.004) == 0.004
    assert spent(Decision(verdict="undecided", reason="x"), 0.004) == 0.004


@given(st.integers(1, 5000), st.floats(0, 0.05), st.floats(0, 0.05))
def test_fresh_needed_is_enough_and_no_more(items, have, want):
    wear = Wear(version=1, items=items, looks=0, budget=have)
    fresh = fresh_needed(wear, want)
    enough = have + refund(fresh, items + fresh)
    assert enough >= want - 1e-9 or fresh == items
    if fresh and fresh < items:
        assert have + refund(fresh - 1, items + fresh - 1) < want + 1e-9


def test_a_budget_beyond_reach_needs_a_whole_exam():
    assert fresh_needed(Wear(version=1, items=40, looks=0, budget=0.0), 0.05) == 40
    assert fresh_needed(Wear(version=0, items=0, looks=0, budget=0.0), 0.05) == 1
    assert fresh_needed(FRESH, 0.05) == 0
    assert fresh_needed(Wear(version=1, items=300, looks=0, budget=0.0), 0.0125) == 300
    assert fresh_needed(Wear(version=1, items=300, looks=0, budget=0.0), 0.025, full=0.1) == 300


# --- pairing


def test_duo_is_after_minus_before():
    both = duo(scores([True, False, True], [0.1, 2.0, 0.3]), scores([True, True, False], [0.2, 0.5, 1.3]))
    assert both.right.tolist() == [0.0, 1.0, -1.0]
    assert both.loss.tolist() == pytest.approx([-0.1, 1.5, -1.0])
    assert both.groups is None
    assert both.primary is both.loss


@pytest.mark.parametrize("lost", ["before", "after", "one item"])
def test_no_loss_without_calibration_on_both_sides(lost):
    full, none = [0.1, 0.2], None
    before = none if lost == "before" else full
    after = {"after": none, "one item": [0.1, None]}.get(lost, full)
    both = duo(scores([True, True], before), scores([True, False], after))
    assert both.loss is None
    assert both.primary is both.right


def test_other_items_or_another_order_are_refused():
    a = scores([True, False])
    for other in (a.slice(0, 1), a.take(pa.array([1, 0]))):
        with pytest.raises(InputError, match="different items") as caught:
            duo(a, other)
        assert caught.value.values["before"] == 2


def test_groups():
    assert group_numbers(pa.array(["a", None, "a", None])).tolist() == [2, 0, 2, 1]
    assert group_numbers(pa.array(["a", "b", None, None])) is None
    assert group_numbers(pa.array([], pa.string())) is None
    part = duo(*pair(2, 1, 1, group=["a", "a", "b", "b"])).part(np.array([False, False, True, True]))
    assert part.groups.tolist() == [0, 0]
    assert part.right.tolist() == [-1.0, 0.0]
    assert part.loss is None
    whole = Duo(right=np.zeros(3), loss=np.arange(3.0), groups=None).part(np.array([True, False, True]))
    assert whole.loss.tolist() == [0.0, 2.0]
    assert whole.groups is None


def test_point_worth():
    assert point_worth(scores([True, True, False], [0.1, 0.3, 2.2])) == pytest.approx(0.02)
    assert point_worth(scores([True, True], [0.1, 0.3])) is None
    assert point_worth(scores([False, False], [0.1, 0.3])) is None
    assert point_worth(scores([True, False])) is None
    assert point_worth(scores([True, False], [2.0, 0.5])) is None


# --- screen


def test_screen():
    diffs = np.r_[np.ones(60), -np.ones(50)]
    seen = screen(diffs)
    assert (seen.z, seen.rows, seen.look) == (pytest.approx(10 / math.sqrt(110)), 110, True)
    assert not screen(diffs, limit=0.96).look
    assert not paired(screen_z=0.96).screen(diffs).look
    assert not screen(np.r_[np.ones(50), -np.ones(50)]).look
    assert not screen(np.zeros(100)).look
    few = screen(-np.ones(99))
    assert (few.look, few.rows, math.isnan(few.z)) == (True, 99, True)
    assert not paired(screen_rows=99).screen(-np.ones(99)).look
    assert screen(np.ones(100), np.zeros(100, np.int64)).z == 1.0


def test_screen_needs_more_than_the_limit():
    exactly = np.r_[np.ones(75), -np.ones(25)] / 1.0
    assert screen(exactly).z == 5.0
    assert not screen(exactly, limit=5.0).look


# --- the look


def test_accept():
    said = look(20, 3)
    assert (said.verdict, said.reason, said.test) == ("accept", "decision.better", "McNemar")
    assert said.p_better == mcnemar(20, 3)
    assert said.p_worse == pytest.approx(1 - mcnemar(20, 3))
    assert said.gain == pytest.approx(17 / 323)
    assert (said.low, said.high) == points_interval(duo(*pair(20, 3, 300)).right, 323)
    assert said.discordance == pytest.approx(23 / 323)
    assert said.items == 323
    assert said.values == {"wins": 20, "losses": 3, "level": 0.005, "slices": "", "groups": 323}
    assert said.detectable == detectable(323, 23 / 323)
    assert said.missing == max(items_needed(17 / 323, 23 / 323) - 323, 0)


def test_refuse():
    said = look(3, 20)
    assert (said.verdict, said.reason) == ("refuse", "decision.worse")
    assert said.gain == pytest.approx(-17 / 323)
    assert said.missing is None


def test_undecided_says_what_is_missing():
    said = look(12, 6)
    assert (said.verdict, said.reason) == ("undecided", "decision.not_proven")
    assert said.missing == items_needed(6 / 318, 18 / 318) - 318
    assert look(0, 0).missing is None
    assert look(0, 0).detectable is None


def test_seven_wins_of_seven_pass_only_while_the_exam_is_fresh():
    assert look(7, 0).verdict == "accept"
    assert look(6, 0).verdict == "undecided"
    worn = Wear(version=1, items=307, looks=4, budget=0.03)
    said = look(7, 0, wear=worn)
    assert said.verdict == "undecided"
    assert said.values["level"] == pytest.approx(0.003)
    assert look(8, 0, wear=worn).verdict == "accept"
    assert look(0, 7, wear=worn).verdict == "refuse"  # wear does not make harm harder to prove


def test_reach_is_told_for_the_level_of_this_look():
    worn = Wear(version=1, items=318, looks=4, budget=0.03)
    assert look(12, 6, wear=worn).missing == items_needed(6 / 318, 18 / 318, alpha=0.003) - 318


def test_a_worn_exam_is_not_looked_at():
    said = look(100, 0, wear=Wear(version=1, items=400, looks=30, budget=0.001))
    assert (said.verdict, said.reason, said.items) == ("undecided", "decision.worn", 400)
    assert said.gain is said.p_better is said.test is None
    assert said.values == {"fresh": fresh_needed(Wear(version=1, items=400, looks=30, budget=0.001), 0.005)}
    assert said.values["fresh"] > 0
    other = look(100, 0, wear=Wear(version=1, items=400, looks=30, budget=0.001), gate=paired(budget=0.1))
    assert other.values["fresh"] == fresh_needed(
        Wear(version=1, items=400, looks=30, budget=0.001), 0.01, full=0.1
    )


def test_nobody_to_compare_with():
    said = paired()(None, scores([True]), accuracy, FRESH)
    assert (said.verdict, said.reason, said.items) == ("undecided", "decision.no_opponent", 1)


def calibrated(wins, losses, saved, same=300):
    """Both calibrated; the candidate saves `saved` on each item, with noise of both signs."""
    before, after = pair(wins, losses, same)
    n, rng = len(before), np.random.default_rng(0)
    old = rng.exponential(size=n) + 0.5 + np.where(np.arange(n) < wins, 1.0, 0.0)
    new = old - saved - rng.normal(0, 0.1, n)
    with_loss = [b.set_column(3, "loss", pa.array(loss)) for b, loss in ((before, old), (after, new))]
    return with_loss[0], with_loss[1], old - new


def test_calibrated_loss_decides():
    before, after, diffs = calibrated(5, 4, 0.05)
    said = paired()(before, after, accuracy, FRESH)
    assert (said.verdict, said.test) == ("accept", "log-loss sign flip")
    assert said.p_better == sign_flip(diffs)
    assert said.gain == pytest.approx(1 / 309)
    assert said.values["loss_gain"] == pytest.approx(diffs.mean())
    reach = 3.4174505 * math.sqrt(float(diffs @ diffs)) / 309
    assert said.detectable == pytest.approx(0.01 * reach / point_worth(before))
    sd = math.sqrt(float(diffs @ diffs) / 309)
    assert said.missing == max(items_needed_mean(float(diffs.mean()), sd) - 309, 0)


def test_a_detectable_gain_is_at_most_everything():
    before, after, _ = calibrated(5, 4, 0.0)
    tiny = before.set_column(3, "loss", pa.array(np.r_[np.full(5, 1.0 + 1e-6), np.full(304, 1.0)]))
    said = paired()(tiny, after, accuracy, FRESH)
    assert said.detectable == 1.0


def test_without_wrong_items_the_loss_has_no_worth_in_points():
    before, after, _ = calibrated(0, 0, 0.0)
    assert paired()(before, after, accuracy, FRESH).detectable is None


def test_accuracy_has_a_veto():
    before, after, _ = calibrated(2, 9, 0.05)
    assert 0.005 < mcnemar(9, 2) <= 0.05
    said = paired()(before, after, accuracy, FRESH)
    assert (said.verdict, said.reason) == ("undecided", "decision.vetoed")
    assert paired(veto=0.01)(before, after, accuracy, FRESH).verdict == "accept"
    worse, much, _ = calibrated(2, 20, 0.05)
    assert paired()(worse, much, accuracy, FRESH).reason == "decision.worse"


def test_a_worse_loss_refuses_unless_accuracy_rose():
    before, after, _ = calibrated(4, 5, -0.05)
    assert paired()(before, after, accuracy, FRESH).verdict == "refuse"
    before, after, _ = calibrated(12, 3, -0.05)
    said = paired()(before, after, accuracy, FRESH)
    assert mcnemar(12, 3) <= 0.05
    assert (said.verdict, said.reason) == ("undecided", "decision.not_proven")
    assert said.missing is None


def test_groups_are_the_units():
    lone = look(20, 3)
    copies = look(20, 3, group=["w"] * 20 + ["l"] * 3 + [None] * 300)
    assert lone.verdict == "accept"
    assert (copies.verdict, copies.test) == ("undecided", "sign flip")
    assert copies.p_better == sign_flip(np.array([20.0, -3.0]))
    assert copies.values["groups"] == 302
    assert copies.high - copies.low > lone.high - lone.low
    assert copies.missing > 1000  # twenty copies of one item are worth one


def test_grouped_reach_counts_effective_items():
    group = [f"g{i // 2}" for i in range(318)]  # wins in pairs, losses in pairs
    said = look(12, 6, group=group)
    assert said.missing == math.ceil(2 * items_needed(6 / 318, 18 / 318)) - 318
    assert look(30, 10, 300, group=[f"g{i // 2}" for i in range(340)]).detectable == detectable(170, 40 / 340)


def sliced(wins, losses, filler, gate=None, loss=None):
    """A slice `a` of these items beside a slice `b` with 60 wins and no losses."""
    before, after = pair(wins + 60, losses, filler)
    rows = np.r_[0:wins, wins + 60 : wins + 60 + losses, len(before) - filler : len(before)]
    name = np.full(len(before), "b", object)
    name[rows] = "a"
    column = pa.array(name.tolist(), pa.string())
    both = [b.append_column("slice_part", column) for b in (before, after)]
    return (gate or paired())(both[0], both[1], accuracy, FRESH)


def test_a_worse_slice_refuses_what_is_better_over_all():
    said = sliced(0, 20, 30)
    assert said.gain > 0
    assert (said.verdict, said.reason, said.values["slices"]) == ("refuse", "decision.slice_worse", "part=a")
    assert sliced(8, 12, 30).verdict == "accept"


def test_slices_pay_for_each_other_and_small_ones_are_not_asked():
    assert mcnemar(7, 0) * 2 > 0.005 > mcnemar(8, 0) * 2
    assert sliced(0, 7, 30).verdict == "accept"  # .0039, but two slices were asked
    assert sliced(0, 8, 30).verdict == "refuse"
    assert sliced(0, 10, 10).verdict == "refuse"  # 20 items
    assert sliced(0, 10, 9).verdict == "accept"  # 19 items


def test_rows_without_a_slice_are_in_none():
    before, after = pair(60, 20, 30)
    column = pa.array(["b"] * 60 + [None] * 50, pa.string())
    both = [b.append_column("slice_part", column) for b in (before, after)]
    assert paired()(both[0], both[1], accuracy, FRESH).verdict == "accept"


def test_a_slice_is_judged_by_its_loss_too():
    before, after, _ = calibrated(5, 5, 0.2)
    n = len(before)
    old = np.asarray(before.column("loss"))
    new = np.asarray(after.column("loss")).copy()
    new[-40:] = old[-40:] + np.linspace(0.1, 0.3, 40)
    after = after.set_column(3, "loss", pa.array(new))
    column = pa.array(["x"] * (n - 40) + ["y"] * 40)
    both = [b.append_column("slice_s", column) for b in (before, after)]
    said = paired()(both[0], both[1], accuracy, FRESH)
    assert (said.reason, said.values["slices"]) == ("decision.slice_worse", "s=y")


# --- other metrics


def invents(wins, losses, before, after, same=300):
    """A look at two models that make two claims an item, so many of them in nobody's passage."""
    old, new = pair(wins, losses, same)
    n = wins + losses + same
    claims = pa.array([2] * n, pa.int64())
    said = []
    for scored, bad in ((old, before), (new, after)):
        column = pa.array([2 if i < bad else 0 for i in range(n)], pa.int64())
        said.append(scored.append_column("claims", claims).append_column("unsupported", column))
    return paired()(*said, accuracy, FRESH)


def test_who_answers_better_but_invents_more_is_refused():
    told = invents(40, 5, 10, 60)
    assert (told.verdict, told.reason) == ("refuse", "decision.invents_more")
    assert told.p_better < 0.005
    assert told.values["invented_before"] == pytest.approx(10 / 345)
    assert told.values["invented_after"] == pytest.approx(60 / 345)
    assert 0 < told.values["invented_low"] < 50 / 345 < told.values["invented_high"]


def test_who_likely_invents_more_is_not_accepted_and_who_invents_less_is():
    assert invents(40, 5, 10, 14).reason == "decision.may_invent"
    assert invents(40, 5, 10, 10).reason == "decision.better"
    assert invents(40, 5, 60, 10).reason == "decision.better"
    assert invents(3, 2, 10, 14).reason == "decision.not_proven", "it was not accepted anyway"
    assert invents(5, 60, 60, 10).reason == "decision.worse"
    assert invents(5, 60, 10, 60).reason == "decision.worse", "one reason is enough"


def test_only_two_models_whose_claims_were_looked_at_are_compared():
    before, after = pair(40, 5, 300)
    counts = pa.array([1] * 345, pa.int64())
    after = after.append_column("claims", counts).append_column("unsupported", counts)
    told = paired()(before, after, accuracy, FRESH)
    assert told.verdict == "accept"
    assert "invented_after" not in told.values


def test_another_metric_gets_its_own_interval():
    before, after, diffs = calibrated(30, 4, 0.2)
    said = paired()(before, after, log_loss, FRESH)
    assert said.verdict == "accept"
    assert said.gain == pytest.approx(diffs.mean())
    error = diffs.std() / math.sqrt(len(diffs))
    assert said.low == pytest.approx(diffs.mean() - 1.96 * error, abs=error / 2)
    assert said.high == pytest.approx(diffs.mean() + 1.96 * error, abs=error / 2)


def ranked(noise, seed=1, items=300):
    rng = np.random.default_rng(seed)
    gold = rng.random(items) < 0.2
    base = scores(rng.random(items) < 0.5)
    base = base.set_column(1, "gold", pa.array(np.where(gold, "crack", "fine")))
    return base.append_column("p_crack", pa.array(gold + rng.normal(0, noise, items)))


def test_a_ranking_is_bootstrapped():
    before, after = ranked(2.0), ranked(0.3)
    said = paired()(before, after, auroc("crack"), FRESH)
    assert (said.verdict, said.test) == ("accept", "bootstrap")
    assert said.gain == pytest.approx(auroc("crack")(after) - auroc("crack")(before))
    assert said.low < said.gain < said.high
    assert paired()(after, before, auroc("crack"), FRESH).verdict == "refuse"
    same = paired()(before, before, auroc("crack"), FRESH)
    assert (same.verdict, same.p_better, same.p_worse) == ("undecided", 0.5, 0.5)
    again = paired()(before, after, auroc("crack"), FRESH)
    assert again == said


def test_a_ranking_without_both_classes_says_nothing():
    one = ranked(1.0).set_column(1, "gold", pa.array(["fine"] * 300))
    said = paired()(one, one, auroc("crack"), FRESH)
    assert (said.verdict, said.p_better, said.low, said.high) == ("undecided", 0.5, -1.0, 1.0)


def test_accuracy_has_no_veto_over_a_ranking():
    before, after = ranked(2.0), ranked(0.3)
    before = before.set_column(2, "prediction", before.column("gold"))
    after = after.set_column(2, "prediction", pa.array(["other"] * 300))
    assert paired()(before, after, auroc("crack"), FRESH).verdict == "accept"


@pytest.mark.parametrize("levels", [{"alpha": 0.0}, {"alpha": 0.06}, {"budget": 1.0}])
def test_levels_must_fit(levels):
    with pytest.raises(InputError) as caught:
        paired(**levels)
    assert caught.value.key == "gate_levels"
    assert str(levels.popitem()[1]) in str(caught.value)


def test_levels_may_be_equal_and_are_kept():
    gate = paired(alpha=0.02, budget=0.02, veto=0.1, screen_z=1.0, screen_rows=7)
    assert (gate.alpha, gate.budget, gate.veto, gate.screen_z, gate.screen_rows) == (0.02, 0.02, 0.1, 1.0, 7)


# --- null


def test_level_under_swapped_answers():
    """Real-looking losses with each item's pair exchanged at random: the look accepts in alpha of cases."""
    rng, accepted = np.random.default_rng(11), 0
    gate = paired(alpha=0.05, budget=0.05)
    old, new = rng.exponential(size=(2, 80)) ** 2
    right_old, right_new = rng.random((2, 80)) < 0.8
    for _ in range(300):
        flip = rng.random(80) < 0.5
        before = scores(np.where(flip, right_new, right_old), np.where(flip, new, old))
        after = scores(np.where(flip, right_old, right_new), np.where(flip, old, new))
        accepted += gate(before, after, accuracy, FRESH).verdict == "accept"
    assert 0.015 <= accepted / 300 <= 0.075


# --- provisional


def test_pooled_weighs_by_inverse_variance():
    rng = np.random.default_rng(0)
    exam, oof = rng.normal(0.1, 1, 400), rng.normal(0.2, 1, 900)
    v1, v2 = exam.var(ddof=1) / 400, 2.25 * oof.var(ddof=1) / 900
    gain, error = pooled((exam, None), (oof, None), 0.0)
    assert gain == pytest.approx((exam.mean() / v1 + oof.mean() / v2) / (1 / v1 + 1 / v2))
    assert error == pytest.approx(math.sqrt(1 / (1 / v1 + 1 / v2)))
    assert pooled((exam, None), None, 0.0) == pytest.approx((exam.mean(), math.sqrt(v1)))
    assert pooled(None, (oof, None), 0.0) == pytest.approx((oof.mean(), math.sqrt(v2)))


def test_pooled_of_one_unit_says_nothing():
    for alone in (np.ones(1), None), (np.ones(4), np.zeros(4, np.int64)):
        gain, error = pooled(None, alone, 1.0)
        assert math.isnan(gain)
        assert error == math.inf
    assert pooled((np.array([1.0, 3.0]), None), None, 0.0) == pytest.approx((2.0, 1.0))


def test_pooled_knows_groups_and_that_no_spread_is_no_certainty():
    diffs, groups = np.repeat(np.random.default_rng(1).normal(size=50), 4), np.repeat(np.arange(50), 4)
    by_item = pooled((diffs, None), None, 0.0)[1]
    assert pooled((diffs, groups), None, 0.0)[1] == pytest.approx(2 * by_item, rel=0.02)
    assert pooled((np.zeros(9), None), None, 1.8) == pytest.approx((0.0, 0.2))
    assert not provisional((np.zeros(100), None), None, 0.01, people_only=True).allowed
    assert provisional((np.zeros(200), None), None, 0.01, people_only=True).allowed


def test_who_may_serve():
    rng = np.random.default_rng(2)
    good = (rng.normal(0.02, 0.2, 400), None)
    said = provisional(good, None, 0.02, people_only=True)
    assert said.allowed
    assert said.reason == "provisional.serves"
    assert said.limit == -0.02
    assert said.gain == pytest.approx(good[0].mean())
    assert said.low == pytest.approx(
        said.gain - 1.6448536 * math.sqrt(good[0].var(ddof=1) / 400 + (2 / 400) ** 2)
    )
    assert provisional(good, None, 0.02, people_only=False).reason == "provisional.machine_made"
    assert provisional(good, None, 0.02, people_only=True, flagged=["x"]).reason == "provisional.suspect"
    worse = provisional((good[0] - 0.03, None), None, 0.02, people_only=True)
    assert (worse.allowed, worse.reason) == (False, "provisional.may_be_worse")
    assert provisional((good[0] - 0.03, None), None, 0.1, people_only=True).allowed
    assert provisional(None, (good[0], None), 0.02, people_only=True).low < said.low


def test_nobody_serves_on_nothing():
    said = provisional(None, None, 0.02, people_only=True)
    assert (said.allowed, said.reason, said.low) == (False, "provisional.may_be_worse", -math.inf)
    wide = provisional((np.r_[1.0, -1.0], None), None, 0.02, people_only=True, confidence=0.5)
    assert wide.allowed
    assert units(np.ones(2)).sum() == 2.0


def test_the_agreed_numbers():
    """DESIGN §3: .005 one-sided out of a budget of .05, a veto at .05, a screen at z = .5 of 100 rows."""
    agreed = {"alpha": 0.005, "budget": 0.05, "veto": 0.05, "screen_z": 0.5, "screen_rows": 100}
    assert vars(paired()) == vars(Paired()) == agreed
    assert Provisional(allowed=False, reason="provisional.suspect").low == -math.inf
