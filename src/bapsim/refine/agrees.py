"""Labels of machine-made rows held against a model that learnt from people's rows alone.

The generator's own confidence is never asked: keeping what it is surest of makes a student worse than no
filter at all (docs/verification.md). From which confidence on this model's word counts is measured where
it matters, out of fold on people's rows with wrong labels of two kinds: each row's label changed to the one
that the model itself takes it for; and the labels that a model of a tenth of the rows gets wrong, for who
errs errs where it is hard. A generator that errs just as the model does passes whatever is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, Column, concat, numbers, positions, strings, take, valid
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset, Mixture, Trainer
from bapsim.core.records import VERDICT, Records, Rows, Verdicts, rows_of
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import digests, input_texts, numbered
from bapsim.refine.mutation import LIMIT, Audit, Kind, bounds
from bapsim.refine.verifying import machine_made, people_made
from bapsim.text.minhash import clusters

REASON = "not_agreed"
FOLDS = 5
ENOUGH = 149  # slips: with fewer, none of which passes, the bound is still above .02
NEAR = 0.8  # people's rows that are so alike (Jaccard) stand in one fold


def threshold(passes: np.ndarray, confidence: np.ndarray, limit: float = LIMIT) -> float | None:
    """The least confidence at which the bound of the false-accept rate is at most the limit; None = none is.

    passes: bool[n], of n wrong labels those that the model names as well; confidence: float[n], in what it
    names. As the count only grows on the way down from the surest row, stopping at the first failure keeps
    the level although many thresholds are looked at.
    """
    n, allowed = len(passes), -1
    while allowed < n and bounds(allowed + 1, n)[1] <= limit:
        allowed += 1
    fooling = np.sort(confidence[passes])[::-1]
    if allowed < 0:
        return None
    tau = 0.0 if len(fooling) <= allowed else float(np.nextafter(fooling[allowed], 2))
    return None if tau > 1 else tau


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """What a model says of rows that it did not learn from, nor from any of their kin.

    same: bool[n], it names the row's own label; sure: float[n], how sure it is of what it names; slips:
    bool[n], a model of a tenth of the rows names another label than people gave; fooled: bool[n], and this
    model names that one, too.
    """

    same: np.ndarray
    sure: np.ndarray
    slips: np.ndarray
    fooled: np.ndarray

    def among(self, rows: np.ndarray) -> Heard:
        return Heard(
            same=self.same[rows], sure=self.sure[rows], slips=self.slips[rows], fooled=self.fooled[rows]
        )

    def level(self, limit: float) -> float | None:
        """From which confidence on a label is taken: safe for both kinds of wrong labels of people's rows."""
        plain = threshold(~self.same, self.sure, limit)
        if self.slips.sum() < ENOUGH or plain is None:
            return plain
        hard = threshold(self.fooled[self.slips], self.sure[self.slips], limit)
        return None if hard is None else max(plain, hard)


