"""The desk as its owner sees it: jobs that are brought, how they go, who agrees, what is told of labels."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.compose.assignment import SKILL
from bapsim.core.errors import BapsimError
from bapsim.gather.jobs import Job, read_job, write_job
from bapsim.gather.read import PACKED, suffix
from bapsim.gather.voices import Item, Span, Voice
from bapsim.judge.compare import wilson
from bapsim.raters.agreement import PLAIN
from bapsim.raters.sequential import tested
from bapsim.raters.shares import leaning
from bapsim.serve.people import audit, desk_jobs, desk_queue, lines
from bapsim.serve.people.desk import job_of
from bapsim.serve.people.desk_tables import change, done, item, job
from bapsim.serve.people.doors import HEADERS, Ask, Door
from bapsim.serve.people.events import Event, newest
from bapsim.serve.people.roles import GUIDING
from bapsim.serve.people.streams import Channel
from bapsim.serve.people.tables import line
from bapsim.serve.people.texts import clean, redacted
from bapsim.serve.refused import Refused, bad
from bapsim.store.sealing import Keys

UPLOAD = 32 << 20  # bytes of a file that is brought
KINDS = ("label", "pair", "spans")
FORMATS = {"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv"}
FORMATS |= {"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
HISTORY = 100  # changes that are shown
GIVEN = (line.c.consent, line.c.state, line.c.body)  # what `lines.read` needs
Json = dict[str, Any]


# ---------------------------------------------------------------- new jobs


async def bring(ask: Ask) -> Response:
    """A job from a file: Label Studio's JSON, CSV, a workbook, JSON lines."""
    upload = next((one for one in ask.form.files if one.field == "file" and one.body), None)
    if upload is None:
        raise bad("no_file", "file")
    kind = ask.form.get("kind", "label")
    if kind not in KINDS:
        raise bad("desk_label", "kind")
    target = clean(ask.form.get("target"), "target", 80, empty=True) or None
    named = clean(ask.form.get("labels"), "labels", 2000, empty=True)
    labels = [one.strip()[:200] for one in named.split(",") if one.strip()]
    found = await asyncio.to_thread(_read, upload.name, upload.body, kind, target)
    brought = desk_jobs.of_file(found, Path(upload.name).name or "file")
    if labels:
        brought = desk_jobs.with_labels(brought, labels)

    def keep(connection: sa.Connection) -> str:
        name = desk_jobs.add(connection, brought, ask.who.id)
        audit.note(connection, ask.rooms.key, ask.who.id, "brought_job", name, items=len(brought.items))
        return name

    name = await ask.write(keep)
    return ask.go(f"/people/desk/{name}/progress")


def _read(name: str, body: bytes, kind: Any, target: str | None) -> Job:
    """The job of an upload; the file is gone when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        packed = next((one for one in PACKED if name.lower().endswith(one)), "")
        path = Path(folder) / f"upload{suffix(Path(name))}{packed}"  # no more of a name than how it is read
        path.write_bytes(body)
        try:
            return read_job(path, kind, target)
        except BapsimError as why:
            raise bad(
                "desk_file", "file", why=why.say().splitlines()[0].replace(path.name, name[:80])
            ) from why


async def likely(ask: Ask) -> Response:
    """A job to confirm: the pool's likeliest items of a class."""
    label = clean(ask.form.get("label"), "label", 200)
    before = await ask.read(lambda c: desk_jobs.decided(c, label))
    try:
        brought = await asyncio.to_thread(desk_jobs.to_confirm, ask.rooms.root, label, before)
    except BapsimError as why:
        raise bad("desk_likely", "label", why=why.say(ask.lang).splitlines()[0]) from why

    def keep(connection: sa.Connection) -> str:
        told = desk_jobs.told_before(connection, label)
        name = desk_jobs.add(connection, brought, ask.who.id)
        if told is not None and told["rule"] != brought.guideline.get(label):
            about = (label, told["rule"], json.loads(told["examples"]), told["by"])
            desk_jobs.tell_label(connection, name, *about, consent=told["consent"])
        return name

    name = await ask.write(keep)
    return ask.go(f"/people/desk/{name}/progress")


async def close(ask: Ask) -> Response:
    """Ask nothing more of a job; what was said stays."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    await ask.write(lambda c: c.execute(job.update().where(job.c.id == one["id"]).values(state="closed")))
    return ask.go("/people/desk")


# ---------------------------------------------------------------- how it goes


async def progress_page(ask: Ask) -> Response:
    """Counts, agreement, people and history of a job; its figures are live."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    figures, told, versions, past, seq = await ask.read(
        lambda c: (
            progress(c, ask.rooms.keys, one["id"]),
            desk_jobs.rules(c, one["id"]),
            desk_jobs.versions(c, one["id"]),
            history(c, ask.rooms.keys, one["id"]),
            newest(c),
        )
    )
    shown: Json = {"job": one, "figures": figures, "rules": told, "versions": versions}
    return ask.page("desk_progress.html.j2", history=past, seq=seq, **shown)


