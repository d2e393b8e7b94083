"""The source of what people gave in the rooms: answers, examples, and what another task may learn from.

Votes of several persons on one question settle here, anew each time from all that stand: the same files give
the same answers. Hidden tests (`blind`) are votes about people, and never answers. What an expert made of
records is derived from them; records that are not to be seen (exam items) have no children.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, concat, take
from bapsim.core.records import CERTIFICATE, Draft, Origin, Part, Records, Rows, Task, Unread, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.files import nothing
from bapsim.gather.people_lines import Said, files_of, read_people
from bapsim.gather.raters import majority
from bapsim.gather.types import cast, name_of
from bapsim.gather.votes import RATERS, VOTES
from bapsim.store.terms import read_terms
from bapsim.text.targets import number_of
from bapsim.text.targets import written as in_one_form

WHY = "why"  # the column of an expert's reason
MANY = pa.list_(pa.string())
OTHER: Mapping[str, tuple[str, ...]] = {  # columns of what this task does not learn from, by kind
    "rule": ("rule", "text", "label"),
    "rationale": ("text", "about"),
    "pair": ("prompt", "chosen", "rejected"),
    "qa": ("question_text", "answer_text"),
    "instruction": ("messages",),
    "view": ("input", "about", "distribution"),
}

__all__ = ["FromRooms", "people", "read_people"]


@dataclass(frozen=True)
class FromRooms:
    """A source of what lies in `people/` of the inbox. rights: of lines whose consent names no licence."""

    path: str = "people/"
    _: KW_ONLY
    rights: str = "LicenseRef-expert"

    def reads(self, turn: Turn) -> list[Path]:
        """The files of all consents that stand."""
        return files_of(turn.inbox)

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """Drafts of settled answers, of examples and of the rest, by consent; then what was not read."""
        unread: list[Unread] = []
        lines = read_people(turn.inbox, unread)
        licences = {consent: terms.licence for consent, terms in read_terms(turn.inbox).items()}
        said = [one for those in lines.values() for one in those]
        yield from self._answers(said, turn, licences, unread)
        kin = Kin.of(said, turn)
        for consent, those in lines.items():
            origin = self._origin("room", consent, licences.get(consent), f"{self.path}{consent}.jsonl")
            yield from _examples(those, turn, kin, origin, unread)
            yield from _others(those, turn.task, kin, origin, unread)
        if unread:
            rest = self._origin("room", None, None, None)
            yield Draft(rows=Rows(nothing().rows), origin=rest, unread=tuple(unread))

    def _origin(self, method: str, consent: str | None, licence: str | None, batch: str | None) -> Origin:
        return Origin(
            source=self.path,
            input_maker="person",
            target_maker="person",
            method=method,
            rights=licence or self.rights,
            consent=consent,
            batch=batch,
        )

    def _answers(
        self, said: Sequence[Said], turn: Turn, licences: Mapping[str, str], unread: list[Unread]
    ) -> Iterator[Draft]:
        """An answer to each settled question; of one person it stands under that consent, else under all."""
        together: dict[tuple[str | None, str], list[Settled]] = {}
        for one in settled(said, turn, unread):
            consents = sorted({vote.consent for vote in one.votes})
            consent = consents[0] if len(consents) == 1 else None
            together.setdefault((consent, turn.asked[one.question]), []).append(one)
        for (consent, draw), mine in sorted(
            together.items(), key=lambda pair: (pair[0][0] or "", pair[0][1])
        ):
            batch = None if consent is None else f"{self.path}{consent}.jsonl"
            licence = None if consent is None else licences.get(consent)
            several = [sorted({vote.consent for vote in one.votes}) for one in mine]
            yield Draft(
                rows=_voted(mine, turn.task),
                origin=self._origin(f"asked:{draw}", consent, licence, batch),
                asked=[one.question for one in mine],
                places=[(one.votes[-1].file, one.votes[-1].line) for one in mine],
                consents=several if consent is None else None,
            )


people = FromRooms


# ---------------------------------------------------------------- answers


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A question with its answer, and the votes that it rests on, one a person, by pseudonym."""

    question: bytes
    label: str
    votes: tuple[Said, ...]
    said: tuple[str, ...]


