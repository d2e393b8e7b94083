"""An answer is right when it is the one that is known: exactly, or the letter of a choice, or a quantity.

For rows whose question came with its answer, where a machine wrote how one gets there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, audited, judged
from bapsim.text.canonical import LONGEST, choice, final_answer, same
from bapsim.text.units import quantity

REASON = "wrong_answer"


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """The verifier `known_answer`: an answer other than that in the column `key` is refused (`wrong_answer`).

    Of a worked answer, what stands behind ####, in \\boxed{}, behind "A:" or "the answer is" counts, the last
    of them. Silent where the row has no known answer.
    """

    key: str
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        """asked: the row with the column `key`, or the known answer itself."""
        known = asked.get(self.key) if isinstance(asked, Mapping) else asked
        if known is None or not str(known).strip():
            return None
        if len(answer) > LONGEST:
            return False
        right, said = (final_answer(text) or text for text in (str(known), answer))
        return is_answer(right, said)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, REASON)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS)


def known_answer(key: str) -> KnownAnswer:
    """The verifier `KnownAnswer` for this column."""
    return KnownAnswer(key=key)


def is_answer(right: str, said: str) -> bool:
    """Whether two answers are the same: in canonical form, as the letter of a choice in brackets, or as a
    number with a unit.
    """
    if same(right, said):
        return True
    if right.strip().startswith("("):
        return choice(right) is not None and choice(right) == choice(said)
    amount = quantity(right)
    return amount is not None and amount == quantity(said)
