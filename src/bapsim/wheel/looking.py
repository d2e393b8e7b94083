"""Looks at the exam in the ledger: intended at their full price before their result is known, told once."""

from __future__ import annotations

from typing import Any

from bapsim.judge.duel import Verdict
from bapsim.store.ledger import Ledger, now

Look = tuple[int, str, str]  # exam version, what was looked at, whom it was compared with
ONE = "exam=? and candidate=? and champion=?"


def intend(ledger: Ledger, look: Look, turn: int, level: float) -> None:
    """Write a look down at its full price; one that is known already is not another."""
    if ledger.value(f"select 1 from look where {ONE}", *look) is None:  # noqa: S608
        with ledger.change("look intended"):
            ledger.add("look", **_key(look), turn=turn, alpha=level, verdict=None, at=now())


def verdict_of(ledger: Ledger, look: Look) -> Verdict | None:
    """What a look said; None where it was not made, or died half-way."""
    found: Verdict | None = ledger.value(f"select verdict from look where {ONE}", *look)  # noqa: S608
    return found


def tell(ledger: Ledger, look: Look, verdict: Verdict, alpha: float) -> Verdict:
    """The result of a look, once: who resumes finds it told, and another gate does not change it."""
    told = verdict_of(ledger, look)
    if told is None:
        with ledger.change("look judged"):
            ledger.amend("look", _key(look), verdict=verdict, alpha=alpha)
    return told or verdict


def _key(look: Look) -> dict[str, Any]:
    return dict(zip(("exam", "candidate", "champion"), look, strict=True))
