"""The loop that runs by itself: look at what has arrived, make a turn when it pays, ask, and wait again.

It moves nothing and decides nothing that a person could not: the same turn, report and questions come from
the verbs. The service follows the ledger, so that what is accepted serves at once.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from bapsim.compose.when import Reason, When
from bapsim.core.errors import BapsimError, InputError, Locked, Waiting, text
from bapsim.core.recipe import Recipe
from bapsim.report.facts import facts
from bapsim.report.page import gain_in_words, write_missing, write_report
from bapsim.report.sheets import the_sheet, write_sheet
from bapsim.report.words import number
from bapsim.serve import release
from bapsim.store.project import Project, opened
from bapsim.wheel.arrivals import Watched, inventory, look, remember
from bapsim.wheel.state import stop
from bapsim.wheel.turn import run_turn, silent

HISTORY = "history.txt"


class Made(NamedTuple):
    """A turn that was made: its number, what its report says (None: it could not be made), the sheet with the
    next questions, and the line of the history.
    """

    turn: int
    said: dict[str, Any] | None
    sheet: Path | None
    line: str


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One watch a project; raises Locked where another one runs."""
    place = root / "service"
    place.mkdir(exist_ok=True)
    with (place / "watch.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked("watched_already", path=str(root)) from error
        yield


def due(root: Path, recipe: Recipe, past: Watched) -> Reason | None:
    """Why a turn pays now: one is half done, none was made yet, or the recipe's rule says so."""
    rule = recipe.when or When()
    try:
        with opened(root, writing=False) as project:
            begun = project.ledger.value("select n from turn where state='open'")
            if begun is not None:
                return Reason("pays.open", {"turn": begun})
            reason: Reason | None = rule(look(project, recipe, past))
            return reason
    except InputError as error:
        if error.key != "no_turn_yet":
            raise
        return Reason("pays.first", {}) if inventory(root / "inbox") else None


def tick(
    root: Path, recipe: Recipe, past: Watched, lang: str, say: Callable[..., None] = silent
) -> Made | None:
    """Look once, and make a turn if it pays; None if not, or while somebody else writes to the project."""
    reason = due(root, recipe, past)
    if reason is None:
        return None
    say("due", reason=text(reason.key, lang, **reason.values))
    try:
        with opened(root) as project:
            return _turn(project, recipe, reason, past, (lang, say))
    except Locked:
        return None


def _turn(
    project: Project, recipe: Recipe, reason: Reason, past: Watched, told: tuple[str, Callable[..., None]]
) -> Made:
    ledger, (lang, say) = project.ledger, told
    open_turn = ledger.value("select n from turn where state='open'")
    n = int(open_turn or 1 + int(ledger.value("select coalesce(max(n), 0) from turn")))
    if open_turn is None:  # an open turn has its snapshot already
        remember(project, n, inventory(project.inbox), past)
    why = text(reason.key, lang, **reason.values)
    write_missing(project, lang)
    try:
        run_turn(project, recipe, say=say)
    except Waiting:
        raise
    except BapsimError as error:
        stop(project)
        return Made(n, None, None, _written(project, text("watch.failed", lang, turn=n, why=error.say(lang))))
    write_report(project, n, lang)
    said = facts(project, n)
    follow(project.root, said["duel"])
    sheet = _ask(project, recipe, n, lang)
    return Made(n, said, sheet, _written(project, in_one_line(said, why, sheet, lang)))


def follow(root: Path, duel: dict[str, Any] | None) -> None:
    """End the trial of a canary that a duel has settled: the ledger names who serves, better or worse."""
    if duel is None or duel["verdict"] == "undecided" or release.read(root).canary != duel["second"]:
        return
    if duel["verdict"] == "accept":
        release.change(root, "canary", None, "the duel: better; it is proven and serves")
    else:
        release.change(root, "rollback", duel["second"], "the duel: worse")


def _ask(project: Project, recipe: Recipe, n: int, lang: str) -> Path | None:
    """The next questions as a sheet in questions/; one that is there already is of a turn that was killed."""
    sheet = the_sheet(project, recipe)
    place = project.root / "questions" / f"turn-{n:03d}.xlsx"
    if not sheet.ids:
        return None
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        write_sheet(place, sheet, recipe.task.kind, lang)
    return place


def in_one_line(said: dict[str, Any], why: str, sheet: Path | None, lang: str) -> str:
    """A turn as a person reads it in a list: why, what came of it, what serves, what is asked."""
    verdict = text(f"verdict_word.{said['decision']['verdict']}", lang)
    gain = gain_in_words(said["decision"])
    serves = said["serves"]["version"] if said["serves"] is not None else "-"
    parts = [text("watch.turn", lang, turn=said["turn"], why=why, verdict=verdict, gain=gain, serves=serves)]
    aside = [one["name"] for one in said["suspects"] if one["refused"]]
    if aside:
        parts.append(text("watch.aside", lang, names=", ".join(aside)))
    if sheet is not None:
        asked = number(said["questions"])
        parts.append(text("watch.asked", lang, questions=asked, sheet=f"questions/{sheet.name}"))
    return " ".join(parts)


def _written(project: Project, said: str) -> str:
    """A line of the history: local time and what happened."""
    at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    line = f"{at}  {' '.join(said.split())}"
    place = project.root / "reports"
    place.mkdir(exist_ok=True)
    with (place / HISTORY).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return line
