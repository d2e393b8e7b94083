"""What stands where in one line of a service's log: dotted paths, times, shares, thumbs, messages."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bapsim.gather.objects import Number, written

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?")
# A number up to the first is seconds, to the second milliseconds, to the third microseconds.
_UNITS = ((10**11, Decimal(1_000_000)), (10**14, Decimal(1_000)), (10**17, Decimal(1)))
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_THUMBS = {"up": 1, "👍": 1, "1": 1, "true": 1, "down": -1, "👎": -1, "-1": -1, "false": -1, "0": None}


def value_at(record: Any, path: str) -> Any:
    """The value at a path such as `choices.0.text`; a key may have dots itself; None where there is none."""
    if isinstance(record, dict):
        if path in record:
            return record[path]
        first, dot, rest = path.partition(".")
        return value_at(record[first], rest) if dot and first in record else None
    if isinstance(record, list):
        first, dot, rest = path.partition(".")
        if not first.isascii() or not first.isdigit() or len(first) > 9 or int(first) >= len(record):
            return None
        return value_at(record[int(first)], rest) if dot else record[int(first)]
    return None


def text_of(value: Any) -> str | None:
    """A value as text, blank is nothing; what is nested is JSON."""
    said = written(value)
    return said if said is not None and said.strip() else None


def instant(value: Any) -> int:
    """Microseconds since 1970 of a number of seconds, milli-, micro- or nanoseconds, or of an ISO 8601 time.

    By size: 10^11 seconds would be the year 5138. Without a zone it is UTC.
    """
    said = str(value).strip()
    if not _NUMBER.fullmatch(said):
        time = datetime.datetime.fromisoformat(said)
        time = time if time.tzinfo is not None else time.replace(tzinfo=datetime.UTC)
        return (time - EPOCH) // datetime.timedelta(microseconds=1)
    number = Decimal(said)
    if not 0 <= number < 10**19:
        raise ValueError(said)
    scale = next((unit for most, unit in _UNITS if number < most), Decimal("0.001"))
    return int(number * scale)


def share(value: Any) -> float | None:
    """A number from 0 to 1."""
    said = str(value).strip()
    if said.lower() == "nan":
        return None
    if not _NUMBER.fullmatch(said) or not 0 <= float(said) <= 1:
        raise ValueError(said)
    return float(said)


def flag(value: Any) -> bool:
    """True or false, however it is written."""
    return bool(_known(_FLAGS, value))


def thumbs(value: Any) -> int | None:
    """1 for up, -1 for down."""
    said: int | None = _known(_THUMBS, value)
    return said


def _known(table: dict[str, Any], value: Any) -> Any:
    said = str(value).strip().lower()
    if said not in table:
        raise ValueError(said)
    return table[said]


PARSE: dict[str, Callable[[Any], Any]] = {
    "at": instant,
    "confidence": share,
    "in_scope": share,
    "out_of_scope": flag,
    "thumbs": thumbs,
}


def conversation(value: Any, whole: bool) -> Any:
    """An input; of a list of messages the last one of its user, or all of them, as text."""
    if not isinstance(value, list) or not all(isinstance(one, dict) and "role" in one for one in value):
        return value
    said = [(str(one["role"]), _content(one.get("content"))) for one in value]
    if whole:
        return "\n".join(f"{role}: {text}" for role, text in said if text) or None
    return next((text for role, text in reversed(said) if role == "user" and text), None)


def _content(value: Any) -> str:
    """The text of a message; of one in parts, that of its text parts."""
    if isinstance(value, list):
        parts = [one.get("text") for one in value if isinstance(one, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return value if isinstance(value, str) and not isinstance(value, Number) else written(value) or ""
