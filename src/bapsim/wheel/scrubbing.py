"""A withdrawal in all other files of a project: each is opened, and what goes is taken out of it.

Reports of turns are made anew from the ledger; segments of a service's log are blanked where they stand, for
a running service goes on writing to the newest; everything else is written anew, or named as left.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bapsim.core.errors import StoreError
from bapsim.store import fault
from bapsim.store.project import Project
from bapsim.wheel.departures import FOLDER, Departure, departures
from bapsim.wheel.erasing import remove
from bapsim.wheel.scrub_database import is_database, scrub_database
from bapsim.wheel.scrub_files import without
from bapsim.wheel.scrub_text import going_lines
from bapsim.wheel.sought import Sought
from bapsim.wheel.withdrawal_plan import Plan

How = Literal["rewritten", "deleted", "left"]

LARGEST = 4 << 30  # bytes of a file that is opened
OWN = ("wheel", "reports", "service", "questions", "people", "__pycache__")  # what bapsim makes
ASIDE = ("wheel/records", "wheel/verdicts", "wheel/withdrawals", "wheel/models", "people/keys")
KEPT = {"wheel/key", "wheel/head", "wheel/lock", "people/signing.key"}
EVIDENCE = (".terms.json", ".withdrawn.json")  # that it was allowed, and taken back: no text of a person
_SEGMENT = re.compile(r".+-w[0-9]+-[0-9]{8}T[0-9]{6}-[0-9]{6}\.jsonl")
_HISTORY = (".git", ".hg", ".svn")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: parts that went, and why it was left or deleted, where it was."""

    path: str
    how: How
    parts: int
    why: str = ""


Tell = Callable[[Outcome], None]  # called before a file changes: a kill in between tells twice, never not


def scrubbed(project: Project, plan: Plan, tell: Tell) -> None:
    """Take what goes out of all files but the wheel's own records, ledger and models."""
    for name in plan.files:
        if os.path.lexists(project.inbox / name):
            tell(Outcome(path=f"inbox/{name}", how="deleted", parts=1, why="consent"))
            remove(project.inbox / name)
    for path in files_of(project):
        scrub(project, path, plan, tell)
    for sent in departures(project):
        _sent(project, sent, plan, tell)


def files_of(project: Project) -> Iterator[Path]:
    """All files of a project but the wheel's own, and a place's history of versions; links are told."""
    ledger = project.ledger.path.name
    for place, folders, names in os.walk(project.root):
        here = Path(place)
        below = here.relative_to(project.root).as_posix()
        folders[:] = sorted(n for n in folders if not _aside(here / n, f"{below}/{n}".removeprefix("./")))
        for name in sorted(names):
            said = f"{below}/{name}".removeprefix("./")
            if said not in KEPT and not said.startswith(f"wheel/{ledger}"):
                yield here / name


def _aside(path: Path, said: str) -> bool:
    return said in ASIDE or path.name in _HISTORY or (path / "pyvenv.cfg").exists()


def histories(project: Project) -> list[str]:
    """Folders with earlier versions of files, which a withdrawal does not rewrite."""
    found = [path for name in _HISTORY for path in project.root.rglob(name)]
    return sorted(path.relative_to(project.root).as_posix() for path in found)


def scrub(project: Project, path: Path, plan: Plan, tell: Tell) -> None:
    """One file without what goes."""
    said = path.relative_to(project.root).as_posix()
    if not looked_into(path, said):
        return
    if path.is_symlink():
        _link(path, said, plan.sought, tell)
    elif path.stat().st_size > LARGEST:
        tell(Outcome(path=said, how="left", parts=0, why="too_large"))
    elif is_database(path):
        _database(path, said, plan.sought, tell)
    elif re.fullmatch(r"reports/turn-[0-9]+/(index\.html|report\.json)", said):
        _report(path, said, plan, tell)
    elif said.startswith("inbox/") and _SEGMENT.fullmatch(path.name):
        _segment(path, said, sought_in(plan, said), tell)
    else:
        _plain(path, said, sought_in(plan, said), tell)


def looked_into(path: Path, said: str) -> bool:
    """Terms and tombstones are evidence; notes of departures and reports of withdrawals name files only."""
    ours = said.startswith((f"reports/{FOLDER}/", "reports/withdrawals/"))
    return path.is_file() and not said.endswith(EVIDENCE) and not ours


