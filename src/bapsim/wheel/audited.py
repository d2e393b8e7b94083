"""Files as one sheet for an audit: input texts, labels, splits, places, personal data met on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import cells, concat, strings
from bapsim.core.errors import InputError
from bapsim.core.records import Answer
from bapsim.gather.infer import SPLITS, Schema, guess_answer
from bapsim.gather.read import read
from bapsim.gather.types import typed, written
from bapsim.gather.unpack import shown
from bapsim.text import pii
from bapsim.text.minhash import clusters, letters
from bapsim.text.targets import written as in_one_form
from bapsim.wheel.founding import Wanted, inputs_of, look_at

NEAR = 0.8  # Jaccard from which on two texts are near duplicates
EXAMPLES = 6  # shown of each finding
MODELLED = 50_000  # rows that a model is fitted to, at random, where there are more
WORK = 1_000_000  # rows x classes from which on it reads words only, in three folds
FEWEST = 50  # labelled rows below which no model is fitted
LONGEST = 300  # characters of an example that are shown
Say = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What the files hold, row by row.

    rows: the input columns and the target, typed; texts: the input as one text; labels: object[n], None = no
    label (target None: nobody said which column has them); answer: what they say; splits, places (file,
    line): of each row; left_out: columns that could be read beside a text that was guessed.
    """

    kind: Literal["text", "table"]
    inputs: tuple[str, ...]
    target: str | None
    rows: pa.RecordBatch
    texts: list[str]
    labels: np.ndarray
    answer: Answer
    splits: list[str | None]
    places: list[tuple[str, int]]
    unread: dict[str, int]
    personal: dict[str, Any]
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def labelled(self) -> np.ndarray:
        return np.array([label is not None for label in self.labels], bool)

    @cached_property
    def same(self) -> np.ndarray:
        """int64[n]: equal for inputs that say the same (texts: folded letters and digits; tables: cells)."""
        if self.kind == "text":
            said: list[Any] = [a or b for a, b in zip(letters(self.texts), self.texts, strict=True)]
        else:
            offsets, body = cells(self.rows.select(list(self.inputs)))
            said = [bytes(body[a:b]) for a, b in pairwise(offsets.tolist())]
        first: dict[Any, int] = {}
        return np.array([first.setdefault(one, i) for i, one in enumerate(said)], np.int64)

    @cached_property
    def alike(self) -> np.ndarray:
        """int64[n]: equal for near duplicates, too."""
        if self.kind != "text":
            return self.same
        one, place = np.unique(self.same, return_inverse=True)
        return np.asarray(one[clusters([self.texts[i] for i in one], NEAR)[place]])


def read_sheet(files: Sequence[Path], wanted: Wanted, split: str | None) -> tuple[Sheet, Schema]:
    """All rows of the files as one sheet; several files are several splits unless a column says which.

    Raises InputError where a file cannot be used or a named column is not there.
    """
    schema, target = look_at(files, wanted)
    kind, inputs, left_out = inputs_of(schema, wanted, target)
    by = split or (_split_column(schema, target) if len(files) == 1 else None)
    if by is not None and by not in schema.types:
        raise InputError("no_such_column", columns=shown(by), known=", ".join(map(shown, schema.types)))
    kinds = {name: "string" if kind == "text" else schema.types[name] for name in inputs}
    kinds |= dict.fromkeys([name for name in (target, by) if name is not None], "string")
    sets = target is not None and schema.types[target].startswith("list<")
    if target is not None and sets:
        kinds[target] = schema.types[target]
    parts: list[pa.RecordBatch] = []
    places: list[tuple[str, int]] = []
    unread: Counter[str] = Counter()
    private = Private()
    for file in files:
        for raw in read(file):
            private.look(raw.rows, raw.lines, file.name)
            chunk = typed(raw, kinds)
            unread.update(one.reason for one in chunk.unread)
            parts.append(chunk.rows)
            places += [(file.name, int(line)) for line in chunk.lines]
    rows = concat(parts)
    columns = [strings(written(rows.column(name))) for name in inputs]
    said: list[str | None] = [None] * len(rows)
    if target is not None:
        said = in_one_form(rows.column(target), "labels" if sets else "class")
    filled = [label if label and label.strip() else None for label in said]
    counts = Counter(label for label in filled if label is not None)
    answer = wanted.answer or ("class" if target is None else guess_answer(schema.types[target], counts))
    names: list[str | None] = [name if len(files) > 1 else None for name, _ in places]
    sheet = Sheet(
        kind=kind,
        inputs=inputs,
        target=target,
        rows=rows,
        texts=["\n".join(cell or "" for cell in row) for row in zip(*columns, strict=True)],
        labels=np.array(in_one_form(pa.array(filled, pa.string()), answer), object),
        answer=answer,
        splits=names if by is None else strings(rows.column(by)),
        places=places,
        unread=dict(unread),
        personal=private.told(),
        left_out=tuple(name for name in left_out if name != by) if kind == "text" else (),
    )
    return sheet, schema


def _split_column(schema: Schema, target: str | None) -> str | None:
    """A column whose name says that it names splits, with two to ten of them."""
    for column in schema.columns:
        if column.name.lower() in SPLITS and column.name != target and 2 <= column.distinct <= 10:
            return column.name
    return None


class Private:
    """Personal data met while the files are read: in every column, also in those that nobody learns from."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.columns: Counter[str] = Counter()
        self.at: list[tuple[str, int]] = []
        self.examples: list[dict[str, Any]] = []

    def look(self, rows: pa.RecordBatch, lines: np.ndarray, file: str) -> None:
        hit = np.zeros(len(rows), bool)
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            if not pa.types.is_string(column.type):
                continue
            texts = strings(column)
            spans = pii.find(texts)
            if not len(spans.texts):
                continue
            self.kinds.update({kind: count for kind, count in pii.counts(spans).items() if count})
            self.columns[name] += len(np.unique(spans.texts))
            hit[spans.texts] = True
            masked = pii.masked(texts, spans)
            for row in np.unique(spans.texts)[: EXAMPLES - len(self.examples)].tolist():
                said = clipped(masked[row])
                self.examples.append({"file": file, "line": int(lines[row]), "column": name, "text": said})
        self.at += [(file, int(line)) for line in lines[hit]]

    def told(self) -> dict[str, Any]:
        named = {"kinds": dict(self.kinds.most_common()), "columns": dict(self.columns.most_common())}
        return {"rows": len(self.at), **named, "examples": self.examples, "at": self.at}


def clipped(said: str | None) -> str:
    """A text of a page: on one line, not endless."""
    said = " ".join((said or "").split())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
