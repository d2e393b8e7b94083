"""Workbooks: cells as people see them, every row accounted for, whatever the file holds."""

import csv
import datetime
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather import workbook
from bapsim.gather.files import files
from bapsim.gather.infer import infer
from bapsim.gather.question_book import escaped
from bapsim.gather.read import read
from bapsim.gather.workbook import sheets, unescaped
from tests.gather.books import MAIN, book, packed, parts, row

HEAD = row(1, "id", "text")


def rows_of(path: Path, **options) -> tuple[list[tuple[int, dict]], list[tuple[int, str]]]:
    chunks = list(read(path, **options))
    rows = [pair for c in chunks for pair in zip(c.lines.tolist(), c.rows.to_pylist(), strict=True)]
    return rows, [(u.line, u.reason) for c in chunks for u in c.unread]


def details(path: Path) -> list[str]:
    return [u.detail for chunk in read(path) for u in chunk.unread]


def test_cells_as_a_person_sees_them(tmp_path):
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.append(["id", "n", "share", "day", "when", "clock", "span", "ok", "failed", "code"])
    day, when = datetime.date(2026, 3, 1), datetime.datetime(2026, 3, 1, 9, 30)  # noqa: DTZ001
    span = datetime.timedelta(hours=25, minutes=3)
    sheet.append(["007", 1.0, 0.1, day, when, datetime.time(9, 30), span, True, "#N/A", 42])
    sheet.append(["1e5", 12345678901, 1.1, day, day, datetime.time(0, 0, 1), -span, False, "#DIV/0!", 7])
    for cell in sheet["J"][1:]:
        cell.number_format = "00000"
    sheet["E3"].number_format = "yyyy-mm-dd hh:mm"
    made.save(tmp_path / "a.xlsx")
    assert [row for _, row in rows_of(tmp_path / "a.xlsx")[0]] == [
        {
            "id": "007",
            "n": "1",
            "share": "0.1",
            "day": "2026-03-01",
            "when": "2026-03-01 09:30:00",
            "clock": "09:30:00",
            "span": "25:03:00",
            "ok": "TRUE",
            "failed": "#N/A",
            "code": "00042",
        },
        {
            "id": "1e5",
            "n": "12345678901",
            "share": "1.1",
            "day": "2026-03-01",
            "when": "2026-03-01 00:00:00",
            "clock": "00:00:01",
            "span": "-25:03:00",
            "ok": "FALSE",
            "failed": "#DIV/0!",
            "code": "00007",
        },
    ]
    types = infer(read(tmp_path / "a.xlsx")).types
    assert (types["id"], types["n"], types["share"], types["ok"]) == ("string", "int64", "float64", "bool")
    assert types["code"] == "string", "00042 is no number"


def test_numbers_and_dates_of_other_programs(tmp_path):
    formats = '<numFmts><numFmt numFmtId="170" formatCode="yyyy&quot;년&quot; m&quot;월&quot;"/></numFmts>'
    styles = formats + '<cellStyleXfs><xf numFmtId="9"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
    styles += '<xf numFmtId="170"/><xf numFmtId="9"/></cellXfs>'
    cells = ["<c><v>1.1000000000000001</v></c>", "<c><v>1E+2</v></c>", "<c><v>1.5E-7</v></c>"]
    cells += ['<c s="1"><v>46082</v></c>', '<c s="2"><v>0.15</v></c>', '<c s="1"><v>99999999</v></c>']
    cells += ["<c><v>12345678901234567890</v></c>", '<c t="d"><v>2026-03-01</v></c>', '<c t="b"><v>1</v></c>']
    path = book(tmp_path / "a.xlsx", row(1, *"abcdefghi") + row(2, *cells), styles=styles)
    ((_, found),) = rows_of(path)[0]
    assert list(found.values()) == [
        "1.1",
        "100",
        "1.5e-07",
        "2026-03-01",
        "0.15",
        "99999999.0",
        "12345678901234567890",
        "2026-03-01",
        "TRUE",
    ]
    made = parts(row(1, "a") + row(2, '<c s="1"><v>44620</v></c>'), styles=styles)
    made["xl/workbook.xml"] = made["xl/workbook.xml"].replace(
        "<sheets>", '<workbookPr date1904="1"/><sheets>'
    )
    path.write_bytes(packed(made))
    assert rows_of(path)[0] == [(2, {"a": "2026-03-01"})]


def test_lines_are_row_numbers(tmp_path):
    """Blank rows are no records, and the header is the first row that has a cell."""
    rows = row(3, "id", "text") + row(5, "1", "x") + row(6) + row(9, "2", "") + row(1_048_576, "3", "z")
    found, unread = rows_of(book(tmp_path / "a.xlsx", rows))
    assert [line for line, _ in found] == [5, 9, 1_048_576]
    assert found[1][1] == {"id": "2", "text": None}
    assert unread == []
    rows = row(None, "id", "text") + row(None, "1", "x") + row(7, "2", "y")
    assert [line for line, _ in rows_of(book(tmp_path / "b.xlsx", rows))[0]] == [2, 7]


