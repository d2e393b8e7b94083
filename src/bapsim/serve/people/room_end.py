"""The end of a dialogue: what it changed, and everything that was given, to be approved line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.serve.people import audit, desk_jobs, lines, room_data, room_tape
from bapsim.serve.people.doors import HEADERS, Ask, Door
from bapsim.serve.people.roles import GIVING
from bapsim.serve.people.room_tables import dialogue
from bapsim.serve.people.room_tape import Talk
from bapsim.serve.people.tables import line
from bapsim.serve.people.texts import clean, redacted
from bapsim.serve.people.wording import in_words
from bapsim.serve.refused import Refused, bad

WORDS = 4_000  # characters
ORDER = ("rule", "guideline", "example", "vote", "view", "rationale", "qa", "instruction", "pair")
WORDED = {
    "rationale": "text",
    "qa": "answer_text",
    "guideline": "text",
    "pair": "chosen",
}  # what may be reworded
Json = dict[str, Any]


async def end_page(ask: Ask) -> Response:
    """What the session changed, and its lines."""
    talk, learnt, given = await ask.read(lambda c: _whole(c, ask))
    if talk.row["state"] == "open":
        return ask.go(f"/people/room/{talk.name}")
    drafts = [one for one in given if one["state"] == "draft"]
    return ask.page(
        "room_end.html.j2",
        talk=talk,
        learnt=learnt,
        drafts=drafts,
        groups=[(kind, list(those)) for kind, those in groupby(drafts, lambda one: str(one["kind"]))],
        approved=[one for one in given if one["state"] == "approved"],
        cases=8,
        worded=WORDED,
    )


def _whole(connection: sa.Connection, ask: Ask) -> tuple[Talk, Json | None, list[Json]]:
    talk = room_tape.of_person(connection, ask.rooms.keys, ask.path["dialogue"], ask.who.id)
    learnt = room_tape.learnt(connection, ask.rooms.keys, talk.name)
    texts = _texts(talk)
    found = []
    for row in _lines(connection, talk):
        body = lines.read(ask.rooms.keys, row)
        found.append({**row, "said": body, "words": in_words(row["kind"], body, texts, talk.row["lang"])})
    found.sort(key=lambda one: (ORDER.index(one["kind"]) if one["kind"] in ORDER else 99, one["seq"]))
    return talk, learnt, found


def _lines(connection: sa.Connection, talk: Talk) -> list[Mapping[str, Any]]:
    mine = sa.and_(line.c.person == talk.row["person"], line.c.dialogue.startswith(f"{talk.name}/"))
    query = sa.select(line).where(mine, line.c.state != "undone").order_by(line.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]


def _texts(talk: Talk) -> dict[str, str]:
    """Texts of the cases that were shown, by id."""
    found: dict[str, str] = {}
    for one in talk.turns:
        case = one.question.about.get("case")
        if one.question.to == "person" and case:
            found[str(case["id"])] = str(case.get("text", ""))
    return found


async def decide(ask: Ask) -> Response:
    """Approve the ticked drafts; or drop all that are left."""
    wanted = set(ask.form.all("line"))
    drop = ask.form.get("do") == "drop"

    def work(connection: sa.Connection) -> None:
        talk = room_tape.of_person(connection, ask.rooms.keys, ask.path["dialogue"], ask.who.id)
        here = {row["id"]: row for row in _lines(connection, talk) if row["state"] == "draft"}
        if drop:
            for name in here:
                lines.undo(connection, name)
        elif not wanted or not wanted <= set(here):
            raise bad("room_nothing_ticked", "line") if not wanted else Refused(409, "line_gone")
        else:
            for name in sorted(wanted):
                _approve(connection, ask, here[name])
        left = [row for row in _lines(connection, talk) if row["state"] == "draft"]
        if not left and talk.row["state"] == "ended":
            connection.execute(dialogue.update().where(dialogue.c.id == talk.name).values(state="closed"))

    await ask.write(work)
    return ask.go(f"/people/room/{ask.path['dialogue']}/end")


def _approve(connection: sa.Connection, ask: Ask, row: Mapping[str, Any]) -> None:
    """One line; a text of the guideline is told from now on, if nobody wrote one meanwhile."""
    lines.approve(connection, row["id"])
    if row["kind"] != "guideline":
        return
    body, found = lines.read(ask.rooms.keys, row), room_data.project_job(connection)
    if found is None:
        return
    told = desk_jobs.rules(connection, found["id"]).get(body["label"])
    if (0 if told is None else told["version"]) != body["base"]:
        raise Refused(409, "room_guideline_changed", label=body["label"])
    desk_jobs.tell_label(
        connection, found["id"], body["label"], body["text"], (), ask.who.id, consent=row["consent"]
    )
    audit.note(connection, ask.rooms.key, ask.who.id, "wrote_guideline", found["id"], label=body["label"])


async def reword(ask: Ask) -> Response:
    """Other words for a draft."""
    name, said = ask.form.get("line"), clean(ask.form.get("said"), "said", WORDS)

    def work(connection: sa.Connection) -> None:
        talk = room_tape.of_person(connection, ask.rooms.keys, ask.path["dialogue"], ask.who.id)
        row = next((row for row in _lines(connection, talk) if row["id"] == name), None)
        if row is None or row["kind"] not in WORDED:
            raise Refused(409, "line_gone")
        body = lines.read(ask.rooms.keys, row)
        body[WORDED[row["kind"]]] = redacted(said)[0]
        if row["kind"] == "guideline":  # whoever words it anew has seen what is told by now
            found = room_data.guideline(connection).get(body["label"])
            body["base"] = 0 if found is None else found["version"]
        lines.edit(connection, ask.rooms.keys, name, body)

    await ask.write(work)
    return ask.go(f"/people/room/{ask.path['dialogue']}/end")


async def receipt(ask: Ask) -> Response:
    """All lines of a dialogue as they stand, to keep."""
    talk, _, given = await ask.read(lambda c: _whole(c, ask))
    told = [{"id": one["id"], "kind": one["kind"], "state": one["state"], **one["said"]} for one in given]
    body = json.dumps(told, ensure_ascii=False, indent=1).encode()
    headers = HEADERS | {"content-disposition": f'attachment; filename="{talk.name}.json"'}
    return Response(body, media_type="application/json", headers=headers)


DOORS = (
    Door(path="/people/room/{dialogue}/end", handler=end_page, who=GIVING),
    Door(path="/people/room/{dialogue}/end", handler=decide, who=GIVING, method="POST"),
    Door(path="/people/room/{dialogue}/reword", handler=reword, who=GIVING, method="POST"),
    Door(path="/people/room/{dialogue}/lines.json", handler=receipt, who=GIVING),
)
