"""The label desk: one question at a time, by keyboard; pages of likely items to confirm."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.core.errors import BapsimError
from bapsim.core.turn import named_seed
from bapsim.serve.people import audit, desk_jobs, desk_queue
from bapsim.serve.people.consent import standing
from bapsim.serve.people.desk_queue import Given, Held
from bapsim.serve.people.desk_tables import done, item, job
from bapsim.serve.people.doors import HEADERS, Ask, Door, Form
from bapsim.serve.people.roles import GIVING
from bapsim.serve.people.texts import clean, redacted
from bapsim.serve.people.wording import hidden
from bapsim.serve.refused import Refused, bad
from bapsim.store.project import opened
from bapsim.wheel.desk_items import picture
from bapsim.wheel.founding import load_recipe

KEYS = "123456789"  # of the first labels; all others are found by typing
COMMENT = 2000  # characters
TILES = 12  # items on a page to confirm
LONGEST = 3600.0  # seconds that one answer may count for
SURE = (0.5, 0.7, 0.9, 1.0)  # answers to "how sure are you?"
PEERS = (0.25, 0.5, 0.75, 0.95)  # and to "how many of your colleagues would say the same?"
Json = dict[str, Any]


def job_of(connection: sa.Connection, name: str) -> Json:
    """A job's row; raises Refused where there is none."""
    found = connection.execute(sa.select(job).where(job.c.id == name)).mappings().first()
    if found is None:
        raise Refused(404, "desk_no_job")
    return dict(found) | {"labels": json.loads(found["labels"])}


# ---------------------------------------------------------------- the list


async def jobs_page(ask: Ask) -> Response:
    """All open jobs, with what is left and what this person has done."""
    await renewed(ask)
    found = await ask.read(lambda c: _listed(c, ask.who.id))
    given = await ask.read(lambda c: standing(c, ask.who.id))
    return ask.page("desk.html.j2", jobs=found, consent=given)


def _listed(connection: sa.Connection, who: str) -> list[Json]:
    counts = sa.select(item.c.job, item.c.state, sa.func.count()).where(item.c.gold.is_(None))
    left: dict[str, Json] = {}
    for name, state, count in connection.execute(counts.group_by(item.c.job, item.c.state)):
        left.setdefault(name, {})[state] = count
    mine = sa.select(done.c.job, sa.func.count()).where(done.c.person == who, done.c.what == desk_queue.SAID)
    said = {row[0]: row[1] for row in connection.execute(mine.group_by(done.c.job))}
    rows = connection.execute(
        sa.select(job).where(job.c.state == "open").order_by(job.c.made, job.c.id)
    ).mappings()
    none = {"open": 0, "settled": 0}
    return [
        dict(row) | {"counts": none | left.get(row["id"], {}), "mine": said.get(row["id"], 0)} for row in rows
    ]


async def renewed(ask: Ask) -> None:
    """Read the project's questions where a turn was made since; a project without a turn has none yet."""
    root = ask.rooms.root
    turn = await asyncio.to_thread(desk_jobs.turn_now, root)
    if turn is None:
        return
    where = (job.c.origin == desk_jobs.PROJECT, job.c.kind == "label")
    known = await ask.read(lambda c: c.execute(sa.select(job.c.id, job.c.turn).where(*where)).first())
    if known is not None and known.turn == turn:
        return
    try:
        brought = await asyncio.to_thread(desk_jobs.of_project, root)
    except BapsimError as why:
        ask.rooms.trouble["desk"] = why.say(ask.lang)
        return
    if brought is None:
        return

    def keep(connection: sa.Connection) -> None:
        found = connection.execute(sa.select(job.c.id, job.c.turn).where(*where)).first()
        if found is None:
            desk_jobs.add(connection, brought, None)
        elif found.turn != brought.turn:
            desk_jobs.renew(connection, found.id, brought)

    ask.rooms.trouble.pop("desk", None)
    await ask.write(keep)


# ---------------------------------------------------------------- one item


