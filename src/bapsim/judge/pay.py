"""What people's work earns: a rule that they can read, and the sums that follow from it.

Time is paid, tests and rejected answers included. A hidden test pays by a proper score: whoever says what
they hold for right, and how sure they are of it, can expect most. An accepted turn pays a share of what its
points are worth. All of it is an obligation that is written down; no money is moved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import digest
from bapsim.mods import Money, money

HOUR = 3_600_000  # milliseconds
SURE = 0.5  # how much of a test's score is for how sure somebody was; the rest is for being right
MOST_IDLE = 60.0  # minutes


@dataclass(frozen=True, kw_only=True)
class Pay:
    """What a project promises to pay.

    hour: for an hour of work; bonus: the most that one hidden test pays; share: of what an accepted turn
    gained, the part that goes to those whose data made it; worth: of one point of that gain; idle: minutes
    that count as work at most, where nothing was answered.
    """

    hour: Money
    bonus: Money
    share: float
    worth: Money
    idle: float

    @property
    def id(self) -> str:
        """What a consent names; another rule has another one."""
        return "pay-" + digest(json.dumps(self.said(), sort_keys=True).encode())[:12]

    def said(self) -> dict[str, Any]:
        """The rule as plain values, from which `understood` makes it again."""
        amounts = {name: str(getattr(self, name)) for name in ("hour", "bonus", "worth")}
        return {**amounts, "share": self.share, "idle": self.idle}


def pay(
    *,
    hour: str | Money,
    bonus: str | Money | None = None,
    share: float = 0.0,
    worth: str | Money | None = None,
    idle: float = 5.0,
) -> Pay:
    """The pay rule of a project: amounts as people write them ("30,000 KRW"), a share of 0 to 1, minutes.

    Raises InputError for what is no amount, RecipeError for a share or minutes out of range.
    """
    base = _amount(hour)
    nothing = Money(minor=0, currency=base.currency)
    if not 0 <= share <= 1 or not 0 < idle <= MOST_IDLE:
        raise RecipeError("pay_out_of_range", share=share, idle=idle, most=MOST_IDLE)
    return Pay(
        hour=base,
        bonus=nothing if bonus is None else _amount(bonus),
        share=float(share),
        worth=nothing if worth is None else _amount(worth),
        idle=float(idle),
    )


def _amount(said: str | Money) -> Money:
    return said if isinstance(said, Money) else money(said)


def understood(said: Mapping[str, Any]) -> Pay:
    """The rule whose plain values these are."""
    amounts = {}
    for name in ("hour", "bonus", "worth"):
        minor, currency = str(said[name]).split()
        amounts[name] = Money(minor=int(minor), currency=currency)
    return Pay(**amounts, share=float(said["share"]), idle=float(said["idle"]))


# --------------------------------------------------------------------------- time


def spent(seconds: object) -> int:
    """Milliseconds that an answer is said to have taken: 0 for what is no time, an hour at most."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return 0
    return round(float(min(seconds, MOST_IDLE * 60)) * 1000)


def clocked(answers: Iterable[tuple[float, int]], idle: float) -> int:
    """Milliseconds of work: answers as (when each was given, in seconds; milliseconds that it took).

    No answer counts for more than `idle` minutes. Answers no farther apart than that are one sitting, and a
    sitting is no longer than the clock says: from its first answer to its last, and `idle` for what came
    before the first. Whoever does one thing at a time never meets that bound. One more answer never makes it
    less, whatever its time.
    """
    pause, total, sitting, first, last = idle * 60, 0, 0, 0.0, -math.inf
    for at, took in sorted(answers):
        if at - last > pause:
            total += _bounded(sitting, last - first, pause)
            sitting, first = 0, at
        sitting, last = sitting + min(took, round(pause * 1000)), at
    return total + _bounded(sitting, last - first, pause)


def _bounded(took: int, span: float, pause: float) -> int:
    return min(took, round((span + pause) * 1000)) if took else 0


def wage(worked: int, hour: Money) -> int:
    """Minor units for so many milliseconds, rounded up: nobody works for nothing."""
    return -(-worked * hour.minor // HOUR)


# --------------------------------------------------------------------------- tests


def merit(right: bool | None, confidence: float | None = None) -> float:
    """What one hidden test pays, as a part of the most that it can, 0 to 1.

    right: the answer is the known one, None = "cannot tell"; confidence: how likely they said it to be right,
    None = they were not asked, which counts as sure. A quadratic score (Brier 1950) mixed half and half with
    being right or not: of all answers the one that is likeliest right can expect most, and of all confidences
    the true one. "Cannot tell" is better than to be sure and wrong.
    """
    sure = 1.0 if confidence is None else min(max(confidence, 0.0), 1.0)
    if right is None:
        score = 0.0
    elif right:
        score = (1 - SURE) + SURE * (2 * sure - sure * sure)
    else:
        score = -SURE * sure * sure
    return (SURE + score) / (1 + SURE)


def prize(most: Money, part: float) -> int:
    """Minor units of a test that pays this part of its most."""
    return min(math.floor(most.minor * part + 0.5), most.minor)


# --------------------------------------------------------------------------- shares


def pot(points: float, rule: Pay) -> int:
    """Minor units that a turn's gain of so many points brings to those who made it; 0 for a loss."""
    gained = Fraction(f"{points:.2f}") if math.isfinite(points) else Fraction(0)
    return math.floor(max(gained, Fraction(0)) * Fraction(str(rule.share)) * rule.worth.minor)


def divided(total: int, weights: Sequence[float]) -> list[int]:
    """Minor units by weight (not below 0): whole ones, which sum to the total (Hamilton's method).

    Where nobody weighs anything, nobody gets anything.
    """
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    if not whole:
        return [0] * len(weights)
    parts = [total * weight / whole for weight in exact]
    found = [math.floor(part) for part in parts]
    order = sorted(range(len(parts)), key=lambda i: (found[i] - parts[i], i))
    for i in order[: total - sum(found)]:
        found[i] += 1
    return found
