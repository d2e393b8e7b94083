"""What a model says of rows that it was not trained on: out of fold where it was, directly where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import id_bytes, positions, take, valid
from bapsim.core.recipe import CrossFit, Respondent, said_of
from bapsim.core.records import Records, Scores
from bapsim.judge.exam import Heard, decides, heard, joined_up, scored
from bapsim.store import fault
from bapsim.store.lake import parquet, read_batch
from bapsim.wheel.stock import Stock

OOF = "oof.parquet"
WEIGHT = "weight"
KEPT = ("prediction", "confidence", "probs", "low", "high", "loss")


Table = Path | pa.RecordBatch  # out-of-fold answers by id, in a file or in memory


def oof_table(records: Records, fitted: CrossFit) -> pa.RecordBatch:
    """The out-of-fold answers of one model, by id."""
    answers = fitted.answers
    kept = [n for n in KEPT if n in answers.schema.names]
    columns = [records.column("_id"), *(answers.column(n) for n in kept)]
    return pa.RecordBatch.from_arrays(columns, names=["_id", *kept])


def write_oof(folder: Path, records: Records, fitted: CrossFit, weight: np.ndarray) -> None:
    """The out-of-fold answers of one model beside the model, and how much each row counted: float32[n]."""
    path = folder / OOF
    table = oof_table(records, fitted).append_column(WEIGHT, pa.array(weight, pa.float32()))
    path.write_bytes(parquet(table))
    fault.point("oof written")


def table_of(oof: Table, columns: list[str] | None = None) -> pa.RecordBatch:
    """Out-of-fold answers, all columns or these."""
    return oof if isinstance(oof, pa.RecordBatch) else read_batch(oof, columns)


def held_out(model: Respondent, oof: Table | None, stock: Stock, rows: np.ndarray) -> Heard:
    """A model's answers about stock rows; `oof` is its table, None for one that was trained on none."""
    ids, task = stock.records.column("_id").take(pa.array(rows)), stock.task  # without bytes of pictures
    classes = tuple(getattr(model, "classes", ()))
    place = np.full(len(rows), -1, np.int64)
    parts: list[tuple[Heard, np.ndarray]] = []
    if oof is not None:
        table = table_of(oof)
        place = positions(ids, table.column("_id"))
        told = valid(table.column("loss" if "loss" in table.schema.names else "prediction"))
        place = np.where((place >= 0) & told[np.maximum(place, 0)], place, -1)
        known = np.flatnonzero(place >= 0)
        if len(known):
            parts.append((heard(take(table, place[known]), classes, task.answer), known))
    new = np.flatnonzero(place < 0)
    if len(new) or not parts:
        answers = said_of(model, stock.part(rows[new]), task)
        parts.append((heard(answers, classes, task.answer), new))
    return joined_up(parts)


def eaten(oof: Table | None, stock: Stock, rows: np.ndarray) -> np.ndarray:
    """bool[n]: rows that the model of this table was trained on; all of them for a model without one."""
    if oof is None:
        return np.ones(len(rows), bool)
    return np.isin(stock.ids[rows], id_bytes(table_of(oof, ["_id"]).column("_id")))


def honest(said: Heard, stock: Stock, rows: np.ndarray, own: np.ndarray) -> bool:
    """Whether a model's losses may decide, by its answers about stock rows of which it had eaten `own`."""
    return decides(said, stock.labels[rows].tolist(), own)


def as_scores(said: Heard, stock: Stock, rows: np.ndarray, groups: np.ndarray) -> Scores:
    """Held-out answers as scores, so that the gate's functions read them; groups int64[n]."""
    group = pa.array([str(g) for g in groups], pa.string())
    return scored(said, stock.labels[rows].tolist(), stock.records.column("_id").take(pa.array(rows)), group)
