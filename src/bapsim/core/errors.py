"""What can go wrong, as one tree, and how it is said.

    BapsimError            every error that a person is meant to read
    ├── InputError         a file, row or argument that cannot be used
    ├── RecipeError        the recipe is wrong, or a step has no identity
    ├── NotEnough          too little data for what was asked
    ├── StoreError         the project's own files
    │   ├── Locked         another process writes
    │   └── Damaged        edited, cut, lost or rewritten
    ├── ExchangeError      a dialogue that changed since it was answered, or answers that do not fit
    │   └── Waiting        not a failure: people have not answered yet
    ├── Spent              the ceiling of money or calls is reached
    └── MissingExtra       a part is not installed

An error holds a message key and values; the texts (what happened, why it matters, what to type next)
live in `bapsim/messages/*.json`, English and Korean side by side.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

from bapsim.core.particles import settled

MESSAGES = Path(__file__).parent.parent / "messages"


@cache
def messages() -> dict[str, dict[str, Any]]:
    """All texts by key, each with its languages; read once."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(MESSAGES.glob("*.json")):
        found |= json.loads(path.read_text("utf-8"))
    return found


def text(key: str, lang: str = "en", /, **values: object) -> str:
    """One message in one language; a text of several parts is joined by line breaks, and Korean particles
    follow the values.
    """
    said = messages()[key][lang]
    whole = "\n".join(part for part in said if part) if isinstance(said, list) else said
    filled = str(whole.format(**values))
    return settled(filled) if lang == "ko" else filled


class BapsimError(Exception):
    """Carries a message key and its values; `say(lang)` renders it, `str()` is English."""

    def __init__(self, key: str, /, **values: object) -> None:
        super().__init__(key, values)
        self.key, self.values = key, values

    def say(self, lang: str = "en") -> str:
        return text(f"error.{self.key}", lang, **self.values)

    def __str__(self) -> str:
        return self.say()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.key, **self.values), ()  # else a worker's error breaks its pool


class InputError(BapsimError):
    """A file, row or argument that cannot be used."""


class RecipeError(BapsimError):
    """The recipe is wrong, or a step in it has no identity."""


class NotEnough(BapsimError):
    """Too little data for what was asked; says how much is missing."""


class StoreError(BapsimError):
    """Something about the project's own files."""


class Locked(StoreError):
    """Another process is writing to this project."""


class Damaged(StoreError):
    """The project's files were edited, cut, lost or rewritten."""


class ExchangeError(BapsimError):
    """A dialogue changed since it was answered, or the answers do not fit the questions."""


class Waiting(ExchangeError):
    """Questions wait for people; nothing is lost, ask again at a later turn."""


class Spent(BapsimError):
    """A ceiling of money or calls is reached; nothing was asked."""


class MissingExtra(BapsimError):
    """A part is not installed; says which command installs it."""
