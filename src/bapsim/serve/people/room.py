"""The expert room: a dialogue about what the model gets wrong, and what the answers would change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.compose.dialogue import Question, Reply
from bapsim.compose.interview import drafts
from bapsim.compose.interview_words import say_question
from bapsim.core.errors import InputError
from bapsim.core.errors import text as message
from bapsim.serve.people import desk, desk_jobs, room_data, room_talk, room_tape
from bapsim.serve.people.consent import standing
from bapsim.serve.people.desk import PEERS, SURE
from bapsim.serve.people.doors import Ask, Door, Form
from bapsim.serve.people.events import Event, newest
from bapsim.serve.people.roles import GIVING
from bapsim.serve.people.room_tables import dialogue
from bapsim.serve.people.room_tape import Talk, Turn
from bapsim.serve.people.streams import Channel
from bapsim.serve.people.tables import line
from bapsim.serve.people.texts import clean
from bapsim.serve.refused import Refused, bad
from bapsim.store.ledger import now
from bapsim.text.rule_words import say_rule
from bapsim.text.rules import rule_of

LABEL, WORDS = 200, 4_000  # characters
OFFERED = 200  # labels that are offered; others can be typed
CASES = 8  # of each kind that an effect lists
ACTS = ("skip", "cannot_tell", "undo", "open", "argue", "guideline", "leave", "stop")
Json = dict[str, Any]


# ---------------------------------------------------------------- the list


async def rooms_page(ask: Ask) -> Response:
    """One's own dialogues, and the topics that others are at."""
    await desk.renewed(ask)
    turn = await asyncio.to_thread(desk_jobs.turn_now, ask.rooms.root)
    found = await ask.read(lambda c: _listed(c, ask))
    if turn is not None:
        ask.rooms.lessons.ready().add_done_callback(lambda done: done.cancelled() or done.exception())
    return ask.page("room.html.j2", turn=turn, **found)


def _listed(connection: sa.Connection, ask: Ask) -> Json:
    rows = connection.execute(sa.select(dialogue).order_by(dialogue.c.seq.desc()).limit(500)).mappings()
    mine, others = [], []
    for row in rows:
        if row["person"] == ask.who.id:
            waits = room_tape.opened(ask.rooms.keys, row["consent"], row["waits"])
            mine.append({**row, "title": _title(waits.get("topic"), ask.lang)})
        elif row["state"] == "open":
            waits = room_tape.opened(ask.rooms.keys, row["consent"], row["waits"])
            topic = waits.get("topic")
            others.append({**row, "topic": topic, "title": _title(topic, ask.lang)})
    drafted = sa.select(sa.func.count()).where(
        line.c.person == ask.who.id, line.c.state == "draft", line.c.dialogue.is_not(None)
    )
    return {
        "mine": mine,
        "others": others,
        "drafts": int(connection.execute(drafted).scalar() or 0),
        "consent": standing(connection, ask.who.id),
    }


def _title(topic: Mapping[str, Any] | None, lang: str) -> str:
    return "" if not topic else message(f"topic.{topic['kind']}", lang, **topic["values"])


async def start(ask: Ask) -> Response:
    """A new dialogue: about a topic that somebody else is at, or about one to be chosen."""
    if await ask.read(lambda c: standing(c, ask.who.id)) is None:
        raise Refused(403, "no_consent")
    topic = clean(ask.form.get("topic"), "topic", 64, empty=True) or None
    await _current(ask)
    talk, done = await asyncio.to_thread(room_talk.started, ask.rooms, ask.who.id, ask.lang, topic)
    begun = await ask.write(lambda c: room_talk.begin(c, ask.rooms, talk, done))
    return ask.go(f"/people/room/{begun.name}")


async def _current(ask: Ask) -> None:
    """Let the classroom be made anew where a turn has ended since."""
    turn = await asyncio.to_thread(desk_jobs.turn_now, ask.rooms.root)
    query = sa.select(dialogue.c.turn).order_by(dialogue.c.seq.desc()).limit(1)
    last = await ask.read(lambda c: c.execute(query).scalar())
    if last is not None and turn is not None and turn > last:
        await asyncio.to_thread(ask.rooms.lessons.renew)


# ---------------------------------------------------------------- one dialogue


async def _mine(ask: Ask) -> Talk:
    return await ask.read(lambda c: room_tape.of_person(c, ask.rooms.keys, ask.path["dialogue"], ask.who.id))


async def talk_page(ask: Ask) -> Response:
    """The dialogue: what was said, the question that waits, what the answers would change."""
    talk, side, seq = await ask.read(lambda c: _whole(c, ask, ask.path["dialogue"]))
    if talk.row["state"] != "open":
        return ask.go(f"/people/room/{talk.name}/end")
    learnt = side["learnt"]
    if talk.turns and (learnt is None or learnt["step"] < _taught_at(talk)):
        done = await asyncio.to_thread(
            room_talk.stepped, ask.rooms, talk
        )  # its effect was lost with a worker
        room_talk.teach(ask, talk, done.now, len(talk.turns))
    return ask.page("room_talk.html.j2", seq=seq, **_shown(ask, talk), **side)