async def item_page(ask: Ask) -> Response:
    """The next item for this person."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    if one["state"] != "open" or await ask.read(lambda c: standing(c, ask.who.id)) is None:
        return ask.go("/people/desk")
    if one["kind"] == "confirm":
        return await confirm_page(ask, one)
    mine = await ask.write(lambda c: desk_queue.take(c, ask.rooms.keys, one["id"], ask.who.id))
    return await _shown(ask, one, mine)


async def _shown(ask: Ask, one: Json, mine: Held | None, undone: bool = False) -> Response:
    """The page with an item, or the part of it that htmx puts into its place."""
    told, count, more = await ask.read(lambda c: _beside(c, one, ask.who.id, mine))
    part = ask.request.headers.get("hx-request") == "true"
    shows = {} if mine is None else _shows(one, mine.row)
    if mine is not None and one["kind"] == "spans" and hidden(shows) != shows:
        about = (ask.rooms.key, ask.who.id, "read_words", mine.row["id"])
        await ask.write(lambda c: audit.note(c, *about, job=one["id"]))
    if one["kind"] == "pair" and mine is not None and _turned(mine.row["id"], ask.who.id):
        shows |= {"a": shows["b"], "b": shows["a"]}
    values: Json = {
        "job": one,
        "held": mine,
        "shows": shows,
        "picture": _is_picture(one, shows),
        "rules": told,
        "mine": count,
        "left": more,
        "keys": KEYS,
        "sure": SURE,
        "peers": PEERS,
        "undone": undone,
    }
    return ask.page("part_desk_item.html.j2" if part else "desk_item.html.j2", **values)


def _beside(connection: sa.Connection, one: Json, who: str, mine: Held | None) -> tuple[Json, int, int]:
    """The guideline, how many answers this person gave in the job, and how many items are open."""
    said = sa.select(sa.func.count()).where(
        done.c.job == one["id"], done.c.person == who, done.c.what == desk_queue.SAID
    )
    left = sa.select(sa.func.count()).where(
        item.c.job == one["id"], item.c.state == "open", item.c.gold.is_(None)
    )
    counts = connection.execute(sa.select(said.scalar_subquery(), left.scalar_subquery())).one()
    return desk_jobs.rules(connection, one["id"]), int(counts[0]), int(counts[1])


def _shows(one: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, str]:
    """What is shown of an item: without personal data, but where its very letters are marked, and the name of
    a picture.
    """
    shows: dict[str, str] = json.loads(row["shows"])
    return shows if one["kind"] == "spans" or _is_picture(one, shows) else hidden(shows)


def _turned(name: str, who: str) -> bool:
    """Whether a person sees the texts of a pair the other way round: a file may have the better one first,
    and people like what is on the left.
    """
    return named_seed("side", name, who) % 2 == 1


def _is_picture(one: Mapping[str, Any], shows: Mapping[str, str]) -> bool:
    """Whether the items of a job are pictures: the project's rows then show the name of a file only."""
    return one["origin"] == desk_jobs.PROJECT and set(shows) == {"file"}


async def say(ask: Ask) -> Response:
    """Keep an answer, and show the next item."""
    name, asked = ask.path["job"], ask.form.get("item")
    one, row = await ask.read(lambda c: (job_of(c, name), desk_queue.row_of(c, name, asked)))
    if row is None:
        raise Refused(409, "desk_not_held")
    kind, body = answer_in(ask.form, one, row, turned=_turned(row["id"], ask.who.id))

    def keep(connection: sa.Connection) -> Held | None:
        given = standing(connection, ask.who.id)
        if given is None:
            raise Refused(403, "no_consent")
        said = Given(job=one, who=ask.who.id, consent=given, kind=kind, body=body)
        desk_queue.say(connection, ask.rooms.keys, said)
        return desk_queue.another(connection, ask.rooms.keys, one["id"], ask.who.id)

    mine = await ask.write(keep)
    return await _next(ask, one, mine)


async def _next(ask: Ask, one: Json, mine: Held | None, undone: bool = False) -> Response:
    if ask.request.headers.get("hx-request") == "true":
        return await _shown(ask, one, mine, undone)
    return ask.go(f"/people/desk/{one['id']}")


