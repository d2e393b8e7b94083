"""Rules of people as a weak labeller: rows without a label get the one that a rule gives them.

A machine gives such a label, so its rows are one hand deep, pending until a model that ate them was proven
better, and never in an exam. Only rules that are right often enough on people's own rows label anything;
where people said otherwise, `refine.rules` has them asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import id_bytes, take
from bapsim.core.errors import RecipeError
from bapsim.core.records import Draft, Origin, Records, Rows, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.answers import with_target
from bapsim.store.stated import (
    LEAST,
    METHOD,
    Stated,
    agreed_labels,
    at_most,
    labels_of,
    measured,
    people_made,
    read_texts,
    stated_rules,
)
from bapsim.text.rules import folded


@dataclass(frozen=True, kw_only=True)
class ByRules:
    """A source of rows that rules label (`by_rules`)."""

    least: float = LEAST
    rights: str = "LicenseRef-expert"

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise RecipeError("rules_least", least=self.least)

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """A draft for each rule that labels something; lines of rules that are none."""
        rules, unread = stated_rules(turn.inbox, turn.task.merged)
        if unread:
            yield Draft(rows=Rows(pa.record_batch({})), origin=self._origin(None), unread=tuple(unread))
        firm = measured(rules, turn.data.values(), turn.task).firm(self.least)
        known = _known(turn) if firm else Counter()
        for view in turn.data.values() if firm else ():
            for batch, kept in zip(view.batches(), view.kept(), strict=True):
                free = kept & ~np.asarray(batch.column(turn.task.target).is_valid(), bool)
                yield from self._label(Records(take(batch, free)), firm, known, turn)

    def _label(
        self, pool: Records, rules: tuple[Stated, ...], known: Counter[str], turn: Turn
    ) -> Iterator[Draft]:
        said = agreed_labels(rules, folded(read_texts(pool, turn.task)))
        chosen = at_most(said, rules, id_bytes(pool.column("_id")), known)
        for at, rule in enumerate(rules):
            mine = np.flatnonzero(chosen & (said == at))
            if not len(mine):
                continue
            parents = Records(take(pool, mine))
            target = pa.repeat(pa.scalar(rule.label), len(mine))
            rows, _ = with_target(rows_of(parents), turn.task, target)
            of = [[i] for i in range(len(mine))]
            changed = frozenset({"target"})
            yield derive(parents, of, Rows(rows), changed=changed, origin=self._origin(rule))  # type: ignore[arg-type]

    def _origin(self, rule: Stated | None) -> Origin:
        return Origin(
            source="rules",
            input_maker="person",
            target_maker="machine",
            method=METHOD + (rule.name if rule is not None else ""),
            rights=self.rights,
            consent=None if rule is None else rule.consent,
        )


def _known(turn: Turn) -> Counter[str]:
    """How many rows of each label people gave."""
    found: Counter[str] = Counter()
    for view in turn.data.values():
        for batch, kept in zip(view.batches([turn.task.target]), view.kept(), strict=True):
            said = labels_of(batch, turn.task, people_made(batch) & kept)
            found.update(label for label in said if label is not None)
    return found


def by_rules(*, least: float = LEAST, rights: str = "LicenseRef-expert") -> ByRules:
    """The source `ByRules`: rules that people stated in a room label rows that have no label.

    least: the lower bound (95 %) of a rule's precision on people's own rows from which on it may label.
    Labels of one kind are never more than people gave, or 20. Raises RecipeError where rows are no texts of
    one class each.
    """
    return ByRules(least=least, rights=rights)
