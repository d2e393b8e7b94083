"""The verb `lab`: experiments on one's own text, of which no project is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import InputError
from bapsim.report.desk import desk

if TYPE_CHECKING:
    from bapsim.lab.collapse import Learner

PLAIN = "replace,mix10,subsample,accumulate,anchor"  # a transformer takes minutes for each other one
ALL = "replace,replace@0.5,mix10,subsample,accumulate,mix50,anchor,best,verified,guarded"
MODELS = ("words", "transformer")
DEPTH = 4  # of machine-made rows: each is three times as many rows as the one before


def _wanted(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Collects what one of the experiments alone asks for."""
    context.meta.setdefault("wanted", {})[parameter.name] = value


@verb(
    click.argument("experiment", type=click.Choice(("collapse", "propagation"))),
    click.argument("file", type=Path),
    click.option("--generations", type=click.IntRange(1, 50)),
    click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True),
    click.option(
        "--words", type=click.IntRange(min=2_000), default=100_000, expose_value=False, callback=_wanted
    ),
    click.option("--arms", metavar="NAMES", expose_value=False, callback=_wanted),
    click.option(
        "--model", type=click.Choice(MODELS), default=MODELS[0], expose_value=False, callback=_wanted
    ),
    click.option("--device", metavar="cpu|cuda", default="cpu", expose_value=False, callback=_wanted),
    click.option("--text", metavar="COLUMN", expose_value=False, callback=_wanted),
    click.option("--target", metavar="COLUMN", expose_value=False, callback=_wanted),
    click.option("--out", type=Path, metavar="DIR"),
)
def _lab(
    experiment: str, file: Path, generations: int | None, seeds: int, out: Path | None
) -> dict[str, Any]:
    room = desk()
    if not file.is_file():
        raise InputError("not_a_file", path=str(file))
    wanted = click.get_current_context().meta["wanted"]
    folder = room.folder / (out or Path(experiment))
    run = _collapse if experiment == "collapse" else _propagation
    return {"experiment": experiment, **run(file, generations, seeds, folder, wanted)}


def _collapse(
    file: Path, generations: int | None, seeds: int, folder: Path, wanted: dict[str, Any]
) -> dict[str, Any]:
    from bapsim.gather.unpack import detect, utf8
    from bapsim.lab.collapse import WORDS, collapse
    from bapsim.report.generations import table, write_page
    from bapsim.store import fault

    room, small = desk(), wanted["model"] == "transformer"
    said = b"".join(utf8(file, detect(file))).decode("utf-8", "replace")
    chosen = [one for one in (wanted["arms"] or (PLAIN if small else ALL)).split(",") if one]
    found = collapse(
        said,
        generations=generations or 8,
        seeds=range(seeds),
        arms=chosen,
        most=wanted["words"],
        say=lambda _, **told: room.progress("lab_arm", **told),
        learner=_transformer(wanted["device"]) if small else WORDS,
    )
    found["model"] = wanted["model"]
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / "index.html", found, file.name, room.lang)
    fault.write(folder / "collapse.json", json.dumps(found).encode())
    room.table(table(found, room.lang, short=True), right=(1, 2, 3, 4))
    room.line()
    room.say("lab.written", path=str(folder / "index.html"))
    return {"page": str(folder / "index.html"), **found}


def _transformer(device: str) -> Learner:
    from bapsim.lab.transformer import transformers

    return transformers(device=device)


def _propagation(
    file: Path, depth: int | None, seeds: int, folder: Path, wanted: dict[str, Any]
) -> dict[str, Any]:
    from bapsim.lab.propagation import propagation
    from bapsim.report.propagated import sentences, table
    from bapsim.store import fault
    from bapsim.wheel.audited import read_sheet
    from bapsim.wheel.founding import Wanted

    room = desk()
    sheet, _ = read_sheet([file], Wanted(text=wanted["text"], target=wanted["target"]), None)
    rows = [(said, one) for said, one in zip(sheet.texts, sheet.labels, strict=True) if said.split() and one]
    found = propagation(
        [said for said, _ in rows],
        [str(one) for _, one in rows],
        seeds=range(seeds),
        depth=min(depth or DEPTH, DEPTH + 1),
        say=lambda _, **told: room.progress("lab_propagation", **told),
    )
    folder.mkdir(parents=True, exist_ok=True)
    fault.write(folder / "propagation.json", json.dumps(found).encode())
    room.table(table(found, room.lang), right=range(5))
    for said in sentences(found, room.lang):
        room.line(said)
    room.say("propagated.written", path=str(folder / "propagation.json"))
    return {"numbers": str(folder / "propagation.json"), **found}
