"""What became of every line that somebody gave: taken, waiting, or not taken, with the reason.

Nothing is turned down in silence, and what was turned down is paid for like the rest: see `pay_work`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bapsim.core.arrow import strings
from bapsim.core.recipe import Recipe
from bapsim.core.records import Unread
from bapsim.gather.people_lines import Said, read_people, rejects
from bapsim.store.project import Project
from bapsim.store.terms import PEOPLE, withdrawals
from bapsim.wheel.audit import stands
from bapsim.wheel.listing import refused
from bapsim.wheel.pay_tests import GOLD, answer_of, marks
from bapsim.wheel.pay_work import Work, people_source, seconds_of, work_lines
from bapsim.wheel.settling import answers
from bapsim.wheel.stock import EXAM, PENDING, REFUSED, SUPERSEDED, TRAINED, Stock, load_stock

Became = Literal["taken", "waiting", "declined", "tested"]


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one line. ref: its consent and name; reason: a message key, "" where it was taken or
    waits; record: the id of the record that it became, in hex, "" where it became none.
    """

    ref: str
    person: str
    kind: str
    at: float
    became: Became
    reason: str = ""
    record: str = ""


@dataclass(frozen=True, kw_only=True)
class Books:
    """What is needed to say what became of lines."""

    project: Project
    recipe: Recipe
    stock: Stock
    said: Mapping[str, Said]
    broken: Mapping[tuple[str, int], str]

    @cached_property
    def mine(self) -> Any:
        """bool[N]: rows that people gave in the rooms."""
        source = people_source(self.recipe)
        return self.stock.of_origins(lambda _, origin: origin.source == source)

    @cached_property
    def state(self) -> Any:
        """int8[N]: where each row stands."""
        return stands(self.project, self.stock)

    @cached_property
    def why(self) -> dict[str, str]:
        """By id, the reason of every refused row."""
        return {str(one["id"]): str(one["reason"]) for one in refused(self.project, self.recipe)}

    @cached_property
    def answered(self) -> dict[str, list[int]]:
        """By question, the rows that answer it."""
        found: dict[str, list[int]] = {}
        for row, mums in answers(self.stock).items():
            if self.mine[row]:
                for mum in mums:
                    found.setdefault(self.stock.ids[mum].tobytes().hex(), []).append(row)
        return found

    @cached_property
    def named(self) -> dict[tuple[str, str], int]:
        """By consent and line, the row that a line became by itself; the last one of several."""
        keys, origins = strings(self.stock.records.column("_key")), self.stock.origins
        rows = self.mine.nonzero()[0].tolist()
        return {(origins[int(self.stock.origin[r])].consent or "", keys[r] or ""): r for r in rows}

    @cached_property
    def unread(self) -> dict[tuple[str, int], str]:
        """By file and line, why the last turns could not read it."""
        query = "select file, line, reason from unread where source=? order by turn"
        rows = self.project.ledger.rows(query, people_source(self.recipe))
        return {(str(r["file"]), int(r["line"])): str(r["reason"]) for r in rows}

    @cached_property
    def marks(self) -> dict[str, bool | None]:
        """By line, whether a test was passed; None = they could not tell."""
        return marks(self.project.ledger)

    @cached_property
    def asked(self) -> set[tuple[str, str]]:
        """Who was tested by which question: an answer to it after that is no test."""
        tests = (one for ref, one in self.said.items() if ref in self.marks)
        return {(one.person, one.body["question"]) for one in tests}

    @cached_property
    def votes(self) -> dict[tuple[str, str], list[Said]]:
        """By person and question, the votes that are no tests, in the order of time."""
        found: dict[tuple[str, str], list[Said]] = {}
        for one in sorted(self.said.values(), key=lambda one: (one.at, one.id)):
            if one.kind == "vote" and one.body.get("blind") is None:
                found.setdefault((one.person, one.body["question"]), []).append(one)
        return found

    @cached_property
    def seen(self) -> float:
        """When the last turn that ended took its snapshot; 0 before any has."""
        query = "select started from turn where state='done' order by n desc limit 1"
        said = self.project.ledger.value(query)
        return 0.0 if said is None else seconds_of(said)


