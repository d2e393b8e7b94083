"""The verb `lab`: experiments on one's own text, of which no project is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import InputError
from bapsim.report.desk import desk

ALL = "replace,replace@0.5,mix10,subsample,accumulate,mix50,anchor,best,verified,guarded"


@verb(
    click.argument("experiment", type=click.Choice(("collapse",))),
    click.argument("file", type=Path),
    click.option("--generations", type=click.IntRange(1, 50), default=8, show_default=True),
    click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True),
    click.option("--words", type=click.IntRange(min=2_000), default=100_000, show_default=True),
    click.option("--arms", metavar="NAMES", default=ALL),
    click.option("--out", type=Path, metavar="DIR", default=Path("collapse")),
)
def _lab(
    experiment: str, file: Path, generations: int, seeds: int, words: int, arms: str, out: Path
) -> dict[str, Any]:
    from bapsim.gather.unpack import detect, utf8
    from bapsim.lab.collapse import collapse
    from bapsim.report.generations import table, write_page
    from bapsim.store import fault

    room = desk()
    if not file.is_file():
        raise InputError("not_a_file", path=str(file))
    said = b"".join(utf8(file, detect(file))).decode("utf-8", "replace")
    chosen = [one for one in arms.split(",") if one]
    found = collapse(
        said,
        generations=generations,
        seeds=range(seeds),
        arms=chosen,
        most=words,
        say=lambda _, **told: room.progress("lab_arm", **told),
    )
    folder = room.folder / out
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / "index.html", found, file.name, room.lang)
    fault.write(folder / "collapse.json", json.dumps(found).encode())
    room.table(table(found, room.lang, short=True), right=(1, 2, 3, 4))
    room.line()
    room.say("lab.written", path=str(folder / "index.html"))
    return {"experiment": experiment, "page": str(folder / "index.html"), **found}
