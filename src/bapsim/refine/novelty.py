"""Machine-made texts that nearly copy a record of people's add nothing, and may give away what it says.

How near is near is held against people themselves: the distance of each machine-made text to the closest of
one half of people's rows, beside the distances of people's other half to the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import VERDICT, Verdicts, abstained
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import input_texts
from bapsim.refine.mutation import bounds
from bapsim.refine.verifying import machine_made, people_made
from bapsim.text.minhash import near
from bapsim.text.vectors import unit_vectors

REASON = "near_copy"
CLOSE = 0.8  # Jaccard similarity of shingles
MOST = 4000  # rows of each kind that distances are measured on
BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Novel:
    """The survey `novel`: machine-made rows whose input nearly copies a row of people's are refused
    (`near_copy`). It lets nothing in. For text; of anything else it says nothing.
    """

    threshold: float = CLOSE

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        batches = list(dataset.batches([*turn.task.inputs]))
        texts = [input_texts(batch, turn.task) for batch in batches]
        if any(part is None for part in texts):
            yield from (abstained(len(batch)) for batch in batches)
            return
        kept = zip(batches, texts, dataset.kept(), strict=True)
        people = [text for batch, part, alive in kept for text in _among(part, people_made(batch) & alive)]
        for batch, part in zip(batches, texts, strict=True):
            machine = machine_made(batch)
            copied = np.zeros(len(batch), bool)
            copied[machine] = near(people, _among(part, machine), self.threshold) >= 0
            columns: list[Column] = [
                pa.array(~copied, pa.bool_(), mask=~copied),
                pa.array([REASON if one else None for one in copied.tolist()], pa.string()),
                *(pa.nulls(len(batch), pa.float32()) for _ in ("value", "limit")),
            ]
            yield Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def _among(texts: Sequence[str] | None, which: np.ndarray) -> list[str]:
    return [texts[i] for i in np.flatnonzero(which).tolist()] if texts is not None else []


def novel(threshold: float = CLOSE) -> Novel:
    """The survey `Novel` at this Jaccard similarity; raises RecipeError for one that is no similarity."""
    if not 0 < threshold <= 1:
        raise RecipeError("novel_threshold", threshold=threshold)
    return Novel(threshold=threshold)


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """How close machine-made texts come to people's, and how close people's own come to one another.

    machine, people: float64[.], 1 - cosine to the closest row of the same half of people's rows; copies: the
    share of machine-made texts that are closer than all but a hundredth of people's, and its one-sided 95 %
    bounds. About .01 is what people do; well above it, a generator repeats what it was shown.
    """

    machine: np.ndarray
    people: np.ndarray
    copies: float
    low: float
    high: float


def closeness(machine: Sequence[str], people: Sequence[str], rng: np.random.Generator) -> Closeness:
    """Distances to the closest record, of at most 4,000 texts of each kind; people's are halved at random.

    Raises ValueError for fewer than 200 texts of people's or none of a machine.
    """
    if len(people) < 200 or not len(machine):
        raise ValueError("too few texts")
    ours = [people[i] for i in rng.permutation(len(people))[: 2 * MOST].tolist()]
    theirs = [machine[i] for i in rng.permutation(len(machine))[:MOST].tolist()]
    half = len(ours) // 2
    vectors = unit_vectors([*ours, *theirs])
    shown = vectors[:half]
    mine, made = _distances(vectors[half : len(ours)], shown), _distances(vectors[len(ours) :], shown)
    near_as = float(np.quantile(mine, 0.01))
    hits = int((made < near_as).sum())
    low, high = bounds(hits, len(made))
    return Closeness(machine=made, people=mine, copies=hits / len(made), low=low, high=high)


def _distances(rows: Any, shown: Any) -> np.ndarray:
    """float64[n]: 1 - the highest cosine of each row with any that was shown, by blocks."""
    found = []
    for start in range(0, rows.shape[0], BLOCK):
        cosines = rows[start : start + BLOCK] @ shown.T
        found.append(np.asarray(cosines.max(axis=1).todense()).ravel())
    return 1 - np.concatenate(found).astype(np.float64)
