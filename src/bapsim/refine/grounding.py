"""An answer is grounded when its passage says it: word for word, nearly, number for number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, audited, judged
from bapsim.text.canonical import LONGEST
from bapsim.text.grounds import claims, support, tokens

REASON = "ungrounded"
BIT = 3  # words: less of a sentence among others is a bit of one, and stands anywhere


@dataclass(frozen=True, kw_only=True)
class Grounded:
    """The verifier `grounded`: an answer whose every sentence stands in its passage nearly as it is, is kept;
    one with a number, or with too many words, that the passage does not hold, or that it denies, is refused
    (`ungrounded`). Of paraphrases it says nothing, nor where there is no passage.

    passage: the column that holds it.
    """

    passage: str
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        """asked: the row with the passage, or the passage itself."""
        given = asked.get(self.passage) if isinstance(asked, Mapping) else asked
        if not given:
            return None
        said = claims(answer)
        if len(answer) > LONGEST or not said:
            return False
        found = {support(claim, str(given)) for claim in said}
        if found & {"contradicted", "unsupported"}:
            return False
        bits = len(said) > 1 and any(len(tokens(claim)) < BIT for claim in said)
        return True if found == {"supported"} and not bits else None

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, REASON)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        """Answers of the same words in the same order are equal: case, points and blanks do not count."""
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS, equals=_same_words)


def _same_words(asked: Asked, gold: str, mutant: str) -> bool:
    return tokens(gold) == tokens(mutant)


def grounded(passage: str) -> Grounded:
    """The verifier `Grounded` for the passage in this column."""
    return Grounded(passage=passage)
