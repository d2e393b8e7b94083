"""Questions and replies of a dialogue: as rows for the tape, to whom each goes, and one step at a time.

A dialogue asks a person, and it asks the data (what is similar, what others said, how a rule fares). Both are
respondents, and what either says is taped: data that changes meanwhile changes no dialogue that has begun.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, schema, strings, take
from bapsim.core.errors import ExchangeError, Waiting
from bapsim.core.exchange import Tape, asked_fingerprint, converse
from bapsim.core.recipe import Exchange, Respondent
from bapsim.core.records import Answers, Rows
from bapsim.text.pii import redact

To = Literal["person", "data"]
LONGEST = 4_000  # characters of what is said in one reply

QUESTION = schema(to=pa.string(), kind=pa.string(), about=pa.string())
REPLY = schema(said=pa.string(), at=pa.string(), seconds=pa.float64())

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: of whom, which kind, and about what (plain values)."""

    to: To
    kind: str
    about: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its identity: a reply says which question it is to."""
        return asked_fingerprint(self.rows())

    def rows(self) -> Rows:
        """As the one row that a respondent is asked."""
        said = json.dumps(self.about, sort_keys=True, ensure_ascii=False)
        cells = ([self.to], [self.kind], [said])
        return Rows(pa.record_batch([pa.array(cell, pa.string()) for cell in cells], schema=QUESTION))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What was said, as plain values; at: ISO, UTC; seconds: that it took."""

    said: Json
    at: str = ""
    seconds: float = 0.0

    def answers(self) -> Answers:
        """As the one row that a respondent gives."""
        body = json.dumps(self.said, sort_keys=True, ensure_ascii=False)
        columns: list[Any] = [pa.array([body]), pa.array([self.at]), pa.array([self.seconds], pa.float64())]
        return Answers(pa.record_batch(columns, schema=REPLY))


def question_of(rows: Rows, row: int = 0) -> Question:
    """A row of questions as one."""
    to, kind, about = (strings(rows.column(name))[row] or "" for name in QUESTION.names)
    return Question(to="data" if to == "data" else "person", kind=kind, about=json.loads(about))


def reply_of(answers: Answers) -> Reply:
    """The first row of answers; what cannot be read says nothing."""
    row = answers.to_pylist()[0]
    try:
        said = json.loads(row.get("said") or "{}")
    except (ValueError, RecursionError):
        said = {}
    seconds = row.get("seconds")
    spent = float(seconds) if isinstance(seconds, int | float) and seconds > 0 else 0.0
    return Reply(said=said if isinstance(said, dict) else {}, at=str(row.get("at") or ""), seconds=spent)


def consulted_rows(replies: Sequence[Reply]) -> Answers:
    """Replies as the rows of one answer."""
    return Answers(concat([one.answers() for one in replies], REPLY))


# ---------------------------------------------------------------- respondents


@dataclass(frozen=True)
class _Routed:
    person: Respondent
    data: Respondent

    def __call__(self, rows: Rows, /) -> Answers:
        to = strings(rows.column("to"))
        parts, places = [], []
        for name, who in (("data", self.data), ("person", self.person)):
            mine = np.flatnonzero([one == name for one in to])
            if len(mine):
                parts.append(who(Rows(take(rows, mine))))
                places.append(mine)
        return Answers(take(concat(parts), np.argsort(np.concatenate(places), kind="stable")))


def routed(person: Respondent, data: Respondent) -> Respondent:
    """Each question to whom it is for; the data first, for a person may make everybody wait."""
    return _Routed(person, data)


@dataclass(frozen=True)
class _Redacted:
    person: Respondent

    def __call__(self, rows: Rows, /) -> Answers:
        got = self.person(rows)
        said = [
            json.dumps(masked(json.loads(one or "{}")), ensure_ascii=False) for one in strings(got["said"])
        ]
        at = got.schema.get_field_index("said")
        return Answers(got.set_column(at, "said", pa.array(said, pa.string())))


def redacted(person: Respondent) -> Respondent:
    """A person whose words lose what has the form of personal data, before they are taped or shown."""
    return _Redacted(person)


def masked(said: Any) -> Any:
    """Plain values with personal data masked in every text; no text is longer than LONGEST."""
    if isinstance(said, str):
        return redact(said[:LONGEST])[0][:LONGEST]
    if isinstance(said, Mapping):
        return {str(key)[:LONGEST]: masked(value) for key, value in said.items()}
    return [masked(one) for one in said] if isinstance(said, list) else said


# ---------------------------------------------------------------- one step


@dataclass
class _Once:
    """A person who has one reply, or none yet, to one question; asked: what waits for an answer."""

    reply: Reply | None
    answering: str | None
    asked: Question | None = None

    def __call__(self, rows: Rows, /) -> Answers:
        self.asked = question_of(rows)
        if self.reply is not None and self.answering not in (None, self.asked.name):
            raise ExchangeError("another_question")
        reply, self.reply = self.reply, None
        if reply is None:
            raise Waiting("waiting", questions=1)
        return reply.answers()


def advance(
    key: str,
    exchange: Exchange[Any],
    tape: Tape,
    data: Respondent,
    reply: Reply | None = None,
    answering: str | None = None,
) -> tuple[Question | None, Any]:
    """Drive a dialogue by one reply of its person: the question that waits now and None, or None and the
    result of the dialogue.

    exchange: a new one each time; what is on the tape is replayed. Without a reply the question that waits is
    asked again. Personal data in the reply is masked before it is taped. answering: the name of the question
    that the reply is to; raises ExchangeError, and tapes nothing, where another one waits.
    """
    person = _Once(reply, answering)
    try:
        result = converse(key, exchange, routed(redacted(person), data), tape)
    except Waiting:
        return person.asked, None
    if person.reply is not None:
        raise ExchangeError("dialogue_has_ended")
    return None, result
