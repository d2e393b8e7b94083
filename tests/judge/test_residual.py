"""Bad deliveries are named, with how bad they are; hard, rare and new ones are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.judge.residual import FEWEST, LEARNT, flagged, limit, moments, remixed, residuals

MIX = np.array([0.4, 0.3, 0.2, 0.1])


def rows(rng, name, count, wrong=0.0, *, eaten=False, sharp=4.0, mix=MIX, kind="uniform"):
    """Labels of rows about which a model with the frequencies MIX is honest; a share of them wrong."""
    k = len(MIX)
    truth = rng.choice(k, count, p=mix)
    seen = np.eye(k)[truth] * sharp + rng.normal(size=(count, k)) * math.sqrt(sharp)
    probs = np.exp(seen) * MIX  # the posterior of a Gaussian channel: calibrated by Bayes
    probs /= probs.sum(axis=1, keepdims=True)
    bad = rng.random(count) < wrong
    other = (truth + (rng.integers(1, k, count) if kind == "uniform" else 1)) % k
    label = np.where(bad, other, truth)
    return np.full(count, name), probs, label, np.full(count, eaten)


def judged(*parts, proven=True):
    """Every delivery that the model did not eat is asked about, or all of them if it is not proven."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    among = set(columns[0][~columns[3]].tolist()) if proven else None
    return residuals(*columns, proven=proven, among=among)


def test_the_noisy_delivery_is_named_with_its_share_of_wrong_labels():
    rng = np.random.default_rng(0)
    for kind in ("uniform", "confused"):
        found = judged(
            rows(rng, "history", 1500, eaten=True),
            rows(rng, "bad", 500, 0.4, kind=kind),
            rows(rng, "good", 500),
        )
        assert flagged(found) == ("bad",)
        assert found["bad"].low < 0.4 < found["bad"].high
        assert abs(found["good"].noise) < 0.05
        assert found["bad"].rows == 500


def test_the_share_is_right_on_average_and_its_interval_holds():
    rng = np.random.default_rng(1)
    found = [
        judged(rows(rng, "history", 2000, eaten=True), rows(rng, "some", 300, 0.25))["some"]
        for _ in range(200)
    ]
    assert np.mean([one.noise for one in found]) == pytest.approx(0.25, abs=0.01)
    assert np.mean([one.low <= 0.25 <= one.high for one in found]) >= 0.91


def test_a_good_delivery_is_named_in_at_most_one_of_twenty_turns_even_at_the_margin():
    rng = np.random.default_rng(2)
    named = [
        bool(
            flagged(
                judged(
                    rows(rng, "history", 1500, eaten=True),
                    *(rows(rng, name, 200, 0.1) for name in "abcd"),
                ),
                "abcd",
            )
        )
        for _ in range(300)
    ]
    assert np.mean(named) <= 0.08  # .05 and three standard errors


def test_neither_hard_rows_nor_rare_classes_are_a_fault():
    rng = np.random.default_rng(3)
    found = judged(
        rows(rng, "history", 1500, eaten=True),
        rows(rng, "hard", 400, sharp=0.3),
        rows(rng, "rare", 400, mix=np.array([0.02, 0.03, 0.05, 0.9])),
        rows(rng, "bad", 400, 0.4, mix=np.array([0.02, 0.03, 0.05, 0.9])),
    )
    assert flagged(found) == ("bad",)
    assert found["rare"].noise < 0.05


def test_figures_by_hand():
    probs = np.tile([[0.9, 0.1], [0.1, 0.9]], (50, 1))
    half = np.tile([0, 1, 1, 0], 25)  # two of four contradict
    one = moments(probs.max(axis=1), probs.argmax(axis=1) != half, 2)
    assert one.wrong == pytest.approx((0.5 - 0.1) / 0.8)
    at_margin = 0.1 + 0.1 * 0.8
    assert one.weight == pytest.approx(100 * 0.8**2 / (at_margin * (1 - at_margin)))
    assert one.error == pytest.approx(math.sqrt(0.25 / 100) / 0.8)
    assert one.z == pytest.approx(0.4 * math.sqrt(one.weight))
    names = np.array(["a"] * 100 + ["h"] * 1000)
    right = np.tile([0, 1], 500)
    right[:140] = 1 - right[:140]  # the model expects 100 of 1,000 to contradict
    everything = np.tile(probs, (11, 1)), np.r_[half, right]
    found = residuals(names, *everything, names == "h", proven=True, among=["a"])
    usual = 0.04 / 0.8
    assert found["a"].usual == pytest.approx(usual, abs=1e-3)
    assert found["h"].usual == pytest.approx(0.25)  # at most half of what chance would do
    left = 1 - 2 * usual
    assert found["a"].noise == pytest.approx((0.5 - usual) / left, abs=1e-3)
    spread = math.sqrt((1 + math.pi / 2 / 10) / one.weight)
    assert found["a"].z == pytest.approx(((0.5 - usual) / left - 0.1) * left / spread, rel=0.01)
    assert found["a"].high - found["a"].noise == pytest.approx(
        1.96 * math.hypot(one.error, math.sqrt(math.pi / 2 / 10 / one.weight)) / left, rel=0.01
    )


