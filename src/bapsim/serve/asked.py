"""What a request asks: JSON of one row or many, checked against the task's columns, as columns of values.

What is wrong is said with its place. Columns that the model does not read are ignored and never logged.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from bapsim.core.records import Rows, Task
from bapsim.gather.types import arrow_type, cast
from bapsim.serve.refused import Limits, bad, kind_of

_HALF = re.compile("[\ud800-\udfff]")  # of a character
PIECE = 10_000  # characters that are written out at a time
TEXT = ("string", "large_string")
Columns = dict[str, list[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Rows of one request as columns of plain values; many: they came as a list; key: whose request it is,
    for what has to stay the same for one client.
    """

    columns: Columns
    count: int
    many: bool
    key: str | None = None


# --- JSON -----------------------------------------------------------------------------------------


def _no_number(said: str) -> NoReturn:
    raise bad("not_a_number", said=said)


def json_of(body: bytes) -> Any:
    """The JSON value of a body: UTF-8, no NaN, not too deep. Raises Refused."""
    try:
        said = body.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise bad("not_utf8", byte=why.start, guess=_encoding(body)) from why
    try:
        return json.loads(said, parse_constant=_no_number)
    except json.JSONDecodeError as why:
        where = f"line {why.lineno}, column {why.colno}"
        raise bad("not_json", where, why=why.msg) from why
    except RecursionError as why:
        raise bad("too_deep") from why
    except ValueError as why:  # an integer of more than 4,300 digits
        raise bad("not_a_number", said="…") from why


