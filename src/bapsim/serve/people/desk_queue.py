"""Which item a person gets next, what is done with the answer, and when an item has been asked about enough.

One person has one item at a time, for LEASE seconds; two people never hold the last vote that an item needs.
Blind tests (answers that are known) and items of one's own, asked again, look like all others.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bapsim.core.turn import named_seed
from bapsim.serve.people import lines
from bapsim.serve.people.desk_tables import change, done, item, lease
from bapsim.serve.people.events import tell
from bapsim.serve.people.tables import line
from bapsim.serve.refused import Refused
from bapsim.store.ledger import now
from bapsim.store.sealing import Keys

LEASE = 900.0  # seconds for which an item is kept for who has it
AHEAD = 60  # open items that are looked at at once for the next one
EARLY, LATER = 4, 12  # one item in so many is a blind test: of the first TRIAL answers, and afterwards
TRIAL = 20
AGAIN, BEFORE = 20, 15  # one item in so many is one's own again, answered at least so many answers before
MOST = 5  # votes on one item
SAID, SKIPPED, UNDONE, SETTLED, OPENED = "said", "skipped", "undone", "settled", "opened"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The item that a person has before them: its row, and which blind test it is (gold, again), if any."""

    row: Mapping[str, Any]
    blind: str | None


def wanted(votes: Sequence[Any], guess: Any) -> int:
    """How many votes an item needs, by what was said so far: one; three where that one and the model differ,
    or it says that nobody can tell; MOST where there is no majority of two.
    """
    if not votes:
        return 1
    most = Counter(_json(one) for one in votes).most_common(2)
    if most[0][1] > len(votes) / 2 and (len(votes) > 1 or not _odd(votes[0], guess)):
        return len(votes)
    return 3 if len(votes) < 3 else MOST


def _odd(said: Any, guess: Any) -> bool:
    return said is None or (guess is not None and said != guess)


def take(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    """The item that a person has, or the next one, kept for them from now on; None where none is left."""
    found = held(connection, name, who) or _next(connection, keys, name, who)
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.person == who))
    if found is not None:
        row = {"job": name, "person": who, "item": found.row["id"], "blind": found.blind}
        connection.execute(lease.insert().values(**row, until=time.time() + LEASE))
    return found


def held(connection: sa.Connection, name: str, who: str) -> Held | None:
    """What a person has before them, if it is still theirs."""
    query = sa.select(lease).where(lease.c.job == name, lease.c.person == who, lease.c.until > time.time())
    mine = connection.execute(query).mappings().first()
    row = None if mine is None else row_of(connection, name, mine["item"])
    return (
        None if mine is None or row is None or row["state"] == "gone" else Held(row=row, blind=mine["blind"])
    )


def row_of(connection: sa.Connection, name: str, one: str) -> dict[str, Any] | None:
    """An item of a job."""
    found = connection.execute(sa.select(item).where(item.c.job == name, item.c.id == one)).mappings().first()
    return None if found is None else dict(found)


