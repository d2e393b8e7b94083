"""Shards and their verdicts: what goes in comes out, in order, hidden rows absent, refused rows marked."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.arrow import concat, take
from bapsim.core.errors import Damaged
from bapsim.core.records import CERTIFICATE, VERDICT, Records, abstained, verdicts
from bapsim.store.lake import (
    View,
    file_sha256,
    read_batch,
    read_verdicts,
    regroup,
    verdict_path,
    write_shard,
    write_verdicts,
)
from bapsim.testing import records_of

FEW = settings(max_examples=max(settings.default.max_examples // 4, 1))
WIDE = pa.schema(
    {
        "text": pa.string(),
        "a.b": pa.int16(),
        "a": pa.float32(),
        "at": pa.timestamp("ns", "UTC"),
        "said": pa.list_(pa.struct([("role", pa.string()), ("n", pa.int8())])),
        "kind": pa.dictionary(pa.int32(), pa.string()),
        "raw": pa.large_binary(),
        "nothing": pa.null(),
    }.items()
)  # fmt: skip


def records(*texts, start=0):
    return records_of([{"text": t, "n": i + start} for i, t in enumerate(texts)], schema=NARROW)


NARROW = pa.schema([("text", pa.string()), ("n", pa.int64())])


def test_a_shard_comes_back_as_it_was(tmp_path):
    row = {"text": "밥\x00심", "a.b": 3, "a": 0.5, "at": 7, "said": [{"role": "u", "n": None}], "kind": "k"}
    whole = records_of([row | {"raw": b"\xff"}, {}, {"said": []}], schema=WIDE, keys=["a", "ㄱ", ""])
    shard = write_shard(tmp_path, "records/rows/one.g0.parquet", whole)
    path = tmp_path / shard.path
    assert (shard.rows, shard.sha256) == (3, file_sha256(path))
    assert read_batch(path).equals(whole)
    assert read_batch(path).schema.equals(whole.schema)
    assert read_batch(path, ["a"]).column("a").to_pylist() == [0.5, None, None]
    assert (
        write_shard(tmp_path, "records/rows/two.g0.parquet", whole).sha256 == shard.sha256
    )  # the same bytes
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    assert sorted(p.name for p in path.parent.iterdir()) == ["one.g0.parquet", "two.g0.parquet"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_reading_starts_no_thread_that_could_outlive_a_verb(tmp_path):
    shard = write_shard(tmp_path, "records/rows/a.g0.parquet", records_of([{"text": "a"}] * 500))
    count = "len(list(Path('/proc/self/task').iterdir()))"
    code = (
        "import sys, pyarrow.parquet\nfrom pathlib import Path\nfrom bapsim.store.lake import read_batch\n"
        f"before = {count}; read_batch(Path(sys.argv[1])); sys.exit({count} != before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / shard.path)], timeout=60, check=False)
    assert done.returncode == 0


def test_an_empty_shard(tmp_path):
    none = records()
    shard = write_shard(tmp_path, "records/rows/none.g0.parquet", none)
    assert read_batch(tmp_path / shard.path).equals(none)


@pytest.mark.parametrize("body", [None, b"", b"PAR1 no PAR1", b"x" * 99])
def test_a_file_that_cannot_be_read_is_damage(tmp_path, body):
    path = tmp_path / "x.parquet"
    if body is not None:
        path.write_bytes(body)
    with pytest.raises(Damaged) as caught:
        read_batch(path)
    assert caught.value.values["path"] == "x.parquet"


def test_a_column_in_several_pieces_loses_no_row(tmp_path, monkeypatch):
    """A column over 2 GiB comes back in pieces; here two row groups that are not combined."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3]}), path, row_group_size=2)

    class Pieces(pq.ParquetFile):
        def read(self, columns=None, use_threads=True):
            table = super().read(columns=columns, use_threads=use_threads)
            whole = pa.concat_tables([table.slice(0, 2), table.slice(2)])
            return _Uncombined(whole)

    class _Uncombined:
        def __init__(self, table):
            self.table, self.schema = table, table.schema

        def combine_chunks(self):
            return self.table

    monkeypatch.setattr(pq, "ParquetFile", Pieces)
    assert read_batch(path).column("a").to_pylist() == [1, 2, 3]


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 5))
def test_regroup_keeps_rows_and_order(sizes, rows):
    parts, start = [], 0
    for size in sizes:
        parts.append(Records(pa.record_batch({"n": pa.array(range(start, start + size), pa.int64())})))
        start += size
    made = list(regroup(parts, rows))
    assert [n for batch in made for n in batch.column("n").to_pylist()] == list(range(start))
    assert [len(batch) for batch in made] == [rows] * (start // rows) + [start % rows] * (start % rows > 0)


def test_regroup_closes_a_batch_that_is_heavy():
    parts = [Records(pa.record_batch({"image": pa.array([bytes(1000)] * n)})) for n in (3, 1, 4, 2)]
    made = [len(batch) for batch in regroup(parts, 100, 3500)]
    assert made == [4, 4, 2]
    assert [len(batch) for batch in regroup(parts, 2, 3500)] == [2] * 5


# ------------------------------------------------------------------ verdicts


def test_verdicts_lie_beside_their_shard_row_by_row(tmp_path):
    assert verdict_path("records/rows-2/t001-a.b-0000.g0.parquet", 12) == (
        "verdicts/rows-2/t001-a.b-0000.g0.t012.parquet"
    )
    named = {
        "length": verdicts(np.array([True, False, False]), "short", value=np.array([3.0, 1, 0]), limit=2),
        "rights": abstained(3),
        "a.keep": verdicts(np.array([False, True, True]), ["x", "y", "z"]),
    }
    sha = write_verdicts(tmp_path, "verdicts/v.parquet", named)
    assert sha == file_sha256(tmp_path / "verdicts/v.parquet")
    found = read_verdicts(tmp_path, "verdicts/v.parquet")
    assert list(found) == list(named)
    for name, said in named.items():
        assert found[name].equals(said), name
        assert found[name].schema == VERDICT
    kept = pq.read_schema(tmp_path / "verdicts/v.parquet").names
    assert "rights.keep" in kept
    assert not {"rights.reason", "a.keep.value"} & set(kept)  # what says nothing takes no room


def test_verdicts_of_other_lengths_are_not_written(tmp_path):
    named = {"a": abstained(3), "b": abstained(2)}
    with pytest.raises(ValueError, match="not all the same length"):
        write_verdicts(tmp_path, "verdicts/v.parquet", named)
    assert not (tmp_path / "verdicts/v.parquet").exists()


# ------------------------------------------------------------------ views


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Two shards of four and three rows."""
    root = tmp_path_factory.mktemp("lake")
    parts = [records("a", "b", "c", "d"), records("e", "f", "g", start=4)]
    shards = tuple(write_shard(root, f"records/rows/{i}.g0.parquet", part) for i, part in enumerate(parts))
    return root, shards, concat(parts)


MASK = st.lists(st.booleans(), min_size=7, max_size=7)


def split(mask):
    return tuple(np.array(part, bool) for part in (mask[:4], mask[4:]))


@FEW
@given(MASK, MASK, st.data())
def test_laws_of_a_view(stored, hidden, refused, data):
    root, shards, whole = stored
    view = View(name="t", root=root, shards=shards, hidden=split(hidden), refused=split(refused))
    shown = ~np.array(hidden)
    batches = list(view.batches())
    assert [len(b) for b in batches] == [int(shown[:4].sum()), int(shown[4:].sum())]
    assert concat(batches).equals(take(whole, shown))
    assert len(view) == shown.sum()
    kept = list(view.kept())
    assert [len(k) for k in kept] == [len(b) for b in batches]
    assert np.concatenate(kept).tolist() == (~np.array(refused))[shown].tolist()
    wanted = data.draw(st.lists(st.integers(0, 7), max_size=5))
    ids = [*whole.column("_id").to_pylist(), b"?" * 16]
    found = view.find(pa.array([ids[i] for i in wanted], pa.binary(16)))
    there = [i for i in wanted if i < 7 and shown[i]]
    assert found.column("n").to_pylist() == there  # in the order of the ids, unknown and hidden ones absent
    assert found.schema == whole.schema


def test_a_view_without_masks_shows_and_keeps_everything(stored):
    root, shards, whole = stored
    for masks in ((), (None, None)):
        view = View(name="t", root=root, shards=shards, hidden=masks, refused=masks)
        assert len(view) == 7
        assert concat(list(view.batches())).equals(whole)
        assert np.concatenate(list(view.kept())).all()
    assert view.find(whole.column("_id")).equals(whole)
    half = View(name="t", root=root, shards=shards, hidden=(None, np.array([True] * 3)))
    assert len(half) == 4


def test_a_view_of_some_columns(stored):
    root, shards, whole = stored
    view = View(name="t", root=root, shards=shards)
    (first, _) = view.batches(["n", "missing"])
    assert first.schema.names == ["n", "missing", *CERTIFICATE.names]
    assert first.column("n").to_pylist() == [0, 1, 2, 3]
    assert first.column("missing").to_pylist() == [None] * 4
    assert first.column("_id").equals(whole.column("_id").slice(0, 4))
    (first, _) = view.batches([])
    assert first.schema.names == CERTIFICATE.names


def test_a_view_of_nothing(tmp_path):
    view = View(name="t", root=tmp_path, shards=())
    assert len(view) == 0
    assert list(view.batches()) == list(view.kept()) == []
    assert len(view.find(pa.array([b"?" * 16], pa.binary(16)))) == 0
