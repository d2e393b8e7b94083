"""What the service answered and what people said of it: the columns that rows of a log keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bapsim.core.arrow import numbers, strings
from bapsim.judge.compare import wilson
from bapsim.store.lake import read_batch
from bapsim.text.targets import written
from bapsim.wheel.stock import Stock

METHOD = "service"  # how the method of a log's rows begins
COLUMNS = ["request", "model", "prediction", "thumbs", "out_of_scope"]


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Rows of logs: at int64[m], where they stand in the stock; model, prediction object[m], as targets are
    written, None = not said; thumbs float64[m], nan = none; strange: bool[m], people said that nothing fits.
    """

    at: np.ndarray
    model: np.ndarray
    prediction: np.ndarray
    thumbs: np.ndarray
    strange: np.ndarray


def logged(stock: Stock) -> Logged:
    """Every row of a service's log, in the order of the stock."""
    parts = list(_parts(stock))
    return Logged(
        at=np.concatenate([np.empty(0, np.int64), *(one[0] for one in parts)]),
        model=np.array([v for one in parts for v in one[1]], object),
        prediction=np.array([v for one in parts for v in one[2]], object),
        thumbs=np.concatenate([np.empty(0), *(one[3] for one in parts)]),
        strange=np.concatenate([np.empty(0, bool), *(one[4] for one in parts)]),
    )


def _parts(stock: Stock) -> Iterator[tuple[Any, ...]]:
    served = stock.of_origins(lambda _, origin: origin.method.startswith(METHOD))
    for i, mine in enumerate(stock.split(served)):
        path = stock.wheel / stock.shards[i].path
        if not mine.any() or not set(COLUMNS) <= set(pq.read_schema(path).names):
            continue
        batch = read_batch(path, COLUMNS)
        here = np.flatnonzero(mine)
        said = written(batch.column("prediction"), stock.task.answer)
        yield (
            here + stock.starts[i],
            np.array(strings(batch.column("model")), object)[here],
            np.array(said, object)[here],
            numbers(batch.column("thumbs"))[here],
            (numbers(batch.column("out_of_scope"), 0.0) == 1)[here],
        )


def market(stock: Stock) -> list[dict[str, Any]]:
    """For each model version: requests, how many people spoke about, with how many they were content.

    Content: a thumb up, or a label that is what the model said; not content: a thumb down, another label, or
    "nothing fits". Of several rows about one request the last counts; who was set aside is not heard. Who
    speaks is not a sample of those who ask: the share says nothing of the others, and its 95 % interval (low,
    high) is of the speakers alone.
    """
    found = logged(stock)
    names, sources = strings(stock.records.column("_key")), {n: o.source for n, o in stock.origins.items()}
    last = {(sources[int(stock.origin[row])], names[row]): k for k, row in enumerate(found.at.tolist())}
    kept = np.array(sorted(last.values()), np.int64)
    rows = found.at[kept]
    labels, said = stock.labels[rows], found.prediction[kept]
    labelled = np.array([label is not None for label in labels], bool)
    agrees = np.array([a == b for a, b in zip(labels, said, strict=True)], bool)
    thumbs, strange = found.thumbs[kept], found.strange[kept]
    aside = stock.of_origins(lambda n, _: stock.states[n] == "refused")[rows]
    spoke = (labelled | ~np.isnan(thumbs) | strange) & ~aside
    content = np.where(labelled, agrees, (thumbs > 0) & ~strange)
    table = []
    for version in dict.fromkeys(v for v in found.model[kept].tolist() if v is not None):
        mine = np.array([v == version for v in found.model[kept]], bool)
        heard, good = int((mine & spoke).sum()), int((mine & spoke & content).sum())
        low, high = wilson(good, heard) if heard else (None, None)
        share = good / heard if heard else None
        counts = {"requests": int(mine.sum()), "spoke": heard, "content": good}
        table.append({"version": version, **counts, "share": share, "low": low, "high": high})
    return table
