"""What a loop is about to do and what it has told of it: service/watch.json, written before and after.

Whoever is killed in between finds there, in words, what a turn was made for, and tells it once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bapsim.store import fault


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """turn: which (0: none yet); pid: of the process that began it; why: in words; failed: it could not be
    made; line: of the history, as it is to stand there, empty before the turn ended; told: it stands there;
    recipe, inbox: digests of what was tried; drift: of requests when a turn was last made, by version.
    """

    turn: int = 0
    pid: int = 0
    why: str = ""
    failed: bool = False
    line: str = ""
    told: bool = True
    recipe: str | None = None
    inbox: str = ""
    drift: Mapping[str, float] = field(default_factory=dict)


def last_attempt(root: Path) -> Attempt:
    """The last one; a file that cannot be read says nothing."""
    try:
        said = json.loads(_place(root).read_text("utf-8"))
        return Attempt(**said) if all(_fits(name, value) for name, value in said.items()) else Attempt()
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Attempt()


def _fits(name: str, value: object) -> bool:
    """Whether a value is of the kind that was written."""
    usual = getattr(Attempt(), name, None)
    if name == "recipe":
        return value is None or isinstance(value, str)
    return isinstance(value, dict) if name == "drift" else type(value) is type(usual)


def keep(root: Path, one: Attempt) -> Attempt:
    """Write it, whole or not at all."""
    fault.write(_place(root), json.dumps(asdict(one)).encode())
    return one


def _place(root: Path) -> Path:
    return root / "service" / "watch.json"
