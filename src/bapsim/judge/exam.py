"""Scores of a respondent on exam items, and the metrics over them, for classes, sets of labels and numbers.

One function a concept: `heard` says what a respondent answered, `item_losses` how far off it was, `right`
whether it was, `contradicts` whether a label speaks against it. Nobody else compares a target with an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import Column, numbers, strings
from bapsim.core.errors import ExchangeError, RecipeError
from bapsim.core.recipe import Mixture, Respondent, said_of
from bapsim.core.records import Answer, Scores, Task
from bapsim.judge.calibrate import is_calibrated
from bapsim.judge.claims import flagged
from bapsim.text.targets import label_set, memberships, numbers_of, written

Floats = NDArray[np.float64]
NOTHING: Mapping[str, Column] = MappingProxyType({})
SHARE = 0.01  # of each answer is spread over all classes: no single surprise outweighs an exam

# --- what was answered


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What one respondent said of n items.

    prediction: object[n], written (`bapsim.text.targets`), None = nothing; confidence: float64[n] that it is
    right, of a number that the truth lies between low and high; probs: float32[n, classes] or None, of sets
    one probability a label; low, high: float64[n] or None; loss: float64[n], nats per byte of the text that
    was to be written, or None.
    """

    answer: Answer
    prediction: np.ndarray
    confidence: Floats
    probs: np.ndarray | None
    classes: tuple[str, ...]
    low: Floats | None = None
    high: Floats | None = None
    loss: Floats | None = None


def probs_of(answers: pa.RecordBatch) -> np.ndarray | None:
    """float32[n, classes] of answers that carry calibrated probabilities, else None."""
    if "probs" not in answers.schema.names:
        return None
    column: Any = answers.column("probs")
    width = column.type.list_size
    values = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count:
        whole = np.zeros((len(answers), width), np.float32)
        whole[column.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, width)
        return whole
    return np.asarray(values.reshape(len(answers), width), np.float32)


def heard(answers: pa.RecordBatch, classes: Sequence[str], answer: Answer) -> Heard:
    """Answers of any respondent as the judge reads them; without a confidence it is sure of itself.

    Raises ExchangeError where a number was asked for and something else was said.
    """
    probs = probs_of(answers) if classes and answer != "number" else None
    said = written(answers.column("prediction"), answer)
    prediction = np.array(said, object)
    if answer == "number":
        odd = [one for one, v in zip(said, numbers_of(said), strict=True) if one is not None and np.isnan(v)]
        if odd:
            raise ExchangeError("answer_no_number", count=len(odd), rows=len(said), first=odd[0][:80])
    if answer == "class" and probs is not None:  # what is scored must be what is checked
        confidence = probs.max(axis=1, initial=0.0).astype(np.float64)
    elif "confidence" in answers.schema.names:
        confidence = numbers(answers.column("confidence"), 1.0)
    else:
        confidence = np.ones(len(answers))
    names = ("low", "high", "loss")
    low, high, loss = (numbers(answers.column(n)) if n in answers.schema.names else None for n in names)
    return Heard(
        answer=answer,
        prediction=prediction,
        confidence=confidence,
        probs=probs,
        classes=tuple(classes),
        low=low,
        high=high,
        loss=loss if answer == "text" else None,
    )


def joined_up(parts: Sequence[tuple[Heard, np.ndarray]]) -> Heard:
    """One respondent's answers, given in parts with the positions of their items (together 0 .. n - 1).

    Without probabilities in one part there are none in the whole; nor is there half an interval.
    """
    order = np.argsort(np.concatenate([at for _, at in parts]), kind="stable")

    def whole(name: str) -> Any:
        found = [getattr(said, name) for said, _ in parts]
        return None if any(one is None for one in found) else np.concatenate(found)[order]

    first = parts[0][0]
    return Heard(
        answer=first.answer,
        classes=first.classes,
        **{name: whole(name) for name in ("prediction", "confidence", "probs", "low", "high", "loss")},
    )


# --- how far off


