"""The source of what people gave in the rooms: answers, examples, and what another task may learn from.

Votes of several persons on one question settle anew each time from all that stand: the same files give the
same answers. Views that stand are answers and rows whose label is a distribution. What an expert made of
records is derived from them; records that are not to be seen (exam items) have no children.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, concat, take
from bapsim.core.records import CERTIFICATE, Draft, Origin, Part, Records, Rows, Task, Unread, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.files import nothing
from bapsim.gather.people_lines import Said, files_of, read_people
from bapsim.gather.people_votes import (
    Settled,
    cell,
    draws_of,
    parted,
    rejection,
    settled,
    shares_of,
    target_of,
    with_votes,
)
from bapsim.gather.types import cast, name_of
from bapsim.gather.votes import RATERS, VOTES
from bapsim.store.terms import read_terms

WHY = "why"  # the column of an expert's reason
MANY = pa.list_(pa.string())
OTHER: Mapping[str, tuple[str, ...]] = {  # columns of what this task does not learn from, by kind
    "rule": ("rule", "text", "label"),
    "rationale": ("text", "about"),
    "pair": ("prompt", "chosen", "rejected"),
    "qa": ("question_text", "answer_text"),
    "instruction": ("messages",),
    "guideline": ("label", "text"),
    "view": ("input", "about", "distribution"),
    "not": ("label", "about"),
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
        lines = {
            consent: [*those, *filter(None, map(rejection, those))]
            for consent, those in read_people(turn.inbox, unread).items()
        }
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
        draws = draws_of(said, turn)
        for one in settled(said, turn, unread, draws):
            consents = sorted({line.consent for line in one.lines})
            consent = consents[0] if len(consents) == 1 else None
            together.setdefault((consent, draws[one.question]), []).append(one)
        for (consent, draw), mine in sorted(
            together.items(), key=lambda pair: (pair[0][0] or "", pair[0][1])
        ):
            batch = None if consent is None else f"{self.path}{consent}.jsonl"
            licence = None if consent is None else licences.get(consent)
            several = [sorted({line.consent for line in one.lines}) for one in mine]
            yield Draft(
                rows=_voted(mine, turn.task),
                origin=self._origin(f"asked:{draw}", consent, licence, batch),
                asked=[one.question for one in mine],
                places=[(one.lines[-1].file, one.lines[-1].line) for one in mine],
                consents=several if consent is None else None,
            )


people = FromRooms


def _voted(mine: Sequence[Settled], task: Task) -> Rows:
    """Targets, with who said what beside them."""
    rows = pa.record_batch([pa.array([one.label for one in mine], pa.string())], names=[task.target])
    return with_votes(Rows(rows), [one.votes for one in mine])


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
    together: dict[tuple[str, bool, bool], list[Said]] = {}
    examples = [one for one in said if one.kind == "example"]
    examples += [_of_view(one, task) for one in said if _is_row(one, task)]
    for one in _known(examples, kin, unread):
        given = one.body["input"]
        unfit = [name for name in given if name not in task.inputs]
        missing = [name for name in task.inputs if name not in given] if not about(one) else []
        if unfit or missing or task.kind == "image" or target_of(one.body["target"], task) is None:
            unread.append(one.unread("field", (unfit or missing or ["target"])[0]))
            continue
        mums = about(one)
        table = kin.rows[mums[0]][0] if mums else ""
        edited = bool(mums) and any(
            cell(value) != cell(kin.rows[mums[0]][1].column(name)[0].as_py()) for name, value in given.items()
        )
        together.setdefault((table, edited, one.kind == "view"), []).append(one)
    for (table, edited, divided), mine in sorted(together.items()):
        changed: set[Part] = {"target", "input"} if edited else {"target"}
        rows, bad = _rows(mine, turn, kin) if table else _new_rows(mine, task)
        good = np.flatnonzero(~bad).tolist()
        unread += [mine[i].unread("type") for i in np.flatnonzero(bad).tolist()]
        kept = [mine[i] for i in good]
        if kept:
            whole = Rows(take(rows, np.array(good, np.int64)))
            if divided:
                whole = with_votes(whole, [parted(one.person, shares_of(one, task)) for one in kept])
            yield kin.draft(whole, [about(one) for one in kept], changed, origin, [one.id for one in kept])


def _is_row(one: Said, task: Task) -> bool:
    """Whether a view is one of an input of its own, that this task can learn from as shares of labels."""
    own = one.kind == "view" and one.body.get("input") is not None and one.body.get("question") is None
    return own and task.answer == "class" and bool(shares_of(one, task))


def _of_view(one: Said, task: Task) -> Said:
    """The view as an example of the label that it holds for the likeliest."""
    shares = shares_of(one, task)
    return replace(one, body={**one.body, "target": max(sorted(shares), key=lambda label: shares[label])})


def _rows(mine: Sequence[Said], turn: Turn, kin: Kin) -> tuple[Rows, np.ndarray]:
    """The first parent of each line with the expert's input and target in their columns, and bool[n]: which
    do not fit.
    """
    parents = concat([rows_of(kin.rows[about(one)[0]][1]) for one in mine])
    bad = np.zeros(len(mine), bool)
    for name in turn.task.inputs:
        at = parents.schema.get_field_index(name)
        old = parents.column(at).to_pylist()
        said = [cell(one.body["input"].get(name, old[i])) for i, one in enumerate(mine)]
        column, misfit = cast(pa.array(said, pa.string()), name_of(parents.schema.types[at]))
        parents, bad = parents.set_column(at, name, column), bad | misfit
    return _with_target(Rows(parents), mine, turn.task), bad


def _new_rows(mine: Sequence[Said], task: Task) -> tuple[Rows, np.ndarray]:
    """Rows that people made from nothing; the wheel reads them in the types that it has."""
    columns = [[cell(one.body["input"][name]) for one in mine] for name in task.inputs]
    rows = pa.record_batch([pa.array(cells, pa.string()) for cells in columns], names=list(task.inputs))
    return _with_target(Rows(rows), mine, task), np.zeros(len(mine), bool)


def _with_target(rows: Rows, mine: Sequence[Said], task: Task) -> Rows:
    targets = pa.array([target_of(one.body["target"], task) for one in mine], pa.string())
    why = pa.array([one.body.get("why") for one in mine], pa.string())
    left = rows.select([name for name in rows.schema.names if name not in (task.target, WHY, VOTES, RATERS)])
    return Rows(left.append_column(task.target, targets).append_column(WHY, why))


def _others(
    said: Sequence[Said], task: Task, kin: Kin, origin: Origin, unread: list[Unread]
) -> Iterator[Draft]:
    """What this task does not learn from, in columns of its own, one draft a kind."""
    for kind, names in OTHER.items():
        lines = [one for one in said if one.kind == kind and not _is_row(one, task)]
        known = list(_known(lines, kin, unread))
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
