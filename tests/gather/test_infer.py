"""Types: inferred over everything, never so that a value changes; cells that do not fit are unread."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.gather.infer import infer
from bapsim.gather.read import read
from bapsim.gather.types import KNOWN, arrow_type, name_of, typed


def csv(folder, **columns):
    path = folder / "a.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(f'"{c}"' for c in row) for row in [tuple(columns), *rows]))
    return path


def lined(folder, *rows):
    path = folder / "a.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", ""], "int64"),
        (["9223372036854775807", "0"], "int64"),
        (["9223372036854775808", "0"], "string"),
        (["007", "1"], "string"),
        (["+7", "1"], "string"),
        (["-0", "1"], "float64"),
        (["1.5", "2"], "float64"),
        (["1.10", "1.1"], "string"),
        (["1.10", "1.20"], "float64"),
        (["0.12345678901234567", "1"], "float64"),
        (["0.123456789012345678", "1"], "string"),
        (["1e400", "1"], "string"),
        (["NA", "1"], "string"),
        (["nan", "1.0"], "string"),
        (["true", "false"], "bool"),
        (["True", "true"], "string"),
        (["2024-01-01", "2024-01-02"], "string"),
        (["12345678901234567890", "1.5"], "string"),
        (["", ""], "string"),
        (['["a"]'.replace('"', '""'), '["b"]'.replace('"', '""')], "string"),
    ],
)
def test_cells(tmp_path, cells, kind):
    assert infer(read(csv(tmp_path, a=cells, b=["x"] * len(cells)))).types["a"] == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["12", "13"], "string"),
        ([12, 13], "int64"),
        ([12, 1.5, None], "float64"),
        (['{"a": 1.10}', '{"a": 1.1}'], "float64"),
        ([2**63, 1], "string"),
        ([2**63, 1.5], "string"),
        ([2**53, 1.5], "float64"),
        ([1, "a"], "string"),
        ([True, None], "bool"),
        ([True, 1], "string"),
        ([["a"], []], "list<string>"),
        ([[1], [2]], "list<int64>"),
        ([[1], [2.5]], "list<float64>"),
        ([[{"role": "user", "content": "x"}]], "messages"),
        ([[{"role": "user", "content": "x", "n": 1}]], "json"),
        ([{"a": 1}, [1]], "json"),
        ([{"a": 1}, "a"], "string"),
        ([None], "string"),
    ],
)
def test_json_values(tmp_path, values, kind):
    rows = [v if isinstance(v, str) and v.startswith("{") else {"a": v} for v in values]
    assert infer(read(lined(tmp_path, *rows))).types == {"a": kind}


def test_a_late_cell_counts(tmp_path):
    numbers = [str(i) for i in range(20_000)]
    schema = infer(read(csv(tmp_path, a=[*numbers, "n/a"], b=[*numbers, "1.5"], c=[*numbers, "7"])))
    assert schema.types == {"a": "string", "b": "float64", "c": "int64"}
    assert schema.columns[0].strays == (("n/a", 1),)
    assert [c.unique for c in schema.columns] == [True, True, False]
    assert schema.columns[1].distinct == 10_000
    assert infer(read(tmp_path / "a.csv"), nulls=["n/a"]).types["a"] == "int64"


def test_what_is_said_of_a_column(tmp_path):
    rows = [{"id": f"r{i}", "text": "a longer text " * (i % 3 + 1), "y": i % 4} for i in range(100)]
    schema = infer(read(lined(tmp_path, *rows, {"id": "r100", "text": None}, "{")))
    assert (schema.rows, dict(schema.unread)) == (101, {"json": 1})
    assert (schema.id, schema.text, schema.target) == ("id", "text", "y")
    text = schema.columns[1]
    assert (text.nulls, text.distinct, text.shortest, text.longest) == (1, 3, 14, 42)
    assert text.mean == pytest.approx(np.mean([len(row["text"]) for row in rows]))


@pytest.mark.parametrize(
    ("cells", "more", "text"),
    [
        ("2026-03-02 14:{:02d}:00", {}, None),
        ("2026-03-02 14:{:02d}:00 the pump of hall two was switched off", {}, "a"),
        ("SN-2026-000{:02d}", {"n": 1.5}, None),
        ("https://example.org/{:02d}", {}, "a"),
        ("a note on pump {:02d}", {"n": 1.5}, "a"),
    ],
)
def test_neither_times_nor_codes_in_a_table_are_the_text(tmp_path, cells, more, text):
    rows = [{"a": cells.format(i), "y": "no" if i % 2 else "yes", **more} for i in range(40)]
    schema = infer(read(lined(tmp_path, *rows)))
    assert (schema.text, schema.target) == (text, "y")


def test_codes_are_no_numbers_with_strays(tmp_path):
    schema = infer(read(csv(tmp_path, a=["012", "7", "-"], b=["-", "?", "1.5"])))
    assert [column.strays for column in schema.columns] == [(), (("-", 1), ("?", 1))]


def test_the_id_is_never_the_text(tmp_path):
    rows = [
        {"key": f"a sentence number {i} that is quite long indeed, and longer still, to be no id"}
        for i in range(9)
    ]
    assert infer(read(lined(tmp_path, *rows))).id is None


def test_native_types_and_files_of_two_kinds(tmp_path):
    kinds = {
        "a": pa.int32(),
        "b": pa.float64(),
        "c": pa.timestamp("us"),
        "d": pa.list_(pa.string()),
        "e": pa.binary(),
    }
    values = {"a": [1, 2], "b": [0.5, 1.5], "c": [1, 2], "d": [["x"], []], "e": [b"\xff", b"x"]}
    table = pa.table({name: pa.array(values[name], kind) for name, kind in kinds.items()})
    pq.write_table(table, tmp_path / "a.parquet")
    schema = infer(read(tmp_path / "a.parquet"))
    expected = {"a": "int32", "b": "float64", "c": "timestamp[us]", "d": "list<string>", "e": "binary"}
    assert schema.types == expected
    (chunk,) = read(tmp_path / "a.parquet")
    assert typed(chunk, schema.types).rows.to_pylist() == table.to_pylist()
    (tmp_path / "a.csv").write_text("a,b\n1.5,x\n")
    both = infer([*read(tmp_path / "a.parquet"), *read(tmp_path / "a.csv")])
    assert (both.types["a"], both.types["b"]) == ("float64", "string")


def test_cells_that_do_not_fit_are_unread(tmp_path):
    path = csv(tmp_path, n=["1", "x", "3", ""], f=["1.5", "2", "1e999", "nan"], b=["1", "True", "0", "FALSE"])
    (chunk,) = read(path)
    made = typed(chunk, {"n": "int64", "f": "float64", "b": "bool", "label": "string"})
    assert made.rows.to_pylist() == [
        {"n": 1, "f": 1.5, "b": True, "label": None},
        {"n": None, "f": None, "b": False, "label": None},
    ]
    assert made.lines.tolist() == [2, 5]
    assert [(u.line, u.reason, u.detail) for u in made.unread] == [
        (3, "type", "n: not int64"),
        (4, "type", "f: not float64"),
    ]


@pytest.mark.parametrize("said", ["0x10", "0" * 19 + "5"])
def test_a_cell_does_not_depend_on_its_neighbours(tmp_path, said):
    for other in ("1", "x"):
        (chunk,) = read(csv(tmp_path, n=[said, other]))
        assert typed(chunk, {"n": "int64"}).unread[0].line == 2


def test_lists_are_cast_and_checked(tmp_path):
    (chunk,) = read(lined(tmp_path, {"a": ["x"]}, {"a": "no"}, {"a": [1]}, {"a": None}))
    made = typed(chunk, {"a": "list<string>"})
    assert made.rows.column("a").to_pylist() == [["x"], None]
    assert [u.line for u in made.unread] == [2, 3]
    assert typed(chunk, {"a": "json"}).rows.column("a").to_pylist() == ['["x"]', "[1]", None]


def test_any_arrow_type_by_name(tmp_path):
    (chunk,) = read(csv(tmp_path, day=["2024-01-31", "2024-02-31"], n=["300", "7"]))
    made = typed(chunk, {"day": "date32", "n": "int8"})
    assert len(made.rows) == 0
    assert [u.detail for u in made.unread] == ["n: not int8", "day: not date32"]
    with pytest.raises(InputError, match="no type named"):
        typed(chunk, {"n": "number"})


def test_names_of_types():
    assert [name_of(arrow_type(name)) for name in KNOWN if name not in ("json", "native")] == [
        name for name in KNOWN if name not in ("json", "native")
    ]
    assert name_of(pa.struct([("a", pa.int8())])) == "native"
    assert name_of(pa.decimal128(10, 2)) == "native"


VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["007", "1.10", "1.1", "NA", "1", "true", "", "-0"]),
    st.lists(st.one_of(st.text(max_size=3), st.integers(-(2**70), 2**70)), max_size=3),
)


@settings(max_examples=100)
@given(st.lists(VALUE, min_size=1, max_size=8))
def test_no_value_changes(tmp_path_factory, values):
    """Inferring and casting loses no row, and what comes out says what stood there."""
    path = lined(tmp_path_factory.mktemp("types"), *({"a": value, "b": 1} for value in values))
    (chunk,) = read(path)
    schema = infer([chunk])
    made = typed(chunk, schema.types)
    assert made.unread == ()
    for value, out in zip(values, made.rows.column("a").to_pylist(), strict=True):
        said = schema.types["a"] == "json" or (schema.types["a"] == "string" and not isinstance(value, str))
        if said and value is not None:
            assert json.loads(out) == value
        else:
            assert out == value or math.isclose(out, value, rel_tol=0)


CELLS = st.text(st.sampled_from("0123456789.-+eE nNaA"), max_size=6)


@settings(max_examples=150)
@given(st.lists(CELLS, min_size=1, max_size=6))
def test_different_cells_stay_different(tmp_path_factory, cells):
    path = csv(tmp_path_factory.mktemp("cells"), a=cells, b=["x"] * len(cells))
    (chunk,) = read(path)
    made = typed(chunk, infer([chunk]).types)
    assert made.unread == ()
    values = [None if out is None else repr(out) for out in made.rows.column("a").to_pylist()]
    by_value = {}
    for cell, value in zip(cells, values, strict=True):
        assert by_value.setdefault(value, cell) == cell


@pytest.mark.data
def test_real_guesses(data):
    expected = {
        "banking77/train.jsonl.gz": (None, "text", "intent"),
        "hate_ko/labeled.jsonl.gz": (None, "text", "hate"),
        "heart_sites/heart.csv.gz": (None, None, "target"),
    }
    for name, guesses in expected.items():
        schema = infer(read(data / name))
        assert (schema.id, schema.text, schema.target) == guesses
