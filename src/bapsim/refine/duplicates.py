"""Copies: rows that say what another row says already. Which one stays is decided, never left to chance.

Only rows that nothing has refused so far can stand for others. Rows with the same input and different
targets are contradictions, not copies: they stay, for label repair to see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, cells, numbers, strings, tokens
from bapsim.core.recipe import Dataset, Survey
from bapsim.core.records import VERDICT, Task, Verdicts, rows_of
from bapsim.core.turn import Turn
from bapsim.image import alike
from bapsim.text.minhash import Ints, Shingles, clusters, jaccard, shingles
from bapsim.text.targets import written

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
ROUNDS = 16  # representatives that a cluster of chained texts gets; what is left then stays


def exact_copies(inputs: Ints, targets: Ints, rank: Floats, alive: Mask) -> Mask:
    """bool[n]: true for rows that another row makes superfluous.

    Of the living rows with equal inputs and targets the one of the least rank stays, the earliest of these.
    A row without a target (-1) is a copy of any labelled row with its input.
    """
    rows = np.flatnonzero(alive)
    rows = rows[np.lexsort((rows, rank[rows], -targets[rows], inputs[rows]))]
    new_input = np.diff(inputs[rows], prepend=-1) != 0
    new_target = np.diff(targets[rows], prepend=-2) != 0
    again = ~new_input & (~new_target | (targets[rows] < 0))  # labels come first among equal inputs
    copies = np.zeros(len(inputs), bool)
    copies[rows[again]] = True
    return copies


def near_copies(
    groups: Ints, rank: Floats, alive: Mask, alike: Callable[[Ints, Ints], Floats], threshold: float
) -> Floats:
    """float64[n]: the similarity of each superfluous row to the row that stands for it, nan for the others.

    In each group the row of the least rank, the earliest of these, stands for those at least `threshold`
    alike; the rest, which only a chain ties to it, gets a representative of its own, up to 16 times.
    """
    found = np.full(len(groups), np.nan)
    rows = np.flatnonzero(alive)
    rows = rows[np.lexsort((rows, rank[rows], groups[rows]))]
    for _ in range(ROUNDS):
        if len(rows) == 0:
            break
        first = np.diff(groups[rows], prepend=-1) != 0
        leader = rows[first][np.cumsum(first) - 1]
        rows, leader = rows[~first], leader[~first]
        likeness = alike(leader, rows)
        copy = likeness >= threshold
        found[rows[copy]] = likeness[copy]
        rows = rows[~copy]
    return found


@dataclass(frozen=True)
class _Table:
    """What the surveys need of n rows; sizes of the batches that their verdicts are aligned with."""

    targets: Ints
    rank: Floats
    alive: Mask
    sizes: list[int]


def numbered(values: list[bytes]) -> Ints:
    """int64[n]: equal values get one number, by first appearance."""
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


def digests(batch: pa.RecordBatch, columns: tuple[str, ...]) -> list[bytes]:
    """Sixteen bytes for each row's canonical values in these columns."""
    offsets, body = cells(rows_of(batch, columns))
    edges = offsets.tolist()
    return [hashlib.blake2b(body[a:b], digest_size=16).digest() for a, b in pairwise(edges)]


def _rank(batch: pa.RecordBatch) -> Floats:
    """float64[n]: hands of machines that a row went through, its worse part; unknown is worse than none."""
    of_input, of_target = (numbers(batch.column(name), 0.5) for name in ("_input_depth", "_target_depth"))
    return np.asarray(np.maximum(of_input, of_target))


def _table(dataset: Dataset, task: Task) -> _Table:
    targets, ranks, sizes = [], [], []
    for batch in dataset.batches([task.target]):
        said = written(batch.column(task.target), task.answer)
        targets += [b"" if label is None else b"=" + label.encode("utf-8", "surrogatepass") for label in said]
        ranks.append(_rank(batch))
        sizes.append(len(batch))
    codes = numbered([b"", *targets])[1:] - 1  # no target is -1
    alive = [np.asarray(mask, bool) for mask in dataset.kept()]
    return _Table(codes, _joined(ranks, float), _joined(alive, bool), sizes)


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def input_texts(batch: pa.RecordBatch, task: Task) -> list[str] | None:
    """Each row's input as one text; None where an input column is not text."""
    columns = [batch.column(name) for name in task.inputs]
    for column in columns:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return None
    return ["\n".join(part or "" for part in row) for row in zip(*map(strings, columns), strict=True)]


