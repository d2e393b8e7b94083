"""Classes, sets and numbers before one judge and one gate."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import ExchangeError
from bapsim.core.recipe import Mixture, Wear
from bapsim.core.records import Answers, Numbering, Records, Rows, Task, certify, source
from bapsim.judge.compare import sign_flip
from bapsim.judge.exam import (
    SHARE,
    Heard,
    accuracy,
    agrees,
    contradicts,
    decides,
    distances,
    heard,
    joined_up,
    knows,
    log_loss,
    mean_absolute_error,
    micro_f1,
    of_numbers,
    of_sets,
    per_item,
    r2,
    right,
    scored,
    set_losses,
    spread,
    uncalibrated,
    within,
)
from bapsim.judge.gate import duo, paired, point_worth
from bapsim.judge.opponents import Frequent, Median, frequent, majority, uninformed
from bapsim.judge.ranking import auroc
from bapsim.testing import check_judge
from bapsim.text.targets import joined

WEAR = Wear(version=1, items=400, looks=0, budget=0.05)


def items(target, answer, kind=None, **more):
    rows = pa.record_batch({"x": [str(i) for i in range(len(target))], "y": pa.array(target, kind), **more})
    draft = source(Rows(rows), name="x", maker="person", rights="own")
    records = certify(draft, secret=b"2" * 32, origin=0, numbering=Numbering())
    return Mixture(task=Task(input="x", target="y", answer=answer), records=Records(records))


class Says:
    """Always these columns, row by row of the inputs "0", "1", ..."""

    def __init__(self, classes=(), **columns):
        self.classes, self.columns = classes, columns

    def __call__(self, rows):
        at = pa.array([int(x) for x in rows["x"].to_pylist()], pa.int64())
        made = {name: column.take(at) for name, column in self.columns.items()}
        return Answers(pa.record_batch(list(made.values()), names=list(made)))


def shares(probs):
    return pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(probs, np.float32).ravel()), len(probs[0]))


def told(values, kind=None):
    return pa.array(values, kind)


# --- numbers


def test_a_number_is_judged_by_its_distance() -> None:
    exam = items([1.0, 2.0, 3.5], "number")
    who = Says(prediction=told([1.5, 2.0, 3.0]), low=told([1.0, 1.0, 3.6]), high=told([2.0, 2.5, 4.0]))
    scores = per_item()(who, exam)
    assert of_numbers(scores)
    assert not of_sets(scores)
    assert scores["loss"].to_pylist() == [0.5, 0.0, 0.5]
    assert mean_absolute_error(scores) == pytest.approx(-1 / 3)
    assert r2(scores) == pytest.approx(1 - 0.5 / np.var([1, 2, 3.5]) / 3)
    assert within(0.4)(scores) == pytest.approx(1 / 3)
    assert not right(scores).any(), "near or far, never right"
    assert accuracy(scores) == 0
    assert scores.schema.metadata[b"calibrated"] == b"1", "an error needs no probabilities"
    check_judge(per_item(), who, exam)


def test_texts_that_are_numbers_are_numbers() -> None:
    exam = items(["1", "2.50", "3"], "number")
    scores = per_item()(Says(prediction=told(["1.0", "2.5", "4"])), exam)
    assert scores["loss"].to_pylist() == [0, 0, 1]
    check_judge(per_item(), Says(prediction=told(["1.0", None, "4"])), exam)
    with pytest.raises(ExchangeError, match="four"):
        per_item()(Says(prediction=told(["1", "four", "3"])), exam)


def test_a_missing_number_leaves_nothing_to_compare() -> None:
    exam = items([1.0, 2.0], "number")
    holes = per_item()(Says(prediction=told([None, 2.0], pa.float64())), exam)
    whole = per_item()(Says(prediction=told([1.0, 2.0])), exam)
    both = duo(holes, whole)
    assert both.loss is None
    said = paired()(holes, whole, mean_absolute_error, WEAR)
    assert (said.verdict, said.reason) == ("undecided", "decision.not_proven")


def test_no_items_have_no_metric() -> None:
    empty = per_item()(Says(prediction=told([], pa.float64())), items([], "number", pa.float64()))
    for metric in (mean_absolute_error, r2, within(1.0), accuracy, log_loss):
        assert math.isnan(metric(empty))
    one = per_item()(Says(prediction=told([1.0])), items([1.0], "number"))
    assert math.isnan(r2(one)), "nothing varies"
    assert spread(empty) == spread(one) == 0


def numbers(n=300, seed=0, noise=1.0, groups=None):
    rng = np.random.default_rng(seed)
    gold = rng.normal(50, 10, n)
    columns = (
        {"group": told([str(g) for g in groups])}
        if groups is not None
        else {"group": told([None] * n, pa.string())}
    )
    ids = told([i.to_bytes(16, "big") for i in range(n)], pa.binary(16))

    def scores(errors):
        said = np.array([str(v) for v in gold + errors], object)
        one = Heard(answer="number", prediction=said, confidence=np.ones(n), probs=None, classes=())
        return scored(one, [str(v) for v in gold], ids, columns["group"])

    return scores, rng.normal(0, noise, n), rng


def test_the_gate_flips_the_signs_of_errors() -> None:
    scores, errors, _ = numbers()
    before, after = scores(errors * 1.5), scores(errors)
    said = paired()(before, after, mean_absolute_error, WEAR)
    assert said.verdict == "accept"
    assert said.test == "absolute error sign flip"
    assert said.gain == pytest.approx(0.5 * np.abs(errors).mean())
    assert said.low < said.gain < said.high
    assert said.p_better == sign_flip(np.abs(errors) / 2)
    assert said.values["unit"] == "number"
    assert (said.values["wins"], said.values["losses"]) == (300, 0)
    assert said.detectable is not None
    assert said.detectable < said.gain, "in the target's own unit"
    back = paired()(after, before, mean_absolute_error, WEAR)
    assert (back.verdict, back.reason) == ("refuse", "decision.worse")
    same = paired()(before, before, mean_absolute_error, WEAR)
    assert (same.verdict, same.gain) == ("undecided", 0)


def test_another_metric_of_numbers_is_shown_but_the_error_decides() -> None:
    scores, errors, _ = numbers()
    said = paired()(scores(errors * 1.5), scores(errors), r2, WEAR)
    assert said.verdict == "accept"
    assert said.values["unit"] == "points"
    assert said.detectable is None, "an error's reach is no share of variance"
    assert 0 < said.gain < 0.1


def test_numbers_of_one_group_are_one_unit() -> None:
    scores, errors, _ = numbers(groups=np.arange(300) // 3)
    said = paired()(scores(errors * 1.5), scores(errors), mean_absolute_error, WEAR)
    sums = (np.abs(errors) / 2).reshape(100, 3).sum(axis=1)
    assert said.p_better == sign_flip(sums)
    assert said.values["groups"] == 100


def test_a_slice_in_which_numbers_got_worse_is_refused() -> None:
    scores, errors, _ = numbers()
    part = np.arange(300) < 60
    before, after = scores(errors), scores(np.where(part, 3 * errors, errors / 2))
    column = told(["x" if p else "y" for p in part])
    before, after = (one.append_column("slice_s", column) for one in (before, after))
    said = paired()(before, after, mean_absolute_error, WEAR)
    assert (said.verdict, said.values["slices"]) == ("refuse", "s=x")


def test_a_point_of_a_number_is_a_hundredth_of_the_spread() -> None:
    scores, errors, _ = numbers()
    one = scores(errors)
    gold = np.asarray(one["gold"])
    assert point_worth(one) == pytest.approx(0.01 * np.median(np.abs(gold - np.median(gold))))
    zero = items([0.0, 0.0, 0.0, 8.0], "number")
    heavy = per_item()(Says(prediction=told([0.0] * 4)), zero)
    assert spread(heavy) == 2, "more than half are equal: the mean distance"
    flat = per_item()(Says(prediction=told([1.0])), items([1.0], "number"))
    assert point_worth(flat) is None


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=30))
def test_errors_differ_by_no_more_than_answers_do(rows):
    gold, one, two = ([str(v) for v in column] for column in zip(*rows, strict=True))
    apart = np.abs(distances(one, gold) - distances(two, gold))
    assert (apart <= np.abs(distances(one, two)) * (1 + 1e-9) + 1e-6).all()


def test_a_number_contradicts_outside_its_interval() -> None:
    answers = pa.record_batch({"prediction": [1.0, 1.0], "low": [0.5, 0.5], "high": [1.5, 1.5]})
    said = heard(answers, (), "number")
    assert contradicts(said, ["1.4", "1.6"]).tolist() == [False, True]
    assert knows(said, ["1.4", "9e9"]).all()
    assert decides(said, ["1", "2"], np.ones(2, bool))
    bare = heard(answers.select(["prediction"]), (), "number")
    assert contradicts(bare, ["1", "1.6"]).tolist() == [False, True]
    assert not agrees(said, ["1", "1"]).any()


# --- sets


SETS = ["a; b", "[]", "c", "a"]
PROBS = [[0.9, 0.8, 0.1], [0.1, 0.2, 0.3], [0.2, 0.1, 0.6], [0.4, 0.3, 0.1]]


def of_labels():
    return Says(("a", "b", "c"), prediction=told(["b; a", "[]", "c", "[]"]), probs=shares(PROBS))


def test_a_set_is_right_when_all_of_it_is() -> None:
    exam = items(SETS, "labels")
    scores = per_item()(of_labels(), exam)
    assert of_sets(scores)
    assert right(scores).tolist() == [True, True, True, False]
    assert accuracy(scores) == 0.75
    assert micro_f1()(scores) == pytest.approx(2 * 3 / (4 + 3))
    half = np.array([[1.0, 1, 1, 1], [0, 0, 0, 1], [0, 1, 0, 0]])
    values = micro_f1().weighted(scores, half)
    assert values[1] == 0
    assert math.isnan(values[2]), "no label in the drawn items"
    check_judge(per_item(), of_labels(), exam)
    lists = items([["b", "a"], [], ["c"], ["a"]], "labels", pa.list_(pa.string()))
    assert per_item()(of_labels(), lists)["gold"].equals(scores["gold"])


def test_the_loss_of_a_set_is_that_of_its_labels() -> None:
    scores = per_item()(of_labels(), items(SETS, "labels"))
    p = (1 - SHARE) * np.array(PROBS) + SHARE / 2
    there = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]], bool)
    free = -math.log1p(-SHARE / 2)
    expected = np.where(there, -np.log(p), -np.log1p(-p) - free).sum(axis=1)
    assert scores["loss"].to_pylist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert log_loss(scores) == pytest.approx(-expected.mean(), abs=1e-6)


@given(st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=8), st.integers(0, 99))
def test_a_label_that_is_surely_absent_costs_nothing(sets, seed):
    gold = [joined(one - {"d"}) for one in sets]
    probs = np.random.default_rng(seed).random((len(sets), 3))
    more = np.column_stack([probs, np.zeros(len(sets))])
    assert set_losses(more, tuple("abcd"), gold) == pytest.approx(set_losses(probs, tuple("abc"), gold))
    unknown = set_losses(probs[:, :2], ("a", "b"), gold)
    sure = set_losses(np.where([[True, True, False]], probs, 0.0), tuple("abc"), gold)
    assert unknown == pytest.approx(sure), "not to know a label is to be sure that it is absent"


def test_sets_that_nobody_could_give_are_not_known() -> None:
    said = heard(of_labels()(Rows(pa.record_batch({"x": ["0", "1"]}))), ("a", "b", "c"), "labels")
    assert knows(said, ["a; b", "a; z"]).tolist() == [True, False]
    assert contradicts(said, ["a; b", "a"]).tolist() == [False, True]


def test_sets_are_calibrated_label_by_label() -> None:
    rng = np.random.default_rng(0)
    probs = rng.beta(0.5, 2, (400, 3))
    there = rng.random((400, 3)) < probs
    gold = [joined(np.array(list("abc"))[row]) for row in there]

    def said(p):
        answers = pa.record_batch({"prediction": told(gold), "probs": shares(p.tolist())})
        return heard(answers, tuple("abc"), "labels")

    every = np.ones(400, bool)
    assert decides(said(probs), gold, every)
    loud = probs**4 / (probs**4 + (1 - probs) ** 4)
    assert not decides(said(loud), gold, every), "too sure of itself"
    silent = heard(pa.record_batch({"prediction": told(gold)}), tuple("abc"), "labels")
    assert not decides(silent, gold, every)
    assert silent.confidence.tolist() == [1.0] * 400


def test_ranking_reads_sets() -> None:
    scores = per_item()(of_labels(), items(SETS, "labels"))
    assert auroc("a")(scores) == 1.0
    assert auroc("c")(scores) == 1.0


def test_a_mark_keeps_the_others() -> None:
    scores = uncalibrated(per_item()(of_labels(), items(SETS, "labels")))
    assert of_sets(scores)
    assert scores.schema.metadata[b"calibrated"] == b"0"
    assert duo(scores, scores).loss is None


# --- parts, and who answers without looking


def test_answers_in_parts_are_one() -> None:
    whole = pa.record_batch(
        {"prediction": told(["x", "y", "x"]), "probs": shares([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])}
    )
    classes = ("x", "y")
    parts = [
        (heard(whole.slice(1), classes, "class"), np.array([0, 2])),
        (heard(whole.slice(0, 1), classes, "class"), np.array([1])),
    ]
    found = joined_up(parts)
    assert found.prediction.tolist() == ["y", "x", "x"]
    assert found.confidence == pytest.approx([0.8, 0.9, 0.6])
    assert found.probs is not None
    bare = heard(whole.select(["prediction"]).slice(0, 1), classes, "class")
    assert joined_up([parts[0], (bare, np.array([1]))]).probs is None, "half of the probabilities are none"


def test_the_uninformed_say_what_is_commonest() -> None:
    rows = Rows(pa.record_batch({"x": ["0", "1"]}))
    assert uninformed(["b", "a", "b"], "class") == majority(["b", "a", "b"])
    sets = uninformed(["a; b", "[]", "[]", "b"], "labels")
    assert isinstance(sets, Frequent)
    answers = sets(rows)
    assert answers["prediction"].to_pylist() == ["[]", "[]"]
    assert answers["probs"].to_pylist() == [[0.25, 0.5]] * 2
    assert answers["confidence"].to_pylist() == [0.5, 0.5]
    bare = frequent(["[]"])
    assert "probs" not in bare(rows).schema.names
    middle = uninformed(["1", "2", "9", "4", "3"], "number")
    assert isinstance(middle, Median)
    answers = middle(rows)
    assert answers["prediction"].to_pylist() == [3.0, 3.0]
    assert answers["low"][0].as_py() < 3 < answers["high"][0].as_py()


def test_classes_are_calibrated_by_what_is_scored() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(1, 1, 400)
    gold = ["x" if g else "y" for g in rng.random(400) < p]

    def said(p):
        probs = np.column_stack([p, 1 - p])
        answers = {"prediction": told(["x" if v >= 0.5 else "y" for v in p]), "probs": shares(probs.tolist())}
        return heard(pa.record_batch(answers | {"confidence": [0.5] * 400}), ("x", "y"), "class")

    every = np.ones(400, bool)
    assert decides(said(p), gold, every)
    assert not decides(said((p > 0.5).astype(float)), gold, every), "whatever it says of its confidence"
    assert not decides(said(p), gold, np.arange(400) < 50), "too few rows"


def test_who_says_nothing_of_its_confidence_is_sure() -> None:
    answers = pa.record_batch(
        {"prediction": told(["a", "b"]), "confidence": told([0.25, None], pa.float32())}
    )
    assert heard(answers, ("a", "b"), "labels").confidence.tolist() == [0.25, 1.0]
    assert heard(answers, (), "class").confidence.tolist() == [0.25, 1.0]
    assert heard(answers.select(["prediction"]), (), "class").confidence.tolist() == [1.0, 1.0]
