"""Machine-made variants of people's rows that keep the label: the simplest generator, and the guard's test.

A variant drops, doubles or swaps characters inside words, or closes a gap between words, as hurried people
type. Source: Wei and Zou 2019 (EDA), at character level because Korean words carry particles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, strings, take
from bapsim.core.records import Draft, Origin, Records, Rows, derive, rows_of
from bapsim.core.turn import Turn


def misspelt(text: str, rng: np.random.Generator, changes: int) -> str:
    """The text with a few typing slips; never empty if it was not."""
    letters = list(text)
    for _ in range(changes):
        if len(letters) < 2:
            break
        at = int(rng.integers(len(letters) - 1))
        match int(rng.integers(4)):
            case 0:
                del letters[at]
            case 1:
                letters.insert(at, letters[at])
            case 2:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            case _:
                gaps = [i for i, c in enumerate(letters) if c == " "]
                if gaps:
                    del letters[gaps[at % len(gaps)]]
    return "".join(letters)


@dataclass(frozen=True, kw_only=True)
class Misspell:
    """A source of variants of the rows of another source."""

    of: str
    share: float = 0.2
    changes: int = 2
    rights: str = "derived"
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        rng = turn.rng("misspell", self.of)
        for view in turn.data.values():
            wanted = list(turn.origins_of(self.of))
            parts = []
            for batch, keep in zip(view.batches(), view.kept(), strict=True):
                mine = keep & np.isin(batch.column("_origin").to_numpy(), wanted)
                mine &= np.asarray(batch.column(turn.task.target).is_valid())
                parts.append(take(batch, mine))
            if parts and sum(len(p) for p in parts):
                yield self._draft(Records(concat(parts)), turn, rng)

    def _draft(self, people: Records, turn: Turn, rng: np.random.Generator) -> Draft:
        count = max(1, round(self.share * len(people)))
        at = np.sort(rng.choice(len(people), count, replace=False))
        chosen = take(people, at)
        rows = rows_of(chosen)
        for name in turn.task.inputs:
            column = rows.column(name)
            if pa.types.is_string(column.type):
                said = [None if t is None else misspelt(t, rng, self.changes) for t in strings(column)]
                where = rows.schema.get_field_index(name)
                rows = Rows(rows.set_column(where, name, pa.array(said, pa.string())))
        origin = Origin(
            source=self.of,
            input_maker="machine",
            target_maker="machine",
            method=f"misspell:{self.changes}",
            rights=self.rights,
        )
        return derive(people, [[int(i)] for i in at], rows, changed=frozenset({"input"}), origin=origin)


def misspell(of: str, *, share: float = 0.2, changes: int = 2, rights: str = "derived") -> Misspell:
    """Variants with typing slips of `share` of the rows of source `of`, made anew each turn, label kept."""
    return Misspell(of=of, share=share, changes=changes, rights=rights)