def progress(connection: sa.Connection, keys: Keys, name: str) -> Json:
    """How a job stands: items by state, answers, agreement, and each person's figures with 95 % intervals."""
    states = sa.select(item.c.state, sa.func.count()).where(item.c.job == name, item.c.gold.is_(None))
    counts = {row[0]: row[1] for row in connection.execute(states.group_by(item.c.state))}
    query = (
        sa.select(
            done.c.item,
            done.c.what,
            done.c.blind,
            done.c.hit,
            item.c.gold,
            done.c.person.label("who"),
            *GIVEN,
        )
        .join(item, sa.and_(item.c.job == done.c.job, item.c.id == done.c.item))
        .join(line, sa.and_(line.c.id == done.c.line, line.c.state == "approved"), isouter=True)
        .where(done.c.job == name)
        .order_by(done.c.seq)
    )
    rows: list[Json] = []
    for found in connection.execute(query).mappings():
        said = None if found["body"] is None else desk_queue.said_in(lines.read(keys, dict(found)))
        rows.append({**found, "said": said})
    votes: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["blind"] is None and row["body"] is not None:
            votes.setdefault(row["item"], {})[row["who"]] = row["said"]
    return {
        "open": counts.get("open", 0),
        "settled": counts.get("settled", 0),
        "answers": sum(row["body"] is not None for row in rows),
        "skipped": sum(row["what"] == desk_queue.SKIPPED for row in rows),
        "unclear": sum(row["body"] is not None and row["said"] is None for row in rows),
        "agreement": _share(*_agreeing(votes)),
        "people": _people(rows, votes),
    }


