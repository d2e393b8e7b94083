"""The verb `withdraw`: a consent is taken back, and everything that rests on it goes, or is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import text
from bapsim.report.desk import Desk, desk

LISTED = 12  # files or models that are told in words


@verb(
    click.option("--consent", metavar="ID", required=True),
    click.option("--by", metavar="NAME", default="owner"),
    click.option("--dry-run", is_flag=True),
)
def _withdraw(consent: str, by: str, dry_run: bool) -> dict[str, Any]:
    from bapsim.report.facts import turns
    from bapsim.report.page import write_missing, write_report
    from bapsim.report.withdrawal import write_page
    from bapsim.wheel.withdrawing import rehearsed, withdraw

    room = desk()
    recipe = room.recipe()
    if dry_run:
        with room.project(writing=False) as project:
            said = rehearsed(project, recipe, consent)
        counts = {"records": len(said["actions"]), "files": len(said["files"])}
        room.say("withdraw.would", consent=consent, **counts)
        _say_records(room, said)
        _say_consumers(room, said["consumers"])
        return said
    with room.project(writing=True) as project:
        said = withdraw(project, recipe, consent, by, room.progress)
        page = write_page(project, said, room.lang)
        write_missing(project, room.lang)
        for number in turns(project.ledger)[-1:]:
            write_report(project, number, room.lang)
    _say(room, said["body"])
    room.say("withdraw.report", path=str(page))
    return said


def _say(room: Desk, body: Mapping[str, Any]) -> None:
    from bapsim.report.withdrawal import why_of

    room.say(f"withdraw.{body['state']}", consent=body["consent"], person=body["person"])
    _say_records(room, body)
    _say_consumers(room, [one for one in body["consumers"] if one["state"] == "tainted"])
    left = [one for one in body["files"] if one["how"] == "left"]
    for one in left[:LISTED]:
        room.say("withdraw.file.left", path=one["path"], why=why_of(one, room.lang))
    for one in body["outside"]["sent"][:LISTED]:
        room.say("withdraw.sent", name=one["name"], place=one["place"], at=one["at"][:10])
    if body["serving"]["state"] == "tainted":
        room.say("withdraw.serving", version=body["serving"]["version"], bapsim=room.called)


def _say_records(room: Desk, body: Mapping[str, Any]) -> None:
    from bapsim.report.withdrawal import records

    for said in records(body, room.lang):
        room.line(said, first="  ", rest="    ")


def _say_consumers(room: Desk, consumers: Sequence[Mapping[str, Any]]) -> None:
    """What consumed it; that a set of records is left out next time goes without saying."""
    from bapsim.report.withdrawal import consumer

    told = [one for one in consumers if one["kind"] != "data"]
    for one in told[:LISTED]:
        kind, name, _, rows, _, remedy = consumer({"state": "tainted", **one}, room.lang)
        key = "withdraw.tainted" if rows != "–" else "withdraw.tainted.sent"
        said = text(key, room.lang, kind=kind, name=name, rows=rows, remedy=remedy)
        room.line(said, first="  ", rest="    ")
    if len(told) > LISTED:
        room.say("withdraw.more", count=len(told) - LISTED)