def gold_share(probs: np.ndarray, classes: Sequence[str], gold: Sequence[str | None]) -> np.ndarray:
    """float64[n]: the probability given to each row's gold class, 0 for a class that is not known."""
    place = {name: i for i, name in enumerate(classes)}
    at = np.array([-1 if g is None else place.get(g, -1) for g in gold], np.int64)
    if not len(classes):
        return np.zeros(len(gold))
    picked = probs[np.arange(len(gold)), np.maximum(at, 0)].astype(np.float64)
    return np.asarray(np.where(at >= 0, picked, 0.0))


def losses(probs: np.ndarray, classes: Sequence[str], gold: Sequence[str | None]) -> np.ndarray:
    """Log-loss per item in nats with a bound, float64[n]; probs calibrated, float[n, classes].

    1 % of each answer is spread over all classes: still a proper score of the answer so mixed, and the
    largest loss is log(classes / .01).
    """
    mixed = (1 - SHARE) * gold_share(probs, classes, gold) + SHARE / max(len(classes), 2)
    return np.asarray(-np.log(mixed))


def set_losses(probs: np.ndarray, classes: Sequence[str], gold: Sequence[str | None]) -> np.ndarray:
    """Binary log-loss over the labels of each item's set, summed, in nats: float64[n].

    As `losses`, 1 % of each label's probability is spread over yes and no. A label that is absent and was
    given no chance costs nothing, so that a model that knows fewer labels has no advantage by that alone; a
    label that the model does not know costs log(200), as one that it was sure of being absent.
    """
    there = memberships(gold, classes)
    mixed = (1 - SHARE) * probs.astype(np.float64) + SHARE / 2
    lost = np.where(there, -np.log(mixed), np.log1p(-SHARE / 2) - np.log1p(-mixed)).sum(axis=1)
    unknown = np.array([0 if g is None else len(label_set(g)) for g in gold]) - there.sum(axis=1)
    return np.asarray(lost - unknown * np.log(SHARE / 2))


def distances(prediction: Sequence[str | None], gold: Sequence[str | None]) -> np.ndarray:
    """Absolute errors of written numbers in the target's own unit, float64[n]; nan without an answer.

    Without a bound, and none is needed: what two models' errors on one item differ by is at most what their
    answers differ by, however odd the item.
    """
    return np.asarray(np.abs(numbers_of(prediction) - numbers_of(gold)))


def item_losses(said: Heard, gold: Sequence[str | None]) -> np.ndarray:
    """float64[n], nan where nothing was measured: calibrated log-loss, of a number the absolute error, of a
    text the nats per byte.
    """
    if said.answer == "number":
        return distances(said.prediction.tolist(), gold)
    if said.loss is not None:
        return said.loss
    if said.probs is None:
        return np.full(len(gold), np.nan)
    measure = losses if said.answer == "class" else set_losses
    return measure(said.probs, said.classes, gold)


def agrees(said: Heard, gold: Sequence[str | None]) -> NDArray[np.bool_]:
    """bool[n]: the answer is the gold one, of sets all of it; false for numbers, which are near or far."""
    same = [g is not None and g == p for g, p in zip(gold, said.prediction.tolist(), strict=True)]
    return np.array(same, bool) & (said.answer != "number")


def contradicts(said: Heard, gold: Sequence[str | None]) -> NDArray[np.bool_]:
    """bool[n]: the target speaks against the answer: it is another one, or a number outside its interval."""
    if said.answer != "number" or said.low is None or said.high is None:
        return np.array([g != p for g, p in zip(gold, said.prediction.tolist(), strict=True)], bool)
    value = numbers_of(gold)
    return np.asarray((value < said.low) | (value > said.high))


def knows(said: Heard, gold: Sequence[str | None]) -> NDArray[np.bool_]:
    """bool[n]: the respondent can give this answer; any number, or text, can be given."""
    known = set(said.classes)
    if said.answer in ("number", "text"):
        return np.ones(len(gold), bool)
    parts = ((str(g),) if said.answer == "class" else label_set(g or "") for g in gold)
    return np.array([known.issuperset(part) for part in parts], bool)


