"""Records and verdicts on disk: immutable zstd Parquet shards, one folder per row schema.

A shard's verdicts lie beside it, aligned row by row. A path ends in its generation: a rewrite (an erasure)
is a new generation and an event in the ledger, never an edit.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, concat, id_bytes, positions, take, valid
from bapsim.core.errors import Damaged
from bapsim.core.records import CERTIFICATE, Records, Verdicts
from bapsim.store import fault

_GENERATION = re.compile(r"\.g[0-9]+\.parquet$")
SHARD_ROWS = 65_536
SHARD_BYTES = 256 << 20  # of a shard in memory: pictures fill it before there are so many rows


def sha256(body: bytes) -> str:
    """sha256 of one byte string, in hex digits."""
    return hashlib.sha256(body).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet(batch: pa.RecordBatch) -> bytes:
    """One batch as Parquet: keys and ids without dictionaries (they hardly repeat), the rest with."""
    import pyarrow.parquet as pq

    table = pa.Table.from_batches([batch])
    sink = io.BytesIO()
    encoding: Any = {"_key": "DELTA_BYTE_ARRAY"} if "_key" in batch.schema.names else None
    repeating: Any = [name for name in batch.schema.names if name not in {"_id", "_key"}]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=repeating,
        column_encoding=encoding,
        write_statistics=False,
    )
    return sink.getvalue()


def read_batch(path: Path, columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """A Parquet file as one batch; raises Damaged when it cannot be read."""
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            wanted = list(columns) if columns is not None else None
            # no threads: a short verb that ends while they start is aborted by the C++ runtime
            table = pq.ParquetFile(file, pre_buffer=False).read(columns=wanted, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise Damaged("unreadable_shard", path=path.name, why=str(error)) from error
    batches = table.combine_chunks().to_batches()  # several where a column is larger than 2 GiB
    return batches[0] if len(batches) == 1 else concat(batches, table.schema)


def with_columns(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The batch with these columns too; those that it does not have are null."""
    for name in columns:
        if name not in batch.schema.names:
            batch = batch.append_column(name, pa.nulls(len(batch), pa.string()))
    return batch


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One Parquet file of records: where it is and how many rows it has."""

    path: str  # relative to the wheel, records/TABLE/NAME.g0.parquet
    rows: int
    sha256: str

    @property
    def key(self) -> str:
        """What the ledger calls it: the path of its first generation."""
        return of_generation(self.path, 0)


def of_generation(path: str, number: int) -> str:
    """Where a generation of a shard lies; each erasure in it is a new one, and the old one goes."""
    return _GENERATION.sub(f".g{number}.parquet", path)


def erased(records: pa.RecordBatch, rows: np.ndarray) -> Records:
    """Records without what these rows (bool[n]) said: all columns of the user and the key are null.

    What stays tells nothing of a person: the id (a keyed digest), the origin, depths, and the parents' ids.
    """
    keep: Any = pa.array(np.arange(len(records)), mask=rows)
    columns = [
        _taken(records.column(name), keep) if _says(name) else records.column(name)
        for name in records.schema.names
    ]
    return Records(pa.RecordBatch.from_arrays(columns, schema=records.schema))


def only_rows(batch: pa.RecordBatch, keep: np.ndarray) -> pa.RecordBatch:
    """The rows where a mask is true, and nothing of the others: a dictionary keeps values that no row has."""
    at = pa.array(np.flatnonzero(keep))
    return pa.RecordBatch.from_arrays([_taken(column, at) for column in batch.columns], schema=batch.schema)


def _taken(column: Any, at: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode().take(at).dictionary_encode().cast(column.type)
    return column.take(at)


def _says(name: str) -> bool:
    return name == "_key" or name not in CERTIFICATE.names


def is_erased(records: pa.RecordBatch) -> np.ndarray:
    """bool[n]: rows that were erased; every other record has a key."""
    return ~valid(records.column("_key"))


def regroup(batches: Iterable[Records], rows: int = SHARD_ROWS, size: int = SHARD_BYTES) -> Iterator[Records]:
    """The same rows in order, in batches of `rows`, or of fewer that reach `size` bytes (the last one
    smaller).
    """
    waiting: list[pa.RecordBatch] = []
    count = heavy = 0
    for batch in batches:
        waiting.append(batch)
        count, heavy = count + len(batch), heavy + batch.nbytes
        while count >= rows:
            whole = concat(waiting)
            yield Records(whole.slice(0, rows))
            waiting, count = [whole.slice(rows)], count - rows
            heavy = waiting[0].nbytes
        if heavy >= size:
            yield Records(concat([b for b in waiting if len(b)]))
            waiting, count, heavy = [], 0, 0
    if count:
        yield Records(concat([b for b in waiting if len(b)]))


def write_shard(root: Path, path: str, records: Records) -> Shard:
    """Write one shard whole; the ledger's row comes after."""
    body = parquet(records)
    fault.write(root / path, body)
    return Shard(path=path, rows=len(records), sha256=sha256(body))


