"""The verb `watch`: turns by themselves, when they pay."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.cli.verbs import say_story
from bapsim.report.desk import desk


@verb(
    click.option("--once", is_flag=True),
    click.option("--every", metavar="SECONDS", type=click.FloatRange(min=0.1), default=30.0),
)
def _watch(once: bool, every: float) -> dict[str, Any]:
    from bapsim.watch import alone, tick
    from bapsim.wheel.arrivals import Watched

    room, past = desk(), Watched()
    recipe = room.recipe()
    file = room.folder / "recipe.py"
    read = file.stat().st_mtime_ns
    made = []
    with alone(room.folder):
        room.say("watch.begins" if not once else "watch.once", bapsim=room.called)
        while True:
            now = _changed(file, read)
            if now != read and _is_python(file):
                _start_anew()
            if now != read:
                room.say("watch.recipe")
                read = now
            done = tick(room.folder, recipe, past, room.lang, room.progress)
            if done is not None:
                made.append({"turn": done.turn, "line": done.line, "sheet": done.sheet and str(done.sheet)})
                if done.said is not None:
                    say_story(room, done.said)
                room.line(done.line)
            elif once:
                room.say("watch.nothing")
            if once:
                return {"turns": made}
            time.sleep(every)


def _changed(file: Path, read: int) -> int:
    """When the recipe was last changed; an editor may have put it away for a moment."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return read


def _is_python(file: Path) -> bool:
    """Whether the recipe can be started with: while it cannot, the old one goes on."""
    try:
        compile(file.read_text("utf-8"), str(file), "exec")
    except (OSError, ValueError, SyntaxError):
        return False
    return True


def _start_anew() -> None:
    """The recipe was changed: what was imported of it is not forgotten, but a new process knows nothing."""
    again = "from bapsim.cli import main; main()"
    os.execv(sys.executable, [sys.executable, "-c", again, *sys.argv[1:]])  # noqa: S606  this very program
