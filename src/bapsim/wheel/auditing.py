"""Audit: what is wrong with the data in some files, in a minute and without a project. Nothing is changed.

Copies, contradictions, leaks between splits, personal data, suspicious labels and confused classes, balance,
and the exam that such data affords. What a model says here it says out of fold, of rows that it did not see.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.compose.exam import Frame, exam_size, folds
from bapsim.compose.oof import crossfit
from bapsim.core.arrow import cells, concat, strings, take
from bapsim.core.errors import InputError
from bapsim.core.recipe import CrossFit, Mixture, Trainer
from bapsim.core.records import Records, Task
from bapsim.core.turn import named_seed
from bapsim.gather.infer import Schema
from bapsim.gather.read import read
from bapsim.gather.types import typed, written
from bapsim.gather.unpack import shown
from bapsim.judge.power import detectable, items_needed
from bapsim.refine.contradictions import contradictions, split_leaks
from bapsim.text import pii, scripts
from bapsim.text.minhash import clusters, letters
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear
from bapsim.wheel.founding import Wanted, inputs_of, look_at, slips_of

NEAR = 0.8  # Jaccard from which on two texts are near duplicates
EXAMPLES = 6  # shown of each finding
SPLITS = ("split", "fold", "subset", "partition", "분할")
MODELLED = 50_000  # rows that a model is fitted to, at random, where there are more
WORK = 1_000_000  # rows x classes from which on it reads words only, in three folds
FEWEST = 50  # labelled rows below which no model is fitted
LONGEST = 300  # characters of an example that are shown
Say = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What the files hold, row by row.

    rows: the input columns and the target, typed; texts: the input as one text; labels: object[n], None = no
    label (target None: nobody said which column has them); splits, places (file, line): of each row.
    """

    kind: Literal["text", "table"]
    inputs: tuple[str, ...]
    target: str | None
    rows: pa.RecordBatch
    texts: list[str]
    labels: np.ndarray
    splits: list[str | None]
    places: list[tuple[str, int]]
    unread: dict[str, int]
    personal: dict[str, Any]

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
    kind, inputs, _ = inputs_of(schema, wanted, target)
    by = split or (_split_column(schema, target) if len(files) == 1 else None)
    if by is not None and by not in schema.types:
        raise InputError("no_such_column", columns=shown(by), known=", ".join(map(shown, schema.types)))
    kinds = {name: "string" if kind == "text" else schema.types[name] for name in inputs}
    kinds |= dict.fromkeys([name for name in (target, by) if name is not None], "string")
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
    said = [None] * len(rows) if target is None else strings(rows.column(target))
    names: list[str | None] = [name if len(files) > 1 else None for name, _ in places]
    sheet = Sheet(
        kind=kind,
        inputs=inputs,
        target=target,
        rows=rows,
        texts=["\n".join(cell or "" for cell in row) for row in zip(*columns, strict=True)],
        labels=np.array([label if label and label.strip() else None for label in said], object),
        splits=names if by is None else strings(rows.column(by)),
        places=places,
        unread=dict(unread),
        personal=private.told(),
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
        self.rows = 0
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
        self.rows += int(hit.sum())

    def told(self) -> dict[str, Any]:
        named = {"kinds": dict(self.kinds.most_common()), "columns": dict(self.columns.most_common())}
        return {"rows": self.rows, **named, "examples": self.examples}


def clipped(said: str | None) -> str:
    """A text of a page: on one line, not endless."""
    said = " ".join((said or "").split())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


# --------------------------------------------------------------------------- findings: sheet in, values out


def example(sheet: Sheet, row: int, **more: Any) -> dict[str, Any]:
    """One row as it may be shown to anyone: personal data masked."""
    text = clipped(pii.scrub([sheet.texts[row]])[0][0])
    file, line = sheet.places[row]
    return {"file": file, "line": line, "text": text, "label": sheet.labels[row], **more}


def copies(sheet: Sheet) -> dict[str, Any]:
    """Rows that add nothing: the same input and label as an earlier row, and those that nearly say it."""
    label = np.unique([f"={said}" if said is not None else "" for said in sheet.labels], return_inverse=True)[
        1
    ]

    def extra(groups: np.ndarray) -> np.ndarray:
        _, first = np.unique(np.stack([groups, label]), axis=1, return_index=True)
        return np.setdiff1d(np.arange(len(sheet)), first)

    exact, nearly = extra(sheet.same), extra(sheet.alike)
    groups, sizes = np.unique(sheet.alike, return_counts=True)
    largest = groups[np.argsort(-sizes, kind="stable")][: EXAMPLES // 2]
    shown_ = [
        {
            "rows": int((sheet.alike == g).sum()),
            "of": [example(sheet, int(i)) for i in np.flatnonzero(sheet.alike == g)[:3]],
        }
        for g in largest
        if (sheet.alike == g).sum() > 1
    ]
    return {"exact": len(exact), "near": len(nearly) - len(exact), "largest": shown_}


def contradicting(sheet: Sheet) -> dict[str, Any]:
    """Groups of equal inputs with different labels, and of nearly equal ones."""
    exact = contradictions(sheet.same, sheet.labels)
    nearly = [g for g in contradictions(sheet.alike, sheet.labels) if len(set(sheet.same[g].tolist())) > 1]
    some = [*exact[:EXAMPLES], *nearly[: max(EXAMPLES - len(exact), 2)]]
    return {
        "groups": len(exact),
        "rows": sum(map(len, exact)),
        "near_groups": len(nearly),
        "examples": [[example(sheet, int(i)) for i in one_of_each(sheet.labels, g)] for g in some],
    }


def one_of_each(labels: np.ndarray, rows: np.ndarray) -> list[int]:
    """The first of these rows with each label, four at most."""
    first = {labels[i]: int(i) for i in reversed(rows.tolist())}
    return sorted(first.values())[:4]


def leaking(sheet: Sheet) -> list[dict[str, Any]]:
    """Between each two splits: rows that stand in both, exactly or nearly."""
    exact = {(one.known, one.inside): len(one.rows) for one in split_leaks(sheet.same, sheet.splits)}
    sizes = Counter(sheet.splits)
    return [
        {
            "known": one.known,
            "inside": one.inside,
            "rows": len(one.rows),
            "exact": exact.get((one.known, one.inside), 0),
            "of": sizes[one.inside],
            "examples": [
                [example(sheet, int(twin)), example(sheet, int(row))]
                for twin, row in zip(one.twins[:3], one.rows[:3], strict=True)
            ],
        }
        for one in split_leaks(sheet.alike, sheet.splits)
    ]


def languages(sheet: Sheet) -> dict[str, float]:
    """The share of letters of each script in the input texts."""
    counts = scripts.letters(sheet.texts)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def balance(sheet: Sheet) -> dict[str, Any]:
    """Labels with their counts, the most frequent first."""
    counts = Counter(label for label in sheet.labels if label is not None)
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    few = sum(count < 10 for count in ordered.values())
    return {
        "classes": ordered,
        "labelled": int(sheet.labelled.sum()),
        "unlabelled": int((~sheet.labelled).sum()),
        "few": few,
        "slips": slips_of(ordered),
    }


def affordable_exam(labelled: int, error: float | None) -> dict[str, Any]:
    """The exam that these labels afford, the gain that it could detect, and what smaller gains would take.

    Two models that are wrong in a share `error` of rows are taken to differ in about half of that (measured:
    .3 to .7); levels and power are the gate's.
    """
    size = exam_size(labelled)
    d = min(max((0.2 if error is None else error) / 2, 0.02), 0.3)
    gains = [{"gain": gain, "items": items_needed(gain, d)} for gain in (0.01, 0.02, 0.03, 0.05)]
    return {"items": size, "discordance": d, "detectable": detectable(size, d), "needed": gains}


def modelled(sheet: Sheet) -> tuple[np.ndarray, CrossFit]:
    """Rows that a model learnt (int64[m], at most MODELLED, near duplicates in one fold) and what it says of
    each, out of fold. Many classes and rows are read by their words alone: an audit ends in a minute.
    """
    rows = np.flatnonzero(sheet.labelled)
    rng = np.random.default_rng(named_seed("audit"))
    if len(rows) > MODELLED:
        rows = np.sort(rng.choice(rows, MODELLED, replace=False))
    names, y = np.unique(sheet.labels[rows].astype(str), return_inverse=True)
    alike = sheet.alike[rows]
    heavy = len(rows) * len(names) > WORK
    split = folds(Frame(labels=y, clusters=alike, roots=alike), 3 if heavy else 5, rng)
    task = Task(input=sheet.inputs, target=str(sheet.target), kind=sheet.kind)
    mixture = Mixture(task=task, records=Records(take(sheet.rows, rows)))
    train: Trainer
    if sheet.kind == "text":
        train = text_linear(chars=(), cost=0.3) if heavy else text_linear(cost=0.3)
    else:
        train = table_boosted(trees=40, rounds=40)
    return rows, crossfit(train, None, mixture, split, 0)


def judged_labels(sheet: Sheet, touched: np.ndarray) -> dict[str, Any]:
    """What a model, out of fold, says of the labels: model, suspicious, confused, exam; marks `touched`."""
    rows, fitted = modelled(sheet)
    said = np.array(strings(fitted.answers.column("prediction")), object)
    labels = sheet.labels[rows]
    accuracy = float(np.mean(said == labels))
    most = Counter(labels.tolist()).most_common(1)[0][1]
    model = {"accuracy": accuracy, "rows": len(rows), "majority": most / len(rows)}
    return {"model": model, "exam": affordable_exam(int(sheet.labelled.sum()), 1 - accuracy)}


def audit(files: Sequence[Path], wanted: Wanted, split: str | None, say: Say) -> dict[str, Any]:
    """Everything that is found in these files, as plain values; pages and words are made of it.

    Raises InputError where a file cannot be read or a named column is not there.
    """
    started = time.perf_counter()
    say("audit.read", files=len(files))
    sheet, schema = read_sheet(files, wanted, split)
    say("audit.compare", rows=len(sheet))
    facts: dict[str, Any] = {
        "files": [file.name for file in files],
        "rows": len(sheet),
        "kind": sheet.kind,
        "inputs": list(sheet.inputs),
        "target": sheet.target,
        "guessed": wanted.target is None,
        "unread": sheet.unread,
        "columns": len(schema.columns),
        "empty": sum(not text.strip() for text in sheet.texts),
        "personal": sheet.personal,
        "copies": copies(sheet),
        "leaks": leaking(sheet),
        "splits": {name: count for name, count in Counter(sheet.splits).items() if name is not None},
        "languages": languages(sheet),
        "labels": None,
    }
    touched = np.zeros(len(sheet), bool)
    if sheet.target is not None:
        facts["labels"] = balance(sheet)
        facts["contradictions"] = contradicting(sheet)
        touched[[i for group in contradictions(sheet.same, sheet.labels) for i in group]] = True
        if len(facts["labels"]["classes"]) > 1 and facts["labels"]["labelled"] >= FEWEST:
            say("audit.model")
            facts |= judged_labels(sheet, touched)
    for one in split_leaks(sheet.alike, sheet.splits):
        touched[one.rows] = True
    facts["touched"] = int(touched.sum())
    facts["seconds"] = time.perf_counter() - started
    return facts


def write_suspects(path: Path, facts: dict[str, Any]) -> None:
    """The suspicious labels as a sheet that any spreadsheet opens."""
