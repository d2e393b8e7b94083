"""In and out: the sign-in form, one-time links, signing out, and where one lands."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.serve.people import audit, consent, invites, passwords, persons, sessions
from bapsim.serve.people.doors import Ask, Door
from bapsim.serve.people.names import keyed
from bapsim.serve.people.roles import ANYONE, GIVING, OWNER, SIGNED_IN
from bapsim.serve.people.tables import person
from bapsim.serve.people.texts import clean
from bapsim.serve.refused import Refused, bad

NAME = 80  # characters of a name or an e-mail


async def home(ask: Ask) -> Response:
    """What there is to do, by role, and what has to be done first."""

    def first(connection: sa.Connection) -> str | None:
        complete = consent.controller(connection).complete
        if ask.who.role in OWNER and not complete:
            return "notice"
        waits = ask.who.role in GIVING and complete and consent.standing(connection, ask.who.id) is None
        return "consent" if waits and ask.who.role not in OWNER else None

    return ask.page("home.html.j2", first=await ask.read(first))


async def sign_in_page(ask: Ask) -> Response:
    """The form."""
    return ask.page("sign_in.html.j2", wanted=_inside(ask.request.query_params.get("next", "")), wrong=False)


async def sign_in(ask: Ask) -> Response:
    """A name and a password; after too many failures of a name or an address nobody may try for a while."""
    rooms, form = ask.rooms, ask.form
    login, password = form.get("login"), form.get("password")
    address = ask.request.client.host if ask.request.client is not None else ""
    keys = {"login": persons.login_of(rooms.key, login), "address": keyed(rooms.key, "address", address)}
    at = time.time()
    if not await ask.read(lambda c: persons.may_try(c, keys, at)):
        raise Refused(429, "too_many_attempts", minutes=int(persons.WINDOW // 60))
    query = sa.select(person.c.id, person.c.password).where(
        person.c.login == keys["login"], person.c.state == "active"
    )
    row = await ask.read(lambda c: c.execute(query).first())
    right = await passwords.fits(None if row is None else row.password, password[: passwords.LONGEST + 1])
    if row is None or not right:
        await ask.write(lambda c: _failed(c, ask, keys, at))
        return ask.page("sign_in.html.j2", status=403, wanted=_inside(form.get("next")), wrong=True)
    return await _let_in(ask, str(row.id), "signed_in", _inside(form.get("next")) or "/people")


def _failed(connection: sa.Connection, ask: Ask, keys: dict[str, str], at: float) -> None:
    persons.failed(connection, keys, at)
    audit.note(connection, ask.rooms.key, None, "sign_in_failed")


def _inside(path: str) -> str:
    """A path of ours to go on to; nothing else is gone to."""
    return path if path.startswith("/people") and "\\" not in path and path.isprintable() else ""


async def _let_in(ask: Ask, who: str, what: str, path: str) -> Response:
    """A new session under a new token; one that the browser had before ends."""

    def begin(connection: sa.Connection) -> str:
        sessions.end(connection, ask.token)
        audit.note(connection, ask.rooms.key, who, what)
        return sessions.begin(connection, who)

    token = await ask.write(begin)
    response = ask.go(path)
    ask.set_cookie(response, ask.cookie, token, int(sessions.LONGEST))
    ask.set_cookie(response, ask.form_cookie, "")
    return response


async def sign_out(ask: Ask) -> Response:
    """End this session."""

    def end(connection: sa.Connection) -> None:
        sessions.end(connection, ask.token)
        audit.note(connection, ask.rooms.key, ask.who.id, "signed_out")

    await ask.write(end)
    response = ask.go("/people/sign-in")
    ask.set_cookie(response, ask.cookie, "")
    return response


# ---------------------------------------------------------------- links


async def link_page(ask: Ask) -> Response:
    """What a link is for; looking at it does not use it up: mail programs look at links, too."""
    ask, kind, row = await _usable(ask)
    return ask.page("link.html.j2", kind=kind, fresh=row["password"] is None, person=persons.person_of(row))


async def link(ask: Ask) -> Response:
    """Use a link up: set a password where there is none or it was forgotten, and be signed in."""
    ask, kind, row = await _usable(ask)
    who = str(row["id"])
    new: dict[str, object] = {"state": "active"}
    if row["password"] is None:
        new |= await _account(ask, who)
    elif kind == "reset":
        new["password"] = await _password(ask)
    token = ask.path["token"]

    def use(connection: sa.Connection) -> None:
        if invites.take(connection, token) is None:
            raise Refused(410, "link_used")
        taken = sa.select(person.c.id).where(person.c.login == new.get("login", ""), person.c.id != who)
        if connection.execute(taken).first() is not None:
            raise bad("login_taken", "login")
        connection.execute(person.update().where(person.c.id == who).values(**new))
        if "password" in new:
            sessions.end_all(connection, who)
        audit.note(connection, ask.rooms.key, who, "link_used", kind=kind)

    await ask.write(use)
    return await _let_in(ask, who, "signed_in", "/people")


async def _usable(ask: Ask) -> tuple[Ask, str, Any]:
    """The request in the language of the invitation, the kind of the link, and the person as a row."""

    def read(connection: sa.Connection) -> tuple[str, Any] | None:
        found = invites.open_for(connection, ask.path["token"])
        if found is None:
            return None
        query = sa.select(person).where(person.c.id == found[1])
        return found[0], connection.execute(query).mappings().one()

    found = await ask.read(read)
    if found is None:
        raise Refused(410, "link_used")
    chosen = "lang" in ask.request.query_params
    return replace(ask, lang=ask.lang if chosen else found[1]["lang"]), *found


async def _account(ask: Ask, who: str) -> dict[str, object]:
    """The columns of somebody who comes for the first time."""
    form = ask.form
    login = clean(form.get("login"), "login", NAME)
    name = clean(form.get("name"), "name", NAME, empty=True)
    email = clean(form.get("email"), "email", NAME, empty=True)
    found: dict[str, object] = {"login": persons.login_of(ask.rooms.key, login)}
    found["password"] = await _password(ask)
    found["sealed"] = persons.told(ask.rooms.keys, who, name or login, email)
    found["lang"] = ask.lang
    return found


async def _password(ask: Ask) -> str:
    said = passwords.fit(ask.form.get("password"))
    if said != ask.form.get("again"):
        raise bad("passwords_differ", "again")
    return await passwords.hashed(said)


DOORS = (
    Door(path="/people", handler=home, who=SIGNED_IN, nav="home"),
    Door(path="/people/sign-in", handler=sign_in_page, who=ANYONE),
    Door(path="/people/sign-in", handler=sign_in, who=ANYONE, method="POST"),
    Door(path="/people/sign-out", handler=sign_out, who=SIGNED_IN, method="POST"),
    Door(path="/people/in/{token}", handler=link_page, who=ANYONE),
    Door(path="/people/in/{token}", handler=link, who=ANYONE, method="POST"),
)
