"""Which deliveries a source made with this wheel's own models: on rows that these ate, they flatter
themselves.

A model labels a pool, and another learns from the labels: on the rows that the first one learnt from, the
second looks better than it is. Measured with labels by `turn.models["current"]`: the race saw a gain in 6 of
6 turns, the exam in none (docs/results/pseudo_labels.md). Such rows are raced on people's rows alone that
came later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from bapsim.core.recipe import Model
from bapsim.store.ledger import Ledger
from bapsim.wheel.stock import Stock

OWN = frozenset({"champion", "current"})
STAGE = "self_taught"


class Watched(Mapping[str, Model]):
    """The models of a turn, and which of them were taken out."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self.taken: set[str] = set()

    def __getitem__(self, name: str) -> Model:
        found = self._models[name]
        self.taken.add(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def own(self) -> list[str]:
        """The wheel's own models among those that were taken."""
        return sorted(self.taken & OWN)


def note(ledger: Ledger, turn: int, origin: int, own: list[str]) -> None:
    """Write down that a machine's delivery was made with these models."""
    key = f"{STAGE}:{origin}"
    if ledger.value("select 1 from stage where key=?", key) is None:
        ledger.add("stage", key=key, name=STAGE, turn=turn, output=json.dumps(own))


def since(ledger: Ledger, stock: Stock, made: np.ndarray) -> int:
    """The turn from which people's rows came that may judge these machine-made ones (bool[N]): 0 =
    all may.
    """
    rows = ledger.rows("select key from stage where name=?", STAGE)
    numbers = {int(str(row["key"]).partition(":")[2]) for row in rows}
    used = numbers & set(stock.origin[made].tolist())
    return max((stock.turns[n] for n in used), default=0)