def test_columns_without_a_name(tmp_path):
    """Empty ones are none, one with a value is named by its place, wherever it first appears."""
    at = '<c r="{}" t="inlineStr"><is><t>{}</t></is></c>'.format
    rows = f'<row r="2">{at("B2", "id")}{at("D2", " text ")}</row>'
    rows += f'<row r="3">{at("B3", "1")}{at("D3", "x")}</row>'
    rows += f'<row r="4">{at("A4", "note")}{at("AB4", "far")}</row>'
    found, _ = rows_of(book(tmp_path / "a.xlsx", rows))
    assert [row for _, row in found] == [
        {"id": "1", "text": "x", "column_1": None, "column_28": None},
        {"id": None, "text": None, "column_1": "note", "column_28": "far"},
    ]


def test_a_formula_is_its_saved_result(tmp_path):
    cells = ["<c><f>1+1</f><v>2</v></c>", '<c t="str"><f>A1</f><v></v></c>']
    lost = row(3, "<c><f>1+1</f></c>", "y") + row(4, '<c r="A4"><f>1+1</f><v/></c>', "z") + row(5, "a", "b")
    path = book(tmp_path / "a.xlsx", HEAD + row(2, *cells) + lost)
    assert rows_of(path) == (
        [(2, {"id": "2", "text": None}), (5, {"id": "a", "text": "b"})],
        [(3, "formula"), (4, "formula")],
    )
    assert details(path) == ["column 1: no saved result", "A4: no saved result"]


def test_merged_cells(tmp_path):
    """Over rows, all of them have the value; over columns, only the first, for the next is another column."""
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.append(["kind", "text", "label"])
    for line in [
        ["card", "a", "x"],
        [None, "b", None],
        [None, "c", "y"],
        [None, "d", None],
        [None, "e", "z"],
    ]:
        sheet.append(line)
    for area in ("A2:A4", "C2:C3", "B5:C5"):
        sheet.merge_cells(area)
    made.save(tmp_path / "a.xlsx")
    found, _ = rows_of(tmp_path / "a.xlsx")
    assert [tuple(row.values()) for _, row in found] == [
        ("card", "a", "x"),
        ("card", "b", "x"),
        ("card", "c", "y"),
        (None, "d", None),
        (None, "e", "z"),
    ]
    rows = row(1, "id", "text") + row(2, '<c r="B2"><v>1</v></c>')
    after = (
        '<mergeCells><mergeCell ref="A1:A2"/><mergeCell ref="B2:B1048576"/><mergeCell ref="?"/></mergeCells>'
    )
    assert rows_of(book(tmp_path / "b.xlsx", rows, after=after))[0] == [(2, {"id": None, "text": "1"})]


def test_which_sheet_is_read(tmp_path):
    made = openpyxl.Workbook()
    made.active.title = "cover"
    made.active.append(["only a header"])
    hidden, first, second = map(made.create_sheet, ("hidden", "첫째", "second"))
    hidden.sheet_state = "veryHidden"
    for sheet in (hidden, first, second):
        sheet.append(["text"])
        sheet.append([sheet.title])
    made.create_chartsheet("chart", 0)
    made.save(tmp_path / "a.xlsx")
    path = tmp_path / "a.xlsx"
    assert rows_of(path)[0] == [(2, {"text": "첫째"})]
    assert rows_of(path, sheet="hidden")[0] == [(2, {"text": "hidden"})]
    assert sheets(path) == ["첫째", "second"]
    with pytest.raises(InputError, match=r"no sheet named 'third'(.|\n)*: cover, hidden"):
        list(read(path, sheet="third"))
    with pytest.raises(InputError, match="no sheet"):
        list(read(path, sheet="chart"))
    (tmp_path / "inbox").mkdir()
    path.rename(tmp_path / "inbox" / "a.xlsx")
    turn = Turn(n=1, seed=0, task=Task(input="text", target="label"), inbox=tmp_path / "inbox")
    (draft,) = files("a.xlsx", sheet="second")(turn)
    assert draft.rows.to_pylist() == [{"text": "second", "label": None}]
    (tmp_path / "inbox" / "~$a.xlsx").write_bytes(b"\x05kim")
    assert [path.name for path in files("./").reads(turn)] == ["a.xlsx"]


