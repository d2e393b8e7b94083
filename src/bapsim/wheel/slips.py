"""Labels that look like slips of the hand: each would be a class of its own."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from bapsim.gather.answers import CANNOT_TELL

NO_LABEL = CANNOT_TELL | {"n/a", "na", "null", "none", "nan", "-", "unknown", "없음", "미정", "미분류"}
NO_LABEL |= {"#n/a", "#div/0!", "#ref!", "#value!", "#name?", "#num!", "#null!"}  # errors of a spreadsheet
RARELY, OFTEN = 3, 30  # rows of a label that may be a slip, and of the one that was meant
LETTERS = 4  # of the shorter word, jamo of Hangul; shorter ones are close to many
MOST_PAIRS = 1_000_000  # of rare and common labels that are compared


def slips_of(classes: Mapping[str, int]) -> dict[str, int]:
    """Labels that differ from a more frequent one by blanks or case only, or say that there is none; rare
    ones, too, that are one letter (of Hangul, one jamo) away from a common one.

    classes: labels with their counts, the most frequent first.
    """
    frequent: dict[str, str] = {}
    found = {}
    for label, count in classes.items():
        plain = " ".join(label.casefold().split())
        if frequent.setdefault(plain, label) != label or plain in NO_LABEL:
            found[label] = count
    letters = {label: unicodedata.normalize("NFD", label.casefold()) for label in classes}
    common = [label for label, count in classes.items() if count >= OFTEN]
    rare = [label for label, count in classes.items() if count <= RARELY and label not in found]
    if len(rare) * len(common) <= MOST_PAIRS:
        found |= {
            one: classes[one] for one in rare if any(_one_letter(letters[one], letters[c]) for c in common)
        }
    return found


def _one_letter(a: str, b: str) -> bool:
    """Whether two words of four letters or more differ by one letter: another one, one more or less, or two
    that changed places; digits tell things apart (line 1, line 2).
    """
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    a, b, short = a[start:][::-1], b[start:][::-1], min(len(a), len(b))
    end = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    odd = a[end:], b[end:]
    swapped = len(odd[0]) == 2 and odd[0] == odd[1][::-1]
    near = max(map(len, odd)) <= 1 or swapped
    return near and short >= LETTERS and not any(c.isdigit() for c in "".join(odd))
