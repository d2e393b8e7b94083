"""What people's records cost: for each that was accepted, and for each point gained, by expert and source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bapsim.core.recipe import Recipe
from bapsim.judge.compare import wilson
from bapsim.store.entries import OWED
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.costs import Costs, costs_by_source
from bapsim.wheel.pay_reasons import fates
from bapsim.wheel.pay_tests import Record, records_of_tests

NAME = "pay"


class Points(NamedTuple):
    """Points gained, the least and the most that they may have been."""

    gained: float
    least: float
    most: float


@dataclass(kw_only=True)
class Tally:
    """What is added up for one person or one source."""

    taken: int = 0
    declined: int = 0
    waiting: int = 0
    ms: int = 0
    owed: Costs = field(default_factory=dict)
    points: list[Points] = field(default_factory=list)


def costs_of_people(project: Project, recipe: Recipe) -> dict[str, Any]:
    """people: one row a person; sources: one a source that people or files were paid for.

    Each: name, taken, declined, waiting (lines), ms, tests, right, owed (minor units by currency, what was
    paid for files in it); accepted and point: by currency, what a record that was taken, or a point gained,
    cost, with its interval: each, low, high, None = cannot tell.
    """
    ledger = project.ledger
    people, sources = _tallies(project, recipe), _of_sources(project, recipe)
    tests = records_of_tests(ledger)
    return {
        "people": [_row(name, one, tests.get(name, Record())) for name, one in sorted(people.items())],
        "sources": [_row(name, one, Record()) for name, one in sorted(sources.items())],
    }


def _tallies(project: Project, recipe: Recipe) -> dict[str, Tally]:
    ledger = project.ledger
    found: dict[str, Tally] = {}
    for row in ledger.rows("select person, sum(ms) ms from worked group by person"):
        found[str(row["person"])] = Tally(ms=int(row["ms"]))
    for one in fates(project, recipe):
        _count(found.setdefault(one.person, Tally()), one.became)
    _owe(ledger, found, "person")
    for name, points in _points(ledger, "person"):
        found.setdefault(name, Tally()).points.append(points)
    return found


def _of_sources(project: Project, recipe: Recipe) -> dict[str, Tally]:
    """Sources that anybody was paid for: what people have coming for them, the prices of their files, and the
    records that the last turn took or refused.
    """
    ledger = project.ledger
    found: dict[str, Tally] = {}
    _owe(ledger, found, "source")
    for name, costs in costs_by_source(ledger, list(recipe.sources)).items():
        for currency, minor in costs.items() if name is not None else ():
            mine = found.setdefault(str(name), Tally()).owed
            mine[currency] = mine.get(currency, 0) + minor
    for name, points in _points(ledger, "source"):
        if name in found:
            found[name].points.append(points)
    for row in ledger.rows("select source, sum(ms) ms from worked group by source"):
        found.setdefault(str(row["source"]), Tally()).ms = int(row["ms"])
    last = ledger.value("select decision from turn where state='done' order by n desc limit 1")
    for row in json.loads(last)["sources"] if last is not None else ():
        if row["name"] in found:
            one = found[row["name"]]
            one.taken, one.waiting = row["trained"] + row["exam"], row["pending"]
            one.declined = sum(row["refused"].values()) + sum(row["unread"].values())
    return found


def _count(one: Tally, became: str) -> None:
    one.taken += became == "taken"
    one.declined += became == "declined"
    one.waiting += became == "waiting"


def _owe(ledger: Ledger, found: dict[str, Tally], of: str) -> None:
    """Adds up what is owed, by person or by source; that some of it was paid does not make it less."""
    query = "select person, source, currency, sum(minor) minor from entry where account=? and what<>'paid'"
    for row in ledger.rows(f"{query} group by person, source, currency order by currency", OWED):
        mine = found.setdefault(str(row[of]), Tally()).owed
        mine[row["currency"]] = mine.get(row["currency"], 0) + int(row["minor"])


def _points(ledger: Ledger, of: str) -> Iterator[tuple[str, Points]]:
    """What each person, or source, gave of every gain that was divided: points, the least and the most."""
    for row in ledger.rows("select output from stage where name='share' order by rowid"):
        said = json.loads(row["output"])
        for one in said["players"]:
            if one[of]:
                ends = (said["points"] * one["share"], said["low"] * one["low"], said["high"] * one["high"])
                gained, least, most = (max(value, 0.0) for value in ends)
                yield str(one[of]), Points(gained, least, most)


def _row(name: str, one: Tally, tests: Record) -> dict[str, Any]:
    points = [sum(values) for values in zip(*one.points, strict=True)]
    counts = {"taken": one.taken, "declined": one.declined, "waiting": one.waiting, "ms": one.ms}
    counts |= {"tests": tests.tests, "right": tests.right}
    each = {currency: _accepted(minor, one) for currency, minor in one.owed.items()}
    point = {currency: _point(minor, points) for currency, minor in one.owed.items()}
    return {
        "name": name,
        **counts,
        "owed": one.owed,
        "accepted": each,
        "point": point,
        "points": points or None,
    }


def _accepted(minor: int, one: Tally) -> dict[str, float | None]:
    """What a record cost that was taken; the interval is that of the share which was taken."""
    said = one.taken + one.declined
    low, high = wilson(one.taken, said)
    if not one.taken:
        return {"each": None, "low": minor / (said * high) if said else None, "high": None}
    return {"each": minor / one.taken, "low": minor / (said * high), "high": minor / (said * low)}


def _point(minor: int, points: list[float]) -> dict[str, float | None]:
    """What a point cost; without an upper end where the gain, or the part of it, may be none."""
    gained, least, most = points or (0.0, 0.0, 0.0)
    return {
        "each": minor / gained if gained > 0 else None,
        "low": minor / most if most > 0 else None,
        "high": minor / least if least > 0 else None,
    }


# --------------------------------------------------------------------------- kept for the report


def keep_costs(project: Project, recipe: Recipe) -> dict[str, Any]:
    """Write the costs down for the report of the last turn that ended, in place of what it had; nothing where
    nobody works under a rule of pay.
    """
    ledger = project.ledger
    if ledger.value("select 1 from worked") is None:
        return {"people": [], "sources": []}
    turn = ledger.value("select max(n) from turn where state='done'")
    said = costs_of_people(project, recipe)
    body, key = json.dumps(said, ensure_ascii=False, sort_keys=True), f"{NAME}:{turn}"
    old = ledger.value("select output from stage where key=?", key)
    if turn is not None and said["people"] and old != body:
        with ledger.change("costs of people") as changed:
            if old is None:
                changed.add("stage", key=key, name=NAME, turn=turn, output=body)
            else:
                changed.amend("stage", {"key": key}, output=body)
    return said


def kept_costs(ledger: Ledger, turn: int) -> dict[str, Any] | None:
    """What was written down for the report of a turn; None where nobody worked by then."""
    said = ledger.value("select output from stage where key=?", f"{NAME}:{turn}")
    return None if said is None else dict(json.loads(said))
