"""Answers of each kind as text, one form each: equal answers are equal texts, whoever wrote them.

A class is its name. A set of labels is sorted and joined, "a; b"; no label at all is "[]"; a set that would
not be read back so is JSON. A number is the shortest decimal that gives the same float64 back. What was meant
as a number and is none stays as it stands, for a check to refuse and a person to mend.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, strings
from bapsim.core.errors import InputError
from bapsim.core.records import Answer

LARGEST = 1e100  # beyond it squares and their sums overflow, and nobody measured that
NONE = "[]"  # a set without a label: blank means that nobody has answered yet
# what web pages and other programs leave in a text; joiners, which letters may need, only at its ends
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0]"
    "|^[\u200c\u200d\ufe0e\ufe0f]+|[\u200c\u200d]+$"
)
_BETWEEN = re.compile(r"[;|]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MISSING = {"", "nan"}  # how programs write that there is no number


def label_set(said: str) -> tuple[str, ...]:
    """The labels of a text, sorted, each once: "b; a", "b|a" and the JSON list of both are one set."""
    return _sorted(_parts(said))


def _parts(said: str) -> list[str]:
    if said.lstrip().startswith("["):
        try:
            listed = json.loads(said)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            return [str(one) for one in listed if one is not None]
    return _BETWEEN.split(said)


def _sorted(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({visible(label) for label in labels} - {""}))


def visible(label: str) -> str:
    """A label without what nobody sees in it, blanks at its ends too, composed: two classes of one look would
    each have half of the rows.
    """
    return label.strip() if label.isascii() else UNSEEN.sub("", unicodedata.normalize("NFC", label)).strip()


def _visible(said: list[str | None]) -> list[str | None]:
    odd = {one: visible(one) or None for one in set(said) if one is not None and one != visible(one)}
    return [one if one is None else odd.get(one, one) for one in said] if odd else said


def joined(labels: Iterable[str]) -> str:
    """The one text of a set of labels; `label_set` gives the set back."""
    names = _sorted(labels)
    plain = "; ".join(names)
    if names and label_set(plain) == names:
        return plain
    return json.dumps(names, ensure_ascii=False) if names else NONE


def number_of(said: str) -> float:
    """The number that a text is, nan if it is none; a comma is no decimal point: nobody knows which it is."""
    plain = said.strip()
    value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    return value if abs(value) <= LARGEST else math.nan


def decimal(value: float) -> str:
    """The shortest text of a finite number; "3", not "3.0"."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _as_number(said: str) -> str | None:
    said = visible(said)
    if said.strip().lower() in _MISSING:
        return None
    value = number_of(said)
    return said if math.isnan(value) else decimal(value)


def written(column: Column, answer: Answer) -> list[str | None]:
    """A column of targets or predictions in the one form of its kind; None where there is none.

    Labels may be lists or texts, numbers may be of any numeric type or texts; a list that is meant as one
    class is an InputError. Texts stay as they are; messages are JSON.
    """
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if answer == "text":
        return _as_text(column)
    if pa.types.is_nested(column.type) and not pa.types.is_dictionary(column.type):
        if answer != "labels":
            raise InputError("target_is_list", type=str(column.type))
        lists: list[Any] = column.to_pylist()
        return [None if one is None else joined(str(v) for v in one if v is not None) for one in lists]
    said = strings(column)
    if answer == "class":
        return _visible(said)
    form = _as_number if answer == "number" else _as_labels
    known = {one: form(one) for one in dict.fromkeys(said) if one is not None}
    return [None if one is None else known[one] for one in said]


def _as_text(column: Column) -> list[str | None]:
    if not pa.types.is_nested(column.type):
        return strings(column)
    rows: list[Any] = column.to_pylist()
    return [None if one is None else json.dumps(one, ensure_ascii=False) for one in rows]


def _as_labels(said: str) -> str | None:
    return joined(label_set(said)) if said.strip() else None


def renamed(said: Sequence[str | None], merged: Mapping[str, str], answer: Answer) -> list[str | None]:
    """Written targets with merged labels under the name of the class that they are merged into."""
    if not merged:
        return list(said)
    if answer == "class":
        return [one if one is None else merged.get(one, one) for one in said]
    known = {one: joined(merged.get(v, v) for v in label_set(one)) for one in said if one is not None}
    return [None if one is None else known[one] for one in said]


def votes_in(column: Column) -> list[list[str] | None]:
    """What every rater said of each row, repetitions kept; None where nobody did.

    A list of texts, its JSON, or texts between ; or |.
    """
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if pa.types.is_nested(column.type) and not pa.types.is_dictionary(column.type):
        rows: list[Any] = [one or () for one in column.to_pylist()]
    else:
        rows = [() if one is None else _parts(one) for one in strings(column)]
    said = [[v for v in (visible(str(v)).strip() for v in one if v is not None) if v] for one in rows]
    return [one or None for one in said]


def numbers_of(said: Sequence[str | None]) -> NDArray[np.float64]:
    """float64[n] of written numbers, nan where there is none."""
    return np.array([math.nan if one is None else number_of(one) for one in said], np.float64)


_set = lru_cache(1 << 16)(label_set)


def memberships(said: Sequence[str | None], classes: Sequence[str]) -> NDArray[np.bool_]:
    """bool[n, classes]: which of these labels each written set holds; all false where there is none."""
    place = {name: j for j, name in enumerate(classes)}
    out = np.zeros((len(said), len(classes)), bool)
    for i, one in enumerate(said):
        for label in () if one is None else _set(one):
            if label in place:
                out[i, place[label]] = True
    return out


def labels_in(said: Iterable[str | None]) -> list[str]:
    """All labels that occur in written sets, sorted."""
    return sorted({label for one in set(said) if one is not None for label in _set(one)})