def fates(project: Project, recipe: Recipe, person: str | None = None) -> list[Fate]:
    """What became of everybody's lines, or of one person's: those in the inbox, then those that were erased
    when a consent was withdrawn.
    """
    unread: list[Unread] = []
    lines = read_people(project.inbox, unread)
    books = Books(
        project=project,
        recipe=recipe,
        stock=load_stock(project, recipe.task),
        said={f"{one.consent}/{one.id}": one for mine in lines.values() for one in mine},
        broken={(one.file, one.line): one.reason for one in unread},
    )
    found: dict[str, Fate] = {}
    for work in work_lines(project.inbox):
        ref = f"{work.consent}/{work.line}"
        if person in (None, work.person) and ref not in found:
            became, reason, record = _became(books, work, books.said.get(ref))
            kind = books.said[ref].kind if ref in books.said else ""
            found[ref] = Fate(
                ref=ref,
                person=work.person,
                kind=kind,
                at=work.at,
                became=became,
                reason=reason,
                record=record,
            )
    return [*found.values(), *(one for one in _gone(project, person) if one.ref not in found)]


def _gone(project: Project, person: str | None) -> Iterator[Fate]:
    """Lines that were work, and that are in no file any more: erased, or taken back one by one."""
    gone = {row["consent"] for row in project.ledger.rows("select consent from withdrawal")}
    gone |= set(withdrawals(project.inbox))
    for row in project.ledger.rows("select * from worked order by rowid"):
        if person in (None, row["person"]):
            reason = "withdrawn" if row["consent"] in gone else "taken_back"
            about = {"ref": f"{row['consent']}/{row['line']}", "person": row["person"], "at": row["said"]}
            yield Fate(**about, kind="", became="declined", reason=f"pay.reason.{reason}")


_Told = tuple[Became, str, str]


def _became(books: Books, work: Work, one: Said | None) -> _Told:
    file = f"{PEOPLE}/{work.consent}.jsonl"
    if one is None:  # of a consent that was withdrawn the lines are not read either
        broken = books.broken.get((file, work.number))
        return "declined", f"unread.{broken}" if broken else "pay.reason.withdrawn", ""
    if one.kind != "vote" or rejects(one):
        row = books.named.get((one.consent, one.id))
        return _of_row(books, row) if row is not None else _not_read(books, one)
    return _tested(books, one) if one.body.get("blind") else _voted(books, one)


def _tested(books: Books, one: Said) -> _Told:
    """A test passed, failed, or not marked yet; a question that was asked twice, answered alike or not."""
    ref, question = f"{one.consent}/{one.id}", one.body["question"]
    if one.body["blind"] == GOLD:
        if ref not in books.marks:
            again = (one.person, question) in books.asked
            return ("tested" if again else "waiting"), "", ""
        return ("declined", "pay.reason.gold_failed", "") if books.marks[ref] is False else ("tested", "", "")
    before = [vote for vote in books.votes.get((one.person, question), ()) if vote.at <= one.at]
    same = not before or answer_of(before[-1], books.stock) == answer_of(one, books.stock)
    return ("tested", "", "") if same else ("declined", "pay.reason.again_differs", "")


def _voted(books: Books, one: Said) -> _Told:
    """An answer to a question: whether it, or another one, is what the question's record says."""
    question = one.body["question"]
    if books.votes[one.person, question][-1] is not one:
        return "declined", "pay.reason.revised", ""
    if one.body.get("cannot_tell"):
        return "declined", "pay.reason.cannot_tell", ""
    rows = books.answered.get(question, [])
    label = answer_of(one, books.stock)
    same = [row for row in rows if books.stock.labels[row] == label]
    if same:
        return _of_row(books, same[-1])
    if rows:
        return "declined", "pay.reason.outvoted", ""
    told = _not_read(books, one)
    undecided = told[0] == "waiting" and seconds_of(one.body.get("approved"), one.at) <= books.seen
    return ("declined", "pay.reason.undecided", "") if undecided else told


def _not_read(books: Books, one: Said) -> _Told:
    reason = books.unread.get((one.file, one.line))
    return ("waiting", "", "") if reason is None else ("declined", f"unread.{reason}", "")


def _of_row(books: Books, row: int) -> _Told:
    """Where a line's own record stands."""
    record, code = books.stock.ids[row].tobytes().hex(), books.state[row]
    if code == REFUSED and books.why.get(record) == "other_task":  # reasons, rules, pairs: kept beside
        return "taken", "", record
    if code == REFUSED:
        return "declined", f"verdict.{books.why.get(record, 'turn_refused')}", record
    if code == SUPERSEDED:
        return "declined", "pay.reason.replaced", record
    kept = code in (EXAM, TRAINED) or not books.stock.labelled[row]  # reasons, rules and pairs have no target
    return "taken" if kept or code != PENDING else "waiting", "", record