def _next(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    query = sa.select(done.c.item).where(done.c.job == name, done.c.person == who, done.c.what == SAID)
    said = [str(row.item) for row in connection.execute(query.order_by(done.c.seq))]
    draw = named_seed("desk", name, who, len(said))  # nobody can tell when a test comes
    if draw % (EARLY if len(said) < TRIAL else LATER) == 0:
        tests = _rows(connection, name, who, item.c.gold.is_not(None))
        if tests:
            return Held(row=tests[draw // 16 % len(tests)], blind="gold")
    if len(said) > BEFORE and draw // 64 % AGAIN == 0:
        again = _mine_again(connection, name, said)
        if again:
            return Held(row=again[draw // 1024 % len(again)], blind="again")
    row = next(_open(connection, keys, name, who), None)
    return None if row is None else Held(row=row, blind=None)


def _rows(
    connection: sa.Connection, name: str, who: str, also: Any, start: int = 0, most: int = AHEAD
) -> list[dict[str, Any]]:
    """Items of a job that this person has neither answered nor skipped, in the order of asking."""
    mine = sa.exists().where(done.c.job == name, done.c.item == item.c.id, done.c.person == who)
    query = sa.select(item).where(item.c.job == name, item.c.state == "open", also, ~mine)
    query = query.order_by(item.c.place, item.c.seq).offset(start).limit(most)
    return [dict(row) for row in connection.execute(query).mappings()]


def _mine_again(connection: sa.Connection, name: str, said: Sequence[str]) -> list[dict[str, Any]]:
    """Items that this person answered a while ago, and once."""
    times = Counter(said)
    early = [one for one in said[:-BEFORE] if times[one] == 1][-200:]
    query = sa.select(item).where(
        item.c.job == name, item.c.id.in_(early), item.c.gold.is_(None), item.c.state != "gone"
    )
    return [dict(row) for row in connection.execute(query.order_by(item.c.seq)).mappings()]


def _open(connection: sa.Connection, keys: Keys, name: str, who: str) -> Iterator[dict[str, Any]]:
    """Items that need one more vote than they have, and will have from who holds them."""
    others = sa.select(lease.c.item).where(lease.c.job == name, lease.c.person != who)
    others = others.where(lease.c.until > time.time(), lease.c.blind.is_(None))
    taken = Counter(str(row.item) for row in connection.execute(others))
    start = 0
    while rows := _rows(connection, name, who, item.c.gold.is_(None), start):
        votes = votes_on(connection, keys, name, [row["id"] for row in rows])
        for row in rows:
            said = votes.get(row["id"], [])
            if len(said) + taken[row["id"]] < wanted(said, guess_of(row)):
                yield row
        start += len(rows)


def guess_of(row: Mapping[str, Any]) -> Any:
    """What the model says of an item; the probability of an item to confirm is no answer."""
    return None if row["guess"] is None or row["guess"][:1] in "0123456789" else json.loads(row["guess"])


def votes_on(connection: sa.Connection, keys: Keys, name: str, items: Sequence[str]) -> dict[str, list[Any]]:
    """What people said of each item, tests left out: None for "cannot tell"."""
    found: dict[str, list[Any]] = {}
    query = sa.select(done.c.item.label("of"), line).join(line, line.c.id == done.c.line)
    query = query.where(done.c.job == name, done.c.item.in_(items), done.c.blind.is_(None))
    rows = connection.execute(query.where(line.c.state == "approved").order_by(done.c.seq)).mappings()
    for row in rows:
        found.setdefault(row["of"], []).append(said_in(lines.read(keys, dict(row))))
    return found


def said_in(body: Mapping[str, Any]) -> Any:
    """The answer of a line, whatever its kind."""
    for name in ("said", "target", "spans", "better"):
        if name in body:
            return body[name]
    return None


# ---------------------------------------------------------------- what a person does


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer on its way: the job's row, whose it is, under which consent, kind and body of the line."""

    job: Mapping[str, Any]
    who: str
    consent: str
    kind: str
    body: Mapping[str, Any]


def say(connection: sa.Connection, keys: Keys, given: Given) -> str:
    """Keep an answer to the item that this person holds; returns the line's id.

    Raises Refused where somebody else has the item by now, or it is no longer asked.
    """
    name = given.job["id"]
    mine = held(connection, name, given.who)
    one = str(given.body["question"])
    if mine is None or mine.row["id"] != one:
        raise Refused(409, "desk_not_held")
    body = {**given.body, "blind": mine.blind}
    made = lines.add(connection, keys, given.consent, given.kind, body, approved=True)
    row = {"job": name, "item": one, "person": given.who, "consent": given.consent}
    connection.execute(done.insert().values(**row, what=SAID, line=made, blind=mine.blind))
    _note(connection, row, SAID, made)
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.person == given.who))
    if mine.blind is None:
        _settle(connection, keys, mine.row)
    tell(connection, f"desk:{name}", "progress", {})
    return made


def confirm(connection: sa.Connection, keys: Keys, given: Given) -> None:
    """Keep or reject one item of a page; what this person decided before stays."""
    name, one = given.job["id"], str(given.body["question"])
    row = row_of(connection, name, one)
    if row is None or row["state"] == "gone":
        raise Refused(409, "desk_not_held")
    mine = sa.select(done.c.seq).where(done.c.job == name, done.c.item == one, done.c.person == given.who)
    if connection.execute(mine).first() is not None:
        return
    made = lines.add(connection, keys, given.consent, given.kind, given.body, approved=True)
    about = {"job": name, "item": one, "person": given.who, "consent": given.consent}
    connection.execute(done.insert().values(**about, what=SAID, line=made, blind=None))
    _note(connection, about, SAID, made)
    connection.execute(item.update().where(item.c.seq == row["seq"]).values(state=SETTLED))
    tell(connection, f"desk:{name}", "progress", {})


def skip(connection: sa.Connection, name: str, who: str) -> None:
    """Leave the item that this person holds to others."""
    mine = held(connection, name, who)
    if mine is None:
        return
    row = {"job": name, "item": mine.row["id"], "person": who}
    connection.execute(done.insert().values(**row, what=SKIPPED, line=None, blind=mine.blind))
    _note(connection, row, SKIPPED)
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.person == who))
    tell(connection, f"desk:{name}", "progress", {})


def undo(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    """Take back what this person did last in a job, and hold that item again; None where there is nothing."""
    query = sa.select(done).where(done.c.job == name, done.c.person == who).order_by(done.c.seq.desc())
    last = connection.execute(query.limit(1)).mappings().first()
    if last is None:
        return None
    if last["line"] is not None:
        lines.undo(connection, last["line"])
    connection.execute(done.delete().where(done.c.seq == last["seq"]))
    row = {"job": name, "item": last["item"], "person": who}
    _note(connection, row | {"consent": last["consent"]}, UNDONE, last["line"])
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.person == who))
    until = time.time() + LEASE
    connection.execute(lease.insert().values(**row, blind=last["blind"], until=until))
    found = row_of(connection, name, last["item"])
    if found is not None and last["blind"] is None:
        _settle(connection, keys, found)
    tell(connection, f"desk:{name}", "progress", {})
    return None if found is None else Held(row=found, blind=last["blind"])


