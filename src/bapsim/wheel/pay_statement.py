"""What one person has coming, and how it came about: time, tests, shares, what was not taken and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.judge.pay import Pay
from bapsim.judge.pay import pot as pot_of
from bapsim.store.entries import balances, entries_of, has_entries
from bapsim.store.ledger import Ledger, Row
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.pay import SHARE, unshared
from bapsim.wheel.pay_appeals import LISTED, appeals, open_appeals
from bapsim.wheel.pay_makers import Player, makers
from bapsim.wheel.pay_reasons import Fate, fates
from bapsim.wheel.pay_tests import BONUS
from bapsim.wheel.pay_work import TIME, rules, work_lines
from bapsim.wheel.state import the_champion
from bapsim.wheel.stock import TRAINED, load_stock
from bapsim.wheel.worth import eaten_by

WHATS = (TIME, BONUS, SHARE, "appeal", "paid")
NOTHING: dict[str, Any] = {
    **{name: [] for name in ("people", "open", "unshared", "unknown")},
    **{"balances": {}, "waiting": 0},
}


def statement(
    project: Project, recipe: Recipe, person: str, since: date | None = None, until: date | None = None
) -> dict[str, Any]:
    """A person's statement of the days from `since` to `until` (both included, UTC), as plain values.

    person, since, until, head of the audit chain; currencies: for each the balance before, what came of each
    kind, and the balance after, in minor units; rules; days: lines, ms as they were said; time: entries of
    work, with lines and ms as they are counted; tests; shares: of which model's gain, with interval, and how
    it came about; lines: how many were taken, wait, were tested, or not taken; declined: each line that was
    not, with its reason and its appeal; waiting: rows that are trained on and wait for an accepted turn;
    appeals; other: entries of appeals and payments. Raises InputError for somebody who has given nothing.
    """
    ledger = project.ledger
    known(ledger, person)
    within = _within(since, until)
    rows = [row for row in entries_of(ledger, person) if within(_day(row["at"]))]
    before = [row for row in entries_of(ledger, person) if since is not None and _day(row["at"]) < since]
    lines = [one for one in fates(project, recipe, person) if within(_on(one.at))]
    objections = {(row["ref"]): row["state"] for row in appeals(ledger, person)}
    seq, mac = ledger.head()
    return {
        "person": person,
        "project": project.root.resolve().name,
        "since": since and since.isoformat(),
        "until": until and until.isoformat(),
        "head": f"{seq} {mac}",
        "rules": [{"id": name, **rule.said()} for name, rule in rules_of(ledger, person)],
        "currencies": _totals(before, rows),
        "days": _days(ledger, person, within),
        "time": [_figured(row) for row in rows if row["what"] == TIME],
        "tests": [_figured(row) for row in rows if row["what"] == BONUS],
        "shares": _shares(ledger, person, within),
        "other": [_figured(row) for row in rows if row["what"] not in (TIME, BONUS, SHARE)],
        "lines": dict(sorted(Counter(one.became for one in lines).items())),
        "declined": [_declined(one, objections) for one in lines if one.became == "declined"],
        "waiting": carried(project, recipe, person),
        "appeals": [dict(row) for row in appeals(ledger, person) if within(_day(row["at"]))],
    }


def known(ledger: Ledger, person: str) -> None:
    """Raises InputError for somebody of whom nothing was written down."""
    found = people_of(ledger) if has_entries(ledger) else []
    if person not in found:
        raise InputError("unknown_person", person=person[:80], known=", ".join(found[:LISTED]) or "-")


def people_of(ledger: Ledger) -> list[str]:
    """Everybody whose work was written down, by name."""
    return [str(r["person"]) for r in ledger.rows("select distinct person from worked order by person")]


def rules_of(ledger: Ledger, person: str) -> list[tuple[str, Any]]:
    """The rules under which somebody worked, with their ids."""
    found = rules(ledger)
    rows = ledger.rows("select distinct rule from worked where person=? order by rule", person)
    return [(r["rule"], found[r["rule"]]) for r in rows if r["rule"] in found]


def _within(since: date | None, until: date | None) -> Any:
    def inside(day: date) -> bool:
        return (since is None or day >= since) and (until is None or day <= until)

    return inside


def _day(at: str) -> date:
    return datetime.fromisoformat(at).date()


def _on(seconds: float) -> date:
    """The day (UTC) of a time that somebody's line said; far ones are the first day that there is."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date()
    except (OverflowError, OSError, ValueError):
        return date.min


