"""One step of a dialogue: a reply is kept with all that it leads to, and the next question is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from bapsim.compose.dialogue import Question, Reply, advance
from bapsim.compose.harvest import Dialogue, guidelines, harvest, taught
from bapsim.compose.interview import Manner, Outcome, interview
from bapsim.compose.interview_words import say_question
from bapsim.core.errors import BapsimError, ExchangeError, Waiting
from bapsim.core.records import Task
from bapsim.serve.people import events, lines, room_phrasing, room_tape
from bapsim.serve.people.consent import standing
from bapsim.serve.people.doors import Ask
from bapsim.serve.people.names import new_dialogue
from bapsim.serve.people.room_data import PATIENCE, Data
from bapsim.serve.people.room_tables import dialogue, effect, position
from bapsim.serve.people.room_tape import Talk, Tape
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.refused import Refused
from bapsim.store.ledger import now
from bapsim.wheel.founding import load_recipe

TOLD = (
    10  # dialogues that hear at once that somebody says otherwise, the newest; the others at their next step
)
NOTHING = Outcome(given=(), steps=0)
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What a reply led to: the question that waits (None: the dialogue has ended), what the dialogue came to
    so far and before, the tape with what is new, the question in words.
    """

    question: Question | None
    now: Outcome
    before: Outcome
    tape: Tape
    said: str


def channel_of(name: str) -> str:
    """Where what happens to a dialogue is told."""
    return f"room:{name}"


def of(talk: Talk) -> Dialogue:
    """Whose dialogue it is, for its harvest."""
    row = talk.row
    return Dialogue(id=row["id"], person=row["person"], column=talk.manner["column"], lang=row["lang"])


# ---------------------------------------------------------------- stepping


def stepped(rooms: Rooms, talk: Talk, reply: Reply | None = None, answering: str | None = None) -> Stepped:
    """Replay a dialogue and go on with a reply; in a thread, for it waits for the data. Raises Refused where
    the reply is to a question that does not wait any more.
    """
    tape, seen = Tape(talk.turns), [NOTHING, NOTHING]
    manner = Manner(topic=talk.manner.get("topic"))
    exchange = tape.heard(interview(manner, seen.append))
    data = Data(rooms, talk.name, talk.row["person"])
    try:
        question, outcome = advance(talk.name, exchange, tape, data, reply, answering)
    except ExchangeError as why:
        raise Refused(409, "room_another_question") from why
    except TimeoutError as why:
        raise Refused(503, "room_not_ready") from why
    last = outcome if question is None else seen[-1]
    before = seen[-1] if question is None else seen[-2]
    said = "" if question is None else room_phrasing.phrased(rooms, talk, question, reply)
    return Stepped(question=question, now=last, before=before, tape=tape, said=said)


def started(rooms: Rooms, who: str, lang: str, topic: str | None) -> tuple[Talk, Stepped]:
    """A new dialogue up to its first question; raises Refused where the project has no model of texts yet."""
    try:
        ready = rooms.lessons.ready().result(PATIENCE)
        task: Task = load_recipe(rooms.root).task
    except TimeoutError as why:
        raise Refused(503, "room_not_ready") from why
    except BapsimError as why:
        raise Refused(409, "room_no_lesson", why=" ".join(why.say(lang).split("\n")[:1])) from why
    manner = {"labels": ready["classes"], "column": task.inputs[0], "topic": topic}
    row = {"id": new_dialogue(), "person": who, "lang": lang, "turn": ready["turn"]}
    talk = Talk(row=row, manner=manner, waits={}, turns=())
    try:
        return talk, stepped(rooms, talk)
    except Waiting as why:  # pragma: no cover  advance takes it
        raise Refused(503, "room_not_ready") from why


# ---------------------------------------------------------------- keeping


def begin(connection: sa.Connection, rooms: Rooms, talk: Talk, done: Stepped) -> Talk:
    """Keep a new dialogue with its first question."""
    consent = standing(connection, talk.row["person"])
    if consent is None:
        raise Refused(403, "no_consent")
    row = {**talk.row, "consent": consent, "state": "open", "steps": 0, "waits": None, "made": now()}
    connection.execute(dialogue.insert().values(**row, manner=json.dumps(talk.manner, ensure_ascii=False)))
    begun = replace(talk, row=row)
    keep(connection, rooms, begun, done)
    return begun


def keep(connection: sa.Connection, rooms: Rooms, talk: Talk, done: Stepped) -> Talk:
    """Keep a step with what it changes: tape, what waits, positions, and at the end the drafts of lines.
    Returns the dialogue as it is then.
    """
    keys, consent = rooms.keys, str(talk.row["consent"])
    lines.standing(connection, consent)
    room_tape.write(connection, keys, talk, done.tape)
    waits, body = None, Json()
    if done.question is not None:
        body = {"question": vars(done.question), "said": done.said, "topic": _topic(talk, done)}
        waits = room_tape.sealed(keys, consent, body)
    new: Json = {"steps": len(talk.turns) + len(done.tape.new), "waits": waits}
    if done.question is None:
        new |= {"state": "ended", "ended": now()}
        _drafted(connection, rooms, talk, done.now)
    connection.execute(dialogue.update().where(dialogue.c.id == talk.name).values(**new))
    _positions(connection, rooms, talk, done)
    events.tell(connection, channel_of(talk.name), "stepped", {"step": new["steps"]})
    return replace(talk, row={**talk.row, **new}, waits=body, turns=(*talk.turns, *done.tape.new))


