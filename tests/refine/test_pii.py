"""The check for personal data: what it refuses, what it makes of that, and what it leaves as it was."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.records import (
    VERDICT,
    Numbering,
    Origin,
    Records,
    Rows,
    Task,
    certify,
    rows_of,
    source,
)
from bapsim.core.turn import Turn
from bapsim.refine.pii import PersonalData, personal_data
from bapsim.testing import check_check

TURN = Turn(n=1, seed=0, task=Task(input="text", target="label"))
OWN = Origin(
    source="log", input_maker="person", target_maker="machine", method="files", rights="terms", consent="c1"
)
TEXTS = ["문의는 010-1234-5678로", None, "깨끗한 문장", "a@b.com, 900101-1234568", "서버 192.168.0.1에서"]


def records(**columns: pa.Array) -> Records:
    rows = Rows(pa.RecordBatch.from_pydict(columns))
    draft = source(rows, name="log", maker="person", rights="own")
    return certify(draft, secret=b"k", origin=3, numbering=Numbering())


def five(kind: pa.DataType | None = None, **more: pa.Array) -> Records:
    return records(
        text=pa.array(TEXTS, pa.string()).cast(kind or pa.string()), label=pa.array(list("abcde")), **more
    )


def test_rows_with_personal_data_are_refused_and_counted() -> None:
    said = personal_data()(five(), TURN)
    assert said.schema == VERDICT
    assert said.column("keep").to_pylist() == [False, True, True, False, False]
    assert said.column("reason").to_pylist() == [
        "personal_data",
        None,
        None,
        "personal_data",
        "personal_data",
    ]
    assert said.column("value").to_pylist() == [1, None, None, 2, 1]
    assert set(said.column("limit").to_pylist()) == {0}
    only_mail = personal_data(kinds=("email",))(five(), TURN)
    assert only_mail.column("value").to_pylist() == [None, None, None, 1, None]


def test_the_masked_rows_are_a_machines_and_the_rest_is_as_it_was() -> None:
    note = pa.array(["call 010-1111-2222"] * 5)
    before = five(note=note, n=pa.array(range(5), pa.int16()))
    draft = personal_data().mend(before, OWN, TURN)
    assert draft.rows.to_pylist() == [
        {"text": "문의는 [PHONE]로", "label": "a", "note": "call 010-1111-2222", "n": 0},
        {"text": "[EMAIL], [RESIDENT]", "label": "d", "note": "call 010-1111-2222", "n": 3},
        {"text": "서버 [IP]에서", "label": "e", "note": "call 010-1111-2222", "n": 4},
    ]
    assert draft.rows.schema == rows_of(before).schema
    assert draft.changed == {"input"}
    made = draft.origin
    assert (made.input_maker, made.target_maker, made.method) == ("machine", "machine", "masked")
    assert (made.rights, made.consent) == ("terms", "c1")
    after = certify(draft, secret=b"k", origin=4, numbering=Numbering())
    assert after.column("_input_depth").to_pylist() == [1, 1, 1]
    assert after.column("_target_depth").to_pylist() == [0, 0, 0]
    ids = before.column("_id").to_pylist()
    assert after.column("_parents").to_pylist() == [[ids[0]], [ids[3]], [ids[4]]]
    assert personal_data()(after, TURN).column("keep").to_pylist() == [True] * 3


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_text_of_any_kind_is_looked_into_and_keeps_its_type(kind: pa.DataType) -> None:
    before = five(kind)
    assert personal_data()(before, TURN).column("keep").to_pylist() == [False, True, True, False, False]
    draft = personal_data().mend(before, OWN, TURN)
    assert draft.rows.schema == rows_of(before).schema
    assert draft.rows.column("text").to_pylist()[0] == "문의는 [PHONE]로"


def test_columns_say_where_to_look() -> None:
    task = Task(input=("text", "n"), target="label", kind="table")
    turn = Turn(n=1, seed=0, task=task)
    both = records(
        text=pa.array(["a@b.com", "x", "c@d.com"]),
        n=pa.array([1012345678, 2, 3]),
        note=pa.array(["x", "010-1234-5678", "010-1234-5678"]),
        label=pa.array(["p", "q", "r"]),
    )
    assert personal_data()(both, turn).column("value").to_pylist() == [1, None, 1]
    noted = personal_data(columns=("note", "text", "absent"))
    assert noted(both, turn).column("value").to_pylist() == [1, 1, 2]
    rows = noted.mend(both, OWN, turn).rows
    assert rows.column("note").to_pylist() == ["x", "[PHONE]", "[PHONE]"]
    assert rows.column("text").to_pylist() == ["[EMAIL]", "x", "[EMAIL]"]
    assert len(personal_data(columns=("n",)).mend(both, OWN, turn).rows) == 0


def test_no_rows_no_draft_and_unknown_kinds_are_errors() -> None:
    none = five().slice(0, 0)
    assert len(personal_data()(Records(none), TURN)) == 0
    assert len(personal_data().mend(Records(none), OWN, TURN).rows) == 0
    with pytest.raises(RecipeError) as caught:
        PersonalData(kinds=("shoe",))
    assert caught.value.key == "unknown_pii_kind"


def test_it_is_a_check_like_others() -> None:
    check_check(personal_data(), five(), TURN)


def test_reviews_of_films_are_kept(data: Path) -> None:
    with gzip.open(data / "nsmc_ko" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(40_000), lines, strict=False)]
    said = personal_data()(records(text=pa.array(texts, pa.string())), TURN)
    refused = said.column("keep").to_pylist().count(False)
    assert refused <= 40  # .1 %; every one that we looked at was an address or a number indeed
