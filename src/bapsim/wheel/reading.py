"""Records as the stock reads them, for checks and surveys: merged classes, one type a column; files stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column
from bapsim.core.recipe import Dataset
from bapsim.core.records import Records, Task
from bapsim.gather.types import cast, name_of
from bapsim.text.targets import renamed, written


@dataclass(frozen=True, kw_only=True)
class AsRead:
    """A Dataset whose targets are those of today, and whose columns have one type in all batches."""

    inner: Dataset
    task: Task
    schema: pa.Schema

    @property
    def name(self) -> str:
        return self.inner.name

    def __len__(self) -> int:
        return len(self.inner)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        return (as_read(batch, self.task, self.schema) for batch in self.inner.batches(columns))

    def kept(self) -> Iterator[np.ndarray]:
        return self.inner.kept()

    def find(self, ids: Column) -> Records:
        return as_read(self.inner.find(ids), self.task, self.schema)


def as_read(records: Records, task: Task, schema: pa.Schema) -> Records:
    """Records with the types of a schema (the stock's), and their targets as the task reads them now."""
    whole: pa.RecordBatch = records
    for at, column in enumerate(records.schema):
        if column.name == task.target:
            whole = whole.set_column(at, column.name, _targets(records.column(at), task))
        elif column.name in schema.names and schema.field(column.name).type != column.type:
            made, _ = cast(records.column(at), name_of(schema.field(column.name).type))
            whole = whole.set_column(at, column.name, made)
    return Records(whole)


def _targets(column: Any, task: Task) -> Any:
    """As they are, but for merged classes and labels with something in them that nobody sees."""
    if task.merged:
        said = renamed(written(column, task.answer), task.merged, task.answer)
        return pa.array(said, pa.string())
    if task.answer != "class" or column.type != pa.string():
        return column
    return pa.array(written(column, task.answer), pa.string())


def reading(dataset: Dataset, task: Task, schema: pa.Schema) -> Dataset:
    """The dataset as the stock reads it; schema: the stock's."""
    return AsRead(inner=dataset, task=task, schema=schema)
