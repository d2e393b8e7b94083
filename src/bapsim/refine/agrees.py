"""Labels of machine-made rows held against a model that learnt from people's rows alone.

The generator's own confidence is never asked: keeping what it is surest of makes a student worse than no
filter at all (docs/results/verifiers.md). From which confidence on this model's word counts is measured where
it matters: out of fold, on people's rows whose label was changed to the one that the model itself would most
easily mistake it for. A generator that errs as the model does is the worst that can come.
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
from bapsim.core.records import VERDICT, Answers, Records, Verdicts, rows_of
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import digests, input_texts, numbered
from bapsim.refine.mutation import LIMIT, Audit, Kind, bounds
from bapsim.refine.verifying import machine_made, people_made
from bapsim.text.minhash import clusters

REASON = "not_agreed"
FOLDS = 5
NEAR = 0.8  # people's rows that are so alike (Jaccard) stand in one fold


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which confidence on a model's word admits.

    tau: None where no confidence is safe; rows: people's rows that were asked out of fold; wrong: of them,
    those that would pass with a wrong label; upper: the one-sided 95 % bound of that share; kept: the share
    of rows with their right label that passes.
    """

    tau: float | None
    rows: int
    wrong: int
    upper: float
    kept: float


def threshold(right: np.ndarray, confidence: np.ndarray, limit: float = LIMIT) -> Threshold:
    """The least confidence at which the bound of the false-accept rate is at most the limit.

    right: bool[n], the model names the row's own label, out of fold; confidence: float[n], in what it names.
    A row whose label was changed to what the model takes it for passes where the model is wrong, and sure
    enough. As the count only grows on the way down from the surest row, stopping at the first failure keeps
    the level although many thresholds are looked at.
    """
    n = len(right)
    allowed = -1
    while allowed + 1 <= n and bounds(allowed + 1, n)[1] <= limit:
        allowed += 1
    if allowed < 0:
        return Threshold(tau=None, rows=n, wrong=0, upper=bounds(0, n)[1], kept=0.0)
    mistaken = np.sort(confidence[~right])[::-1]
    tau = 0.0 if len(mistaken) <= allowed else float(np.nextafter(mistaken[allowed], 2))
    if tau > 1:
        return Threshold(tau=None, rows=n, wrong=0, upper=bounds(0, n)[1], kept=0.0)
    wrong = int((mistaken >= tau).sum())
    kept = float((right & (confidence >= tau)).mean())
    return Threshold(tau=tau, rows=n, wrong=wrong, upper=bounds(wrong, n)[1], kept=kept)


