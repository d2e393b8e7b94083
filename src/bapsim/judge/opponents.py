"""Whom the first candidate must beat: the user's incumbent, or what one would say without looking.

That is the most frequent class, the most frequent set with the share of each label, the median, or how often
each byte stands in texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, cells
from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.core.records import Answer, Answers, Rows
from bapsim.text.byte_ngram import ByteModel, learn, nats
from bapsim.text.targets import labels_in, memberships, numbers_of, written


def _answers(prediction: Sequence[str | None], confidence: Sequence[float | None]) -> Answers:
    status = ["answered" if p is not None else "declined" for p in prediction]
    columns: dict[str, Column] = {
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


@dataclass(frozen=True, kw_only=True)
class Frequent:
    """Always the most frequent set of labels, with each label's share of the rows as its probability."""

    classes: tuple[str, ...]
    shares: tuple[float, ...]
    prediction: str
    confidence: float

    def __call__(self, rows: Rows) -> Answers:
        count = len(rows)
        said = _answers([self.prediction] * count, [self.confidence] * count)
        if not self.classes:  # no row has a label
            return said
        flat = pa.array(np.tile(np.asarray(self.shares, np.float32), count), pa.float32())
        return Answers(
            said.append_column("probs", pa.FixedSizeListArray.from_arrays(flat, len(self.classes)))
        )


def frequent(sets: Sequence[str]) -> Frequent:
    """The most frequent of these written sets; equal counts go to the first in order."""
    classes = labels_in(sets)
    names, counts = np.unique(np.asarray(sets, object).astype(str), return_counts=True)
    shares = memberships(sets, classes).mean(axis=0)
    best = int(np.argmax(counts))
    return Frequent(
        classes=tuple(classes),
        shares=tuple(float(share) for share in shares),
        prediction=str(names[best]),
        confidence=float(counts[best] / len(sets)),
    )


@dataclass(frozen=True, kw_only=True)
class Median:
    """Always the median of the training rows, between their first and last tenth."""

    value: float
    low: float
    high: float
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Answers:
        ends = {"prediction": self.value, "low": self.low, "high": self.high}
        columns = {name: pa.array(np.full(len(rows), value)) for name, value in ends.items()}
        columns |= {"confidence": pa.array(np.full(len(rows), 0.8, np.float32))}
        columns |= {"_status": pa.array(["answered"] * len(rows), pa.string())}
        return Answers(pa.record_batch(list(columns.values()), names=list(columns)))


def median(values: Sequence[str]) -> Median:
    """The median of these written numbers."""
    low, value, high = np.quantile(numbers_of(values), [0.1, 0.5, 0.9]).tolist()
    return Median(value=value, low=low, high=high)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bytes:
    """Foresees each byte of a text by how often it stands in the training rows; writes nothing."""

    target: str
    counts: ByteModel
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Answers:
        return _answers([None] * len(rows), [None] * len(rows))

    def losses(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What each text costs in nats, float64[n], and its bytes, int64[n]."""
        return nats(self.counts, [one or "" for one in written(rows.column(self.target), "text")])


def uninformed(
    targets: Sequence[str], answer: Answer, target: str = ""
) -> Majority | Frequent | Median | Bytes:
    """Who says the best that can be said without looking at the input; target: the column of texts."""
    if answer == "number":
        return median(targets)
    if answer == "text":
        return Bytes(target=target, counts=learn(targets, 0))
    return majority(targets) if answer == "class" else frequent(targets)


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
        return [p if p is None else json.dumps(p) if isinstance(p, list) else str(p) for p in found]
