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


def _learner(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Collects what learns, and where."""
    context.meta.setdefault("learner", {})[parameter.name] = value


@verb(
    click.argument("experiment", type=click.Choice(("collapse",))),
    click.argument("file", type=Path),
    click.option("--generations", type=click.IntRange(1, 50), default=8, show_default=True),
    click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True),
    click.option("--words", type=click.IntRange(min=2_000), default=100_000, show_default=True),
    click.option("--arms", metavar="NAMES"),
    click.option(
        "--model", type=click.Choice(MODELS), default=MODELS[0], expose_value=False, callback=_learner
    ),
    click.option("--device", metavar="cpu|cuda", default="cpu", expose_value=False, callback=_learner),
    click.option("--out", type=Path, metavar="DIR", default=Path("collapse")),
)
def _lab(
    experiment: str, file: Path, generations: int, seeds: int, words: int, arms: str | None, out: Path
) -> dict[str, Any]:
    from bapsim.gather.unpack import detect, utf8
    from bapsim.lab.collapse import WORDS, collapse
    from bapsim.report.generations import table, write_page
    from bapsim.store import fault

    room = desk()
    if not file.is_file():
        raise InputError("not_a_file", path=str(file))
    said = b"".join(utf8(file, detect(file))).decode("utf-8", "replace")
    learner = click.get_current_context().meta["learner"]
    small = learner["model"] == "transformer"
    chosen = [one for one in (arms or (PLAIN if small else ALL)).split(",") if one]
    found = collapse(
        said,
        generations=generations,
        seeds=range(seeds),
        arms=chosen,
        most=words,
        say=lambda _, **told: room.progress("lab_arm", **told),
        learner=_transformer(learner["device"]) if small else WORDS,
    )
    found["model"] = learner["model"]
    folder = room.folder / out
    folder.mkdir(parents=True, exist_ok=True)
    write_page(folder / "index.html", found, file.name, room.lang)
    fault.write(folder / "collapse.json", json.dumps(found).encode())
    room.table(table(found, room.lang, short=True), right=(1, 2, 3, 4))
    room.line()
    room.say("lab.written", path=str(folder / "index.html"))
    return {"experiment": experiment, "page": str(folder / "index.html"), **found}


def _transformer(device: str) -> Learner:
    from bapsim.lab.transformer import transformers

    return transformers(device=device)
