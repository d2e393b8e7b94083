"""What was paid, and for which source: events in the ledger, never part of a recipe.

A price says nothing about data or models. In a recipe it would change their identity: sources would be read
anew when a rate is raised.
"""

from __future__ import annotations

from collections.abc import Collection

from bapsim.mods import Money
from bapsim.store.ledger import Ledger, now
from bapsim.store.project import Project

FILE = "file:"  # how a cost of an inbox file is named; other costs bear the name of their source
Costs = dict[str, int]  # minor units by currency


def pay_for(project: Project, path: str, cost: Money) -> bool:
    """Write down what a file of the inbox cost (path: as in `Origin.batch`); said again, it replaces the old.

    It belongs to the next turn that begins. Returns whether anything changed.
    """
    ledger, what = project.ledger, FILE + path
    old = ledger.row("select n, minor, currency from cost where what=?", what)
    if old is not None and (old["minor"], old["currency"]) == (cost.minor, cost.currency):
        return False
    money = {"minor": cost.minor, "currency": cost.currency}
    with ledger.change("cost") as changed:
        if old is not None:
            changed.amend("cost", {"n": old["n"]}, **money)
        else:
            n = int(ledger.value("select coalesce(max(n), 0) + 1 from cost"))
            turn = int(ledger.value("select coalesce(max(n), 0) + 1 from turn"))
            changed.add("cost", n=n, turn=turn, what=what, **money, calls=1, at=now())
    return True


def costs_by_source(ledger: Ledger, sources: Collection[str]) -> dict[str | None, Costs]:
    """What was paid so far for each source; under None what no source has read as yet."""
    query = "select batch file, source from origin where batch <> '' union select file, source from unread"
    files = [(str(r["file"]), str(r["source"])) for r in ledger.rows(query)]
    found: dict[str | None, Costs] = {}
    for row in ledger.rows("select what, minor, currency from cost order by n"):
        what = str(row["what"])
        source: str | None = what
        if what.startswith(FILE):  # a folder is one delivery to who pays, its files are many
            path = what.removeprefix(FILE)
            source = next((s for file, s in files if file == path or file.startswith(f"{path}/")), None)
        _add(found.setdefault(source if source in sources else None, {}), row["currency"], row["minor"])
    return found


def paid_files(ledger: Ledger) -> list[tuple[str, int, str]]:
    """Files of the inbox that cost something: their path there, minor units, currency."""
    rows = ledger.rows("select what, minor, currency from cost where what like 'file:%' order by n")
    return [(str(r["what"]).removeprefix(FILE), int(r["minor"]), str(r["currency"])) for r in rows]


def costs_of_turn(ledger: Ledger, n: int) -> Costs:
    """What was paid for turn n."""
    found: Costs = {}
    for row in ledger.rows("select minor, currency from cost where turn=? order by n", n):
        _add(found, row["currency"], row["minor"])
    return found


def _add(costs: Costs, currency: str, minor: int) -> None:
    costs[currency] = costs.get(currency, 0) + int(minor)
