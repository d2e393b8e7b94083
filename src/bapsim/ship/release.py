"""An export while it is written: rows come in batches, and go to the split where they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import valid
from bapsim.core.errors import InputError
from bapsim.core.records import Task
from bapsim.ship.certificate import COLUMNS, OPINION, Register, Terms, certificate, opinion
from bapsim.ship.features import PICTURE, fitted, merged
from bapsim.ship.label import ASIDE, FOLDERS, SPLITS, Column, Part, Split, Tally
from bapsim.ship.shards import Form, SplitWriter


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to export: rows by where they stand, under which rights (empty: any), in which form; source: only
    what it brought and nothing refused, with a certificate.
    """

    form: Form = "parquet"
    states: tuple[str, ...] = ("trained", "exam", "pool")
    rights: tuple[str, ...] = ()
    all_columns: bool = False
    certificates: bool = True
    source: str = ""


def own_columns(kinds: Mapping[str, Sequence[Any]], task: Task, wanted: Wanted) -> tuple[Column, ...]:
    """The user's columns in this order, with one plain type each; kinds: the types that each came in with.

    Raises InputError where the format has no place for a column.
    """
    found = []
    for name, types in kinds.items():
        kind, part = merged(types), part_of(task, name)
        if part == "input" and str(task.kind) == "image" and pa.types.is_binary(kind):
            kind = PICTURE
        if wanted.form == "jsonl" and (kind == PICTURE or pa.types.is_binary(kind)):
            raise InputError("export_bytes", column=name)
        found.append(Column(name=name, kind=kind, part=part))
    return tuple(found)


def part_of(task: Task, name: str) -> Part:
    """The part that a column plays in what the model learns."""
    if name == task.target:
        return "target"
    if name in task.inputs:
        return "input"
    if name in task.slices:
        return "slice"
    if name == task.votes:
        return "votes"
    if name in (task.group, task.time):
        return "group" if name == task.group else "time"
    return "other"


def with_certificate(own: Sequence[Column], wanted: Wanted, config: str) -> tuple[Column, ...]:
    """The columns of a configuration; where the user has a column of a certificate's name, ours gives way."""
    ours = (COLUMNS if wanted.certificates else {}) | (OPINION if config == ASIDE else {})
    taken = {column.name.casefold() for column in own}
    made = []
    for about, kind in ours.items():
        name = about
        while name in taken:
            name = f"record_{name}"
        made.append(Column(name=name, kind=kind, part="certificate", about=about))
    return (*own, *made)


@dataclass(kw_only=True)
class Release:
    """Writes rows to splits below `root`, and counts them.

    own: the user's columns; terms, book: what certificates are made of.
    """

    root: Path
    own: tuple[Column, ...]
    wanted: Wanted
    terms: Sequence[Terms]
    book: Register
    tally: Tally = field(default_factory=Tally)
    writers: dict[str, SplitWriter] = field(default_factory=dict)  # by where rows stand

    def columns(self, config: str) -> tuple[Column, ...]:
        return with_certificate(self.own, self.wanted, config)

    def put(
        self, state: str, records: pa.RecordBatch, codes: np.ndarray, said: Mapping[str, pa.RecordBatch]
    ) -> None:
        """Rows that stand in one place; codes: int32[n] into `terms`; said: verdicts about them by check."""
        split, config = SPLITS[state]
        arrays = [_own(records, column) for column in self.own]
        place = next(i for i, column in enumerate(self.own) if column.part == "target")
        labelled = valid(arrays[place])
        self._count(split, records, codes, arrays, labelled)
        if self.wanted.certificates:
            arrays += certificate(records, labelled, self.terms, codes, self.book)
        if config == ASIDE:
            arrays += opinion(said, len(records), "turn_refused" if state == "refused" else None)
        schema = pa.schema([pa.field(c.name, c.kind) for c in self.columns(config)])
        if state not in self.writers:
            stem = f"{FOLDERS[config]}/{split}"
            self.writers[state] = SplitWriter(root=self.root, stem=stem, form=self.wanted.form, schema=schema)
        self.writers[state].put(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def _count(
        self,
        split: str,
        records: pa.RecordBatch,
        codes: np.ndarray,
        arrays: Sequence[Any],
        labelled: np.ndarray,
    ) -> None:
        for column, values in zip(self.own, arrays, strict=True):
            if column.part == "input":
                self.tally.texts(values)
            if column.part == "target":
                self.tally.targets(split, values)
            if column.part == "votes":
                self.tally.raters(values)
        parts: list[list[Any]] = [
            records.column(name).to_pylist() for name in ("_origin", "_input_depth", "_target_depth")
        ]
        alike = Counter(zip(*parts, codes.tolist(), labelled.tolist(), strict=True))
        for (origin, given, target, code, there), count in alike.items():
            hands = (given, target if there else None, there)
            self.tally.rows[(self.book.origins[origin], self.terms[code], hands)] += count

    def close(self) -> tuple[Split, ...]:
        """End all files; the splits that have rows, in the order of SPLITS."""
        splits = []
        for state, (name, config) in SPLITS.items():
            if state in self.writers:
                files = self.writers[state].close()
                rows = sum(file.rows for file in files)
                splits.append(Split(name=name, config=config, state=state, rows=rows, files=files))
        return tuple(splits)

    @property
    def lost(self) -> int:
        return sum(writer.lost for writer in self.writers.values())


def _own(records: pa.RecordBatch, column: Column) -> Any:
    if column.name not in records.schema.names:
        return pa.nulls(len(records), column.kind)
    return fitted(records.column(column.name), column.kind)