def settled(said: Sequence[Said], turn: Turn, unread: list[Unread]) -> Iterator[Settled]:
    """Questions on which the votes agree well enough, in the order of their ids.

    Of each person the last vote counts. A question that nobody can tell is unread (`cannot_tell`), so that it
    is not asked again; one on which votes are tied is no answer yet.
    """
    votes: dict[bytes, dict[str, Said]] = {}
    for one in sorted(said, key=lambda one: (one.at, one.id)):
        if one.kind != "vote" or one.body.get("blind") is not None:
            continue
        question = bytes.fromhex(one.body["question"])
        if question not in turn.asked:
            unread.append(one.unread("unknown_question"))
        elif one.body.get("said") is None and not one.body.get("cannot_tell"):
            unread.append(one.unread("field", "said"))
        else:
            votes.setdefault(question, {})[one.person] = one
    for question in sorted(votes):
        mine = [votes[question][person] for person in sorted(votes[question])]
        told = [one for one in mine if not one.body.get("cannot_tell")]
        if not told:
            unread += [one.unread("cannot_tell", "q" + question.hex()) for one in mine]
            continue
        texts = [_target(one.body["said"], turn.task) for one in told]
        unread += [
            one.unread("type", turn.task.target) for one, t in zip(told, texts, strict=True) if t is None
        ]
        fit = [(one, text) for one, text in zip(told, texts, strict=True) if text is not None]
        label = settle([(one.person, text) for one, text in fit], turn.task)
        if label is not None:
            who, what = zip(*fit, strict=True)
            yield Settled(question=question, label=label, votes=who, said=what)


def settle(votes: Sequence[tuple[str, str]], task: Task) -> str | None:
    """What persons say together: the majority, of numbers the median; None where that is undecided."""
    if task.answer == "number":
        numbers = [number for _, said in votes if (number := number_of(said)) is not None]
        return repr(float(median(numbers))) if numbers else None
    return majority(votes)


def _target(said: Any, task: Task) -> str | None:
    """A target in the one written form; None where it is no answer to this task."""
    if (task.answer == "labels") != isinstance(said, list):
        return None
    text = json.dumps(said, ensure_ascii=False) if isinstance(said, list) else _cell(said)
    found: str | None = in_one_form(pa.array([text], pa.string()), task.answer)[0]
    if task.answer == "number" and (found is None or number_of(found) is None):
        return None
    return found


def _cell(said: Any) -> str | None:
    """A plain JSON value as the text of a cell."""
    if said is None or isinstance(said, str):
        return said
    return json.dumps(said)


def _voted(mine: Sequence[Settled], task: Task) -> Rows:
    """Targets, with who said what beside them."""
    columns = [
        pa.array([one.label for one in mine], pa.string()),
        pa.array([list(one.said) for one in mine], MANY),
        pa.array([[vote.person for vote in one.votes] for one in mine], MANY),
    ]
    return Rows(pa.record_batch(columns, names=[task.target, VOTES, RATERS]))


# ---------------------------------------------------------------- what is made of records


@dataclass(frozen=True, kw_only=True)
class Kin:
    """The records that lines are about, as far as they may be seen: row by id, certificate by place."""

    rows: Mapping[str, tuple[str, Records]]  # id in hex: name of its table, the record
    place: Mapping[str, int]
    certificates: Records

    @classmethod
    def of(cls, said: Sequence[Said], turn: Turn) -> Kin:
        """Those that any line names."""
        wanted = sorted({one for line in said for one in about(line)})
        ids = pa.array([bytes.fromhex(one) for one in wanted], ID)
        rows: dict[str, tuple[str, Records]] = {}
        parts = []
        for name, view in turn.data.items():
            found = view.find(ids)
            for i, one in enumerate(_ids(found)):
                rows[one] = (name, Records(found.slice(i, 1)))
            parts.append(found.select(CERTIFICATE.names))
        whole = Records(concat(parts, CERTIFICATE))
        place = {one: i for i, one in enumerate(_ids(whole))}
        return cls(rows=rows, place=place, certificates=whole)

    def draft(
        self, rows: Rows, mums: Sequence[Sequence[str]], changed: Iterable[Part], origin: Origin, keys: Any
    ) -> Draft:
        """Rows that came from these records; without any they stand for themselves."""
        if not any(mums):
            return Draft(rows=rows, origin=origin, keys=keys)
        of = [[self.place[mum] for mum in one] for one in mums]
        return derive(self.certificates, of, rows, changed=frozenset(changed), origin=origin, keys=keys)


def _ids(records: Records) -> list[str]:
    ids: list[Any] = records.column("_id").to_pylist()
    return [one.hex() for one in ids]


def about(one: Said) -> list[str]:
    """The records that a line is about; votes answer them in another way."""
    if one.kind == "vote":
        return []
    named = [*(one.body.get("parents") or []), one.body.get("question")]
    return list(dict.fromkeys(name for name in named if name is not None))


def _known(said: Iterable[Said], kin: Kin, unread: list[Unread]) -> Iterator[Said]:
    """Lines all of whose records may be seen: others are not read."""
    for one in said:
        hidden = [name for name in about(one) if name not in kin.place]
        if hidden:
            unread.append(one.unread("unknown_parent", "q" + hidden[0]))
        else:
            yield one


