"""JSON as bytes: by orjson, and by Python's own where that refuses: integers beyond 64 bits, half characters.

Korean stays readable, and half a character is a question mark.
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
        return SLOW(value).encode("utf-8", "replace")
