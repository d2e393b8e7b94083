"""The inbox as a turn sees it: a copy, and in the ledger how large each file of it was, and its digest.

What arrives, or is appended, during a turn is the next turn's. Whoever makes a turn leaves the same record,
so that it can always be said what came in since.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.image.pixels import ENDINGS
from bapsim.store import fault
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project

KEY = "inbox"  # of the one stage that says what the last turn took
Sizes = dict[str, tuple[int, int]]  # by path in the inbox: bytes, and when it was changed (nanoseconds)


class Taken(NamedTuple):
    """A file as a turn took it: bytes, when it was changed (nanoseconds), and the digest of its bytes, empty
    of a link and of what earlier versions took.
    """

    size: int
    at: int
    digest: str = ""


Manifest = dict[str, Taken]


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


def take_snapshot(project: Project, n: int) -> Manifest:
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
    before = taken(project.ledger)
    found = {name: _taken(place / name, size, before.get(name)) for name, size in there.items()}
    return {name: one for name, one in found.items() if one is not None}


def unchanged(path: Path, size: tuple[int, int], then: Taken) -> bool:
    """Whether a file is what was taken, though its date may be another: after `cp -r`, `touch`, a restore."""
    if size == then[:2]:
        return True
    return bool(size[0] == then.size and then.digest) and _digest(path) == then.digest


def _copy(inbox: Path, goal: Path) -> None:
    try:
        shutil.copytree(inbox, goal, symlinks=True, dirs_exist_ok=True, copy_function=_copied)
    except shutil.Error as error:
        for path, _, why in error.args[0]:
            if os.path.lexists(path):
                raise InputError("not_copied", path=str(path), why=why) from error


def _taken(copy: Path, size: tuple[int, int], before: Taken | None) -> Taken | None:
    """What a copy holds of a file: a log that grew meanwhile is as long as its copy. None: it had gone."""
    if copy.is_symlink():
        return Taken(*size)
    with suppress(FileNotFoundError):
        now = copy.stat().st_size, size[1]
        known = before is not None and before[:2] == now and before.digest
        return Taken(*now, known or _digest(copy))
    return None


def _digest(path: Path) -> str:
    """Of the bytes of a file; nothing where it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return ""


def _copied(path: str, goal: str) -> None:
    """A picture is linked: nobody appends to one, and 20,000 links cost .5 s, copies 2.4 s and their room."""
    if Path(path).suffix.lower() in ENDINGS:
        try:
            os.link(path, goal)
        except OSError:  # another disk, or one without links
            shutil.copy2(path, goal)
    else:
        shutil.copy2(path, goal)


def note_taken(ledger: Ledger, n: int, files: Manifest) -> None:
    """Part of the change that opens turn n: what its snapshot holds, in place of what the last one held."""
    said = {"turn": n, "output": json.dumps(files)}
    if ledger.value("select 1 from stage where key=?", KEY) is None:
        ledger.add("stage", key=KEY, name=KEY, **said)
    else:
        ledger.amend("stage", {"key": KEY}, **said)


def taken(ledger: Ledger) -> Manifest:
    """What the last turn took, whoever made it; nothing where none was made."""
    said = ledger.value("select output from stage where key=?", KEY)
    return {} if said is None else {name: Taken(*one) for name, one in json.loads(said).items()}
