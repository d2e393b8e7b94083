"""The verb `ship`: the model that serves as a folder for devices, judged as the file that it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.report.desk import desk
from bapsim.report.told import say_shipped


@verb(
    click.option("--target", type=click.Choice(("onnx", "onnx-int8", "student", "folder")), default="onnx"),
    click.option("-o", "out", metavar="DIR", type=Path, required=True),
    click.option("--version", "chosen", metavar="VERSION"),
    click.option("--margin", metavar="POINTS", type=float, default=1.0),
    click.option("--with-browser", "browser", metavar="DIST", type=Path),
)
def _ship(target: Any, out: Path, chosen: str | None, margin: float, browser: Path | None) -> dict[str, Any]:
    from bapsim.wheel.shipping import Wanted, ship

    room = desk()
    recipe = room.recipe()
    wanted = Wanted(target=target, version=chosen, margin=margin / 100, browser=browser)
    with room.project(writing=True) as project:
        said = ship(project, recipe, wanted, out, room.lang, room.progress)
    say_shipped(room, said)
    return said
