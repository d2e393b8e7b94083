"""Novice or expert, by as few test questions as can tell: Wald's sequential test of .75 against .90.

Twenty questions tell a novice from an expert, not a good one from a very good one: what lies between takes 33
questions in the mean, and stays undecided until then.
Source: Wald 1945.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

NOVICE, EXPERT = 0.75, 0.90  # shares of right answers that are told apart
ERROR = 0.05  # of either kind
Standing = Literal["novice", "expert", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Test:
    """standing: the last verdict reached; asked: answers that were counted; evidence: the log of the odds for
    expert against novice, between the two bounds of the test.
    """

    standing: Standing
    asked: int
    evidence: float


def tested(right: Iterable[bool]) -> Test:
    """The verdict on answers in the order in which they were given.

    Who reached a bound stays there until the other one is reached, and the evidence never goes beyond a
    bound, so that somebody who was good and no longer is, is found again in as many questions as anybody
    else.
    """
    bound = math.log((1 - ERROR) / ERROR)
    gain, loss = math.log(EXPERT / NOVICE), math.log((1 - EXPERT) / (1 - NOVICE))
    evidence, asked = 0.0, 0
    standing: Standing = "undecided"
    for one in right:
        asked += 1
        evidence = min(max(evidence + (gain if one else loss), -bound), bound)
        if evidence == bound:
            standing = "expert"
        elif evidence == -bound:
            standing = "novice"
    return Test(standing=standing, asked=asked, evidence=evidence)