def _examples(
    said: Sequence[Said], turn: Turn, kin: Kin, origin: Origin, unread: list[Unread]
) -> Iterator[Draft]:
    """Rows for the task: those of one table and one kind of change together."""
    task = turn.task
    together: dict[tuple[str, bool], list[Said]] = {}
    for one in _known([line for line in said if line.kind == "example"], kin, unread):
        given = one.body["input"]
        unfit = [name for name in given if name not in task.inputs]
        missing = [name for name in task.inputs if name not in given] if not about(one) else []
        if unfit or missing or task.kind == "image" or _target(one.body["target"], task) is None:
            unread.append(one.unread("field", (unfit or missing or ["target"])[0]))
            continue
        mums = about(one)
        table = kin.rows[mums[0]][0] if mums else ""
        edited = bool(mums) and any(
            _cell(value) != _cell(kin.rows[mums[0]][1].column(name)[0].as_py())
            for name, value in given.items()
        )
        together.setdefault((table, edited), []).append(one)
    for (table, edited), mine in sorted(together.items()):
        changed: set[Part] = {"target", "input"} if edited else {"target"}
        rows, bad = _rows(mine, turn, kin) if table else _new_rows(mine, task)
        good = np.flatnonzero(~bad).tolist()
        unread += [mine[i].unread("type") for i in np.flatnonzero(bad).tolist()]
        kept = [mine[i] for i in good]
        if kept:
            whole = Rows(take(rows, np.array(good, np.int64)))
            yield kin.draft(whole, [about(one) for one in kept], changed, origin, [one.id for one in kept])


def _rows(mine: Sequence[Said], turn: Turn, kin: Kin) -> tuple[Rows, np.ndarray]:
    """The first parent of each line with the expert's input and target in their columns, and bool[n]: which
    do not fit.
    """
    parents = concat([rows_of(kin.rows[about(one)[0]][1]) for one in mine])
    bad = np.zeros(len(mine), bool)
    for name in turn.task.inputs:
        at = parents.schema.get_field_index(name)
        old = parents.column(at).to_pylist()
        said = [_cell(one.body["input"].get(name, old[i])) for i, one in enumerate(mine)]
        column, misfit = cast(pa.array(said, pa.string()), name_of(parents.schema.types[at]))
        parents, bad = parents.set_column(at, name, column), bad | misfit
    return _with_target(Rows(parents), mine, turn.task), bad


def _new_rows(mine: Sequence[Said], task: Task) -> tuple[Rows, np.ndarray]:
    """Rows that people made from nothing; the wheel reads them in the types that it has."""
    columns = [[_cell(one.body["input"][name]) for one in mine] for name in task.inputs]
    rows = pa.record_batch([pa.array(cells, pa.string()) for cells in columns], names=list(task.inputs))
    return _with_target(Rows(rows), mine, task), np.zeros(len(mine), bool)


def _with_target(rows: Rows, mine: Sequence[Said], task: Task) -> Rows:
    targets = pa.array([_target(one.body["target"], task) for one in mine], pa.string())
    why = pa.array([one.body.get("why") for one in mine], pa.string())
    left = rows.select([name for name in rows.schema.names if name not in (task.target, WHY, VOTES, RATERS)])
    return Rows(left.append_column(task.target, targets).append_column(WHY, why))


def _others(
    said: Sequence[Said], task: Task, kin: Kin, origin: Origin, unread: list[Unread]
) -> Iterator[Draft]:
    """What this task does not learn from, in columns of its own, one draft a kind."""
    for kind, names in OTHER.items():
        known = list(_known([line for line in said if line.kind == kind], kin, unread))
        for related in (True, False):
            mine = [one for one in known if bool(about(one)) is related]
            if mine:
                columns = [pa.array([_other(one, name) for one in mine], pa.string()) for name in names]
                kinds = pa.array([kind] * len(mine), pa.string())
                taken = {name: f"{kind}_{name}" for name in names if name in task.columns}
                rows = pa.record_batch([kinds, *columns], names=["kind", *(taken.get(n, n) for n in names)])
                made = replace(origin, method=f"room:{kind}")
                changed: set[Part] = {"input", "target"}
                yield kin.draft(
                    Rows(rows), [about(one) for one in mine], changed, made, [one.id for one in mine]
                )


def _other(one: Said, name: str) -> str | None:
    """A field as text; about: the records that it is about."""
    said = about(one) if name == "about" else one.body.get(name)
    if name == "about" and not said:
        return None
    return said if said is None or isinstance(said, str) else json.dumps(said, ensure_ascii=False)