def verdict_path(shard: str, turn: int) -> str:
    """Where the verdicts of one turn about one shard lie."""
    place = Path(shard)
    return str(
        Path("verdicts", place.parent.name, f"{place.name.removesuffix('.parquet')}.t{turn:03d}.parquet")
    )


def write_verdicts(root: Path, path: str, named: Mapping[str, Verdicts]) -> str:
    """One file per shard and turn with the columns NAME.keep, .reason, .value, .limit; returns its sha256.

    A column that says nothing about any row is left out: most checks abstain on most values.
    """
    names, columns = [], []
    for name, said in named.items():
        for part in said.schema.names:
            column = said.column(part)
            if part == "keep" or column.null_count < len(column):
                names.append(f"{name}.{part}")
                columns.append(column)
    body = parquet(pa.RecordBatch.from_arrays(columns, names=names))
    fault.write(root / path, body)
    return sha256(body)


def read_verdicts(root: Path, path: str) -> dict[str, pa.RecordBatch]:
    """The verdicts of one file by check; absent columns are nulls."""
    from bapsim.core.records import VERDICT

    batch = read_batch(root / path)
    names = [n.removesuffix(".keep") for n in batch.schema.names if n.endswith(".keep")]
    found = {}
    for name in names:
        columns = [
            batch.column(f"{name}.{f.name}").cast(f.type)
            if f"{name}.{f.name}" in batch.schema.names
            else pa.nulls(len(batch), f.type)
            for f in VERDICT
        ]
        found[name] = pa.RecordBatch.from_arrays(columns, schema=VERDICT)
    return found


def by_folder(shards: Sequence[Shard]) -> dict[str, list[int]]:
    """Which shards (by position) lie in each folder: those of one folder have one schema."""
    found: dict[str, list[int]] = {}
    for i, shard in enumerate(shards):
        found.setdefault(Path(shard.path).parent.name, []).append(i)
    return found


@dataclass(frozen=True, kw_only=True)
class View:
    """A Dataset over shards: hidden rows are absent, refused rows are there and marked in `kept`.

    hidden, refused: bool[n] for each shard, None = no row.
    """

    name: str
    root: Path
    shards: tuple[Shard, ...]
    hidden: tuple[np.ndarray | None, ...] = field(default=())
    refused: tuple[np.ndarray | None, ...] = field(default=())

    def _shown(self, i: int) -> np.ndarray | None:
        hidden = self.hidden[i] if self.hidden else None
        return None if hidden is None else ~hidden

    def __len__(self) -> int:
        shown = [self._shown(i) for i in range(len(self.shards))]
        return sum(s.rows if m is None else int(m.sum()) for s, m in zip(self.shards, shown, strict=True))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        for i, shard in enumerate(self.shards):
            batch, shown = self._read(shard, columns), self._shown(i)
            yield Records(batch if shown is None else take(batch, shown))

    def _read(self, shard: Shard, columns: Sequence[str] | None) -> pa.RecordBatch:
        """A shard's columns; one that its folder does not have is null."""
        if columns is None:
            return read_batch(self.root / shard.path)
        import pyarrow.parquet as pq

        have = set(pq.read_schema(self.root / shard.path).names)
        there = [name for name in columns if name in have]
        batch = read_batch(self.root / shard.path, [*there, *CERTIFICATE.names])
        return with_columns(batch, columns).select([*columns, *CERTIFICATE.names])

    def kept(self) -> Iterator[np.ndarray]:
        for i, shard in enumerate(self.shards):
            refused = self.refused[i] if self.refused else None
            keep = np.ones(shard.rows, bool) if refused is None else ~refused
            shown = self._shown(i)
            yield keep if shown is None else keep[shown]

    def find(self, ids: Column) -> Records:
        found = []
        wanted = id_bytes(ids)
        for i, shard in enumerate(self.shards):
            have = id_bytes(read_batch(self.root / shard.path, ["_id"]).column("_id"))
            hit = np.isin(have, wanted)
            shown = self._shown(i)
            if shown is not None:
                hit &= shown
            if hit.any():
                found.append(take(read_batch(self.root / shard.path), hit))
        whole = concat(found, self._schema())
        place = positions(ids, whole.column("_id"))
        return Records(take(whole, place[place >= 0]))

    def _schema(self) -> pa.Schema:
        import pyarrow.parquet as pq

        return pq.read_schema(self.root / self.shards[0].path) if self.shards else CERTIFICATE
