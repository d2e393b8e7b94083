"""Rules that people state in words: a text has all of these, any of those, and none of a third list.

Terms are words or phrases, compared in folded text (docs/features.md, section 1): case, width and the way in
which a letter is composed make no difference. A letter of a script that parts words by blanks must not go on
at the edge of a term ("card" is not in "discard"); Hangul, kana and Chinese characters may, for particles are
written onto the word ("환불" is in "환불을", "card" in "card가").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import InputError
from bapsim.text.normalise import Codes, Points, Texts, fold, is_word

Mask = NDArray[np.bool_]
PARTS = ("all", "any", "none")
MOST, LONGEST = 24, 120  # terms of a rule, code points of a term
TWO_SIDED, ONE_SIDED = 1.959964, 1.281552  # 95 % on both sides, 90 % on one
_UNPARTED = np.array(  # first and last points of scripts that write words together
    [
        (0x0E00, 0x0EFF),  # Thai, Lao
        (0x1000, 0x109F),  # Burmese
        (0x1100, 0x11FF),  # Hangul
        (0x1780, 0x17FF),  # Khmer
        (0x2E80, 0x318F),  # radicals, kana, Hangul that keyboards type
        (0x31A0, 0x9FFF),  # Chinese characters
        (0xA960, 0xA97F),  # Hangul
        (0xAC00, 0xD7FF),  # Hangul
        (0xF900, 0xFAFF),  # Chinese characters
        (0x20000, 0x3FFFF),
    ],
    np.uint32,
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a text has: each of `all`, one of `any` if there are some, nothing of `none`; terms are folded.

    Raises InputError for a rule without a term, a term without a letter or digit, or too many of them.
    """

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in PARTS:
            said = fold(list(getattr(self, part)), LONGEST + 1)
            object.__setattr__(self, part, tuple(dict.fromkeys(said.strings())))
        if len(self.any) == 1:  # no choice: one rule, one form
            object.__setattr__(self, "all", tuple(dict.fromkeys([*self.all, *self.any])))
            object.__setattr__(self, "any", ())
        terms = self.terms
        if not 1 <= len(terms) <= MOST:
            raise InputError("rule_terms", terms=len(terms), most=MOST)
        for term in terms:
            if len(term) > LONGEST or not is_word(fold([term]).points).any():
                raise InputError("rule_term", term=term[:40], most=LONGEST)

    @property
    def terms(self) -> tuple[str, ...]:
        """All terms, in order."""
        return (*self.all, *self.any, *self.none)

    def json(self) -> dict[str, list[str]]:
        """As lines of people have it."""
        return {part: list(getattr(self, part)) for part in PARTS}


def rule_of(said: Any) -> Rule:
    """A rule from its JSON; raises InputError for what is none."""
    if not isinstance(said, Mapping) or not set(said) <= set(PARTS):
        raise InputError("rule_form", said=str(said)[:80])
    parts: dict[str, Any] = {part: said.get(part) or [] for part in PARTS}
    lists = all(isinstance(one, list | tuple) for one in parts.values())
    if not lists or not all(isinstance(term, str) for one in parts.values() for term in one):
        raise InputError("rule_form", said=str(said)[:80])
    return Rule(**{part: tuple(terms) for part, terms in parts.items()})


@dataclass(frozen=True, eq=False)
class Folded:
    """Texts as rules are matched in them: folded once, for many rules."""

    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def joined(self) -> str:
        """All texts end to end, a blank before, between and behind them."""
        return self.codes.points.astype("<u4").tobytes().decode("utf-32-le")

    @cached_property
    def goes_on(self) -> Mask:
        """bool[points]: letters and digits that are one word with a letter or digit beside them."""
        return parted(self.codes.points)


def folded(texts: Texts) -> Folded:
    """Texts to be matched; None is an empty one."""
    return Folded(fold(texts))


