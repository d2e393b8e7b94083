"""Which item a person gets next, what is done with the answer, and when an item has been asked about enough.

One person has one item at a time, for LEASE seconds; two people never hold the last vote that an item needs.
Whom to ask what is `compose.assignment`'s to say; blind tests look like all other items.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bapsim.compose.assignment import PLAN, SKILL, Person, need, next_item
from bapsim.compose.assignment import Item as Wanted
from bapsim.raters.agreement import PLAIN
from bapsim.raters.sequential import tested
from bapsim.serve.people import lines
from bapsim.serve.people.desk_tables import change, done, item, job, lease
from bapsim.serve.people.events import tell
from bapsim.serve.people.tables import line
from bapsim.serve.refused import Refused
from bapsim.store.ledger import now
from bapsim.store.sealing import Keys

LEASE = 900.0  # seconds for which an item is kept for who has it
AHEAD = 12  # open items that are looked at at once for the next one
SURE = 0.8  # how likely the model's label is taken to be: it is shown without its probability
LABELLED = ("label", "class")
PAIRED, OPEN = 3, 10  # answers to a pair; answers that two people hardly give by chance: sets, spans, numbers
SAID, SKIPPED, UNDONE, SETTLED, OPENED = "said", "skipped", "undone", "settled", "opened"


@dataclass(frozen=True, kw_only=True)
class Held:
    """The item that a person has before them: its row, and which blind test it is (gold, again), if any."""

    row: Mapping[str, Any]
    blind: str | None


def take(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    """The item that a person has, or the next one, kept for them from now on; None where none is left."""
    found, mine = held(connection, name, who), (lease.c.job == name, lease.c.person == who)
    if found is None:
        connection.execute(lease.delete().where(*mine))  # one that ran out, or whose item is gone
        return another(connection, keys, name, who)
    connection.execute(lease.update().where(*mine).values(until=time.time() + LEASE))
    return found


def another(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    """The next item for a person who has none before them, kept for them from now on; None: none is left."""
    found = _next(connection, keys, name, who)
    if found is not None:
        row = {"job": name, "person": who, "item": found.row["id"], "blind": found.blind}
        connection.execute(lease.insert().values(**row, until=time.time() + LEASE))
    return found


def held(connection: sa.Connection, name: str, who: str) -> Held | None:
    """What a person has before them, if it is still theirs."""
    of = sa.and_(item.c.job == lease.c.job, item.c.id == lease.c.item, item.c.state != "gone")
    query = sa.select(item, lease.c.blind).join(lease, of)
    query = query.where(lease.c.job == name, lease.c.person == who, lease.c.until > time.time())
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return Held(row={one.name: row[one.name] for one in item.c}, blind=row["blind"])


def row_of(connection: sa.Connection, name: str, one: str) -> dict[str, Any] | None:
    """An item of a job."""
    found = connection.execute(sa.select(item).where(item.c.job == name, item.c.id == one)).mappings().first()
    return None if found is None else dict(found)


def _next(connection: sa.Connection, keys: Keys, name: str, who: str) -> Held | None:
    """What `compose.assignment` gives this person: work that needs a vote, or a blind test; of a job that was
    closed nothing more.
    """
    of = _job(connection, name)
    if of["state"] != "open":
        return None
    query = sa.select(done.c.item, done.c.what, done.c.blind, done.c.hit, item.c.state)
    query = query.join(item, sa.and_(item.c.job == done.c.job, item.c.id == done.c.item))
    query = query.where(done.c.job == name, done.c.person == who).order_by(done.c.seq)
    rows = connection.execute(query).all()
    said = [row for row in rows if row.what == SAID and row.state != "gone"]
    person = Person(
        name=who,
        answered=[row.item for row in said if row.blind is None],
        tested=[row.item for row in rows if row.blind == "gold"],
        repeated=[row.item for row in said if row.blind == "again"],
        skipped=[row.item for row in rows if row.what == SKIPPED],
        standing=tested(bool(row.hit) for row in rows if row.hit is not None).standing,
    )
    known = sa.select(item.c.id).where(item.c.job == name, item.c.gold.is_not(None), item.c.state != "gone")
    tests = [str(one) for one in connection.execute(known.order_by(item.c.seq)).scalars()]
    right = skills(connection, name)
    asked = next_item(person, _work(connection, keys, of, who, right), tests, right, PLAN)
    row = None if asked is None else row_of(connection, name, asked.key)
    return None if asked is None or row is None else Held(row=row, blind=asked.blind)


def skills(connection: sa.Connection, name: str) -> dict[str, float]:
    """By person who was tested in a job, the share of right votes: of the tests, leaning on what is usual."""
    query = sa.select(done.c.person, sa.func.sum(done.c.hit), sa.func.count(done.c.hit))
    query = query.where(done.c.job == name, done.c.hit.is_not(None)).group_by(done.c.person)
    return {row[0]: (int(row[1]) + PLAIN * SKILL) / (row[2] + PLAIN) for row in connection.execute(query)}


def _work(
    connection: sa.Connection, keys: Keys, of: Mapping[str, Any], who: str, right: Mapping[str, float]
) -> Iterator[Wanted]:
    """Items of a job of unknown answer that this person neither answered nor skipped, in the order of asking;
    right: everybody's skill.
    """
    name, options = of["id"], _options(of)
    others = sa.select(lease.c.item).where(lease.c.job == name, lease.c.person != who)
    others = others.where(lease.c.until > time.time(), lease.c.blind.is_(None))
    mine = sa.exists().where(done.c.job == name, done.c.item == item.c.id, done.c.person == who)
    query = sa.select(item.c.id, item.c.guess)
    query = query.where(item.c.job == name, item.c.state == "open", item.c.gold.is_(None), ~mine)
    if _one_vote_may_do(options, right):  # nobody else gets what somebody has, before there is a vote on it
        voted = sa.exists().where(done.c.job == name, done.c.item == item.c.id, done.c.blind.is_(None))
        query = query.where(sa.or_(item.c.id.not_in(others), voted))
    query = query.order_by(item.c.place, item.c.seq).limit(AHEAD)
    start = 0
    while rows := [dict(row) for row in connection.execute(query.offset(start)).mappings()]:
        names = [row["id"] for row in rows]
        votes, taken = votes_on(connection, keys, name, names), dict[str, set[str]]()
        for one in connection.execute(others.add_columns(lease.c.person).where(lease.c.item.in_(names))):
            taken.setdefault(one.item, set()).add(one.person)
        for row in rows:
            yield as_asked(row, votes.get(row["id"], {}), options, frozenset(taken.get(row["id"], ())))
        start += len(rows)


def _one_vote_may_do(options: int, right: Mapping[str, float]) -> bool:
    """Whether an item that nobody has answered may be settled by one vote, with what the model says or
    without: all labels are alike for that.
    """
    guesses: tuple[dict[str, float], ...] = ({}, {"": SURE})
    return all(need(Wanted(key="", guess=one, labels=options), right, PLAN).least == 1 for one in guesses)


def _job(connection: sa.Connection, name: str) -> Mapping[str, Any]:
    return dict(connection.execute(sa.select(job).where(job.c.id == name)).mappings().one())


def _options(row: Mapping[str, Any]) -> int:
    """How many answers an item of a job may have: its labels, or OPEN where they are made of several."""
    if row["kind"] == "pair":
        return PAIRED
    return max(len(json.loads(row["labels"])), 2) if (row["kind"], row["answer"]) == LABELLED else OPEN


def as_asked(
    row: Mapping[str, Any], votes: Mapping[str, Any], options: int, leased: frozenset[str] = frozenset()
) -> Wanted:
    """An item with what was said of it, as `compose.assignment` looks at it. votes: the bodies, by person."""
    answers = {who: said_in(body) for who, body in votes.items()}
    said = {who: None if one is None else _json(_in_order(one)) for who, one in answers.items()}
    guess = guess_of(row)
    return Wanted(
        key=row["id"],
        votes=said,
        peers={who: body["peers"] for who, body in votes.items() if body.get("peers") is not None},
        guess={} if guess is None else {_json(_in_order(guess)): SURE},
        labels=options,
        leased=leased,
    )


def _in_order(said: Any) -> Any:
    return sorted(said, key=_json) if isinstance(said, list) else said


def enough(connection: sa.Connection, keys: Keys, name: str, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Of each of these items, whether it has as many votes as it needs."""
    votes = votes_on(connection, keys, name, [row["id"] for row in rows])
    options, known = _options(_job(connection, name)), skills(connection, name)
    asked = [as_asked(row, votes.get(row["id"], {}), options) for row in rows]
    return [need(one, known, PLAN).state != "open" for one in asked]


