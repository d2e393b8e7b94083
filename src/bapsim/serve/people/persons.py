"""People of a project: a pseudonym, a role, and what is sealed of who they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bapsim.serve.people.names import keyed, new_person
from bapsim.serve.people.tables import attempt, invite, person, session
from bapsim.store.ledger import now
from bapsim.store.sealing import Keys


@dataclass(frozen=True, kw_only=True)
class Person:
    """Whom a session belongs to; nothing here says who that is."""

    id: str
    role: str
    state: str
    lang: str
    domain: str


def person_of(row: Any) -> Person:
    """A row of the table as a value."""
    return Person(**{name: row[name] for name in ("id", "role", "state", "lang", "domain")})


def find(connection: sa.Connection, one: str) -> Person | None:
    """A person by pseudonym."""
    row = connection.execute(sa.select(person).where(person.c.id == one)).mappings().first()
    return None if row is None else person_of(row)


def add(connection: sa.Connection, *, role: str, lang: str, domain: str, by: str | None) -> str:
    """A new person, who is invited; returns the pseudonym."""
    name = new_person()
    row = {"id": name, "role": role, "state": "invited", "lang": lang, "domain": domain, "made": now()}
    connection.execute(person.insert().values(**row, by=by))
    return name


def account_key(one: str) -> str:
    """The name of the key under which a person's name and e-mail are sealed: not the one of their words."""
    return f"{one}-account"


def told(keys: Keys, one: str, name: str, email: str) -> bytes:
    """Who a person is, sealed."""
    said = {"name": name, "email": email}
    return keys.seal(account_key(one), json.dumps(said, ensure_ascii=False).encode())


def who(keys: Keys, one: str, sealed: bytes | None) -> dict[str, str]:
    """Who a person is; empty where nothing is known, or the key is gone."""
    if sealed is None or not keys.has(account_key(one)):
        return {"name": "", "email": ""}
    found: dict[str, str] = json.loads(keys.unseal(account_key(one), sealed))
    return found


def login_of(key: bytes, name: str) -> str:
    """What is stored of the name that somebody signs in with."""
    return keyed(key, "login", name)


def close(connection: sa.Connection, one: str) -> None:
    """Nobody signs in as this person any more; links and sessions end."""
    connection.execute(session.delete().where(session.c.person == one))
    connection.execute(invite.delete().where(invite.c.person == one, invite.c.used.is_(None)))
    gone = {"state": "gone", "login": None, "password": None, "sealed": None}
    connection.execute(person.update().where(person.c.id == one).values(**gone))


# ---------------------------------------------------------------- attempts

WINDOW = 900.0  # seconds in which failures count
FAILURES = {"login": 8, "address": 40}  # after so many nobody is let try again until they are old


def may_try(connection: sa.Connection, keys: dict[str, str], at: float) -> bool:
    """Whether these (by kind: hashed name, hashed address) have not failed too often of late."""
    for kind, key in keys.items():
        count = sa.select(sa.func.count()).where(attempt.c.key == key, attempt.c.at > at - WINDOW)
        if int(connection.execute(count).scalar() or 0) >= FAILURES[kind]:
            return False
    return True


def failed(connection: sa.Connection, keys: dict[str, str], at: float) -> None:
    """Remember a failure, and forget old ones."""
    connection.execute(attempt.delete().where(attempt.c.at <= at - WINDOW))
    connection.execute(attempt.insert(), [{"key": key, "at": at} for key in keys.values()])
