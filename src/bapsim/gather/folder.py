"""A folder of pictures as a source: a sub-folder is a class, pictures directly in it have none.

The bytes of each file are kept as they are. What is no picture, cannot be read whole, is too large, or is a
link that leads elsewhere, is named. Names are composed (NFC), for macOS writes Hangul in pieces.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow as pa

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Draft, Maker, Origin, Rows, Task, Unread
from bapsim.core.turn import Turn
from bapsim.gather.chunk import BYTES as MANY  # of a draft's pictures together
from bapsim.gather.chunk import NotRead, encodable
from bapsim.gather.files import found, inside
from bapsim.gather.read import read
from bapsim.gather.types import written
from bapsim.gather.unpack import shown
from bapsim.image.pixels import BYTES, Look, NoPicture, look

ROWS = 1024  # pictures of one draft


class Place(NamedTuple):
    """A file that should be a picture: label, the folder below its class's (a delivery), and its path in the
    source; None where there is no such folder.
    """

    path: Path
    file: str
    label: str | None
    part: str | None


class Picture(NamedTuple):
    """A picture that can be read."""

    place: Place
    body: bytes
    look: Look


@dataclass(frozen=True)
class Folder:
    """A source of pictures from the inbox: a folder with a sub-folder for each class.

    path: a folder in it; labelled=False: a pool, sub-folders are no classes; labels: a table in the inbox
    that says the classes instead, by the columns `file` (below `path`) and the target; rights, maker,
    consent: as for `files`. Columns: the task's input (bytes), its target, `file` (the path below `path`),
    `width`, `height` (pixels as shown), `turned` (EXIF says that the camera was). The key is the file's own
    name: a picture that lies in another class's folder at a later turn has been corrected.
    """

    path: str
    _: KW_ONLY
    labelled: bool = True
    labels: str | None = None
    rights: str = "unknown"
    maker: Maker = "person"
    consent: str | None = None

    def __post_init__(self) -> None:
        if self.maker not in get_args(Maker):
            raise RecipeError("unknown_maker", maker=shown(self.maker), known=", ".join(get_args(Maker)))

    def reads(self, turn: Turn) -> list[Path]:
        """The files that make this source, in the order of reading."""
        tables = [] if self.labels is None else found(turn.inbox, self.labels)
        return [*tables, *(one.path for one in self._listed(turn) if isinstance(one, Place))]

    def _listed(self, turn: Turn) -> Iterator[Place | Unread]:
        by_folder = self.labelled and self.labels is None
        return listed(inside(turn.inbox, self.path), labelled=by_folder)

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """One draft for each thousand pictures (or 64 MiB) of a delivery, and one for what was not read."""
        if len(turn.task.inputs) != 1:
            raise RecipeError("one_picture", inputs=", ".join(turn.task.inputs))
        unread: list[Unread] = []
        places = self._listed(turn)
        if self.labels is not None:
            (table,) = found(turn.inbox, self.labels)
            places = _named(places, labels_in(table, turn.task.target, self.labels), unread)
        pictures = _read(places, unread)
        for part, mine in groupby(pictures, key=lambda one: one.place.part):
            for some in _parted(mine):
                yield Draft(
                    rows=as_rows(some, turn.task),
                    origin=self._origin(part),
                    keys=[one.place.file.rpartition("/")[2] for one in some],
                )
        if unread:
            nothing = Rows(pa.RecordBatch.from_arrays([], names=[]))
            yield Draft(rows=nothing, origin=self._origin(None), unread=tuple(unread))

    def _origin(self, part: str | None) -> Origin:
        return Origin(
            source=self.path,
            input_maker=self.maker,
            target_maker=self.maker,
            method="folder",
            rights=self.rights,
            consent=self.consent,
            batch=part,
        )


folder = Folder


class Named(NamedTuple):
    """What a table says of one picture, and where."""

    label: str | None
    file: str
    line: int


def labels_in(table: Path, target: str, name: str) -> Iterator[tuple[str, Named] | Unread]:
    """The name of each picture in a table, and what is said of it; raises InputError without the columns."""
    for chunk in read(table, name=name):
        yield from chunk.unread
        names = chunk.rows.schema.names
        missing = [one for one in ("file", target) if one not in names]
        if names and missing:
            known = ", ".join(map(shown, names[:40]))
            raise InputError("input_missing", file=shown(name), columns=", ".join(missing), known=known)
        if names:
            files, labels = (written(chunk.rows.column(one)).to_pylist() for one in ("file", target))
            for line, file, label in zip(chunk.lines.tolist(), files, labels, strict=True):
                plain = composed((file or "").strip().replace("\\", "/").removeprefix("./"))
                yield plain, Named((label or "").strip() or None, shown(name), line)


def _named(
    places: Iterator[Place | Unread], said: Iterator[tuple[str, Named] | Unread], unread: list[Unread]
) -> Iterator[Place | Unread]:
    """Places with the labels of a table; a name without a picture, or that stands there twice, is unread."""
    labels: dict[str, Named] = {}
    for line in said:
        if isinstance(line, Unread):
            unread.append(line)
        elif line[0] in labels:
            unread.append(NotRead("duplicate_key", shown(line[0])).at(line[1].file, line[1].line))
        else:
            labels[line[0]] = line[1]
    for place in places:
        known = None if isinstance(place, Unread) else labels.pop(place.file, None)
        yield place if isinstance(place, Unread) or known is None else place._replace(label=known.label)
    unread += [NotRead("no_picture", shown(name)).at(one.file, one.line) for name, one in labels.items()]


def as_rows(pictures: list[Picture], task: Task) -> Rows:
    """Pictures as rows of a task, with what is known of their files."""
    columns: dict[str, Any] = {
        task.inputs[0]: pa.array([one.body for one in pictures], pa.large_binary()),
        task.target: pa.array([one.place.label for one in pictures], pa.string()),
        "file": pa.array([one.place.file for one in pictures], pa.string()),
        "width": pa.array([one.look.width for one in pictures], pa.int32()),
        "height": pa.array([one.look.height for one in pictures], pa.int32()),
        "turned": pa.array([one.look.turned for one in pictures], pa.bool_()),
    }
    return Rows(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))


def pictures_in(place: Path, *, labelled: bool = True) -> Iterator[Picture | Unread]:
    """The pictures of a folder, or one picture, and every file that is none, in order."""
    places = listed(place, labelled=labelled) if place.is_dir() else [_placed(place, place.name, labelled)]
    for one in places:
        yield one if isinstance(one, Unread) else _opened(one)


def in_pieces(place: Path, most: int = 256) -> Iterator[list[Picture | Unread]]:
    """The pictures of a folder, and what is none, some at a time, in order."""
    some: list[Picture | Unread] = []
    for one in pictures_in(place, labelled=False):
        some.append(one)
        if len(some) >= most:
            yield some
            some = []
    if some:
        yield some


def listed(root: Path, *, labelled: bool) -> Iterator[Place | Unread]:
    """All visible files below a folder, sorted by name; links to elsewhere are unread. None if it is not
    there.

    Raises InputError where it is no folder.
    """
    if not root.exists():
        return
    if not root.is_dir():
        raise InputError("not_a_folder", path=shown(root.name))
    yield from _below(root, root.resolve(), root, labelled)


def _below(folder: Path, home: Path, root: Path, labelled: bool) -> Iterator[Place | Unread]:
    for path in sorted(folder.iterdir(), key=lambda one: composed(one.name)):
        name = composed(path.relative_to(root).as_posix())
        if path.name.startswith("."):
            continue
        if path.is_symlink() and not _leads_to_a_file_in(path, home):
            yield Unread(file=shown(name), line=0, reason="outside", detail="")
        elif path.is_dir():
            yield from _below(path, home, root, labelled)
        else:
            yield _placed(path, name, labelled)


def composed(name: str) -> str:
    """A file's name as people type it."""
    return unicodedata.normalize("NFC", name)