async def skip(ask: Ask) -> Response:
    """Leave an item to others, and show the next one."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))

    def leave(connection: sa.Connection) -> Held | None:
        desk_queue.skip(connection, one["id"], ask.who.id)
        return desk_queue.another(connection, ask.rooms.keys, one["id"], ask.who.id)

    return await _next(ask, one, await ask.write(leave))


async def undo(ask: Ask) -> Response:
    """Take back the last answer, and show its item again."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))

    def back(connection: sa.Connection) -> tuple[Held | None, bool]:
        mine = desk_queue.undo(connection, ask.rooms.keys, one["id"], ask.who.id)
        return (mine or desk_queue.take(connection, ask.rooms.keys, one["id"], ask.who.id)), mine is not None

    if one["kind"] == "confirm":
        freed = await ask.write(lambda c: desk_queue.undo(c, ask.rooms.keys, one["id"], ask.who.id))
        return await _confirmed(ask, one, undone=freed is not None)
    mine, undone = await ask.write(back)
    return await _next(ask, one, mine, undone)


# ---------------------------------------------------------------- what was said


def answer_in(
    form: Form, one: Mapping[str, Any], row: Mapping[str, Any], *, turned: bool = False
) -> tuple[str, Json]:
    """The kind of line and the body of an answer; raises Refused for what is none. turned: the person saw the
    two texts of a pair the other way round.

    An answer about the project's own record is a vote; about an item that came in a file, an example, a pair
    or spans with the item in it.
    """
    body: Json = {"question": row["id"], "seconds": seconds_of(form.get("seconds"))}
    comment = clean(form.get("comment"), "comment", COMMENT, empty=True)
    if comment:
        body["comment"] = redacted(comment)[0]
    for name, known in (("confidence", SURE), ("peers", PEERS)):
        if form.get(name):
            body[name] = among(form.get(name), name, known)
    if form.ticked("cannot_tell"):
        return "vote", body | {"said": None, "cannot_tell": True}
    shows = json.loads(row["shows"])
    if one["kind"] == "spans":
        return "spans", body | {"input": shows, "spans": _spans(form.get("spans"), shows)}
    if one["kind"] == "pair":
        said = form.get("said")
        return "pair", body | _pair({"a": "b", "b": "a"}.get(said, said) if turned else said, shows)
    said = _label(form, one)
    if one["origin"] == desk_jobs.PROJECT:
        return "vote", body | {"said": said, "cannot_tell": False}
    return "example", body | {"input": shows, "target": said}


def _label(form: Form, one: Mapping[str, Any]) -> Any:
    if one["answer"] == "number":
        try:
            value = float(form.get("said").strip().replace("，", "."))
        except ValueError as why:
            raise bad("desk_number", "said") from why
        if not math.isfinite(value):
            raise bad("desk_number", "said")
        return value
    said = [clean(label, "said", 200) for label in form.all("said")]
    unknown = [label for label in said if one["labels"] and label not in one["labels"]]
    if unknown or (one["answer"] == "class" and len(said) != 1):
        raise bad("desk_label", "said")
    return said[0] if one["answer"] == "class" else sorted(set(said))


def _pair(said: str, shows: Mapping[str, str]) -> Json:
    if said not in ("a", "b", "tie"):
        raise bad("desk_label", "said")
    prompt = "\n".join(text for name, text in shows.items() if name not in ("a", "b"))
    other = {"a": "b", "b": "a"}.get(said)
    texts = {
        "chosen": None if other is None else shows[said],
        "rejected": None if other is None else shows[other],
    }
    return {"better": said, "prompt": prompt, **texts}


def _spans(said: str, shows: Mapping[str, str]) -> list[list[Any]]:
    from bapsim.gather.chunk import NotRead
    from bapsim.gather.jobs import spans_in

    text = next(iter(shows.values()))
    try:
        found = spans_in(said or "[]", text)
    except NotRead as why:
        raise bad("desk_spans", "spans") from why
    return [[span.start, span.end, clean(span.label, "spans", 200)] for span in found]


def seconds_of(said: str) -> float:
    """What the page measured; nobody is paid for more than LONGEST, nor for what is no time."""
    try:
        value = float(said or 0)
    except ValueError:
        return 0.0
    return round(min(max(value, 0.0), LONGEST), 1) if math.isfinite(value) else 0.0


def among(said: str, name: str, known: tuple[float, ...]) -> float:
    """One of these shares; raises Refused for another."""
    found = next((one for one in known if said == f"{one:g}"), None)
    if found is None:
        raise bad("desk_label", name)
    return found


# ---------------------------------------------------------------- confirming


