"""What people gave, line by line: a draft until they approve it, published from then on.

Everything that a person says goes through `texts.redacted` first. A line belongs to a consent and is sealed
under the consent's own key, so that destroying the key makes it unreadable in every page, log and copy of the
database. In the clear it lies in the inbox only (`publish`), and from there in the wheel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from bapsim.serve.people.names import new_line
from bapsim.serve.people.tables import consent, line
from bapsim.serve.refused import Refused
from bapsim.store.ledger import now
from bapsim.store.sealing import Keys

Json = dict[str, Any]


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()


def add(
    connection: sa.Connection,
    keys: Keys,
    given: str,
    kind: str,
    body: Mapping[str, Any],
    *,
    approved: bool,
    dialogue: str | None = None,
) -> str:
    """A new line under the consent `given`; returns its id.

    body: the fields of its kind, redacted. approved: the person saw and sent exactly this (a vote); else it
    is a draft until `approve`. Raises Refused where the consent does not stand.
    """
    who = standing(connection, given)
    name, at = new_line(), now()
    row: Json = {"id": name, "consent": given, "person": who, "kind": kind, "dialogue": dialogue, "made": at}
    row |= {"question": body.get("question"), "body": keys.seal(given, _encoded(body)), "state": "draft"}
    if approved:
        row |= {"state": "approved", "approved": at}
        _changed(connection, given)
    connection.execute(line.insert().values(**row))
    return name


def edit(connection: sa.Connection, keys: Keys, name: str, body: Mapping[str, Any]) -> None:
    """Another body for a draft. Raises Refused where it is none any more."""
    row = _draft(connection, name)
    sealed = keys.seal(row["consent"], _encoded(body))
    connection.execute(line.update().where(line.c.id == name).values(body=sealed))


def approve(connection: sa.Connection, name: str) -> None:
    """The person has seen this draft and lets it be used. Raises Refused where it is none any more."""
    row = _draft(connection, name)
    connection.execute(line.update().where(line.c.id == name).values(state="approved", approved=now()))
    _changed(connection, row["consent"])


def undo(connection: sa.Connection, name: str) -> None:
    """Take a line back: a draft is deleted, an approved one leaves the inbox; what a turn took is withdrawn
    by its consent only.
    """
    row = connection.execute(sa.select(line).where(line.c.id == name)).mappings().first()
    if row is None or row["state"] == "undone":
        raise Refused(409, "line_gone")
    if row["state"] == "draft":
        connection.execute(line.delete().where(line.c.id == name))
        return
    connection.execute(line.update().where(line.c.id == name).values(state="undone", body=b""))
    _changed(connection, row["consent"])


def read(keys: Keys, row: Mapping[str, Any]) -> Json:
    """What a line says; the caller has made sure, and noted, who reads it."""
    found: Json = json.loads(keys.unseal(row["consent"], row["body"]))
    return found


def of_person(
    connection: sa.Connection, who: str, *, state: str | None = None, kinds: Sequence[str] = ()
) -> list[Mapping[str, Any]]:
    """A person's lines, oldest first."""
    query = sa.select(line).where(line.c.person == who).order_by(line.c.seq)
    if state is not None:
        query = query.where(line.c.state == state)
    if kinds:
        query = query.where(line.c.kind.in_(kinds))
    return [dict(row) for row in connection.execute(query).mappings()]


def standing(connection: sa.Connection, given: str) -> str:
    """Whose consent this is."""
    query = sa.select(consent.c.person).where(consent.c.id == given, consent.c.state == "given")
    who = connection.execute(query).scalar()
    if who is None:
        raise Refused(403, "no_consent")
    return str(who)


def _draft(connection: sa.Connection, name: str) -> Mapping[str, Any]:
    row = connection.execute(sa.select(line).where(line.c.id == name)).mappings().first()
    if row is None or row["state"] != "draft":
        raise Refused(409, "line_gone")
    standing(connection, row["consent"])
    return dict(row)


def _changed(connection: sa.Connection, given: str) -> None:
    new = {"changes": consent.c.changes + 1}
    connection.execute(consent.update().where(consent.c.id == given).values(**new))