def _taught_at(talk: Talk) -> int:
    """The last step in which the person said something; -1: in none."""
    return max((one.step for one in talk.turns if one.question.to == "person"), default=-1)


def _whole(connection: sa.Connection, ask: Ask, name: str) -> tuple[Talk, Json, int]:
    talk = room_tape.of_person(connection, ask.rooms.keys, name, ask.who.id)
    return talk, _side(connection, ask, talk), newest(connection)


def _shown(ask: Ask, talk: Talk) -> Json:
    """What the part with the question needs."""
    question = talk.question
    about = {} if question is None else dict(question.about)
    labels = list(dict.fromkeys([*_at_hand(about), *talk.manner["labels"]]))[:OFFERED]
    topic = talk.waits.get("topic")
    return {
        "talk": talk,
        "question": question,
        "about": about,
        "said": room_talk.plain(talk),
        "topic": _title(topic, talk.row["lang"]),
        "labels": labels,
        "offered": [
            {**one, "title": _title(one, ask.lang), "measure": _measure(one, ask.lang)}
            for one in about.get("topics", ())
        ],
        "draft": " ".join(drafts(about, talk.row["lang"]))
        if question and question.kind == "guideline"
        else "",
        "rule": _in_words(about.get("rule"), talk.row["lang"]),
        "past": [_turn(one, talk, ask.lang) for one in talk.turns if one.question.to == "person"],
        "others": list(dict.fromkeys(str(one["label"]) for one in about.get("against", ()) if "label" in one))
        if question and question.kind == "holds"
        else [],
        "sure": SURE,
        "peers": PEERS,
        "word": "",
    }


def _at_hand(about: Mapping[str, Any]) -> list[str]:
    """Labels that a question is about, which come first."""
    case = about.get("case") or {}
    named = [*about.get("labels", ()), about.get("label"), *about.get("against", ())]
    return [one for one in (*named, case.get("label")) if isinstance(one, str) and one]


def _measure(topic: Mapping[str, Any], lang: str) -> str:
    key = "topic.expected" if topic["kind"] in ("new_class", "unsure") else "topic.errors"
    told = {"errors": topic["errors"], "rows": f"{topic['rows']:,}", "points": f"{100 * topic['worth']:.2f}"}
    return message(key, lang, **told)


def _in_words(rule: Any, lang: str) -> str:
    try:
        return say_rule(rule_of(rule), lang) if rule else ""
    except InputError:
        return ""


def _turn(one: Turn, talk: Talk, lang: str) -> Json:
    """One question with its reply, for the page: who reads it said it."""
    about, said = one.question.about, one.reply.said
    case = about.get("case") or {}
    asked = say_question(one.question, talk.row["lang"])
    body: Json = {
        "step": one.step,
        "asked": asked,
        "case": case.get("text", ""),
        "why": said.get("why") or "",
    }
    act = said.get("act")
    if act in ACTS:
        body |= {"act": act, "said": str(said.get("said") or ""), "label": str(said.get("label") or "")}
    else:
        body |= {"act": "", "label": "", "said": _reply(one.question, said, talk.row["lang"], lang)}
    return body


def _reply(question: Question, said: Mapping[str, Any], tongue: str, lang: str) -> str:
    """A reply in words."""
    value = said.get("said")
    if question.kind == "choose":
        titles = {one["id"]: _title(one, lang) for one in question.about.get("topics", ())}
        return titles.get(value, "")
    if question.kind in ("holds", "own"):
        mine = question.about["mine" if question.kind == "holds" else "label"]
        return message(f"people.room.{question.kind}.{value}", lang, label=said.get("label") or mine)
    if question.kind == "sure":
        peers = said.get("peers")
        told = message("people.room.sure.said", lang, share=f"{100 * float(value or 0):.0f}")
        more = (
            ""
            if peers is None
            else message("people.room.peers.said", lang, share=f"{100 * float(peers):.0f}")
        )
        return f"{told} {more}".strip()
    if isinstance(value, Mapping):
        return _in_words(value, tongue)
    return message("people.room.rule.none", lang) if value == "none" else str(value or "")


# ---------------------------------------------------------------- beside it


def _side(connection: sa.Connection, ask: Ask, talk: Talk) -> Json:
    """What the answers would change, who says otherwise, what people are told of the labels at hand."""
    learnt = room_tape.learnt(connection, ask.rooms.keys, talk.name)
    question = talk.question
    labels = [] if question is None else _at_hand(question.about)
    told = room_data.guideline(connection) if labels else {}
    others = sa.select(sa.func.count(sa.distinct(dialogue.c.person))).where(
        dialogue.c.state == "open", dialogue.c.person != ask.who.id
    )
    return {
        "learnt": learnt,
        "fresh": learnt is not None and learnt["step"] >= talk.row["steps"],
        "cases": CASES,
        "differs": room_data.disputes(connection, ask.rooms, talk.name, ask.who.id),
        "rules": {label: told[label] for label in dict.fromkeys(labels) if label in told},
        "company": int(connection.execute(others).scalar() or 0),
        "waiting": talk.row["steps"] > 0,
    }


