"""The verb `pay`: what people have coming, their statements, appeals, and what was paid elsewhere."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import InputError
from bapsim.report.desk import Desk, desk

if TYPE_CHECKING:
    from bapsim.mods import Money

DOES = ("settle", "person", "appeal", "uphold", "dismiss", "paid", "unpaid")  # one of these at a time
GOES_WITH = {
    "settle": ((), ()),
    "person": (("out",), ("since", "until")),
    "appeal": (("of", "reason"), ()),
    "uphold": (("by", "reason"), ("amount", "of")),
    "dismiss": (("by", "reason"), ("of",)),
    "paid": (("amount", "by", "reason"), ()),
    "unpaid": (("amount", "by", "reason"), ()),
}


def _day(context: click.Context, parameter: click.Parameter, value: datetime | None) -> date | None:
    return None if value is None else value.date()


DAY: dict[str, Any] = {"type": click.DateTime(["%Y-%m-%d"]), "callback": _day, "metavar": "YYYY-MM-DD"}


@verb(
    click.option("--settle", is_flag=True),
    click.option("--statement", "person", metavar="PERSON"),
    click.option("-o", "out", metavar="FILE.html|.csv|.json", type=Path),
    click.option("--since", **DAY),
    click.option("--until", **DAY),
    click.option("--appeal", metavar="LINE"),
    click.option("--of", metavar="PERSON"),
    click.option("--uphold", metavar="LINE"),
    click.option("--dismiss", metavar="LINE"),
    click.option("--paid", metavar="PERSON"),
    click.option("--unpaid", metavar="PERSON"),
    click.option("--amount", metavar="'20,000 KRW'"),
    click.option("--by", metavar="NAME"),
    click.option("--reason", metavar="TEXT"),
)
def _pay(**said: Any) -> dict[str, Any]:
    room = desk()
    what = _wanted(said)
    if what is None:
        return _status(room)
    if what == "settle":
        return _settle(room)
    if what == "person":
        return _statement(room, said)
    return _appealed(room, said) if what == "appeal" else _written(room, what, said)


def _wanted(said: dict[str, Any]) -> str | None:
    """The one thing that is to be done, with all that goes with it and nothing else."""
    given = {name for name, value in said.items() if value not in (None, False)}
    does = [name for name in DOES if name in given]
    needs, may = GOES_WITH[does[0]] if does else ((), ())
    if len(does) > 1 or given - {*does, *needs, *may} or set(needs) - given:
        wrong = [*does, *sorted((given | set(needs)) - set(does))]
        names = {"person": "--statement", "out": "-o"}
        raise InputError("pay_unclear", options=" ".join(names.get(one, f"--{one}") for one in wrong))
    return does[0] if does else None


def _status(room: Desk) -> dict[str, Any]:
    from bapsim.report.paid import owed
    from bapsim.report.words import number
    from bapsim.wheel.pay_statement import status

    recipe = room.recipe()
    with room.project(writing=False) as project:
        said = status(project, recipe)
    if recipe.pay is None and not said["people"]:
        raise InputError("no_pay_rule")
    if said["people"]:
        rows = owed(said["people"], room.lang)
        room.table(rows, right=range(2, len(rows[0])))
        room.say("statement.books")
    elif not said["lines"]:
        room.say("pay.none", bapsim=room.called)
    if said["lines"]:
        room.say("pay.new", lines=number(said["lines"]), bapsim=room.called)
    if said["unshared"]:
        room.say("pay.unshared", versions=", ".join(said["unshared"]), bapsim=room.called)
    if said["waiting"]:
        room.say("pay.waiting", rows=number(said["waiting"]))
    if said["unknown"]:
        room.say("pay.unknown", rules=", ".join(said["unknown"]))
    _say_open(room, said["open"])
    return said


def _say_open(room: Desk, rows: list[dict[str, Any]]) -> None:
    if rows:
        room.say("pay.appeals", count=len(rows))
    for row in rows:
        room.line(f"{row['ref']}  {row['person']}  {row['why']}", first="  ", rest="    ")


def _settle(room: Desk) -> dict[str, Any]:
    from bapsim.report.facts import turns
    from bapsim.report.page import write_report
    from bapsim.report.paid import BRIEF, table
    from bapsim.wheel.pay import settle
    from bapsim.wheel.pay_costs import keep_costs

    recipe = room.recipe()
    with room.project(writing=True) as project:
        done = settle(project, recipe, room.progress)
        costs = keep_costs(project, recipe)
        ended = turns(project.ledger)
        if ended and costs["people"]:
            write_report(project, ended[-1], room.lang)
    room.say("pay.settled", **{**done, "shares": len(done["shares"])})
    if costs["people"]:
        room.table(table(costs, room.lang, BRIEF))
    return done | costs


def _statement(room: Desk, said: dict[str, Any]) -> dict[str, Any]:
    from bapsim.report.statement import write_statement
    from bapsim.wheel.pay_statement import statement

    recipe = room.recipe()
    with room.project(writing=False) as project:
        found = statement(project, recipe, said["person"], said["since"], said["until"])
    write_statement(said["out"], found, room.lang)
    room.say("pay.written", person=said["person"], path=str(said["out"]))
    return {**found, "path": str(said["out"])}


def _appealed(room: Desk, said: dict[str, Any]) -> dict[str, Any]:
    from bapsim.wheel.pay_appeals import appeal

    with room.project(writing=True) as project:
        row = appeal(project, said["of"], said["appeal"], said["reason"])
    room.say("pay.appealed", person=row["person"], ref=row["ref"])
    return row


def _written(room: Desk, what: str, said: dict[str, Any]) -> dict[str, Any]:
    """A decision about an appeal, or a payment that was made elsewhere."""
    from bapsim.mods import money
    from bapsim.wheel.pay_appeals import decide

    sum_: Money | None = None if said["amount"] is None else money(said["amount"])
    if what in ("paid", "unpaid"):
        assert sum_ is not None  # noqa: S101  it goes with both
        return _paid(room, what, said, sum_)
    with room.project(writing=True) as project:
        upheld, why = what == "uphold", said["reason"]
        whose = said["of"]
        row = decide(project, said[what], by=said["by"], upheld=upheld, why=why, amount=sum_, person=whose)
    room.say(f"pay.decided.{row['state']}", ref=row["ref"])
    return row


def _paid(room: Desk, what: str, said: dict[str, Any], sum_: Money) -> dict[str, Any]:
    """A payment, or that there was none; with what stands open after it."""
    from bapsim.report.paid import amount
    from bapsim.store.entries import balances
    from bapsim.wheel.pay_appeals import paid, unpaid

    person, does = said[what], paid if what == "paid" else unpaid
    with room.project(writing=True) as project:
        new = does(project, person, sum_, by=said["by"], note=said["reason"])
        left = balances(project.ledger)[person].get(sum_.currency, 0)
    due = amount(sum_.minor, sum_.currency)
    if not new:
        room.say("pay.noted_again", person=person)
    else:
        room.say("pay.noted" if what == "paid" else "pay.undone", person=person, amount=due)
    if left < 0:
        room.say("pay.overpaid", person=person, amount=amount(-left, sum_.currency))
    return {"person": person, "minor": sum_.minor, "currency": sum_.currency, "new": new, "left": left}