def decides(said: Heard, gold: Sequence[str | None], rows: NDArray[np.bool_]) -> bool:
    """Whether the losses may decide, by answers about these of the rows: the probabilities must be honest.

    Of sets, each label's. An absolute error needs no probabilities; the chance of a text adds up by itself.
    """
    if said.answer == "number" or said.loss is not None:
        return True
    if said.probs is None:
        return False
    if said.answer == "class":
        return is_calibrated(said.confidence[rows], agrees(said, gold)[rows])
    probs = said.probs[rows].astype(np.float64)
    there = memberships(gold, said.classes)[rows]
    sure = np.maximum(probs, 1 - probs)
    return is_calibrated(sure.ravel(), ((probs >= 0.5) == there).ravel())


def scored(
    said: Heard, gold: Sequence[str | None], ids: Column, group: Column, more: Mapping[str, Column] = NOTHING
) -> Scores:
    """One row per item: _id, gold, prediction (numbers as float64), loss, group, and more."""
    columns = {
        "_id": ids,
        "gold": _told(list(gold), said.answer),
        "prediction": _told(said.prediction.tolist(), said.answer),
        "loss": pa.array(item_losses(said, gold), pa.float64(), from_pandas=True),
        "group": group,
        **more,
    }
    whole = pa.record_batch(list(columns.values()), names=list(columns))
    measured = said.answer == "number" or said.probs is not None or said.loss is not None
    return _marked(whole, answer=said.answer, calibrated="1" if measured else "0")


def _told(said: list[str | None], answer: Answer) -> Column:
    if answer == "number":
        return pa.array(numbers_of(said), pa.float64(), from_pandas=True)
    return pa.array(said, pa.string())


@dataclass(frozen=True, kw_only=True)
class PerItem:
    """A judge: prediction, loss (null without calibrated probabilities), group and slices; with `passage`
    also the claims of each answer, and those that the passage in this column does not support.
    """

    passage: str | None = None

    def __call__(self, who: Respondent, exam: Mixture) -> Scores:
        task = exam.task
        answers = said_of(who, exam.records, task)
        if len(answers) != len(exam):
            raise ExchangeError("answers_do_not_fit", asked=len(exam), answered=len(answers))
        gold = written(exam.records.column(task.target), task.answer)
        said = heard(answers, getattr(who, "classes", ()), task.answer)
        group = [None] * len(gold) if task.group is None else strings(exam.records.column(task.group))
        more = {f"slice_{n}": pa.array(strings(exam.records.column(n)), pa.string()) for n in task.slices}
        if said.probs is not None:
            shares = said.probs.T.astype(np.float64)
            more |= {f"p_{name}": pa.array(one) for name, one in zip(said.classes, shares, strict=True)}
        if self.passage is not None:
            known_passage(self, task)
            passages = [one or "" for one in strings(exam.records.column(self.passage))]
            counts = flagged([one or "" for one in said.prediction.tolist()], passages)
            told: list[Any] = [pa.array(one, pa.int64()) for one in counts.T]
            more |= dict(zip(("claims", "unsupported"), told, strict=True))
        return scored(said, gold, exam.records.column("_id"), pa.array(group, pa.string()), more)


def known_passage(judge: object, task: Task) -> None:
    """Raises RecipeError for a judge whose passage is no input of the task, or whose answers are no texts."""
    passage = getattr(judge, "passage", None)
    if passage is not None and (task.answer != "text" or passage not in task.inputs):
        inputs = ", ".join(task.inputs)
        raise RecipeError("judge_passage", passage=passage, inputs=inputs, target=task.target)


def per_item(*, passage: str | None = None) -> PerItem:
    """The judge that scores each exam item by itself.

    passage: the input column that answers are to be grounded in, for tasks that answer with a text: the gate
    refuses a model that invents more than the one before. RecipeError where it is no input, or the answer is
    no text.
    """
    return PerItem(passage=passage)


def _marked(scores: pa.RecordBatch, **marks: str) -> Scores:
    known = {k.decode(): v.decode() for k, v in (scores.schema.metadata or {}).items()}
    return Scores(scores.replace_schema_metadata(known | marks))


