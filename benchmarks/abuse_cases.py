"""Malformed files: sound ones with their bytes changed, and cases by hand; abuse.py runs them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bapsim.core.recipe import Source
from bapsim.gather.files import files

KOREAN = ("밥심으로 산다", "배송이 너무 늦어요", "환불해 주세요", "똠방각하 펲시", "카드를 잃어버렸어요")
SIGNS = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)")
CELLS = (*KOREAN, "plain", "a, b", 'said "hi"', "two\nlines", *SIGNS, "007", "NA", "")


@dataclass(frozen=True)
class Case:
    """One malformed file or folder: `make` puts it under a name into the inbox.

    count: the records that it holds, where that is known apart from the reader; source: what reads it.
    """

    kind: str
    name: str
    make: Callable[[Path], None]
    count: Callable[[Path], int | None] = field(default=lambda path: None)
    source: Callable[[str], Source] = files


# ---------------------------------------------------------------- sound files, then mutations of their bytes


def table(rng: random.Random, rows: int) -> list[dict[str, str]]:
    return [{"id": f"{i:05}", "text": rng.choice(CELLS), "label": rng.choice("ab ")} for i in range(rows)]


def as_lines(rows: list[dict[str, str]], rng: random.Random) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows).encode()


def as_list(rows: list[dict[str, str]], rng: random.Random) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=rng.choice([None, 1])).encode()


def as_csv(rows: list[dict[str, str]], rng: random.Random, delimiter: str = "") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter or rng.choice(",;|"))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_tsv(rows: list[dict[str, str]], rng: random.Random) -> bytes:
    return as_csv(rows, rng, "\t")


def as_text(rows: list[dict[str, str]], rng: random.Random) -> bytes:
    return "\n".join(row["text"] for row in rows).encode()


def as_parquet(rows: list[dict[str, str]], rng: random.Random) -> bytes:
    out = io.BytesIO()
    codec = rng.choice(["snappy", "zstd", "none"])
    pq.write_table(pa.Table.from_pylist(rows), out, compression=codec, row_group_size=rng.choice([7, 1000]))
    return out.getvalue()


TEXTS = {".jsonl": as_lines, ".json": as_list, ".csv": as_csv, ".tsv": as_tsv, ".txt": as_text}


def flipped(body: bytes, rng: random.Random) -> bytes:
    made = bytearray(body)
    for _ in range(rng.randint(1, 20)):
        made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


def cut(body: bytes, rng: random.Random) -> bytes:
    return body[: rng.randrange(len(body))]


def torn(body: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(body)), rng.randint(1, 60)
    return body[:at] + body[at + length :]


def inserted(body: bytes, rng: random.Random) -> bytes:
    junk = rng.choice(
        [
            b"\0",
            b"\0" * 50,
            b'"',
            b"'",
            b"\n",
            b"\r",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\\",
            b"{",
            b"]",
            b"\x1a",
        ]
    )
    made = body
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(made))
        made = made[:at] + junk + made[at:]
    return made


def korean(body: bytes, rng: random.Random) -> bytes:
    """Some lines saved by another program: cp949, latin-1 or UTF-16 without a mark."""
    lines = body.split(b"\n")
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(lines))
        text = lines[at].decode("utf-8", "replace")
        lines[at] = text.encode(rng.choice(["cp949", "latin-1", "utf-16-le"]), "replace").replace(b"\n", b"")
    return b"\n".join(lines)


def shuffled(body: bytes, rng: random.Random) -> bytes:
    lines = body.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def whole_encoding(body: bytes, rng: random.Random) -> bytes:
    name = rng.choice(["cp949", "utf-16", "utf-32", "utf-16-le", "latin-1", "utf-8-sig", "utf-7"])
    return body.decode().encode(name, "replace")


def noise(body: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 3000))


def returns(body: bytes, rng: random.Random) -> bytes:
    return body.replace(b"\n", rng.choice([b"\r", b"\r\n", b"\n\r", b"\n\n", b"\x0b\n"]))


MUTATIONS = (flipped, cut, torn, inserted, korean, shuffled, whole_encoding, noise, returns)
PACKS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    ".gz": lambda body: gzip.compress(body, mtime=0),
    ".zst": lambda body: pa.compress(body, "zstd", asbytes=True),
}


def unpacked(body: bytes) -> bytes | None:
    """The content of a sound gzip or plain file, by another way than the reader's."""
    if body.startswith((b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return None
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return None


def lines_in(path: Path) -> int | None:
    """Lines that are not blank, where lines are records and LF ends them."""
    body = unpacked(path.read_bytes())
    if body is None or body.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or ends_in_cr(body):
        return None
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    if ".txt" in path.name:
        return sum(bool(line.rstrip(b"\r")) for line in body.split(b"\n"))
    if body.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"["):
        return None
    decoded = (line.decode("utf-8", "surrogateescape") for line in body.split(b"\n"))
    return sum(bool(line) and not line.isspace() for line in decoded)


def ends_in_cr(body: bytes) -> bool:
    return b"\n" not in body[: 1 << 20] and b"\r" in body[: 1 << 20]


def mutants(count: int, seed: int = 0) -> Iterator[Case]:
    """Sound files with their bytes changed, before or after packing."""
    for i in range(count):
        rng = random.Random(seed * 1_000_003 + i)
        ending = rng.choice([*TEXTS, ".jsonl", ".csv"])
        pack = rng.choice(["", "", "", ".gz", ".zst"])
        mutation = rng.choice(MUTATIONS)
        body = TEXTS[ending](table(rng, rng.randint(1, 120)), rng)
        after = pack and mutation in (flipped, cut, torn, noise) and rng.random() < 0.6
        body = mutation(PACKS[pack](body), rng) if after else PACKS[pack](mutation(body, rng))
        count_of = lines_in if ending in (".jsonl", ".txt") else (lambda path: None)
        yield Case(mutation.__name__, f"m{i}{ending}{pack}", put(body), count_of)


def put(body: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(body), None)[1]


def columnar_mutants(count: int, seed: int = 1) -> Iterator[Case]:
    """Parquet files and `datasets` folders with their bytes changed."""
    for i in range(count):
        rng = random.Random(seed * 1_000_003 + i)
        mutation = rng.choice([flipped, cut, torn, inserted, noise])
        rows = table(rng, rng.randint(1, 80))
        if rng.random() < 0.6:
            body = mutation(as_parquet(rows, rng), rng)
            yield Case("parquet", f"p{i}.parquet", put(body))
        else:
            yield Case("datasets", f"d{i}", dataset_of(rows, mutation, rng))


def dataset_of(rows: list[dict[str, str]], mutation, rng: random.Random) -> Callable[[Path], None]:
    out = io.BytesIO()
    batch = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_table(batch, max_chunksize=10)
    shard, state = out.getvalue(), json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}).encode()
    if rng.random() < 0.8:
        shard = mutation(shard, rng)
    else:
        state = mutation(state, rng)

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "dataset_info.json").write_text("{}")
        (folder / "state.json").write_bytes(state)
        (folder / "data-0.arrow").write_bytes(shard)

    return make


