"""Shipped models of tables: every answer is the model's, at every split, for every cell that may come."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError
from bapsim.core.records import Rows, Task
from bapsim.gather.objects import decoded, written
from bapsim.gather.read import read
from bapsim.gather.types import cast, typed
from bapsim.report.desk import Desk
from bapsim.report.told import say_shipped
from bapsim.ship import runtime, table_cells
from bapsim.ship.tables import odd_rows
from bapsim.text.targets import joined
from bapsim.train import table
from bapsim.train.columns import encode, floats, text_of
from bapsim.train.table import TableModel
from bapsim.wheel.device import Device, said_rows
from bapsim.wheel.making import Rest, make
from bapsim.wheel.portable_tables import table_parts
from tests.cli.conftest import run, said, write_csv
from tests.ship.tabular import CELLS, INPUTS, KINDS, SIZE, made, odd, put, rows, spelled, target


def assert_same(model: Any, folder: Path, asked: Rows) -> None:
    parts = table_parts(model)
    told = runtime.Model(folder)(said_rows(asked, parts.columns))
    expected = model(asked)
    if parts.answer == "number":
        for key in ("prediction", "low", "high"):
            got = np.array([one[key] for one in told])
            assert np.abs(got - expected.column(key).to_numpy()).max() <= 1e-12
    else:
        got = [joined(p) if isinstance(p := one["prediction"], list) else p for one in told]
        assert got == expected.column("prediction").to_pylist()
    for key, reach in (("confidence", 1.2e-7), ("in_scope", 0.0)):
        assert np.abs(np.array([one[key] for one in told]) - expected.column(key).to_numpy()).max() <= reach


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_that_of_the_model(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    assert_same(model, put(model, tmp_path), odd(model))


def fitted(given: pa.RecordBatch, y: list[int], members: tuple[str, ...] = table.MEMBERS) -> TableModel:
    """A model of three classes that may not have seen them all."""
    few, weight = Rows(given), np.linspace(1, 2, len(y))
    fit = table.fit(few, np.array(y), weight, 3, members, SIZE, 0)
    blank = np.zeros((4, 0, 3))
    constants = table.calibrate(blank, np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    return TableModel(classes=("a", "b", "c"), fitted=fit, calibration=constants)


@pytest.mark.parametrize("kind", ["absent", "two", "one", "no member", "nothing varies", "words", "nulls"])
def test_odd_models_are_shipped_too(kind: str, tmp_path: Path) -> None:
    """Classes that no row had, trees of one leaf, members that never were, columns of one kind."""
    given, y = rows(60, 3), [(0, 2, 2)[i % 3] for i in range(60)]
    if kind == "absent":
        y = [(0, 2, 2)[i % 3] if i % 5 else 1 for i in range(60)]
    elif kind == "one":
        y = [1] * 60
    elif kind == "nothing varies":
        given = pa.RecordBatch.from_pydict({name: [given.column(name)[0].as_py()] * 60 for name in INPUTS})
    elif kind == "words":
        given = given.select(["colour"])
    elif kind == "nulls":
        given = given.set_column(0, "x", pa.nulls(60, pa.float64()))
    members = ("boosted",) if kind == "no member" else table.MEMBERS
    model = fitted(given, y, members)
    asked = rows(80, 4).select(given.schema.names)
    assert_same(model, put(model, tmp_path), Rows(asked))


def test_cells_are_those_of_bapsim(tmp_path: Path) -> None:
    model = made("class")
    device = runtime.Model(put(model, tmp_path))
    asked = odd(model)
    cells, _ = device.cells(said_rows(asked, device.about["columns"]))
    assert cells.tobytes() == encode(model.fitted.columns, asked).tobytes()


@pytest.mark.parametrize("kind", ["double", "int64", "bool"])
def test_a_cell_is_the_number_that_the_files_reader_makes_of_it(kind: str) -> None:
    more = ("12.5", "1e5", "+5", "-0", ".5", "5.", "1e", "१२", "\xa05\n", "1 0", "0" * 25 + "5", "true ", "T")
    cells = [written(decoded(f'{{"a": {cell}}}')["a"]) for cell in CELLS]
    for one in [*(cell for cell in cells if cell is not None), *more]:
        column, misfit = cast(pa.array([one]), "float64" if kind == "double" else kind)
        if misfit.any():
            with pytest.raises(ValueError, match=f"no number of the type {kind}"):
                table_cells.number(one, kind)
        else:
            assert np.array(table_cells.number(one, kind)).tobytes() == floats(column, "a").tobytes(), one


@pytest.mark.parametrize(
    ("said", "kind", "wanted"),
    [
        (np.float64(2.5), "double", 2.5),
        (np.int64(2), "int64", 2.0),
        (2.0, "int64", 2.0),
        (float("nan"), "int64", None),
        (np.True_, "bool", 1.0),
        (1, "bool", 1.0),
        (1e30, "", 1e30),
        (True, "", 1.0),
        (255, "uint8", 255.0),
    ],
)
def test_values_of_programs_are_numbers_of_their_column(said: Any, kind: str, wanted: float | None) -> None:
    assert table_cells.number(said, kind) == pytest.approx(
        math.nan if wanted is None else wanted, nan_ok=True
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (True, "double"),
        (math.inf, "double"),
        (10**400, "double"),
        (True, "int64"),
        (2.5, "int64"),
        (256, "uint8"),
        (2, "bool"),
    ],
)
def test_values_that_their_column_does_not_hold_are_refused(said: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"no number of the type {kind}"):
        table_cells.number(said, kind)


SCALARS = [
    np.float64(2),
    np.int64(2),
    np.float32(0.5),
    np.float32(2),
    np.True_,
    np.float64(-0.0),
    np.str_("2"),
]


@pytest.mark.parametrize(
    "said", [5, -3, True, False, 0.5, 5.0, -0.0, 123456789.25, 9e9, 0.0001, 1 / 3, *SCALARS]
)
def test_a_category_that_is_no_text_is_written_as_arrow_does(said: Any) -> None:
    assert table_cells.category(said) == text_of(pa.array([said]))[0].as_py()
    assert type(table_cells.category(said)) is str


def test_what_cannot_be_read_is_said_line_by_line(tmp_path: Path) -> None:
    folder = put(made("two"), tmp_path)
    usual = odd_rows(json.loads((folder / "spec.json").read_text())["columns"])[1]
    good = json.dumps(usual).encode()
    rows = [{**usual, "x": "many"}, {**usual, "x": [1]}, {**usual, "colour": [1]}, {**usual, "x": "-1e999"}]
    wrong = {
        **{json.dumps(row).encode(): b"column" for row in rows},
        json.dumps({**usual, "x": 0}).replace(": 0", ": " + "7" * 5000, 1).encode(): b"'x'",
        b'{"x": 1}': b"no column",
        good.replace(b"{", b'{"x": 1, ', 1): b"twice",
        b"[1]": b"no object",
        b"null": b"no object",
        b"it is no JSON": b"no JSON",
        b"": b"no JSON",
        b"\xff": b"utf-8",
        b"[" * 100_000: b"nested",
        b'{"x": -Infinity}': b"Infinity",
    }
    command = [sys.executable, "-I", "-B", str(folder / "bapsim_runtime.py"), str(folder)]
    asked = b"\n".join([good, *wrong, good + b"\r", b""])
    done = subprocess.run(command, input=asked, capture_output=True, check=True, timeout=60)
    first, *errors, last = done.stdout.splitlines()
    assert first == last
    assert b"prediction" in first
    assert len(errors) == len(wrong)
    for words, error in zip(wrong.values(), errors, strict=True):
        assert words in error
    assert not list(folder.rglob("__pycache__"))


def test_lines_are_read_as_predict_reads_them(tmp_path: Path) -> None:
    model = made("class")
    lines = spelled([*CELLS, "NaN"])
    (tmp_path / "rows.jsonl").write_text("".join(line + "\n" for line in lines), "utf-8")
    types = dict.fromkeys(INPUTS, "float64") | {"colour": "string", "flag": "bool"}
    chunks = [typed(chunk, types) for chunk in read(tmp_path / "rows.jsonl")]
    device = runtime.Model(put(model, tmp_path / "folder"))
    told = list(runtime.answers(device, [line.encode() for line in lines]))
    refused = ["error" in one for one in told]
    assert [i for i, wrong in enumerate(refused, 1) if wrong] == [n.line for c in chunks for n in c.unread]
    assert 20 < sum(refused) < len(lines) - 40
    whole = Rows(pa.Table.from_batches([chunk.rows for chunk in chunks]).combine_chunks().to_batches()[0])
    expected = model(whole)
    answered = [one for one in told if "error" not in one]
    assert [one["prediction"] for one in answered] == expected.column("prediction").to_pylist()
    given = [line.encode() for line, wrong in zip(lines, refused, strict=True) if not wrong]
    cells, _ = device.cells([runtime.asked(device, line, False) for line in given])
    assert cells.tobytes() == encode(model.fitted.columns, whole).tobytes()


def test_whole_numbers_among_fractions_are_written_whole() -> None:
    columns = [{"name": "n", "kind": "number", "type": "int64"}]
    for cells in (pa.array([3.0, None]), pa.array([3, None])):
        told = said_rows(Rows(pa.RecordBatch.from_pydict({"n": cells})), columns)
        assert json.dumps(told) == '[{"n": 3}, {"n": null}]'


def test_vectors_say_what_odd_rows_become(tmp_path: Path) -> None:
    folder = put(made("number"), tmp_path)
    vectors = json.loads((folder / "vectors.json").read_text())
    again = runtime.Model(folder)
    assert again([one["row"] for one in vectors]) == [one["answer"] for one in vectors]
    assert {row["x"] for row in (one["row"] for one in vectors)} >= {None, 1e308, " +5 ", "-1.5e2"}
    assert {one["row"]["flag"] for one in vectors} >= {True, False, " TRUE "}


def test_javascript_reads_rows_alike(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    model = made("class")
    folder = put(model, tmp_path)
    columns = table_parts(model).columns
    asked = [json.dumps(one) for one in [*odd_rows(columns), *said_rows(odd(model, 200), columns)]]
    # Node 20 does not tell how a number was written, and reads it as a value
    asked += spelled([c for c in CELLS if not c[-1].isdigit()])
    done = subprocess.run(
        [node, str(folder / "table_cells.js"), str(folder)],
        input="".join(line + "\n" for line in asked),
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    device = runtime.Model(folder)
    wanted = list(runtime.answers(device, [line.encode() for line in asked]))
    assert [("error" in one) for one in told] == [("error" in one) for one in wanted]
    whole = [i for i, one in enumerate(told) if "error" not in one]
    cells, scope = device.cells([runtime.asked(device, asked[i].encode(), False) for i in whole])
    said_cells = np.array([told[i]["cells"] for i in whole], np.float64)  # null is NaN
    assert np.array_equal(said_cells, cells, equal_nan=True)
    assert [told[i]["in_scope"] for i in whole] == pytest.approx(scope.tolist(), abs=1e-6)


@pytest.mark.parametrize("wanted", ["onnx-int8", "student", "folder"])
def test_other_targets_say_why_not(wanted: Any, tmp_path: Path) -> None:
    class Stock:
        task = Task(input=INPUTS, target="said", kind="table")

    none = np.zeros(0, bool)
    rest = Rest(stock=Stock(), eaten=none, pool=none, weight=np.zeros(0), secret=b"")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"{wanted}.*not for a model of tables") as caught:
        make(made("two"), rest, wanted, tmp_path)
    assert "--target onnx" in str(caught.value)


@pytest.mark.parametrize("kind", ["two", "number"])
def test_the_verb_ships_tables(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = rows(420, 5)
    batch = given.append_column("said", pa.array(target(given, kind)))
    sheet = write_csv(
        tmp_path / "rows.csv",
        [{k: "" if v is None else v for k, v in row.items()} for row in batch.to_pylist()],
    )
    answer = ("--answer", "number") if kind == "number" else ()
    run("new", tmp_path / "p", "--from", sheet, "--input", ",".join(INPUTS), "--target", "said", *answer)
    recipe = tmp_path / "p" / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8").replace("table_boosted()", "table_boosted(8, 8)"), "utf-8")
    run("-C", tmp_path / "p", "turn")
    told = said("-C", tmp_path / "p", "ship", "--margin", "30", "-o", tmp_path / "a")
    assert told["verdict"] == "ok"
    assert told["served"]["same"] == told["served"]["rows"] > 0
    assert told["measured"]["p50_ms"] > 0
    capsys.readouterr()
    say_shipped(Desk(), told)
    assert capsys.readouterr().out.strip().endswith("< ROWS")
    assert "table_cells.py" in (tmp_path / "a" / "README.md").read_text("utf-8")
    assert Device(folder=tmp_path / "a", inputs=INPUTS, answer="class", kind="table")
