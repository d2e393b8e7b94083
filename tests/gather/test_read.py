"""Reading: every cell as written, every record a row or an unread, whatever the file is made of."""

import gzip
import json
import re
import zlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError, text
from bapsim.gather import read as module
from bapsim.gather import unpack
from bapsim.gather.read import read


def rows_of(path: Path, **options):
    """All rows as dicts with their lines, and all unread."""
    rows, unread = [], []
    for chunk in read(path, **options):
        assert len(chunk.lines) == len(chunk.rows)
        rows += zip(chunk.lines.tolist(), chunk.rows.to_pylist(), strict=True)
        unread += chunk.unread
    return rows, unread


def reasons(unread) -> dict[str, int]:
    return dict(Counter(u.reason for u in unread))


def put(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_cells_stay_as_written(tmp_path):
    path = put(tmp_path, "a.csv", 'id,text,n\n007,"a, ""b""\r\nc",NA\n1e5,,null\n')
    rows, unread = rows_of(path)
    assert rows == [
        (2, {"id": "007", "text": 'a, "b"\r\nc', "n": "NA"}),
        (4, {"id": "1e5", "text": None, "n": "null"}),
    ]
    assert unread == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, delimiter):
    lines = [["text", "label"], ["1,5 a", "x"], ["b", "y"]]
    path = put(tmp_path, "a.csv", "\n".join(delimiter.join(f'"{c}"' for c in row) for row in lines))
    assert [row for _, row in rows_of(path)[0]] == [
        {"text": "1,5 a", "label": "x"},
        {"text": "b", "label": "y"},
    ]


def test_a_decimal_comma_does_not_hide_the_semicolon(tmp_path):
    path = put(tmp_path, "a.csv", "a;b\n1,5;2,5\n3,5;4,5\n")
    assert rows_of(path)[0][0] == (2, {"a": "1,5", "b": "2,5"})


def test_one_stray_quote_costs_one_line(tmp_path):
    body = "".join(f"t{i},x\n" for i in range(50))
    rows, unread = rows_of(put(tmp_path, "a.csv", f'text,label\n{body}"stray,y\n{body}"whole",z\n{body}'))
    assert reasons(unread) == {"quote": 1}
    assert unread[0].line == 52
    assert len(rows) == 151


def test_text_from_inside_broken_quotes_is_no_record(tmp_path):
    broken = 'id,text,label\n1,"he said "no"\nsecond line, with comma",y\n2,fine,n\n'
    rows, unread = rows_of(put(tmp_path, "a.csv", broken))
    assert rows == [(4, {"id": "2", "text": "fine", "label": "n"})]
    assert reasons(unread) == {"quote": 2}


def test_tabs_without_quoting(tmp_path):
    """The way NSMC's own files are written: a text may begin with a quote that never closes."""
    body = "".join(f"{i}\ttext {i}\t0\n" for i in range(300))
    rows, unread = rows_of(
        put(tmp_path, "a.tsv", f'id\tdocument\tlabel\n{body}9\t"open\t1\n{body}8\t"a" b\t0\n')
    )
    assert unread == []
    assert len(rows) == 602
    assert rows[300][1]["document"] == '"open'


def test_wrong_number_of_cells_nul_and_blank_lines(tmp_path):
    rows, unread = rows_of(put(tmp_path, "a.csv", "a,b\n1,2\n\n1\n1,2,3\nx\0,y\n3,4\n"))
    assert [line for line, _ in rows] == [2, 7]
    assert [(u.line, u.reason) for u in unread] == [(4, "cells"), (5, "cells"), (6, "nul")]


def test_json_keeps_numbers_and_nests_as_text(tmp_path):
    said = '{"a": 1.10, "b": 12345678901234567890, "c": [1.0, {"d": "é"}], "e": true, "f": null, "g": NaN}\n'
    rows, _ = rows_of(put(tmp_path, "a.jsonl", said))
    expected = {"a": "1.10", "b": "12345678901234567890", "c": '[1.0, {"d": "é"}]', "e": "true"}
    assert rows == [(1, expected | {"f": None, "g": None})]


def test_broken_json_lines_are_named(tmp_path):
    lines = [
        '{"a": 1}', "{", '{"a": 1, "a": 2}', '{"a": Infinity}', "[1]", '"text"', "{}", '{"a": "\0"}', "",
        '{"a": ' + "[" * 100_000, '{"a": "\\ud800"}', '{"b": 2}',
    ]  # fmt: skip
    rows, unread = rows_of(put(tmp_path, "a.jsonl", "\n".join(lines)))
    assert rows == [(1, {"a": "1", "b": None}), (12, {"a": None, "b": "2"})]
    assert [u.reason for u in unread] == [
        "json", "duplicate_key", "json", "object", "object", "object", "nul", "deep", "encoding",
    ]  # fmt: skip
    assert [u.line for u in unread] == [2, 3, 4, 5, 6, 7, 8, 10, 11]


