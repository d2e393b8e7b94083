"""What the data and the other people say to an interview in the room: minutes from the database, asked of the
classroom's process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bapsim.compose.dialogue import Question, Reply, consulted_rows, question_of
from bapsim.core.records import Answers, Rows
from bapsim.serve.people import desk_jobs, lines, room_tape
from bapsim.serve.people.desk_tables import job
from bapsim.serve.people.room_tables import position
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.people.tables import line

PATIENCE = 120.0  # seconds that the classroom may take to be prepared
AGAINST = 20  # views against one's own that are told, the newest
RULES = 200  # rules in force that an answer is held against, the newest
Json = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """The respondent of an interview's questions to the data: for one person's dialogue; it waits, in a
    thread, for the database and for the classroom.
    """

    rooms: Rooms
    dialogue: str
    person: str

    def __call__(self, rows: Rows, /) -> Answers:
        return consulted_rows([self._said(question_of(rows, row)) for row in range(len(rows))])

    def _said(self, question: Question) -> Reply:
        minutes = self.rooms.database.look(lambda c: self._minutes(c, question))
        asked = [{"kind": question.kind, "about": dict(question.about)}]
        (said,) = self.rooms.lessons.consult(asked, minutes).result(PATIENCE)
        return Reply(said=said)

    def _minutes(self, connection: sa.Connection, question: Question) -> Json:
        """What a question of this kind needs of what the room has on record, and no more."""
        if question.kind == "heard":
            case, mine = str(question.about["case"]["id"]), str(question.about["mine"])
            against = self._others(connection, case, mine)
            return {"positions": {case: against}, "rules": self._rules(connection)}
        if question.kind == "disputes":
            return {"disputes": disputes(connection, self.rooms, self.dialogue, self.person)}
        if question.kind == "guide":
            label = str(question.about["label"])
            told = guideline(connection).get(label)
            return {"guideline": {} if told is None else {label: [told["rule"], told["version"]]}}
        return {}

    def _others(self, connection: sa.Connection, case: str, mine: str) -> list[Json]:
        where = room_tape.otherwise({case: room_tape.says(self.rooms.key, mine)})
        said = room_tape.positions(connection, self.rooms.keys, where, AGAINST)
        return [
            {
                "by": "you" if one["person"] == self.person else "other",
                "label": one["label"],
                "why": one["why"],
            }
            for one in said
            if one["dialogue"] != self.dialogue
        ]

    def _rules(self, connection: sa.Connection) -> list[Mapping[str, Any]]:
        query = sa.select(line).where(line.c.kind == "rule", line.c.state == "approved")
        rows = connection.execute(query.order_by(line.c.seq.desc()).limit(RULES)).mappings()
        return [{"id": row["id"], **lines.read(self.rooms.keys, dict(row))} for row in rows]


def disputes(connection: sa.Connection, rooms: Rooms, name: str, person: str) -> list[Json]:
    """Cases that a dialogue answered and other people otherwise: case, mine, others (by, label, why)."""
    mine, other = position.alias("mine"), position.alias("other")
    apart = sa.or_(mine.c.says.is_(None), other.c.says.is_(None), mine.c.says != other.c.says)
    both = sa.and_(other.c.case == mine.c.case, other.c.person != person, apart)
    query = sa.select(other.c.seq.label("theirs"), mine.c.seq.label("own")).join(other, both)
    query = query.where(mine.c.dialogue == name).order_by(other.c.seq.desc()).limit(AGAINST)
    pairs = [(row.own, row.theirs) for row in connection.execute(query)]
    if not pairs:
        return []
    rows = room_tape.positions(
        connection, rooms.keys, position.c.seq.in_({seq for two in pairs for seq in two})
    )
    said = {one["seq"]: one for one in rows}
    found: dict[int, Json] = {}
    for own, theirs in sorted(pairs):
        one, against = said[own], said[theirs]
        if one["label"] != against["label"]:
            case = {"id": one["case"], "text": one["text"]}
            told = found.setdefault(own, {"case": case, "mine": one["label"], "others": []})
            told["others"].append({"by": "other", "label": against["label"], "why": against["why"]})
    return list(found.values())


def project_job(connection: sa.Connection) -> Json | None:
    """The desk's job of the project's own questions, which has the labels and the guideline."""
    where = (job.c.origin == desk_jobs.PROJECT, job.c.kind == "label")
    row = connection.execute(sa.select(job).where(*where).order_by(job.c.made).limit(1)).mappings().first()
    return None if row is None else dict(row)


def guideline(connection: sa.Connection) -> dict[str, Json]:
    """What people are told of each label now."""
    found = project_job(connection)
    return {} if found is None else desk_jobs.rules(connection, found["id"])
