"""Which scripts texts are written in, letter by letter: an estimate of their languages without a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

SCRIPTS = ("hangul", "latin", "other")


@cache
def script(letter: str) -> str:
    """One of SCRIPTS by the Unicode name of a character, "" where it is no letter."""
    if not letter.isalpha():
        return ""
    name = unicodedata.name(letter, "")
    return next((one for one in SCRIPTS[:2] if one.upper() in name), "other")


def letters(texts: Iterable[str | None]) -> dict[str, int]:
    """How many letters of each of SCRIPTS the texts hold; digits, signs and blanks are none."""
    points = np.frombuffer("".join(t for t in texts if t).encode("utf-32-le"), np.uint32)
    found = dict.fromkeys(SCRIPTS, 0)
    counts = np.bincount(points)  # by code point, at most 1.1 million of them
    for point in np.flatnonzero(counts).tolist():
        name = script(chr(point))
        if name:
            found[name] += int(counts[point])
    return found
