"""Users' files as a source: one file, a `datasets` folder, or a folder with any number of files.

Rows without a target are a pool, not an error. Names stay inside the inbox, and what cannot be read is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Draft, Maker, Origin, Rows, Unread
from bapsim.core.turn import Turn
from bapsim.gather.chunk import Chunk, NotRead
from bapsim.gather.columnar import is_dataset
from bapsim.gather.folder_rights import DETECT, FolderRights, parted
from bapsim.gather.infer import infer
from bapsim.gather.read import read, readable
from bapsim.gather.types import agreed, arrow_type, typed
from bapsim.gather.unpack import head, shown

pc: Any = pyarrow.compute  # its stubs lack most overloads


@dataclass(frozen=True)
class Files:
    """A source of rows from the inbox.

    path: a file or folder in it; rights: the terms of use, "detect": of each file what lies beside it says
    (gather.folder_rights); maker: who wrote inputs and targets ("unknown" for
    a crawl: never in an exam); key: the column with the source's own name for each row; types: what columns
    are read as, others are inferred over all files; nulls: texts that mean that there is no value; rename:
    other names for columns; labelled=False: a pool, whose targets are not taken; sheet: of a workbook.
    """

    path: str
    _: KW_ONLY
    rights: str = "unknown"
    maker: Maker = "person"
    key: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    labelled: bool = True
    nulls: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    consent: str | None = None
    sheet: str | None = None

    def __post_init__(self) -> None:
        if self.maker not in get_args(Maker):
            raise RecipeError("unknown_maker", maker=shown(self.maker), known=", ".join(get_args(Maker)))
        for kind in self.types.values():
            arrow_type(kind)

    def reads(self, turn: Turn) -> list[Path]:
        """The files and `datasets` folders that make this source, in the order of reading, and those that say
        under which licence they are.
        """
        data, evidence = self._found(turn)
        return [*data, *evidence]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """One draft per chunk; raises InputError where a file as a whole cannot be used."""
        paths, _ = self._found(turn)
        types = self._types([path for path in paths if readable(path)], turn)
        licences = FolderRights(turn.inbox) if self.rights == DETECT else None
        for path in paths:
            name = path.relative_to(turn.inbox).as_posix()
            rights = self.rights if licences is None else licences.of(path).rights
            for chunk in self._chunks(path, name):
                yield self._draft(typed(chunk, types, self.nulls), turn, rights)

    def _found(self, turn: Turn) -> tuple[list[Path], list[Path]]:
        paths = found(turn.inbox, self.path)
        return parted(turn.inbox, paths) if self.rights == DETECT else (paths, [])

    def _chunks(self, path: Path, name: str) -> Iterator[Chunk]:
        if not readable(path):
            yield nothing(Unread(file=shown(name), line=0, reason="format", detail="unknown kind of file"))
            return
        yield from self._read(path, name)

    def _read(self, path: Path, name: str | None = None) -> Iterator[Chunk]:
        return read(path, encoding=self.encoding, rename=self.rename, name=name, sheet=self.sheet)

    def _types(self, paths: list[Path], turn: Turn) -> dict[str, str]:
        """The declared types, and what the other columns are over all files."""
        chunks = (c for p in paths for c in self._read(p))
        schema = infer(chunks, nulls=self.nulls, known=self.types)
        if self.key is not None and self.key not in schema.types and schema.rows:
            columns = ", ".join(map(shown, list(schema.types)[:12]))
            raise InputError("no_key_column", file=shown(self.path), key=self.key, columns=columns)
        types = agreed(schema.types, turn.types)
        return {**types, turn.task.target: types.get(turn.task.target, "string"), **self.types}

    def _draft(self, chunk: Chunk, turn: Turn, rights: str) -> Draft:
        chunk = with_key(chunk, self.key)
        rows = pooled(chunk.rows, turn.task.target, labelled=self.labelled)
        return Draft(
            rows=Rows(rows),
            origin=Origin(
                source=self.path,
                input_maker=self.maker,
                target_maker=self.maker,
                method="files",
                rights=rights,
                consent=self.consent,
                batch=chunk.file,
            ),
            keys=None if self.key is None else [str(key) for key in strings(rows.column(self.key))],
            unread=chunk.unread,
        )


files = Files


def nothing(*unread: Unread) -> Chunk:
    """A chunk without rows."""
    return Chunk(pa.RecordBatch.from_arrays([], names=[]), np.empty(0, np.int64), unread)


def with_key(chunk: Chunk, key: str | None) -> Chunk:
    """The rows that have a key; the others are unread, for nobody could name them again."""
    if key is None or chunk.rows.column(key).null_count == 0:
        return chunk
    has = np.asarray(chunk.rows.column(key).is_valid().to_numpy(zero_copy_only=False), bool)
    lost = [NotRead("no_key", shown(key)).at(chunk.file, int(line)) for line in chunk.lines[~has]]
    unread = tuple(sorted([*chunk.unread, *lost], key=lambda one: one.line))
    return replace(chunk, rows=chunk.rows.filter(pa.array(has)), lines=chunk.lines[has], unread=unread)


def pooled(rows: pa.RecordBatch, target: str, *, labelled: bool) -> pa.RecordBatch:
    """Rows in which a blank target is null, or every target when the rows are not labelled."""
    at = rows.schema.get_field_index(target)
    column: Any = rows.column(at)
    if not labelled:
        column = pa.nulls(len(rows), column.type)
    elif pa.types.is_string(column.type):
        column = pc.if_else(
            pc.equal(pc.utf8_trim_whitespace(column), ""), pa.scalar(None, pa.string()), column
        )
    return rows.set_column(at, rows.schema.field(at), column)


# ---------------------------------------------------------------- paths


def inside(inbox: Path, name: str) -> Path:
    """The path of a name in the inbox; a name or link that leads elsewhere is refused."""
    place = inbox / name
    try:
        leads_out = Path(name).is_absolute() or ".." in Path(name).parts
        leads_out = leads_out or not place.resolve().is_relative_to(inbox.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that no file can have
        leads_out = True
    if leads_out:
        raise InputError("outside", path=shown(name), folder="inbox/")
    return place


def found(inbox: Path, name: str) -> list[Path]:
    """The file of that name, or all visible files of that folder, sorted; a `datasets` folder is one of them.

    A folder (name with a slash at its end) may be absent as yet. Raises InputError for a missing file.
    """
    place = inside(inbox, name)
    if not _exists(place):
        if name.endswith("/"):
            return []
        raise InputError("no_such_file", path=shown(name), known=_there(inbox))
    paths = sorted(_under(inbox, place)) if place.is_dir() and not is_dataset(place) else [place]
    for path in paths:
        if not is_dataset(path):
            head(path)  # a pipe or device among them is refused before anyone reads on
    return paths


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False  # a name that no file can have


def _under(inbox: Path, folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        inside(inbox, path.relative_to(inbox).as_posix())
        if path.name.startswith((".", "~$")):  # the latter is Excel's mark that a workbook is open
            continue
        if path.is_dir() and not is_dataset(path):
            yield from _under(inbox, path)
        else:
            yield path


def _there(inbox: Path) -> str:
    names = sorted(path.name for path in inbox.iterdir()) if inbox.is_dir() else []
    return ", ".join(map(shown, names[:10])) or "-"