def _agreeing(votes: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Pairs of answers of different people on one item that agree, and all such pairs."""
    pairs = [(a, b) for said in votes.values() for a, b in combinations(said.values(), 2)]
    return sum(a == b for a, b in pairs), len(pairs)


def _share(right: int, of: int) -> Json:
    """A share with its interval; low and high None where there is nothing to count."""
    low, high = wilson(right, of) if of else (None, None)
    return {"right": right, "of": of, "share": right / of if of else None, "low": low, "high": high}


def _people(rows: Sequence[Mapping[str, Any]], votes: Mapping[str, Mapping[str, Any]]) -> list[Json]:
    """Of each person: answers, tests right, the same said again, pairs that agree with others."""
    found = []
    for who in sorted({row["who"] for row in rows}):
        mine = [row for row in rows if row["who"] == who and row["body"] is not None]
        tests = [row for row in mine if row["blind"] == "gold"]
        again = [row for row in mine if row["blind"] == "again"]
        first = {row["item"]: row["said"] for row in reversed(mine) if row["blind"] is None}
        others = [
            (said[who], other)
            for said in votes.values()
            if who in said
            for p, other in said.items()
            if p != who
        ]
        found.append(
            {
                "person": who,
                "answers": len(mine),
                "tests": _share(
                    sum(desk_queue.is_known(row["said"], row["gold"]) for row in tests), len(tests)
                ),
                "skill": _skill(row["hit"] for row in tests if row["hit"] is not None),
                "again": _share(sum(first.get(row["item"]) == row["said"] for row in again), len(again)),
                "agrees": _share(sum(a == b for a, b in others), len(others)),
            }
        )
    return found


def _skill(hits: Iterable[int]) -> Json:
    """How often somebody is right, as the queue takes it, with its interval, and what tests make of it."""
    told = [bool(one) for one in hits]
    found = leaning(sum(told), len(told), SKILL, PLAIN)
    ends = {"share": found.rate, "low": found.low, "high": found.high, "of": len(told)}
    return ends | {"standing": tested(told).standing}


def history(connection: sa.Connection, keys: Keys, name: str) -> list[Json]:
    """The last changes of a job, newest first: who said, took back or skipped what, what was settled."""
    query = (
        sa.select(change.c.at, change.c.what, item.c.key, change.c.person.label("who"), *GIVEN)
        .join(item, sa.and_(item.c.job == change.c.job, item.c.id == change.c.item))
        .join(line, sa.and_(line.c.id == change.c.line, line.c.state == "approved"), isouter=True)
        .where(change.c.job == name)
        .order_by(change.c.seq.desc())
        .limit(HISTORY)
    )
    found = []
    for row in connection.execute(query).mappings():
        said = None if row["body"] is None else desk_queue.said_in(lines.read(keys, dict(row)))
        shown = said if said is None or isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        found.append({name: row[name] for name in ("at", "who", "what", "key")} | {"said": shown})
    return found


def _may(connection: sa.Connection, ask: Ask, channel: str) -> bool:
    return ask.who.role in GUIDING


async def _figures(ask: Ask, event: Event) -> str | None:
    """The figures of a job, anew."""
    name = event.channel.removeprefix("desk:")
    figures = await ask.read(lambda c: progress(c, ask.rooms.keys, name))
    return ask.part("part_desk_figures.html.j2", figures=figures)


# ---------------------------------------------------------------- what people are told


async def tell_label(ask: Ask) -> Response:
    """A new version of what is told of a label; the old ones stay on record."""
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    label = clean(ask.form.get("label"), "label", 200)
    rule = redacted(clean(ask.form.get("rule"), "rule", 4000))[0]
    examples = [
        redacted(said)[0]
        for said in clean(ask.form.get("examples"), "examples", 4000, empty=True).split("\n")
    ]

    def keep(connection: sa.Connection) -> None:
        shown = [said.strip() for said in examples if said.strip()]
        desk_jobs.tell_label(connection, one["id"], label, rule, shown, ask.who.id)
        audit.note(connection, ask.rooms.key, ask.who.id, "wrote_guideline", one["id"], label=label)

    await ask.write(keep)
    return ask.go(f"/people/desk/{one['id']}/progress")


# ---------------------------------------------------------------- out


async def export(ask: Ask) -> Response:
    """All items of a job with every voice, as a file; that somebody took it is in the audit log."""
    out = ask.path["format"]
    if out not in FORMATS:
        raise Refused(404, "no_route", found="GET")
    one = await ask.read(lambda c: job_of(c, ask.path["job"]))
    found = await ask.read(lambda c: whole(c, ask.rooms.keys, one))
    body = await asyncio.to_thread(write_job, found, out)  # type: ignore[arg-type]
    await ask.write(
        lambda c: audit.note(c, ask.rooms.key, ask.who.id, "exported_job", one["id"], items=len(found.items))
    )
    headers = HEADERS | {"content-disposition": f'attachment; filename="{one["id"]}.{out}"'}
    return Response(body, media_type=FORMATS[out], headers=headers)


def whole(connection: sa.Connection, keys: Keys, one: Mapping[str, Any]) -> Job:
    """A job with all that was said, tests too."""
    query = (
        sa.select(done.c.item, line)
        .join(line, sa.and_(line.c.id == done.c.line, line.c.state == "approved"))
        .where(done.c.job == one["id"])
        .order_by(done.c.seq)
    )
    voices: dict[str, list[Voice]] = {}
    for row in connection.execute(query).mappings():
        voices.setdefault(row["item"], []).append(_voice(lines.read(keys, dict(row)), row, one))
    rows = connection.execute(
        sa.select(item)
        .where(item.c.job == one["id"], item.c.state != "gone")
        .order_by(item.c.place, item.c.seq)
    )
    items = []
    for row in rows.mappings():
        shows = json.loads(row["shows"])
        gold = [] if row["gold"] is None else [Voice(said=_plain(json.loads(row["gold"]), one), gold=True)]
        items.append(Item(key=row["key"], shows=shows, voices=(*gold, *voices.get(row["id"], []))))
    return Job(kind=one["kind"], items=tuple(items), labels=tuple(one["labels"]))


def _voice(body: Json, row: Any, one: Mapping[str, Any]) -> Voice:
    said = desk_queue.said_in(body)
    if one["kind"] == "confirm" and body.get("not"):
        said = "no"
    return Voice(
        said=_plain(said, one),
        by=row["person"],
        at=row["made"],
        seconds=body.get("seconds"),
        comment=body.get("comment"),
        skipped=said is None,
    )


def _plain(said: Any, one: Mapping[str, Any]) -> Any:
    """An answer as jobs have it: spans and sets as tuples, a number as text."""
    if isinstance(said, list):
        return tuple(Span(*span) for span in said) if one["kind"] == "spans" else tuple(said)
    return f"{said:g}" if isinstance(said, float) else said


CHANNELS = (Channel(name=r"desk:j-[a-z2-7]{10}", may=_may, show=_figures, whole=True),)
DOORS = (
    Door(path="/people/desk", handler=bring, who=GUIDING, method="POST", body=UPLOAD),
    Door(path="/people/desk/likely", handler=likely, who=GUIDING, method="POST"),
    Door(path="/people/desk/{job}/close", handler=close, who=GUIDING, method="POST"),
    Door(path="/people/desk/{job}/progress", handler=progress_page, who=GUIDING),
    Door(path="/people/desk/{job}/guideline", handler=tell_label, who=GUIDING, method="POST"),
    Door(path="/people/desk/{job}/export/{format}", handler=export, who=GUIDING),
)
