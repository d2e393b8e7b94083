"""Names of types, and cells cast to them; a row with a cell that does not fit is unread, its column named."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from bapsim.core.errors import InputError
from bapsim.core.records import Unread
from bapsim.gather.chunk import Chunk
from bapsim.gather.unpack import shown

pc: Any = pyarrow.compute  # its stubs lack most overloads
_alias: Any = pa.type_for_alias

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
LISTS: dict[str, Any] = {
    "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
    "list<float64>": pa.list_(pa.float64()),
    "messages": MESSAGES,
}
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 6}  # of a fraction of a second; Python knows no more than six
NATIVE = "native"  # whatever the file itself says
KNOWN = ("string", "int64", "float64", "bool", "json", *LISTS, NATIVE)


def arrow_type(name: str) -> Any:
    """The Arrow type of a name: one of KNOWN, or an alias such as timestamp[us]; None for native."""
    if name in LISTS:
        return LISTS[name]
    if name in ("json", NATIVE):
        return pa.string() if name == "json" else None
    if (zoned := re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.+)\]", name)) is not None:
        return pa.timestamp(zoned[1], zoned[2])
    try:
        return _alias(name)
    except (ValueError, TypeError) as why:
        raise InputError("unknown_type", name=shown(name), known=" ".join(KNOWN)) from why


def name_of(kind: Any) -> str:
    """The name under which an Arrow type stands in a recipe."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "string"
    if pa.types.is_float64(kind):
        return "float64"
    known = next((name for name, listed in LISTS.items() if listed == kind), None)
    if known is not None:
        return known
    try:
        return str(kind) if arrow_type(str(kind)) == kind else NATIVE
    except InputError:
        return NATIVE


def common(one: Any, other: Any) -> Any:
    """The Arrow type that holds the values of both as they are, such as float64 for int64 and float64; None
    where there is none.
    """
    schemas = [pa.schema([("", one)]), pa.schema([("", other)])]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return None


