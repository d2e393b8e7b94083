"""Values against schemas, as the standard has it for the keywords that are known."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.json_schema import NotJson, fits, parsed, unknown_keywords

ADDRESS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2, "uniqueItems": True},
        "next": {"$ref": "#"},
        "pet": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pet"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"pet": {"type": "object", "required": ["kind"], "properties": {"kind": {"const": "cat"}}}},
}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"name": "Kim"}, True),
        ({"name": "Kim", "age": 3.0}, True),
        ({"name": "Kim", "age": 3.5}, False),
        ({"name": "Kim", "age": True}, False),
        ({"name": "Kim", "age": 150}, False),
        ({"name": "Kim", "age": -1}, False),
        ({"name": "kim"}, False),
        ({"name": ""}, False),
        ({"name": "K" * 21}, False),
        ({}, False),
        ({"name": "Kim", "more": 1}, False),
        ({"name": "Kim", "tags": ["a", "b"]}, True),
        ({"name": "Kim", "tags": ["a", "a"]}, False),
        ({"name": "Kim", "tags": ["a", "b", "a"]}, False),
        ({"name": "Kim", "tags": "ab"}, False),
        ({"name": "Kim", "next": {"name": "Lee"}}, True),
        ({"name": "Kim", "next": {}}, False),
        ({"name": "Kim", "pet": None}, True),
        ({"name": "Kim", "pet": {"kind": "cat"}}, True),
        ({"name": "Kim", "pet": {"kind": "dog"}}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_schema(value: Any, good: bool) -> None:
    assert fits(value, ADDRESS) is good
    assert unknown_keywords(ADDRESS) == set()


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (True, 1, None),
        ({"type": ["string", "null"]}, None, 1),
        ({"multipleOf": 0.01}, 19.99, 0.005),
        ({"maximum": 3, "exclusiveMinimum": 1}, 2, 1),
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, 1, 3),
        ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, 3, 1),
        ({"not": {"const": 1}}, True, 1.0),
        ({"enum": [[1, {"a": 0}]]}, [1.0, {"a": 0}], [True, {"a": 0}]),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
        ({"minItems": 1}, [0], []),
        ({"minProperties": 1, "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "b"}),
        ({"properties": {"a": False}}, {}, {"a": 1}),
    ],
)
def test_keywords(schema: Any, good: Any, bad: Any) -> None:
    assert fits(good, schema)
    if schema is not True:
        assert not fits(bad, schema)
    else:
        assert not fits(bad, False)


def test_what_is_not_known_is_named() -> None:
    schema = {
        "properties": {"a": {"if": {}, "type": "strin"}},
        "$ref": "http://x",
        "items": {"$ref": "#/$defs/no"},
    }
    assert unknown_keywords(schema) == {"if", "type: strin", "$ref: http://x", "$ref: #/$defs/no"}


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": 1, "a": 2}', "NaN", "[Infinity]", "1 2", '{"a": 1} or maybe not', "[" * 100_000, "'a'"],
)
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(NotJson):
        parsed(text)


def test_a_schema_that_names_itself_ends() -> None:
    assert not fits(1, {"$ref": "#"})
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert not fits(deep, {"anyOf": [{"type": "integer"}, {"items": {"$ref": "#"}, "type": "array"}]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda x: st.lists(x, max_size=3)
    )
)
def test_a_constant_fits_itself(value: Any) -> None:
    assert fits(value, {"const": value})
    assert not fits([value], {"const": value})
