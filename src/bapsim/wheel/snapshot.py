"""The inbox as a turn sees it: a copy, and in the ledger how large each file of it was.

What arrives, or is appended, during a turn is the next turn's. Whoever makes a turn leaves the same record,
so that it can always be said what came in since.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.image.pixels import ENDINGS
from bapsim.store import fault
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project

KEY = "inbox"  # of the one stage that says what the last turn took
Sizes = dict[str, tuple[int, int]]  # by path in the inbox: bytes, and when it was changed (nanoseconds)


def inventory(inbox: Path) -> Sizes:
    """Every visible file of the inbox that can be read."""
    found: Sizes = {}
    for place, folders, names in os.walk(inbox):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(place, inbox)
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(place, name)  # noqa: PTH118  a Path for each of 20,000 pictures costs as much again
            with suppress(OSError):  # a file may go while it is looked at
                about = os.stat(path)  # noqa: PTH116
                if stat.S_ISREG(about.st_mode) and os.access(path, os.R_OK, effective_ids=True):
                    found[name if below == "." else f"{below}/{name}"] = about.st_size, about.st_mtime_ns
    return found


def digest_of(inbox: Path) -> str:
    """Identity of what lies there, also of what is no file, and stops a turn."""
    names = sorted(str(path) for path in inbox.rglob("*"))
    return digest(json.dumps([names, inventory(inbox)], sort_keys=True).encode())


def snapshot_of(project: Project, n: int) -> Path:
    """Where the inbox lies as turn n sees it."""
    return project.wheel / "snapshot" / f"t{n:03d}"


def take_snapshot(project: Project, n: int) -> Sizes:
    """Copy the inbox as it is now; returns what is in the copy. A file that goes meanwhile is not.

    Raises InputError for what cannot be copied.
    """
    place = snapshot_of(project, n)
    temporary = place.with_name(place.name + ".tmp")
    for old in (temporary, place):
        shutil.rmtree(old, ignore_errors=True)
    for path in project.inbox.rglob("*") if project.inbox.is_dir() else ():
        if not (path.is_file() or path.is_dir() or path.is_symlink()) and os.path.lexists(path):
            raise InputError("special_file", path=str(path))
    temporary.mkdir(parents=True)
    there = inventory(project.inbox)  # before the copy: what comes meanwhile is counted twice, not never
    if project.inbox.is_dir():
        _copy(project.inbox, temporary)
    fault.rename(temporary, place)
    return {name: taken for name, size in there.items() if (taken := _taken(place / name, size)) is not None}


def _copy(inbox: Path, goal: Path) -> None:
    try:
        shutil.copytree(inbox, goal, symlinks=True, dirs_exist_ok=True, copy_function=_copied)
    except shutil.Error as error:
        for path, _, why in error.args[0]:
            if os.path.lexists(path):
                raise InputError("not_copied", path=str(path), why=why) from error


def _taken(copy: Path, size: tuple[int, int]) -> tuple[int, int] | None:
    """What a copy holds of a file: a log that grew meanwhile is as long as its copy. None: it had gone."""
    with suppress(FileNotFoundError):
        return size if copy.is_symlink() else (copy.stat().st_size, size[1])
    return None


def _copied(path: str, goal: str) -> None:
    """A picture is linked: nobody appends to one, and 20,000 links cost .5 s, copies 2.4 s and their room."""
    if Path(path).suffix.lower() in ENDINGS:
        try:
            os.link(path, goal)
        except OSError:  # another disk, or one without links
            shutil.copy2(path, goal)
    else:
        shutil.copy2(path, goal)


def note_taken(ledger: Ledger, n: int, sizes: Sizes) -> None:
    """Part of the change that opens turn n: what its snapshot holds, in place of what the last one held."""
    said = {"turn": n, "output": json.dumps(sizes)}
    if ledger.value("select 1 from stage where key=?", KEY) is None:
        ledger.add("stage", key=KEY, name=KEY, **said)
    else:
        ledger.amend("stage", {"key": KEY}, **said)


def taken(ledger: Ledger) -> Sizes:
    """What the last turn took, whoever made it; nothing where none was made."""
    said = ledger.value("select output from stage where key=?", KEY)
    return {} if said is None else {name: (size, at) for name, (size, at) in json.loads(said).items()}
