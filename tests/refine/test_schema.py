"""The schema check: one fault a row, the first that counts, with what was measured and its limit."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.records import VERDICT, Records, Task
from bapsim.core.turn import Turn
from bapsim.refine.schema import REASONS, Schema, schema
from tests.image.pictures import encoded, part

TURN = Turn(n=1, seed=0, task=Task(input="text", target="label"))
KOREAN = "어떤 오락영화던 그 이상의 것을 보여줬다"


def reasons(texts, check=None, **columns):
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string()), **columns})
    said = (check or schema())(Records(batch), TURN)
    assert said.schema == VERDICT
    assert said.column("keep").to_pylist() == [r is None for r in said.column("reason").to_pylist()]
    return said.column("reason").to_pylist(), said


def test_missing_and_blank_inputs_are_empty():
    blank = [None, "", " \t\n", "\u200b\ufeff\u3000", "\x00\x00", "\u3164"]
    assert reasons([*blank, "a", "0", "...", "👍"])[0] == ["empty_input"] * 6 + [None] * 4


def test_garbled_korean_and_english_are_seen_and_good_text_is_not():
    garbled = [
        KOREAN.encode().decode("cp949", "replace"),
        KOREAN.encode().decode("cp949", "ignore"),
        KOREAN.encode().decode("latin-1"),
        KOREAN.encode().decode("cp1252", "replace"),
        KOREAN.encode("cp949").decode("utf-8", "replace"),
        KOREAN.encode("utf-16-le").decode("latin-1"),
        "it\x00s\x00 \x00b\x00r\x00o\x00k\x00e\x00n\x00",
        "cafÃ© â€œcrÃ¨meâ€\x9d",
    ]
    good = [KOREAN, "뷁 쀍 최고", "됬다", "안녕하세요 金東仁 小說", "日本語の文章です", "😀 ok\n\tfine"]
    good += ["café « crème »", "Straße „schön“", "Ça coûte 10\u00a0€ à\u00a0«Noël»", "São João, ÀÉÎÕÜ"]
    good += ["one \ufffd in a sentence of many words"]
    assert reasons([*garbled, *good])[0] == ["bad_encoding"] * len(garbled) + [None] * len(good)


def test_a_text_does_not_borrow_from_its_neighbour():
    assert reasons(["Ã", "©", "â", "€", "™"])[0] == [None] * 5


def test_value_and_limit_say_what_was_measured():
    said = reasons(["a" * 30, "ab\ufffd\ufffd", "fine"], Schema(longest=20, strange=0.25))[1]
    assert said.column("reason").to_pylist() == ["too_long", "bad_encoding", None]
    assert said.column("value").to_pylist() == [30, 0.5, None]
    assert said.column("limit").to_pylist() == [20, 0.25, None]


def test_labels_outside_the_declared_classes_are_unknown_and_a_pool_is_not():
    check = schema(classes=("a", "b"))
    assert reasons(["x"] * 4, check, label=["a", "c", None, "b x"])[0] == [
        None,
        "unknown_class",
        None,
        "unknown_class",
    ]
    coded = pa.array(["a", "c"]).dictionary_encode()
    assert reasons(["x"] * 2, check, label=coded)[0] == [None, "unknown_class"]
    assert reasons(["x"] * 2, schema(classes=("1",)), label=pa.array([1, 2]))[0] == [None, "unknown_class"]


def test_numbers_must_be_finite_and_may_be_missing():
    task = Task(input=("a", "b"), target="y", kind="table")
    rows = pa.RecordBatch.from_pydict(
        {
            "a": [1.0, np.inf, np.nan, None, -np.inf],
            "b": [1, 2, 3, None, None],
            "y": [0.0, 1.0, np.inf, 1.0, 1.0],
        }
    )
    said = schema()(Records(rows), Turn(n=1, seed=0, task=task)).column("reason").to_pylist()
    assert said == [None, "not_finite", "not_finite", "empty_input", "not_finite"]


@given(st.lists(st.one_of(st.none(), st.text(max_size=8)), max_size=20))
def test_a_verdict_depends_on_its_row_alone(texts):
    texts = [None if t is None else t.encode("utf-8", "replace").decode() for t in texts]
    assert reasons(texts)[0] == [reasons([t])[0][0] for t in texts]
    assert set(reasons(texts)[0]) <= set(REASONS)


def test_slices_and_large_strings_are_read_alike():
    texts = pa.array(["", "good", "a\ufffd", "x" * 9, None], pa.large_string())
    check = schema(longest=8)
    whole = check.faults(pa.RecordBatch.from_pydict({"text": texts}), TURN.task)[0]
    part = check.faults(pa.RecordBatch.from_pydict({"text": texts.slice(2)}), TURN.task)[0]
    assert [REASONS[f] for f in whole] == ["empty_input", None, "bad_encoding", "too_long", "empty_input"]
    assert part.tolist() == whole[2:].tolist()


@pytest.mark.data
def test_hardly_a_real_review_is_called_garbled(data):
    with gzip.open(data / "nsmc_ko" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(40_000), lines, strict=False)]
    found, _ = Schema().faults(pa.RecordBatch.from_pydict({"text": texts}), TURN.task)
    assert (found == REASONS.index("bad_encoding")).sum() <= 2


def test_targets_of_sets_and_numbers():
    def about(answer, target, check=None):
        turn = Turn(n=1, seed=0, task=Task(input="text", target="label", answer=answer))
        batch = pa.RecordBatch.from_pydict({"text": ["a"] * len(target), "label": target})
        return (check or schema())(Records(batch), turn).column("reason").to_pylist()

    numbers = pa.array(["1", "2,5", None, "nan", "inf", " "])
    assert about("number", numbers) == [None, "not_a_number", None, None, "not_a_number", None]
    assert about("number", pa.array([1.0, np.inf, None])) == [None, "not_finite", None]
    known = schema(classes=("a", "b"))
    assert about("labels", pa.array([["b", "a"], ["a", "z"], [], None]), known) == [
        None,
        "unknown_class",
        None,
        None,
    ]
    assert about("labels", pa.array(["b|a", "z"]), known) == [None, "unknown_class"]
    assert about("labels", pa.array(["b|a", "z"])) == [None, None]


def test_bytes_that_are_no_picture_are_refused():
    task = Task(input="image", target="label", kind="image")
    bodies = [encoded(part(1, "free")), b"no picture", None, b""]
    batch = pa.RecordBatch.from_pydict({"image": pa.array(bodies, pa.large_binary()), "label": ["a"] * 4})
    found = schema()(Records(batch), Turn(n=1, seed=0, task=task)).column("reason").to_pylist()
    assert found == [None, "not_a_picture", "empty_input", "not_a_picture"]
