"""Sessions on the server: a cookie holds a random token, the database its hash."""

from __future__ import annotations

import time

import sqlalchemy as sa

from bapsim.serve.people.names import hashed, new_token
from bapsim.serve.people.persons import Person, person_of
from bapsim.serve.people.tables import person, session

IDLE = 12 * 3600.0  # seconds without a request after which one has to sign in again
LONGEST = 7 * 24 * 3600.0
SEEN = 300.0  # seconds after which it is written down that somebody is still there


def begin(connection: sa.Connection, who: str) -> str:
    """A new session, always under a new token; old ones that ended are forgotten."""
    at, token = time.time(), new_token()
    connection.execute(
        session.delete().where(sa.or_(session.c.seen < at - IDLE, session.c.made < at - LONGEST))
    )
    connection.execute(session.insert().values(token=hashed(token), person=who, made=at, seen=at))
    return token


def whose(connection: sa.Connection, token: str) -> tuple[Person, bool] | None:
    """Whom a token belongs to, and whether it should be written down that it was seen; None: to nobody."""
    at = time.time()
    query = (
        sa.select(person, session.c.seen)
        .join(session, session.c.person == person.c.id)
        .where(
            session.c.token == hashed(token),
            session.c.seen > at - IDLE,
            session.c.made > at - LONGEST,
            person.c.state == "active",
        )
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else (person_of(row), row["seen"] < at - SEEN)


def seen(connection: sa.Connection, token: str) -> None:
    """Write down that a session is in use."""
    connection.execute(session.update().where(session.c.token == hashed(token)).values(seen=time.time()))


def end(connection: sa.Connection, token: str) -> None:
    """Sign out."""
    connection.execute(session.delete().where(session.c.token == hashed(token)))


def end_all(connection: sa.Connection, who: str) -> None:
    """Sign out everywhere."""
    connection.execute(session.delete().where(session.c.person == who))