def _leads_to_a_file_in(path: Path, home: Path) -> bool:
    try:
        goal = path.resolve(strict=True)
        return goal.is_relative_to(home) and goal.is_file()
    except (OSError, RuntimeError):  # nowhere, or round and round
        return False


def _placed(path: Path, name: str, labelled: bool) -> Place | Unread:
    if not encodable(name):
        detail = "the name is not Unicode"
        return Unread(file=shown(name), line=0, reason="encoding", detail=detail)
    above = name.split("/")[:-1]
    label = above[0] if labelled and above else None
    part = above[1] if labelled and len(above) > 1 else None
    return Place(path, name, label, part)


def _read(places: Iterator[Place | Unread], unread: list[Unread]) -> Iterator[Picture]:
    """The pictures; what is none is put aside."""
    for place in places:
        one = place if isinstance(place, Unread) else _opened(place)
        if isinstance(one, Unread):
            unread.append(one)
        else:
            yield one


def _opened(place: Place) -> Picture | Unread:
    try:
        body = _body(place.path)
        return Picture(place, body, look(body))
    except NoPicture as why:
        return NotRead(why.reason, why.detail).at(shown(place.file), 0)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture; raises NoPicture for anything else."""
    body = _body(path)
    look(body)
    return body


def _body(path: Path) -> bytes:
    """A file's bytes, unless it is no file or too large for a picture."""
    try:
        if not path.is_file():
            raise NoPicture("not_a_picture", "not a regular file")
        if path.stat().st_size > BYTES:
            raise NoPicture("too_large", f"{path.stat().st_size:,} bytes")
        return path.read_bytes()
    except OSError as why:
        raise NoPicture("damaged", why.strerror or "") from why


def _parted(pictures: Iterator[Picture]) -> Iterator[list[Picture]]:
    """In order, at most ROWS or about MANY bytes together."""
    some: list[Picture] = []
    size = 0
    for one in pictures:
        some.append(one)
        size += len(one.body)
        if len(some) >= ROWS or size >= MANY:
            yield some
            some, size = [], 0
    if some:
        yield some
