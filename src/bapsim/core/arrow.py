"""Arrow compute behind typed functions: the only place of `pyarrow.compute` calls for the typed core."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute

from bapsim.core.errors import InputError

if TYPE_CHECKING:
    Column = pa.Array[Any]
else:
    Column = pa.Array

pc: Any = pyarrow.compute  # the stubs lack most overloads
arrow: Any = pa

ID = pa.binary(16)
_BIG = pa.large_binary()
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_ODD = (pa.types.is_union, pa.types.is_interval, pa.types.is_run_end_encoded)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def _number(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if abs(value) < 2**53 and value == int(value):
        return str(int(value))
    return value.hex()


def _decimal(value: Decimal) -> str:
    """Without the zeros that its scale adds; `normalize` would round at 28 digits."""
    said = f"{value:f}"
    return said.rstrip("0").rstrip(".") if "." in said else said


def _written(column: Column, write: Callable[[Any], str]) -> Column:
    return pa.array([None if v is None else write(v) for v in column.to_pylist()], pa.large_string())


def _instants(column: Column) -> Column:
    """Seconds and nanoseconds: the unit of a time is not part of its value."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_time32(column.type):
        column = column.cast(pa.time64("us"))
    per = _SECONDS[column.type.unit]
    return _written(column.cast(pa.int64()), lambda v: f"{v // per}.{v % per * (10**9 // per):09d}")


def _tree(column: Any) -> list[Any]:
    """Nested values as lists and mappings of canonical texts; a null member of a struct is absent."""
    kind = column.type
    if pa.types.is_map(kind):
        pair = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return _tree(column.cast(pa.list_(pair)))
    whole: list[Any]
    if pa.types.is_struct(kind):
        parts = {f.name: _tree(part) for f, part in zip(kind, column.flatten(), strict=True)}
        whole = [{n: part[i] for n, part in parts.items() if part[i] is not None} for i in range(len(column))]
    elif pa.types.is_nested(kind):
        inner = iter(_tree(column.flatten()))
        whole = [list(islice(inner, size or 0)) for size in column.value_lengths().to_pylist()]
    else:
        return [
            None if v is None else v.decode("utf-8", "surrogateescape") for v in _cell(column).to_pylist()
        ]
    return [v if there else None for v, there in zip(whole, valid(column), strict=True)]


def _cell(column: Any) -> Column:
    """One column as canonical bytes, nulls kept."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cell(column.dictionary_decode())
    if any(is_odd(kind) for is_odd in _ODD):
        raise InputError("no_canonical_form", kind=str(kind))
    if pa.types.is_nested(kind):
        said = [None if v is None else json.dumps(v, sort_keys=True) for v in _tree(column)]
        column = pa.array(said, pa.large_string())
    elif pa.types.is_floating(kind):
        column = _written(column.cast(pa.float64()), _number)
    elif pa.types.is_temporal(kind):
        column = _instants(column)
    elif pa.types.is_decimal(kind):
        column = _written(column, _decimal)
    elif pa.types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
    elif not any(is_bytes(kind) for is_bytes in _BYTES):
        column = column.cast(pa.large_string())
    return cast("Column", column.cast(_BIG))


def cells(rows: pa.RecordBatch) -> tuple[np.ndarray, memoryview]:
    """One canonical byte string per row, whatever the physical types: name, length, value; nulls are absent.

    Returns int64[n + 1] offsets into one buffer. Equal for an added all-null column, another float or
    integer width, timestamp unit, dictionary or large encoding, and another order of columns.
    """
    if len(rows) == 1 and all(pa.types.is_string(kind) for kind in rows.schema.types):
        return _one_row(rows)
    parts: list[Any] = []
    for name in sorted(rows.schema.names):
        column = _cell(rows.column(name))
        size = pc.binary_length(column).cast(pa.large_string()).cast(_BIG)
        said = name.encode()
        tag = pa.scalar(b"%d:%s" % (len(said), said), _BIG)
        whole = pc.binary_join_element_wise(tag, size, column, pa.scalar(b"\x1f", _BIG))
        parts.append(pc.fill_null(whole, pa.scalar(b"", _BIG)))
    if not parts:
        return np.zeros(len(rows) + 1, np.int64), memoryview(b"")
    joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", _BIG))  # a null leaves no trace at all
    buffers = joined.buffers()
    offsets = np.frombuffer(buffers[1], np.int64, len(joined) + 1, joined.offset * 8)
    return offsets, memoryview(buffers[2] or b"")[: offsets[-1]]  # a buffer is longer than what it holds


def _one_row(rows: pa.RecordBatch) -> tuple[np.ndarray, memoryview]:
    """The same of one row of texts, without Arrow's calls: a dialogue names its questions again and again."""
    whole = b""
    for name in sorted(rows.schema.names):
        said = rows.column(name)[0].as_py()
        if said is not None:
            tag, body = name.encode(), said.encode()
            whole += b"%d:%s\x1f%d\x1f%s" % (len(tag), tag, len(body), body)
    return np.array([0, len(whole)], np.int64), memoryview(whole)


