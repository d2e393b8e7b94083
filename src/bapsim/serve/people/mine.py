"""A person's own page: consents and receipts, what was given, withdrawing, language, password, sessions."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.core.errors import BapsimError
from bapsim.judge.pay import Pay
from bapsim.serve.people import audit, consent, lines, passwords, sessions, withdrawing
from bapsim.serve.people.doors import HEADERS, Ask, Door, Form
from bapsim.serve.people.roles import GIVING, OWNER, SIGNED_IN
from bapsim.serve.people.tables import consent as granted
from bapsim.serve.people.tables import person
from bapsim.serve.people.texts import clean
from bapsim.serve.people.wording import in_words, texts_of
from bapsim.serve.refused import Refused, bad
from bapsim.store.ledger import now
from bapsim.store.terms import SCOPES, write_terms
from bapsim.wheel.founding import load_recipe

LONG = 300  # characters of a field of the notice
SHOWN = 200  # lines that the page lists


async def me(ask: Ask) -> Response:
    """All that is one's own."""

    def read(connection: sa.Connection) -> dict[str, Any]:
        gave = lines.of_person(connection, ask.who.id)
        mine = [row for row in gave if row["state"] != "undone"]
        said = [(row, lines.read(ask.rooms.keys, row)) for row in mine[-SHOWN:][::-1]]
        texts = texts_of(connection, [str(body.get("question") or "") for _, body in said])
        return {
            "consents": consent.of_person(connection, ask.who.id),
            "count": len(mine),
            "given": [{**row, "words": in_words(row["kind"], body, texts, ask.lang)} for row, body in said],
            "may_give": ask.who.role in GIVING,
        }

    return ask.page("me.html.j2", **await ask.read(read))


async def change_me(ask: Ask) -> Response:
    """Another language, or another password; the latter ends all other sessions."""
    lang = ask.form.get("lang")
    if lang not in ("ko", "en"):
        raise bad("unknown_language", "lang")
    await ask.write(lambda c: c.execute(person.update().where(person.c.id == ask.who.id).values(lang=lang)))
    return ask.go("/people/me")


async def change_password(ask: Ask) -> Response:
    """The old password proves that it is not somebody at an open screen."""
    query = sa.select(person.c.password).where(person.c.id == ask.who.id)
    stored = await ask.read(lambda c: c.execute(query).scalar())
    if not await passwords.fits(stored, ask.form.get("old")[: passwords.LONGEST + 1]):
        raise Refused(403, "password_wrong", "old")
    new = passwords.fit(ask.form.get("password"))
    if new != ask.form.get("again"):
        raise bad("passwords_differ", "again")
    hashed = await passwords.hashed(new)

    def write(connection: sa.Connection) -> None:
        connection.execute(person.update().where(person.c.id == ask.who.id).values(password=hashed))
        sessions.end_all(connection, ask.who.id)
        audit.note(connection, ask.rooms.key, ask.who.id, "password_changed")

    await ask.write(write)
    return ask.go("/people/sign-in")


async def sign_out_everywhere(ask: Ask) -> Response:
    """End all sessions, this one too."""
    await ask.write(lambda c: sessions.end_all(c, ask.who.id))
    return ask.go("/people/sign-in")


async def undo(ask: Ask) -> Response:
    """Take one line of one's own back."""
    name = ask.path["line"]

    def write(connection: sa.Connection) -> None:
        if all(row["id"] != name for row in lines.of_person(connection, ask.who.id)):
            raise Refused(404, "line_gone")
        lines.undo(connection, name)

    await ask.write(write)
    return ask.go("/people/me")


# ---------------------------------------------------------------- consent


async def _rule(ask: Ask) -> Pay | None:
    """The rule of pay that the recipe has now; none where the recipe cannot be read."""
    try:
        recipe = await asyncio.to_thread(load_recipe, ask.rooms.root)
    except BapsimError:
        return None
    rule: Pay | None = recipe.pay
    return rule


async def consent_page(ask: Ask) -> Response:
    """The notice and the form."""
    made = await ask.read(consent.controller)
    shown = consent.notice(made, ask.lang, await _rule(ask))
    return ask.page(
        "consent.html.j2",
        complete=made.complete,
        notice=shown,
        version=consent.VERSION,
        digest=consent.digest_of(shown),
        scopes=SCOPES,
        licences=consent.LICENCES,
        employers=consent.EMPLOYER,
        revocables=consent.REVOCABLE,
    )


def grant_in(form: Form) -> consent.Grant:
    """What somebody chose; raises Refused for what does not go together, and where nothing was chosen."""
    scope = frozenset(form.all("scope"))
    if not scope or not scope <= set(SCOPES):
        raise bad("no_purpose_chosen", "scope")
    never = form.ticked("never_synthesise")
    if never and "synthesise" in scope:
        raise bad("never_and_synthesise", "never_synthesise")
    owner = clean(form.get("secret_owner"), "secret_owner", LONG, empty=True) or None
    embargo, expires = (_day(form, name) for name in ("embargo", "expires"))
    if expires is not None and (expires < date.fromisoformat(now()[:10]) or (embargo and embargo > expires)):
        raise bad("dates_cross", "expires")
    return consent.Grant(
        scope=scope,
        licence=_one_of(form, "licence", consent.LICENCES),
        never_synthesise=never,
        embargo=embargo,
        expires=expires,
        confidential=form.ticked("confidential"),
        employer=_one_of(form, "employer", consent.EMPLOYER),
        secret_owner=owner,
        revocable=_one_of(form, "revocable", consent.REVOCABLE),
    )