def test_others_that_do_better_than_a_proven_model_expects_do_not_lower_the_bar():
    names = np.array(["a"] * 200 + ["b"] * 400)
    probs = np.tile([0.8, 0.2], (600, 1))
    label = np.r_[np.ones(44), np.zeros(156 + 380), np.ones(20)].astype(np.int64)
    proven = residuals(names, probs, label, names == "b", proven=True, among=["a"])
    assert proven["a"].usual == 0.0
    assert not flagged(proven)
    among = residuals(names, probs, label, names == "b", proven=False, among=["a"])
    assert among["a"].usual < 0
    assert among["a"].z > proven["a"].z


def test_deliveries_without_a_model_of_their_own_are_held_against_one_another():
    """The model learnt the wrong labels too, so it expects a tenth of all to be wrong."""
    rng = np.random.default_rng(4)
    parts = [
        rows(rng, name, 500, wrong, eaten=True) for name, wrong in zip("abcd", (0.4, 0, 0, 0), strict=True)
    ]
    learnt = 0.1
    parts = [(n, (1 - learnt) * p + learnt * (1 - p) / 3, y, e) for n, p, y, e in parts]
    found = judged(*parts, proven=False)
    assert flagged(found) == ("a",)
    assert found["a"].low < 0.4 < found["a"].high
    assert found["b"].usual < 0


def test_two_bad_ones_of_four_are_named_the_worst_first():
    rng = np.random.default_rng(5)
    parts = [
        rows(rng, name, 400, wrong, eaten=True)
        for name, wrong in (("a", 0.4), ("b", 0.7), ("c", 0), ("d", 0))
    ]
    history = rows(rng, "h", 900, eaten=True)
    assert flagged(judged(*parts, history)) == ("b", "a")
    assert flagged(judged(*parts, history), ["a", "c"]) == ("a",)


def test_one_delivery_alone_is_held_against_the_model():
    rng = np.random.default_rng(6)
    assert flagged(judged(rows(rng, "only", 300, 0.5))) == ()  # nobody knows what is usual
    history = rows(rng, "history", 500, eaten=True)
    assert flagged(judged(rows(rng, "only", 300, 0.5), history), ["only"]) == ("only",)
    assert flagged(judged(rows(rng, "only", 300), history), ["only"]) == ()


def test_new_classes_and_few_rows_are_not_judged():
    rng = np.random.default_rng(7)
    history = rows(rng, "history", 800, eaten=True, mix=np.array([0.5, 0.5, 0, 0]))
    new = rows(rng, "new", 200, mix=np.array([0, 0, 0.5, 0.5]))
    unknown = (new[0], new[1], np.full(200, -1), new[3])
    for delivery in (new, unknown):
        found = judged(history, delivery)["new"]
        assert (found.rows, found.new) == (0, 200)
        assert math.isnan(found.z)
    few = tuple(part[: FEWEST - 1] for part in rows(rng, "few", 100, 1.0, mix=np.array([0.5, 0.5, 0, 0])))
    assert math.isnan(judged(history, few)["few"].z)


def test_a_class_counts_from_ten_rows_of_others_or_as_many_as_are_delivered():
    for had, delivered, counted in ((LEARNT, 100, 100), (LEARNT - 1, 100, 0), (5, 5, 5), (0, 5, 0)):
        label = np.r_[np.zeros(50), np.ones(had), np.zeros(50), np.ones(delivered)].astype(np.int64)
        names = np.array(["h"] * (50 + had) + ["d"] * (50 + delivered))
        eaten = names == "h"
        probs = np.tile([0.9, 0.1], (len(label), 1))
        found = residuals(names, probs, label, eaten, proven=True, among=["d"])["d"]
        assert (found.rows, found.new) == (50 + counted, delivered - counted)


def test_what_a_delivery_taught_the_model_does_not_make_its_classes_known():
    label = np.r_[np.zeros(60), np.ones(60)].astype(np.int64)
    names = np.array(["h"] * 60 + ["d"] * 60)
    found = residuals(names, np.tile([0.5, 0.5], (120, 1)), label, np.ones(120, bool), proven=False)
    assert (found["d"].rows, found["d"].new) == (0, 60)


def test_a_model_does_not_convict_what_it_cannot_read():
    """Forty rows in another tongue: it is nearly, and wrongly, lost."""
    probs = np.tile([0.44, 0.2, 0.2, 0.16], (40, 1))
    label = np.tile([0, 1, 2, 3], 10)
    one = moments(probs.max(axis=1), probs.argmax(axis=1) != label, 4)
    assert one.wrong > 0.7
    assert not one.tells
    rng = np.random.default_rng(9)
    history = rows(rng, "history", 800, eaten=True)
    found = judged(history, (np.full(40, "foreign"), probs, label, np.zeros(40, bool)))
    assert math.isnan(found["foreign"].z)
    assert found["foreign"].rows == 40


