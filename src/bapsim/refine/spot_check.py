"""Spot checks by people: a lot of machine-made rows enters where a random sample of it is right.

A lot is what a source brought in one batch. Its sample are the rows with the lowest ids, which are keyed
hashes; people are asked about them blindly, like about any doubted label (`Turn.doubts`), and whatever they
answer is a person's row. How many are asked, and how many may be wrong, says the plan (refine.sampling_plan).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, strings, valid
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import VERDICT, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.sampling_plan import Plan, lot_verdict, plan, wrong_share
from bapsim.refine.verifying import machine_made

REASON = "lot_refused"
WHY = "spot_check"  # why a row is asked about
ASKED = "asked:"  # how the method of an answer begins
FEWEST = 20  # rows of a lot: a plan for fewer looks at nearly all


@dataclass(frozen=True, kw_only=True)
class SpotChecked:
    """The survey `spot_checked`: it vouches for lots whose sample people found right, refuses (`lot_refused`)
    those with too many wrong, and says nothing while answers are missing.
    """

    source: str
    good: float
    bad: float
    verifies: ClassVar[bool] = True
    reads_answers: ClassVar[bool] = True  # and holds them against the rows that they replaced

    def planned(self, lot: int) -> Plan | None:
        """How many of so many rows are looked at; None for a lot that is too small to draw from."""
        return None if lot < FEWEST else plan(lot, good=self.good, bad=self.bad)

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        mine = turn.origins_of(self.source)
        people = frozenset(
            n
            for n, one in turn.origins.items()
            if one.method.startswith(ASKED) and one.target_maker == "person"
        )
        lots: dict[int, dict[bytes, str]] = defaultdict(dict)
        answers: dict[bytes, str] = {}
        batches = list(dataset.batches([turn.task.target]))
        for batch in batches:
            labels = strings(batch.column(turn.task.target))
            ids: list[Any] = batch.column("_id").to_pylist()
            parents: list[Any] = batch.column("_parents").to_pylist()
            made = machine_made(batch)
            for i, n in enumerate(batch.column("_origin").to_pylist()):
                label = labels[i]
                if label is None:
                    continue
                if n in mine and made[i]:
                    lots[n][ids[i]] = label
                elif n in people:
                    answers |= dict.fromkeys(parents[i] or (), label)
        said = {n: self._said(lot, answers) for n, lot in lots.items()}
        for batch in batches:
            yield _verdicts(
                batch, said, machine_made(batch) & valid(batch.column(turn.task.target)), self.bad
            )

    def _said(self, lot: Mapping[bytes, str], answers: Mapping[bytes, str]) -> tuple[bool | None, float]:
        """Whether the lot is taken (None: not known yet), and the upper bound of its share of wrong rows."""
        made = self.planned(len(lot))
        if made is None:
            return None, float("nan")
        found = right(lot, answers, made.n)
        verdict = lot_verdict(made, found)
        if verdict == "undecided":
            return None, float("nan")
        wrong = sum(not one for one in found)
        high = wrong_share(made, wrong)[1] if len(found) == made.n else float("nan")
        return verdict == "accept", high


def right(lot: Mapping[bytes, str], answers: Mapping[bytes, str], count: int) -> list[bool]:
    """Of the first `count` rows of a lot, by ids, that people answered: whether they said what it says."""
    return [answers[one] == lot[one] for one in sorted(lot) if one in answers][:count]


def _verdicts(
    batch: pa.RecordBatch, said: Mapping[int, tuple[bool | None, float]], rows: np.ndarray, bad: float
) -> Verdicts:
    origins: list[Any] = batch.column("_origin").to_pylist()
    found = [said.get(n, (None, float("nan"))) for n in origins]
    keep = [one[0] if there else None for one, there in zip(found, rows.tolist(), strict=True)]
    told = [one is not None for one in keep]
    value = [one[1] if there else float("nan") for one, there in zip(found, told, strict=True)]
    columns: Sequence[Column] = [
        pa.array(keep, pa.bool_()),
        pa.array([REASON if one is False else None for one in keep], pa.string()),
        pa.array(value, pa.float32(), from_pandas=True),
        pa.array([bad if there else None for there in told], pa.float32()),
    ]
    return Verdicts(pa.RecordBatch.from_arrays(list(columns), schema=VERDICT))


def spot_checked(source: str, *, good: float = 0.02, bad: float = 0.1) -> SpotChecked:
    """People vouch for what the source of this name makes, by samples.

    good: the share of wrong rows of a lot that should be taken (refused once in twenty); bad: of one that
    should not (taken once in twenty). A lot of fewer than 20 rows is left to others. RecipeError where no
    plan keeps these.
    """
    if not 0 <= good < bad <= 1:
        raise RecipeError("sampling_plan", lot=0, good=good, bad=bad, producer=0.05, consumer=0.05)
    return SpotChecked(source=source, good=good, bad=bad)
