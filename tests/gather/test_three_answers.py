"""What a target column says, and answers of people in the type of the column."""

import json

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.records import Rows, Task
from bapsim.gather.answers import Answer, accepted, with_target
from bapsim.gather.infer import FEW, guess_answer, infer
from bapsim.gather.read import read


@pytest.mark.parametrize(
    ("kind", "texts", "answer"),
    [
        ("list<string>", ['["a"]'], "labels"),
        ("string", ["a; b", "a", "b"], "labels"),
        ("string", ["Drama|War", "War", "Drama|Comedy", "Comedy"], "labels"),
        ("string", ["[]", "a"], "labels"),
        ("string", ['["a", "b"]', '["b"]'], "labels"),
        ("string", ["yes; surely", "no"], "class"),  # the parts come nowhere else
        ("string", ["a", "b"], "class"),
        ("string", [], "class"),
        ("float64", [str(i / 7) for i in range(FEW + 1)], "number"),
        ("int64", [str(i) for i in range(FEW)], "class"),
        ("double", [str(i / 2) for i in range(99)], "number"),
        ("int64", [str(i) for i in range(77)], "class"),  # codes of classes
        ("int64", [str(i) for i in range(1, 78)], "class"),
        ("int64", [str(i) for i in range(2, 79)], "number"),
        ("int64", [str(2 * i) for i in range(77)], "number"),
        ("int64", [str(-i) for i in range(77)], "number"),
        ("bool", ["true", "false"], "class"),
    ],
)
def test_the_answer_is_guessed_from_type_and_texts(kind, texts, answer):
    assert guess_answer(kind, dict.fromkeys(texts, 3)) == answer


def test_codes_come_more_than_once():
    assert guess_answer("int64", {str(i): 2 for i in range(77)}) == "number"


def test_a_column_of_lists_or_of_many_numbers_may_be_the_target(tmp_path):
    rng = np.random.default_rng(0)

    def target(**columns):
        file = tmp_path / "rows.jsonl"
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return infer(read(file)).target

    texts = [f"a long sentence, number {i}" for i in range(60)]
    lists = [["a", "b"][: i % 3] for i in range(60)]
    many, few = rng.normal(size=60).tolist(), [i % 3 for i in range(60)]
    assert target(text=texts, tags=lists) == "tags"
    assert target(text=texts, marks=lists) == "marks"
    assert target(text=texts, x=many, score=many) == "score"
    assert target(x=many, y=many, kind=few) == "y"
    assert target(score=many, kind=few) == "kind"
    assert target(label=few, tags=lists) == "label"
    assert target(text=texts, x=many) is None


def given(target, task, said):
    rows = Rows(pa.record_batch({"x": ["1"] * len(said), **target}))
    made, bad = with_target(rows, task, pa.array(said, pa.string()))
    return made, bad.tolist()


def test_a_set_is_taken_in_any_of_its_ways_and_kept_in_the_type_of_its_column():
    task = Task(input="x", target="y", answer="labels")
    said = ["b; a", '["a", "b"]', "[]", None]
    made, bad = given({"y": pa.nulls(4, pa.list_(pa.string()))}, task, said)
    assert made["y"].to_pylist() == [["a", "b"], ["a", "b"], [], None]
    assert bad == [False] * 4
    made, _ = given({"y": pa.nulls(4, pa.string())}, task, said)
    assert made["y"].to_pylist() == ["a; b", "a; b", "[]", None]
    made, _ = given({}, task, said)
    assert made["y"].to_pylist() == ["a; b", "a; b", "[]", None]


def test_what_is_no_number_does_not_fit():
    task = Task(input="x", target="y", answer="number")
    for kind in (pa.float64(), pa.string()):
        made, bad = given({"y": pa.nulls(4, kind)}, task, ["3.50", "3,5", "viel", None])
        assert bad == [False, True, True, False]
        assert made["y"][0].as_py() in (3.5, "3.5")
    made, bad = given({}, task, ["1", "one", None, "2"])
    assert bad == [False, True, False, False]
    made, bad = given({"y": pa.nulls(2, pa.int64())}, task, ["1", "1.5"])
    assert bad == [False, True], "the column holds whole numbers"


def test_a_set_is_refused_for_one_label_that_may_not_be_given():
    said = [Answer(ask=b"", target=t, note=None, file="a", line=1) for t in ("a; b", "[]", "a; z", "?")]
    taken, refused = accepted(said, ["a", "b"], several=True)
    assert [one.target for one in taken] == ["a; b", "[]"]
    assert [(one.reason, one.detail) for one in refused] == [("unknown_label", "z"), ("cannot_tell", "q")]
    assert len(accepted(said, several=True)[0]) == 3
