"""Questions out, answers in: safe in a spreadsheet, whatever it does to the file on the way back."""

import csv
import json
import zipfile
from dataclasses import replace

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.arrow import positions, take
from bapsim.core.errors import InputError
from bapsim.core.records import Numbering, Records, Rows, Task, certify, source
from bapsim.core.turn import Turn
from bapsim.gather.answers import (
    Sheet,
    accepted,
    answers,
    escaped,
    read_answers,
    unescaped,
    write_questions,
)
from bapsim.gather.read import read

IDS = [bytes([i]) * 16 for i in range(1, 9)]


def sheet_of(texts, **options) -> Sheet:
    rows = Rows(pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())}))
    return Sheet(rows=rows, ids=IDS[: len(texts)], target="label", **options)


def fill(path, labels, notes=None, encoding="utf-8-sig"):
    """What a person does in a spreadsheet: fills two columns and saves."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["label"], row["_note"] = labels[i], (notes or labels)[i]
    with path.open("w", encoding=encoding, newline="", errors="replace") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def fill_book(path, label, value=None):
    """What a person does in Excel: puts into the column `label` a value, or what another column says."""
    book = openpyxl.load_workbook(path)
    sheet = book["questions"]
    names = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        cell = row[names.index(label)]
        cell.value = row[names.index("_suggested")].value if value is None else value
        cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
    book.save(path)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".xlsx"])
def test_a_sheet_is_written_whole_or_not_at_all(tmp_path, monkeypatch, ending):
    def full(path, body):
        raise OSError(28, "No space left on device")

    path = tmp_path / f"ask{ending}"
    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_questions(path, sheet_of(["밥 먹었니"], classes=["x"]))
    assert not path.exists()


@given(st.text() | st.text("'=+-@\t\r\n＝", max_size=4))
def test_escaping_is_undone(cell):
    assert unescaped(escaped(cell)) == cell
    assert not escaped(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15)


@settings(max_examples=80)
@given(
    st.lists(st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1, max_size=6),
    st.sampled_from([".csv", ".jsonl", ".xlsx"]),
)
def test_a_sheet_comes_back(tmp_path_factory, pairs, ending):
    path = tmp_path_factory.mktemp("sheet") / f"ask{ending}"
    write_questions(path, sheet_of([text for text, _ in pairs], suggested=[label for _, label in pairs]))
    if ending == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [unescaped(row["text"]) for row in rows] == [text for text, _ in pairs]
        fill(path, [row["_suggested"] for row in rows])
    elif ending == ".xlsx":
        (chunk,) = read(path, rename={"_ask": "ask", "_suggested": "said", "_note": "note"})
        assert chunk.rows.column("text").to_pylist() == [text or None for text, _ in pairs]
        fill_book(path, "label")
    else:
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
        assert [row["text"] for row in rows] == [text for text, _ in pairs]
        said = (json.dumps(row | {"label": escaped(row["_suggested"])}) for row in rows)
        path.write_text("\n".join(said), "utf-8")
    sheet = read_answers(path, "label")
    assert sheet.unread == ()
    assert [(a.ask, a.target) for a in sheet.answers] == [
        (one, label.strip()) for one, (_, label) in zip(IDS, pairs, strict=False)
    ]


def test_what_is_written(tmp_path):
    path = tmp_path / "ask.csv"
    write_questions(path, sheet_of(["=1+1", "a"], suggested=["x", None], classes=["x", "y"]))
    said = path.read_bytes()
    assert said.startswith(b"\xef\xbb\xbf_ask,text,_suggested,label,_note\r\n")
    assert f"q{IDS[0].hex()},'=1+1,x,,\r\n".encode() in said
    assert (tmp_path / "ask.classes.txt").read_text() == "x\ny\n"
    with pytest.raises(InputError):
        write_questions(tmp_path / "ask.ods", sheet_of(["a"]))


def test_a_workbook_to_fill_in(tmp_path):
    path = tmp_path / "ask.xlsx"
    labels = ["=1+1", "3-1", "007", "모름, 아님"]
    asked = sheet_of(
        ["=1+1", "밥 " * 40, "a\nb", "x" * 40_000], suggested=[None, *labels[:3]], classes=labels
    )
    write_questions(path, asked)
    body = path.read_bytes()
    sheet = openpyxl.load_workbook(path)["questions"]
    assert [[cell.value for cell in row[1:]] for row in sheet.iter_rows(max_row=4)] == [
        ["text", "_suggested", "label", "_note"],
        ["=1+1", None, None, None],
        ["밥 " * 40, "=1+1", None, None],
        ["a\nb", "3-1", None, None],
    ]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert {cell.number_format for cell in cells} == {"@"}
    assert {cell.data_type for cell in cells if cell.value} == {"s"}, "no formula, no number, no date"
    assert len(sheet["B5"].value) == 32_767
    assert sheet.freeze_panes == "A2"
    assert sheet.column_dimensions["B"].width == 60
    assert sheet.column_dimensions["D"].width == 10
    (choice,) = sheet.data_validations.dataValidation
    assert (str(choice.sqref), choice.formula1) == ("D2:D5", "labels!$A$1:$A$5")
    assert not choice.showErrorMessage, "another text may be typed"
    known = openpyxl.load_workbook(path)["labels"]
    assert [row[0].value for row in known.iter_rows()] == [*labels, "?"]
    with zipfile.ZipFile(path) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}, "no clock in it"
        assert archive.read("docProps/core.xml").count(b"1980-01-01T00:00:00Z") == 2
    write_questions(path, asked)
    assert path.read_bytes() == body
    write_questions(tmp_path / "free.xlsx", sheet_of(["a"]))
    assert openpyxl.load_workbook(tmp_path / "free.xlsx").sheetnames == ["questions"]


def test_excel_changes_types(tmp_path):
    """A label 1 comes back as a number, true as TRUE; where that is a known class, it is that class."""
    path = tmp_path / "ask.xlsx"
    for value, said, classes, meant in [
        (1, "1", (), "1"),
        (1.0, "1", ("1", "2"), "1"),
        (7, "7", ("007", "008"), "007"),
        (7, "7", ("007", "07"), None),
        (True, "TRUE", ("true", "false"), "true"),
        (2.5, "2.5", ("2.50", "3"), "2.50"),
        ("Lost", "Lost", ("lost", "found"), "lost"),
        ("?", "?", ("a",), None),
    ]:
        write_questions(path, sheet_of(["a"], classes=classes))
        fill_book(path, "label", value)
        sheet = read_answers(path, "label")
        assert [a.target for a in sheet.answers] == [said]
        taken, refused = accepted(sheet.answers, classes)
        assert [a.target for a in taken] == ([meant] if meant else [])
        assert len(taken) + len(refused) == 1


def test_excel_on_a_korean_windows(tmp_path):
    path = tmp_path / "ask.csv"
    write_questions(path, sheet_of(["밥 먹었니", "아니"]))
    fill(path, ["긍정", ""], encoding="cp949")
    sheet = read_answers(path, "label")
    assert [(a.ask, a.target) for a in sheet.answers] == [(IDS[0], "긍정")]
    assert sheet.blanks == 1


def test_columns_may_move_and_be_added(tmp_path):
    path = tmp_path / "back.tsv"
    path.write_text(
        f"who\tlabel\t_ask\nkim\t a \tq{IDS[0].hex()}\nlee\tb\tnonsense\npark\t\t{IDS[1].hex().upper()}\n"
    )
    sheet = read_answers(path, "label")
    assert [(a.ask, a.target, a.note) for a in sheet.answers] == [(IDS[0], "a", None)]
    assert [(u.line, u.reason) for u in sheet.unread] == [(3, "unknown_question")]
    assert sheet.blanks == 1
    for content in ("a,b\n1,2\n", "_ask,b\n1,2\n"):
        (tmp_path / "x.csv").write_text(content)
        with pytest.raises(InputError, match="no sheet of answers"):
            read_answers(tmp_path / "x.csv", "label")


def asked_turn(inbox, texts=("a", "b", "c", "d"), target=None) -> Turn:
    """A turn whose pool was asked about: real records behind a minimal view."""
    rows = Rows(
        pa.RecordBatch.from_pydict(
            {"text": pa.array(texts, pa.string()), "label": pa.nulls(len(texts), target or pa.string())}
        )
    )
    draft = source(rows, name="pool", maker="person", rights="own")
    records = certify(draft, secret=b"k" * 32, origin=0, numbering=Numbering())

    class Pool:
        name = "rows"

        def find(self, ids):
            at = positions(ids, records.column("_id"))
            return Records(take(records, at[at >= 0]))

    ids = records.column("_id").to_pylist()
    task = Task(input="text", target="label")
    asked = dict(zip(ids, ["random", "chosen", "chosen", "random"], strict=False))
    return Turn(n=2, seed=0, task=task, inbox=inbox, data={"rows": Pool()}, asked=asked)


def write(path, *pairs):
    path.write_text("_ask,label\n" + "".join(f"{one.hex()},{label}\n" for one, label in pairs))


def test_answers_become_drafts_of_the_asked_records(tmp_path):
    turn = asked_turn(tmp_path)
    ids = list(turn.asked)
    (tmp_path / "answers").mkdir()
    write(tmp_path / "answers" / "1.csv", (ids[0], "x"), (ids[1], "y"), (ids[2], "?"), (IDS[0], "z"))
    (tmp_path / "answers" / "1.classes.txt").write_text("x\n")
    drafts = list(answers("answers/")(turn))
    assert [d.origin.method for d in drafts] == ["asked", "asked:chosen", "asked:random"]
    assert [(u.line, u.reason) for u in drafts[0].unread] == [(5, "unknown_question"), (4, "cannot_tell")]
    random = drafts[2]
    assert random.origin.batch == "answers/1.csv"
    assert random.rows.to_pylist() == [{"label": "x"}]
    assert random.asked == [ids[0]]
    assert random.places == [("answers/1.csv", 2)]


def test_two_answers_to_one_question(tmp_path):
    turn = asked_turn(tmp_path)
    ids = list(turn.asked)
    write(tmp_path / "1.csv", (ids[0], "x"), (ids[1], "y"))
    write(tmp_path / "2.csv", (ids[0], "x"), (ids[1], "z"))
    taken, refused = accepted(
        [a for n in (1, 2) for a in read_answers(tmp_path / f"{n}.csv", "label").answers]
    )
    assert [(a.ask, a.target) for a in taken] == [
        (ids[0], "x"),
        (ids[1], "y"),
        (ids[0], "x"),
        (ids[1], "z"),
    ]
    assert refused == []
    drafts = {d.origin.method: d for name in ("1.csv", "2.csv") for d in answers(name)(turn)}
    assert drafts["asked:chosen"].rows.to_pylist() == [{"label": "z"}]
    both = [(d.origin.batch, d.origin.method, d.rows.to_pylist()) for d in answers(".")(turn)]
    assert both == [
        ("1.csv", "asked:chosen", [{"label": "y"}]),
        ("1.csv", "asked:random", [{"label": "x"}]),
        ("2.csv", "asked:chosen", [{"label": "z"}]),
        ("2.csv", "asked:random", [{"label": "x"}]),
    ], "each sheet is a delivery of its own"


def test_known_labels_and_a_question_mark_that_is_one(tmp_path):
    turn = asked_turn(tmp_path)
    ids = list(turn.asked)
    write(tmp_path / "a.csv", (ids[0], "?"), (ids[1], "typo"), (ids[2], "모름"))
    taken, refused = accepted(read_answers(tmp_path / "a.csv", "label").answers, classes=["?", "x"])
    assert [a.target for a in taken] == ["?"]
    assert [u.reason for u in refused] == ["unknown_label", "cannot_tell"]


def test_nothing_there_yet(tmp_path):
    assert list(answers("answers/")(asked_turn(tmp_path))) == []


@pytest.mark.parametrize("ending", ["csv", "jsonl", "xlsx"])
def test_what_people_are_told_of_labels_goes_along(tmp_path, ending):
    path = tmp_path / f"ask.{ending}"
    rules = {"y": "=칭찬이 하나라도 있으면", "gone": "no row has it yet"}
    write_questions(path, replace(sheet_of(["a"], classes=["x", "y"]), guideline=rules))
    beside = tmp_path / "ask.guideline.txt"
    if ending == "xlsx":
        known = openpyxl.load_workbook(path)["labels"]
        assert [[cell.value for cell in row] for row in known.iter_rows()][:2] == [
            ["x", None],
            ["y", rules["y"]],
        ]
        assert {cell.data_type for row in known.iter_rows() for cell in row if cell.value} == {"s"}
        assert not beside.exists()
    else:
        assert beside.read_text("utf-8") == "y: =칭찬이 하나라도 있으면\ngone: no row has it yet\n"
    assert len(read_answers(path, "label").answers) == 0


@pytest.mark.parametrize(
    ("known", "said", "meant"),
    [
        (("007", "card"), "7", "007"),
        (("007", "7"), "7", "7"),
        (("1.0", "1.00"), "1", "1"),  # either may be meant: as it was typed
        (("true", "x"), "TRUE", "true"),
        (("card",), "Card", "Card"),  # no spreadsheet does that; people may mean another
    ],
)
def test_what_a_spreadsheet_made_of_a_label_is_the_label(tmp_path, known, said, meant):
    turn = asked_turn(tmp_path)

    class Labelled:
        def batches(self, columns):
            yield pa.record_batch({"label": pa.array([*known, None])})

    write(tmp_path / "1.csv", (next(iter(turn.asked)), said))
    (draft,) = answers("1.csv")(replace(turn, data={"rows": Labelled()}))
    assert draft.rows.column("label").to_pylist() == [meant]
