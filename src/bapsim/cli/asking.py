"""The verb `ask`: the open questions as a sheet, or the likeliest rows of one class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.cli.group import verb
from bapsim.report.desk import Desk, desk
from bapsim.report.told import some

if TYPE_CHECKING:
    from bapsim.core.recipe import Recipe


@verb(
    click.option("-o", "out", metavar="FILE", type=Path),
    click.option("--like", metavar="CLASS"),
    click.option("--count", metavar="N", type=click.IntRange(min=1), default=60),
)
def _ask(out: Path | None, like: str | None, count: int) -> dict[str, Any]:
    from bapsim.report.sheets import the_sheet, write_sheet
    from bapsim.report.words import number

    room = desk()
    recipe = room.recipe()
    only = None if like is None else _sought(room, recipe, like, count)
    with room.project(writing=False) as project:
        sheet = the_sheet(project, recipe, only)
    count = len(sheet.ids)
    if not count:
        room.say("ask.none", bapsim=room.called)
        return {"questions": 0, "path": None}
    if out is None:
        room.say("ask.count", questions=number(count), bapsim=room.called)
        return {"questions": count, "path": None}
    task = recipe.task
    labels, page = write_sheet(out, sheet, task.kind, room.lang)
    if page is not None:
        room.say("ask.pictures", folder=str(out.with_suffix("")), path=str(page))
    key = "ask.written" if task.answer == "class" else f"ask.written.{task.answer}"
    room.say(key, questions=number(count), path=str(out), target=task.target, labels=str(labels))
    if recipe.guideline and out.suffix != ".xlsx":
        room.say("ask.guideline", path=str(out.with_suffix(".guideline.txt")))
    if strange := [label for label in recipe.guideline if sheet.classes and label not in sheet.classes]:
        room.say("ask.guideline_unknown", labels=some(strange, 8))
    room.say("ask.next", bapsim=room.called, path=str(out))
    return {"questions": count, "path": str(out)}


def _sought(room: Desk, recipe: Recipe, label: str, count: int) -> list[bytes]:
    """The ids of the rows of the pool that are likeliest of one class; they are questions from now on."""
    from bapsim.report.words import number
    from bapsim.wheel.seeking import seek

    with room.project(writing=True) as project:
        said = seek(project, recipe, label, count)
    asked: list[bytes] = said["asked"]
    told = {name: number(said[name], 1) for name in ("expected", "at_random")}
    room.say("ask.like", label=label, pool=number(said["pool"]), questions=number(len(asked)), **told)
    return asked
