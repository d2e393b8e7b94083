"""Answers as the files of people have them, made ready for the question of who is right."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bapsim.raters.reliability import Blind, Said
from bapsim.raters.votes import Vote, counted
from bapsim.text.targets import decimal, joined, visible


def said_in(lines: Iterable[Mapping[str, Any]]) -> list[Said]:
    """The votes among lines of `inbox/people/`, in the order in which they were given."""
    votes = [one for one in lines if one.get("kind") == "vote" and one.get("question") and one.get("person")]
    return [_said(one) for one in sorted(votes, key=lambda one: (str(one.get("at")), str(one.get("id"))))]


def _said(line: Mapping[str, Any]) -> Said:
    told = line.get("said")
    blind: Blind | None = "gold" if line.get("blind") == "gold" else None
    return Said(
        person=str(line["person"]),
        item=str(line["question"]),
        label=None if line.get("cannot_tell") or told is None else written_answer(told),
        confidence=_share(line.get("confidence")),
        peers=_share(line.get("peers")),
        blind="again" if line.get("blind") == "again" else blind,
    )


def written_answer(told: Any) -> str:
    """A label, a list of labels or a number in the one form that equal answers share."""
    if isinstance(told, list | tuple):
        return joined(str(one) for one in told)
    if isinstance(told, int | float) and not isinstance(told, bool) and abs(told) <= sys.float_info.max:
        return decimal(told)
    return visible(str(told))


def _share(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    held = min(max(value, -1), 2)  # a whole number of JSON may be longer than a float
    return None if math.isnan(held) else min(max(float(held), 0.0), 1.0)


def said_of_votes(said: Sequence[Sequence[Vote]], known: Mapping[int, str] | None = None) -> list[Said]:
    """Votes of a file on its items, by position, as answers; those whose label is known were blind tests."""
    known = known or {}
    return [
        Said(person=rater, item=str(i), label=label, blind="gold" if i in known else None)
        for i, one in enumerate(said)
        for rater, label in counted(one)
        if rater is not None
    ]
