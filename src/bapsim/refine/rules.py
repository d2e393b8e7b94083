"""Rules of people held against labels: what machines made against one is refused, what people said doubted.

A rule is somebody's word against somebody else's: people's own rows are never refused for it. They keep their
label, and are asked about again (`Turn.doubts`); then people decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import VERDICT, Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.store.stated import (
    LEAST,
    METHOD,
    Stated,
    agreed_labels,
    measured,
    read_texts,
    stated_rules,
)
from bapsim.text.rules import folded

AGAINST, GONE = "against_rule", "rule_gone"


@dataclass(frozen=True, kw_only=True)
class KeepsRules:
    """The survey `keeps_rules`.

    doubts: labels of people that contradict a rule are worth a second look.
    """

    least: float = LEAST
    doubts: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise RecipeError("rules_least", least=self.least)

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        """Refuses what machines made against a rule (`against_rule`), or by one that is withdrawn or no
        longer right often enough (`rule_gone`); of people's rows it only gives the reason.
        """
        rules, _ = stated_rules(turn.inbox, turn.task.merged)
        firm = measured(rules, [dataset], turn.task).firm(self.least)
        stand = {METHOD + one.name for one in firm}
        made = {n: o.method for n, o in turn.origins.items() if o.method.startswith(METHOD)}
        gone = [n for n, method in made.items() if method not in stand]
        for batch in dataset.batches([*turn.task.inputs, turn.task.target]):
            against = contradicting(batch, firm, turn)
            yield _opinions(batch, against, np.isin(batch.column("_origin").to_numpy(), gone))


def contradicting(batch: Records, firm: tuple[Stated, ...], turn: Turn) -> np.ndarray:
    """bool[n]: rows with another label than the rules that are about them give; where these differ, none."""
    if not firm:
        return np.zeros(len(batch), bool)
    said = agreed_labels(firm, folded(read_texts(batch, turn.task)))
    labels = strings(batch.column(turn.task.target))
    names = np.array([*(one.label for one in firm), None, None], object)[said]
    pairs = zip(labels, names.tolist(), strict=True)
    return np.array([a is not None and b is not None and a != b for a, b in pairs], bool)


def _opinions(batch: Records, against: np.ndarray, gone: np.ndarray) -> Verdicts:
    depths = [numbers(batch.column(f"_{part}_depth"), 0) for part in ("input", "target")]
    machine = np.logical_or.reduce([depth > 0 for depth in depths])
    no = gone | against & machine
    reasons = np.full(len(no), None, object)
    reasons[against], reasons[gone] = AGAINST, GONE
    columns: list[Any] = [
        pa.array(~no, pa.bool_(), mask=~no),  # no opinion but on what is refused
        pa.array(reasons.tolist(), pa.string()),
        *(pa.nulls(len(no), pa.float32()) for _ in ("value", "limit")),
    ]
    return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def keeps_rules(*, least: float = LEAST, doubts: bool = True) -> KeepsRules:
    """The survey `KeepsRules`: machine-made rows that contradict a rule of people are refused.

    least: the lower bound (95 %) of a rule's precision on people's own rows from which on it counts; doubts:
    people's labels that contradict such a rule are asked about again.
    """
    return KeepsRules(least=least, doubts=doubts)
