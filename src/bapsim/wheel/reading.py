"""Records read with merged classes, as the stock reads them, for checks and surveys; files stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column
from bapsim.core.recipe import Dataset
from bapsim.core.records import Records, Task
from bapsim.text.targets import renamed, written


@dataclass(frozen=True, kw_only=True)
class AsRead:
    """A Dataset whose targets are those of today."""

    inner: Dataset
    task: Task

    @property
    def name(self) -> str:
        return self.inner.name

    def __len__(self) -> int:
        return len(self.inner)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        return (as_read(batch, self.task) for batch in self.inner.batches(columns))

    def kept(self) -> Iterator[np.ndarray]:
        return self.inner.kept()

    def find(self, ids: Column) -> Records:
        return as_read(self.inner.find(ids), self.task)


def as_read(records: Records, task: Task) -> Records:
    """Records with their targets as the task reads them now."""
    if not task.merged or task.target not in records.schema.names:
        return records
    said = renamed(written(records.column(task.target), task.answer), task.merged, task.answer)
    at = records.schema.names.index(task.target)
    return Records(records.set_column(at, task.target, pa.array(said, pa.string())))


def reading(dataset: Dataset, task: Task) -> Dataset:
    """The dataset itself, or, where classes are merged, with the labels of today."""
    return AsRead(inner=dataset, task=task) if task.merged else dataset
