"""Masking at the door: no original enters, what is read again is what it was, and masks are counted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Draft, Numbering, Rows, Task, certify, derive, source
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers
from bapsim.gather.files import files
from bapsim.gather.masked import masked
from bapsim.store.project import opened
from bapsim.testing import check_source
from bapsim.wheel.audit import check, why_record
from bapsim.wheel.gathering import gather
from bapsim.wheel.preview import preview
from bapsim.wheel.state import begin, stop
from bapsim.wheel.stock import load_stock
from tests.wheel.world import bank, founded, turns

TASK = Task(input="text", target="intent")
ROWS = [
    {"id": "1", "text": "my number is 010-1234-5678로", "intent": "card", "note": "a@b.com"},
    {"id": "2", "text": "where is my card", "intent": "card", "note": "x"},
    {"id": "3", "text": "mail me at minsu@naver.com", "intent": None, "note": "x"},
]


def turn_of(folder: Path) -> Turn:
    return Turn(n=1, seed=0, task=TASK, inbox=folder)


def written(folder: Path, rows: list[dict[str, str | None]], name: str = "data/a.jsonl") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), "utf-8")


def certified(drafts: Iterator[Draft]) -> dict[str, bytes]:
    """Ids by text."""
    numbering, found = Numbering(), {}
    for draft in drafts:
        records = certify(draft, secret=b"k", origin=0, numbering=numbering)
        found |= dict(zip(records["text"].to_pylist(), records["_id"].to_pylist(), strict=True))
    return found


def test_inputs_are_masked_and_rows_say_so(tmp_path: Path) -> None:
    written(tmp_path, [*ROWS, {"id": "4", "text": "two\nlines"}])
    with (tmp_path / "data/a.jsonl").open("a") as file:
        file.write("\nno json\n")
    door = masked(files("data/", rights="own"))
    drafts = list(door(turn_of(tmp_path)))
    by_method = {d.origin.method: d.rows.column("text").to_pylist() for d in drafts}
    assert by_method == {
        "files": ["where is my card", "two\nlines"],
        "files+masked": ["my number is [PHONE]로", "mail me at [EMAIL]"],
    }
    assert {d.origin.input_maker for d in drafts} == {"person"}
    assert [u.reason for d in drafts for u in d.unread] == ["json"], "told once"
    assert [n for d in drafts for n in d.rows.column("note").to_pylist()] == ["x", None, "a@b.com", "x"]
    wide = masked(files("data/"), columns=("text", "note"), kinds=("email",))
    notes = [r for d in wide(turn_of(tmp_path)) for r in d.rows.to_pylist()]
    assert {r["note"] for r in notes} == {"x", None, "[EMAIL]"}
    assert "010-1234-5678" in notes[-1]["text"] + notes[-2]["text"], "only e-mail was asked for"
    check_source(door, turn_of(tmp_path))


def test_a_row_is_the_same_record_whatever_comes_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "one", ROWS)
    written(tmp_path / "two", [{"id": "9", "text": "01012345678", "intent": "card"}, *ROWS[::-1]])
    door = masked(files("data/"))
    first, second = (certified(door(turn_of(tmp_path / name))) for name in ("one", "two"))
    assert len(second) == 4
    assert first.items() <= second.items()


def test_keys_go_with_their_rows(tmp_path: Path) -> None:
    written(tmp_path, ROWS)
    drafts = list(masked(files("data/", key="id"))(turn_of(tmp_path)))
    said = {k: t for d in drafts for k, t in zip(d.keys or (), d.rows["text"].to_pylist(), strict=True)}
    assert said == {
        "1": "my number is [PHONE]로",
        "2": "where is my card",
        "3": "mail me at [EMAIL]",
    }


def test_what_the_inner_source_says_of_itself_is_kept(tmp_path: Path) -> None:
    written(tmp_path, ROWS)
    inner = files("data/", types={"intent": "string"})
    door = masked(inner)
    assert door.reads is not None
    assert door.reads(turn_of(tmp_path)) == inner.reads(turn_of(tmp_path))
    assert door.types == inner.types
    assert fingerprint(door) != fingerprint(inner) != fingerprint(masked(inner, kinds=("email",)))
    assert masked(Derives()).reads is None
    assert masked(Derives()).types == {}
    with pytest.raises(RecipeError):
        masked(inner, kinds=("names",))


@dataclass(frozen=True)
class Derives:
    """A machine's variants of two rows: lineage must stay aligned."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        rows = Rows(pa.RecordBatch.from_pylist([{k: r[k] for k in ("text", "intent")} for r in ROWS]))
        people = certify(
            source(rows, name="p", maker="person", rights="own"),
            secret=b"k",
            origin=0,
            numbering=Numbering(),
        )
        robot = replace(
            source(rows, name="r", maker="machine", rights="own", method="copy").origin, source="r"
        )
        yield derive(people, [[0], [1], [2]], rows, changed=frozenset({"input"}), origin=robot)


