"""Column types as others know them: plain Arrow for files, Hugging Face features, Croissant data types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from bapsim.core.errors import InputError

Kind = Any  # a pyarrow DataType; the stubs make it generic without saying in what

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # how `datasets` stores images
_TEXT = (pa.types.is_null, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
_NAMES |= {"date32[day]": "date32", "date64[ms]": "date64"}  # as Hugging Face calls them
_CROISSANT = {
    "string": "sc:Text",
    "bool": "sc:Boolean",
    "date32[day]": "sc:Date",
    "date64[ms]": "sc:Date",
    "halffloat": "cr:Float16",
    "float": "cr:Float32",
    "double": "cr:Float64",
    **{f"int{size}": f"cr:Int{size}" for size in (8, 16, 32, 64)},
    **{f"uint{size}": f"cr:UInt{size}" for size in (8, 16, 32, 64)},
}


def plain(kind: Kind) -> Kind:
    """The type that every reader of Parquet has: no encodings, views or extensions, and of each kind one."""
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind):
        return plain(kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type)
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", plain(kind.key_type)), ("value", plain(kind.item_type))]))
    if pa.types.is_struct(kind):
        return pa.struct([(kind[i].name, plain(kind[i].type)) for i in range(kind.num_fields)])
    if any(test(kind) for test in _LISTS):
        return pa.list_(plain(kind.value_type))
    if any(test(kind) for test in _TEXT):
        return pa.string()
    if any(test(kind) for test in _BYTES):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)  # Parquet knows no whole seconds
    return pa.time32("ms") if kind == pa.time32("s") else kind


def merged(kinds: Sequence[Kind]) -> Kind:
    """One plain type that values of all these fit; text where numbers and texts meet. None at all is text."""
    distinct = list(dict.fromkeys(plain(kind) for kind in kinds if not pa.types.is_null(kind)))
    if not distinct:
        return pa.string()
    if {pa.int64(), pa.uint64()} <= set(distinct):
        return pa.string()  # no integer holds both
    try:
        schemas = [pa.schema([pa.field("one", kind)]) for kind in distinct]
        return plain(pa.unify_schemas(schemas, promote_options="permissive").field("one").type)
    except pa.ArrowException:
        return pa.string()


def fitted(column: Any, kind: Kind) -> Any:
    """A column in a plain type; nested values that become text are JSON.

    Raises InputError where a value does not fit: an integer of more than 53 bits among numbers.
    """
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type == kind:
        return column
    if kind == PICTURE and not pa.types.is_struct(column.type):
        body = column.cast(pa.binary())
        paths = pa.nulls(len(body), pa.string())
        return pa.StructArray.from_arrays([body, paths], fields=list(PICTURE), mask=body.is_null())
    if pa.types.is_nested(column.type) and not pa.types.is_nested(kind):
        said = [
            None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in column.to_pylist()
        ]
        return pa.array(said, kind)
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as why:
        raise InputError("export_types", types=f"{column.type}, {kind}", why=str(why)) from why


def feature(kind: Kind) -> Any:
    """A plain type as front matter says it: a name, {"list": ...} or {"struct": [...]}."""
    if kind == PICTURE:
        return "image"
    if pa.types.is_list(kind):
        inner = feature(kind.value_type)
        return {"list": inner["struct"] if isinstance(inner, dict) and "struct" in inner else inner}
    if pa.types.is_struct(kind):
        return {"struct": [named(kind[i].name, kind[i].type) for i in range(kind.num_fields)]}
    return _NAMES.get(str(kind), str(kind))


def type_text(kind: Kind) -> str:
    """A plain type for people: list<string>, not list<item: string>."""
    if kind == PICTURE:
        return "image"
    if pa.types.is_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    return _NAMES.get(str(kind), str(kind))


def named(name: str, kind: Kind) -> dict[str, Any]:
    """A column of a dataset card: its name, and its feature."""
    said = feature(kind)
    return {"name": name, **(said if isinstance(said, dict) else {"dtype": said})}


def data_type(kind: Kind) -> str | None:
    """The Croissant type of a value, None where the vocabulary has none (bytes, nested values)."""
    if kind == PICTURE:
        return "sc:ImageObject"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    if pa.types.is_time(kind):
        return "sc:Time"
    if pa.types.is_decimal(kind):
        return "sc:Float"
    return _CROISSANT.get(str(kind))
