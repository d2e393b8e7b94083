"""Whom the first candidate must beat: the user's incumbent, or the majority class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import cells, strings
from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.core.records import Answers, Rows


def _answers(prediction: Sequence[str | None], confidence: Sequence[float | None]) -> Answers:
    status = ["answered" if p is not None else "declined" for p in prediction]
    columns: dict[str, Any] = {
        "prediction": pa.array(prediction, pa.string()),
        "confidence": pa.array(confidence, pa.float32()),
        "_status": pa.array(status, pa.string()),
    }
    return Answers(pa.record_batch(list(columns.values()), names=list(columns)))


@dataclass(frozen=True, kw_only=True)
class Majority:
    """Always the most frequent label of the training rows, with the label shares as probabilities."""

    classes: tuple[str, ...]
    shares: tuple[float, ...]

    def __call__(self, rows: Rows) -> Answers:
        best = int(np.argmax(self.shares))
        count = len(rows)
        said = _answers([self.classes[best]] * count, [self.shares[best]] * count)
        flat = pa.array(np.tile(np.asarray(self.shares, np.float32), count))
        probs = pa.FixedSizeListArray.from_arrays(flat, len(self.classes))
        return Answers(said.append_column("probs", probs))


def majority(labels: Sequence[str]) -> Majority:
    """The majority class of these labels; equal counts go to the first name."""
    names, counts = np.unique(np.asarray(labels, object).astype(str), return_counts=True)
    shares = tuple(float(c) / len(labels) for c in counts)
    return Majority(classes=tuple(str(n) for n in names), shares=shares)


def row_key(rows: Rows) -> list[str]:
    """One digest per row of input columns: how stored predictions find their items."""
    offsets, body = cells(rows)
    return [digest(bytes(body[offsets[i] : offsets[i + 1]])) for i in range(len(rows))]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A respondent that repeats predictions made elsewhere, found by the input columns."""

    by_input: dict[str, str]

    def __call__(self, rows: Rows) -> Answers:
        said = [self.by_input.get(key) for key in row_key(rows)]
        return _answers(said, [None] * len(said))


def predicted(inputs: Rows, predictions: Sequence[str]) -> Predicted:
    """The incumbent's predictions for these inputs; the same input twice must have one prediction."""
    by_input: dict[str, str] = {}
    for key, said in zip(row_key(inputs), predictions, strict=True):
        if by_input.setdefault(key, said) != said:
            raise InputError("incumbent_contradicts", first=by_input[key], second=said)
    return Predicted(by_input=by_input)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model behind HTTP: POST {"rows": [...]} -> {"predictions": [...]}, in batches."""

    url: str
    batch: int = 256
    seconds: float = 30.0

    def __call__(self, rows: Rows) -> Answers:
        import httpx

        said: list[str | None] = []
        with httpx.Client(timeout=self.seconds) as client:
            for start in range(0, len(rows), self.batch):
                part = rows.slice(start, self.batch).to_pylist()
                said += self._ask(client, part)
        return _answers(said, [None] * len(said))

    def _ask(self, client: Any, part: list[dict[str, Any]]) -> list[str | None]:
        import httpx

        try:
            reply = client.post(self.url, json={"rows": part})
            reply.raise_for_status()
            found = reply.json()["predictions"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise InputError("incumbent_fails", url=self.url, why=str(error)) from error
        if not isinstance(found, list) or len(found) != len(part):
            raise InputError(
                "incumbent_fails", url=self.url, why=f"{len(part)} rows, another number of answers"
            )
        return strings(pa.array([None if p is None else str(p) for p in found], pa.string()))