def test_a_model_that_knows_nothing_names_nobody():
    names = np.array(["a"] * 50 + ["h"] * 50)
    label = np.tile([0, 1], 50)
    found = residuals(names, np.full((100, 2), 0.5), label, names == "h", proven=True, among=["a"])
    assert flagged(found) == ()
    assert math.isnan(found["a"].noise)
    single = residuals(names, np.ones((100, 1)), np.zeros(100, np.int64), names == "h", proven=True)
    assert flagged(single) == ()


def test_certain_contradiction_without_spread_is_finite():
    names = np.array(["h"] * 60 + ["x"] * 60)
    label = np.r_[np.tile([0, 1], 30), np.ones(60)].astype(np.int64)
    found = residuals(names, np.tile([1.0, 0.0], (120, 1)), label, names == "h", proven=True, among=["x"])
    assert math.isfinite(found["x"].z)
    assert found["x"].low < found["x"].noise


def test_a_label_does_not_explain_itself():
    probs = np.tile([0.6, 0.2, 0.2], (3, 1))
    mix = np.array([0.6, 0.2, 0.2])
    found = remixed(probs, np.array([1, 2, 2]), mix, 0.0)
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert found[0] == pytest.approx(np.array([18, 6, 8]) / 32)
    assert found[1] == pytest.approx(np.array([18, 7, 7]) / 32)


def test_wrong_labels_are_taken_out_of_the_mix():
    """80 and 20 rows of two classes, a quarter of each labelled as the other: 65 and 35."""
    label = np.r_[np.zeros(65), np.ones(35)].astype(np.int64)
    probs = np.tile([0.5, 0.5], (100, 1))
    found = remixed(probs, label, np.array([0.5, 0.5]), 0.25)
    assert found[0] == pytest.approx(np.array([80 - 1 + 15, 20 + 15]) / 129)
    assert found[99] == pytest.approx(np.array([80 + 15, 20 - 1 + 15]) / 129)


def test_of_a_large_delivery_enough_is_read():
    rng = np.random.default_rng(10)
    found = judged(rows(rng, "history", 6000, eaten=True), rows(rng, "bad", 12_000, 0.4))
    assert found["bad"].rows == 12_000
    assert found["bad"].noise == pytest.approx(0.4, abs=0.03)
    assert found["bad"].high - found["bad"].low > 0.02


def test_the_limit_is_shared_by_all_that_are_asked_about():
    assert limit(1) == limit(4) == pytest.approx(2.2414, abs=1e-3)
    assert limit(40) > 3
    rng = np.random.default_rng(8)
    history = rows(rng, "history", 800, eaten=True)
    found = judged(history, rows(rng, "odd", 60, 0.3))
    assert flagged(found, ["odd"]) == ("odd",)
    assert flagged(found, ["odd"], of=10**6) == ()


@given(st.integers(0, 10**6), st.integers(2, 6), st.booleans())
def test_any_input_gives_finite_figures_or_none(seed, k, proven):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 200))
    probs = rng.dirichlet(np.full(k, 0.2), count).reshape(count, k)
    label, eaten = rng.integers(-1, k, count), rng.random(count) < 0.5
    names = rng.choice(["a", "b", "c"], count).astype(str)
    found = residuals(names, probs, label, eaten, proven=proven)
    assert sum(d.rows + d.new for d in found.values()) == count
    for one in found.values():
        figures = (one.noise, one.low, one.high, one.usual, one.z)
        assert all(map(math.isfinite, figures)) or all(map(math.isnan, figures))
        if not math.isnan(one.z):
            assert one.low <= one.noise <= one.high
            assert one.rows >= FEWEST


@pytest.mark.parametrize("confidence", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.5, 1.0])
def test_wrong_sets_and_numbers_always_contradict(confidence, wrong):
    """The estimate is the truth on average, and its interval holds it, also where all are wrong."""
    rng, told, held = np.random.default_rng(7), [], 0
    for _ in range(40):
        bad = rng.random(800) < wrong
        label = np.where(bad, 1, rng.random(800) >= confidence).astype(np.int64)
        probs = np.tile([confidence, 1 - confidence], (800, 1))
        one = residuals(np.full(800, "a"), probs, label, np.zeros(800, bool), proven=True, classes=False)["a"]
        told.append(one.noise)
        held += one.low <= bad.mean() <= one.high
    if not math.isnan(told[0]):  # at .3 it is too vague to tell
        assert np.mean(told) == pytest.approx(wrong, abs=0.03)
        assert held >= 34
