"""Vouches for variants: a row that hardly differs from a person's row, and keeps its target.

Whoever reads a sentence with two slips reads the same sentence. The further a variant is from its parent, the
less its parent's target says of it: then another verifier must vouch for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, strings
from bapsim.core.records import Records, Verdicts, verdicts
from bapsim.core.turn import Turn

LONGEST = 4_000  # characters that are compared: what follows hardly changes the share


@dataclass(frozen=True, kw_only=True)
class NearParent:
    """A verifier of rows with one parent: alike, from 0 to 1, is the least likeness of their inputs."""

    alike: float = 0.8
    verifies: ClassVar[bool] = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        parents: list[Any] = records.column("_parents").to_pylist()
        wanted = {mums[0] for mums in parents if mums and len(mums) == 1}
        known = _inputs(turn, wanted)
        texts, targets = _cells(records, turn.task.inputs), _cells(records, (turn.task.target,))
        near, told = np.full(len(records), np.nan), np.zeros(len(records), bool)
        for i, mums in enumerate(parents):
            parent = known.get(mums[0]) if mums and len(mums) == 1 else None
            if parent is not None:
                same = targets[i] == parent[1] and targets[i] is not None
                near[i], told[i] = likeness(texts[i] or "", parent[0] or "") if same else 0.0, True
        said = verdicts(near >= self.alike, "far_from_parent", value=near, limit=self.alike)
        keep = pa.array(near >= self.alike, mask=~told | (near < self.alike))  # it vouches, or abstains
        reason = pa.nulls(len(records), pa.string())
        return Verdicts(said.set_column(0, "keep", keep).set_column(1, "reason", reason))


def likeness(a: str, b: str) -> float:
    """How much of two texts is the same, in the same order: from 0 to 1 (Ratcliff and Obershelp)."""
    return SequenceMatcher(None, a[:LONGEST], b[:LONGEST], autojunk=False).ratio()


def _inputs(turn: Turn, wanted: set[bytes]) -> dict[bytes, tuple[str | None, str | None]]:
    """Input and target of these records, as far as the turn shows them, by id; made by people only."""
    found: dict[bytes, tuple[str | None, str | None]] = {}
    for view in turn.data.values() if wanted else ():
        rows = view.find(pa.array(sorted(wanted), ID))
        if not set(turn.task.inputs) <= set(rows.schema.names) or turn.task.target not in rows.schema.names:
            continue
        depths = [rows.column(name).to_pylist() for name in ("_input_depth", "_target_depth")]
        said = zip(_cells(rows, turn.task.inputs), _cells(rows, (turn.task.target,)), strict=True)
        ids: list[Any] = rows.column("_id").to_pylist()
        for one, pair, given, target in zip(ids, said, *depths, strict=True):
            if given == 0 and target == 0:
                found[one] = pair
    return found


def _cells(rows: pa.RecordBatch, names: tuple[str, ...]) -> list[str | None]:
    """The cells of each row as one text; None where the only one is empty."""
    if len(names) == 1:
        return strings(rows.column(names[0]))
    parts = [strings(rows.column(name)) for name in names]
    return ["\x1f".join(one or "" for one in row) for row in zip(*parts, strict=True)]


def near_parent(alike: float = 0.8) -> NearParent:
    """A verifier that vouches for variants of people's rows: inputs `alike` (0 to 1), and the same target; it
    abstains about everything else.
    """
    return NearParent(alike=alike)
