"""Whether a value fits a JSON schema: the keywords that answers of machines are asked for by (draft 2020-12).

A keyword that is not known raises, so that nothing passes for want of a check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

DEEPEST = 60
_NOTES = frozenset({"title", "description", "$schema", "$id", "$comment", "$defs", "definitions"})
_NOTES |= {"default", "examples", "deprecated", "readOnly", "writeOnly", "format"}
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "number": lambda v: _numeric(v),  # noqa: PLW0108  defined below
    "integer": lambda v: _numeric(v) and v == int(v),
}


class NotJson(ValueError):
    """A text that is not one JSON value: cut, with a word before or behind, a name twice, NaN, too deep."""


def parsed(text: str) -> Any:
    """The value of a JSON text; raises NotJson."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as why:
        raise NotJson(str(why)) from why


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a name twice")
    return found


def _no_constant(name: str) -> Any:
    raise NotJson(name)


def unknown_keywords(schema: Any) -> set[str]:
    """Keywords of a schema, at any depth, that are not looked at here; also types and references so."""
    found: set[str] = set()
    for one in _parts(schema, 0):
        found |= {name for name in one if name not in _NOTES and name not in _RULES}
        kinds = one.get("type", [])
        found |= {f"type: {k}" for k in ([kinds] if isinstance(kinds, str) else kinds) if k not in _TYPES}
        reference = one.get("$ref")
        if reference is not None and _found(schema, reference) is None:
            found.add(f"$ref: {reference}")
    return found


def _parts(schema: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """All schemas in a schema, itself first."""
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return
    yield schema
    inner: list[Any] = [schema.get(name) for name in ("additionalProperties", "items", "not")]
    for name in ("properties", "$defs", "definitions"):
        inner += list(schema.get(name, {}).values())
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inner += schema.get(name, [])
    for one in inner:
        yield from _parts(one, depth + 1)


def fits(value: Any, schema: Any, root: Any = None, depth: int = 0) -> bool:
    """Whether a value fits a schema; references are looked up in the root. Too deep fits nothing."""
    if isinstance(schema, bool):
        return schema
    root = schema if root is None else root
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return False
    scene = _Scene(schema, root, depth)
    return all(_RULES[name](value, of, scene) for name, of in schema.items() if name in _RULES)


class _Scene:
    def __init__(self, schema: Mapping[str, Any], root: Any, depth: int) -> None:
        self.schema, self.root, self.depth = schema, root, depth

    def fits(self, value: Any, schema: Any) -> bool:
        return fits(value, schema, self.root, self.depth + 1)


def _found(root: Any, reference: str) -> Any:
    """What a reference into the same document (#/$defs/name) names; None for any other."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    here = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, Mapping) or name not in here:
            return None
        here = here[name]
    return here


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: 1 is 1.0, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    return (type(one) is type(other) and one == other) or (_numeric(one) and _numeric(other) and one == other)


def _typed(value: Any, of: Any, scene: _Scene) -> bool:
    return any(_TYPES[kind](value) for kind in ([of] if isinstance(of, str) else of))


def _properties(value: Any, of: Any, scene: _Scene) -> bool:
    if not isinstance(value, dict):
        return True
    return all(scene.fits(value[name], one) for name, one in of.items() if name in value)


def _additional(value: Any, of: Any, scene: _Scene) -> bool:
    if not isinstance(value, dict):
        return True
    named = scene.schema.get("properties", {})
    return all(scene.fits(one, of) for name, one in value.items() if name not in named)


def _items(value: Any, of: Any, scene: _Scene) -> bool:
    first = len(scene.schema.get("prefixItems", ()))
    return not isinstance(value, list) or all(scene.fits(one, of) for one in value[first:])


def _prefix(value: Any, of: Any, scene: _Scene) -> bool:
    return not isinstance(value, list) or all(map(scene.fits, value, of))


def _unique_items(value: Any, of: Any, scene: _Scene) -> bool:
    if not of or not isinstance(value, list):
        return True
    return not any(_equal(one, other) for i, one in enumerate(value) for other in value[:i])


def _of_numbers(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any, _Scene], bool]:
    return lambda value, of, scene: not _numeric(value) or holds(value, of)


def _of_sizes(kind: Any, holds: Callable[[int, int], bool]) -> Callable[[Any, Any, _Scene], bool]:
    return lambda value, of, scene: not isinstance(value, kind) or holds(len(value), of)


_RULES: Mapping[str, Callable[[Any, Any, _Scene], bool]] = {
    "type": _typed,
    "enum": lambda value, of, scene: any(_equal(value, one) for one in of),
    "const": lambda value, of, scene: _equal(value, of),
    "properties": _properties,
    "required": lambda value, of, scene: not isinstance(value, dict) or all(name in value for name in of),
    "additionalProperties": _additional,
    "minProperties": _of_sizes(dict, lambda size, of: size >= of),
    "maxProperties": _of_sizes(dict, lambda size, of: size <= of),
    "items": _items,
    "prefixItems": _prefix,
    "minItems": _of_sizes(list, lambda size, of: size >= of),
    "maxItems": _of_sizes(list, lambda size, of: size <= of),
    "uniqueItems": _unique_items,
    "minLength": _of_sizes(str, lambda size, of: size >= of),
    "maxLength": _of_sizes(str, lambda size, of: size <= of),
    "pattern": lambda value, of, scene: not isinstance(value, str) or re.search(of, value) is not None,
    "minimum": _of_numbers(lambda value, of: value >= of),
    "maximum": _of_numbers(lambda value, of: value <= of),
    "exclusiveMinimum": _of_numbers(lambda value, of: value > of),
    "exclusiveMaximum": _of_numbers(lambda value, of: value < of),
    "multipleOf": _of_numbers(lambda value, of: Fraction(str(value)) % Fraction(str(of)) == 0),
    "anyOf": lambda value, of, scene: any(scene.fits(value, one) for one in of),
    "oneOf": lambda value, of, scene: sum(scene.fits(value, one) for one in of) == 1,
    "allOf": lambda value, of, scene: all(scene.fits(value, one) for one in of),
    "not": lambda value, of, scene: not scene.fits(value, of),
    "$ref": lambda value, of, scene: scene.fits(value, _found(scene.root, of)),
}
