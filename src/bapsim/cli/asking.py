"""The verb `ask`: open questions as a sheet, the likeliest rows of a class, or an order of what lacks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import InputError, text
from bapsim.report.desk import Desk, desk
from bapsim.report.told import some

if TYPE_CHECKING:
    from bapsim.core.recipe import Recipe
    from bapsim.store.order_file import Line


@verb(
    click.option("-o", "out", metavar="FILE", type=Path),
    click.option("--like", metavar="CLASS"),
    click.option("--count", metavar="N", type=click.IntRange(min=1), default=60),
    click.option("--order", metavar="FILE.json", type=Path),
)
def _ask(out: Path | None, like: str | None, count: int, order: Path | None) -> dict[str, Any]:
    from bapsim.report.sheets import the_sheet, write_sheet
    from bapsim.report.words import number

    room = desk()
    recipe = room.recipe()
    if order is not None:
        return _ordered(room, recipe, order)
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


def _ordered(room: Desk, recipe: Recipe, out: Path) -> dict[str, Any]:
    """What lacks after the last turn, written to a file and told as a table."""
    from bapsim.report.words import number
    from bapsim.store.order_file import write_order
    from bapsim.wheel.ordering import order

    if out.exists():
        raise InputError("file_exists", path=str(out))
    if not out.absolute().parent.is_dir():
        raise InputError("no_such_folder", path=str(out.parent))
    with room.project(writing=False) as project:
        found = order(project, recipe)
    rows = sum(line.rows for line in found.lines)
    if not rows:
        room.say("ask.order_none", turn=found.turn)
        return {"path": None, "rows": 0, "lines": []}
    digest = write_order(out, found)
    heads = [text(f"order.{name}", room.lang) for name in ("rows", "what", "why", "have", "right")]
    told = [
        [number(one.rows), one.name, text(f"order.why.{one.why}", room.lang), number(one.have), _right(one)]
        for one in found.lines
    ]
    room.table([heads, *told], right=[0, 3, 4])
    room.say("ask.order", rows=number(rows), path=str(out), digest=digest)
    room.say("ask.order_next", path=out.name)
    lines = [
        {"name": line.name, "why": line.why, "have": line.have, "rows": line.rows} for line in found.lines
    ]
    return {"path": str(out), "digest": digest, "rows": rows, "lines": lines}


def _right(line: Line) -> str:
    """The share that was right out of fold, with its limits."""
    if math.isnan(line.score):
        return "-"
    return f"{100 * line.score:.0f} ({100 * line.low:.0f}-{100 * line.high:.0f})"
