"""The first owner of the rooms, and a link for one who is locked out: for who has the project's files."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from bapsim.serve.people import audit, invites, persons
from bapsim.serve.people.rooms import database_of, key_of
from bapsim.serve.people.tables import person


def owner_link(root: Path, lang: str) -> str:
    """The token of a one-time link for the owner, who is made where there is none."""
    key, database = key_of(root), database_of(root)
    try:
        return database.change(lambda c: _owner_link(c, key, lang))
    finally:
        database.close()


def _owner_link(connection: sa.Connection, key: bytes, lang: str) -> str:
    query = sa.select(person.c.id).where(person.c.role == "owner", person.c.state != "gone")
    who = connection.execute(query.order_by(person.c.made, person.c.id).limit(1)).scalar()
    if who is None:
        who = persons.add(connection, role="owner", lang=lang, domain="", by=None)
    audit.note(connection, key, None, "link_made", str(who), kind="owner")
    return invites.make(connection, "owner", str(who))