# ---------------------------------------------------------------- cases by hand


def bomb(
    size: int, packed: Callable[[Iterator[bytes]], Iterator[bytes]], block: bytes
) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(packed(block for _ in range(size // len(block))))

    return make


def gzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def zstandard(blocks: Iterator[bytes]) -> Iterator[bytes]:
    out = io.BytesIO()
    with pa.CompressedOutputStream(pa.PythonFile(out, mode="w"), "zstd") as stream:
        for block in blocks:
            stream.write(block)
        stream.flush()
        yield out.getvalue()


def as_it_is(blocks: Iterator[bytes]) -> Iterator[bytes]:
    return blocks


def long_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"text": "short"}\n{"text": "')
        file.writelines(b"x" * (1 << 20) for _ in range(100))
        file.write(b'"}\n{"text": "after"}\n')


def stray_quote(path: Path) -> None:
    """A quote that never closes: what it would swallow is longer than a record may be."""
    path.write_bytes(b'x,y\n"a,b\n' + (b"b," + b"c" * 500 + b"\n") * 60_000)


def dictionary_bomb(path: Path) -> None:
    """A kilobyte that stands for 100 GB: one long text, taken a hundred thousand times."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 1_000_000])
    pq.write_table(pa.table({"text": column}), path)


def null_bomb(path: Path) -> None:
    pq.write_table(pa.table({"text": pa.nulls(70_000_000, pa.bool_())}), path)


def wide_object() -> bytes:
    return json.dumps({f"k{i}": i for i in range(1999)}).encode() + b"\n"


def links(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def folder_with_link(path: Path) -> None:
    path.mkdir()
    (path / "x.csv").symlink_to("/etc/passwd")


def evil_dataset(name: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "dataset_info.json").write_text("{}")
        (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))

    return make


def texts_by_hand() -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    deep, wide = b"[" * 200_000, b"{" + b",".join(b'"k%d": 1' % i for i in range(5000)) + b"}"
    yield from {
        "empty.csv": b"",
        "empty.jsonl": b"",
        "empty.json": b"",
        "empty.txt": b"",
        "empty.parquet": b"",
        "empty.gz.csv.gz": gzip.compress(b""),
        "header.csv": b"text,label\n",
        "header-cut.csv": b'text,"label',
        "twice.csv": b"text,text\n1,2\n",
        "reserved.csv": b"_id,text\n1,2\n",
        "reserved.jsonl": b'{"_origin": 1}\n',
        "nul-header.csv": b"a\0b,c\n1,2\n",
        "blank-header.csv": b",,\n1,2,3\n",
        "ragged.csv": b"a,b\n1\n1,2\n1,2,3\n\n,\n",
        "quotes.csv": b'a,b\n"1,2\n3,4\n"5",6\n',
        "quote-at-end.csv": b'a,b\n1,2\n3,"',
        "only-quotes.csv": b'"' * 1001,
        "only-newlines.csv": b"\n" * 1000,
        "only-delimiters.csv": b"," * 1000,
        "many-columns.csv": b",".join(b"c%d" % i for i in range(100_000)) + b"\n",
        "formulas.csv": b"text,label\n=1+1,a\n+1,b\n-1,c\n@x,d\n",
        "one-bad-byte.csv": b"text,label\ncaf\xe9,a\n" + "밥".encode() + b",b\n",
        "mark-only.csv": b"\xef\xbb\xbf",
        "mark-only-16.csv": b"\xff\xfe",
        "odd-16.csv": "text\nx\n".encode("utf-16") + b"\x00",
        "surrogate-16.csv": "text\nx\n".encode("utf-16") + b"\x00\xd8\n\x00",
        "no-mark-16.csv": "text,label\n밥,a\n".encode("utf-16-le"),
        "numbers.jsonl": b'{"a": 1e999999}\n{"a": -0}\n{"a": 1' + b"0" * 10_000 + b"}\n",
        "nan.jsonl": b'{"a": NaN}\n{"a": Infinity}\n{"a": -Infinity}\n{"a": nan}\n',
        "twice.jsonl": b'{"a": 1, "a": 2}\n{"a": {"b": 1, "b": 2}}\n',
        "deep.jsonl": b'{"a": ' + deep + b"\n" + b'{"a": 1}\n',
        "deep.json": b'[{"a": ' + deep + b"]",
        "deep-objects.jsonl": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "wide.jsonl": wide,
        "names.jsonl": b"\n".join(b'{"k%d": 1}' % i for i in range(5000)),
        "not-objects.jsonl": b'1\n"a"\nnull\ntrue\n[]\n{}\n[1]\n',
        "half.jsonl": b'{"a": "\\ud800"}\n{"\\udc00": 1}\n{"a": {"b": ["\\ud800"]}}\n',
        "types.jsonl": b'{"a": 1}\n{"a": "x"}\n{"a": [1]}\n{"a": {"b": 2}}\n{"a": true}\n{"a": null}\n',
        "commas.json": b'[,,,{},,{"a":1},,]',
        "open.json": b'[{"a": 1}, {"a": 2}',
        "open-text.json": b'[{"a": 1}, {"a": "2}]',
        "after.json": b'[{"a": 1}] and more',
        "closed-twice.json": b'[{"a": 1}]]',
        "object.json": b'{"rows": [{"a": 1}]}',
        "pretty.json": b'{\n "rows": [\n {"a": 1}\n ]\n}',
        "scalar.json": b"42",
        "spaces.json": b" " * 100_000,
        "brackets.json": b"[" + b"{}," * 10_000 + b"]",
        "zip.csv": b"PK\x03\x04rest",
        "xls.csv": b"\xd0\xcf\x11\xe0rest",
        "picture.csv": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
        "no-ending": b"text\nx\n",
        "unknown.xlsx": b"PK\x03\x04",
        "unknown.doc": b"words",
        "gz-twice.csv.gz": gzip.compress(gzip.compress(b"text\nx\n")),
        "not-gz.csv.gz": b"text\nx\n",
        "only-magic.csv.gz": b"\x1f\x8b",
        "only-magic.csv.zst": b"\x28\xb5\x2f\xfd",
        "only-magic.parquet": b"PAR1",
        "magic-twice.parquet": b"PAR1" + b"\xff" * 100 + b"PAR1",
    }.items()
    yield "\u202egnp.csv", b"text\nx\n"
    yield "new\nline.csv", b"text\nx\n"
    yield "밥.csv", b"text\nx\n"
    yield "'; drop table record; --.csv", b"text\nx\n"
    yield "$(reboot).csv", b"text\nx\n"


def by_hand() -> Iterator[Case]:
    for name, body in texts_by_hand():
        yield Case("by hand", name, put(body))
    wide = b'{"text": "aaaaaaaa"}\n' * 50_000
    yield Case("bomb", "zeros.jsonl.gz", bomb(512 << 20, gzipped, bytes(1 << 20)))
    yield Case("bomb", "rows.jsonl.gz", bomb(512 << 20, gzipped, wide))
    yield Case("bomb", "rows.csv.zst", bomb(512 << 20, zstandard, b"text,label\n" * 95_000))
    yield Case("bomb", "list.json.gz", bomb(512 << 20, gzipped, b"[" * (1 << 20)))
    yield Case("bomb", "dictionary.parquet", dictionary_bomb)
    yield Case("bomb", "nulls.parquet", null_bomb)
    yield Case("long line", "long.jsonl", long_line, lambda path: 3)
    yield Case("long line", "long.csv", long_line)
    yield Case("long line", "long.txt", long_line, lambda path: 3)
    yield Case("long line", "zeros.txt", bomb(100 << 20, as_it_is, bytes(1 << 20)), lambda path: 1)
    yield Case("long line", "quote.csv", stray_quote)
    yield Case("long line", "list.json", bomb(60 << 20, as_it_is, b"[" + b'"' + b"x" * (1 << 20)))
    yield Case("long line", "deep.json", bomb(60 << 20, as_it_is, b"[" * (1 << 20)))
    nested = b'{"a": [' + b"[]," * 1_000_000 + b"[]]}\n"
    yield Case("long line", "nested.jsonl", bomb(10 << 20, as_it_is, nested))
    yield Case("long line", "wide.jsonl", bomb(20 << 20, as_it_is, wide_object()))
    outside = ["../outside.csv", "/etc/passwd", "a/../../outside.csv", "..", "nul\0.csv", "x" * 5000 + ".csv"]
    for name in outside:
        yield Case("path", name, lambda path: None)
    for target in ("/etc/passwd", "../outside.csv", "/dev/zero", "loop.csv", "/proc/self/mem"):
        yield Case("path", "loop.csv", links(target))
    yield Case("path", "folder", folder_with_link)
    yield Case("path", "pipe.csv", os.mkfifo)
    yield Case("path", "folder.csv", Path.mkdir)
    yield Case("path", "closed.csv", lambda path: (path.write_text("text\nx\n"), path.chmod(0))[1])
    for name in ("../x.arrow", "/etc/passwd", "", None, 7, "missing.arrow", "a\0b"):
        yield Case("path", "set", evil_dataset(name))
