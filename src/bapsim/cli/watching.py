"""The verb `watch`: turns by themselves, when they pay."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.cli.group import verb
from bapsim.cli.verbs import say_story
from bapsim.core.errors import BapsimError, Locked
from bapsim.report.desk import Desk, as_ours, complain, desk

if TYPE_CHECKING:
    from bapsim.core.recipe import Recipe
    from bapsim.watch import Made

LONGER = 10  # times the usual wait, after an error: somebody has to mend it
LOADS = "import sys, pathlib, bapsim.wheel.founding as f; f.load_recipe(pathlib.Path(sys.argv[1]))"
AGAIN = "from bapsim.cli import main; main()"
Code = dict[str, int]  # when each file of the recipe was changed


@verb(
    click.option("--once", is_flag=True),
    click.option("--every", metavar="SECONDS", type=click.FloatRange(min=0.1), default=30.0),
)
def _watch(once: bool, every: float) -> dict[str, Any]:
    from bapsim.watch import alone

    room = desk()
    read, recipe = _code(room.folder), room.recipe()
    try:
        with alone(room.folder):
            return _look_once(room, recipe) if once else _go_on(room, recipe, every, read)
    except Locked:
        if not once:
            raise
        room.say("watch.busy")
        return {"turns": []}


def _look_once(room: Desk, recipe: Recipe) -> dict[str, Any]:
    from bapsim.watch import tick
    from bapsim.wheel.arrivals import Watched

    room.say("watch.once")
    made = tick(room.folder, recipe, Watched(), room.lang, room.progress)
    if made is None:
        room.say("watch.nothing")
        return {"turns": []}
    _say(room, made)
    turn = {"turn": made.turn, "line": made.line, "sheet": made.sheet and str(made.sheet)}
    return {"turns": [turn], "ok": made.said is not None}


def _go_on(room: Desk, recipe: Recipe, every: float, read: Code) -> dict[str, Any]:
    from bapsim.watch import tick
    from bapsim.wheel.arrivals import Watched

    past, complained = Watched(), ""
    room.say("watch.begins", bapsim=room.called)
    while True:
        now = _code(room.folder)
        if now != read:
            _start_anew(room)
            read = now
        try:
            made = tick(room.folder, recipe, past, room.lang, room.progress)
        except (BapsimError, OSError, sqlite3.Error) as error:
            if str(error) != complained:
                complain(room, as_ours(error))
            complained = str(error)
            time.sleep(LONGER * every)
            continue
        complained = ""
        if made is not None:
            _say(room, made)
        time.sleep(every)


def _say(room: Desk, made: Made) -> None:
    if made.said is not None:
        say_story(room, made.said)
    room.line(made.line)


def _code(folder: Path) -> Code:
    """The recipe and what lies beside it; an editor may have put a file away for a moment."""
    found = {}
    for path in folder.glob("*.py"):
        with suppress(OSError):
            found[path.name] = path.stat().st_mtime_ns
    return found


def _start_anew(room: Desk) -> None:
    """The recipe was changed: what was imported of it is not forgotten, but a new process knows nothing.

    While it cannot be loaded, the old one goes on.
    """
    words = [sys.executable, "-c", LOADS, str(room.folder)]
    tried = subprocess.run(words, capture_output=True, check=False)  # noqa: S603  this very program
    if tried.returncode:
        room.say("watch.recipe")
        return
    os.execv(sys.executable, [sys.executable, "-c", AGAIN, *sys.argv[1:]])  # noqa: S606  this very program
