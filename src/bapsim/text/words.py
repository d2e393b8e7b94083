"""Words: maximal runs of letters, marks and digits in folded text, whatever the script (docs/features.md)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.text.normalise import Codes, is_word


class Words(NamedTuple):
    """The words of many texts in order: int64 start and end in codes.points, and the text that each is in."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    texts: NDArray[np.int64]


def words(codes: Codes) -> Words:
    """Find all words; blanks and punctuation belong to none, so no word crosses a text."""
    inside = is_word(codes.points)
    before = np.zeros_like(inside)
    before[1:] = inside[:-1]
    starts = np.flatnonzero(inside & ~before)
    ends = np.flatnonzero(before & ~inside)  # a blank ends the last text, so every word has an end
    return Words(starts, ends, np.searchsorted(codes.starts, starts, side="right") - 1)


def strings(codes: Codes, found: Words) -> list[str]:
    """The words as Python strings."""
    text = codes.points.astype("<u4").tobytes().decode("utf-32-le")
    return [text[a:b] for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