def _settle(connection: sa.Connection, keys: Keys, row: Mapping[str, Any]) -> None:
    """An item with as many votes as it needs is settled; one that lost a vote may be open again."""
    votes = votes_on(connection, keys, row["job"], [row["id"]]).get(row["id"], [])
    enough = len(votes) >= wanted(votes, guess_of(row))
    state = SETTLED if enough else "open"
    if row["state"] not in (state, "gone"):
        connection.execute(item.update().where(item.c.seq == row["seq"]).values(state=state))
        about = {"job": row["job"], "item": row["id"], "person": None}
        _note(connection, about, SETTLED if enough else OPENED)


def _note(connection: sa.Connection, about: Mapping[str, Any], what: str, made: str | None = None) -> None:
    connection.execute(change.insert().values(**about, what=what, line=made, at=now()))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def forget(connection: sa.Connection, keys: Keys, given: str) -> None:
    """What the desk knows of what was said under a consent; items that need the votes are open again."""
    query = sa.select(done.c.job).where(done.c.consent == given).distinct()
    jobs = [str(one) for one in connection.execute(query).scalars()]
    for one in (done, change):
        connection.execute(one.delete().where(one.c.consent == given))
    for name in jobs:
        reopen(connection, keys, name)


def reopen(connection: sa.Connection, keys: Keys, name: str) -> None:
    """Items whose votes went with a consent are open again, where they need more than are left."""
    query = sa.select(item).where(item.c.job == name, item.c.state == SETTLED, item.c.gold.is_(None))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    held = votes_on(connection, keys, name, [row["id"] for row in rows])
    for row in rows:
        votes = held.get(row["id"], [])
        if len(votes) < wanted(votes, guess_of(row)):
            connection.execute(item.update().where(item.c.seq == row["seq"]).values(state="open"))
            _note(connection, {"job": name, "item": row["id"], "person": None}, OPENED)
