"""Splits as files: everything arrives in order, in files that end when they are full."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bapsim.ship import shards
from bapsim.ship.shards import Form, SplitWriter
from bapsim.store.lake import file_sha256

SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string())])


def batch(start: int, count: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(start, start + count)), ["가" * 50] * count], schema=SCHEMA)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_rows_in_order_over_several_files(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "GROUP_ROWS", 40)
    monkeypatch.setattr(shards, "FILE_BYTES", 10_000)
    writer = SplitWriter(root=tmp_path, stem="data/train", form=form, schema=SCHEMA)
    for start in range(0, 210, 7):
        writer.put(batch(start, 7))
    files = writer.close()
    assert [one.path for one in files] == [f"data/train-{i:05d}.{form}" for i in range(len(files))]
    assert len(files) > 2
    assert sum(one.rows for one in files) == 210
    assert all((tmp_path / one.path).stat().st_size == one.size for one in files)
    assert all(file_sha256(tmp_path / one.path) == one.sha256 for one in files)
    read = [row for one in files for row in rows(tmp_path / one.path)]
    assert [row["n"] for row in read] == list(range(210))


def rows(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    writer = SplitWriter(root=tmp_path, stem="data/train", form="parquet", schema=SCHEMA)
    writer.put(batch(0, 0))
    assert writer.close() == ()
    assert not list(tmp_path.rglob("*.parquet"))


def test_json_has_a_word_for_every_value_but_for_numbers_that_are_none(tmp_path: Path) -> None:
    told = pa.record_batch(
        {
            "line": ['a\n\u2028\u0000"\\'],
            "at": pa.array([1_795_343_400_250_000_000], pa.timestamp("ns")),
            "f": [float("inf")],
            "in": pa.array([{"x": [float("nan"), 1.5]}]),
            "money": pa.array(["1.50"]).cast(pa.decimal128(5, 2)),
            "none": pa.nulls(1, pa.int8()),
        }
    )
    writer = SplitWriter(root=tmp_path, stem="data/train", form="jsonl", schema=told.schema)
    writer.put(told)
    (file,) = writer.close()
    body = (tmp_path / file.path).read_bytes()
    assert body.count(b"\n") == 1, "one line a row, whatever is in it"
    assert json.loads(body, parse_constant=pytest.fail) == {
        "line": 'a\n\u2028\u0000"\\',
        "at": "2026-11-22 10:30:00.250000000",
        "f": None,
        "in": {"x": [None, 1.5]},
        "money": "1.50",
        "none": None,
    }
    assert writer.lost == 2