def _one_of(form: Form, name: str, known: tuple[str, ...]) -> str:
    said = form.get(name)
    if said not in known:
        raise bad("not_chosen", name)
    return said


def _day(form: Form, name: str) -> date | None:
    said = form.get(name).strip()
    if not said:
        return None
    try:
        return date.fromisoformat(said)
    except ValueError as why:
        raise bad("no_date", name) from why


async def give(ask: Ask) -> Response:
    """Sign: the consent stands once it is on the disk, here and in the inbox."""
    made = await ask.read(consent.controller)
    if not made.complete:
        raise Refused(409, "notice_incomplete")
    rule = await _rule(ask)
    if ask.form.get("digest") != consent.digest_of(consent.notice(made, ask.lang, rule)):
        raise Refused(409, "notice_changed")
    if not ask.form.ticked("read"):
        raise bad("notice_not_read", "read")
    grant = grant_in(ask.form)
    terms = await asyncio.to_thread(consent.terms_of, ask.rooms.folder, ask.who, made, grant, ask.lang, rule)

    def write(connection: sa.Connection) -> None:
        head = audit.note(connection, ask.rooms.key, ask.who.id, "consented", terms.consent)
        consent.enter(connection, terms, consent.receipt_of(ask.rooms.folder, terms, head))

    await ask.write(write)
    await asyncio.to_thread(write_terms, ask.rooms.inbox, terms)
    return ask.go("/people/me")


async def _granted(ask: Ask) -> dict[str, Any]:
    """A consent of one's own, or for the owner anybody's; what is somebody else's is not there."""
    query = sa.select(granted).where(granted.c.id == ask.path["consent"])
    row = await ask.read(lambda c: c.execute(query).mappings().first())
    if row is None or (row["person"] != ask.who.id and ask.who.role not in OWNER):
        raise Refused(404, "unknown_consent")
    return dict(row)


async def receipt(ask: Ask) -> Response:
    """The signed receipt, to keep."""
    row = await _granted(ask)
    body = json.dumps(json.loads(row["receipt"]), ensure_ascii=False, indent=1).encode()
    named = f'attachment; filename="receipt-{row["id"]}.json"'
    headers = HEADERS | {"content-disposition": named}
    return Response(body, media_type="application/json", headers=headers)


async def withdraw_page(ask: Ask) -> Response:
    """What withdrawing means, and the button."""
    row = await _granted(ask)
    return ask.page("withdraw.html.j2", row=row, terms=json.loads(row["terms"]))


async def withdraw(ask: Ask) -> Response:
    """Take a consent back: at once here, and in the wheel as soon as nobody writes to it."""
    row = await _granted(ask)
    if row["state"] == "given":
        await asyncio.to_thread(withdrawing.withdraw, ask.rooms, row["id"], row["person"], ask.who.id)
    return ask.go("/people/me" if row["person"] == ask.who.id else "/people/persons")


# ---------------------------------------------------------------- who answers for the data


async def notice_page(ask: Ask) -> Response:
    """Who answers for the data, where it lies, for how long, what is paid: the notice says so."""
    made = await ask.read(consent.controller)
    return ask.page("notice.html.j2", made=made, notice=consent.notice(made, ask.lang, await _rule(ask)))


async def change_notice(ask: Ask) -> Response:
    """Write it down; consents that were given stand under the notice that was shown then."""
    said = {name: clean(ask.form.get(name), name, LONG, empty=True) for name in vars(consent.Controller())}
    new = consent.Controller(**said)

    def write(connection: sa.Connection) -> None:
        consent.set_controller(connection, new)
        audit.note(connection, ask.rooms.key, ask.who.id, "notice_changed")

    await ask.write(write)
    return ask.go("/people/notice")


DOORS = (
    Door(path="/people/me", handler=me, who=SIGNED_IN, nav="me"),
    Door(path="/people/me", handler=change_me, who=SIGNED_IN, method="POST"),
    Door(path="/people/me/password", handler=change_password, who=SIGNED_IN, method="POST"),
    Door(path="/people/me/sign-out", handler=sign_out_everywhere, who=SIGNED_IN, method="POST"),
    Door(path="/people/me/lines/{line}/undo", handler=undo, who=GIVING, method="POST"),
    Door(path="/people/consent", handler=consent_page, who=GIVING),
    Door(path="/people/consent", handler=give, who=GIVING, method="POST"),
    Door(path="/people/consent/{consent}/receipt", handler=receipt, who=SIGNED_IN),
    Door(path="/people/consent/{consent}/withdraw", handler=withdraw_page, who=SIGNED_IN),
    Door(path="/people/consent/{consent}/withdraw", handler=withdraw, who=SIGNED_IN, method="POST"),
    Door(path="/people/notice", handler=notice_page, who=OWNER, nav="notice"),
    Door(path="/people/notice", handler=change_notice, who=OWNER, method="POST"),
)
