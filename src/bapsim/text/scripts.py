"""Which scripts texts are written in, letter by letter: an estimate of their languages without a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

SCRIPTS = ("hangul", "latin", "other")
FAMILIES = {"HANGUL": "ko", "LATIN": "latin", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh"}
LANGUAGES = ("ko", "ja", "zh", "latin", "other")  # of equal shares the first one
SYLLABLE = 4  # Latin letters that weigh as much as a sign of a syllable or word (docs/groups.md)


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


@cache
def _language(letter: str) -> int:
    """The place in LANGUAGES of a letter's script, -1 where it is no letter."""
    if not letter.isalpha():
        return -1
    name = unicodedata.name(letter, "")
    return LANGUAGES.index(next((said for word, said in FAMILIES.items() if word in name), "other"))


def languages(texts: Sequence[str | None]) -> list[str | None]:
    """The language of each text as its letters tell it: one of LANGUAGES, None where it has no letter.

    Korean texts are full of Latin names and commands, English ones hardly ever of Hangul: so a syllable
    weighs four letters. Chinese signs count as Japanese where kana stand among them. Which language is
    written in Latin letters this cannot tell.
    """
    said = [one or "" for one in texts]
    points = np.frombuffer("".join(said).encode("utf-32-le", "surrogatepass"), np.uint32)
    known, at = np.unique(points, return_inverse=True)
    of = np.array([_language(chr(point)) for point in known.tolist()], np.int64)
    row = np.repeat(np.arange(len(said)), [len(one) for one in said])
    kinds = of[at]
    letter = kinds >= 0
    width = len(LANGUAGES)
    counts = np.bincount(row[letter] * width + kinds[letter], minlength=len(said) * width)
    table = counts.reshape(len(said), width).astype(np.float64)
    table[:, :3] *= SYLLABLE
    kana = table[:, 1] > 0
    table[kana, 1] += table[kana, 2]
    table[kana, 2] = 0
    best = table.argmax(axis=1)
    some: list[bool] = (table.max(axis=1) > 0).tolist()
    return [LANGUAGES[k] if any_ else None for k, any_ in zip(best.tolist(), some, strict=True)]
