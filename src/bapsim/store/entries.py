"""Who owes what to whom: double entry in the ledger, in whole minor units, and nothing is ever rewritten.

A transfer is a few entries of one currency that sum to zero: what a person has coming stands in the account
OWED, and where it comes from in another. A transfer has a name; written twice, it is there once. A correction
is a transfer of its own. These are obligations: no money is moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bapsim.core.errors import InputError
from bapsim.store.ledger import Finding, Ledger, Row, now

OWED = "owed"  # what persons have coming; of every other account the entries are what it came from
MOST = 2**53  # minor units of a currency in one entry, so that every reader of JSON sees the same number


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One side of a transfer: minor units, signed, on an account; of a person or a source, "" = of neither."""

    account: str
    minor: int
    person: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Entries of one currency that sum to zero.

    name: what makes it the one that it is; what: time, bonus, share, appeal or paid; why: a reason in words,
    "" where `what` and `ref` say it all; ref: what it is for: a consent, a line, a model; turn: the last one
    that had begun.
    """

    name: str
    currency: str
    entries: Sequence[Entry]
    what: str
    ref: str
    turn: int
    why: str = ""


def book(ledger: Ledger, one: Transfer) -> bool:
    """Write a transfer, inside `ledger.change`; False where one of its name stands already.

    Raises InputError where it does not sum to zero, or nothing is in it.
    """
    total = sum(entry.minor for entry in one.entries)
    if total or not one.entries or any(not 0 < abs(entry.minor) <= MOST for entry in one.entries):
        raise InputError("unbalanced", transfer=one.name, total=total)
    if ledger.value("select 1 from entry where transfer=?", one.name) is not None:
        return False
    n = int(ledger.value("select coalesce(max(n), 0) from entry"))
    about = {"currency": one.currency, "what": one.what, "why": one.why, "ref": one.ref, "turn": one.turn}
    for n, entry in enumerate(one.entries, n + 1):
        ledger.add("entry", n=n, transfer=one.name, **vars(entry), **about, at=now())
    return True


def obligation(
    person: str, source: str, minor: int, currency: str, *, what: str, ref: str, turn: int, name: str
) -> Transfer:
    """So much more for a person (less, where it is negative), from the account that is called as `what`."""
    owed = Entry(account=OWED, minor=minor, person=person, source=source)
    out = Entry(account=what, minor=-minor, source=source)
    return Transfer(name=name, currency=currency, entries=(owed, out), what=what, ref=ref, turn=turn)


def unbalanced(ledger: Ledger) -> list[Finding]:
    """Transfers that do not sum to zero, or are in two currencies."""
    query = (
        "select transfer from entry group by transfer"
        " having sum(minor) <> 0 or count(distinct currency) > 1 order by min(n)"
    )
    return [Finding("unbalanced", str(row["transfer"])) for row in ledger.rows(query)]


def balances(ledger: Ledger, account: str = OWED) -> dict[str, dict[str, int]]:
    """By person and currency, what stands on an account: minor units; persons whose account is level, too."""
    found: dict[str, dict[str, int]] = {}
    query = (
        "select person, currency, sum(minor) minor from entry where account=? group by person, currency"
        " order by person, currency"
    )
    for row in ledger.rows(query, account):
        found.setdefault(str(row["person"]), {})[str(row["currency"])] = int(row["minor"])
    return found


def entries_of(ledger: Ledger, person: str) -> list[Row]:
    """The entries on a person's account, in the order in which they were written."""
    return ledger.rows("select * from entry where account=? and person=? order by n", OWED, person)


def owed_for(ledger: Ledger, what: str, ref: str) -> Mapping[str, int]:
    """By person, what was written down so far for one thing: minor units."""
    query = "select person, sum(minor) minor from entry where account=? and what=? and ref=? group by person"
    return {str(row["person"]): int(row["minor"]) for row in ledger.rows(query, OWED, what, ref)}
