"""The kin of a record: all that it was made from, up to the people's, and all that was made of it.

An id is a hash over the ids of its parents, so that no record descends from itself; where a damaged wheel
says so, every record is still told once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Recipe
from bapsim.store.project import Project
from bapsim.wheel.admitting import verifiers
from bapsim.wheel.refining import stored_verdicts
from bapsim.wheel.stock import STATES, Stock

MOST = 200  # records of each direction that are told one by one; all of them are counted


class Step(NamedTuple):
    """One relative: its row (-1: it is not in this wheel), its id, through which row it was first reached
    (-1: at once), and over how many hands.
    """

    row: int
    id: bytes
    through: int
    steps: int


def ancestors(stock: Stock, row: int) -> list[Step]:
    """All that a row was made from, each once, the nearest first."""
    column: Any = stock.records.column("_parents")

    def above(at: int) -> Iterable[tuple[int, bytes]]:
        return ((stock.place.get(one, -1), one) for one in (column[at].as_py() or () if at >= 0 else ()))

    return _reached(row, stock.ids[row].tobytes(), above)


def descendants(stock: Stock, row: int) -> list[Step]:
    """All that was made of a row, each once, the nearest first."""
    below: dict[int, list[int]] = {}
    for child, mums in stock.parents:
        for mum in mums:
            below.setdefault(mum, []).append(child)
    ids = stock.ids
    return _reached(
        row, ids[row].tobytes(), lambda at: ((one, ids[one].tobytes()) for one in below.get(at, ()))
    )


def _reached(row: int, own: bytes, near: Any) -> list[Step]:
    """Breadth first, so that whoever is told before its relatives is nearer."""
    found: list[Step] = []
    seen, open_ends = {own}, deque([(row, 0)])
    while open_ends:
        at, steps = open_ends.popleft()
        for other, one in near(at):
            if one not in seen:
                seen.add(one)
                found.append(Step(other, one, -1 if at == row else at, steps + 1))
                open_ends.append((other, steps + 1))
    return found


@dataclass(kw_only=True)
class Teller:
    """Tells what relatives are; the verdicts of a shard are read once.

    state: int8[N], where each row stands; turns: of origins.
    """

    project: Project
    recipe: Recipe
    stock: Stock
    state: np.ndarray
    said: dict[int, Mapping[str, pa.RecordBatch]] = field(default_factory=dict)

    def told(self, found: Sequence[Step]) -> dict[str, Any]:
        """How many relatives there are, where they stand, who made them, and the first of them one by one."""
        rows = np.array([one.row for one in found if one.row >= 0], np.int64)
        sources = Counter(self.stock.origins[int(n)].source for n in self.stock.origin[rows])
        standing = np.bincount(self.state[rows], minlength=len(STATES)).tolist()
        return {
            "count": len(found),
            "not_here": len(found) - len(rows),
            "steps": max((one.steps for one in found), default=0),
            "sources": dict(sources.most_common()),
            "standing": {name: count for name, count in zip(STATES, standing, strict=True) if count},
            "people": int((self.stock.depth[rows] == 0).sum()),
            "first": [self._one(one) for one in found[:MOST]],
        }

    def _one(self, step: Step) -> dict[str, Any]:
        """One relative; of one that is not in this wheel, its id alone."""
        through = self.stock.ids[step.through].tobytes().hex() if step.through >= 0 else None
        said: dict[str, Any] = {"id": step.id.hex(), "through": through, "steps": step.steps}
        if step.row < 0:
            return said | {"here": False}
        stock, row = self.stock, step.row
        number = int(stock.origin[row])
        made = stock.origins[number]
        depths = {
            f"{part}_depth": stock.records.column(f"_{part}_depth")[row].as_py()
            for part in ("input", "target")
        }
        return said | {
            "here": True,
            "input": "" if stock.erased[row] else stock.told[row],
            "target": stock.labels[row],
            "stands": STATES[int(self.state[row])],
            "source": made.source,
            "batch": made.batch,
            "turn": stock.turns[number],
            "input_maker": made.input_maker,
            "target_maker": made.target_maker,
            "method": made.method,
            "rights": made.rights,
            **depths,
            "verifiers": self._verdicts(row, verifiers(self.recipe), None),
            "refused": self._verdicts(row, None, False)[:1],
        }

    def _verdicts(self, row: int, names: Collection[str] | None, keep: bool | None) -> list[dict[str, Any]]:
        """What these checks (None: all) said of a row; keep: only a yes or only a no, None = both."""
        at = int(np.searchsorted(self.stock.starts, row, side="right")) - 1
        if at not in self.said:
            self.said[at] = stored_verdicts(self.project, self.stock.shards[at])
        found = []
        for name, said in self.said[at].items():
            one = said.slice(row - int(self.stock.starts[at]), 1).to_pylist()[0]
            wanted = (names is None or name in names) and one["keep"] is not None
            if wanted and keep in (None, one["keep"]):
                found.append({"check": name, **one})
        return found
