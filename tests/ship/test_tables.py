"""Shipped models of tables: every answer is the model's, at every split, for every cell that may come."""

import json
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
from bapsim.ship import runtime, table_cells
from bapsim.ship.tables import odd_rows
from bapsim.text.targets import joined
from bapsim.train import table
from bapsim.train.columns import encode, text_of
from bapsim.train.table import TableModel
from bapsim.wheel.device import Device, said_rows
from bapsim.wheel.making import Rest, make
from bapsim.wheel.portable_tables import table_parts
from tests.cli.conftest import run, said, write_csv
from tests.ship.tabular import INPUTS, KINDS, SIZE, made, odd, put, rows, target


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


@pytest.mark.parametrize(
    "said", ["12.5", " 1", "1e5", "1_0", "nan", "-INF", "+5", "0x10", "", "१२", ".5", "5.", "1e", "1e999"]
)
def test_text_is_a_number_where_arrow_says_so(said: str) -> None:
    try:
        wanted = float(np.clip(pa.array([said]).cast(pa.float64())[0].as_py(), -3e38, 3e38))
    except pa.ArrowInvalid:
        with pytest.raises(ValueError, match="no number"):
            table_cells.number(said)
    else:
        assert np.array(table_cells.number(said)).tobytes() == np.array(wanted).tobytes()


@pytest.mark.parametrize("said", [5, -3, True, False, 0.5, 5.0, -0.0, 123456789.25, 9e9, 0.0001, 1 / 3])
def test_a_category_that_is_no_text_is_written_as_arrow_does(said: Any) -> None:
    assert table_cells.category(said) == text_of(pa.array([said]))[0].as_py()


def test_what_cannot_be_read_is_said_row_by_row(tmp_path: Path) -> None:
    folder = put(made("two"), tmp_path)
    usual = odd_rows(json.loads((folder / "spec.json").read_text())["columns"])[1]
    wrong = [{**usual, "x": "many"}, {**usual, "x": [1]}, {**usual, "colour": 1e-9}, {"x": 1}, [1], None]
    asked = "".join(json.dumps(one) + "\n" for one in [usual, *wrong, {**usual, "x": "-1e999"}, usual])
    command = [sys.executable, "-I", "-B", str(folder / "bapsim_runtime.py"), str(folder)]
    done = subprocess.run(command, input=asked.encode(), capture_output=True, check=True, timeout=60)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in one for one in told] == [False, *[True] * 6, False, False]
    for one, words in zip(told[1:4], ("'x'", "list", "text"), strict=True):
        assert words in one["error"]
    assert told[0] == told[-1]
    assert not list(folder.rglob("__pycache__"))


def test_vectors_say_what_odd_rows_become(tmp_path: Path) -> None:
    folder = put(made("number"), tmp_path)
    vectors = json.loads((folder / "vectors.json").read_text())
    again = runtime.Model(folder)
    assert again([one["row"] for one in vectors]) == [one["answer"] for one in vectors]
    assert {row["x"] for row in (one["row"] for one in vectors)} >= {None, 1e308, True, "-1.5e2"}


def test_javascript_reads_rows_alike(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    model = made("class")
    folder = put(model, tmp_path)
    columns = table_parts(model).columns
    asked = [*odd_rows(columns), *said_rows(odd(model, 200), columns)]
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    done = subprocess.run(
        [node, str(folder / "table_cells.js"), str(folder)],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    cells, scope = runtime.Model(folder).cells(asked)
    said_cells = np.array([one["cells"] for one in told], np.float64)  # null is NaN
    assert said_cells.tobytes() == cells.tobytes()
    assert [one["in_scope"] for one in told] == pytest.approx(scope.tolist(), abs=1e-6)


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
def test_the_verb_ships_tables(kind: str, tmp_path: Path) -> None:
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
    assert "table_cells.py" in (tmp_path / "a" / "README.md").read_text("utf-8")
    assert Device(folder=tmp_path / "a", inputs=INPUTS, answer="class", kind="table")
