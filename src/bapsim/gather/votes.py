"""Files in which several raters labelled each item: one record an item, with its label and all votes.

Long files have a vote a line, wide ones a column a rater or a list of votes; both are the same here: a line
says of an item what some raters said. A tie has no label, so it is asked about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.errors import BapsimError, InputError, RecipeError
from bapsim.core.records import Draft, Origin, Rows, Task, Unread
from bapsim.core.turn import Turn
from bapsim.gather.chunk import ROWS, Chunk, NotRead
from bapsim.gather.files import found, nothing
from bapsim.gather.infer import infer
from bapsim.gather.read import read, readable
from bapsim.gather.types import arrow_type, typed, written
from bapsim.gather.unpack import shown
from bapsim.raters.settle import HOWS, How, settle
from bapsim.raters.votes import Vote

VOTES, RATERS = "votes", "raters"  # columns of the records
MOST = 1000  # votes that one label may have in a cell of counts
Cells = dict[str, "str | None"]


@dataclass
class Item:
    """What all lines say of one item: its columns, its votes in the order of reading, and its first place."""

    file: str
    line: int
    cells: Cells
    votes: list[Vote] = field(default_factory=list)


def votes_in(cell: str | None, raters: str | None) -> list[Vote]:
    """The votes in one cell: a label, a JSON list of them, or JSON counts by label; null is no vote.

    Raises NotRead (`raters`) where a list of votes and that of their raters are not equally long.
    """
    if cell is None or not cell.strip():
        return []
    said = _json(cell)
    if isinstance(said, dict):
        counts = [(str(label), n) for label, n in said.items()]
        if not all(type(n) is int and 0 <= n <= MOST for _, n in counts):
            raise NotRead("raters", "counts of votes are whole numbers")
        return [(None, label) for label, n in counts for _ in range(n)]
    if not isinstance(said, list):
        return [(raters, cell)]
    who = _json(raters or "")
    names = who if isinstance(who, list) else [raters] * len(said) if raters else [None] * len(said)
    if len(names) != len(said):
        raise NotRead("raters", f"{len(said)} votes of {len(names)} raters")
    pairs = zip(names, said, strict=True)
    return [
        (None if r is None else _text(r), _text(one)) for r, one in pairs if one is not None and _text(one)
    ]


def _json(cell: str) -> Any:
    """A list or an object, where a cell is one."""
    if not cell.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Votes:
    """A source of items that several people labelled.

    path: a file or folder of the inbox; vote: the column of a vote a line, of lists, or of counts by label,
    or the columns of one rater each; rater: who voted; item: the name of the item, which makes lines one
    record; items: another file with the items' columns, by the same name; settled: the column with the
    file's own settled label (blank is none), if not that of the target; else `settle` by "majority",
    "dawid_skene", "one_coin", "weighted" by how often each rater is right where `gold`, a column that few
    items fill, holds what is known, or "tested": the one of these that gold speaks for.
    """

    path: str
    _: KW_ONLY
    vote: str | tuple[str, ...]
    rights: str = "unknown"
    rater: str | None = None
    item: str | None = None
    items: str | None = None
    settled: str | None = None
    gold: str | None = None
    settle: How = "majority"
    types: Mapping[str, str] = field(default_factory=dict)
    nulls: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    sheet: str | None = None
    consent: str | None = None

    def __post_init__(self) -> None:
        if self.settle not in HOWS:
            raise RecipeError("votes_settle", said=shown(self.settle), known=", ".join(HOWS))
        if self.settle != "majority" and self.rater is None and isinstance(self.vote, str):
            raise RecipeError("votes_need", what="rater", why=self.settle)
        if self.settle in ("weighted", "tested") and self.gold is None:
            raise RecipeError("votes_need", what="gold", why=self.settle)
        if self.items is not None and self.item is None:
            raise RecipeError("votes_need", what="item", why="items")
        for kind in self.types.values():
            arrow_type(kind)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of votes."""
        return (self.vote,) if isinstance(self.vote, str) else self.vote

    def reads(self, turn: Turn) -> list[Path]:
        """The files of votes in the order of reading, then that of the items."""
        return [*found(turn.inbox, self.path), *(found(turn.inbox, self.items) if self.items else ())]

    def takes(self, file: Path, task: Task) -> bool:
        """Whether a file has the columns of this source."""
        wanted = {*self.columns, *(name for name in (self.item, self.rater) if name is not None)}
        try:
            return any(wanted <= {*chunk.rows.schema.names} for chunk in self._read(file, ""))
        except BapsimError:
            return False

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """Drafts of items by the file in which each first stands; InputError where a column is absent."""
        target, paths = turn.task.target, (self.path, *((self.items,) if self.items is not None else ()))
        chunks = (chunk for path in paths for chunk in self._chunks(turn, path))
        types = infer(chunks, nulls=self.nulls, known=self.types).types
        parts = (*self.columns, self.rater, self.item, self.gold)
        own = target if target in types and target not in parts else None
        yield from replace(self, settled=self.settled or own)._gathered(turn, types)

    def _gathered(self, turn: Turn, inferred: Mapping[str, str]) -> Iterator[Draft]:
        unread: list[Unread] = []
        items = self._known(turn, unread)
        grouped, varying = self._grouped(self._lines(turn, unread), items, turn.task, unread)
        if unread:
            yield Draft(rows=Rows(nothing().rows), origin=self._origin(None), unread=tuple(unread))
        types = self._types(inferred, varying, turn.task)
        places: dict[str, list[tuple[Item, str | None]]] = {}
        for one, label in zip(grouped, self._labels(grouped), strict=True):
            places.setdefault(one.file, []).append((one, label))
        for file, told in places.items():
            for start in range(0, len(told), ROWS):
                yield self._draft(told[start : start + ROWS], types, turn.task, file)

    # ------------------------------------------------------------ reading

    def _read(self, path: Path, name: str) -> Iterator[Chunk]:
        return read(path, encoding=self.encoding, rename=self.rename, name=name or None, sheet=self.sheet)

    def _chunks(self, turn: Turn, path: str) -> Iterator[Chunk]:
        for file in found(turn.inbox, path):
            name = file.relative_to(turn.inbox).as_posix()
            if readable(file):
                yield from self._read(file, name)
            else:
                yield nothing(
                    Unread(file=shown(name), line=0, reason="format", detail="unknown kind of file")
                )

    def _lines(self, turn: Turn, unread: list[Unread]) -> Iterator[Item]:
        """Each line with its columns and the votes on it."""
        wanted = [*self.columns, *(c for c in (self.rater, self.item, self.settled) if c is not None)]
        for chunk in self._chunks(turn, self.path):
            unread += chunk.unread
            names = chunk.rows.schema.names
            if names and not set(wanted) <= set(names):
                missing = ", ".join(shown(name) for name in wanted if name not in names)
                known = ", ".join(map(shown, names[:12]))
                raise InputError("no_votes", file=chunk.file, missing=missing, columns=known)
            for line, cells in _rows(chunk, self.nulls):
                try:
                    yield Item(chunk.file, line, cells, self._votes(cells))
                except NotRead as why:
                    unread.append(why.at(chunk.file, line))

    def _votes(self, cells: Cells) -> list[Vote]:
        """The votes of a line; its columns of votes and raters are no columns of the item."""
        rater = cells.pop(self.rater, None) if self.rater is not None else None
        if isinstance(self.vote, str):
            return votes_in(cells.pop(self.vote), rater)
        said = [(name, cells.pop(name)) for name in self.vote]
        return [(name, cell) for name, cell in said if cell is not None and cell.strip()]

    def _known(self, turn: Turn, unread: list[Unread]) -> dict[str, Item] | None:
        """The items of a file of their own."""
        if self.items is None or self.item is None:
            return None
        known: dict[str, Item] = {}
        for chunk in self._chunks(turn, self.items):
            unread += chunk.unread
            if chunk.rows.schema.names and self.item not in chunk.rows.schema.names:
                columns = ", ".join(map(shown, chunk.rows.schema.names[:12]))
                raise InputError("no_votes", file=chunk.file, missing=self.item, columns=columns)
            for line, cells in _rows(chunk, self.nulls):
                name = cells[self.item]
                if name is None or name in known:
                    reason = NotRead("no_key", self.item) if name is None else NotRead("item", shown(name))
                    unread.append(reason.at(chunk.file, line))
                else:
                    known[name] = Item(chunk.file, line, cells)
        return known

    # ------------------------------------------------------------ grouping

    def _grouped(
        self, lines: Iterator[Item], items: dict[str, Item] | None, task: Task, unread: list[Unread]
    ) -> tuple[list[Item], set[str]]:
        """One item each, and the columns in which lines about one item differ: these are of the votes."""
        if self.item is None:
            return list(lines), set()
        grouped = {} if items is None else items
        fixed, varying = {*task.columns, self.settled, self.gold} - {task.target}, set[str]()
        for line in lines:
            name = line.cells[self.item]
            one = grouped.get(name or "")
            if name is None:
                unread.append(NotRead("no_key", self.item).at(line.file, line.line))
            elif one is None and items is not None:
                unread.append(NotRead("unknown_item", shown(name)).at(line.file, line.line))
            elif one is None:
                grouped[name] = line
            else:
                other = _differing(one.cells, line.cells)
                if wrong := sorted(other & fixed):
                    why = NotRead("item", f"{shown(name)}: {', '.join(map(shown, wrong))}")
                    unread.append(why.at(line.file, line.line))
                    continue
                varying |= other
                one.cells = {**line.cells, **{k: v for k, v in one.cells.items() if v is not None}}
                one.votes += line.votes
        for one in grouped.values():
            one.votes.sort(key=lambda vote: vote[0] or "")
        return list(grouped.values()), varying

    def _labels(self, items: Sequence[Item]) -> list[str | None]:
        if self.settled is not None:
            return [(one.cells.get(self.settled) or "").strip() or None for one in items]
        if self.gold is not None and items and not any(self.gold in one.cells for one in items):
            columns = ", ".join(map(shown, list(items[0].cells)[:12]))
            raise InputError("no_votes", file=shown(self.path), missing=self.gold, columns=columns)
        known = {at: (one.cells.get(self.gold or "") or "").strip() for at, one in enumerate(items)}
        known = {at: label for at, label in known.items() if label}
        return list(settle([one.votes for one in items], known, self.settle).labels)

    # ------------------------------------------------------------ rows

    def _types(self, inferred: Mapping[str, str], varying: set[str], task: Task) -> dict[str, str]:
        """The columns of a record with their types."""
        label = "string" if self.settled is None else inferred.get(self.settled, "string")
        gone = {*self.columns, self.rater, *varying, self.settled, self.gold}
        kept = {name: kind for name, kind in inferred.items() if name not in gone}
        if taken := sorted({VOTES, RATERS} & (kept.keys() | {*task.columns})):
            raise InputError("votes_columns", file=shown(self.path), columns=", ".join(taken))
        whole = {**kept, **self.types, task.target: self.types.get(task.target, label)}
        return {name: "string" if kind == "native" else kind for name, kind in whole.items()}

    def _draft(
        self, told: Sequence[tuple[Item, str | None]], types: Mapping[str, str], task: Task, file: str
    ) -> Draft:
        cells = [{**one.cells, task.target: label} for one, label in told]
        columns: dict[str, Any] = {}
        for name in types:
            columns[name] = pa.array([row.get(name) for row in cells], pa.string())
        pairs = [one.votes for one, _ in told]
        many = pa.list_(pa.string())
        columns[VOTES] = pa.array([[label for _, label in votes] for votes in pairs], many)
        columns[RATERS] = pa.array([[rater for rater, _ in votes] for votes in pairs], many)
        rows = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        rows = rows.append_column("_", pa.array(np.arange(len(rows))))
        whole = Chunk(rows, np.array([one.line for one, _ in told], np.int64), file=file)
        extra = {VOTES: "native", RATERS: "native", "_": "native"}
        fitting = typed(whole, {**types, **extra}, self.nulls)
        kept = np.asarray(fitting.rows.column("_").to_numpy(), np.int64).tolist()
        names = [told[at][0].cells.get(self.item or "") for at in kept]
        return Draft(
            rows=Rows(fitting.rows.drop_columns(["_"])),
            origin=self._origin(file),
            keys=names if self.item is not None else None,
            unread=fitting.unread,
        )

    def _origin(self, file: str | None) -> Origin:
        return Origin(
            source=self.path,
            input_maker="person",
            target_maker="person",
            method="votes",
            rights=self.rights,
            consent=self.consent,
            batch=file,
        )


votes = Votes


def _rows(chunk: Chunk, nulls: Sequence[str]) -> Iterator[tuple[int, Cells]]:
    """The rows of a chunk as texts, with their lines."""
    names = chunk.rows.schema.names
    columns = [written(column).to_pylist() for column in chunk.rows.columns]
    for line, *row in zip(chunk.lines.tolist(), *columns, strict=True):
        yield line, {n: None if said in nulls else said for n, said in zip(names, row, strict=True)}


def _differing(one: Cells, other: Cells) -> set[str]:
    """The columns in which both have a value, and not the same."""
    return {
        name
        for name, said in other.items()
        if said is not None and one.get(name) is not None and one[name] != said
    }
