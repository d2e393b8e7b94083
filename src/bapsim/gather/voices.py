"""What people see at the label desk, and what they said of it: items and voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["label", "pair", "spans", "confirm"]
ANSWERS: Mapping[str, tuple[str, ...]] = {  # what may be said where no labels are declared
    "pair": ("a", "b", "tie"),
    "confirm": ("yes", "no"),
}


class Span(NamedTuple):
    """A part of a text, code points [start, end), with what it is."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What one person said of an item.

    said: a label, a set of labels (tuple of text), spans (tuple of Span), for a pair "a", "b" or "tie", None
    where nothing could be said; by: a pseudonym or the name that a file has; at: ISO time; seconds: spent;
    gold: declared right by the owner; skipped: the person left it.
    """

    said: Any
    by: str | None = None
    at: str | None = None
    seconds: float | None = None
    comment: str | None = None
    gold: bool = False
    skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to be judged. key: the source's own name; shows: its columns as text, in their order; guess:
    what a model says of it."""

    key: str
    shows: Mapping[str, str]
    voices: tuple[Voice, ...] = ()
    guess: Any = None
