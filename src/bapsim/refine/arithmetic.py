"""A worked answer holds no calculation that is wrong, and ends with something that it worked out.

It says nothing about whether the right things were calculated: on answers of real models it takes most of the
wrong ones (docs/results/verifiers.md), so that its audit lets it rank, and not admit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, audited, judged
from bapsim.text.calculation import NoCalculation, comes_to, equations, value
from bapsim.text.canonical import LONGEST, final_answer, number

REASON = "wrong_arithmetic"


@dataclass(frozen=True, kw_only=True)
class RightArithmetic:
    """The verifier `right_arithmetic`: an answer with a wrong calculation, or whose final number is none of
    its results, is refused (`wrong_arithmetic`). Silent where nothing is calculated.
    """

    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        if len(answer) > LONGEST:
            return False
        steps = list(equations(answer))
        if not steps:
            return None
        try:
            if not all(comes_to(value(left), right) for left, right in steps):
                return False
            found = {value(right) for _, right in steps}
        except NoCalculation:
            return False
        end = final_answer(answer)
        if end is None:
            return True
        final = number(end)
        return final is not None and final in found

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, REASON)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS)


def right_arithmetic() -> RightArithmetic:
    """The verifier `RightArithmetic`."""
    return RightArithmetic()