def test_a_list_of_objects(tmp_path):
    said = '[\n {"a": 1, "b": "[{"},\n {"a": 2,, "b": 3},\n 7,\n {"a":\n 4}\n]\n'
    rows, unread = rows_of(put(tmp_path, "a.json", said))
    assert [(line, row["a"]) for line, row in rows] == [(1, "1"), (4, "4")]
    assert [(u.line, u.reason, u.detail[:7]) for u in unread] == [
        (2, "json", "line 3:"),
        (3, "object", "line 4:"),
    ]


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.text(min_size=1).filter(lambda k: not k.startswith("_") and k.isprintable()),
            st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=3),
            min_size=1,
            max_size=4,
        ),
        max_size=8,
    ),
    st.sampled_from([None, 1]),
    st.integers(1, 40),
)
def test_a_list_reads_like_lines_at_any_block_size(tmp_path_factory, rows, indent, block):
    folder = tmp_path_factory.mktemp("list")
    listed = put(folder, "a.json", json.dumps(rows, indent=indent, ensure_ascii=False))
    lined = put(folder, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "BLOCK", block)
        found, unread = rows_of(listed)
    assert unread == []
    assert [row for _, row in found] == [row for _, row in rows_of(lined)[0]]


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lambda b: pa.compress(b, "zstd", asbytes=True)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp949"])
def test_encodings_and_packing(tmp_path, pack, encoding):
    said = "text,label\n밥심으로 산다,긍정\n똠방각하 펲시,부정\n"
    rows, unread = rows_of(put(tmp_path, "a.csv.gz", pack(said.encode(encoding))))
    assert [row["text"] for _, row in rows] == ["밥심으로 산다", "똠방각하 펲시"]
    assert unread == []


def test_mixed_encodings_line_by_line(tmp_path):
    lines = ["텍스트".encode(), "텍스트".encode("cp949"), b"caf\xe9 \x80\xff", b"plain"]
    rows, unread = rows_of(put(tmp_path, "a.txt", b"\n".join(lines)))
    assert [row["text"] for _, row in rows] == ["텍스트", "텍스트", "plain"]
    assert [(u.line, u.reason) for u in unread] == [(3, "encoding")]


def test_a_named_encoding_and_faults_in_it(tmp_path):
    content = "a\nデータ\n".encode("shift_jis") + b"\x81\n" + "後\n".encode("shift_jis")
    rows, unread = rows_of(put(tmp_path, "a.csv", content), encoding="shift_jis")
    assert [row["a"] for _, row in rows] == ["データ", "後"]
    assert reasons(unread) == {"encoding": 1}
    with pytest.raises(InputError, match="no text encoding"):
        rows_of(tmp_path / "a.csv", encoding="no-such")
    with pytest.raises(InputError, match="no text encoding"):
        rows_of(tmp_path / "a.csv", encoding="zip")


