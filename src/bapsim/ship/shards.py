"""One split as files: Parquet or JSON lines, written as rows come, so that memory does not grow with them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from bapsim.core.arrow import concat
from bapsim.ship.features import PICTURE
from bapsim.store import fault
from bapsim.store.lake import file_sha256

Form = Literal["parquet", "jsonl"]
GROUP_ROWS, GROUP_BYTES = 65_536, 32 << 20  # of one row group, and of what waits in memory
PAGE = 16  # pictures at a time: pages of a file are cut between them
FILE_BYTES = 256 << 20  # of rows before packing: files that can be moved, and read one by one


@dataclass(frozen=True, kw_only=True)
class Written:
    """One file of a split: its path in the export, rows, bytes, sha256."""

    path: str
    rows: int
    size: int
    sha256: str


@dataclass(kw_only=True)
class SplitWriter:
    """Writes batches of one schema to DATA/SPLIT-00000.FORM, -00001 and so on; `close` returns the files.

    lost: values that JSON has no name for (nan, infinite) and that became null.
    """

    root: Path
    stem: str  # data/train
    form: Form
    schema: pa.Schema
    lost: int = 0
    _waiting: list[pa.RecordBatch] = field(default_factory=list)
    _done: list[Written] = field(default_factory=list)
    _sink: Any = None
    _size: int = 0
    _rows: int = 0

    def put(self, batch: pa.RecordBatch) -> None:
        """Take some rows; they are written once a row group is full."""
        self._waiting.append(batch)
        rows, size = sum(map(len, self._waiting)), sum(one.nbytes for one in self._waiting)
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            self._flush()

    def close(self) -> tuple[Written, ...]:
        """Write what waits, and end the last file."""
        self._flush()
        self._end()
        return tuple(self._done)

    def _flush(self) -> None:
        if not sum(map(len, self._waiting)):
            return
        whole, self._waiting = concat(self._waiting), []
        place = self.root / self._path
        place.parent.mkdir(parents=True, exist_ok=True)
        if self.form == "parquet":
            self._parquet(place).write_batch(whole, row_group_size=len(whole))
        else:
            with place.open("ab") as sink:
                for row in _timeless(whole).to_pylist():
                    sink.write(json.dumps(self._said(row), ensure_ascii=False).encode() + b"\n")
        self._size, self._rows = self._size + whole.nbytes, self._rows + len(whole)
        if self._size >= FILE_BYTES:
            self._end()

    @property
    def _path(self) -> str:
        return f"{self.stem}-{len(self._done):05d}.{self.form}"

    def _parquet(self, place: Path) -> Any:
        import pyarrow.parquet as pq

        if self._sink is None:
            heavy = [one.name for one in self.schema if one.type == PICTURE or pa.types.is_binary(one.type)]
            options: Any = {} if not heavy else {"use_dictionary": False, "write_batch_size": PAGE}
            self._sink = pq.ParquetWriter(place, self.schema, compression="zstd", **options)
        return self._sink

    def _end(self) -> None:
        if not self._rows:
            return
        if self._sink is not None:
            self._sink.close()
        place = self.root / self._path
        fault.sync(place)
        one = Written(path=self._path, rows=self._rows, size=place.stat().st_size, sha256=file_sha256(place))
        self._done.append(one)
        self._sink, self._size, self._rows = None, 0, 0

    def _said(self, value: Any) -> Any:
        """A value as JSON has it: decimals as text, a number that is none as null."""
        if isinstance(value, dict):
            return {name: self._said(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._said(one) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            self.lost += 1
            return None
        if value is None or isinstance(value, str | int | float):
            return value
        return str(value)


def _timeless(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as text: Python's have no nanoseconds."""
    for i, kind in enumerate(batch.schema.types):
        if pa.types.is_temporal(kind):
            text = pa.field(batch.schema.names[i], pa.string())
            batch = batch.set_column(i, text, batch.column(i).cast(pa.string()))
    return batch
