"""The loop that runs by itself: look at what has arrived, make a turn when it pays, ask, and wait again.

It moves nothing and decides nothing that a person could not: the same turn, report and questions come from
the verbs. The service follows the ledger, so that what is accepted serves at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bapsim.compose.when import Reason, When
from bapsim.core.errors import InputError, Locked, Waiting, text
from bapsim.core.recipe import Recipe
from bapsim.report.desk import as_ours
from bapsim.report.facts import facts
from bapsim.report.history import enter, in_one_line, stamped
from bapsim.report.page import write_missing, write_report
from bapsim.report.sheets import next_sheet
from bapsim.serve import release
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project, opened
from bapsim.wheel.applying import recipe_digest
from bapsim.wheel.arrivals import Watched, drift_of, look
from bapsim.wheel.attempt import Attempt, keep, last_attempt
from bapsim.wheel.pay_costs import keep_costs
from bapsim.wheel.snapshot import digest_of, inventory
from bapsim.wheel.state import stop
from bapsim.wheel.turn import run_turn, silent

ENDED = "select 1 from turn where n>=? and state='done'"
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the machine's, not the turn's


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
    """Why a turn pays now: one is half done, none was made yet, what made the last one fail was mended, or
    the recipe's rule says so.
    """
    try:
        with opened(root, writing=False) as project:
            begun, newest = _open_turn(project.ledger), _newest(project.ledger)
            if begun is not None:
                return Reason("pays.open", {"turn": begun})
            last = last_attempt(root)
            if last.failed and not project.ledger.value(ENDED, last.turn):
                if last.recipe != recipe_digest(root):
                    return Reason("pays.mended", {"turn": last.turn})
                if newest < last.turn:  # not even begun: the ledger does not say what was there
                    same = last.inbox == digest_of(project.inbox)
                    return None if same else Reason("pays.again", {"turn": last.turn})
            if newest:
                reason: Reason | None = (recipe.when or When())(look(project, recipe, past))
                return reason
    except (InputError, sqlite3.OperationalError) as error:  # killed before the ledger had its tables
        if getattr(error, "key", "no_turn_yet") != "no_turn_yet":
            raise
    return Reason("pays.first", {}) if inventory(root / "inbox") else None


def _open_turn(ledger: Ledger) -> int | None:
    return None if (n := ledger.value("select n from turn where state='open'")) is None else int(n)


def _newest(ledger: Ledger) -> int:
    return int(ledger.value("select coalesce(max(n), 0) from turn"))


def tick(
    root: Path, recipe: Recipe, past: Watched, lang: str, say: Callable[..., None] = silent
) -> Made | None:
    """Finish what was killed, or look once and make a turn if it pays; None if not, or while somebody else
    writes to the project.
    """
    if _untold(root) is None and due(root, recipe, past) is None:
        return None
    try:
        with opened(root) as project:
            last = _untold(root)  # again, and so is what pays: somebody may have written until now
            if last is not None:
                return _told(project, recipe, last, lang)
            reason = due(root, recipe, past)
            if reason is None:
                return None
            say("due", reason=text(reason.key, lang, **reason.values))
            return _turn(project, recipe, _attempt(project, reason, past, lang), (lang, say))
    except Locked:
        return None


def _untold(root: Path) -> Attempt | None:
    """A turn of ours that has ended, and nobody heard of it; who made one by hand has told it."""
    last = last_attempt(root)
    if last.told or last.line:
        return None if last.told else last
    query = "select 1 from turn where n=? and state='done' and pid=?"
    with suppress(InputError), opened(root, writing=False) as project:
        return last if project.ledger.value(query, last.turn, last.pid) else None
    return None  # the wheel was taken away


def _attempt(project: Project, reason: Reason, past: Watched, lang: str) -> Attempt:
    """What is about to be done, written down."""
    begun, found = _open_turn(project.ledger), drift_of(project, past)
    pid = os.getpid() if begun is None else project.ledger.value("select pid from turn where n=?", begun)
    one = Attempt(
        turn=begun or _newest(project.ledger) + 1,
        pid=pid,
        why=text(reason.key, lang, **reason.values),
        told=False,
        recipe=recipe_digest(project.root),
        inbox=digest_of(project.inbox),
        drift={**last_attempt(project.root).drift, **dict([found] if found is not None else [])},
    )
    return keep(project.root, one)


def _turn(project: Project, recipe: Recipe, attempt: Attempt, told: tuple[str, Callable[..., None]]) -> Made:
    lang, say = told
    write_missing(project, lang)
    try:
        run_turn(project, recipe, say=say)
    except (Waiting, sqlite3.OperationalError):
        raise  # it goes on with this very turn
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REFUSED:
            raise
        line = stamped(text("watch.failed", lang, turn=attempt.turn, why=as_ours(error).say(lang)))
        attempt = keep(project.root, replace(attempt, failed=True, line=line))
    return _told(project, recipe, attempt, lang)


def _told(project: Project, recipe: Recipe, attempt: Attempt, lang: str) -> Made:
    """Everything that follows the end of a turn: each part may be done again, and the line stands once."""
    said, sheet, n = None, None, attempt.turn
    if not attempt.failed:
        keep_costs(project, recipe)
        write_report(project, n, lang)
        said = facts(project, n)
        said |= {"fixed": release.settle(project.root, said["duel"])}
        sheet = next_sheet(project, recipe, n, lang) if n == _newest(project.ledger) else None
        said |= {"sheet": str(sheet)} if sheet else {}
        line = attempt.line or stamped(in_one_line(said, attempt.why, sheet, lang))
        attempt = keep(project.root, replace(attempt, line=line))
    elif _open_turn(project.ledger) == n:
        stop(project)
    enter(project.root, attempt.line)
    keep(project.root, replace(attempt, told=True))
    return Made(n, said, sheet, attempt.line)
