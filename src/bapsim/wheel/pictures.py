"""A project of pictures: what a folder holds, and pictures that are added."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Task, Unread
from bapsim.gather.columnar import is_dataset
from bapsim.gather.folder import Picture, composed, pictures_in
from bapsim.gather.infer import Schema
from bapsim.gather.unpack import shown
from bapsim.image.pixels import ENDINGS
from bapsim.store import fault
from bapsim.store.lake import file_sha256, sha256
from bapsim.wheel.founding import Found, Wanted
from bapsim.wheel.inbox import SHOWN, Added

TARGET = "label"


def are_pictures(place: Path) -> bool:
    """Whether this is a picture by its name, or a folder that is no `datasets` folder."""
    if place.is_dir():
        return not is_dataset(place)
    return place.suffix.lower() in ENDINGS


# --------------------------------------------------------------------------- new


def look_into_folder(folder: Path, wanted: Wanted) -> Found:
    """Read all pictures of a folder and say what it holds.

    Raises InputError where there are no pictures, fewer than two classes, or sub-folders that are no classes;
    RecipeError where something else than a class is to be said of them.
    """
    if any((wanted.text, wanted.inputs, wanted.group, wanted.time, wanted.slices, wanted.key)):
        raise InputError("pictures_have_no_columns", folder=shown(folder.name))
    if wanted.answer not in (None, "class"):
        raise RecipeError("pictures_are_classes", answer=wanted.answer)
    classes: Counter[str] = Counter()
    below: defaultdict[str, Counter[str]] = defaultdict(Counter)
    unread: Counter[str] = Counter()
    rows = 0
    for one in pictures_in(folder):
        if isinstance(one, Unread):
            unread[one.reason] += 1
            continue
        rows += 1
        if one.place.label is not None:
            classes[one.place.label] += 1
            below[one.place.label][one.place.part or ""] += 1
    if not rows:
        raise InputError("no_pictures", folder=shown(folder.name), unread=sum(unread.values()))
    _are_no_splits(folder, below)
    if len(classes) < 2:
        names = ", ".join(map(shown, classes)) or "-"
        raise InputError("no_classes", folder=shown(folder.name), rows=rows, classes=names)
    labels = dict(sorted(classes.items(), key=lambda pair: (-pair[1], pair[0])))
    return Found(
        file=folder.name,
        format="folder",
        encoding="-",
        schema=Schema(columns=(), rows=rows, unread=dict(unread), id=None, text=None, target=None),
        kind="image",
        inputs=("image",),
        target=wanted.target or TARGET,
        wanted=replace(wanted, target=wanted.target or TARGET),
        answer="class",
        classes=labels,
        said=labels,
        left_out=(),
    )


def _are_no_splits(folder: Path, below: defaultdict[str, Counter[str]]) -> None:
    """Folders such as train and test, each with the same sub-folders, are parts of a set and no classes."""
    if len(below) < 2 or any("" in parts for parts in below.values()):
        return
    first, *others = (set(parts) for parts in below.values())
    common = first.intersection(*others)
    if len(common) > 1:
        parts, classes = sorted(below), sorted(common)
        raise InputError(
            "folders_are_parts",
            folder=shown(folder),
            parts=", ".join(map(shown, parts[:5])),
            classes=", ".join(map(shown, classes[:5])),
            part=shown(folder / parts[-1]),
        )


# --------------------------------------------------------------------------- add


class _Held(NamedTuple):
    """A file of the inbox: its class (None = pool) and what tells its content."""

    label: str | None
    sha256: str


def add_pictures(root: Path, place: Path, task: Task) -> Added:
    """Copy a picture, or a folder of them, to where the recipe's sources find it.

    Sub-folders are classes and go to `data/CLASS/NAME/`, pictures directly in the folder to `pool/NAME/`. A
    picture that is there already in the same class is not copied again. `places`, `labels`: files that are no
    pictures, and classes that were not there before.
    """
    if not place.exists():
        raise InputError("not_there", path=shown(place))
    data, pool = root / "inbox" / "data", root / "inbox" / "pool"
    before = {composed(one.name) for one in data.iterdir() if one.is_dir()} if data.is_dir() else set()
    sizes = _sizes(data, pool)
    unread: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    labels: Counter[str] = Counter()
    rows = fresh = pooled = 0
    name = composed(place.resolve().name) if place.is_dir() else ""
    stage = root / "inbox" / f".pictures.{os.getpid()}.tmp"
    try:
        for one in pictures_in(place):
            if isinstance(one, Unread):
                unread[one.reason] += 1
                places.setdefault(one.reason, []).append(one.file)
                continue
            rows += 1
            pooled += one.place.label is None
            labels.update([one.place.label] if one.place.label is not None else [])
            if not _is_there(one, sizes, data, pool):
                goal = stage / _goal(one, name)
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(one.place.path, goal)
                fresh += 1
        _settle(stage, root / "inbox")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if not rows:
        raise InputError("no_pictures", folder=shown(place.name), unread=sum(unread.values()))
    goals = ["inbox/data/"] * (rows > pooled) + ["inbox/pool/"] * (pooled > 0)
    return Added(
        file=shown(place),
        path=" ".join(goals),
        kind="pictures",
        new=fresh > 0,
        rows=rows,
        blanks=pooled,
        unread=dict(unread),
        places={reason: tuple(files[:SHOWN]) for reason, files in places.items()},
        missing=(),
        labels={label: count for label, count in labels.items() if before and label not in before},
    )


def _goal(one: Picture, name: str) -> Path:
    """Where a picture belongs in the inbox; name: the folder that it was delivered in, "" = none."""
    label, _, rest = one.place.file.partition("/")
    if one.place.label is None:
        return Path("pool", name, one.place.file)
    return Path("data", label, name, rest)


def _settle(stage: Path, inbox: Path) -> None:
    """Whole folders where there is none of their name, else file by file under names that are free."""
    if not stage.is_dir():
        return
    for here in sorted(stage.iterdir()):
        there = inbox / here.name
        if not there.exists():
            fault.rename(here, there)
        elif here.is_dir() and there.is_dir():
            _settle(here, there)
        else:
            names = (there.with_stem(f"{there.stem}-{n}") for n in range(2, 1 << 30))
            fault.rename(here, next(path for path in names if not path.exists()))


def _sizes(data: Path, pool: Path) -> dict[int, list[Path]]:
    """The files of the inbox by their size: only those of one size can be equal."""
    found: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in (data, pool):
        for path in folder.rglob("*") if folder.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                found[path.stat().st_size].append(path)
    return found


def _is_there(one: Picture, sizes: dict[int, list[Path]], data: Path, pool: Path) -> bool:
    """Whether the inbox holds the same picture in the same class, or among those without one."""
    home = pool if one.place.label is None else data
    same = [path for path in sizes.get(len(one.body), ()) if path.is_relative_to(home)]
    if home is data:
        same = [p for p in same if composed(p.relative_to(data).parts[0]) == one.place.label]
    wanted = sha256(one.body) if same else ""
    return any(file_sha256(path) == wanted for path in same)
