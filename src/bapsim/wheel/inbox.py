"""The inbox: files are copied in, never moved, and a turn takes them from there."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bapsim.core.errors import BapsimError, InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task, Unread
from bapsim.core.turn import Turn
from bapsim.gather.answers import ASK, BESIDE, NOTE, SUGGESTED, cannot_tell, read_answers
from bapsim.gather.columnar import is_dataset
from bapsim.gather.read import PACKED, read
from bapsim.gather.unpack import shown
from bapsim.store import fault
from bapsim.store.artifacts import folder_digest
from bapsim.store.lake import file_sha256
from bapsim.text.targets import label_set

SHOWN = 5  # places that are told of each reason for a line that cannot be read
OURS = {ASK: "bapsim ask", SUGGESTED: "bapsim suggested", NOTE: "bapsim note"}  # columns of a question sheet


@dataclass(frozen=True, kw_only=True)
class Added:
    """One file in the inbox: kind `data`, `answers`, `pictures` or `source` (of the recipe, with a folder of
    its own: a log, votes); new: it was not there before; what it holds.

    rows: data rows or filled answers; blanks: questions without an answer; unread: lines by reason; places:
    where the first of these are (lines, or files of pictures); missing: input columns of the task that the
    file does not have; labels: what a sheet of answers says, with counts.
    """

    file: str
    path: str
    kind: str
    new: bool
    rows: int
    blanks: int
    unread: dict[str, int]
    places: dict[str, Sequence[int | str]]
    missing: tuple[str, ...]
    labels: dict[str, int]


@dataclass
class _Holds:
    """What was counted in one file."""

    rows: int = 0
    blanks: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[int]] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)

    def take(self, unread: Iterable[Unread]) -> None:
        for one in unread:
            self.unread[one.reason] += 1
            lines = self.places.setdefault(one.reason, [])
            if len(lines) < SHOWN:
                lines.append(one.line)


def add_file(root: Path, file: Path, recipe: Recipe) -> Added:
    """Copy a file, or a `datasets` folder, to where the recipe's sources find it.

    The same content is not taken twice; another file of the same name gets a new name. Raises InputError
    where the file cannot be read as a whole.
    """
    if not file.exists():
        raise InputError("not_there", path=shown(file))
    if file.is_dir() and not is_dataset(file):
        raise InputError("not_a_file", path=shown(file))
    if file.name.endswith(BESIDE):
        raise InputError("beside_a_sheet", file=shown(file.name))
    task, source, kind = recipe.task, _whose(file, recipe), "source"
    missing: tuple[str, ...] = ()
    if source is None:
        names = _columns(file)
        names |= {new for one in recipe.sources.values() for new in _renamed(one, names)}
        kind = "answers" if ASK in names else "data"
        holds = _holds(file, kind, task)
        if kind == "answers" and not holds.rows and holds.blanks:
            raise InputError("sheet_is_blank", file=shown(file.name), blanks=holds.blanks, target=task.target)
        missing = tuple(c for c in task.inputs if c not in names) if kind == "data" else ()
        if missing == task.inputs:
            known = ", ".join(map(shown, sorted(names)[:40]))
            raise InputError("input_missing", file=shown(file.name), columns=", ".join(missing), known=known)
    folder = root / "inbox" / (kind if source is None else source.path)
    there = _twin(folder, file)
    place = there or _copied(file, folder, root)
    if source is not None:
        holds = _delivered(root / "inbox", source, task, place, new=there is None)
    return Added(
        file=shown(file),
        path=place.relative_to(root).as_posix(),
        kind=kind,
        new=there is None,
        rows=holds.rows,
        blanks=holds.blanks,
        unread=dict(holds.unread),
        places=dict(holds.places),
        missing=missing,
        labels=dict(holds.labels),
    )


def _renamed(source: Any, names: set[str]) -> set[str]:
    """What a source calls columns of these names."""
    return {new for old, new in dict(getattr(source, "rename", {})).items() if old in names}


def _whose(file: Path, recipe: Recipe) -> Any:
    """The source that knows the file for one of its own, and has a folder for it."""
    sources: Iterable[Any] = recipe.sources.values()
    known = (one for one in sources if hasattr(one, "takes") and one.path.endswith("/"))
    return next((one for one in known if one.takes(file, recipe.task)), None)


def _delivered(inbox: Path, source: Any, task: Task, place: Path, *, new: bool) -> _Holds:
    """What a source makes of one of its files; one that cannot be used is not kept."""
    holds, alone = _Holds(), replace(source, path=place.relative_to(inbox).as_posix())
    try:
        for draft in alone(Turn(n=0, seed=0, task=task, inbox=inbox)):
            known = [one for one in draft.unread if one.reason != "unknown_request"]
            holds.take(known)  # feedback may be on a request in another file
            holds.rows += len(draft.rows) + len(draft.unread) - len(known)
    except BapsimError:
        if new:
            place.unlink()
        raise
    return holds


def _columns(file: Path) -> set[str]:
    """The columns of a file by their own names; those of a question sheet are no columns of a user."""
    own = {new: old for old, new in OURS.items()}
    for chunk in read(file, rename=OURS):
        return {own.get(name, name) for name in chunk.rows.schema.names}
    raise InputError("nothing_to_read", file=shown(file.name), unread=0)


def _holds(file: Path, kind: str, task: Task) -> _Holds:
    holds = _Holds()
    if kind == "answers":
        sheet = read_answers(file, task.target)
        holds.take(sheet.unread)
        holds.rows, holds.blanks = len(sheet.answers), sheet.blanks
        told = [one.target for one in sheet.answers if not cannot_tell(one.target)]
        if task.answer == "number":
            holds.labels.update(told)
        else:
            sets = (label_set(one) if task.answer == "labels" else (one,) for one in told)
            holds.labels.update(label for one in sets for label in one)
        return holds
    for chunk in read(file):
        holds.rows += len(chunk.rows)
        holds.take(chunk.unread)
    return holds


def _digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else file_sha256(path)


def _twin(folder: Path, file: Path) -> Path | None:
    """A file in the inbox with the same content."""
    if not folder.is_dir():
        return None
    wanted, size = _digest(file), _size(file)
    there = (
        p for p in sorted(folder.iterdir()) if p.is_dir() == file.is_dir() and not p.name.startswith(".")
    )
    return next((p for p in there if _size(p) == size and _digest(p) == wanted), None)


def _size(path: Path) -> int:
    return -1 if path.is_dir() else path.stat().st_size


def _copied(file: Path, folder: Path, root: Path) -> Path:
    """A copy under a name that is free; whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    place = next(folder / name for name in _names(file.name) if not (folder / name).exists())
    temporary = root / "inbox" / f".{place.name}.{os.getpid()}.tmp"
    try:
        if file.is_dir():
            shutil.copytree(file, temporary)
        else:
            shutil.copyfile(file, temporary)
        fault.sync(temporary)
        fault.rename(temporary, place)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
    return place


def _names(name: str) -> Iterator[str]:
    """a.csv.gz, a-2.csv.gz, a-3.csv.gz, ..."""
    yield name
    packed = next((p for p in PACKED if name.lower().endswith(p)), "")
    bare = Path(name[: len(name) - len(packed)])
    ending = name[len(bare.stem) :]
    n = 2
    while True:
        yield f"{bare.stem}-{n}{ending}"
        n += 1
