"""The owner's page: who there is, inviting, letting go."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.serve.people import audit, invites, persons
from bapsim.serve.people.doors import Ask, Door
from bapsim.serve.people.roles import OWNER, ROLES
from bapsim.serve.people.tables import consent, line, person, session
from bapsim.serve.people.texts import clean
from bapsim.serve.refused import Refused, bad

DOMAIN = 200  # characters


def listed(connection: sa.Connection, ask: Ask) -> list[dict[str, Any]]:
    """Everybody, with what they gave; whoever looks at names is in the audit log."""
    consents = _pairs(connection, consent.c.person, sa.func.count(), consent.c.state == "given")
    gave = _pairs(connection, line.c.person, sa.func.count(), line.c.state == "approved")
    seen = _pairs(connection, session.c.person, sa.func.max(session.c.seen))
    found = []
    for row in connection.execute(sa.select(person).order_by(person.c.made, person.c.id)).mappings():
        one = {name: row[name] for name in ("id", "role", "state", "lang", "domain", "made")}
        one |= {"consents": consents.get(row["id"], 0), "lines": gave.get(row["id"], 0)}
        one |= {"seen": seen.get(row["id"])}
        one |= persons.who(ask.rooms.keys, row["id"], row["sealed"])
        found.append(one)
    audit.note(connection, ask.rooms.key, ask.who.id, "read_names", count=len(found))
    return found


def _pairs(connection: sa.Connection, by: Any, of: Any, *where: Any) -> dict[str, Any]:
    """A figure for each person."""
    query = sa.select(by, of).where(*where).group_by(by)
    return {row[0]: row[1] for row in connection.execute(query)}


async def people_page(ask: Ask) -> Response:
    """Everybody, and the form that invites."""
    found = await ask.write(lambda c: listed(c, ask))
    return ask.page("people.html.j2", people=found, roles=ROLES)


def invited(connection: sa.Connection, ask: Ask, role: str, lang: str, domain: str) -> tuple[str, str]:
    """A new person and the token of their link."""
    who = persons.add(connection, role=role, lang=lang, domain=domain, by=ask.who.id)
    audit.note(connection, ask.rooms.key, ask.who.id, "invited", who, role=role)
    return who, invites.make(connection, "invite", who)


def wanted(role: object, lang: object, domain: object) -> tuple[str, str, str]:
    """What an invitation says; raises Refused for a role or a language that there is not."""
    if not isinstance(role, str) or role not in ROLES:
        raise bad("unknown_role", "role", known=", ".join(ROLES))
    if not isinstance(lang, str) or lang not in ("ko", "en"):
        raise bad("unknown_language", "lang")
    return role, lang, clean(domain, "domain", DOMAIN, empty=True)


async def invite(ask: Ask) -> Response:
    """Invite somebody; the link is shown once, and stored as a hash only."""
    role, lang, domain = wanted(ask.form.get("role"), ask.form.get("lang"), ask.form.get("domain"))
    who, token = await ask.write(lambda c: invited(c, ask, role, lang, domain))
    return ask.page("link_made.html.j2", link=link_of(ask, token), who=who, kind="invite")


def link_of(ask: Ask, token: str) -> str:
    """A link as it is handed on."""
    return f"{str(ask.request.base_url).rstrip('/')}/people/in/{token}"


async def _one(ask: Ask) -> persons.Person:
    found = await ask.read(lambda c: persons.find(c, ask.path["person"]))
    if found is None:
        raise Refused(404, "unknown_person")
    return found


async def reset(ask: Ask) -> Response:
    """A new link for who lost a password or the first link."""
    one = await _one(ask)
    if one.state == "gone":
        raise Refused(409, "person_gone")
    kind = "invite" if one.state == "invited" else "reset"

    def make(connection: sa.Connection) -> str:
        audit.note(connection, ask.rooms.key, ask.who.id, "link_made", one.id, kind=kind)
        return invites.make(connection, kind, one.id)

    token = await ask.write(make)
    return ask.page("link_made.html.j2", link=link_of(ask, token), who=one.id, kind=kind)


async def revoke(ask: Ask) -> Response:
    """Let somebody go: sessions and links end at once. What they gave stays under their consents, which they
    or the owner can withdraw.
    """
    one = await _one(ask)
    if one.id == ask.who.id:
        raise Refused(409, "not_yourself")

    def end(connection: sa.Connection) -> None:
        persons.close(connection, one.id)
        audit.note(connection, ask.rooms.key, ask.who.id, "revoked", one.id)

    await ask.write(end)
    ask.rooms.keys.destroy(persons.account_key(one.id))
    return ask.go("/people/persons")


DOORS = (
    Door(path="/people/persons", handler=people_page, who=OWNER, nav="persons"),
    Door(path="/people/persons", handler=invite, who=OWNER, method="POST"),
    Door(path="/people/persons/{person}/reset", handler=reset, who=OWNER, method="POST"),
    Door(path="/people/persons/{person}/revoke", handler=revoke, who=OWNER, method="POST"),
)