def test_a_header_alone_and_nothing_at_all(tmp_path):
    (chunk,) = read(book(tmp_path / "a.xlsx", HEAD))
    assert (chunk.rows.schema.names, len(chunk.rows)) == (["id", "text"], 0)
    assert list(read(book(tmp_path / "b.xlsx", ""))) == []
    with pytest.raises(InputError, match="more than once"):
        list(read(book(tmp_path / "c.xlsx", row(1, "a", "a") + row(2, "1", "2"))))
    with pytest.raises(InputError, match="as column names"):
        list(read(book(tmp_path / "d.xlsx", row(1, "<c><f>1</f></c>") + row(2, "1"))))


@pytest.mark.parametrize(
    ("cell", "reason", "said"),
    [
        ('<c r="A2" t="s"><v>9</v></c>', "cell", "A2: tuple index out of range"),
        ('<c r="A2" t="s"><v>-1</v></c>', "cell", "A2: -1"),
        ('<c r="A2"><v>abc</v></c>', "cell", "A2: could not convert string to float: 'abc'"),
        ('<c r="A2"><v>1e999</v></c>', "cell", "A2: 1e999"),
        ('<c r="A2" t="b"><v>2</v></c>', "cell", "A2: '2'"),
        ('<c r="A9"><v>1</v></c>', "cell", "A9: out of its place"),
        ('<c r="XFE2"><v>1</v></c>', "cell", "XFE2: out of its place"),
        ('<c r="a2"><v>1</v></c>', "cell", "a2: out of its place"),
        ('<c r="A2" s="77"><v>1</v></c>', "cell", "A2: tuple index out of range"),
        ('<c r="A2" t="inlineStr"><is><t>_x0000_</t></is></c>', "nul", "a NUL byte"),
        (
            '<c r="A2" t="inlineStr"><is><t>_xD800_</t></is></c>',
            "encoding",
            "bytes that are neither UTF-8 nor cp949, or half a character",
        ),
    ],
)
def test_a_bad_cell_makes_its_row_unread(tmp_path, cell, reason, said):
    path = book(tmp_path / "a.xlsx", HEAD + f'<row r="2">{cell}</row>' + row(3, "1", "x"), strings=["one"])
    assert rows_of(path) == ([(3, {"id": "1", "text": "x"})], [(2, reason)])
    assert details(path) == [said]


def test_rows_out_of_order_end_the_sheet(tmp_path):
    """openpyxl drops them without a word, and walks through a gap of a billion rows."""
    for bad in (row(2, "again", ""), row(1, "back", ""), row(2_000_000_000, "far", ""), '<row r="x"/>'):
        path = book(tmp_path / "a.xlsx", HEAD + row(2, "1", "x") + bad + row(5, "5", "y"))
        assert rows_of(path) == ([(2, {"id": "1", "text": "x"})], [(3, "damaged")])
    for bad in ("<row r='3'><c></row>", "<!DOCTYPE x>", "&lol;"):
        path = book(tmp_path / "a.xlsx", HEAD + row(2, "1", "x") + bad)
        assert rows_of(path) == ([(2, {"id": "1", "text": "x"})], [(3, "damaged")])


def test_texts_are_what_was_typed(tmp_path):
    """openpyxl takes x005F_ out of any text, and leaves _x000D_ in it."""
    said = ["x005F_ stays", "_x005F_x0041_", "a_x000D_b", "<r>", "  two  "]
    rich = "</t></si><si><r><t>rich </t></r><r><t>text</t></r><rPh><t>sound</t></rPh></si><si><t>"
    strings = [*said[:3], "&lt;r&gt;", said[4] + rich]
    cells = [row(i + 2, f'<c t="s"><v>{i}</v></c>') for i in range(6)]
    found, _ = rows_of(book(tmp_path / "a.xlsx", row(1, "t") + "".join(cells), strings=strings))
    texts = [row["t"] for _, row in found]
    assert texts == ["x005F_ stays", "_x0041_", "a\rb", "<r>", "  two  ", "rich text"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text("_x0041F", max_size=20))
def test_escaping_in_a_workbook_is_undone(said):
    assert unescaped(escaped(said)) == said


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
TABLE = st.lists(
    st.lists(st.one_of(TEXT, st.integers(0, 999), st.none()), min_size=3, max_size=3), max_size=8
)


@settings(max_examples=25)
@given(TABLE)
def test_a_workbook_reads_as_its_csv_would(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("same")
    made = openpyxl.Workbook()
    for line in [["a", "b", "c"], *table]:
        made.active.append(line)
    for line in made.active.iter_rows():
        for cell in line:
            cell.data_type = "s" if cell.data_type in "fe" else cell.data_type
    made.save(folder / "a.xlsx")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["a", "b", "c"], *table])
    from_csv = [row for _, row in rows_of(folder / "a.csv")[0] if any(row.values())]
    assert [row for _, row in rows_of(folder / "a.xlsx")[0]] == from_csv


