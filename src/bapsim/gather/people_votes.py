"""What several persons' votes on a question come to: by the method that hidden tests speak for.

Hidden tests (`blind`) are about persons and never answers: those whose label is known say whether the
majority settles, or persons by how often they are right, or a model of agreement. A view that stands beside
the votes is that person's vote in parts, so that the answer keeps it as a distribution.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import ID
from bapsim.core.records import Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.people_lines import Said, rejects
from bapsim.gather.votes import RATERS, VOTES
from bapsim.raters.settle import settle
from bapsim.raters.votes import Vote, majority
from bapsim.text.targets import number_of
from bapsim.text.targets import written as in_one_form

MANY = pa.list_(pa.string())
CHOSEN = "chosen"  # the draw of an answer about a record that no turn asked about
PARTS = 10  # votes that one person has where somebody's view is a distribution


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A question with its answer; lines: votes and views that it rests on; votes: what each person says, of
    whom there is one vote, or PARTS of them (the first under the pseudonym) where somebody's is divided.
    """

    question: bytes
    label: str
    lines: tuple[Said, ...]
    votes: tuple[Vote, ...]


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What one person says of a question: a label, or shares of labels."""

    line: Said
    shares: Mapping[str, float]

    @property
    def label(self) -> str:
        return max(sorted(self.shares), key=lambda one: self.shares[one])


def answers_in(said: Sequence[Said]) -> Iterator[tuple[bytes, Said]]:
    """Votes with their questions, in the order in which they were given; hidden tests are none."""
    for one in sorted(said, key=lambda one: (one.at, one.id)):
        if one.kind == "vote" and one.body.get("blind") is None:
            yield bytes.fromhex(one.body["question"]), one


def draws_of(said: Sequence[Said], turn: Turn) -> dict[bytes, str]:
    """The draw of each question that may be answered: what turns asked, and what a person confirmed or
    rejected of the pool, which was chosen by its looks and stands for nothing else.
    """
    wanted = sorted({question for question, _ in answers_in(said)} - turn.asked.keys())
    seen: list[list[Any]] = []
    for view in turn.data.values() if wanted else ():
        seen.append(view.find(pa.array(wanted, ID)).column("_id").to_pylist())
    return dict.fromkeys((one for ids in seen for one in ids), CHOSEN) | dict(turn.asked)


def rejection(one: Said) -> Said | None:
    """What a vote says that a record is not, as a line of its own; None where it says no such thing."""
    labels = rejects(one)
    if not labels:
        return None
    label = labels[0] if len(labels) == 1 else labels
    return replace(one, kind="not", body={"question": one.body["question"], "label": label})


def settled(
    said: Sequence[Said], turn: Turn, unread: list[Any], draws: Mapping[bytes, str]
) -> Iterator[Settled]:
    """Questions on which the votes agree well enough, in the order of their ids.

    Of each person the last vote counts, and a view in its place; to reject a label takes that person's vote
    back. A question that nobody can tell is unread
    (`cannot_tell`), so that it is not asked again; one on which votes are tied is no answer yet, nor is one
    that a model gives another label than anybody did.
    """
    lines = _last(said, turn, unread, draws)
    told = {question: _read(lines[question], turn.task, unread) for question in sorted(lines)}
    if turn.task.answer == "number":
        labels = [_middle(mine) for mine in told.values()]
    else:
        labels = _labels(list(told.values()), _tests(said, turn))
    for (question, mine), label in zip(told.items(), labels, strict=True):
        if label is not None:
            rests = tuple(one.line for one in mine)
            yield Settled(question=question, label=label, lines=rests, votes=_votes(mine))


def _last(
    said: Sequence[Said], turn: Turn, unread: list[Any], draws: Mapping[bytes, str]
) -> dict[bytes, list[Said]]:
    """The line of each person that counts, by question and pseudonym; views stand above votes."""
    found: dict[bytes, dict[str, Said]] = {}
    views = [one for one in said if one.kind == "view" and turn.task.answer == "class"]
    for question, one in answers_in(said):
        if question not in draws:
            unread.append(one.unread("unknown_question"))
        elif rejects(one):
            found.setdefault(question, {}).pop(one.person, None)
        elif one.body.get("said") is None and not one.body.get("cannot_tell"):
            unread.append(one.unread("field", "said"))
        else:
            found.setdefault(question, {})[one.person] = one
    for one in sorted(views, key=lambda one: (one.at, one.id)):
        question = bytes.fromhex(one.body.get("question") or "")
        if question in turn.asked:
            found.setdefault(question, {})[one.person] = one
    return {question: [mine[name] for name in sorted(mine)] for question, mine in found.items() if mine}


def _read(lines: Sequence[Said], task: Task, unread: list[Any]) -> list[_Told]:
    """What each person says; nothing where nobody can tell."""
    told = [one for one in lines if not one.body.get("cannot_tell")]
    if not told:
        unread += [one.unread("cannot_tell", "q" + one.body["question"]) for one in lines]
    found = []
    for one in told:
        shares = shares_of(one, task)
        if shares:
            found.append(_Told(line=one, shares=shares))
        else:
            unread.append(one.unread("type", task.target))
    return found


def shares_of(one: Said, task: Task) -> dict[str, float]:
    """What a vote or a view says, by label; empty where it is no answer to this task."""
    given = one.body["distribution"] if one.kind == "view" else {"": 1.0}
    shares: dict[str, float] = {}
    for label, share in given.items():
        text = target_of(label if one.kind == "view" else one.body["said"], task)
        if text is None:
            return {}
        if share > 0:
            shares[text] = shares.get(text, 0.0) + share
    return shares


def _middle(mine: Sequence[_Told]) -> str | None:
    numbers = [number for one in mine if (number := number_of(one.label)) is not None]
    return repr(float(median(numbers))) if numbers else None


def _labels(told: Sequence[Sequence[_Told]], tests: Mapping[str, list[Vote]]) -> list[str | None]:
    """The label of each question by the method that tests (votes by the label that is right) speak for."""
    work: list[list[Vote]] = [[(one.line.person, one.label) for one in mine] for mine in told]
    known: dict[int, str] = {}
    gold: list[list[Vote]] = []
    for name, votes in tests.items():
        known[len(work) + len(gold)] = name.partition("\0")[2]
        gold.append(votes)
    labels = settle([*work, *gold], known).labels[: len(work)]
    found = []
    for mine, votes, label in zip(told, work, labels, strict=True):
        divided = any(len(one.shares) > 1 for one in mine)
        said = majority(_votes(mine)) if divided else label
        found.append(said if said in {vote for _, vote in votes} else None)
    return found


def _tests(said: Sequence[Said], turn: Turn) -> dict[str, list[Vote]]:
    """The first blind answers to items whose label may be seen, by id and label."""
    blind = [one for one in said if one.kind == "vote" and one.body.get("blind") == "gold"]
    first: dict[str, dict[str, str]] = {}
    for one in sorted(blind, key=lambda one: (one.at, one.id)):
        text = None if one.body.get("cannot_tell") else target_of(one.body.get("said"), turn.task)
        if text is not None:
            first.setdefault(one.body["question"], {}).setdefault(one.person, text)
    wanted = pa.array([bytes.fromhex(one) for one in sorted(first)], ID)
    found: dict[str, list[Vote]] = {}
    for view in turn.data.values() if first else ():
        rows = view.find(wanted)
        if turn.task.target not in rows.schema.names:
            continue
        ids: list[Any] = rows.column("_id").to_pylist()
        for name, label in zip(ids, rows.column(turn.task.target).to_pylist(), strict=True):
            text = target_of(label, turn.task)
            if text is not None:
                found[f"{name.hex()}\0{text}"] = list(first[name.hex()].items())
    return dict(sorted(found.items()))


def _votes(mine: Sequence[_Told]) -> tuple[Vote, ...]:
    if all(len(one.shares) == 1 for one in mine):
        return tuple((one.line.person, one.label) for one in mine)
    return tuple(vote for one in mine for vote in parted(one.line.person, one.shares))


def parted(person: str, shares: Mapping[str, float]) -> list[Vote]:
    """One person's vote in PARTS, by largest remainder; the first part is under the pseudonym."""
    whole = sum(shares.values())
    exact = {label: PARTS * share / whole for label, share in sorted(shares.items())}
    counts = {label: int(part) for label, part in exact.items()}
    left = PARTS - sum(counts.values())
    for label in sorted(exact, key=lambda one: (counts[one] - exact[one], one))[:left]:
        counts[label] += 1
    said = [label for label in sorted(counts, key=lambda one: -exact[one]) for _ in range(counts[label])]
    return [(person if at == 0 else None, label) for at, label in enumerate(said)]


def target_of(said: Any, task: Task) -> str | None:
    """A target in the one written form; None where it is no answer to this task."""
    if (task.answer == "labels") != isinstance(said, list):
        return None
    text = json.dumps(said, ensure_ascii=False) if isinstance(said, list) else cell(said)
    found: str | None = in_one_form(pa.array([text], pa.string()), task.answer)[0]
    if task.answer == "number" and (found is None or number_of(found) is None):
        return None
    return found


def cell(said: Any) -> str | None:
    """A plain JSON value as the text of a cell."""
    if said is None or isinstance(said, str):
        return said
    return json.dumps(said)


def with_votes(rows: Rows, votes: Sequence[Sequence[Vote]]) -> Rows:
    """The same rows, with who said what in columns of their own."""
    said = [[label for _, label in one] for one in votes]
    columns: dict[str, list[Any]] = {VOTES: said, RATERS: [[who for who, _ in one] for one in votes]}
    left = rows.select([name for name in rows.schema.names if name not in columns])
    for name, lists in columns.items():
        left = left.append_column(name, pa.array(lists, MANY))
    return Rows(left)
