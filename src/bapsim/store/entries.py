"""Who owes what to whom: double entry in the ledger, in whole minor units, and nothing is ever rewritten.

A transfer is a few entries of one currency that sum to zero: what a person has coming stands in the account
OWED, and where it comes from in another. A transfer has a name; written twice, it is there once. A correction
is a transfer of its own. These are obligations: no money is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bapsim.core.errors import InputError
from bapsim.store.ledger import Finding, Ledger, Row, now

OWED = "owed"  # what persons have coming; of every other account the entries are what it came from
MOST = 2**53  # minor units of a currency in one entry, so that every reader of JSON sees the same number


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One side of a transfer: minor units, signed, on an account; of a person or source, "" = of neither."""

    account: str
    minor: int
    person: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Entries of one currency that sum to zero.

    name: what makes it the one that it is; what: time, bonus, share, appeal or paid; ref: what it is for: a
    consent, a line, a model; why: the figures that it was made of, as JSON; turn: the last that had begun.
    """

    name: str
    currency: str
    what: str
    ref: str
    turn: int
    why: str = "{}"
    entries: Sequence[Entry] = ()


def book(ledger: Ledger, one: Transfer) -> bool:
    """Write a transfer, inside `ledger.change`; False where one of its name stands already.

    Raises InputError where it does not sum to zero, or nothing is in it. A test that paid nothing is written
    down, too.
    """
    total = sum(entry.minor for entry in one.entries)
    if total or not one.entries or any(abs(entry.minor) > MOST for entry in one.entries):
        raise InputError("unbalanced", transfer=one.name, total=total)
    if ledger.value("select 1 from entry where transfer=?", one.name) is not None:
        return False
    last = int(ledger.value("select coalesce(max(n), 0) from entry"))
    about = {"currency": one.currency, "what": one.what, "why": one.why, "ref": one.ref, "turn": one.turn}
    for n, entry in enumerate(one.entries, last + 1):
        ledger.add("entry", n=n, transfer=one.name, **vars(entry), **about, at=now())
    return True


@dataclass(frozen=True, kw_only=True)
class Due:
    """What somebody has coming, and for which source's rows."""

    person: str
    source: str
    minor: int


def obligation(due: Due, about: Transfer) -> Transfer:
    """A transfer with its entries: so much more for a person (less, where it is negative), from the account
    that is called as what it is for.
    """
    owed = Entry(account=OWED, minor=due.minor, person=due.person, source=due.source)
    return replace(about, entries=(owed, Entry(account=about.what, minor=-due.minor, source=due.source)))


def has_entries(ledger: Ledger) -> bool:
    """Whether the ledger knows entries: one that an older program wrote does, once it was written to."""
    return ledger.value("select 1 from sqlite_master where type='table' and name='entry'") is not None


def unbalanced(ledger: Ledger) -> list[Finding]:
    """Transfers that do not sum to zero, or are in two currencies."""
    if not has_entries(ledger):
        return []
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
