"""Appeals against what became of a line or of a share, what was decided, and what was paid elsewhere.

What is decided in somebody's favour makes entries against the old ones; nothing is rewritten. That a sum was
paid is written down when somebody says so: no money is moved here.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import Any, Literal

from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.judge.pay import Pay, merit, prize
from bapsim.mods import Money
from bapsim.store.entries import OWED, Due, Entry, Transfer, book, obligation
from bapsim.store.ledger import Ledger, Row, now
from bapsim.store.project import Project
from bapsim.wheel.pay import SHARE
from bapsim.wheel.pay_tests import BONUS
from bapsim.wheel.pay_work import now_turn, rules

APPEAL, PAID = "appeal", "paid"
LONGEST = 2000  # characters of what somebody says
LISTED = 8

State = Literal["none", "appealed", "upheld", "dismissed"]


def appeal(project: Project, person: str, line: str, words: str) -> Row:
    """Somebody objects to what became of a line of theirs, or to their share of a model's gain.

    line: the line's id, consent/id, or a model's version. Returns the appeal as it was written down. Raises
    InputError where there is no such line of this person, or it was appealed against and is not decided.
    """
    ledger = project.ledger
    ref, said = _ref(ledger, person, line), _words(words)
    if standing(ledger, ref, person) in ("appealed", "upheld"):
        raise InputError("appealed_already", ref=ref, state=standing(ledger, ref, person))
    with ledger.change(APPEAL):
        return _add(ledger, ref=ref, person=person, state="appealed", decider="", why=said)


def decide(
    project: Project,
    ref: str,
    *,
    by: str,
    upheld: bool,
    why: str,
    amount: Money | None = None,
    person: str | None = None,
) -> Row:
    """Decide an open appeal. ref: as `appeals` tells it, or the line's id; person: whose, where several
    appealed against the same (shares of one model's gain).

    Upheld against a failed test, the test pays as one that was passed. amount: what is owed beside that.
    Raises InputError where no such appeal is open, and for who would decide their own.
    """
    ledger, reason, decider = project.ledger, _words(why), _words(by)
    one = _open(ledger, ref, person)
    if decider == one["person"]:
        raise InputError("own_appeal", ref=one["ref"], person=decider)
    state: State = "upheld" if upheld else "dismissed"
    if amount is not None and not upheld:
        raise InputError("amount_of_nothing")
    with ledger.change("appeal decided"):
        row = _add(ledger, ref=one["ref"], person=one["person"], state=state, decider=decider, why=reason)
        for transfer in _corrections(ledger, row, amount) if upheld else ():
            book(ledger, transfer)
    return row


def appeals(ledger: Ledger, person: str | None = None) -> list[Row]:
    """Every appeal and decision, of everybody or of one person, in the order of time."""
    rows = ledger.rows("select * from appeal order by n")
    return [row for row in rows if person in (None, row["person"])]


def standing(ledger: Ledger, ref: str, person: str) -> State:
    """Where the last appeal against something stands."""
    query = "select state from appeal where ref=? and person=? order by n desc limit 1"
    found: State | None = ledger.value(query, ref, person)
    return "none" if found is None else found


def open_appeals(ledger: Ledger) -> list[Row]:
    """Appeals that nobody has decided."""
    last = {(row["ref"], row["person"]): row for row in appeals(ledger)}
    return [row for row in last.values() if row["state"] == "appealed"]


def forget_words(ledger: Ledger, person: str | None = None, consent: str | None = None) -> int:
    """Inside `ledger.change`: erase what was said in appeals, by one person or about lines of one consent;
    that there were any stays. How many.
    """
    rows = [row for row in appeals(ledger, person) if row["state"] == "appealed" and row["why"]]
    rows = [row for row in rows if consent in (None, str(row["ref"]).partition("/")[0])]
    for row in rows:
        ledger.amend("appeal", {"n": row["n"]}, why="")
    return len(rows)


def paid(project: Project, person: str, amount: Money, *, by: str, note: str) -> bool:
    """Write down that somebody was paid elsewhere; False where the same was said before.

    The same sum with the same note is the same payment. Raises InputError for a person who has nothing here.
    """
    transfer = _payment(project.ledger, person, amount, by, note)
    with project.ledger.change(PAID):
        return book(project.ledger, transfer)


def unpaid(project: Project, person: str, amount: Money, *, by: str, note: str) -> bool:
    """Undo a payment that was written down in error, by a counter-entry; False where that was done before.

    Raises InputError where no payment of this sum with this note was written down.
    """
    ledger, one = project.ledger, _payment(project.ledger, person, amount, by, note)
    if ledger.value("select 1 from entry where transfer=?", one.name) is None:
        raise InputError("no_such_payment", person=person, amount=f"{amount.amount} {amount.currency}")
    entries = tuple(replace(entry, minor=-entry.minor) for entry in one.entries)
    with ledger.change(PAID):
        return book(ledger, replace(one, name=f"{one.name}:undo", entries=entries))


def _payment(ledger: Ledger, person: str, amount: Money, by: str, note: str) -> Transfer:
    said, who = _words(note), _words(by)
    known = [row["person"] for row in ledger.rows("select distinct person from worked order by person")]
    if person not in known:
        raise InputError("unknown_person", person=person, known=", ".join(known[:LISTED]) or "-")
    if not amount.minor:
        raise InputError("amount_of_nothing")
    name = digest(json.dumps([str(amount), said]).encode())
    return Transfer(
        name=f"{PAID}:{person}:{name}",
        currency=amount.currency,
        what=PAID,
        ref=person,
        turn=now_turn(ledger),
        why=json.dumps({"by": who, "note": said}, ensure_ascii=False),
        entries=(
            Entry(account=OWED, person=person, minor=-amount.minor),
            Entry(account=PAID, minor=amount.minor),
        ),
    )


def _corrections(ledger: Ledger, row: Row, amount: Money | None) -> list[Transfer]:
    """The entries of an appeal that was upheld: a failed test undone and paid in full, and the amount."""
    found = []
    query = "select * from entry where account=? and what=? and ref=? and person=?"
    old = ledger.row(query, OWED, BONUS, row["ref"], row["person"])
    turn = now_turn(ledger)
    if old is not None:
        rule, figures = _rule(ledger, row["ref"]), json.loads(old["why"])
        full = old["minor"] if rule is None else prize(rule.bonus, merit(True, figures["confidence"]))
        source = str(old["source"])
        for what, minor in (("undo", -int(old["minor"])), ("again", full)):
            about = _about(row, turn, what, str(old["currency"]))
            due = Due(person=row["person"], source=source, minor=minor)
            if minor:
                found.append(_from(BONUS, obligation(due, about)))
    if amount is not None:
        about = _about(row, turn, "amount", amount.currency)
        due = Due(person=row["person"], source=_source(ledger, row["person"]), minor=amount.minor)
        found.append(obligation(due, about))
    return found


def _about(row: Row, turn: int, what: str, currency: str) -> Transfer:
    name, why = f"{APPEAL}:{row['n']}:{what}", json.dumps({"appeal": row["n"], "part": what})
    return Transfer(name=name, currency=currency, what=APPEAL, ref=row["ref"], turn=turn, why=why)


def _from(account: str, one: Transfer) -> Transfer:
    """The same transfer out of another account."""
    owed, out = one.entries
    return replace(one, entries=(owed, replace(out, account=account)))


def _rule(ledger: Ledger, ref: str) -> Pay | None:
    consent, _, line = ref.partition("/")
    name = ledger.value("select rule from worked where consent=? and line=?", consent, line)
    return rules(ledger).get(str(name))


def _source(ledger: Ledger, person: str) -> str:
    found = ledger.value("select source from worked where person=? order by rowid desc limit 1", person)
    return "" if found is None else str(found)


def _add(ledger: Ledger, **row: Any) -> Row:
    n = int(ledger.value("select coalesce(max(n), 0) + 1 from appeal"))
    whole = {"n": n, **row, "turn": now_turn(ledger), "at": now()}
    ledger.add("appeal", **whole)
    return whole


def _ref(ledger: Ledger, person: str, line: str) -> str:
    """What somebody appeals against: a line of theirs, or a share."""
    consent, slash, name = line.partition("/")
    query = "select consent, line from worked where person=? and line=?"
    rows = ledger.rows(query, person, name if slash else line)
    refs = [f"{r['consent']}/{r['line']}" for r in rows if not slash or r["consent"] == consent]
    said = ledger.value("select output from stage where key=?", f"{SHARE}:{line}")
    players = [] if said is None else json.loads(said)["players"]
    refs += [line] if any(player["person"] == person for player in players) else []
    if len(refs) != 1:
        raise InputError("unknown_line", line=line[:80], person=person, known=", ".join(refs[:LISTED]) or "-")
    return refs[0]


def _open(ledger: Ledger, ref: str, person: str | None) -> Row:
    rows = [row for row in open_appeals(ledger) if person in (None, row["person"])]
    found = [row for row in rows if ref in (row["ref"], str(row["ref"]).partition("/")[2])]
    if len(found) != 1:
        known = ", ".join(f"{row['ref']} ({row['person']})" for row in rows[:LISTED])
        raise InputError("no_open_appeal", ref=ref[:80], known=known or "-")
    return found[0]


def _words(said: str) -> str:
    """What somebody says, without signs that nobody sees; raises InputError where that is nothing."""
    kept = "".join(c for c in said if c in "\n\t" or unicodedata.category(c)[0] != "C").strip()
    if not kept or len(kept) > LONGEST:
        raise InputError("no_words", most=LONGEST)
    return kept
