"""A source with personal data masked at the door: what it brings never enters the wheel as it was written.

The inbox keeps the person's file; records, models and reports hold masked text only. To keep originals as
records, and train on masked copies that a turn must prove first, use the check (refine.pii) instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

import numpy as np

from bapsim.core.arrow import take
from bapsim.core.recipe import Source
from bapsim.core.records import Draft, Rows
from bapsim.core.turn import Turn
from bapsim.text.pii import KINDS, known_kinds, scrub_columns

MASKED = "+masked"  # how the method of a row ends in which something was masked


@dataclass(frozen=True)
class Masked:
    """The drafts of another source with [EMAIL], [PHONE], ... in place of personal data of these kinds.

    columns: the task's inputs if None; only text is looked into, and keys and other columns enter as they
    are. A row in which something was masked has "+masked" behind its method, by which such rows are counted;
    its depth is that of the row as it came. Raises RecipeError for an unknown kind.
    """

    source: Source
    _: KW_ONLY
    kinds: tuple[str, ...] = KINDS
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        known_kinds(self.kinds)

    @property
    def reads(self) -> Callable[[Turn], list[Path]] | None:
        """What the inner source reads, if it says so: then nothing is read again that did not change."""
        reads: Callable[[Turn], list[Path]] | None = getattr(self.source, "reads", None)
        return reads

    @property
    def types(self) -> Mapping[str, str]:
        """The types that the inner source declares."""
        types: Mapping[str, str] = getattr(self.source, "types", {})
        return types

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        columns = turn.task.inputs if self.columns is None else self.columns
        for draft in self.source(turn):
            rows, hits = scrub_columns(draft.rows, columns, self.kinds)
            made = replace(draft.origin, method=draft.origin.method + MASKED)
            if not hits.any():
                yield draft
            elif draft.parents is not None or draft.asked is not None:  # as one: their parts are aligned
                yield replace(draft, rows=Rows(rows), origin=made)
            else:
                yield _part(draft, np.flatnonzero(hits == 0), unread=True)
                yield _part(replace(draft, rows=Rows(rows), origin=made), np.flatnonzero(hits), unread=False)


masked = Masked


def _part(draft: Draft, rows: np.ndarray, *, unread: bool) -> Draft:
    """Some rows of a draft, with or without what it could not read."""
    keys = None if draft.keys is None else [draft.keys[i] for i in rows.tolist()]
    consents = None if draft.consents is None else [draft.consents[i] for i in rows.tolist()]
    left = draft.unread if unread else ()
    return replace(draft, rows=Rows(take(draft.rows, rows)), keys=keys, consents=consents, unread=left)