def _encoding(body: bytes) -> str:
    try:
        body.decode("cp949")
    except UnicodeDecodeError:
        return "-"
    return "cp949"


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a body."""
    said = json_of(body)
    if not isinstance(said, dict):
        raise bad("not_an_object", found=kind_of(said))
    return said


# --- rows -----------------------------------------------------------------------------------------


def rows_asked(said: Mapping[str, Any], task: Task, types: Mapping[str, str], limits: Limits) -> Asked:
    """The rows of a request that was read; raises Refused with the place of the first that cannot be used."""
    rows: Sequence[Any] = [said]
    many = "rows" in said and isinstance(said["rows"], list | dict)
    if many:
        rows = said["rows"]
        if not isinstance(rows, list) or not rows:
            raise bad("no_rows", "rows", found="empty" if isinstance(rows, list) else kind_of(rows))
        if len(rows) > limits.rows:
            raise bad("too_many_rows", "rows", rows=f"{len(rows):,}", most=f"{limits.rows:,}")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise bad("row_kind", f"rows[{i}]", found=kind_of(row), columns=", ".join(task.inputs))
    columns = _sound(rows, task, types, limits) or _checked(rows, task, types, limits, many=many)
    _fit_written_out(columns, limits.body)
    return Asked(columns=columns, count=len(rows), many=many, key=key_in(said, task))


def _fit_written_out(columns: Columns, most: int) -> None:
    """Raises Refused for texts of signs that stand for many letters (U+FDFA is a sentence of 18): a model
    reads them written out, for which the size of a body is no bound.
    """
    left = most
    for values in columns.values():
        for said in values:
            if not isinstance(said, str) or said.isascii() or unicodedata.is_normalized("NFKC", said):
                continue
            for at in range(0, len(said), PIECE):
                left -= len(unicodedata.normalize("NFKC", said[at : at + PIECE]))
                if left < 0:
                    raise bad("text_written_out", most=f"{most:,}")


def _sound(rows: Sequence[Any], task: Task, types: Mapping[str, str], limits: Limits) -> Columns | None:
    """Columns of texts that a few passes show to be there and whole; None: each value has to be looked at."""
    columns: Columns = {}
    for name in task.inputs:
        values = [row.get(name) for row in rows]
        if types.get(name, "string") not in TEXT or set(map(type, values)) != {str}:
            return None
        whole = "".join(values)
        if max(map(len, values)) > limits.text or not all(map(str.strip, values)):
            return None
        if not whole.isascii() and _HALF.search(whole):
            return None
        columns[name] = values
    return columns


def _checked(
    rows: Sequence[Any], task: Task, types: Mapping[str, str], limits: Limits, *, many: bool
) -> Columns:
    """Columns of values that were looked at one by one; raises Refused with the place of the first that is
    wrong.
    """
    columns: Columns = {}
    for name in task.inputs:
        check = _checker(types.get(name, "string"), limits)
        values = []
        for i, row in enumerate(rows):
            if name not in row:
                where = f"rows[{i}]" if many else ""
                raise bad("column_missing", where, column=name, columns=", ".join(task.inputs))
            values.append(check(row[name], f"rows[{i}].{name}" if many else name))
        columns[name] = values
    _are_there(columns, task, many)
    _are_whole(columns, many)
    return columns


def key_in(said: Mapping[str, Any], task: Task) -> str | None:
    """The key that a request names, where it is no column of the task."""
    key = said.get("key") if "key" not in task.inputs else None
    if key is not None and not isinstance(key, str | int):
        raise bad("value_kind", "key", wanted="text", found=kind_of(key))
    return None if key is None else str(key)[:200]


Check = Callable[[Any, str], Any]


def _checker(kind: str, limits: Limits) -> Check:
    """The check of one value of a column of this type."""
    if kind in TEXT:

        def text(value: Any, where: str) -> str | None:
            if value is None:
                return None
            if type(value) is not str:
                raise bad("value_kind", where, wanted="text", found=kind_of(value))
            if len(value) > limits.text:
                raise bad("text_too_long", where, size=f"{len(value):,}", most=f"{limits.text:,}")
            return value

        return text
    made = arrow_type(kind)
    if made is not None and pa.types.is_integer(made):
        return _integer(made)
    if made is not None and pa.types.is_floating(made):
        return _float(made)
    return _truth if kind == "bool" else _other(kind)


def _integer(kind: Any) -> Check:
    info = np.iinfo(kind.to_pandas_dtype())
    least, most = int(info.min), int(info.max)

    def integer(value: Any, where: str) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad("value_kind", where, wanted="whole", found=kind_of(value), send="whole_or_null")
        if not least <= value <= most:  # 1e999 is read as infinite
            raise bad("number_out_of_range", where, least=f"{least:,}", most=f"{most:,}")
        if value != value // 1:
            raise bad("value_kind", where, wanted="whole", found="fraction", send="whole_or_null")
        return int(value)

    return integer


def _float(kind: Any) -> Check:
    most = min(float(np.finfo(kind.to_pandas_dtype()).max), 1e300)

    def number(value: Any, where: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad("value_kind", where, wanted="number", found=kind_of(value), send="number_or_null")
        if abs(value) > most:  # 1e999 is read as infinite
            raise bad("number_out_of_range", where, least=f"{-most:.4g}", most=f"{most:.4g}")
        return float(value)

    return number


def _truth(value: Any, where: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise bad("value_kind", where, wanted="truth", found=kind_of(value), send="truth_or_null")
    return value


def _other(kind: str) -> Check:
    """Times, lists and the like: as a file would write them."""

    wanted = _named(arrow_type(kind)) or kind
    send = kind if wanted == kind else f"{wanted}_or_null"

    def check(value: Any, where: str) -> Any:
        said = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
        _, misfit = cast(_strings([said], where), kind)
        if misfit.any():
            found = "other_text" if isinstance(value, str) else kind_of(value)
            raise bad("value_kind", where, wanted=wanted, found=found, send=send)
        return said

    return check


def _named(kind: Any) -> str:
    """How a type is called that people know under another name: the end of a message key `kind.*`; "" = none
    of these.
    """
    if kind is None:
        return ""
    types = pa.types
    if types.is_timestamp(kind):
        return "moment" if kind.tz is None else "moment_zoned"
    known = ((types.is_date, "date"), (types.is_time, "clock"), (types.is_decimal, "number"))
    return next((name for is_it, name in known if is_it(kind)), "")


def _are_there(columns: Columns, task: Task, many: bool) -> None:
    """A row that says nothing cannot be answered, and the log that the next turn reads has none such."""
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        if any(value.strip() if isinstance(value, str) else value is not None for value in row):
            continue
        where = f"rows[{i}]" if many else ""
        if task.kind == "text":
            raise bad("text_blank", f"{where}.{task.inputs[0]}".lstrip("."))
        raise bad("row_blank", where, columns=", ".join(task.inputs))


def _are_whole(columns: Columns, many: bool) -> None:
    """Half a character, which JSON can write and UTF-8 cannot, is no text."""
    for name, values in columns.items():
        for i, value in enumerate(values):
            if isinstance(value, str) and not value.isascii():
                _encodable(value, f"rows[{i}].{name}" if many else name)


def _encodable(value: str, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as why:
        raise bad("half_character", where, at=why.start) from why


def _strings(values: list[str | None], where: str) -> Any:
    for value in values:
        if value is not None:
            _encodable(value, where)
    return pa.array(values, pa.string())


# --- a batch --------------------------------------------------------------------------------------


def batch(parts: Sequence[Columns], task: Task, types: Mapping[str, str]) -> Rows:
    """Rows of several requests, end to end, in the types that the model was trained on."""
    columns = []
    for name in task.inputs:
        values = parts[0][name] if len(parts) == 1 else [v for part in parts for v in part[name]]
        columns.append(_column(values, types.get(name, "string"), task))
    return Rows(pa.RecordBatch.from_arrays(columns, names=list(task.inputs)))


def _column(values: list[Any], kind: str, task: Task) -> Any:
    if task.kind == "image":
        return pa.array(values, pa.large_binary())
    made = arrow_type(kind)
    if made is not None and pa.types.is_floating(made):  # by way of NumPy, as Arrow takes no half ones
        numbers = [np.nan if value is None else value for value in values]
        absent = np.array([value is None for value in values], bool)
        return pa.array(np.array(numbers, made.to_pandas_dtype()), made, mask=absent)
    if made is not None and (kind in TEXT or pa.types.is_integer(made) or pa.types.is_boolean(made)):
        return pa.array(values, made)
    column, _ = cast(pa.array(values, pa.string()), kind)
    return column


def probe(task: Task, types: Mapping[str, str]) -> Rows:
    """Two made-up rows, by which it is seen that a model answers at all."""
    if task.kind == "image":
        import io

        from PIL import Image

        body = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), 127, np.uint8)).save(body, "PNG")
        return Rows(pa.record_batch({task.inputs[0]: pa.array([body.getvalue()] * 2, pa.large_binary())}))
    columns = []
    for name in task.inputs:
        kind = types.get(name, "string")
        said = ["Where is my card?", "카드가 아직 안 왔어요"]
        columns.append(pa.array(said) if kind in TEXT else pa.nulls(2, arrow_type(kind) or pa.string()))
    return Rows(pa.RecordBatch.from_arrays(columns, names=list(task.inputs)))
