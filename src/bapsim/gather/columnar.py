"""Parquet files and Hugging Face `datasets` folders: columns that keep the types they were written with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import BYTES, ROWS, Chunk, too_long
from bapsim.gather.unpack import EXPANSION, FLOOR, RECORD, head, shown

FAULTS = (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError)
INFO, STATE, SPLITS = "dataset_info.json", "state.json", "dataset_dict.json"


def is_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote this folder with save_to_disk."""
    try:
        return folder.is_dir() and any((folder / name).is_file() for name in (INFO, STATE, SPLITS))
    except (OSError, ValueError):
        return False  # names that no file can have; opening it says why


def parquet(path: Path, file: str) -> Iterator[Chunk]:
    """Row groups in order; what stands before damage is kept."""
    import pyarrow.parquet as pq

    head(path)
    try:
        texts = [f.name for f in pq.read_schema(path) if is_text(f.type)]
        opened = pq.ParquetFile(path, read_dictionary=texts)
    except FAULTS as why:
        raise InputError("not_parquet", file=file, why=_first_line(why)) from why
    limit = max(FLOOR, EXPANSION * path.stat().st_size)
    _check_size(opened.metadata.num_rows, limit, file)
    with opened:
        yield from _kept(opened.iter_batches(batch_size=ROWS), file, limit, opened.metadata.num_rows)


def _check_size(size: int, limit: int, file: str) -> None:
    if size > limit:
        raise InputError("expands", path=file, limit=f"{limit:,}", times=EXPANSION)


def is_text(kind: Any) -> bool:
    """Whether values of an Arrow type are text or bytes of any length."""
    fits = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in fits)


def dataset(folder: Path, file: str) -> Iterator[Chunk]:
    """All shards of a `datasets` folder, split after split; the splits that there are come in their order."""
    if (folder / SPLITS).is_file():
        splits = _json(folder / SPLITS).get("splits")
        if not isinstance(splits, list) or not splits:
            raise InputError("not_a_dataset", file=shown(folder.name), why=SPLITS)
        for split in splits:
            yield from dataset(_inside(folder, split), f"{file}/{shown(split)}")
        return
    for shard in shards(folder):
        yield from _stream(shard, f"{file}/{shown(shard.name)}")


def shards(folder: Path) -> list[Path]:
    """The Arrow files of one split, in the order that its state names."""
    said = _json(folder / STATE).get("_data_files") if (folder / STATE).is_file() else None
    if said is None:
        return sorted(folder.glob("*.arrow"))
    if not isinstance(said, list):
        raise InputError("not_a_dataset", file=shown(folder.name), why=STATE)
    return [_inside(folder, part.get("filename") if isinstance(part, dict) else part) for part in said]


def _inside(folder: Path, name: object) -> Path:
    """A part of a folder by its name; a name that leads elsewhere is refused."""
    inner = folder / str(name)
    if not isinstance(name, str) or "\0" in name or inner.resolve().parent != folder.resolve():
        raise InputError("outside", path=shown(name), folder=shown(folder.name))
    return inner


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes()[:RECORD])
    except (OSError, ValueError, RecursionError) as why:
        raise InputError("not_a_dataset", file=shown(path.name), why=_first_line(why)) from why
    if not isinstance(said, dict):
        raise InputError("not_a_dataset", file=shown(path.name), why="{}")
    return said


def _stream(shard: Path, file: str) -> Iterator[Chunk]:
    head(shard)
    try:
        opened = pa.ipc.open_stream(pa.OSFile(str(shard), "rb"))
    except FAULTS as why:
        raise InputError("not_a_dataset", file=file, why=_first_line(why)) from why
    yield from _kept(iter(opened), file, max(FLOOR, EXPANSION * shard.stat().st_size))


def _kept(
    batches: Iterator[pa.RecordBatch], file: str, limit: int, total: int | None = None
) -> Iterator[Chunk]:
    """Chunks of at most ROWS rows; damage ends the file, and the rows behind it are one unread.

    Raises InputError when text grows past `limit` bytes.
    """
    done, grown = 0, 0
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            for part, sizes in _parts(batch):
                grown += int(sizes.sum())
                _check_size(grown, limit, file)
                yield _chunk(part, sizes <= RECORD, done, file)
                done += len(part)
        except FAULTS as why:
            rest = "the rest" if total is None else f"{total - done} rows"
            lost = Unread(file=file, line=done + 1, reason="damaged", detail=f"{rest}: {_first_line(why)}")
            yield Chunk(pa.RecordBatch.from_arrays([], names=[]), np.empty(0, np.int64), (lost,), file)
            return


def _parts(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Slices of at most ROWS rows and about BYTES of text, and int64[n]: how much text each row has.

    A dictionary of one long text can stand for any number of rows: it is decoded only within these limits.
    """
    sizes = sum((_sizes(column) for column in batch.columns), np.zeros(len(batch), np.int64))
    grown, start = np.cumsum(np.where(sizes <= RECORD, sizes, 0)), 0
    while start < len(batch):
        before = grown[start - 1] if start else 0
        end = int(min(start + ROWS, np.searchsorted(grown, before + BYTES) + 1))
        yield batch.slice(start, end - start), sizes[start:end]
        start = end


def _sizes(column: Any) -> np.ndarray:
    """int64[n]: bytes of text in each row of a column, 0 for other types."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    if pa.types.is_dictionary(column.type) and is_text(column.type.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    elif is_text(column.type):
        lengths = pc.binary_length(column)
    else:
        return np.zeros(len(column), np.int64)
    return np.asarray(pc.fill_null(lengths.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))


def _chunk(part: pa.RecordBatch, fits: np.ndarray, before: int, file: str) -> Chunk:
    kept = part if fits.all() else part.filter(pa.array(fits))
    rows = pa.RecordBatch.from_arrays([_plain(column) for column in kept.columns], names=part.schema.names)
    places = before + 1 + np.arange(len(part), dtype=np.int64)
    unread = tuple(too_long().at(file, int(line)) for line in places[~fits])
    return Chunk(rows, places[fits], unread, file)


def _plain(column: Any) -> Any:
    """A column without its encoding: dictionaries, views and extension types are not part of the values."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column


def _first_line(why: BaseException) -> str:
    return shown((str(why).splitlines() or [type(why).__name__])[0])[:120]