def _totals(before: Iterable[Row], rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for part, mine in ((None, before), ("what", rows)):
        for row in mine:
            one = found.setdefault(str(row["currency"]), dict.fromkeys(("before", *WHATS, "balance"), 0))
            one["before" if part is None else str(row["what"])] += int(row["minor"])
            one["balance"] += int(row["minor"])
    return dict(sorted(found.items()))


def _days(ledger: Ledger, person: str, within: Any) -> list[dict[str, Any]]:
    """What the lines of each day said of the time that they took."""
    found: dict[str, dict[str, Any]] = {}
    for row in ledger.rows("select * from worked where person=? order by said", person):
        day = _on(row["said"])
        if within(day):
            one = found.setdefault(day.isoformat(), {"day": day.isoformat(), "lines": 0, "ms": 0})
            one["lines"] += 1
            one["ms"] += int(row["ms"])
    return list(found.values())


def _figured(row: Row) -> dict[str, Any]:
    """An entry with the figures that it was made of."""
    names = ("n", "at", "what", "ref", "minor", "currency", "turn")
    return {**{name: row[name] for name in names}, "figures": json.loads(row["why"])}


def _shares(ledger: Ledger, person: str, within: Any) -> list[dict[str, Any]]:
    """Every gain that somebody's rows were new in, with their part of it; a part of nothing is told, too."""
    booked = {(r["ref"], r["source"]): r for r in entries_of(ledger, person) if r["what"] == SHARE}
    sharing = [rule for _, rule in rules_of(ledger, person) if rule.share and rule.worth.minor]
    found = []
    for row in ledger.rows("select output from stage where name=? order by rowid", SHARE):
        said = json.loads(row["output"])
        for mine in said["players"]:
            entry = booked.get((said["version"], mine["source"]))
            if mine["person"] == person and (entry is not None or sharing):
                found.append(_part(said, mine, entry or _nothing(ledger, said, sharing[-1])))
    return [one for one in found if within(_day(one["at"]))]


def _part(said: dict[str, Any], mine: dict[str, Any], row: Row) -> dict[str, Any]:
    """A share with the part of the gain that it is, and the least and most that it might have been."""
    whole = {
        name: said[name] for name in ("version", "opponent", "turn", "by", "points", "low", "high", "fits")
    }
    pot = json.loads(row["why"])["pot"]
    ends = {"least": int(pot * mine["low"]), "most": int(pot * mine["high"])}
    return {**_figured(row), **ends, "of": whole, "mine": mine}


def _nothing(ledger: Ledger, said: dict[str, Any], rule: Pay) -> Row:
    """A share of nothing, which is no entry, told like one; of the day on which the others had theirs."""
    version, turn = said["version"], said["turn"]
    day = ledger.value("select min(at) from entry where what=? and ref=?", SHARE, version)
    at = day or ledger.value("select ended from turn where n=?", turn)
    whole = {"n": None, "at": at, "what": SHARE, "ref": version, "minor": 0, "turn": turn}
    why = {"points": round(said["points"], 2), "pot": pot_of(said["points"], rule)}
    return {**whole, "currency": rule.worth.currency, "why": json.dumps(why)}


def _declined(one: Fate, objections: Mapping[str, str]) -> dict[str, Any]:
    said = asdict(one)
    return {**said, "at": _iso(one.at), "appeal": objections.get(one.ref, "none")}


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
    except (OverflowError, OSError, ValueError):
        return None


def carried(project: Project, recipe: Recipe, person: str | None = None) -> int:
    """Rows of somebody (of everybody) that are trained on, and in no model yet that was proven: the gain of
    the next accepted turn is theirs, too.
    """
    stock = load_stock(project, recipe.task)
    champion = the_champion(project)
    rows = stands(project, stock) == TRAINED
    if champion is not None:
        rows &= ~eaten_by(project.ledger, stock, champion.name)
    made = makers(project, recipe, stock, np.asarray(rows))
    return sum(any(_is(player, person) for player in mine) for mine in made.values())


def _is(player: Player, person: str | None) -> bool:
    return bool(player.person) and person in (None, player.person)


def status(project: Project, recipe: Recipe) -> dict[str, Any]:
    """What everybody has coming, and what is not written down yet.

    people: for each, minor units by kind and currency, and the balance; open: appeals; lines: of the inbox
    that are no entry yet; unshared: accepted models whose gain was not divided; waiting: rows that wait for
    an accepted turn; unknown: rules that consents name and nobody knows.
    """
    ledger = project.ledger
    if not has_entries(ledger):
        new = sum(1 for _ in work_lines(project.inbox))
        return {**NOTHING, "lines": new}
    written = {(r["consent"], r["line"]) for r in ledger.rows("select consent, line from worked")}
    new = sum((one.consent, one.line) not in written for one in work_lines(project.inbox))
    named = {str(row["rule"]) for row in ledger.rows("select distinct rule from worked")}
    return {
        "people": [
            {"person": person, "currencies": _totals((), entries_of(ledger, person))}
            for person in people_of(ledger)
        ],
        "balances": balances(ledger),
        "open": open_appeals(ledger),
        "lines": new,
        "unshared": [one.version for one in unshared(ledger)],
        "waiting": carried(project, recipe) if written else 0,
        "unknown": sorted(named - set(rules(ledger))),
    }
