"""What a model says of rows that it was not trained on: out of fold where it was, directly where not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import id_bytes, positions, strings, take
from bapsim.core.recipe import CrossFit, Respondent
from bapsim.core.records import Records, Rows, Scores, rows_of
from bapsim.judge.calibrate import is_calibrated
from bapsim.judge.exam import losses, probs_of
from bapsim.store import fault
from bapsim.store.lake import parquet, read_batch
from bapsim.wheel.stock import Stock

OOF = "oof.parquet"


Table = Path | pa.RecordBatch  # out-of-fold answers by id, in a file or in memory


def oof_table(records: Records, fitted: CrossFit) -> pa.RecordBatch:
    """The out-of-fold answers of one model, by id."""
    answers = fitted.answers
    kept = [n for n in ("prediction", "confidence", "probs") if n in answers.schema.names]
    columns = [records.column("_id"), *(answers.column(n) for n in kept)]
    return pa.RecordBatch.from_arrays(columns, names=["_id", *kept])


def write_oof(folder: Path, records: Records, fitted: CrossFit) -> None:
    """The out-of-fold answers of one model, beside the model."""
    path = folder / OOF
    path.write_bytes(parquet(oof_table(records, fitted)))
    fault.point("oof written")


def table_of(oof: Table, columns: list[str] | None = None) -> pa.RecordBatch:
    """Out-of-fold answers, all columns or these."""
    return oof if isinstance(oof, pa.RecordBatch) else read_batch(oof, columns)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Answers of one model about n rows: prediction object[n]; probs float32[n, classes] or None."""

    prediction: np.ndarray
    probs: np.ndarray | None
    classes: tuple[str, ...]

    @property
    def confidence(self) -> np.ndarray:
        return np.ones(len(self.prediction)) if self.probs is None else self.probs.max(axis=1)


def held_out(model: Respondent, oof: Table | None, stock: Stock, rows: np.ndarray) -> HeldOut:
    """A model's answers about stock rows; `oof` is its table, None for one that was trained on none."""
    records = stock.part(rows)
    classes = tuple(getattr(model, "classes", ()))
    place = np.full(len(records), -1, np.int64)
    table = None
    if oof is not None:
        table = table_of(oof)
        place = positions(records.column("_id"), table.column("_id"))
        valid = np.asarray(table.column("prediction").is_valid().to_numpy(zero_copy_only=False), bool)
        place = np.where((place >= 0) & valid[np.maximum(place, 0)], place, -1)
    new = np.flatnonzero(place < 0)
    direct = model(Rows(take(rows_of(records, stock.task.inputs), new))) if len(new) else None
    prediction = np.full(len(records), None, object)
    probs = np.zeros((len(records), len(classes)), np.float32) if classes else None
    for answers, at in (
        (None if table is None else take(table, place[place >= 0]), place >= 0),
        (direct, new),
    ):
        if answers is None or not len(answers):
            continue
        prediction[at] = strings(answers.column("prediction"))
        found = probs_of(answers)
        if found is None or probs is None:
            probs = None
        else:
            probs[at] = found
    return HeldOut(prediction=prediction, probs=probs, classes=classes)


def eaten(oof: Table | None, stock: Stock, rows: np.ndarray) -> np.ndarray:
    """bool[n]: rows that the model of this table was trained on; all of them for a model without one."""
    if oof is None:
        return np.ones(len(rows), bool)
    return np.isin(stock.ids[rows], id_bytes(table_of(oof, ["_id"]).column("_id")))


def honest(said: HeldOut, stock: Stock, rows: np.ndarray, own: np.ndarray) -> bool:
    """Whether a model's losses may decide, by its answers about stock rows of which it had eaten `own`."""
    if said.probs is None:
        return False
    right = np.array([a == b for a, b in zip(stock.labels[rows], said.prediction, strict=True)], bool)
    return is_calibrated(said.confidence[own].astype(np.float64), right[own])


def as_scores(said: HeldOut, stock: Stock, rows: np.ndarray, groups: np.ndarray) -> Scores:
    """Held-out answers as scores, so that the gate's functions read them; groups int64[n]."""
    gold = list(stock.labels[rows])
    loss = None if said.probs is None else losses(said.probs, said.classes, gold)
    columns = {
        "_id": stock.part(rows).column("_id"),
        "gold": pa.array(gold, pa.string()),
        "prediction": pa.array(said.prediction, pa.string()),
        "loss": pa.nulls(len(gold), pa.float64()) if loss is None else pa.array(loss),
        "group": pa.array([str(g) for g in groups], pa.string()),
    }
    whole = pa.record_batch(list(columns.values()), names=list(columns))
    return Scores(whole.replace_schema_metadata({"calibrated": "0" if loss is None else "1"}))