def parted(points: Points) -> Mask:
    """Which folded code points are letters, marks or digits of scripts that part words by blanks."""
    place = np.searchsorted(_UNPARTED[:, 0], points, side="right") - 1
    together = (place >= 0) & (points <= _UNPARTED[np.maximum(place, 0), 1])
    return np.asarray(is_word(points) & ~together)


def holding(term: str, texts: Folded) -> Mask:
    """bool[n]: texts that have a folded term."""
    found = np.zeros(len(texts), bool)
    at = np.array([hit.start() for hit in re.finditer(f"(?={re.escape(term)})", texts.joined)], np.int64)
    if not len(at):
        return found
    ends, points = at + len(term), texts.codes.points
    own = parted(np.array([ord(term[0]), ord(term[-1])], np.uint32))
    fits = ~(own[0] & texts.goes_on[at - 1]) & ~(own[1] & texts.goes_on[np.minimum(ends, len(points) - 1)])
    of = np.searchsorted(texts.codes.starts, at, side="right") - 1
    fits &= ends < texts.codes.starts[of + 1]  # "end" and "of" of two texts are no "end of"
    found[of[fits]] = True
    return found


def matching(rule: Rule, texts: Folded) -> Mask:
    """bool[n]: texts that a rule is about."""
    found = np.ones(len(texts), bool)
    for term in rule.all:
        found &= holding(term, texts)
    if rule.any:
        found &= np.logical_or.reduce([holding(term, texts) for term in rule.any])
    for term in rule.none:
        found &= ~holding(term, texts)
    return found


class Fit(NamedTuple):
    """How a rule fares on rows with labels of people: `rows` of them; those that it is about, and of these,
    those that have its label; labelled: rows with its label.
    """

    rows: int
    matched: int
    right: int
    labelled: int

    @property
    def coverage(self) -> float:
        """The share of the rows that it is about."""
        return self.matched / self.rows if self.rows else 0.0

    @property
    def precision(self) -> tuple[float, float, float]:
        """The share of what it is about that has its label, and the 95 % interval (Wilson); of nothing 0 to
        1.
        """
        return share(self.right, self.matched)

    @property
    def sure(self) -> float:
        """What the precision is at least, but for a chance of one in ten: it decides whether to follow it."""
        return share(self.right, self.matched, ONE_SIDED)[1]

    @property
    def recall(self) -> tuple[float, float, float]:
        """The share of its label that it is about, and the 95 % interval."""
        return share(self.right, self.labelled)

    def json(self) -> dict[str, Any]:
        """As plain values."""
        names = ("share", "low", "high")
        said = {"precision": self.precision, "recall": self.recall}
        told = {name: dict(zip(names, one, strict=True)) for name, one in said.items()}
        return {**self._asdict(), "coverage": self.coverage, "sure": self.sure, **told}


def share(hits: int, rows: int, z: float = TWO_SIDED) -> tuple[float, float, float]:
    """hits / rows with its interval by Wilson, z standard errors wide; of no rows 0, 0 and 1."""
    if not rows:
        return 0.0, 0.0, 1.0
    mean = hits / rows
    whole, middle = 1 + z * z / rows, mean + z * z / (2 * rows)
    half = z * (mean * (1 - mean) / rows + z * z / (4 * rows * rows)) ** 0.5
    return mean, max(min((middle - half) / whole, mean), 0.0), min(max((middle + half) / whole, mean), 1.0)


def fit_of(matched: Mask, labels: Sequence[str | None] | NDArray[Any], label: str) -> Fit:
    """How what a rule is about (bool[n]) goes with labels; None = no label, says nothing."""
    given = np.asarray(labels, object)
    known = np.array([one is not None for one in given], bool)
    mine = np.array([one == label for one in given], bool)
    return Fit(int(known.sum()), int((matched & known).sum()), int((matched & mine).sum()), int(mine.sum()))


def found_in(rule: Rule, text: str) -> Iterator[str]:
    """The terms of a rule that one text has, in the rule's order: what a page marks."""
    one = folded([text])
    return (term for term in rule.terms if holding(term, one)[0])