def _topic(talk: Talk, done: Stepped) -> Json | None:
    """Kind, values and id of the topic that the question is about, for its title."""
    if done.question is None:
        return None
    name = done.question.about.get("topic")
    for one in reversed((*talk.turns, *done.tape.new)):
        said = one.reply.said
        found = [said.get("topic")] if one.question.kind == "similar" else said.get("topics") or ()
        for topic in found:
            if topic and name and topic["id"] == name:
                return {key: topic[key] for key in ("id", "kind", "values", "labels")}
    return None


def said_of(outcome: Outcome) -> dict[str, Json]:
    """What a person says of each case now."""
    last = {one.values["case"]["id"]: one.values for one in outcome.of("answer")}
    return {
        case: {"label": one["label"], "why": one.get("why") or "", "text": one["case"]["text"]}
        for case, one in last.items()
    }


def _positions(connection: sa.Connection, rooms: Rooms, talk: Talk, done: Stepped) -> None:
    """Write what changed of what a person says, and tell whoever says otherwise."""
    new, old = said_of(done.now), said_of(done.before)
    mine = (position.c.dialogue == talk.name,)
    changed = [case for case in {**new, **old} if new.get(case) != old.get(case)]
    for case in changed:
        connection.execute(position.delete().where(*mine, position.c.case == case))
        if case in new:
            body = room_tape.sealed(rooms.keys, talk.row["consent"], new[case])
            row = {"dialogue": talk.name, "consent": talk.row["consent"], "person": talk.row["person"]}
            token = room_tape.says(rooms.key, new[case]["label"])
            connection.execute(position.insert().values(**row, case=case, body=body, says=token))
    if not changed:
        return
    where = [
        room_tape.otherwise(
            {case: room_tape.says(rooms.key, said[case]["label"]) for case in changed if case in said}
        )
        for said in (new, old)
    ]
    query = sa.select(position.c.dialogue).where(sa.or_(*where), position.c.person != talk.row["person"])
    told = set(connection.execute(query.order_by(position.c.seq.desc()).limit(TOLD)).scalars())
    for other in sorted(told):
        events.tell(connection, channel_of(other), "differs", {})


def _drafted(connection: sa.Connection, rooms: Rooms, talk: Talk, outcome: Outcome) -> None:
    """All that was given, as drafts that wait for approval."""
    for one in harvest(outcome, of(talk)):
        body = {key: value for key, value in one.items() if key not in ("id", "kind", "person", "dialogue")}
        more = {"approved": False, "dialogue": one["dialogue"]}
        lines.add(connection, rooms.keys, talk.row["consent"], one["kind"], body, **more)
    for told in guidelines(outcome):
        body = dict(told)
        more = {"approved": False, "dialogue": f"{talk.name}/{outcome.steps}"}
        lines.add(connection, rooms.keys, talk.row["consent"], "guideline", body, **more)


# ---------------------------------------------------------------- the model learns


def teach(ask: Ask, talk: Talk, outcome: Outcome, step: int) -> None:
    """Ask what the dialogue would change, beside this request; it is told as an event when it is known."""
    given = [*taught(outcome, of(talk)), *_stated(talk)]
    work = asyncio.create_task(_taught(ask.rooms, talk, given, step))
    ask.rooms.tasks.add(work)
    work.add_done_callback(ask.rooms.tasks.discard)


def _stated(talk: Talk) -> list[Json]:
    """The rule that is still being talked about, as it stands: its effect is what there is to talk about."""
    question = talk.question
    if question is None or question.kind not in ("own", "counter") or not question.about.get("rule"):
        return []
    return [{"id": "stated", "kind": "rule", **{key: question.about[key] for key in ("rule", "label")}}]


async def _taught(rooms: Rooms, talk: Talk, given: Sequence[Mapping[str, Any]], step: int) -> None:
    began = asyncio.get_running_loop().time()
    asked = rooms.lessons.effect(given, (), talk.name)
    try:
        found = await asyncio.wrap_future(asked)
    except asyncio.CancelledError:
        if not asked.cancelled():  # the service ends; else a newer answer took its place
            raise
        return
    except BapsimError as why:
        found = {"trouble": " ".join(why.say(talk.row["lang"]).split("\n")[:1])}
    body = {"effect": found, "taught": len(given), "took": asyncio.get_running_loop().time() - began}
    await rooms.database.write(lambda c: _learnt(c, rooms, talk, step, body))


def _learnt(connection: sa.Connection, rooms: Rooms, talk: Talk, step: int, body: Json) -> None:
    """Keep an effect, unless a newer one is there, or the consent has gone meanwhile."""
    consent = str(talk.row["consent"])
    here = connection.execute(sa.select(dialogue.c.id).where(dialogue.c.id == talk.name)).first()
    known = room_tape.learnt(connection, rooms.keys, talk.name) if here is not None else None
    if here is None or (known is not None and known["step"] > step):
        return
    body["before"] = None if known is None else known.get("effect")
    if body["before"] is not None:
        body["before"] = {key: body["before"].get(key) for key in ("right", "wrong")}
    connection.execute(effect.delete().where(effect.c.dialogue == talk.name))
    row = {"dialogue": talk.name, "consent": consent, "step": step}
    connection.execute(effect.insert().values(**row, body=room_tape.sealed(rooms.keys, consent, body)))
    events.tell(connection, channel_of(talk.name), "effect", {"step": step})


def plain(talk: Talk) -> str:
    """The question that waits in words."""
    question = talk.question
    return "" if question is None else talk.waits.get("said") or say_question(question, talk.row["lang"])