def sought_in(plan: Plan, said: str) -> Sought:
    """In a log whose lines are under the consent where they name no other, those go as well."""
    default = said.removeprefix("inbox/") in plan.logs
    return replace(plan.sought, default=True) if default else plan.sought


def _plain(path: Path, said: str, sought: Sought, tell: Tell) -> None:
    if path.name.endswith(TEMPORARY):
        tell(Outcome(path=said, how="deleted", parts=0, why="leftover"))
        remove(path)
        return
    body = path.read_bytes()
    found = without(body, path.name, sought, given=said.startswith("inbox/"))
    if found is None:
        return
    own = said.split("/", 1)[0] in OWN or said == str(path)  # or written for others
    if found.body is not None and not (own and found.blanked):
        tell(Outcome(path=said, how="rewritten", parts=found.parts, why="blanked" * found.blanked))
        _put(path, found.body)
    elif found.emptied or own or sought.is_blob(body):
        why = "" if found.emptied else "format"
        tell(Outcome(path=said, how="deleted", parts=found.parts, why=why))
        remove(path)
    else:
        tell(Outcome(path=said, how="left", parts=found.parts, why="format"))


TEMPORARY = ".withdraw.tmp"


def _put(path: Path, body: bytes) -> None:
    """A file anew, under a hidden name first: who looks into the inbox meets the old one or the new."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.write_bytes(body)
    shutil.copystat(path, temporary)
    fault.sync(temporary)
    fault.rename(temporary, path)


def _link(path: Path, said: str, sought: Sought, tell: Tell) -> None:
    """A link leads to a file that is nobody's here: it is looked into, and told."""
    found = without(path.read_bytes(), path.name, sought, given=True)
    if found is not None:
        tell(Outcome(path=said, how="left", parts=found.parts, why="link"))


def _database(path: Path, said: str, sought: Sought, tell: Tell) -> None:
    try:
        count = scrub_database(path, sought)
    except StoreError:
        tell(Outcome(path=said, how="left", parts=0, why="in_use"))
    else:
        if count:
            tell(Outcome(path=said, how="rewritten", parts=count))


# ---------------------------------------------------------------------- reports and logs


def _report(path: Path, said: str, plan: Plan, tell: Tell) -> None:
    """A page of a turn goes where it shows a record that is gone; it is made anew from the ledger."""
    body, beside = path.read_bytes(), path.parent / "report.json"
    text = body.decode("utf-8", "replace")
    text += beside.read_text("utf-8", "replace") if beside.exists() else ""
    named = any(one in text for one in plan.sought.ids)
    if named or without(body, path.name, plan.sought, given=False) is not None:
        tell(Outcome(path=said, how="deleted", parts=1, why="made_anew"))
        remove(path)


def _segment(path: Path, said: str, sought: Sought, tell: Tell) -> None:
    """A segment of a service's log: its lines are overwritten by blanks, at their places."""
    lines = path.read_bytes().splitlines(keepends=True)
    gone = going_lines([line.decode("utf-8", "replace") for line in lines], sought, given=True)
    starts = np.cumsum([0, *(len(line) for line in lines)])
    if not gone.any():
        return
    tell(Outcome(path=said, how="rewritten", parts=int(gone.sum()), why="blanked"))
    with path.open("r+b") as file:
        for i in np.flatnonzero(gone).tolist():
            fault.point("before blank")
            file.seek(int(starts[i]))
            file.write(b" " * len(lines[i].rstrip(b"\n")))
            file.flush()
    fault.sync(path)


# ---------------------------------------------------------------------- what left the house


def _sent(project: Project, sent: Departure, plan: Plan, tell: Tell) -> None:
    """A folder that was written for others and still lies where it was written, outside of the project."""
    place = Path(sent.place)
    if place.is_relative_to(project.root.resolve()):
        return
    for path in sorted(place / name for name in sent.files):
        if path.is_file() and not path.is_symlink():
            _plain(path, str(path), plan.sought, tell)
    for leftover in place.parent.glob(f".{place.name}.*.tmp"):
        if leftover.is_dir():
            tell(Outcome(path=str(leftover), how="deleted", parts=0, why="leftover"))
            shutil.rmtree(leftover)