async def confirm_page(ask: Ask, one: Json, undone: bool = False) -> Response:
    """A page of likely items: keep or reject each."""
    rows, count, left, told = await ask.read(lambda c: _tiles(c, one, ask.who.id))
    part = ask.request.headers.get("hx-request") == "true"
    shown = [dict(row) | {"shows": _shows(one, row)} for row in rows]
    template = "part_desk_confirm.html.j2" if part else "desk_confirm.html.j2"
    pictures = bool(shown) and _is_picture(one, shown[0]["shows"])
    values: Json = {"job": one, "tiles": shown, "mine": count, "left": left, "rules": told}
    return ask.page(template, picture=pictures, undone=undone, **values)


def _tiles(connection: sa.Connection, one: Json, who: str) -> tuple[list[Json], int, int, Json]:
    mine = sa.exists().where(done.c.job == one["id"], done.c.item == item.c.id, done.c.person == who)
    query = sa.select(item).where(item.c.job == one["id"], item.c.state == "open", ~mine)
    query = query.where(one["state"] == "open")
    rows = connection.execute(query.order_by(item.c.place, item.c.seq).limit(TILES)).mappings()
    told, count, left = _beside(connection, one, who, None)
    return [dict(row) for row in rows], count, left, told


async def confirm(ask: Ask) -> Response:
    """Keep what was decided on a page; items without a decision stay open."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    label = one["labels"][0]
    said = {
        name.removeprefix("keep-"): ask.form.get(name) for name in ask.form.fields if name.startswith("keep-")
    }
    if not set(said.values()) <= {"yes", "no"} or len(said) > TILES:
        raise bad("desk_label", "keep")
    seconds = seconds_of(ask.form.get("seconds")) / max(len(said), 1)

    def keep(connection: sa.Connection) -> None:
        given = standing(connection, ask.who.id)
        if given is None:
            raise Refused(403, "no_consent")
        for name, yes in said.items():
            body = {"question": name, "seconds": round(seconds, 1), "cannot_tell": False}
            body |= {"said": label} if yes == "yes" else {"said": None, "not": [label]}
            about = Given(job=one, who=ask.who.id, consent=given, kind="vote", body=body)
            desk_queue.confirm(connection, ask.rooms.keys, about)

    await ask.write(keep)
    return await _confirmed(ask, one)


async def _confirmed(ask: Ask, one: Json, undone: bool = False) -> Response:
    if ask.request.headers.get("hx-request") == "true":
        return await confirm_page(ask, one, undone)
    return ask.go(f"/people/desk/{one['id']}")


async def picture_of(ask: Ask) -> Response:
    """The picture of an item, as the desk shows it; reading it is in the audit log."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    row = await ask.read(lambda c: desk_queue.row_of(c, one["id"], ask.path["item"]))
    if row is None or one["origin"] != desk_jobs.PROJECT:
        raise Refused(404, "no_route", found="GET")
    media, body = await asyncio.to_thread(_pixels, ask, row["id"])
    await ask.write(
        lambda c: audit.note(c, ask.rooms.key, ask.who.id, "read_picture", row["id"], job=one["id"])
    )
    headers = HEADERS | {"cache-control": "private, max-age=600"}
    return Response(body, media_type=media, headers=headers)


def _pixels(ask: Ask, name: str) -> tuple[str, bytes]:
    task = load_recipe(ask.rooms.root).task
    try:
        with opened(ask.rooms.root, writing=False) as project:
            return picture(project, task, name)
    except BapsimError as why:
        raise Refused(404, "no_route", found="GET") from why


DOORS = (
    Door(path="/people/desk", handler=jobs_page, who=GIVING, nav="desk"),
    Door(path="/people/desk/{job}", handler=item_page, who=GIVING),
    Door(path="/people/desk/{job}/say", handler=say, who=GIVING, method="POST"),
    Door(path="/people/desk/{job}/skip", handler=skip, who=GIVING, method="POST"),
    Door(path="/people/desk/{job}/undo", handler=undo, who=GIVING, method="POST"),
    Door(path="/people/desk/{job}/confirm", handler=confirm, who=GIVING, method="POST"),
    Door(path="/people/desk/{job}/picture/{item}", handler=picture_of, who=GIVING),
)