def _verdicts(
    table: _Table, copies: Mask, reason: str, value: Floats, limit: float | None
) -> Iterator[Verdicts]:
    """Verdicts batch by batch; rows that were refused before get none."""
    start = 0
    for size in table.sizes:
        part = slice(start, start + size)
        said = copies[part]
        columns: list[Column] = [
            pa.array(~said, mask=~table.alive[part]),
            pa.array([reason if copy else None for copy in said.tolist()], pa.string()),
            pa.array(value[part], pa.float32(), from_pandas=True),
            pa.array([limit if copy else None for copy in said.tolist()], pa.float32()),
        ]
        yield Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))
        start += size


@dataclass(frozen=True, kw_only=True)
class ExactDuplicates:
    """Refuses copies with the reason exact_duplicate: same canonical input columns, same target.

    What people made goes before what machines made, then the earlier row before the later; a row without a
    target is a copy of a labelled one.
    """

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        table = _table(dataset, turn.task)
        inputs = [
            key for batch in dataset.batches(turn.task.inputs) for key in digests(batch, turn.task.inputs)
        ]
        copies = exact_copies(numbered(inputs), table.targets, table.rank, table.alive)
        return _verdicts(table, copies, "exact_duplicate", np.full(len(copies), np.nan), None)


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Refuses texts with the reason near_duplicate that are at least `threshold` alike to one that stays and
    has the same target; and texts without a target that equal another one, as they need not be asked about.
    Pictures likewise.

    value: exact Jaccard similarity of the shingles to the row that stays, or likeness of the pictures' edges;
    limit: the threshold (a higher one where most pictures are alike: `image.alike.groups`). Which row stays
    is decided as for exact copies. Abstains for tables: their equal rows are exact copies.
    """

    threshold: float = 0.8

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        table = _table(dataset, turn.task)
        if turn.task.kind == "image":
            return self._pictures(dataset, turn.task, table)
        texts: list[str] = []
        for batch in dataset.batches(turn.task.inputs):
            part = input_texts(batch, turn.task)
            if part is None:
                nothing = _Table(table.targets, table.rank, np.zeros(len(table.alive), bool), table.sizes)
                return _verdicts(nothing, nothing.alive, "", np.full(len(table.alive), np.nan), None)
            texts += part
        same = numbered([text.encode("utf-8", "surrogatepass") for text in texts])
        value, living = _known(table, same)
        chosen = [texts[i] for i in living]
        groups, shared = _same_target(clusters(chosen, self.threshold), table.targets[living])
        place = np.cumsum(shared) - 1
        sets: Shingles = shingles([text for text, many in zip(chosen, shared, strict=True) if many])

        def likeness(a: Ints, b: Ints) -> Floats:
            return jaccard(sets, place[a], place[b])

        value[living] = near_copies(groups, table.rank[living], shared, likeness, self.threshold)
        return _verdicts(table, ~np.isnan(value), "near_duplicate", value, self.threshold)

    def _pictures(self, dataset: Dataset, task: Task, table: _Table) -> Iterator[Verdicts]:
        bodies = (batch.column(task.inputs[0]) for batch in dataset.batches(task.inputs))
        parts = [(tokens(column), alike.sketches(column.to_pylist())) for column in bodies]
        same = numbered([(token or "").encode() for part, _ in parts for token in part])
        value, living = _known(table, same)
        found = alike.joined([part for _, part in parts]).part(living)
        cluster, limit = alike.groups(found, self.threshold)
        groups, shared = _same_target(cluster, table.targets[living])

        def likeness(a: Ints, b: Ints) -> Floats:
            return alike.likeness(found, a, b)

        value[living] = near_copies(groups, table.rank[living], shared, likeness, limit)
        return _verdicts(table, ~np.isnan(value), "near_duplicate", value, limit)


def _known(table: _Table, same: Ints) -> tuple[Floats, Ints]:
    """1 for rows without a target that equal another one, nan for the others; which rows are left."""
    known = exact_copies(same, table.targets, table.rank, table.alive) & (table.targets < 0)
    return np.where(known, 1.0, np.nan), np.flatnonzero(table.alive & ~known)


def _same_target(cluster: Ints, targets: Ints) -> tuple[Ints, Mask]:
    """Clusters parted by target, int64[n]; bool[n]: those that have more than one row."""
    pairs = np.stack([cluster, targets])
    _, groups, counts = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    return groups, counts[groups] > 1


def exact_duplicates() -> Survey:
    """The survey `ExactDuplicates`."""
    return ExactDuplicates()


def near_duplicates(threshold: float = 0.8) -> Survey:
    """The survey `NearDuplicates` at this Jaccard similarity."""
    return NearDuplicates(threshold=threshold)
