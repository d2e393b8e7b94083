"""Questions out to people and their answers in, as sheets that open in any spreadsheet.

A cell that a spreadsheet would run as a formula is written behind an apostrophe and read back without it.
Answers come back as UTF-8, UTF-16 or cp949, in any order, with columns added; what cannot be taken is named.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Origin, Rows, Task, Unread
from bapsim.core.turn import Turn
from bapsim.gather.chunk import Chunk, NotRead
from bapsim.gather.files import found, nothing
from bapsim.gather.question_book import question_book
from bapsim.gather.read import WORKBOOKS, read, readable, suffix
from bapsim.gather.types import cast, name_of, written
from bapsim.gather.unpack import shown
from bapsim.store import fault
from bapsim.text.targets import label_set, numbers_of
from bapsim.text.targets import written as in_one_form

ASK, SUGGESTED, NOTE = "_ask", "_suggested", "_note"  # no column of a user starts with an underscore
_NAMES = {ASK: "bapsim ask", SUGGESTED: "bapsim suggested", NOTE: "bapsim note"}
BESIDE = (".classes.txt", ".guideline.txt")  # how files beside a sheet end, which are none
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
CANNOT_TELL = {"?", "cannot tell", "can't tell", "모름", "모르겠음", "판단 불가", "판단불가"}
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def escaped(cell: str) -> str:
    """A cell that no spreadsheet runs; a number is none."""
    return "'" + cell if _FORMULA.match(cell) and not _PLAIN.fullmatch(cell) else cell


def unescaped(cell: str) -> str:
    """The text that `escaped` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