def agreed(found: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The types of the columns of `found`, so that they go with the records that there are.

    known: the types in which those have some of the columns. A cell that does not fit is unread, where else
    it would decide what the column is.
    """
    types = dict(found)
    for name in found.keys() & known.keys():
        kinds = arrow_type(found[name]), arrow_type(known[name])
        if None not in kinds and found[name] != known[name]:
            both = common(*kinds)
            types[name] = known[name] if both is None else name_of(both)
    return types


def without(column: Any, nulls: Sequence[str]) -> Any:
    """A column of text in which some texts mean that there is no value."""
    if not nulls:
        return column
    return pc.if_else(
        pc.is_in(column, pa.array(list(nulls), pa.string())), pa.scalar(None, pa.string()), column
    )


def written(column: Any) -> Any:
    """Any column as text; nested values as JSON, bytes in hexadecimal digits."""
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_nested(column.type):
        said = [
            None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in column.to_pylist()
        ]
        return pa.array(said, pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())
    return column.cast(pa.string())


# ---------------------------------------------------------------- one cell


def _int(said: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", said):
        raise ValueError(said)
    number = int(said)
    if not -(2**63) <= number < 2**63:
        raise ValueError(said)
    return number


def _float(said: str) -> float | None:
    """NaN is how programs write that there is no number."""
    if not re.fullmatch(r"(?i:nan)|[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", said):
        raise ValueError(said)
    number = float(said)
    if math.isinf(number):
        raise ValueError(said)
    return None if math.isnan(number) else number


def _bool(said: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[said.lower()]


def _json(said: str) -> str:
    json.loads(said)
    return said


def _list(name: str) -> Callable[[str], Any]:
    def parse(said: str) -> Any:
        value = json.loads(said)
        if not fits_list(value, name):
            raise ValueError(name)
        return value

    return parse


def _none_or(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or test(value)


_FITS: dict[str, Callable[[Any], bool]] = {
    "list<string>": lambda v: isinstance(v, str),
    "list<int64>": lambda v: type(v) is int and -(2**63) <= v < 2**63,
    "list<float64>": lambda v: type(v) is float or (type(v) is int and abs(v) < 2**53),
    "messages": lambda v: (
        isinstance(v, dict)
        and v.keys() == {"role", "content"}
        and all(isinstance(x, str) for x in v.values())
    ),
}


def fits_list(value: Any, name: str) -> bool:
    """Whether a JSON value is a list of that type."""
    return isinstance(value, list) and all(map(_FITS[name], value))


def parsed(values: Any) -> Iterator[Any]:
    """JSON values of texts; None where there is none."""
    for said in values.to_pylist():
        try:
            yield json.loads(said)
        except (ValueError, RecursionError):
            yield None


PARSE: dict[str, Callable[[str], Any]] = {
    "int64": _int,
    "float64": _float,
    "bool": _bool,
    "json": _json,
    **{name: _list(name) for name in LISTS},
}

# ---------------------------------------------------------------- columns


def cast(column: Any, name: str) -> tuple[Any, np.ndarray]:
    """A column in the type of that name, and bool[n]: which cells do not fit (they become null)."""
    kind = arrow_type(name)
    if kind is None or (column.type == kind and name != "json"):
        return column, np.zeros(len(column), bool)
    if kind == pa.string() and name != "json":
        return written(column), np.zeros(len(column), bool)
    quick = _quick(column, name, kind)
    return (quick, np.zeros(len(column), bool)) if quick is not None else _slow(written(column), name, kind)


def _quick(column: Any, name: str, kind: Any) -> Any:
    """The cast of a whole column, None when a cell does not fit or may not."""
    if name in PARSE and name not in ("int64", "float64"):
        return None
    text = pa.types.is_string(column.type)
    if (
        text
        and pa.types.is_integer(kind)
        and pc.any(pc.match_substring_regex(column, "[xX]|[0-9]{20}")).as_py()
    ):
        return None  # Arrow reads 0x10 and any number of zeros: a cell must not depend on its neighbours
    try:
        made = column.cast(kind)
    except (pa.ArrowException, ValueError):
        return None
    sound = not pa.types.is_floating(kind) or bool(pc.all(pc.is_finite(made)).as_py() is not False)
    return made if sound else None


def _time(said: str, digits: int) -> time:
    """A time of day without a zone, its fraction no finer than its column holds."""
    fraction = rf"(\.[0-9]{{1,{digits}}})?" if digits else ""
    if not re.fullmatch(rf"[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}{fraction})?", said, re.A):
        raise ValueError(said)
    return time.fromisoformat(said)


def _caster(kind: Any) -> Callable[[str], Any]:
    one: Any = pa.array
    if pa.types.is_time(kind):  # which Arrow casts to text, and not back
        return lambda said: _time(said, DIGITS[kind.unit])
    if pa.types.is_duration(kind):
        return _int
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):  # narrower ones
        wide = _int if pa.types.is_integer(kind) else _float
        return lambda said: one([wide(said)]).cast(kind)[0].as_py()
    return lambda said: one([said]).cast(kind)[0].as_py()


def _slow(text: Any, name: str, kind: Any) -> tuple[Any, np.ndarray]:
    parse = PARSE.get(name) or _caster(kind)
    made: list[Any] = []
    bad = np.zeros(len(text), bool)
    for i, said in enumerate(text.to_pylist()):
        try:
            made.append(None if said is None else parse(said.strip()))
        except (ValueError, KeyError, RecursionError, pa.ArrowException):
            made.append(None)
            bad[i] = True
    return pa.array(made, kind), bad


def typed(chunk: Chunk, types: Mapping[str, str], nulls: Sequence[str] = ()) -> Chunk:
    """The chunk with exactly the columns of `types`, in their types; a missing column is null in every row.

    A row with a cell that does not fit becomes unread (reason `type`), its column named.
    """
    names, columns = chunk.rows.schema.names, []
    bad = np.full(len(chunk.rows), -1)
    for i, (name, kind) in enumerate(types.items()):
        if name not in names:
            columns.append(pa.nulls(len(chunk.rows), arrow_type(kind) or pa.string()))
            continue
        column = chunk.rows.column(name)
        column, misfit = cast(without(column, nulls) if pa.types.is_string(column.type) else column, kind)
        bad[misfit & (bad < 0)] = i
        columns.append(column)
    rows = pa.RecordBatch.from_arrays(columns, names=list(types))
    if (bad < 0).all():
        return replace(chunk, rows=rows)
    spelled = list(types.items())
    lost = [
        Unread(
            file=chunk.file,
            line=int(chunk.lines[i]),
            reason="type",
            detail=f"{shown(spelled[bad[i]][0])}: not {spelled[bad[i]][1]}",
        )
        for i in np.flatnonzero(bad >= 0)
    ]
    unread = tuple(sorted([*chunk.unread, *lost], key=lambda one: one.line))
    return replace(chunk, rows=rows.filter(pa.array(bad < 0)), lines=chunk.lines[bad < 0], unread=unread)
