"""What people have coming, in the rooms: one's own statement, objections to it, and the owner's decisions.

It is read from the ledger as it stands; to write there waits for nobody: while a turn writes, one is asked
to come again. No money is moved.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.core.errors import BapsimError, InputError, StoreError, messages
from bapsim.core.errors import text as message
from bapsim.mods import Money, money
from bapsim.serve.people import audit, lines
from bapsim.serve.people.doors import HEADERS, Ask, Door
from bapsim.serve.people.roles import GIVING, OWNER
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.people.texts import clean, redacted
from bapsim.serve.people.wording import in_words, texts_of
from bapsim.serve.refused import Refused
from bapsim.store.project import Project, opened
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.pay_appeals import appeal, appeals, decide, open_appeals
from bapsim.wheel.pay_statement import statement

WORDS = 2_000  # characters
NAME = 120
SHOWN = 200  # lines that were not taken, on the page
Json = dict[str, Any]


def _with(rooms: Rooms, work: Callable[[Project], Any], *, writing: bool) -> Any:
    """Do something with the project; raises Refused where somebody else writes to it."""
    try:
        with opened(rooms.root, writing=writing) as project:
            return work(project)
    except StoreError as why:
        if why.key == "locked":
            raise Refused(409, "pay_busy") from why
        raise


def _statement(rooms: Rooms, person: str) -> Json | None:
    """A person's statement; None where nothing was written down of them yet."""

    def work(project: Project) -> Json | None:
        try:
            return statement(project, load_recipe(rooms.root), person)
        except InputError:
            return None

    try:
        found: Json | None = _with(rooms, work, writing=False)
    except BapsimError:  # a project without a turn has no ledger yet
        return None
    return found


async def statement_page(ask: Ask) -> Response:
    """One's own balance, how it came about, and what was not taken, each with its reason."""
    said = await asyncio.to_thread(_statement, ask.rooms, ask.who.id)
    words = await ask.read(lambda c: _given(c, ask)) if said is not None else {}
    return ask.page("pay.html.j2", s=said, shown=SHOWN, words=words, **_words_of(said, ask.lang))


def _given(connection: sa.Connection, ask: Ask) -> dict[str, Json]:
    """What was given, in words, by the name that a statement calls it by."""
    rows = lines.of_person(connection, ask.who.id, state="approved")
    said = [(f"{row['consent']}/{row['id']}", row["kind"], lines.read(ask.rooms.keys, row)) for row in rows]
    texts = texts_of(connection, [str(body.get("question") or "") for _, _, body in said])
    return {ref: {"kind": kind, **in_words(kind, body, texts, ask.lang)} for ref, kind, body in said}


def _words_of(said: Json | None, lang: str) -> Json:
    if said is None:
        return {"totals": [], "declined": [], "shares": [], "tests": []}
    totals = [
        {"currency": currency, **{name: money_said(minor, currency) for name, minor in sums.items()}}
        for currency, sums in said["currencies"].items()
    ]
    declined = [{**one, "why": _why(one["reason"], lang)} for one in said["declined"]]
    objected = {one["ref"]: one["state"] for one in said["appeals"]}
    shares = [{**_share(one), "state": objected.get(one["ref"], "none")} for one in said["shares"]]
    tests = [
        {**one, "sum": money_said(one["minor"], one["currency"]), **one["figures"]} for one in said["tests"]
    ]
    return {"totals": totals, "declined": declined, "shares": shares, "tests": tests}


def _share(one: Json) -> Json:
    """A share of a model's gain as people write it, with the least and the most that it may have been."""
    sums = {name: money_said(one[name], one["currency"]) for name in ("minor", "least", "most")}
    of = {name: f"{one['of'][name]:+.2f}".replace("-", "−") for name in ("points", "low", "high")}
    mine = {f"part_{name}": f"{100 * one['mine'][name]:.0f}" for name in ("share", "low", "high")}
    return {**sums, **of, **mine, "ref": one["ref"], "rows": f"{one['mine']['rows']:,}"}


def money_said(minor: int, currency: str) -> str:
    """A sum as people write it."""
    sign = "−" if minor < 0 else ""
    return f"{sign}{Money(minor=abs(minor), currency=currency).amount} {currency}"


def _why(key: str, lang: str) -> str:
    """A reason in words; one that a check of the recipe gave stands for itself."""
    return message(key, lang) if key in messages() else key.partition(".")[2]


async def download(ask: Ask) -> Response:
    """The statement as data, to keep."""
    said = await asyncio.to_thread(_statement, ask.rooms, ask.who.id)
    body = json.dumps(said or {}, ensure_ascii=False, indent=1, sort_keys=True).encode()
    headers = HEADERS | {"content-disposition": f'attachment; filename="statement-{ask.who.id}.json"'}
    return Response(body, media_type="application/json", headers=headers)


async def object_(ask: Ask) -> Response:
    """Object to what became of a line of one's own, in words that whoever decides will read."""
    line = clean(ask.form.get("line"), "line", NAME)
    words = redacted(clean(ask.form.get("said"), "said", WORDS))[0]

    def work(project: Project) -> None:
        appeal(project, ask.who.id, line, words)

    await _written(ask, work)
    return ask.go("/people/pay")


async def appeals_page(ask: Ask) -> Response:
    """Every objection that nobody has decided, and what was decided."""

    def work(project: Project) -> Json:
        waiting = open_appeals(project.ledger)
        done = [row for row in appeals(project.ledger) if row["state"] != "appealed"]
        return {"waiting": waiting, "done": done[-SHOWN:][::-1]}

    try:
        found = await asyncio.to_thread(_with, ask.rooms, work, writing=False)
    except BapsimError:
        found = {"waiting": [], "done": []}
    return ask.page("appeals.html.j2", **found)


async def settle(ask: Ask) -> Response:
    """The owner's word on an objection, with the reason; booked beside what was, which stays."""
    ref = clean(ask.form.get("ref"), "ref", NAME)
    why = clean(ask.form.get("why"), "why", WORDS)
    person = clean(ask.form.get("person"), "person", NAME)
    upheld = ask.form.get("do") == "uphold"
    more = clean(ask.form.get("amount", ""), "amount", NAME, empty=True)

    def work(project: Project) -> None:
        sum_ = money(more) if more else None
        decide(project, ref, by=ask.who.id, upheld=upheld, why=why, amount=sum_, person=person)

    await _written(ask, work)
    await ask.write(lambda c: audit.note(c, ask.rooms.key, ask.who.id, "decided_appeal", ref, upheld=upheld))
    return ask.go("/people/appeals")


async def _written(ask: Ask, work: Callable[[Project], None]) -> None:
    try:
        await asyncio.to_thread(_with, ask.rooms, work, writing=True)
    except InputError as why:
        raise Refused(409, "pay_said", why=" ".join(why.say(ask.lang).split("\n")[:1])) from why


DOORS = (
    Door(path="/people/pay", handler=statement_page, who=GIVING, nav="pay"),
    Door(path="/people/pay", handler=object_, who=GIVING, method="POST"),
    Door(path="/people/pay/statement.json", handler=download, who=GIVING),
    Door(path="/people/appeals", handler=appeals_page, who=OWNER, nav="appeals"),
    Door(path="/people/appeals", handler=settle, who=OWNER, method="POST"),
)
