"""Who answers: the model that serves, a canary with its share of clients, a shadow, and who served before.

A lineup is never changed: a switch puts a new one in its place, and requests that have begun end on the old.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bapsim.serve.batching import Lane
from bapsim.serve.models import Served
from bapsim.serve.trial import Trial, Usual

PROBATION = 600.0, 1000  # seconds, and answers, for which who served before stands by


@dataclass(eq=False)
class Player:
    """A loaded model with its thread, and what is usual of it; large: requests that hold up others now."""

    served: Served
    lane: Lane
    usual: Usual = field(default_factory=Usual)
    large: int = 0

    @property
    def version(self) -> str:
        return self.served.version


@dataclass(frozen=True, kw_only=True, eq=False)
class Lineup:
    """serves; canary with its trial and share; shadow; before: who served until `trial_of_new` is over."""

    serves: Player
    canary: Player | None = None
    canary_trial: Trial | None = None
    share: float = 0.1
    shadow: Player | None = None
    before: Player | None = None
    new_trial: Trial | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def players(self) -> list[Player]:
        return [one for one in (self.serves, self.canary, self.shadow, self.before) if one is not None]

    @property
    def on_probation(self) -> bool:
        """Whether who served before stands by still."""
        if self.before is None or self.new_trial is None:
            return False
        seconds, answers = PROBATION
        return time.monotonic() - self.begun < seconds and self.new_trial.whole.answers < answers


def player(served: Served) -> Player:
    """A model that takes requests; to be called where the event loop runs."""
    answer: Callable[[Sequence[Any]], list[Any]] = served.answer
    one = Player(served, Lane(answer, served.version))
    one.lane.start()
    return one


def draws_canary(key: bytes, version: str, share: float, client: str) -> bool:
    """Whether a client is one of the share that a canary answers: always the same for one client."""
    digest = hashlib.blake2b(
        f"{version}\0{client}".encode("utf-8", "replace"), digest_size=8, key=key
    ).digest()
    return int.from_bytes(digest) < share * 2**64
