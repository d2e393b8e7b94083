"""The tape of a dialogue in the service database: replayed at every request, kept with what it leads to."""

from __future__ import annotations

import hmac
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from bapsim.compose.dialogue import Question, Reply, question_of, reply_of
from bapsim.core.records import Answers, Rows
from bapsim.serve.people.room_tables import dialogue, effect, position, step
from bapsim.serve.refused import Refused
from bapsim.store.sealing import Keys

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question of a dialogue and what was replied; asked: the question's fingerprint."""

    step: int
    asked: str
    question: Question
    reply: Reply

    def json(self) -> Json:
        """As it is sealed."""
        return {"question": vars(self.question), "reply": vars(self.reply)}


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A dialogue as it lies in the database: its row, what waits, its turns in order."""

    row: Mapping[str, Any]
    manner: Json
    waits: Json
    turns: tuple[Turn, ...]

    @property
    def name(self) -> str:
        return str(self.row["id"])

    @property
    def question(self) -> Question | None:
        """The question that waits for its person; None: it has ended."""
        found = self.waits.get("question")
        return None if found is None else Question(**found)


@dataclass(eq=False)
class Tape:
    """Turns that were kept, and those that one request adds: written together, or not at all."""

    kept: tuple[Turn, ...]
    rows: list[Rows] = field(default_factory=list)
    new: list[Turn] = field(default_factory=list)

    def recall(self, key: str, at: int) -> tuple[str, Answers] | None:
        if at >= len(self.kept):
            return None
        one = self.kept[at]
        return one.asked, one.reply.answers()

    def intend(self, key: str, at: int, asked: str) -> None:
        """Nothing is written before there is a reply: asking costs nobody anything."""

    def withdraw(self, key: str, at: int) -> None:
        """See `intend`."""

    def keep(self, key: str, at: int, asked: str, got: Answers) -> None:
        self.new.append(Turn(step=at, asked=asked, question=question_of(self.rows[at]), reply=reply_of(got)))

    def heard(self, exchange: Generator[Rows, Answers, Any]) -> Generator[Rows, Answers, Any]:
        """The exchange, with its questions noted down as they are asked."""
        rows = next(exchange)
        while True:
            self.rows.append(rows)
            got = yield rows
            try:
                rows = exchange.send(got)
            except StopIteration as end:
                return end.value


def sealed(keys: Keys, consent: str, body: Mapping[str, Any]) -> bytes:
    """Plain values under a consent's key."""
    return keys.seal(consent, json.dumps(body, ensure_ascii=False).encode())


def opened(keys: Keys, consent: str, body: bytes | None) -> Json:
    """Plain values that were sealed; nothing: none."""
    found: Json = {} if body is None else json.loads(keys.unseal(consent, body))
    return found


def heading(connection: sa.Connection, keys: Keys, name: str, who: str) -> Talk:
    """A dialogue of one's own without its turns; raises Refused: somebody else's is not there."""
    query = sa.select(dialogue).where(dialogue.c.id == name, dialogue.c.person == who)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise Refused(404, "room_no_dialogue")
    waits = opened(keys, str(row["consent"]), row["waits"])
    return Talk(row=dict(row), manner=json.loads(row["manner"]), waits=waits, turns=())


def of_person(connection: sa.Connection, keys: Keys, name: str, who: str) -> Talk:
    """A dialogue of one's own, whole; raises Refused: somebody else's is not there."""
    found = heading(connection, keys, name, who)
    consent = str(found.row["consent"])
    steps = connection.execute(sa.select(step).where(step.c.dialogue == name).order_by(step.c.step))
    turns = []
    for one in steps.mappings():
        body = opened(keys, consent, one["body"])
        question, reply = Question(**body["question"]), Reply(**body["reply"])
        turns.append(Turn(step=one["step"], asked=one["asked"], question=question, reply=reply))
    return replace(found, turns=tuple(turns))


def write(connection: sa.Connection, keys: Keys, talk: Talk, tape: Tape) -> None:
    """The turns that a request added; raises Refused where another request was first."""
    consent = str(talk.row["consent"])
    query = sa.select(dialogue.c.steps).where(dialogue.c.id == talk.name, dialogue.c.state == "open")
    if connection.execute(query).scalar() != len(talk.turns):
        raise Refused(409, "room_another_question")
    for one in tape.new:
        row = {"dialogue": talk.name, "consent": consent, "step": one.step, "asked": one.asked}
        connection.execute(step.insert().values(**row, body=sealed(keys, consent, one.json())))


def says(key: bytes, label: str) -> str:
    """What a position's label is compared by, without its key: equal for equal labels."""
    return hmac.new(key, b"says\0" + label.encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:32]


def otherwise(said: Mapping[str, str | None]) -> sa.ColumnElement[bool]:
    """Positions on these cases that say something else (said: `says`, by case), or of which nobody knows."""
    each = (
        sa.and_(position.c.case == case, sa.or_(position.c.says.is_(None), position.c.says != (token or "")))
        for case, token in said.items()
    )
    return sa.or_(sa.false(), *each)


def positions(
    connection: sa.Connection, keys: Keys, where: sa.ColumnElement[bool], most: int | None = None
) -> list[Json]:
    """Who says what of which case: dialogue, person, case, label, why, text; the newest `most`, in order."""
    newest = sa.select(position).where(where).order_by(position.c.seq.desc()).limit(most)
    found = []
    for row in reversed(connection.execute(newest).mappings().all()):
        about = {name: row[name] for name in ("seq", "dialogue", "person", "case", "consent")}
        found.append({**about, **opened(keys, row["consent"], row["body"])})
    return found


def learnt(connection: sa.Connection, keys: Keys, name: str) -> Json | None:
    """What a dialogue would change, as last computed: its step and the effect."""
    row = connection.execute(sa.select(effect).where(effect.c.dialogue == name)).mappings().first()
    return None if row is None else {"step": row["step"], **opened(keys, row["consent"], row["body"])}
