"""Settle: what people have earned so far is written down, and nothing twice. It moves no money."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bapsim.core.recipe import Recipe
from bapsim.gather.people_lines import read_people
from bapsim.judge.pay import Pay, divided, pot
from bapsim.store.entries import OWED, Entry, Transfer, book
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.pay_share import Accepted, Say, accepted, measured
from bapsim.wheel.pay_tests import enter_tests, known_answers
from bapsim.wheel.pay_work import enter_work, in_force, now_turn, rules
from bapsim.wheel.stock import examined, load_stock

SHARE = "share"
KEPT = "kept"  # the account of what nobody has coming: other data brought it, or it cannot be told who did


def silent(step: str, **values: Any) -> None:
    """Progress that nobody watches."""


def enter(project: Project, recipe: Recipe, inbox: Path) -> dict[str, int]:
    """Write down the work and the tests in an inbox that are not written down yet; how many of each.

    Cheap: a turn does it as it goes. Whoever withdraws is owed for the time before: call it before anything
    is erased.
    """
    ledger, turn = project.ledger, now_turn(project.ledger)
    lines = enter_work(ledger, recipe, inbox, turn)
    said = read_people(inbox) if ledger.value("select 1 from worked") is not None else {}
    if not said:
        return {"lines": lines, "tests": 0}
    stock = load_stock(project, recipe.task)
    hidden = stock.rows_with(examined(ledger, before=turn + 1))
    return {
        "lines": lines,
        "tests": enter_tests(ledger, known_answers(stock, said, hidden), rules(ledger), turn),
    }


def settle(project: Project, recipe: Recipe, say: Say = silent) -> dict[str, Any]:
    """Write down everything that people have earned: time, tests, and shares of what accepted turns gained.

    Returns lines, tests, and shares, the versions that were divided. Said twice it adds nothing.
    """
    done: dict[str, Any] = enter(project, recipe, project.inbox)
    return done | {
        "shares": [one.version for one in unshared(project.ledger) if _share(project, recipe, one, say)]
    }


def unshared(ledger: Ledger) -> list[Accepted]:
    """Accepted models whose gain was not divided yet, though a rule that shares it was in force."""
    known = {row["key"] for row in ledger.rows("select key from stage where name=?", SHARE)}
    return [one for one in accepted(ledger) if _key(one.version) not in known and _sharing(ledger, one.turn)]


def _key(version: str) -> str:
    return f"{SHARE}:{version}"


def _sharing(ledger: Ledger, turn: int) -> dict[str, Pay]:
    return {n: rule for n, rule in in_force(ledger, turn).items() if rule.share and rule.worth.minor}


def _share(project: Project, recipe: Recipe, one: Accepted, say: Say) -> bool:
    """Divide the gain of an accepted model: what was measured is a stage, in one change with its entries."""
    said, turn = measured(project, recipe, one, say), now_turn(project.ledger)
    with project.ledger.change("share") as ledger:
        ledger.add("stage", key=_key(one.version), name=SHARE, turn=turn, output=json.dumps(said))
        for transfer in _transfers(ledger, said, turn):
            book(ledger, transfer)
    return True


def _transfers(ledger: Ledger, said: Mapping[str, Any], turn: int) -> Iterator[Transfer]:
    """One pot for each rule that somebody worked under when the turn was made: what no such person has coming
    of it is kept. A rule that is newer than the turn says nothing about it.
    """
    works = ledger.rows("select person, rule from worked where turn <= ? order by rowid", said["turn"])
    then = in_force(ledger, said["turn"])
    rule_of = {str(row["person"]): str(row["rule"]) for row in works if row["rule"] in then}
    weights = [player["share"] for player in said["players"]]
    for name, rule in sorted(_sharing(ledger, said["turn"]).items()):
        total = pot(said["points"], rule)
        parts = zip(said["players"], divided(total, weights), strict=True)
        owed = [
            Entry(account=OWED, person=player["person"], source=player["source"], minor=minor)
            for player, minor in parts
            if minor and player["person"] and rule_of.get(player["person"]) == name
        ]
        kept = Entry(account=KEPT, minor=total - sum(entry.minor for entry in owed))
        if owed:
            yield Transfer(
                name=f"{SHARE}:{said['version']}:{name}",
                currency=rule.worth.currency,
                what=SHARE,
                ref=said["version"],
                turn=turn,
                why=json.dumps({"points": round(said["points"], 2), "pot": total}),
                entries=(Entry(account=SHARE, minor=-total), *owed, *([kept] if kept.minor else [])),
            )