@dataclass(frozen=True, kw_only=True)
class Agrees:
    """The verifying survey `agrees`: a machine-made row whose label a model of people's rows gives it, too,
    and surely enough, is kept; one to which it surely gives another label is refused (`not_agreed`).

    train: fits that model anew each turn, five times, never on a row that a machine had a hand in, nor on
    what the row that is judged was made of or nearly copies; limit: of the false-accept rate. Between the
    two it says nothing; where no confidence is safe it only ranks: the value is the confidence in the row's
    label, the limit the least that counts. For targets that are one class.
    """

    train: Trainer
    limit: float = LIMIT
    verifies: ClassVar[bool] = True

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        heard = _heard(dataset, turn)
        keep, value = np.zeros(len(heard.rows), np.int8), np.full(len(heard.rows), np.nan)
        level = None
        if heard.machine.any() and (asked := self._asked(heard, turn)) is not None:
            same, sure = asked
            people, rows = heard.people, np.flatnonzero(heard.machine)
            level = threshold(same[people], sure[people], self.limit).tau
            value[rows] = np.where(same, sure, 1 - sure)[rows]
            if level is not None:
                keep[rows] = np.where(sure >= level, np.where(same, 1, -1), 0)[rows]
        whole = _verdicts(keep, value, level)
        for end, size in zip(np.cumsum(heard.sizes).tolist(), heard.sizes, strict=True):
            yield Verdicts(whole.slice(end - size, size))

    def mutated(self, dataset: Dataset, turn: Turn) -> Audit:
        """What it does with people's labels, and with those changed to what it takes the row for."""
        heard = _heard(dataset, turn)
        rows = int(heard.people.sum())
        found = Threshold(tau=None, rows=rows, wrong=0, upper=1.0, kept=0.0)
        asked = self._asked(heard, turn)
        if asked is not None:
            found = threshold(asked[0][heard.people], asked[1][heard.people], self.limit)
        judged = 0 if found.tau is None else rows
        low, high = bounds(found.wrong, judged)
        return Audit(
            gold=rows,
            refused=found.wrong,
            abstained=rows - found.wrong - round(found.kept * rows),
            equal=0,
            answers=judged,
            fooled=found.wrong,
            upper=high,
            kinds=(
                Kind(
                    name="label",
                    tried=judged,
                    taken=found.wrong,
                    abstained=judged - found.wrong - round(found.kept * judged),
                    low=low,
                    high=high,
                ),
            ),
        )

    def _asked(self, heard: _Heard, turn: Turn) -> tuple[np.ndarray, np.ndarray] | None:
        """bool[n] and float64[n]: the model names the row's own label, and how sure it is; each row is asked
        of a model that learnt from none of its kin, people's rows and machines' alike. None where there is
        too little of people's.
        """
        if heard.people.sum() < 2 * FOLDS or turn.task.answer != "class":
            return None
        folds = _folds(heard, turn)
        own = np.array(strings(heard.rows.column(turn.task.target)), object)
        same, sure = np.zeros(len(own), bool), np.zeros(len(own))
        for k in range(FOLDS):
            part = Records(take(heard.rows, heard.people & (folds != k)))
            model = self.train(None, Mixture(task=turn.task, records=part), turn.seed)
            rows = np.flatnonzero((heard.people | heard.machine) & (folds == k))
            names, confidence = _answered(model(rows_of(take(heard.rows, rows), turn.task.inputs)))
            same[rows], sure[rows] = np.array(names, object) == own[rows], confidence
        return same, sure


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heard:
    """All rows; which are labelled, alive, and people's or a machine's; the sizes of the batches."""

    rows: Records
    people: np.ndarray
    machine: np.ndarray
    sizes: list[int]


def _heard(dataset: Dataset, turn: Turn) -> _Heard:
    task = turn.task
    parts: list[Records] = []
    people, machine = [np.zeros(0, bool)], [np.zeros(0, bool)]
    for batch, alive in zip(dataset.batches([*task.inputs, task.target]), dataset.kept(), strict=True):
        there = valid(batch.column(task.target)) & alive
        parts.append(batch)
        people.append(people_made(batch) & there)
        machine.append(machine_made(batch) & there)
    return _Heard(
        rows=Records(concat(parts, pa.schema([]))),
        people=np.concatenate(people),
        machine=np.concatenate(machine),
        sizes=[len(part) for part in parts],
    )


def _folds(heard: _Heard, turn: Turn) -> np.ndarray:
    """int8[n]: near copies stand in one fold, and what a machine made stands with what it made it from."""
    records, people = heard.rows, heard.people
    texts = input_texts(records, turn.task)
    groups = numbered(digests(records, turn.task.inputs)) if texts is None else clusters(texts, NEAR)
    names, place = np.unique(groups, return_inverse=True)
    folds = (turn.rng("agrees").permutation(len(names)) % FOLDS)[place]
    parents: list[Any] = [line[0] if line else None for line in records.column("_parents").to_pylist()]
    at = positions(pa.array(parents, ID), records.column("_id"))
    of = np.where(at >= 0, folds[at], folds)
    alone = ~np.isin(groups, groups[people])
    return np.asarray(np.where(alone, of, folds), np.int8)


def _answered(answers: Answers) -> tuple[list[str | None], np.ndarray]:
    """What a model names, and how sure it is of that."""
    return strings(answers.column("prediction")), numbers(answers.column("confidence"), 0)


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
