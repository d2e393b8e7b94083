"""What asking machines cost, from their tape into the ledger: each source's bill in the turn that ran it.

The tape counts in millionths of a minor unit, the ledger in whole ones, rounded up once over all that a
source ever cost: what was held for a request that may have been billed is no cost until it is known to be.
"""

from __future__ import annotations

from dataclasses import dataclass

from bapsim.store.ledger import Ledger, now
from bapsim.store.machine_tape import MachineTape

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a source has cost in one currency since its last bill: minor units, requests that cost them."""

    currency: str
    minor: int
    calls: int


def bills(ledger: Ledger, tape: MachineTape) -> list[Bill]:
    """What the tape's purpose cost and the ledger does not have; costs of requests that went stay counted."""
    found = []
    for currency, spent in tape.spent().items() if tape.is_there else ():
        query = "select coalesce(sum(minor), 0) minor, coalesce(sum(calls), 0) calls from cost"
        had = ledger.row(f"{query} where what=? and currency=?", tape.purpose, currency) or {}
        minor = -(-spent.paid // MILLION) - int(had["minor"])
        if currency and minor > 0:
            found.append(Bill(currency=currency, minor=minor, calls=max(spent.requests - had["calls"], 0)))
    return found


def enter_bills(ledger: Ledger, turn: int, what: str, found: list[Bill]) -> None:
    """Write bills down, inside a change of the ledger."""
    for bill in found:
        n = int(ledger.value("select coalesce(max(n), 0) + 1 from cost"))
        ledger.add("cost", n=n, turn=turn, what=what, **vars(bill), at=now())