def uncalibrated(scores: Scores) -> Scores:
    """The same scores, marked: their losses are measured, but decide nothing."""
    return _marked(scores, calibrated="0")


def of_numbers(scores: Scores) -> bool:
    """Whether these are answers that are numbers."""
    return bool(pa.types.is_floating(scores.schema.field("gold").type))


def of_sets(scores: Scores) -> bool:
    """Whether these are answers that are sets of labels."""
    return (scores.schema.metadata or {}).get(b"answer") == b"labels"


def spread(scores: Scores) -> float:
    """How far the gold numbers lie apart: the median distance from their median, the mean one if that is 0.

    A hundredth of it is what one point is where models of numbers are compared in points.
    """
    gold = numbers(scores.column("gold"))
    off = np.abs(gold - np.median(gold)) if len(gold) else np.zeros(1)
    return float(np.median(off)) or float(np.mean(off))


# --- over all items


def right(scores: Scores) -> np.ndarray:
    """bool[n]: the prediction is the gold label, or set; a missing one is wrong; no number is right."""
    if of_numbers(scores):
        return np.zeros(len(scores), bool)
    gold, said = strings(scores.column("gold")), strings(scores.column("prediction"))
    return np.array([g is not None and g == p for g, p in zip(gold, said, strict=True)], bool)


def accuracy(scores: Scores) -> float:
    """The share of items with the right prediction; of sets, those that are wholly right."""
    return float(right(scores).mean()) if len(scores) else float("nan")


def log_loss(scores: Scores) -> float:
    """Minus the mean calibrated log-loss in nats (of texts, a byte): greater is better, like all here."""
    return -float(np.mean(numbers(scores.column("loss")))) if len(scores) else float("nan")


def bits_per_byte(scores: Scores) -> float:
    """Minus the mean over texts of the bits that a byte of each costs: greater is better."""
    return log_loss(scores) / math.log(2)


def mean_absolute_error(scores: Scores) -> float:
    """Minus the mean absolute error of numbers, in the target's own unit: greater is better."""
    return -float(np.mean(_errors(scores))) if len(scores) else float("nan")


def r2(scores: Scores) -> float:
    """The share of the numbers' variance that the predictions explain; nan where nothing varies."""
    gold = numbers(scores.column("gold"))
    about = float(((gold - gold.mean()) ** 2).sum()) if len(gold) else 0.0
    return 1 - float((_errors(scores) ** 2).sum()) / about if about > 0 else float("nan")


@dataclass(frozen=True, kw_only=True)
class Within:
    """A metric: the share of numbers that are at most `tolerance` off, in the target's own unit."""

    tolerance: float

    def __call__(self, scores: Scores) -> float:
        return float((_errors(scores) <= self.tolerance).mean()) if len(scores) else float("nan")


def within(tolerance: float) -> Within:
    """The share of numbers that are near enough."""
    return Within(tolerance=tolerance)


def _errors(scores: Scores) -> Floats:
    return np.asarray(np.abs(numbers(scores.column("gold")) - numbers(scores.column("prediction"))))


@dataclass(frozen=True, kw_only=True)
class MicroF1:
    """A metric of sets: twice the labels that were found, over the labels there and the labels given."""

    def __call__(self, scores: Scores) -> float:
        return float(self.weighted(scores, np.ones((1, len(scores))))[0])

    def weighted(self, scores: Scores, weights: Floats) -> Floats:
        """The metric under each row of item weights: float64[b, n] -> float64[b]; nan where no label is."""
        pairs = zip(strings(scores.column("gold")), strings(scores.column("prediction")), strict=True)
        sets = [(set(label_set(gold or "")), set(label_set(said or ""))) for gold, said in pairs]
        found = np.array([len(gold & said) for gold, said in sets], np.float64)
        whole = np.array([len(gold) + len(said) for gold, said in sets], np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray(2 * (weights @ found) / (weights @ whole))


def micro_f1() -> MicroF1:
    """Micro-averaged F1 of sets of labels: for rare labels, which exact agreement hardly sees."""
    return MicroF1()
