"""What forms of personal data are made of: plain signs, gaps between digits, words that announce a number."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("pii_words.json").read_text("utf-8"))
END = "\0"  # between two texts; no form crosses it, nor the end of a line

# Soft hyphens, zero widths, fillers, variation selectors, keycaps; and the zeros of other scripts, after each
# of which nine digits follow. Not past U+FFFF: a set of signs there makes a scan ten times slower.
UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
ZEROS = (
    "660 6f0 7c0 966 9e6 a66 ae6 b66 be6 c66 ce6 d66 de6 e50 ed0 f20 1040 1090 17e0 1810 1946 19d0 1a80 1a90 "
    "1b50 1bb0 1c40 1c50 a620 a8d0 a900 a9d0 a9f0 aa50 abf0"
)
PLAIN = {int(zero, 16) + i: str(i) for zero in ZEROS.split() for i in range(10)}
WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {0xFE6B: "@"}  # full width
PLAIN |= {code: sign for code, sign in WIDE.items() if sign.isalnum() or sign in "@.+"}
NOTHING = re.compile(f"[{UNSEEN}]")
STRANGE = re.compile(f"[{UNSEEN}{''.join(map(chr, PLAIN))}]")
BESIDE = re.compile("[ -~]|..[0-9A-Za-z@]", re.DOTALL)
PLAIN |= WIDE  # commas and question marks, of which there are many, do not make a text strange


def make_plain(texts: list[str], whole: str, begins: Ints) -> dict[int, Ints]:
    """Writes texts with strange signs anew in plain ones; where each of their signs stood, by text.

    An unseen sign is strange beside one of ASCII only: emoji are full of them.
    """
    places: dict[int, Ints] = {}
    met = [] if whole.isascii() else [m.start() for m in STRANGE.finditer(whole)]
    strange = [at for at in met if ord(whole[at]) in PLAIN or BESIDE.match(whole, max(at - 1, 0))]
    for i in np.unique(np.searchsorted(begins, strange, side="right") - 1).tolist():
        gone = [m.start() for m in NOTHING.finditer(texts[i])]
        places[i] = np.delete(np.arange(len(texts[i])), gone)
        texts[i] = NOTHING.sub("", texts[i]).translate(PLAIN)
    return places


def begins_of(texts: list[str]) -> Ints:
    """int64[n + 1]: where each text begins when they stand end to end with one sign between them."""
    return np.append(0, np.cumsum(np.array(list(map(len, texts)), np.int64) + 1))


BLANK = " \t\u00a0\u2000-\u200a\u202f\u205f\u3000"
DASH = r"\-\u00b7\u02d7\u2010-\u2015\u2022\u2027\u2043\u2212\u2219\u3161\u318d\u30fb\u30fc\ufe58\ufe63"
MARK = DASH + "./~_,:()\uff08\uff09\uff0c\uff0d\uff0f\uff1a\uff3f\uff5e"
GAP = f"[{BLANK}]{{0,2}}+[{MARK}]{{0,2}}+[{BLANK}]{{0,2}}+"  # between groups of digits, or nothing
LINE = f"[{BLANK}]{{0,2}}+[{DASH}./]?+[{BLANK}]{{0,2}}+"  # where a comma or bracket ends a number
CHAIN = re.compile(f"[0-9](?:[{BLANK}{MARK}+]{{0,6}}+[0-9]){{3,}}+")
DIGITS = re.compile("[^0-9]+")


def digits_of(said: str) -> str:
    """The digits of a text, in order."""
    return DIGITS.sub("", said)


def alone(whole: str, start: int, end: int) -> bool:
    """A number without gaps is no part of a word, a name, a decimal or a sum with commas."""
    if in_word(whole[start - 1 : start]) or in_word(whole[end : end + 1]):
        return False
    return not WHOLE_PART.search(whole, max(start - 5, 0), start)


def in_word(sign: str) -> bool:
    """Whether a sign is part of a word in ASCII."""
    return sign.isascii() and (sign.isalnum() or sign == "_")


WHOLE_PART = re.compile(r"(?<![0-9.,])[0-9]{1,3}[.,]\Z")
FIRST_GROUP = re.compile(r"(?<![0-9.-])(?<![0-9] )[0-9]+[.-]\Z")


def begins_late(whole: str, start: int) -> bool:
    """The number goes on from one other group of digits: an account, an item's number."""
    return FIRST_GROUP.search(whole, max(start - 8, 0), start) is not None


def cued(whole: str, start: int, words: re.Pattern[str]) -> bool:
    """One of the words stands at most 16 signs before a number, with no digit between."""
    before = unicodedata.normalize("NFC", whole[max(start - 32, 0) : start].rpartition(END)[2])
    return words.search(before) is not None


def cue(words: str) -> re.Pattern[str]:
    """What finds one of these words close before the end of a text, with no digit between."""
    return re.compile(rf"(?<!\[)(?:{words})[^0-9]{{0,16}}\Z", re.IGNORECASE)  # a mask is no cue


class Form(NamedTuple):
    """One way in which something is written. fewest: digits in a chain that can hold it; reach: signs before
    its first digit.
    """

    kind: str
    fewest: int
    pattern: re.Pattern[str]
    holds: Callable[[str, re.Match[str]], bool]
    reach: int = 3


def either(name: str) -> str:
    """The words of a list as alternatives of a pattern, the longest first."""
    return "|".join(sorted(WORDS[name], key=len, reverse=True))