@dataclass(frozen=True, kw_only=True)
class Agrees:
    """The verifying survey `agrees`: a machine-made row whose label a model of people's rows gives it, too,
    and surely enough, is kept; one to which it surely gives another label is refused (`not_agreed`).

    train: fits that model anew each turn, ten times, never on a row that a machine had a hand in, nor on
    what the row that is judged was made of or nearly copies; limit: of the false-accept rate. Between the
    two it says nothing; where no confidence is safe it only ranks: the value is the confidence in the row's
    label, the limit the least that counts. For targets that are one class.
    """

    train: Trainer
    limit: float = LIMIT
    verifies: ClassVar[bool] = True

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        stock = _stock(dataset, turn)
        keep, value = np.zeros(len(stock.rows), np.int8), np.full(len(stock.rows), np.nan)
        level = None
        if stock.machine.any() and (heard := self._heard(stock, turn)) is not None:
            level = heard.among(stock.people).level(self.limit)
            rows = np.flatnonzero(stock.machine)
            value[rows] = np.where(heard.same, heard.sure, 1 - heard.sure)[rows]
            if level is not None:
                keep[rows] = np.where(heard.sure >= level, np.where(heard.same, 1, -1), 0)[rows]
        whole = _verdicts(keep, value, level)
        for end, size in zip(np.cumsum(stock.sizes).tolist(), stock.sizes, strict=True):
            yield Verdicts(whole.slice(end - size, size))

    def mutated(self, dataset: Dataset, turn: Turn) -> Audit:
        """What it does with people's labels; with those changed to what it takes the row for (`label`); and
        with those that a model of a tenth of the rows gets wrong (`slip`).
        """
        stock = _stock(dataset, turn)
        heard = self._heard(stock, turn)
        none = np.zeros(0, bool)
        found = Heard(same=none, sure=np.zeros(0), slips=none, fooled=none)
        level = None
        if heard is not None:
            found = heard.among(stock.people)
            level = found.level(self.limit)
        sure = found.sure >= (2 if level is None else level)
        tried = {"label": ~found.same & sure, "slip": (found.fooled & sure)[found.slips]}
        kinds = tuple(_kind(name, taken if level is not None else taken[:0]) for name, taken in tried.items())
        worst = max(kinds, key=lambda kind: kind.high if kind.tried >= ENOUGH else 0)
        return Audit(
            gold=int(stock.people.sum()),
            refused=int((~found.same & sure).sum()),
            abstained=int(stock.people.sum() - sure.sum()),
            equal=0,
            answers=worst.tried,
            fooled=worst.taken,
            upper=worst.high,
            kinds=kinds,
        )

    def _heard(self, stock: _Stock, turn: Turn) -> Heard | None:
        """What is said of all people's and machines' rows; None where there is too little of people's."""
        if stock.people.sum() < 2 * FOLDS or turn.task.answer != "class":
            return None
        folds = _folds(stock, turn)
        own = np.array(strings(stock.rows.column(turn.task.target)), object)
        says, slip = np.full(len(own), None, object), np.full(len(own), None, object)
        sure = np.zeros(len(own))
        for k in range(FOLDS):
            learnt = np.flatnonzero(stock.people & (folds != k))
            rows = np.flatnonzero((stock.people | stock.machine) & (folds == k))
            asked = rows_of(take(stock.rows, rows), turn.task.inputs)
            says[rows], sure[rows] = self._learnt(stock, learnt, turn, asked)
            few = turn.rng("slips", k).permutation(learnt)[: max(len(learnt) // 10, 30)]
            if len(set(own[few].tolist())) > 1:
                slip[rows], _ = self._learnt(stock, np.sort(few), turn, asked)
        slips = stock.people & (slip != own) & (slip != None)  # noqa: E711  an object array
        return Heard(same=says == own, sure=sure, slips=slips, fooled=slips & (says == slip))

    def _learnt(
        self, stock: _Stock, rows: np.ndarray, turn: Turn, asked: Rows
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a model of these rows names, and how sure it is of that."""
        mixture = Mixture(task=turn.task, records=Records(take(stock.rows, rows)))
        said = self.train(None, mixture, turn.seed)(asked)
        return np.array(strings(said.column("prediction")), object), numbers(said.column("confidence"), 0)


def _kind(name: str, taken: np.ndarray) -> Kind:
    low, high = bounds(int(taken.sum()), len(taken))
    return Kind(name=name, tried=len(taken), taken=int(taken.sum()), abstained=0, low=low, high=high)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stock:
    """All rows; which are labelled, alive, and people's or a machine's; the sizes of the batches."""

    rows: Records
    people: np.ndarray
    machine: np.ndarray
    sizes: list[int]


def _stock(dataset: Dataset, turn: Turn) -> _Stock:
    task = turn.task
    parts: list[Records] = []
    people, machine = [np.zeros(0, bool)], [np.zeros(0, bool)]
    for batch, alive in zip(dataset.batches([*task.inputs, task.target]), dataset.kept(), strict=True):
        there = valid(batch.column(task.target)) & alive
        parts.append(batch)
        people.append(people_made(batch) & there)
        machine.append(machine_made(batch) & there)
    return _Stock(
        rows=Records(concat(parts, pa.schema([]))),
        people=np.concatenate(people),
        machine=np.concatenate(machine),
        sizes=[len(part) for part in parts],
    )


def _folds(stock: _Stock, turn: Turn) -> np.ndarray:
    """int8[n]: near copies stand in one fold, and what a machine made stands with what it made it from."""
    records, people = stock.rows, stock.people
    texts = input_texts(records, turn.task)
    groups = numbered(digests(records, turn.task.inputs)) if texts is None else clusters(texts, NEAR)
    names, place = np.unique(groups, return_inverse=True)
    folds = (turn.rng("agrees").permutation(len(names)) % FOLDS)[place]
    parents: list[Any] = [line[0] if line else None for line in records.column("_parents").to_pylist()]
    at = positions(pa.array(parents, ID), records.column("_id"))
    of = np.where(at >= 0, folds[at], folds)
    alone = ~np.isin(groups, groups[people])
    return np.asarray(np.where(alone, of, folds), np.int8)


def _verdicts(keep: np.ndarray, value: np.ndarray, level: float | None) -> pa.RecordBatch:
    columns: list[Column] = [
        pa.array(keep > 0, pa.bool_(), mask=keep == 0),
        pa.array([REASON if one < 0 else None for one in keep.tolist()], pa.string()),
        pa.array(value, pa.float32(), from_pandas=True),
        pa.array([level if there else None for there in ~np.isnan(value)], pa.float32()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=VERDICT)


def agrees(train: Trainer, *, limit: float = LIMIT) -> Agrees:
    """The survey `Agrees`; raises RecipeError for a limit that is no share."""
    if not 0 < limit < 1:
        raise RecipeError("agrees_limit", limit=limit)
    return Agrees(train=train, limit=limit)
