"""When a turn pays: a stated rule over what has arrived since the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bapsim.core.errors import RecipeError

FEW = 3  # labels below which a class is rare


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What has come in since the last turn began.

    answers: filled lines of question sheets; files: other files; requests, corrections: lines of the log of
    the service; errors: thumbs down, and requests that fit no class, as people say; unsure: requests answered
    with less than half confidence; rare: labels that were given, of which fewer than three rows are known;
    drift: how much farther requests are from the training rows than when a turn was last made (judge.drift),
    None = too few; days: since the last turn; bytes: of all that, 0 = nothing came.
    """

    answers: int = 0
    files: int = 0
    requests: int = 0
    corrections: int = 0
    errors: int = 0
    unsure: int = 0
    rare: Mapping[str, int] = field(default_factory=dict)
    drift: float | None = None
    days: float = 0.0
    bytes: int = 0


class Reason(NamedTuple):
    """Why a turn pays now: a message key `pays.*` and what its text names."""

    key: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class When:
    """The first of these that holds makes a turn: a file that a person dropped; so many answers; corrections;
    errors; rows of a rare class; drift; or days, if anything came at all. rest: hours between two turns.
    """

    answers: int = 50
    corrections: int = 100
    errors: int = 50
    rare: int = 5
    drift: float = 0.25
    days: float = 7.0
    rest: float = 0.0

    def __call__(self, seen: Arrived) -> Reason | None:
        """Why a turn pays, or None."""
        if seen.days * 24 < self.rest or not seen.bytes:
            return None
        rare = {label: count for label, count in seen.rare.items() if count >= self.rare}
        checks = (
            (seen.files >= 1, "files", {"files": seen.files}),
            (seen.answers >= self.answers, "answers", {"answers": seen.answers}),
            (seen.corrections >= self.corrections, "corrections", {"corrections": seen.corrections}),
            (seen.errors >= self.errors, "errors", {"errors": seen.errors, "requests": seen.requests}),
            (bool(rare), "rare", {"labels": ", ".join(sorted(rare))}),
            (seen.drift is not None and seen.drift >= self.drift, "drift", {"drift": seen.drift}),
            (seen.days >= self.days, "days", {"days": round(seen.days)}),
        )
        return next((Reason(f"pays.{name}", values) for holds, name, values in checks if holds), None)


def when(
    *,
    answers: int = 50,
    corrections: int = 100,
    errors: int = 50,
    rare: int = 5,
    drift: float = 0.25,
    days: float = 7.0,
    rest: float = 0.0,
) -> When:
    """The rule by which `bapsim watch` runs a turn; see When for its clauses."""
    least = min(answers, corrections, errors, rare)
    if least < 1 or not drift > 0 or not days > 0 or not rest >= 0:
        raise RecipeError("when_out_of_range", least=least, drift=drift, days=days, rest=rest)
    return When(
        answers=answers, corrections=corrections, errors=errors, rare=rare, drift=drift, days=days, rest=rest
    )