def strings(column: Column) -> list[str | None]:
    """A column as Python strings, other types written out, nulls as None."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.string())
    return cast("list[str | None]", column.to_pylist())


def tokens(column: Column) -> list[str | None]:
    """A column as text that tells its values apart: bytes as a digest, other types written out."""
    if not any(is_bytes(column.type) for is_bytes in _BYTES):
        return strings(column)
    bodies = cast("list[bytes | None]", column.to_pylist())
    return [None if b is None else hashlib.blake2b(b, digest_size=16).hexdigest() for b in bodies]


def numbers(column: Column, missing: float = np.nan) -> np.ndarray:
    """A numeric column as float64[n], nulls as `missing`."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), missing).to_numpy(zero_copy_only=False))


def booleans(column: Column, missing: bool) -> np.ndarray:
    """A boolean column as bool[n], nulls as `missing`."""
    return np.asarray(pc.fill_null(column, missing).to_numpy(zero_copy_only=False), bool)


def valid(column: Column) -> np.ndarray:
    """bool[n]: true where the column has a value."""
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)


def positions(wanted: Column, among: Column) -> np.ndarray:
    """int64[n]: where each wanted value stands in `among`, -1 where it does not."""
    return numbers(pc.index_in(wanted, value_set=among), -1).astype(np.int64)


def take(batch: pa.RecordBatch, rows: np.ndarray | Sequence[int]) -> pa.RecordBatch:
    """The rows at these positions, or where a mask is true, in order."""
    picked = np.asarray(rows)
    if picked.dtype == bool:
        return batch.filter(pa.array(picked))
    return batch.take(pa.array(picked, pa.int64()))


def concat(batches: Sequence[pa.RecordBatch], schema: pa.Schema | None = None) -> pa.RecordBatch:
    """One batch of several with one schema; none at all needs the schema."""
    if not batches:
        if schema is None:
            raise ValueError("no batches and no schema")
        return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    joined: pa.RecordBatch = arrow.concat_batches(batches)
    return joined


def ids_array(digests: bytes | bytearray, count: int) -> Column:
    """binary(16)[count] over one buffer of digests."""
    return pa.FixedSizeBinaryArray.from_buffers(ID, count, [None, pa.py_buffer(bytes(digests))])


def id_bytes(column: Column) -> np.ndarray:
    """An id column as void16[n]: comparable, sortable, usable with numpy's set functions."""
    buffer = column.buffers()[1]
    if buffer is None or len(column) == 0:
        return np.empty(0, "V16")
    return np.frombuffer(memoryview(buffer), "V16", len(column), column.offset * 16)


def schema(**columns: Any) -> pa.Schema:
    """A schema from names and types, in order."""
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])