def guess_of(row: Mapping[str, Any]) -> Any:
    """What the model says of an item; the probability of an item to confirm is no answer."""
    return None if row["guess"] is None or row["guess"][:1] in "0123456789" else json.loads(row["guess"])


def votes_on(
    connection: sa.Connection, keys: Keys, name: str, items: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What each person's line about each item says, tests left out."""
    found: dict[str, dict[str, Any]] = {}
    query = sa.select(done.c.item.label("of"), done.c.person.label("who"), line).join(
        line, line.c.id == done.c.line
    )
    query = query.where(done.c.job == name, done.c.item.in_(items), done.c.blind.is_(None))
    rows = connection.execute(query.where(line.c.state == "approved").order_by(done.c.seq)).mappings()
    for row in rows:
        found.setdefault(row["of"], {})[row["who"]] = lines.read(keys, dict(row))
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
    hit = _hit(body, mine)
    connection.execute(done.insert().values(**row, what=SAID, line=made, blind=mine.blind, hit=hit))
    _note(connection, row, SAID, made)
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.person == given.who))
    if mine.blind is None:
        _settle(connection, keys, mine.row)
    tell(connection, f"desk:{name}", "progress", {})
    return made


def _hit(body: Mapping[str, Any], mine: Held) -> int | None:
    """Of a test whose answer is known, 1 for the right answer; nothing for no answer, or no such test."""
    said = said_in(body)
    return None if mine.blind != "gold" or said is None else int(is_known(said, mine.row["gold"]))


def is_known(said: Any, gold: str | None) -> bool:
    """Whether an answer is the known one; sets and spans in any order."""
    known = json.loads(gold or "null")
    if isinstance(known, list) and isinstance(said, list | tuple):
        return sorted(map(json.dumps, known)) == sorted(map(json.dumps, said))
    return bool(said == known)


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
    (full,) = enough(connection, keys, row["job"], [row])
    state = SETTLED if full else "open"
    if row["state"] not in (state, "gone"):
        connection.execute(item.update().where(item.c.seq == row["seq"]).values(state=state))
        about = {"job": row["job"], "item": row["id"], "person": None}
        _note(connection, about, SETTLED if full else OPENED)


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
    for row, full in zip(rows, enough(connection, keys, name, rows), strict=True):
        if not full:
            connection.execute(item.update().where(item.c.seq == row["seq"]).values(state="open"))
            _note(connection, {"job": name, "item": row["id"], "person": None}, OPENED)
