"""The state that sources, surveys and composers see: the wheel after the last turn, never the exam."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bapsim.core.exchange import Tape
from bapsim.core.recipe import Dataset, Model
from bapsim.core.records import Answers, Origin, Rows, Task


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Turn n of a wheel.

    models: by name (`champion`: last proven, `current`: what serves, generators); data: by table, without
    exam items and without the questions that became exam items; oof: last turn's out-of-fold answers with
    their `_id`; inbox: where sources find their files (not identity); origins: by number; asked: every
    question ever asked, record id -> how it was drawn (random, chosen, repair). The answer to a question is
    derived from its record (`data[...].find(ids)`) with the method "asked:" and how it was drawn: random ones
    may refresh the exam, others may not; doubts: rows whose label is worth a second look, most doubtful
    first: `_id`, `why`, `wrong` (estimated chance that the label is wrong); duel: rows on which what serves
    and the last proven model differ, in the order in which they were drawn: `_id`, and `only` where a row has
    a label, and is in the pool for the duel alone; behind: rows of the pool that are of the value for whom
    the model is worst, of the group that the recipe's questions are to close the gap of: `_id`; types: of the
    task's columns, as the recipe declares them, else as the records have them; day: the ISO date (UTC) on
    which the turn began, by which terms, embargoes and deals are decided: the same one when the turn is
    resumed; tape: where a source keeps what machines answered it, so that nothing is asked or paid twice
    (None outside a wheel).
    """

    n: int
    seed: int
    task: Task
    models: Mapping[str, Model] = field(default_factory=dict)
    data: Mapping[str, Dataset] = field(default_factory=dict)
    oof: Answers | None = None
    inbox: Path = Path()
    origins: Mapping[int, Origin] = field(default_factory=dict)
    asked: Mapping[bytes, str] = field(default_factory=dict)
    doubts: Rows | None = None
    duel: Rows | None = None
    behind: Rows | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    day: str = ""
    tape: Tape | None = None

    def rng(self, *name: object) -> np.random.Generator:
        """A generator of its own for each named purpose: adding one does not change another."""
        return np.random.default_rng(named_seed(self.seed, self.n, *name))

    def origins_of(self, source: str) -> frozenset[int]:
        """The numbers of all batches that a source delivered."""
        return frozenset(n for n, origin in self.origins.items() if origin.source == source)


def named_seed(*name: object) -> int:
    """A 128-bit seed from names and numbers."""
    said = json.dumps([str(part) for part in name], ensure_ascii=False).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=16).digest(), "little")
