"""Bonus: hidden tests that people passed or failed, and answers that users of a service gave to the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.gather.people_lines import Said, rejects
from bapsim.judge.pay import Pay, merit, prize
from bapsim.store.entries import OWED, Due, Transfer, book, obligation
from bapsim.store.ledger import Ledger
from bapsim.text.targets import written
from bapsim.wheel.served import METHOD
from bapsim.wheel.stock import Stock

BONUS = "bonus"
GOLD = "gold"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One answer that can be held against a known one. right: None = they could not tell; outcome: it was no
    test, and somebody else's answer came later.
    """

    said: Said
    right: bool | None
    outcome: bool

    @property
    def ref(self) -> str:
        return f"{self.said.consent}/{self.said.id}"

    @property
    def question(self) -> str:
        return str(self.said.body["question"])


def known_answers(stock: Stock, lines: Mapping[str, list[Said]], exam: np.ndarray) -> Iterator[Checked]:
    """Every vote of people's lines whose answer is known; exam: bool[N], rows that nobody is tested with.

    Of numbers there is none, as nearly right is not wrong.
    """
    if stock.task.answer == "number":
        return
    confirmed = outcomes(stock)
    for one in (one for mine in lines.values() for one in mine if one.kind == "vote"):
        row = stock.place.get(bytes.fromhex(one.body["question"]))
        blind = one.body.get("blind")
        if row is None or exam[row] or blind not in (None, GOLD):
            continue
        known = confirmed.get(row) if blind is None else stock.labels[row]
        if known is not None:
            no = rejects(one)
            says = known not in no if no else answer_of(one, stock) == known
            right = None if one.body.get("cannot_tell") else says
            yield Checked(said=one, right=right, outcome=blind is None)


def answer_of(one: Said, stock: Stock) -> str | None:
    """What a vote says, as labels are written; None where it says nothing."""
    said = one.body.get("said")
    text = (
        json.dumps(said, ensure_ascii=False)
        if isinstance(said, list)
        else None
        if said is None
        else str(said)
    )
    found: str | None = written(pa.array([text], pa.string()), stock.task.answer)[0]
    return found and stock.task.merged.get(found, found)


def outcomes(stock: Stock) -> dict[int, str]:
    """By question, the label that a user of the service gave to the same request."""
    served = stock.of_origins(lambda n, o: o.method.startswith(METHOD) and stock.states[n] != "refused")
    keys = strings(stock.records.column("_key"))
    sources = {n: origin.source for n, origin in stock.origins.items()}
    names = {row: (sources[int(stock.origin[row])], keys[row]) for row in served.nonzero()[0].tolist()}
    told = {name: stock.labels[row] for row, name in names.items() if stock.labelled[row]}
    return {row: told[name] for row, name in names.items() if not stock.labelled[row] and name in told}


def enter_tests(ledger: Ledger, found: Iterable[Checked], rules: Mapping[str, Pay], turn: int) -> int:
    """Write down what tests pay that are not written down yet; a failed one pays nothing, and stands there.

    Returns how many were new. A test is of a line that is known as work, and pays by the rule of that line.
    Nobody is tested twice by one question: who answers it again may have been told.
    """
    work = {f"{r['consent']}/{r['line']}": r for r in ledger.rows("select * from worked")}
    answers, known = list(found), _known(ledger)
    known |= {(work[one.ref]["person"], one.question) for one in answers if one.ref in known}
    count = 0
    with ledger.change("tests"):
        for test in _first(answers):
            row = work.get(test.ref)
            rule = None if row is None else rules.get(row["rule"])
            if row is None or rule is None or test.ref in known or (row["person"], test.question) in known:
                continue
            known.add((row["person"], test.question))
            count += 1
            _enter(ledger, test, Due(person=row["person"], source=row["source"], minor=0), rule, turn)
    return count


def _known(ledger: Ledger) -> set[Any]:
    """Tests that were written down: their lines, and whom each question tested."""
    found: set[Any] = set()
    for row in ledger.rows("select person, ref, why from entry where account=? and what=?", OWED, BONUS):
        found |= {row["ref"], (row["person"], json.loads(row["why"]).get("question"))}
    return found


def _first(answers: Sequence[Checked]) -> list[Checked]:
    """In the order in which they are to count: of tests the first answer, of work the last word."""
    tests = sorted((one for one in answers if not one.outcome), key=_when)
    return tests + sorted((one for one in answers if one.outcome), key=_when, reverse=True)


def _when(one: Checked) -> tuple[str, str]:
    return one.said.at, one.ref


def _enter(ledger: Ledger, test: Checked, due: Due, rule: Pay, turn: int) -> None:
    sure = test.said.body.get("confidence")
    part = merit(test.right, sure)
    figures = {"right": test.right, "confidence": sure, "part": round(part, 6), "outcome": test.outcome}
    figures |= {"question": test.question}
    about = Transfer(
        name=f"{BONUS}:{test.ref}",
        currency=rule.bonus.currency,
        what=BONUS,
        ref=test.ref,
        turn=turn,
        why=json.dumps(figures | {"most": rule.bonus.minor}),
    )
    book(ledger, obligation(Due(person=due.person, source=due.source, minor=prize(rule.bonus, part)), about))


def marks(ledger: Ledger) -> dict[str, bool | None]:
    """By line, whether the test that it was is passed; what an appeal overturned is. None = not told."""
    found: dict[str, bool | None] = {}
    for row in ledger.rows("select ref, why from entry where account=? and what=?", OWED, BONUS):
        found[str(row["ref"])] = json.loads(row["why"])["right"]
    for row in ledger.rows("select ref from appeal where state='upheld'"):
        found |= {row["ref"]: True} if row["ref"] in found else {}
    return found


@dataclass(frozen=True, kw_only=True)
class Record:
    """How somebody's tests went: how many, how many right, and how many of them they could not tell."""

    tests: int = 0
    right: int = 0
    untold: int = 0


def records_of_tests(ledger: Ledger) -> dict[str, Record]:
    """By person, all tests that were written down."""
    told = marks(ledger)
    found: dict[str, Record] = {}
    query = "select distinct person, ref from entry where account=? and what=?"
    for row in ledger.rows(query, OWED, BONUS):
        old, right = found.get(row["person"], Record()), told[row["ref"]]
        found[str(row["person"])] = Record(
            tests=old.tests + 1, right=old.right + bool(right), untold=old.untold + (right is None)
        )
    return found
