"""Answers in one spelling, so that two that say the same are equal and two that do not never are.

Numbers are exact (`fractions.Fraction`): no tolerance hides a wrong digit.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

LONGEST = 65_536  # characters of an answer that are looked at; a longer one equals nothing
DIGITS = 400  # of one number: more are a text
_SIZE = r"(?:[1-9]\d{0,2}(?:,\d{3})+|0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
# Not inside a word, a version, an address or a list without blanks; 007 is a code and no number.
NUMBER = re.compile(rf"(?<![A-Za-z0-9_.,])-?{_SIZE}(?!\.?[A-Za-z0-9_,]*\d)")
_WHOLE = re.compile(rf"[-+]?\$?{_SIZE}")
_MINUS = str.maketrans(dict.fromkeys("\u2212\u2012\u2013\u2010\u2011\ufe63\uff0d", "-"))
_FRACTION = re.compile(r"([-+]?\d{1,400}) ?/ ?(\d{1,400})")
_MARKED = re.compile(r"\$\$?([^$]+)\$\$?|\\boxed\{(.+)\}|\*\*([^*]+)\*\*|`([^`]+)`|\"([^\"]+)\"|'([^']+)'")
_FINAL = (
    re.compile(r"####[ \t]*(.+)"),
    re.compile(r"\\boxed\{([^{}]*)\}"),
    re.compile(r"(?im)^\s*(?:final answer|answer|a|정답|답)\s*[:=]\s*(.+)$"),
    re.compile(r"(?i)\b(?:the\s+)?(?:final\s+)?answer\s+is:?\s+([^\n]+?)(?:\.(?=\s|$)|\n|$)"),
    re.compile(r"(?:정답|답)[은는]\s*([^\n]+?)(?:입니다|이다|예요|이에요)?\.?\s*(?:\n|$)"),
)
_CHOICE = re.compile(r"\(?\s*([A-Za-z])\s*\)|([A-Za-z])(?:[.:]\s.*|\s*)", re.DOTALL)


def canonical(answer: str) -> str:
    """NFKC, one blank between words, no case, numbers without commas and useless zeros, no marks of emphasis
    around the whole, no full stop at its end, no dollar sign before a number.
    """
    text = _unmarked(" ".join(_spelled(answer[: LONGEST + 1]).split()).casefold())
    value = number(text)
    return NUMBER.sub(_written, text) if value is None else str(value)


def _spelled(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_MINUS)


def _unmarked(text: str) -> str:
    """Without what stands around the whole of it; at most a few layers."""
    for _ in range(4):
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        found = _MARKED.fullmatch(text)
        if found is None:
            break
        text = next(part for part in found.groups() if part is not None).strip()
    return text


def _written(found: re.Match[str]) -> str:
    value = number(found.group())
    return found.group() if value is None else str(value)


def number(text: str) -> Fraction | None:
    """The number that a text is, exactly: 1,200.50, -3, 7/8, 2e3, $4; None for anything else, as for 007."""
    said = _spelled(text[: 2 * DIGITS + 3]).strip()
    if len(said) > 2 * DIGITS:
        return None
    if parts := _FRACTION.fullmatch(said):
        below = int(parts[2])
        return Fraction(int(parts[1]), below) if below else None
    if _WHOLE.fullmatch(said) is None:
        return None
    return Fraction(Decimal(said.replace(",", "").replace("$", "")))


def same(one: str, other: str) -> bool:
    """Whether two answers are equal in canonical form; what is longer than LONGEST equals nothing."""
    return max(len(one), len(other)) <= LONGEST and canonical(one) == canonical(other)


def final_answer(text: str) -> str | None:
    """What a worked solution ends with: behind the last ####, in \\boxed{}, behind "A:", "the answer is",
    "정답은"; where a text has several of one kind the last counts; None where there is no such mark.
    """
    for mark in _FINAL:
        if found := list(mark.finditer(text[-LONGEST:])):
            said = found[-1][1].strip()
            return said or None
    return None


def choice(text: str) -> str | None:
    """The capital letter that a multiple-choice answer names, (B), b), "B. red"; None for anything else."""
    found = _CHOICE.fullmatch(unicodedata.normalize("NFKC", text[:LONGEST]).strip())
    return None if found is None else (found[1] or found[2]).upper()
