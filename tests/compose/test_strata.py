"""Strata of sets and numbers, and what a doubtful answer is."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.exam import Frame, draw, folds
from bapsim.compose.outcomes import of_intervals, of_sets, outcomes
from bapsim.compose.questions import choose, uncertainty
from bapsim.compose.strata import PARTS, strata
from bapsim.text.targets import joined


@given(st.lists(st.sampled_from(["a; b", "a", "[]", "c", "a; c"]), min_size=1), st.randoms())
def test_the_order_of_rows_does_not_move_a_row(said, random):
    for answer, values in (("labels", said), ("class", said), ("number", [str(len(s)) for s in said])):
        order = list(range(len(values)))
        random.shuffle(order)
        codes = strata(values, answer)
        assert strata([values[i] for i in order], answer).tolist() == codes[order].tolist()


def test_a_set_goes_with_its_rarest_label():
    said = ["a; b"] * 3 + ["a"] * 10 + ["a; z"] + ["[]"] * 4 + ["b"] * 5
    codes = strata(said, "labels")
    assert len(set(codes[:3])) == 1
    assert codes[0] == codes[-1], "b is rarer than a"
    assert codes[13] not in codes[:13], "z is a stratum of its own"
    assert len(set(codes.tolist())) == 4


def test_numbers_are_cut_into_tenths():
    values = np.random.default_rng(0).permutation(1000)
    codes = strata([str(v) for v in values], "number")
    assert np.bincount(codes).tolist() == [100] * PARTS
    assert (np.diff(codes[np.argsort(values)]) >= 0).all()
    assert strata(["5"] * 20, "number").tolist() == [1] * 20
    assert strata([], "number").tolist() == []
    assert strata(["x", "1", "2"], "number").shape == (3,), "what is no number is somewhere"
    assert strata(["x"], "number").tolist() == [0]


def test_the_exam_has_rare_labels_and_all_tenths():
    rng = np.random.default_rng(1)
    said = [joined(["common"] * (rng.random() < 0.9) + ["rare"] * (i % 8 == 0)) for i in range(1000)]
    frame = Frame(labels=strata(said, "labels"), clusters=np.arange(1000), roots=np.arange(1000))
    exam = draw(frame, 200, rng)
    assert exam.sum() == 200
    assert sum("rare" in said[i] for i in np.flatnonzero(exam)) == 25
    values = rng.normal(size=1000)
    tenths = strata([str(v) for v in values], "number")
    frame = Frame(labels=tenths, clusters=np.arange(1000), roots=np.arange(1000))
    assert np.bincount(tenths[draw(frame, 200, rng)]).tolist() == [20] * PARTS
    split = folds(frame, 5, rng)
    assert all(np.bincount(tenths[split == k]).tolist() == [20] * PARTS for k in range(5))


def test_doubt_of_a_set_is_a_close_second():
    probs = np.array([[0.99, 0.01, 0.01], [0.55, 0.01, 0.01], [0.5, 0.5, 0.5]])
    shown = of_sets(probs)
    assert shown.shape == (3, 4)
    assert np.allclose(shown.sum(axis=1), 1)
    assert (shown.argmax(axis=1) == 0).all(), "the set as it was answered"
    doubt = uncertainty(shown)
    assert doubt[0] < 0.05
    assert 0.8 < doubt[1] <= doubt[2]


def test_doubt_of_a_number_is_the_place_of_its_width():
    value, half = np.arange(100.0), np.r_[np.ones(50), np.arange(50.0) + 2]
    shown = of_intervals(value, value - half, value + half)
    assert np.allclose(shown.sum(axis=1), 1)
    doubt = uncertainty(shown)
    assert (np.diff(doubt[50:]) > 0).all()
    assert np.allclose(doubt[:50], 0.5)
    assert doubt[-1] == 1
    apart = shown @ shown.T
    assert apart[0, 99] == 0, "rows of other tenths doubt other things"
    assert of_intervals(np.zeros(0), np.zeros(0), np.zeros(0)).shape == (0, 2 * PARTS)


def test_questions_go_where_intervals_are_wide():
    rng = np.random.default_rng(2)
    value = rng.normal(size=1000)
    half = np.where(rng.random(1000) < 0.1, 5.0, 1.0)
    answers = pa.record_batch({"prediction": value, "low": value - half, "high": value + half})
    asked = choose(outcomes(answers, "number"), np.arange(1000), 40, 0.0, rng)
    assert (half[asked.rows] == 5).mean() > 0.5
    assert len(set(strata([str(v) for v in value[asked.rows]], "number").tolist())) > 5


def test_nothing_known_is_no_outcome():
    bare = pa.record_batch({"prediction": ["a", "b"]})
    for answer in ("class", "labels", "number"):
        assert outcomes(bare, answer).shape == (2, 0)
    probs = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 0.25, 0.1, 0.9], pa.float32()), 2)
    both = bare.append_column("probs", probs)
    assert outcomes(both, "class").tolist() == [[0.5, 0.25], [np.float32(0.1), np.float32(0.9)]]
    assert outcomes(both, "labels").shape == (2, 3)