@pytest.mark.parametrize("pack", [gzip.compress, lambda b: pa.compress(b, "zstd", asbytes=True)])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.txt.gz", "a.json.gz"])
def test_a_cut_file_keeps_what_was_whole(tmp_path, pack, name):
    import random

    random.seed(1)
    lines = [json.dumps({"text": f"{i} {random.random()}"}) for i in range(20_000)]
    whole = ("[" + ",\n".join(lines) + "]") if "json." in name else "\n".join(lines) + "\n"
    packed = pack(whole.encode())
    rows, unread = rows_of(put(tmp_path, name, packed[: len(packed) // 2]))
    assert 6000 < len(rows) < 18_000
    assert unread[-1].reason == "truncated"
    last = rows[-1][0] - (name == "a.csv.gz")
    assert last == len(rows)
    assert len(unread) <= 2


def test_a_damaged_gzip(tmp_path):
    packed = bytearray(gzip.compress(b"line\n" * 100) + gzip.compress(b"more\n" * 100))
    packed[-6] ^= 1  # the checksum of the second member
    rows, unread = rows_of(put(tmp_path, "a.txt.gz", bytes(packed)))
    assert len(rows) >= 100
    assert reasons(unread) == {"damaged": 1}


def test_members_and_padding_of_gzip(tmp_path):
    packed = gzip.compress(b"a\n") + b"\0" * 512 + gzip.compress(b"b\n") + b"\0" * 512
    rows, unread = rows_of(put(tmp_path, "a.txt.gz", packed))
    assert [row["text"] for _, row in rows] == ["a", "b"]
    assert unread == []


def test_a_bomb_is_refused(tmp_path):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(b"\0" * (1 << 20)) for _ in range(70)) + bomb.flush()
    with pytest.raises(InputError, match="unpacks to more than"):
        rows_of(put(tmp_path, "a.jsonl.gz", packed))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt", "a.json"])
def test_a_long_record_is_quarantined(tmp_path, name, monkeypatch):
    monkeypatch.setattr(unpack, "RECORD", 5000)
    for part in ("objects", "separated", "columnar", "chunk"):
        monkeypatch.setattr(f"bapsim.gather.{part}.RECORD", 5000, raising=False)
    monkeypatch.setattr(unpack, "BLOCK", 1000)
    short, long = '{"a": "b"}', '{"a": "' + "x" * 20_000 + '"}'
    whole = f"[{short},{long},{short}]" if name == "a.json" else "\n".join([short] * 1 + [short, long, short])
    rows, unread = rows_of(put(tmp_path, name, whole))
    assert reasons(unread) == {"long": 1}
    assert len(rows) == {"a.csv": 2, "a.json": 2}.get(name, 3)


def test_files_that_cannot_be_used(tmp_path):
    bad = {
        "a.csv": b"a,a\n1,2\n",
        "b.csv": b"_id,x\n1,2\n",
        "c.xlsx": b"PK\x03\x04....",
        "d.csv": b"PK\x03\x04....",
        "e.parquet": b"PAR1nothing",
        "f.bin": b"\0\1",
        "g.json": b'{\n "a": 1\n}',
        "h.csv": b"a\0,b\n1,2\n",
        "i.csv": b"\xe9\xff,b\n1,2\n",
        "j.csv": b",".join(b"c%d" % i for i in range(2500)) + b"\n",
        "k.jsonl": b"\n".join(b'{"k%d": 1}' % i for i in range(2500)),
    }
    for name, content in bad.items():
        with pytest.raises(InputError) as caught:
            rows_of(put(tmp_path, name, content))
        assert all(text(f"error.{caught.value.key}", lang, **caught.value.values) for lang in ("en", "ko"))
    for path in (tmp_path, tmp_path / "none.csv", Path("/dev/zero"), tmp_path / ("x" * 300 + ".csv")):
        with pytest.raises(InputError):
            rows_of(path)
    with pytest.raises(InputError):
        rows_of(tmp_path / "a\0.csv")


def test_reserved_names_can_be_renamed(tmp_path):
    path = put(tmp_path, "a.jsonl", '{"_id": 1}\n')
    assert rows_of(path, rename={"_id": "id"}) == ([(1, {"id": "1"})], [])


def test_empty_files_and_headers(tmp_path):
    for name in ("a.csv", "a.jsonl", "a.json", "a.txt", "a.tsv"):
        assert list(read(put(tmp_path, name, ""))) == []
        assert list(read(put(tmp_path, name, gzip.compress(b"")))) == []
    (chunk,) = read(put(tmp_path, "a.csv", "text,,label\n"))
    assert chunk.rows.schema.names == ["text", "column_2", "label"]
    assert len(chunk.rows) == 0


def test_parquet_keeps_its_types(tmp_path):
    table = pa.table(
        {
            "n": pa.array([1, None], pa.int32()),
            "day": pa.array([0, 1], pa.date32()),
            "text": pa.array(["a", "b"]).dictionary_encode(),
            "m": [[{"role": "user", "content": "x"}], []],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    (chunk,) = read(tmp_path / "a.parquet")
    assert chunk.rows.schema.types[:3] == [pa.int32(), pa.date32(), pa.string()]
    assert chunk.rows.to_pylist() == table.to_pylist()
    assert chunk.lines.tolist() == [1, 2]


def test_a_dictionary_of_long_texts_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("bapsim.gather.columnar.BYTES", 100_000)
    monkeypatch.setattr("bapsim.gather.columnar.RECORD", 40_000)
    table = pa.table({"t": pa.DictionaryArray.from_arrays([0, 1] * 50, ["x" * 30_000, "y" * 50_000])})
    pq.write_table(table, tmp_path / "a.parquet")
    chunks = list(read(tmp_path / "a.parquet"))
    assert max(chunk.rows.nbytes for chunk in chunks) < 200_000
    assert sum(len(chunk.rows) for chunk in chunks) == 50
    assert sum(len(chunk.unread) for chunk in chunks) == 50


def dataset_folder(folder: Path, parts: list[list[int]]) -> Path:
    """What `datasets.Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(parts):05}.arrow" for i in range(len(parts))]
    for name, numbers in zip(names, parts, strict=True):
        table = pa.table({"n": pa.array(numbers, pa.int64())})
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def test_datasets_folders(tmp_path):
    one = dataset_folder(tmp_path / "one", [[1, 2], [3]])
    assert [row["n"] for _, row in rows_of(one)[0]] == [1, 2, 3]
    dataset_folder(tmp_path / "both" / "train", [[1]])
    dataset_folder(tmp_path / "both" / "test", [[2]])
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert [row["n"] for _, row in rows_of(tmp_path / "both")[0]] == [1, 2]


def test_a_datasets_folder_cannot_reach_out(tmp_path):
    dataset_folder(tmp_path / "secret", [[7]])
    for name in ("../secret/data-00000-of-00001.arrow", "/etc/passwd", 3, None):
        folder = dataset_folder(tmp_path / f"evil-{str(name)[:2].strip('./')}x", [[1]])
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(InputError, match="leads out"):
            rows_of(folder)


def test_a_damaged_dataset_keeps_what_stands_before(tmp_path):
    folder = dataset_folder(tmp_path / "one", [list(range(100)), list(range(50))])
    shard = folder / "data-00001-of-00002.arrow"
    shard.write_bytes(shard.read_bytes()[:-300])
    rows, unread = rows_of(folder)
    assert len(rows) == 100
    assert reasons(unread) == {"damaged": 1}


CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=100)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=20), st.sampled_from(",;\t|"))
def test_what_csv_writes_is_read_back(tmp_path_factory, rows, delimiter):
    import csv

    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["a", "b", "c"])
        writer.writerows(rows)
    found, unread = rows_of(path)
    assert unread == []
    assert [list(row.values()) for _, row in found] == [[cell or None for cell in row] for row in rows]


LINE = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.text(max_size=20).map(lambda t: json.dumps({"a": t}).encode()),
    st.text("가나다힣", max_size=6).map(lambda t: json.dumps({"a": t}, ensure_ascii=False).encode("cp949")),
    st.sampled_from([b'{"a": 1', b'"', b'{"a": NaN}', b"\xff", b'{"_": 1}'[:5], b"\0"]),
)


@settings(max_examples=200)
@given(st.lists(LINE, max_size=12))
def test_lines_are_rows_or_unread(tmp_path_factory, said):
    """The law of accounts: records in = rows + unread, for anything that has lines."""
    said = [line.replace(b"\n", b"").replace(b"\r", b"") for line in said]
    path = put(tmp_path_factory.mktemp("lines"), "a.jsonl", b"".join(line + b"\n" for line in said))
    if next((line.strip() for line in said if line.strip()), b"").startswith((b"[", *BOMS)):
        return  # a list, or an encoding in which other bytes end a line
    rows, unread = rows_of(path, rename={"_": "u"})
    seen = sorted([line for line, _ in rows] + [u.line for u in unread])
    decoded = [line.decode("utf-8", "surrogateescape") for line in said]
    assert seen == [i for i, line in enumerate(decoded, 1) if line and not line.isspace()]


BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"\xef\xbb\xbf", b"\x28\xb5", b"PK\x03", b"\xd0\xcf")


def test_reasons_are_listed():
    found = re.compile(r'(?:NotRead|Cut|refused|NoPicture|unread)\("(\w+)"|reason="(\w+)"')
    folders = [Path(module.__file__).parent, Path(module.__file__).parents[1] / "image"]
    sources = [path.read_text() for folder in folders for path in folder.glob("*.py")]
    said = {one for text in sources for pair in found.findall(text) for one in pair if one}
    asked, signed = (
        reasons_of("synth"),
        reasons_of("order"),
    )  # why machines' answers and deliveries are no rows
    assert (said | {"truncated", "damaged"}) - asked - signed == set(module.REASONS)
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "files.md").read_text("utf-8")
    assert [reason for reason in module.REASONS if f"\n| `{reason}` |" not in page] == []
    page = (docs / "synthesis.md").read_text("utf-8")
    assert [reason for reason in asked if f"`{re.sub('(?<=http_)5..', '5xx', reason)}`" not in page] == []
    page = (docs / "orders.md").read_text("utf-8")
    assert [reason for reason in signed if f"`{reason}`" not in page] == []


def reasons_of(page):
    said = json.loads((Path(module.__file__).parents[1] / "messages" / f"{page}.json").read_text("utf-8"))
    return {key.removeprefix("unread.") for key in said if key.startswith("unread.")}


@pytest.mark.data
def test_real_files(data):
    counts = {
        "banking77/train.jsonl.gz": 10_003,
        "ai4i2020/ai4i.csv.gz": 7_052,
        "heart_sites/heart.csv.gz": 637,
    }
    for name, count in counts.items():
        chunks = list(read(data / name))
        assert sum(len(chunk.rows) for chunk in chunks) == count
        assert not any(chunk.unread for chunk in chunks)
