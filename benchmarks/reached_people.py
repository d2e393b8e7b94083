"""Bars of people's rights: withdrawal."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from reached_bar import Bar, read


def withdrawal() -> Iterator[Bar]:
    """Nothing is found after kills; the closure is quick and whole."""
    kills = read("withdraw_kills")
    found = f"{kills['found']} found, {kills['done']} of {kills['lives']} finished, {kills['kills']} kills"
    sound = not kills["found"] and kills["done"] == kills["lives"] and kills["kills"] >= 100
    asked = "withdrawal: canaries found in any file after 100 kills and the next run"
    yield Bar(asked, found, sound, "withdraw_kills")
    closure = read("withdraw_closure")
    seconds = median(wall for wall, _ in closure["warm"])
    asked = "withdrawal: closure among 1,000,000 records, an expert of 2,000, at most .1 s"
    yield Bar(asked, f"{seconds:.3f} s", seconds <= 0.1, "withdraw_closure")
    missed = closure["compared"]["missing"] + closure["compared"]["too_many"]
    yield Bar(
        "withdrawal: closure against a walk over all parents",
        f"{missed} differ",
        not missed,
        "withdraw_closure",
    )
