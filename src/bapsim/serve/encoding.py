"""JSON as bytes: by orjson, and by Python's own where that refuses: integers beyond 64 bits, half characters.

Korean stays readable, half a character is a question mark, and what is no finite number is null.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

SLOW = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encoded(value: Any) -> bytes:
    """The value as JSON; raises TypeError for what is none."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Python writes NaN and Infinity bare, which is no JSON; read again, they are None
        said = SLOW(json.loads(SLOW(value), parse_constant=lambda _: None))
        return said.encode("utf-8", "replace")