def _may(connection: sa.Connection, ask: Ask, channel: str) -> bool:
    name = channel.removeprefix("room:")
    query = sa.select(dialogue.c.id).where(dialogue.c.id == name, dialogue.c.person == ask.who.id)
    return connection.execute(query).first() is not None


async def _event(ask: Ask, event: Event) -> str | None:
    """The side anew: what the answers would change, or that somebody says otherwise."""
    name = event.channel.removeprefix("room:")

    def look(connection: sa.Connection) -> Json:
        return _side(connection, ask, room_tape.heading(connection, ask.rooms.keys, name, ask.who.id))

    try:
        side = await ask.read(look)
    except Refused:  # withdrawn meanwhile
        return None
    return ask.part("part_room_side.html.j2", **side)


# ---------------------------------------------------------------- saying something


async def say(ask: Ask) -> Response:
    """Keep a reply, and show the next question."""
    talk = await _mine(ask)
    question = talk.question
    if question is None or talk.row["state"] != "open":
        return ask.go(f"/people/room/{talk.name}/end")
    if ask.form.get("question") != question.name:
        return await _again(ask, talk, "room_another_question")
    reply = Reply(
        said=said_in(ask.form, question), at=now(), seconds=desk.seconds_of(ask.form.get("seconds"))
    )
    done = await asyncio.to_thread(room_talk.stepped, ask.rooms, talk, reply, question.name)
    after = await ask.write(lambda c: room_talk.keep(c, ask.rooms, talk, done))
    room_talk.teach(ask, after, done.now, len(after.turns))
    if ask.request.headers.get("hx-request") != "true":
        return ask.go(f"/people/room/{talk.name}")
    if done.question is None:
        response = ask.page("part_room_talk.html.j2", **_shown(ask, after))
        response.headers["HX-Redirect"] = f"/people/room/{talk.name}/end"
        return response
    return ask.page("part_room_talk.html.j2", **_shown(ask, after))


async def _again(ask: Ask, talk: Talk, why: str) -> Response:
    """The question that waits, with a word about why: it was answered in another window."""
    if ask.request.headers.get("hx-request") != "true":
        return ask.go(f"/people/room/{talk.name}")
    return ask.page("part_room_talk.html.j2", **_shown(ask, talk) | {"word": why})


def said_in(form: Form, question: Question) -> Json:
    """A reply as the interview takes it; raises Refused for what is none."""
    act = form.get("act")
    why = clean(form.get("why"), "why", WORDS, empty=True)
    if act in ACTS:
        found: Json = {"act": act}
        if act in ("open", "argue", "guideline"):
            found["said"] = clean(form.get("said"), "said", WORDS)
        if act in ("argue", "guideline") and form.get("label"):
            found["label"] = clean(form.get("label"), "label", LABEL)
        if act == "guideline":
            found |= {"label": clean(form.get("label"), "label", LABEL), "base": _number(form.get("base"))}
        return found | ({"why": why} if why else {})
    if act:
        raise bad("desk_label", "act")
    body = {"said": "" if form.get("change") else _said(form, question)} | ({"why": why} if why else {})
    if question.kind == "holds" and form.get("change"):
        body |= {"said": "change", "label": clean(form.get("change"), "change", LABEL)}
    if question.kind == "sure" and form.get("peers"):
        body["peers"] = desk.among(form.get("peers"), "peers", PEERS)
    return body


def _said(form: Form, question: Question) -> Any:
    """What was said, of the form that a question of this kind asks for."""
    if question.kind == "sure":
        return desk.among(form.get("said"), "said", SURE)
    if question.kind == "rule":
        if form.ticked("suggested"):
            return dict(question.about["rule"] or {})
        return "none" if form.ticked("none") else clean(form.get("said"), "said", WORDS)
    short = ("choose", "holds", "own", "case", "counter", "nothing")
    new = clean(form.get("new"), "new", LABEL, empty=True) if question.kind in short[3:] else ""
    return new or clean(form.get("said"), "said", LABEL if question.kind in short else WORDS)


def _number(said: str) -> int:
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0


CHANNELS = (Channel(name=r"room:d-[a-z2-7]{10}", may=_may, show=_event, whole=True),)
DOORS = (
    Door(path="/people/room", handler=rooms_page, who=GIVING, nav="room"),
    Door(path="/people/room", handler=start, who=GIVING, method="POST"),
    Door(path="/people/room/{dialogue}", handler=talk_page, who=GIVING),
    Door(path="/people/room/{dialogue}/say", handler=say, who=GIVING, method="POST"),
)
