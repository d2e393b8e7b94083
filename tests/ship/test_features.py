"""Types as others know them, and values that stay what they were."""

from typing import Any

import pyarrow as pa
import pytest

from bapsim.core.errors import InputError
from bapsim.ship.features import PICTURE, data_type, feature, fitted, merged, named, plain, type_text

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.null(), pa.string()),
        (pa.dictionary(pa.int32(), pa.large_string()), pa.string()),
        (pa.large_list(pa.string_view()), pa.list_(pa.string())),
        (pa.binary(16), pa.binary()),
        (pa.map_(pa.string(), pa.int8()), pa.list_(pa.struct([("key", pa.string()), ("value", pa.int8())]))),
        (pa.timestamp("s", "UTC"), pa.timestamp("ms", "UTC")),
        (pa.time32("s"), pa.time32("ms")),
        (pa.float64(), pa.float64()),
        (pa.uuid(), pa.binary()),
    ],
    ids=str,
)
def test_plain_types(kind: Any, expected: Any) -> None:
    assert plain(kind) == expected


def test_several_types_become_one_that_holds_all() -> None:
    assert merged([]) == pa.string()
    assert merged([pa.null(), pa.int8()]) == pa.int8()
    assert merged([pa.int64(), pa.float64()]) == pa.float64()
    assert merged([pa.int64(), pa.string()]) == pa.string()
    assert merged([pa.int64(), pa.uint64()]) == pa.string()
    assert merged([pa.timestamp("s"), pa.timestamp("us")]) == pa.timestamp("us")
    with pytest.raises(InputError) as error:
        fitted(pa.array([2**60 + 1]), merged([pa.int64(), pa.float64()]))
    assert error.value.key == "export_types"


def test_values_survive_the_change_of_type() -> None:
    pairs = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8()))
    assert fitted(pairs, plain(pairs.type)).to_pylist() == [[{"key": "a", "value": 1}], None]
    words = pa.array(["x", None, "x"]).dictionary_encode()
    assert fitted(words, pa.string()).to_pylist() == ["x", None, "x"]
    assert fitted(pa.array([{"가": 1.5}, None]), pa.string()).to_pylist() == ['{"가": 1.5}', None]
    bodies = fitted(pa.array([b"\x89PNG", None], pa.large_binary()), PICTURE)
    assert bodies.to_pylist() == [{"bytes": b"\x89PNG", "path": None}, None]
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
    assert fitted(ids, pa.binary()).to_pylist() == [bytes(16)]


def test_names_for_front_matter_and_croissant() -> None:
    assert named("a", pa.float32()) == {"name": "a", "dtype": "float32"}
    assert named("m", plain(MESSAGES)) == {
        "name": "m",
        "list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}],
    }
    assert feature(pa.struct([("x", pa.list_(pa.int8()))])) == {"struct": [{"name": "x", "list": "int8"}]}
    assert named("i", PICTURE) == {"name": "i", "dtype": "image"}
    assert [type_text(one) for one in (PICTURE, pa.list_(pa.float64()))] == ["image", "list<float64>"]
    kinds = [pa.int8(), pa.uint64(), pa.float64(), pa.date32(), pa.timestamp("us"), pa.time64("us"), PICTURE]
    told = ["cr:Int8", "cr:UInt64", "cr:Float64", "sc:Date", "sc:DateTime", "sc:Time", "sc:ImageObject"]
    assert [data_type(kind) for kind in kinds] == told
    assert data_type(pa.decimal128(4, 2)) == "sc:Float"
    assert data_type(MESSAGES) is data_type(pa.binary()) is None