def test_derived_rows_and_bare_answers_pass_whole(tmp_path: Path) -> None:
    (draft,) = masked(Derives())(turn_of(tmp_path))
    assert draft.origin.method == "copy+masked"
    assert draft.parents is not None
    assert len(draft.parents.ids) == len(draft.rows) == 3
    assert draft.rows["text"].to_pylist()[2] == "mail me at [EMAIL]"
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/a.csv").write_text(
        "_ask,text,intent\n" + "q" + "0" * 32 + ",a@b.com,card\n", "utf-8"
    )
    turn = replace(turn_of(tmp_path), asked={bytes(16): "chosen"})
    plain, behind = list(answers("answers/")(turn)), list(masked(answers("answers/"))(turn))
    assert [d.origin for d in plain] == [d.origin for d in behind]
    assert [d.asked for d in plain] == [d.asked for d in behind]


def test_no_original_is_anywhere_in_the_wheel_and_nothing_is_read_twice(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    rows = [{"text": f"call 010-{i:04}-9{i:03} {i}", "intent": "card" if i % 2 else "loan"} for i in range(8)]
    written(root / "inbox", [*rows, *ROWS])
    wheel = bank(sources={**bank().sources, "log": masked(files("data/", rights="own"))})
    with opened(root) as project:
        told = preview(project, wheel)["sources"]["log"]
        assert told == {"fresh": 11, "again": 0, "unread": 0}
        turn = begin(project, wheel)
        assert gather(project, dict(wheel.sources), turn)["log"] == 11
        stop(project)
        again = begin(project, wheel)
        assert gather(project, dict(wheel.sources), again)["log"] == 0
        assert not project.ledger.rows("select * from batch where turn=2 and source='log'"), "not even read"
        stop(project)
        stock = load_stock(project, wheel.task)
        by_method = {
            o.method: int((stock.origin == n).sum()) for n, o in stock.origins.items() if o.source == "log"
        }
    assert by_method == {"files": 1, "files+masked": 10}
    assert (stock.depth[stock.of_origins(lambda _, o: o.source == "log")] == 0).all()
    for path in (root / "wheel" / "records").rglob("*.parquet"):
        import pyarrow.parquet as pq

        for column in pq.read_table(path).select(["text"]).column("text").to_pylist():
            assert "010-" not in column
            assert "@naver.com" not in column


def test_a_turn_trains_on_masked_rows_as_on_peoples(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    rows = [
        {
            "text": f"{'카드' if i % 2 else '대출'} 문의 010-{1000 + i}-5678로 {i}",
            "intent": "card" if i % 2 else "loan",
        }
        for i in range(60)
    ]
    written(root / "inbox", rows)
    wheel = bank(sources={"log": masked(files("data/", rights="own"))}, questions=None)
    (told,) = turns(root, wheel, 1)
    assert told["accounts"]["pending"] == told["accounts"]["refused"] == 0
    assert told["accounts"]["exam"] > 0, "masked at the door, a row is the person's as it was let in"
    with opened(root) as project:
        assert check(project, wheel)["findings"] == []
        stock = load_stock(project, wheel.task)
        made = why_record(project, wheel, stock.ids[0].tobytes().hex())["certificate"]
    assert (made["method"], made["input_maker"], made["input_depth"]) == ("files+masked", "person", 0)
