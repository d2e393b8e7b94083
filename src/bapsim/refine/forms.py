"""Answers of a given form: JSON of a schema, text of a pattern, of a length.

A form says what cannot be right. Only where the form is all that is asked may it let an answer in (`whole`);
otherwise an answer of the right form is left to other verifiers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bapsim.core.errors import RecipeError
from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, Guarded, audited, judged
from bapsim.text.json_schema import NotJson, fits, parsed, unknown_keywords


@dataclass(frozen=True, kw_only=True)
class FitsSchema:
    """The verifier `json_answer`: what is not one JSON value of the schema is refused (`not_the_schema`).

    schema: JSON; whole: any answer that fits is right.
    """

    schema: str
    whole: bool = False
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        return _said(Guarded(verify=self._fits)(asked, answer) is True, self.whole)

    def _fits(self, asked: Asked, answer: str) -> bool:
        try:
            return fits(parsed(answer), json.loads(self.schema))
        except NotJson:
            return False

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, "not_the_schema")

    def mutated(self, records: Records, turn: Turn) -> Audit:
        """With `whole`, what fits is right by definition, and is not counted."""
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS, equals=self._as_good)

    def _as_good(self, asked: Asked, gold: str, mutant: str) -> bool:
        return self.whole and self.accepts(asked, mutant) is True


def json_answer(schema: Mapping[str, Any], *, whole: bool = False) -> FitsSchema:
    """The verifier `FitsSchema`; raises RecipeError for a keyword of the schema that is not looked at."""
    if unknown := unknown_keywords(schema):
        raise RecipeError("schema_keywords", keywords=", ".join(sorted(unknown)))
    return FitsSchema(schema=json.dumps(schema, sort_keys=True, ensure_ascii=False), whole=whole)


@dataclass(frozen=True, kw_only=True)
class FitsPattern:
    """The verifier `pattern_answer`: what is not matched whole is refused (`not_the_pattern`), as is what
    takes too long to match; whole: any answer that matches is right.
    """

    pattern: str
    whole: bool = False
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        return _said(Guarded(verify=self._matches)(asked, answer) is True, self.whole)

    def _matches(self, asked: Asked, answer: str) -> bool:
        return re.fullmatch(self.pattern, answer.strip()) is not None

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, "not_the_pattern")

    def mutated(self, records: Records, turn: Turn) -> Audit:
        """With `whole`, what matches is right by definition, and is not counted."""
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS, equals=self._as_good)

    def _as_good(self, asked: Asked, gold: str, mutant: str) -> bool:
        return self.whole and self.accepts(asked, mutant) is True


def pattern_answer(pattern: str, *, whole: bool = False) -> FitsPattern:
    """The verifier `FitsPattern`; raises RecipeError for a pattern that cannot be read."""
    try:
        re.compile(pattern)
    except re.error as why:
        raise RecipeError("pattern_unreadable", pattern=pattern, why=str(why)) from why
    return FitsPattern(pattern=pattern, whole=whole)


@dataclass(frozen=True, kw_only=True)
class FitsLength:
    """The check `answer_length`: machine-made answers of fewer or more characters are refused
    (`answer_length`). It lets nothing in: it is no verifier.
    """

    least: int = 1
    most: int = 8192

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        return _said(self.least <= len(answer.strip()) <= self.most, whole=False)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, "answer_length")


def answer_length(least: int = 1, most: int = 8192) -> FitsLength:
    """The check `FitsLength`; raises RecipeError where no length is left."""
    if not 0 <= least <= most:
        raise RecipeError("answer_lengths", least=least, most=most)
    return FitsLength(least=least, most=most)


def _said(good: bool, whole: bool) -> bool | None:
    """A right form is no right answer, but where it is all that is asked."""
    return (True if whole else None) if good else False
