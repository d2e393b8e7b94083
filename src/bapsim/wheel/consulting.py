"""What the data and the minutes of a room say to an interview: like cases, counter-examples, other voices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bapsim.compose.dialogue import Reply, consulted_rows, question_of
from bapsim.core.errors import InputError
from bapsim.core.recipe import Respondent
from bapsim.core.records import Answers, Rows
from bapsim.store.stated import Stated, stated
from bapsim.text.rules import Rule, fit_of, folded, matching, rule_of
from bapsim.text.telling import suggestion
from bapsim.wheel.lesson import Classroom, Ints
from bapsim.wheel.topics import CASES, Topic, asked, topic_of

LIKE = 0.25  # cosine from which on a row is something like what was said
ENOUGH = 10_000  # rows that a suggested rule is tried on
Said = dict[str, Any]


class Minutes(Protocol):
    """What the room has on record, apart from the dialogue at hand."""

    def positions(self, case: str) -> Sequence[Mapping[str, str]]:
        """What was said of a case before: by ("other", or "you" of this person's earlier dialogues), label,
        why.
        """

    def disputes(self) -> Sequence[Mapping[str, Any]]:
        """Cases that this person answered and others otherwise, since: case (id, text), mine, others."""

    def guideline(self, label: str) -> tuple[str, int]:
        """What the guideline says of a label, and the version of that."""

    def rules(self) -> Sequence[Stated]:
        """Rules that are in force."""


@dataclass(frozen=True)
class Alone:
    """The minutes of a room with one person in it, and nothing said so far."""

    def positions(self, case: str) -> Sequence[Mapping[str, str]]:
        return ()

    def disputes(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def guideline(self, label: str) -> tuple[str, int]:
        return "", 0

    def rules(self) -> Sequence[Stated]:
        return ()


@dataclass(frozen=True)
class Recorded:
    """The minutes of a room as plain values: positions by case, disputes, text and version of the guideline
    by label, rules in force (their lines).
    """

    said: Mapping[str, Any]

    def positions(self, case: str) -> Sequence[Mapping[str, str]]:
        return list(self.said.get("positions", {}).get(case, ()))

    def disputes(self) -> Sequence[Mapping[str, Any]]:
        return list(self.said.get("disputes", ()))

    def guideline(self, label: str) -> tuple[str, int]:
        text, version = self.said.get("guideline", {}).get(label, ("", 0))
        return str(text), int(version)

    def rules(self) -> Sequence[Stated]:
        return [stated(one, "", {}) for one in self.said.get("rules", ())]


@dataclass(frozen=True, eq=False)
class Consulted:
    """The respondent of questions to the data (`consulted`)."""

    room: Classroom
    topics: Sequence[Topic]
    minutes: Minutes

    def __call__(self, rows: Rows, /) -> Answers:
        asked = [vars(question_of(rows, row)) for row in range(len(rows))]
        said = answered(self.room, self.topics, self.minutes, asked)
        return consulted_rows([Reply(said=one) for one in said])


def consulted(room: Classroom, topics: Sequence[Topic], minutes: Minutes) -> Respondent:
    """What the data says to an interview (`compose.interview`); nothing to a question of another kind."""
    return Consulted(room, topics, minutes)


def answered(
    room: Classroom, topics: Sequence[Topic], minutes: Minutes, asked: Sequence[Mapping[str, Any]]
) -> list[Said]:
    """What is said to questions (kind, about), each as plain values."""
    of = Consulted(room, topics, minutes)
    known = ((_ANSWERS.get(str(one.get("kind"))), one.get("about") or {}) for one in asked)
    return [{} if answer is None else answer(of, about) for answer, about in known]


def _topics(of: Consulted, about: Mapping[str, Any]) -> Said:
    return {"topics": [one.json() for one in of.topics]}


def _disputes(of: Consulted, about: Mapping[str, Any]) -> Said:
    return {"disputes": [dict(one) for one in of.minutes.disputes()]}


def _heard(of: Consulted, about: Mapping[str, Any]) -> Said:
    """What speaks against an answer: others, this person before, rules in force; and the label in the data,
    where the model does not side with the answer (else the label is likely wrong, and nobody need be asked).
    """
    case, mine = about["case"], about["mine"]
    found: list[Said] = [dict(one) for one in of.minutes.positions(str(case["id"])) if one["label"] != mine]
    text = folded([str(case["text"])])
    for one in of.minutes.rules():
        if one.label != mine and matching(one.rule, text)[0]:
            found.append({"by": "rule", "label": one.label, "why": one.text, "rule": one.rule.json()})
    if case.get("label") not in (None, mine) and case.get("said") != mine:
        found.append({"by": "data", "label": case["label"], "why": ""})
    return {"against": found}


def _suggest(of: Consulted, about: Mapping[str, Any]) -> Said:
    room = of.room
    labels = np.array(room.has.classes, object)[room.has.y]
    mine, near = labels == about["label"], np.isin(labels.astype(str), list(about["against"]))
    if not mine.any():
        return {"rule": None, "fit": None}
    some = np.flatnonzero(mine | near | (np.arange(len(mine)) % max(len(mine) // ENOUGH, 1) == 0))
    said = room.said if len(some) == len(mine) else folded([room.has.texts[i] for i in some.tolist()])
    mine, near = mine[some], near[some]
    rule = suggestion(said, mine, near if near.any() else ~mine, ~mine)
    return {"rule": None if rule is None else rule.json(), "fit": _fit(of.room, rule, about["label"])}


def _fit(room: Classroom, rule: Rule | None, label: str) -> Said | None:
    if rule is None:
        return None
    labels = np.array([*room.has.classes, None], object)[np.where(room.has.proof, room.has.y, -1)]
    return fit_of(matching(rule, room.said), labels, label).json()


def _counter_of(of: Consulted, about: Mapping[str, Any]) -> Said:
    """The row that is most like the cases of a topic and that a rule would get wrong: one that it takes for
    its label, else one of its label that it misses.
    """
    room, label = of.room, about["label"]
    try:
        hit = matching(rule_of(about["rule"]), room.said)
    except InputError:
        return {}
    mine = np.array(room.has.classes, object)[room.has.y] == label
    shown = [room.place(one["id"]) for one in about["cases"]]
    seen = np.isin(
        room.has.groups, room.has.groups[[row for row, pooled in shown if row >= 0 and not pooled]]
    )
    like = _likeness(room, [str(one["text"]) for one in about["cases"]])
    for caught, rows in ((True, hit & ~mine & ~seen), (False, ~hit & mine & ~seen)):
        at = np.flatnonzero(rows & room.has.proof)
        if len(at):
            best = int(at[np.argsort(-like[at], kind="stable")[0]])
            return {"case": vars(next(asked(room, [best], False))), "caught": caught}
    return {}


def _likeness(room: Classroom, texts: Sequence[str]) -> np.ndarray:
    """float64[n]: how much labelled rows are like any of these texts."""
    if not texts:
        return np.zeros(len(room.has.y))
    return np.asarray((room.x @ room.vectors(texts).T).max(axis=1).todense(), np.float64).ravel()


def _similar(of: Consulted, about: Mapping[str, Any]) -> Said:
    """Rows that are like what the expert said, labelled or not, the likest first; one of each group."""
    room, said = of.room, str(about["text"])
    one, scale = room.vectors([said]), 1 + room.has.spec.word_share**2
    rows = _nearest(np.asarray((room.x @ one.T).todense()).ravel() / scale, room.has.groups)
    pooled = np.empty(0, np.int64)
    if len(room.has.pool_texts):
        near = np.asarray((room.pool_x @ one.T).todense()).ravel() / scale
        pooled = _nearest(near, np.arange(len(near)))
    if not len(rows) and not len(pooled):
        return {"topic": None}
    half = CASES // 2
    rows = rows[: max(half, CASES - len(pooled))]
    return {"topic": topic_of(room, said, rows, pooled[: CASES - len(rows)]).json()}


def _nearest(like: np.ndarray, groups: Ints) -> Ints:
    at = np.flatnonzero(like >= LIKE)
    at = at[np.argsort(-like[at], kind="stable")]
    _, first = np.unique(groups[at], return_index=True)
    return np.asarray(at[np.sort(first)][:CASES], np.int64)


def _guide(of: Consulted, about: Mapping[str, Any]) -> Said:
    text, version = of.minutes.guideline(str(about["label"]))
    return {"text": text, "version": version}


_ANSWERS: Mapping[str, Callable[[Consulted, Mapping[str, Any]], Said]] = {
    "topics": _topics,
    "disputes": _disputes,
    "heard": _heard,
    "suggest": _suggest,
    "counter_of": _counter_of,
    "similar": _similar,
    "guide": _guide,
}
