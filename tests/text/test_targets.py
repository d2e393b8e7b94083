"""One written form for each answer: equal answers are equal texts, whoever wrote them, of whatever type."""

import json
import math
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.text.targets import (
    NONE,
    decimal,
    joined,
    label_set,
    labels_in,
    memberships,
    number_of,
    numbers_of,
    visible,
    votes_in,
    written,
)

LABELS = st.lists(
    st.one_of(st.text(max_size=6), st.sampled_from(["a;b", "[x", "[1]", "a | b", '"', "가", " b "]))
)


@given(LABELS)
def test_a_set_is_read_back_from_its_text(labels):
    wanted = tuple(sorted({visible(label).strip() for label in labels} - {""}))
    assert label_set(joined(labels)) == wanted
    assert joined(label_set(joined(labels))) == joined(labels)


@given(LABELS, st.randoms())
def test_order_repetition_and_type_are_no_part_of_a_set(labels, random):
    shuffled = [*labels, *labels]
    random.shuffle(shuffled)
    lists = pa.array([labels, shuffled, None], pa.list_(pa.string()))
    one, two, none = written(lists, "labels")
    assert one == two == joined(labels)
    assert none is None
    dumped = json.dumps(shuffled, ensure_ascii=False)
    assert written(pa.array([dumped]), "labels") == [one]


def test_sets_as_people_write_them():
    said = ["b; a", " a ;b;; a", "a|b", '["b", "a", null]', "[]", ";", "", None, "[broken", '{"a": 1}']
    form = written(pa.array(said, pa.string()), "labels")
    assert form[:4] == ["a; b"] * 4
    assert form[4:6] == [NONE, NONE], "asked, and none of them fits"
    assert form[6:8] == [None, None], "nobody has answered"
    assert form[8:] == ["[broken", '{"a": 1}']
    assert written(pa.array([[3, 1, None], []], pa.list_(pa.int64())), "labels") == ["1; 3", NONE]
    assert label_set("[" * 100_000) == ("[" * 100_000,), "nested beyond measure is no list"
    assert label_set("[1") == ("[1",)


@given(st.floats(-1e100, 1e100))
def test_a_number_is_read_back_from_its_text(value):
    assert number_of(decimal(value)) == value
    assert written(pa.array([value]), "number") == [decimal(value)]
    assert written(pa.array([decimal(value)]), "number") == [decimal(value)]


def test_numbers_as_people_write_them():
    said = ["3", "3.0", "+3", " 3.00 ", "3e0", "03", ".5", "-0"]
    assert written(pa.array(said), "number") == ["3"] * 6 + ["0.5", "0"]
    odd = ["3,5", "1e999", "1.1e100", "inf", "three", "1 000", "0x10", "１"]
    assert written(pa.array(odd), "number") == odd, "what is no number stays as it stands"
    assert np.isnan(numbers_of(odd)).all()
    assert written(pa.array(["nan", "", "  ", "NaN", None]), "number") == [None] * 5
    assert written(pa.array([1, None], pa.int32()), "number") == ["1", None]
    assert math.isnan(numbers_of([None])[0])


def test_a_class_is_its_name_and_a_list_is_no_class():
    assert written(pa.array(["b; a", None, ""]), "class") == ["b; a", None, ""]
    assert written(pa.array([7, None]), "class") == ["7", None]
    assert written(pa.array(["x", "x"]).dictionary_encode(), "class") == ["x", "x"]
    assert written(pa.nulls(2), "labels") == [None, None]
    for answer in ("class", "number"):
        with pytest.raises(InputError, match="labels"):
            written(pa.array([["a"]]), answer)


def test_which_labels_are_there():
    said = ["a; c", NONE, None, "zebra"]
    assert memberships(said, ["a", "b", "c"]).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert labels_in(said) == ["a", "c", "zebra"]


def test_votes_keep_repetitions():
    listed = pa.array([["a", "b", "a"], [], None, [" a ", "", None]], pa.list_(pa.string()))
    assert votes_in(listed) == [["a", "b", "a"], None, None, ["a"]]
    assert votes_in(pa.array(['["a", "a"]', "b;a;b", "", None])) == [["a", "a"], ["b", "a", "b"], None, None]
    assert votes_in(pa.nulls(2)) == [None, None]


def test_what_nobody_sees_makes_no_class():
    said = pa.array(["환불\u200b", "환불", "\ufeffcard", "card\u202e", "card", "\u200b", None, "👨‍👩‍👧"])
    assert written(said, "class") == ["환불", "환불", "card", "card", "card", None, None, "👨‍👩‍👧"]
    assert written(pa.array(["b\u200b; a", "a;b"]), "labels") == ["a; b"] * 2
    assert votes_in(pa.array(["b\u200b; b"])) == [["b", "b"]]
    blank = pa.array(
        ["환불\u200b ", "환불\u3164", "good\u200d", unicodedata.normalize("NFD", "환불"), " \u200b"]
    )
    assert written(blank, "class") == ["환불", "환불", "good", "환불", None]
    assert written(pa.array(["3\u200b", "\ufeff3", "\u200b"]), "number") == ["3", "3", None]
