"""The contracts of a source, check, trainer and judge, to run on functions of your own.

    from bapsim.testing import check_check, records_of, turn_of

    def test_my_check():
        records = records_of([{"text": "a", "label": "x"}, {"text": None, "label": None}])
        check_check(my_check, records, turn_of(Task(input="text", target="label")))

Each `check_*` returns nothing when the laws hold, and raises Broken with what happened, why it matters and
what to do when one does not. VOLATILE: the ledger's columns that may differ between two runs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, concat, numbers, positions, strings, take
from bapsim.core.errors import BapsimError, ExchangeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Check, Judge, Mixture, Model, Respondent, Source, Trainer
from bapsim.core.records import (
    VERDICT,
    Answer,
    Answers,
    Draft,
    Maker,
    Numbering,
    Origin,
    Records,
    Rows,
    Task,
    certify,
    rows_of,
)
from bapsim.core.turn import Turn
from bapsim.store import artifacts
from bapsim.store.schema import VOLATILE
from bapsim.text.targets import labels_in, numbers_of, written

__all__ = [
    "VOLATILE",
    "Broken",
    "check_check",
    "check_judge",
    "check_source",
    "check_trainer",
    "dataset_of",
    "mixture_of",
    "records_of",
    "turn_of",
]

SECRET = b"a key for tests, never a project"
ALONE = 16  # rows that are also given one by one
CLOSE = 1e-5  # how far a probability may move with the batch that a row comes in


class Broken(BapsimError, AssertionError):
    """A function does not keep its contract."""


def _name(step: object) -> str:
    return str(getattr(step, "__qualname__", type(step).__qualname__))


def _hold(holds: bool, law: str, step: object, **values: object) -> None:
    if not holds:
        raise Broken(f"broken_{law}", name=_name(step), **values)


# --------------------------------------------------------------------------- small worlds


def records_of(
    rows: Sequence[Mapping[str, Any]],
    *,
    source: str = "rows",
    maker: Maker = "person",
    keys: Sequence[str | None] | None = None,
    origin: int = 0,
    schema: pa.Schema | None = None,
) -> Records:
    """Plain rows as records of one origin; the schema is inferred where none is given."""
    made = Origin(source=source, input_maker=maker, target_maker=maker, method="rows", rights="own")
    names = list(dict.fromkeys(name for row in rows for name in row))
    whole = [{name: row.get(name) for name in names} for row in rows]
    draft = Draft(rows=Rows(pa.RecordBatch.from_pylist(whole, schema=schema)), origin=made, keys=keys)
    return certify(draft, secret=SECRET, origin=origin, numbering=Numbering())


def mixture_of(
    rows: Sequence[Mapping[str, Any]], task: Task, *, weight: Sequence[float] | None = None
) -> Mixture:
    """Plain rows as what a trainer eats and a judge scores."""
    weights = None if weight is None else np.array(weight, np.float32)
    return Mixture(task=task, records=records_of(rows), weight=weights)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A Dataset in memory: batches of one schema, nothing refused."""

    name: str
    parts: tuple[Records, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        for part in self.parts:
            own = [name for name in part.schema.names if name.startswith("_")]
            yield part if columns is None else Records(part.select([*columns, *own]))

    def kept(self) -> Iterator[np.ndarray]:
        for part in self.parts:
            yield np.ones(len(part), bool)

    def find(self, ids: Column) -> Records:
        whole = concat(self.parts)
        place = positions(ids, whole.column("_id"))
        return Records(take(whole, place[place >= 0]))


def dataset_of(*parts: Records, name: str = "rows") -> Table:
    """Records as a dataset of one table."""
    return Table(name=name, parts=parts)


def turn_of(task: Task, *parts: Records, n: int = 1, seed: int = 0, inbox: Path = Path()) -> Turn:
    """A turn that has seen these records; their origins are people's rows."""
    seen = {int(number) for part in parts for number in numbers(part.column("_origin"))}
    made = Origin(source="rows", input_maker="person", target_maker="person", method="rows", rights="own")
    data = {"rows": dataset_of(*parts)} if parts else {}
    return Turn(n=n, seed=seed, task=task, data=data, inbox=inbox, origins=dict.fromkeys(seen, made))


# --------------------------------------------------------------------------- what all have in common


def _bytes(batch: pa.RecordBatch) -> bytes:
    """All bytes of a batch, to see whether somebody wrote into it."""
    buffers = [b.to_pybytes() for column in batch.columns for b in column.buffers() if b is not None]
    return b"\0".join(buffers)


def _state(turn: Turn) -> tuple[object, ...]:
    data = {name: [_bytes(b) for b in table.batches()] for name, table in turn.data.items()}
    return (dict(turn.models), data, dict(turn.origins), dict(turn.asked), turn.oof)


def _nulls(rows: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The rows with these columns empty."""
    for name in columns:
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.nulls(len(rows), rows.schema.field(at).type))
    return rows


def _difference(a: pa.RecordBatch, b: pa.RecordBatch, close: float = 0.0) -> str | None:
    """The first column in which two batches differ, None when they are equal."""
    if a.schema.names != b.schema.names or len(a) != len(b):
        return f"{len(a)} x {a.schema.names} / {len(b)} x {b.schema.names}"
    for name, one, two in zip(a.schema.names, a.columns, b.columns, strict=True):
        if one.type != two.type:
            return f"{name}: {one.type} / {two.type}"
        if not (_close(one, two, close) if close else one.equals(two) or _close(one, two, 0.0)):
            return name
    return None


def _close(one: Any, two: Any, close: float) -> bool:
    """Equal, and for floating numbers (in lists too) equal within `close`."""
    if pa.types.is_fixed_size_list(one.type):
        same = bool(one.is_valid().equals(two.is_valid()))
        return same and _close(one.flatten(), two.flatten(), close)
    if pa.types.is_floating(one.type):
        return np.allclose(numbers(one), numbers(two), rtol=close, atol=close, equal_nan=True)
    return bool(one.equals(two))


def _cuts(count: int) -> Iterator[np.ndarray]:
    """Other batches of the same rows: halves, backwards, one by one, none at all."""
    order = np.arange(count)
    yield order[: count // 2]
    yield order[count // 2 :]
    yield order[::-1]
    yield from (order[i : i + 1] for i in range(min(count, ALONE)))
    yield order[:0]


def _by_row(name: object, ask: Callable[[Any], pa.RecordBatch], rows: pa.RecordBatch, close: float) -> None:
    """What is said of a row does not depend on the batch that it comes in."""
    whole = ask(rows)
    for cut in _cuts(len(rows)):
        said = ask(take(rows, cut))
        _hold(len(said) == len(cut), "count", name, rows=len(cut), answers=len(said))
        where = _difference(take(whole, cut), said, close)
        _hold(where is None, "batch", name, where=where, rows=len(cut), whole=len(rows))


# --------------------------------------------------------------------------- source


def check_source(source: Source, turn: Turn) -> None:
    """A source yields the same drafts again, which can be certified, and each row is a record of its own.

    Raises Broken; RecipeError when it has no identity; InputError when its drafts cannot be certified.
    """
    fingerprint(source)
    before = _state(turn)
    first, again = list(source(turn)), list(source(turn))
    _hold(_state(turn) == before, "mutation", source)
    _hold(len(first) == len(again), "repeat", source, where=f"{len(first)} / {len(again)}")
    numbering = Numbering()
    seen: set[object] = set()
    for draft, other in zip(first, again, strict=True):
        _hold(isinstance(draft, Draft), "draft", source, got=type(draft).__name__)
        where = _difference(draft.rows, other.rows)
        _hold(where is None, "repeat", source, where=where)
        for part in ("origin", "changed", "unread"):
            _hold(getattr(draft, part) == getattr(other, part), "repeat", source, where=part)
        _hold(_lineage(draft) == _lineage(other), "repeat", source, where="keys, parents")
        _hold(bool(draft.origin.method and draft.origin.rights), "origin", source, origin=draft.origin)
        ids = certify(draft, secret=SECRET, origin=0, numbering=numbering).column("_id").to_pylist()
        _hold(len(set(ids)) == len(ids) and not seen & set(ids), "twice", source)
        seen |= set(ids)


def _lineage(draft: Draft) -> tuple[object, ...]:
    keys = None if draft.keys is None else list(draft.keys)
    line = draft.parents
    return keys, line and (line.ids.to_pylist(), line.input_depth.to_pylist(), line.target_depth.to_pylist())


# --------------------------------------------------------------------------- check


def check_check(check: Check, records: Records, turn: Turn) -> None:
    """A check says the same of a row whatever stands beside it, refuses with a reason, and answers nulls.

    Give it records that it keeps and records that it refuses. Raises Broken; RecipeError without identity.
    """
    fingerprint(check)
    before, body = _state(turn), _bytes(records)
    said = check(records, turn)
    _hold(_state(turn) == before and _bytes(records) == body, "mutation", check)
    _verdicts(check, said, len(records))
    where = _difference(said, check(records, turn))
    _hold(where is None, "repeat", check, where=where)
    _by_row(check, lambda some: check(Records(some), turn), records, 0.0)
    own = [name for name in records.schema.names if not name.startswith("_")]
    for columns in [own, *([name] for name in own)]:
        _verdicts(check, check(Records(_nulls(records, columns)), turn), len(records))


def _verdicts(check: object, said: pa.RecordBatch, rows: int) -> None:
    _hold(isinstance(said, pa.RecordBatch), "verdicts", check, got=type(said).__name__, wanted=VERDICT)
    _hold(len(said) == rows, "count", check, rows=rows, answers=len(said))
    _hold(said.schema.equals(VERDICT), "verdicts", check, got=said.schema, wanted=VERDICT)
    refused = [keep is False for keep in said.column("keep").to_pylist()]
    reasons = strings(said.column("reason"))
    silent = [i for i, (no, why) in enumerate(zip(refused, reasons, strict=True)) if no and not why]
    _hold(not silent, "reason", check, row=silent[0] if silent else None)


# --------------------------------------------------------------------------- trainer


def check_trainer(train: Trainer, mixture: Mixture, *, seed: int = 0) -> None:
    """The same rows and seed give the same model, saved or not, and it answers every row by itself.

    Trains three times. Predictions must be equal, probabilities within 1e-5 whatever the batch.
    Raises Broken; RecipeError when the trainer has no identity or its loader is not trusted.
    """
    fingerprint(train)
    body, weight = _bytes(mixture.records), None if mixture.weight is None else mixture.weight.copy()
    model = train(None, mixture, seed)
    kept = mixture.weight is None or np.array_equal(mixture.weight, cast("np.ndarray", weight))
    _hold(kept and _bytes(mixture.records) == body, "mutation", train)
    rows = rows_of(mixture.records, mixture.task.inputs)
    _hold(isinstance(model, Model), "model", train, got=type(model).__name__)
    answer = mixture.task.answer
    said = _answers(train, model, rows, answer)
    where = _difference(said, model(rows))
    _hold(where is None, "repeat", train, where=where)
    where = _difference(said, train(None, mixture, seed)(rows))
    _hold(where is None, "repeat", train, where=where)
    _by_row(train, lambda some: model(Rows(some)), rows, CLOSE)
    for columns in [mixture.task.inputs, *([name] for name in mixture.task.inputs)]:
        _answers(train, model, Rows(_nulls(rows, columns)), answer)
    _saved(train, model, rows, said)
    _answers(train, train(model, mixture, seed + 1), rows, answer)  # a child, under another seed
    _little(train, mixture, seed)


def _little(train: Trainer, mixture: Mixture, seed: int) -> None:
    """Too little to learn from is said plainly (a BapsimError), or learnt from."""
    for count in (0, 1):
        records = Records(mixture.records.slice(0, count))
        weight = None if mixture.weight is None else mixture.weight[:count]
        try:
            model = train(None, Mixture(task=mixture.task, records=records, weight=weight), seed)
        except BapsimError:
            continue
        except Exception as error:
            raise Broken("broken_little", name=_name(train), rows=count, why=repr(error)) from error
        _answers(train, model, rows_of(records, mixture.task.inputs), mixture.task.answer)


def _answers(train: object, model: Model, rows: Rows, answer: Answer) -> Answers:
    said = model(rows)
    _hold(len(said) == len(rows), "count", train, rows=len(rows), answers=len(said))
    _hold("prediction" in said.schema.names, "prediction", train, got=said.schema.names)
    told = written(said.column("prediction"), answer)
    if answer == "number":
        odd = [one for one, v in zip(told, numbers_of(told), strict=True) if one is not None and np.isnan(v)]
        _hold(not odd, "number", train, got=odd[:1])
    else:
        names = set(labels_in(told)) if answer == "labels" else {one for one in told if one is not None}
        unknown = names - set(model.classes)
        _hold(not unknown, "classes", train, unknown=sorted(unknown), classes=model.classes)
    for name in ("confidence", "in_scope"):
        if name in said.schema.names:
            values = numbers(said.column(name), 0.5)
            _hold(bool(((values >= 0) & (values <= 1)).all()), "share", train, column=name)
    return said


def _saved(train: object, model: Model, rows: Rows, said: Answers) -> None:
    """Saved and loaded by the function that its folder names, the model gives the same answers."""
    beside = getattr(sys.modules[train.__module__], "__file__", None)
    with tempfile.TemporaryDirectory() as place:
        artifacts.save(Path(place) / "model", model.save)
        loaded = artifacts.load(Path(place) / "model", Path(beside).parent if beside else None)
        where = _difference(said, loaded(rows))
        _hold(where is None and tuple(loaded.classes) == tuple(model.classes), "saved", train, where=where)


# --------------------------------------------------------------------------- judge


def check_judge(judge: Judge, respondent: Respondent, mixture: Mixture) -> None:
    """A judge shows inputs only, scores each item in its place, and refuses answers that do not fit.

    Raises Broken; RecipeError when the judge has no identity.
    """
    fingerprint(judge)
    body = _bytes(mixture.records)
    shown: set[str] = set()

    def ask(rows: Rows) -> Answers:
        shown.update(rows.schema.names)
        return respondent(rows)

    scores = judge(_Known(ask, respondent), mixture)
    _hold(_bytes(mixture.records) == body, "mutation", judge)
    _hold(shown <= set(mixture.task.inputs), "peek", judge, columns=sorted(shown - set(mixture.task.inputs)))
    _hold(len(scores) == len(mixture), "count", judge, rows=len(mixture), answers=len(scores))
    _hold({"_id", "gold", "prediction"} <= set(scores.schema.names), "scores", judge, got=scores.schema.names)
    _hold(scores.column("_id").equals(mixture.records.column("_id")), "place", judge, column="_id")
    answer = mixture.task.answer
    gold = written(mixture.records.column(mixture.task.target), answer)
    _hold(written(scores.column("gold"), answer) == gold, "place", judge, column="gold")
    where = _difference(scores, judge(respondent, mixture))
    _hold(where is None, "repeat", judge, where=where)

    def part(records: Any) -> pa.RecordBatch:
        return judge(respondent, Mixture(task=mixture.task, records=Records(records)))

    _by_row(judge, part, mixture.records, CLOSE)
    _misfits(judge, respondent, mixture)


@dataclass(frozen=True)
class _Known:
    """A respondent in another's clothes: what is asked passes through `ask`."""

    ask: Callable[[Rows], Answers]
    whom: Respondent

    @property
    def classes(self) -> Sequence[str]:
        classes: Sequence[str] = getattr(self.whom, "classes", ())
        return classes

    def __call__(self, rows: Rows, /) -> Answers:
        return self.ask(rows)


def _misfits(judge: Judge, respondent: Respondent, mixture: Mixture) -> None:
    """One answer too few cannot be scored: nobody knows which one is missing."""

    def short(rows: Rows) -> Answers:
        return Answers(respondent(rows).slice(1))

    try:
        judge(_Known(short, respondent), mixture)
    except ExchangeError:
        return
    _hold(len(mixture) == 0, "misfit", judge)