# ---------------------------------------------------------------- what is no workbook, and what is too much


def test_what_is_no_workbook(tmp_path):
    sound = packed(parts(HEAD + row(2, "1", "x")))
    ole = b"\xd0\xcf\x11\xe0" + bytes(600)
    cases = {
        "a.xlsx": (b"<html><table>", "not_workbook"),
        "b.xlsx": (sound[: len(sound) // 2], "not_workbook"),
        "c.xlsx": (packed({"x": "y"}), "not_workbook"),
        "d.xlsx": (b"", "not_workbook"),
        "e.xlsx": (ole, "old_workbook"),
        "f.xlsx": (ole + "EncryptedPackage".encode("utf-16-le"), "locked_workbook"),
        "g.xls": (ole, "old_workbook"),
        "h.csv": (sound, "workbook"),
        "i.ods": (sound, "workbook"),
        "j.xlsx": (packed(parts(HEAD), zipfile.ZIP_LZMA), "not_workbook"),
    }
    for name, (body, key) in cases.items():
        (tmp_path / name).write_bytes(body)
        with pytest.raises(InputError) as found:
            list(read(tmp_path / name))
        assert found.value.key == key, name
        assert found.value.say("en") != found.value.say("ko")


@pytest.mark.parametrize(
    "lost", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "_rels/.rels", "xl/styles.xml"]
)
def test_a_lost_part(tmp_path, lost):
    made = parts(HEAD + row(2, "1", "x"))
    del made[lost]
    (tmp_path / "a.xlsx").write_bytes(packed(made))
    with pytest.raises(InputError, match="cannot be opened as a workbook"):
        list(read(tmp_path / "a.xlsx"))


def test_a_lost_sheet_is_one_unread(tmp_path):
    made = parts(HEAD)
    del made["xl/worksheets/sheet1.xml"]
    (tmp_path / "a.xlsx").write_bytes(packed(made))
    assert rows_of(tmp_path / "a.xlsx") == ([], [(1, "damaged")])


def test_a_damaged_sheet_keeps_what_stands_before(tmp_path):
    body = bytearray(packed(parts(HEAD + "".join(row(i, str(i), "x") for i in range(2, 20_000))), 0))
    body[len(body) // 2] ^= 0xFF
    (tmp_path / "a.xlsx").write_bytes(bytes(body))
    found, unread = rows_of(tmp_path / "a.xlsx")
    assert [reason for _, reason in unread] == ["damaged"]
    assert [line for line, _ in found] == list(range(2, 2 + len(found)))


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "FLOOR", 1 << 20)
    sheet = HEAD + "<c/>" * (1 << 20)
    (tmp_path / "a.xlsx").write_bytes(packed(parts(sheet)))
    with pytest.raises(InputError, match="unpacks to more than"):
        list(read(tmp_path / "a.xlsx"))
    # a small file in which many cells are one long text
    cells = "".join(f'<row r="{i}"><c t="s"><v>0</v></c></row>' for i in range(2, 3000))
    path = book(tmp_path / "b.xlsx", row(1, "t") + cells, strings=["x" * 100_000])
    with pytest.raises(InputError, match="unpacks to more than"):
        list(read(path))
    monkeypatch.setattr(workbook, "STRINGS", 1000)
    with pytest.raises(InputError, match="unpacks to more than 1,000"):
        list(read(path))


def test_one_row_has_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "RECORD", 1000)
    many = "".join('<c t="s"><v>0</v></c>' for _ in range(20))
    long = f"<c t='inlineStr'><is><t>{'y' * 2000}</t></is></c>"
    rows = HEAD + f'<row r="2">{many}</row><row r="3">{long}</row>' + row(4, "1", "x")
    path = book(tmp_path / "a.xlsx", rows, strings=["x" * 100])
    found, unread = rows_of(path)
    assert ([line for line, _ in found], unread) == ([4], [(2, "long"), (3, "long")])
    monkeypatch.setattr(workbook, "BLOCK", 100)
    path = book(tmp_path / "b.xlsx", HEAD + row(2, "1", "x") + f"<row {'z' * 3000}='1'/>")
    assert rows_of(path) == ([(2, {"id": "1", "text": "x"})], [(3, "damaged")])


def test_a_sheet_of_another_namespace_is_read(tmp_path):
    """Strict Office Open XML, which openpyxl does not know."""
    strict = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    made = {name: said.replace(MAIN, strict) for name, said in parts(HEAD + row(2, "1", "x")).items()}
    (tmp_path / "a.xlsx").write_bytes(packed(made))
    assert rows_of(tmp_path / "a.xlsx")[0] == [(2, {"id": "1", "text": "x"})]
