"""A sorted list is right when it holds what the question lists, in the order asked for; no answer needed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from bapsim.core.errors import RecipeError
from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, audited, judged, prompt
from bapsim.text.canonical import LONGEST, final_answer, number

REASON = "not_sorted"
LISTED = r":\s*\[?([^\n:\[\]]+)"  # behind the first colon, to the end of its line
DOWN = (
    r"(?i)descend|largest (?:first|to smallest)|high(?:est)? to low|reverse|내림차순|큰 (?:수|것|순)|높은 순"
)
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


@dataclass(frozen=True, kw_only=True)
class SortedAnswer:
    """The verifier `sorted_answer`: a list that is not that of the question, in order, is refused
    (`not_sorted`).

    question: the column, the whole prompt if None; listed: a pattern whose first group is the list that is to
    be sorted; down: what in a question asks for the largest first. Numbers are compared as such, exactly,
    anything else as text, without case unless `case`. Silent where the question lists nothing.
    """

    question: str | None = None
    listed: str = LISTED
    down: str = DOWN
    case: bool = False
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        text = prompt(asked, self.question)
        found = re.search(self.listed, text)
        given = None if found is None else members(found[1])
        if given is None or len(given) < 2:
            return None
        if len(answer) > LONGEST:
            return False
        said = final_answer(answer) or answer
        there = members(said) if len(said) < 2 * len(text) + 200 else None
        if there is None:
            return False
        right, keys = _keys(given, self.case), _keys(there, self.case)
        down = re.search(self.down, text) is not None
        return Counter(right) == Counter(keys) and keys == sorted(keys, reverse=down)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, REASON)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        """Lists of the same members in the same order are equal, whatever stands between them."""
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS, equals=_same_list)


def members(text: str) -> list[str] | None:
    """The members of a list, in brackets or not, with commas or blanks between, without quotes; else None."""
    plain = text.strip().removesuffix(".").strip()
    if plain.startswith("[") and plain.endswith("]"):
        plain = plain[1:-1].strip()
    if not plain or "[" in plain or "]" in plain:
        return None
    found = [one.strip("\"'") for one in _BETWEEN.split(plain)]
    return found if all(found) else None


def _same_list(asked: Asked, gold: str, mutant: str) -> bool:
    return members(gold) is not None and members(gold) == members(mutant)


def _keys(listed: list[str], case: bool) -> list[tuple[Fraction, str]]:
    """Numbers by value where all are numbers, else texts by their letters."""
    values = [number(one) for one in listed]
    if all(value is not None for value in values):
        return [(value, "") for value in values if value is not None]
    return [(Fraction(0), one if case else one.casefold()) for one in listed]


def sorted_answer(
    *, question: str | None = None, listed: str = LISTED, down: str = DOWN, case: bool = False
) -> SortedAnswer:
    """The verifier `SortedAnswer`; raises RecipeError for a pattern that cannot be read, or has no group."""
    for pattern in (listed, down):
        try:
            groups = re.compile(pattern).groups
        except re.error as why:
            raise RecipeError("pattern_unreadable", pattern=pattern, why=str(why)) from why
        if pattern is listed and not groups:
            raise RecipeError("pattern_unreadable", pattern=pattern, why="no group")
    return SortedAnswer(question=question, listed=listed, down=down, case=case)
