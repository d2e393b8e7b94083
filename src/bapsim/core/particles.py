"""Korean particles after a value that a sentence was filled with: 환불이(가) is 환불이, v3이(가) is v3가."""

from __future__ import annotations

import re

PAIR = re.compile(r"([가-힣0-9%])([\"'`”’)\]]*)(?:([이은을과])\(([가는를와])\)|\(([으이])\)(?=[로라가]))")
RIEUL = 8  # the place of ㄹ among last consonants
LAST = {"0": 21, "1": RIEUL, "3": 16, "6": 1, "7": RIEUL, "8": RIEUL}  # of digits as they are read


def settled(said: str) -> str:
    """The sentence with each particle in the form that what stands before it asks for.

    After letters of another script both forms stay: how people read them aloud is not known.
    """
    return PAIR.sub(_settle, said)


def _settle(found: re.Match[str]) -> str:
    before, closing, closed, open_, glide = found.groups()
    last = (ord(before) - ord("가")) % 28 if before >= "가" else LAST.get(before, 0)
    if glide is not None:
        closed, open_ = ("" if glide == "으" and last == RIEUL else glide), ""
    return f"{before}{closing}{closed if last else open_}"
