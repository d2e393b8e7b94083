"""Rows whose inputs hold personal data: refused, and derived anew with it masked.

The original stays what it was, a record that nothing is trained on; what was masked is a machine's work, one
hand deeper. Where originals must not enter at all, mask at the door (gather.masked).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import take
from bapsim.core.recipe import Check
from bapsim.core.records import Draft, Origin, Records, Rows, Task, Verdicts, derive, rows_of, verdicts
from bapsim.core.turn import Turn
from bapsim.text.pii import KINDS, known_kinds, scrub_columns


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """Refuses rows with personal data of these kinds (`personal_data`); the value counts what was found.

    columns: where to look, the task's inputs if None; only text is looked into. Raises RecipeError for an
    unknown kind.
    """

    kinds: tuple[str, ...] = KINDS
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        known_kinds(self.kinds)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        _, hits = self._scrubbed(records, turn.task)
        value = np.where(hits > 0, hits, np.nan)
        return verdicts(hits == 0, "personal_data", value=value, limit=0)

    def mend(self, records: Records, origin: Origin, turn: Turn) -> Draft:
        """The rows that it refuses with [EMAIL], [PHONE], ... in place of what was found.

        records: of one origin. The draft has its rights, consent and target's maker, the method "masked", and
        an input by a machine; other columns are as they were.
        """
        rows, hits = self._scrubbed(records, turn.task)
        at = np.flatnonzero(hits)
        made = replace(origin, input_maker="machine", method="masked")
        masked = Rows(take(rows, at))
        return derive(records, [[int(i)] for i in at], masked, changed=frozenset({"input"}), origin=made)

    def _scrubbed(self, records: Records, task: Task) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        columns = task.inputs if self.columns is None else self.columns
        return scrub_columns(rows_of(records), columns, self.kinds)


def personal_data(*, kinds: tuple[str, ...] = KINDS, columns: tuple[str, ...] | None = None) -> Check:
    """The check `PersonalData`: of kinds among email, resident, card, ip, phone; columns or the inputs."""
    return PersonalData(kinds=kinds, columns=columns)
