"""Links that let somebody in once: for the owner, for who is invited, and for who forgot a password."""

from __future__ import annotations

import time

import sqlalchemy as sa

from bapsim.serve.people.names import hashed, new_token
from bapsim.serve.people.tables import invite

HOUR = 3600.0
LASTS = {"owner": HOUR, "invite": 7 * 24 * HOUR, "reset": 24 * HOUR}  # seconds


def make(connection: sa.Connection, kind: str, person: str) -> str:
    """A new link's token; earlier links of the same person end."""
    connection.execute(invite.delete().where(invite.c.person == person, invite.c.used.is_(None)))
    token, at = new_token(), time.time()
    row = {"token": hashed(token), "kind": kind, "person": person, "made": at, "expires": at + LASTS[kind]}
    connection.execute(invite.insert().values(**row))
    return token


def open_for(connection: sa.Connection, token: str) -> tuple[str, str] | None:
    """Kind and person of a link that can still be used."""
    usable = (invite.c.token == hashed(token), invite.c.used.is_(None), invite.c.expires > time.time())
    row = connection.execute(sa.select(invite.c.kind, invite.c.person).where(*usable)).first()
    return None if row is None else (str(row[0]), str(row[1]))


def take(connection: sa.Connection, token: str) -> tuple[str, str] | None:
    """As `open_for`, and nobody can use it again."""
    found = open_for(connection, token)
    if found is not None:
        where = invite.c.token == hashed(token)
        connection.execute(invite.update().where(where).values(used=time.time()))
    return found
