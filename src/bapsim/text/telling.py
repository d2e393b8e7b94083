"""Words that tell two groups of texts apart, and the rule that they suggest.

Nobody's personal data is among these words: a name that often stands in one group would tell it best. Words
of scripts without particles count whole, and two in a row; of Korean words, what they begin with, for a
particle is written onto the word (환불이, 환불을: 환불).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log
from typing import NamedTuple

import numpy as np

from bapsim.text.normalise import fold
from bapsim.text.pii import PEOPLE, scrub
from bapsim.text.rules import Folded, Mask, Rule, holding, share
from bapsim.text.words import strings, words

LOOKED_AT = 2000  # texts of each group that words are taken from
TRIED = 40  # words that a rule is tried with
COMMON = 8  # words of a group that a rule is tried with although others have them
TERMS = 4  # of a suggested rule, at most
FEWEST = 3  # texts that a word has to be in
FIRM = 0.7  # of the precision of a suggested rule, at least (the lower bound): ten of ten
SHORTEST, LONGEST = 2, 4  # syllables that a Korean word may begin with
_MASKED = re.compile(r"\[[A-Z]+(?:_[A-Z]+)*\]")  # what stands where something was masked
_FROM, _TO = ord("가"), ord("힣")


class Word(NamedTuple):
    """A term, and how many texts of either group have it."""

    term: str
    mine: int
    others: int


def telling(texts: Folded, mine: Mask, others: Mask, most: int = 6) -> list[Word]:
    """Terms that many of `mine` (bool[n]) and few of `others` have, the most telling first.

    By the log-likelihood ratio of Dunning 1993, those only that are commoner in `mine`.
    """
    sides = [_texts(texts, side) for side in (mine, others)]
    counts = [_counted(side) for side in sides]
    sizes = [max(len(side), 1) for side in sides]
    scored = []
    for term, n in counts[0].items():
        m = counts[1][term]
        if n >= min(FEWEST, sizes[0]) and n / sizes[0] > m / sizes[1]:
            scored.append((-_ratio(n, m, *sizes), len(term), term, n, m))
    found: list[Word] = []
    for _, _, term, n, m in sorted(scored):
        said = (one.term for one in found if one.mine <= n)
        if not any(term in one or one in term for one in said):  # "refund" says what "a refund" does
            found.append(Word(term, n, m))
        if len(found) == most:
            break
    return found


def suggestion(texts: Folded, mine: Mask, near: Mask, others: Mask) -> Rule | None:
    """The rule of a few terms that is right most often about `mine` against all `others`; None: none is.

    near: those of the others that `mine` is to be told from: its terms come from this difference.
    """
    said = [one.term for one in telling(texts, mine, near, TRIED)]
    said += [term for term, _ in _counted(_texts(texts, mine)).most_common(COMMON)]
    terms = {term: holding(term, texts) for term in said}
    against = [one.term for one in telling(texts, near, mine, TRIED)]
    holds = terms | {term: holding(term, texts) for term in against}
    best: float | None = None
    rule: dict[str, tuple[str, ...]] = {"all": (), "any": (), "none": ()}
    found = np.zeros(len(texts), bool)
    for _ in range(TERMS):
        tries = [
            (_worth(hit, mine, others), part, term)
            for part, term, hit in _longer(rule, found, terms, against, holds)
        ]
        if not tries:
            break
        worth, part, term = max(tries, key=lambda one: (one[0], one[1], one[2]))
        if best is not None and worth <= best + 1e-9:
            break
        rule = rule | {part: (*rule[part], term)}
        found = _about(rule, holds)
        best = worth
    if best is None or best <= 0:
        return None
    for part in ("any", "none"):  # what a later term made needless
        for term in rule[part]:
            less = rule | {part: tuple(one for one in rule[part] if one != term)}
            if less["any"] and _worth(_about(less, holds), mine, others) >= best:
                rule = less
    return Rule(**rule)


def _longer(
    rule: dict[str, tuple[str, ...]],
    found: Mask,
    terms: dict[str, Mask],
    against: Sequence[str],
    holds: dict[str, Mask],
) -> Iterator[tuple[str, str, Mask]]:
    """Each rule with one term more: another choice, or one that must not be there."""
    used = {term for part in rule.values() for term in part}
    for term, hit in terms.items():
        if term not in used:
            banned = np.logical_or.reduce([holds[one] for one in rule["none"]] or [np.zeros(len(hit), bool)])
            yield "any", term, (found | hit) & ~banned
    for term in against if rule["any"] else ():
        if term not in used:
            yield "none", term, found & ~holds[term]


def _about(rule: dict[str, tuple[str, ...]], holds: dict[str, Mask]) -> Mask:
    found = np.logical_or.reduce([holds[term] for term in rule["any"]])
    for term in rule["none"]:
        found = found & ~holds[term]
    return np.asarray(found)


def _worth(hit: Mask, mine: Mask, others: Mask) -> float:
    """What a rule is right about, as far as it is surely right."""
    right, wrong = int((hit & mine).sum()), int((hit & others).sum())
    low = share(right, right + wrong)[1]
    return float((low - FIRM) * (right**0.5 if low > FIRM else 1)) if right else -1.0


def _texts(texts: Folded, side: Mask) -> list[str]:
    at = np.flatnonzero(side)
    if len(at) > LOOKED_AT:
        at = at[np.linspace(0, len(at) - 1, LOOKED_AT).astype(np.int64)]
    starts = texts.codes.starts
    said = [texts.joined[starts[i] : starts[i + 1] - 1] for i in at.tolist()]
    return [_MASKED.sub(" ", one or "") for one in scrub(said, PEOPLE)[0]]


def _counted(texts: Sequence[str]) -> Counter[str]:
    """In how many texts each term is."""
    codes = fold(texts)
    there = words(codes)
    said: dict[int, list[str]] = {}
    for text, word in zip(there.texts.tolist(), strings(codes, there), strict=True):
        said.setdefault(text, []).append(word)
    return Counter(term for one in said.values() for term in dict.fromkeys(_terms(one)))


def _terms(said: Sequence[str]) -> Iterator[str]:
    for word in said:
        if _FROM <= ord(word[0]) <= _TO:
            yield from (word[:n] for n in range(SHORTEST, min(LONGEST, len(word)) + 1))
        elif len(word) > 1 and not word.isdigit():
            yield word
    for one, other in pairwise(said):
        if one.isascii() and other.isascii() and len(one) + len(other) > 4:
            yield f"{one} {other}"


def _ratio(n: int, m: int, size: int, other: int) -> float:
    """Twice the log-likelihood ratio of two shares against one."""
    mean = (n + m) / (size + other)

    def fits(hits: int, rows: int, chance: float) -> float:
        return (hits * log(chance) if hits else 0.0) + (
            (rows - hits) * log(1 - chance) if rows > hits else 0.0
        )

    alone = fits(n, size, n / size) + fits(m, other, m / other)
    return 2 * (alone - fits(n, size, mean) - fits(m, other, mean))