# ---------------------------------------------------------------- out


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Questions to be written: the input columns of the asked rows, and their ids (16 bytes each).

    suggested: what the model says, None to leave the person alone with the question; classes: known labels;
    guideline: what people are told of labels, by label.
    """

    rows: Rows
    ids: Sequence[bytes]
    target: str
    suggested: Sequence[object] | None = None
    classes: Sequence[str] = ()
    guideline: Mapping[str, str] = field(default_factory=dict)


def write_questions(path: Path, sheet: Sheet) -> Path:
    """Writes .csv (UTF-8 with a mark: Excel shows Korean), .xlsx or .jsonl; returns where the labels lie.

    Columns: `_ask`, the inputs, `_suggested`, the target (empty: it is asked for), `_note`. The known labels
    are a second sheet of the .xlsx, else a .classes.txt beside the file; what is told of them stands beside
    them there, else in a .guideline.txt.
    """
    labels = path if path.suffix == ".xlsx" else path.with_suffix(".classes.txt")
    if path.suffix == ".xlsx":
        offered = list(dict.fromkeys([*sheet.classes, "?"])) if sheet.classes else []
        body = question_book(_columns(sheet), _texts(sheet), sheet.target, offered, sheet.guideline)
    elif path.suffix == ".jsonl":
        said = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in _asked(sheet))
        body = "".join(said).encode()
    elif path.suffix == ".csv":
        body = _csv(sheet).encode("utf-8-sig")
    else:
        raise InputError("unknown_format", file=shown(path.name), known=".csv .xlsx .jsonl")
    if sheet.classes and labels != path:
        fault.write(labels, ("\n".join(sheet.classes) + "\n").encode())
    if sheet.guideline and labels != path:
        rules = "".join(f"{label}: {rule}\n" for label, rule in sheet.guideline.items())
        fault.write(path.with_suffix(".guideline.txt"), rules.encode())
    fault.write(path, body)  # whole or not at all: people would fill in half a sheet
    return labels


def _csv(sheet: Sheet) -> str:
    body = io.StringIO(newline="")
    writer = csv.writer(body)
    writer.writerow(map(escaped, _columns(sheet)))
    columns = [[cell or "" for cell in column] for column in _texts(sheet)]
    writer.writerows(map(escaped, row) for row in zip(*columns, strict=True))
    return body.getvalue()


def _columns(sheet: Sheet) -> list[str]:
    inputs = [name for name in sheet.rows.schema.names if name != sheet.target]
    return [ASK, *inputs, *([SUGGESTED] if sheet.suggested is not None else []), sheet.target, NOTE]


def _ask(one: bytes) -> str:
    """A letter first: a spreadsheet takes 16 digits, or digits around one e, for a number."""
    return "q" + one.hex()


def _asked(sheet: Sheet) -> Iterator[dict[str, Any]]:
    for i, row in enumerate(sheet.rows.to_pylist()):
        cells = {ASK: _ask(sheet.ids[i]), **row}
        if sheet.suggested is not None:
            cells[SUGGESTED] = sheet.suggested[i]
        yield {name: cells.get(name) if name != sheet.target else None for name in _columns(sheet)}


def _texts(sheet: Sheet) -> list[list[str | None]]:
    """The cells of each column as text; a NUL has no place in a sheet."""
    inputs = {
        n: written(c).to_pylist() for n, c in zip(sheet.rows.schema.names, sheet.rows.columns, strict=True)
    }
    empty: list[str | None] = [None] * len(sheet.rows)
    columns: dict[str, list[str | None]] = {**inputs, ASK: [_ask(one) for one in sheet.ids], NOTE: empty}
    columns[sheet.target] = empty
    columns[SUGGESTED] = [None if s is None else str(s) for s in sheet.suggested or empty]
    return [[cell and cell.replace("\0", "\u2400") for cell in columns[name]] for name in _columns(sheet)]


# ---------------------------------------------------------------- in


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one line says: the asked record's id, the target as text, a remark, and where it stands."""

    ask: bytes
    target: str
    note: str | None
    file: str
    line: int

    def refused(self, reason: str, detail: str = "") -> Unread:
        return Unread(file=self.file, line=self.line, reason=reason, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Sheets:
    """Everything that was read: answers in order, blanks (asked, not answered yet), and what was not read."""

    answers: tuple[Answer, ...]
    blanks: int
    unread: tuple[Unread, ...]


def read_answers(path: Path, target: str, *, name: str | None = None) -> Sheets:
    """Reads one sheet of answers; a line whose `_ask` is no question id is `unknown_question`.

    Raises InputError when the sheet has no column `_ask` or none of the target's name.
    """
    answers: list[Answer] = []
    unread: list[Unread] = []
    blanks = 0
    undo = str if suffix(path) in WORKBOOKS else unescaped  # a text cell of a workbook runs nothing
    for chunk in read(path, rename=_NAMES, name=name):
        unread += chunk.unread
        if not chunk.rows.schema.names:
            continue
        for line, ask, said, note in _lines(chunk, target, undo):
            one = _id(ask)
            if one is None:
                unread.append(NotRead("unknown_question", "").at(chunk.file, line))
            elif not said:
                blanks += 1
            else:
                answers.append(Answer(ask=one, target=said, note=note, file=chunk.file, line=line))
    return Sheets(answers=tuple(answers), blanks=blanks, unread=tuple(unread))


def _lines(
    chunk: Chunk, target: str, undo: Callable[[str], str]
) -> Iterator[tuple[int, str, str, str | None]]:
    names = chunk.rows.schema.names
    missing = [name for name, known in ((ASK, _NAMES[ASK]), (target, target)) if known not in names]
    if missing:
        columns = ", ".join(shown(name) for name in names[:12])
        raise InputError("no_answers", file=chunk.file, missing=", ".join(missing), columns=columns)
    count = len(chunk.rows)
    notes = chunk.rows.column(_NAMES[NOTE]).to_pylist() if _NAMES[NOTE] in names else [None] * count
    said = [written(chunk.rows.column(name)).to_pylist() for name in (_NAMES[ASK], target)]
    for line, ask, answer, note in zip(chunk.lines.tolist(), *said, notes, strict=True):
        yield line, (ask or "").strip(), undo(answer or "").strip(), note and undo(note)


def _id(ask: str) -> bytes | None:
    found = re.fullmatch(r"q?([0-9a-fA-F]{32})", ask)
    return bytes.fromhex(found[1]) if found else None


def cannot_tell(said: str) -> bool:
    """Whether an answer says that there is none; a Korean keyboard writes a wide question mark."""
    return unicodedata.normalize("NFKC", said).strip().casefold() in CANNOT_TELL


def accepted(
    answers: Iterable[Answer], classes: Sequence[str] = (), several: bool = False
) -> tuple[list[Answer], list[Unread]]:
    """What is taken, and what is not; `several`: an answer is a set of labels.

    Every line is an answer, also of a sheet that was saved again, and where answers differ: the wheel settles
    them, turn by turn. "Cannot tell" gives no target (`cannot_tell`, its detail names the question); with
    `classes`, a label that a spreadsheet has turned into another type is the class that it was, and one that
    is none of them is refused (`unknown_label`).
    """
    taken: list[Answer] = []
    refused: list[Unread] = []
    meant: dict[object, set[str]] = {}
    for label in classes:
        meant.setdefault(_typed(label), set()).add(label)
    for said in answers:
        maybe = meant.get(_typed(said.target), set()) if said.target not in classes else set()
        one = replace(said, target=next(iter(maybe))) if len(maybe) == 1 else said
        if cannot_tell(one.target) and one.target not in classes:
            refused.append(one.refused("cannot_tell", _ask(one.ask)))
        elif strange := [c for c in _said(one, several) if classes and c not in classes]:
            refused.append(one.refused("unknown_label", shown(strange[0])))
        else:
            taken.append(one)
    return taken, refused


def _said(one: Answer, several: bool) -> tuple[str, ...]:
    return label_set(one.target) if several else (one.target,)


def _typed(label: str) -> object:
    """What a spreadsheet takes a label for: 007 is 7, TRUE is true."""
    try:
        return float(label)
    except ValueError:
        return label.casefold()


# ---------------------------------------------------------------- the source


@dataclass(frozen=True)
class FromPeople:
    """A source of people's answers to the wheel's questions, derived from the asked records.

    path: a sheet or a folder of them in the inbox; classes: the labels that may be given, empty: any.
    """

    path: str
    _: KW_ONLY
    rights: str = "own"
    classes: tuple[str, ...] = ()
    consent: str | None = None

    def reads(self, turn: Turn) -> list[Path]:
        """The sheets, in the order of reading; lists of labels beside them are not sheets."""
        return [path for path in found(turn.inbox, self.path) if not path.name.endswith(BESIDE)]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """For each sheet a draft of answers to random questions and one to chosen ones; what was not read."""
        taken, unread = self._read(turn)
        draft = Draft(rows=Rows(nothing().rows), origin=self._origin("asked", None), unread=tuple(unread))
        if unread:
            yield draft
        for sheet, draw in sorted({(one.file, turn.asked[one.ask]) for one in taken}):
            mine = [one for one in taken if (one.file, turn.asked[one.ask]) == (sheet, draw)]
            said = pa.array([one.target for one in mine], pa.string())
            yield Draft(
                rows=Rows(pa.record_batch([said], names=[turn.task.target])),
                origin=self._origin(f"asked:{draw}", sheet),
                asked=[one.ask for one in mine],
                places=[(one.file, one.line) for one in mine],
            )

    def _read(self, turn: Turn) -> tuple[list[Answer], list[Unread]]:
        answers: list[Answer] = []
        unread: list[Unread] = []
        for path in self.reads(turn):
            name = path.relative_to(turn.inbox).as_posix()
            if not readable(path):
                unread.append(
                    Unread(file=shown(name), line=0, reason="format", detail="unknown kind of file")
                )
                continue
            sheet = read_answers(path, turn.task.target, name=name)
            answers += sheet.answers
            unread += sheet.unread
        known = [one for one in answers if one.ask in turn.asked]
        unread += [one.refused("unknown_question") for one in answers if one.ask not in turn.asked]
        if turn.task.answer == "class" and not self.classes:
            known = restored(known, turn)
        taken, refused = accepted(known, self.classes, turn.task.answer == "labels")
        return taken, [*unread, *refused]

    def _origin(self, method: str, sheet: str | None) -> Origin:
        return Origin(
            source=self.path,
            input_maker="person",
            target_maker="person",
            method=method,
            rights=self.rights,
            consent=self.consent,
            batch=sheet,
        )


def restored(answers: Sequence[Answer], turn: Turn) -> list[Answer]:
    """Answers, with labels that a spreadsheet took for numbers or truth values as earlier records have them:
    7 is 007, where no record says 7 and one alone says anything like it.
    """
    odd = {one.target for one in answers if isinstance(_typed(one.target), float) or _is_bool(one.target)}
    if not odd:
        return list(answers)
    known: set[str] = set()
    for view in turn.data.values():
        for batch in view.batches([turn.task.target]):
            known.update(label for label in strings(batch.column(turn.task.target)) if label is not None)
    meant: dict[object, set[str]] = {}
    for label in known:
        meant.setdefault(_typed(label), set()).add(label)
    instead = {one: meant.get(_typed(one), set()) for one in odd - known}
    return [
        replace(one, target=next(iter(instead[one.target]))) if len(instead.get(one.target, ())) == 1 else one
        for one in answers
    ]


def _is_bool(said: str) -> bool:
    return said.casefold() in ("true", "false")


answers = FromPeople


def with_target(rows: Rows, task: Task, said: Any) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows with these targets in the type that the column has, and bool[n]: which do not fit it.

    A set may be written in any of its ways; a number must be one.
    """
    at = rows.schema.get_field_index(task.target)
    texts = in_one_form(said, task.answer)
    bad = np.zeros(len(rows), bool)
    if task.answer == "number":
        bad = np.isnan(numbers_of(texts)) & said.is_valid().to_numpy(zero_copy_only=False)
    if at < 0:
        return rows.append_column(task.target, pa.array(texts, pa.string())), bad
    if pa.types.is_list(rows.schema.types[at]) and task.answer == "labels":
        texts = [None if one is None else json.dumps(label_set(one)) for one in texts]
    targets, misfit = cast(pa.array(texts, pa.string()), name_of(rows.schema.types[at]))
    return rows.set_column(at, rows.schema.field(at), targets), bad | misfit
