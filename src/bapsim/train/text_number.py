"""Numbers of texts: ridge regression over the n-grams of text.py, with intervals from out-of-fold errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bapsim.core.errors import Damaged
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.text.features import Spec
from bapsim.train import linear
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import Numbers, values_of
from bapsim.train.linear import BATCH, VECTORS, Corpus, Floats, Head, Ints, Linear, Scored, Setup
from bapsim.train.number import Reading, answer_numbers, fit, read, reading_of, tamed

LOADER = "bapsim.train.text_number:load"


class Lesson(NamedTuple):
    """A mixture of texts and their numbers (a `train.linear.Lesson`)."""

    corpus: Corpus
    numbers: Numbers
    k: int = 1

    @property
    def weight(self) -> Floats:
        return self.numbers.weight

    @property
    def value(self) -> Floats:
        return self.numbers.value

    @property
    def range(self) -> tuple[float, float]:
        heard = self.value[self.weight > 0]
        return float(heard.min()), float(heard.max())

    def learn(self, x: Any, rows: Ints, cost: float) -> Linear:
        """Ridge regression by conjugate gradients; the squared error of a row counts as the hinge of one."""
        from sklearn.linear_model import Ridge

        value, weight = tamed(self.value[rows]), self.weight[rows]
        centre, scale = float(np.average(value, weights=weight)), float(value.std()) or 1.0
        ridge = Ridge(alpha=1 / cost, solver="sparse_cg", tol=1e-4, max_iter=1000)
        ridge.fit(x.astype(np.float64), (value - centre) / scale, weight / weight.mean())
        weights = (scale * ridge.coef_).astype(np.float32)
        return weights[:, None], np.array([scale * ridge.intercept_ + centre], np.float32)

    def loss(self, held: Scored, rows: Ints, cost: float) -> float:
        """Sum of absolute errors."""
        value = np.clip(held.scores[:, 0], *self.range)
        return float((self.weight[rows] + 1e-9) @ np.abs(value - self.value[rows]))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold scores: cost, how scores are read, and the scale of in_scope."""

    cost: float
    reading: Reading
    low: float = 0.0
    middle: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TextNumber:
    """A respondent over text columns that answers with numbers; a text without known n-grams gets the median,
    in_scope 0.
    """

    inputs: tuple[str, ...]
    spec: Spec
    head: Head
    median: float
    calibration: Calibration
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, BATCH)

    def _part(self, rows: Rows) -> Answers:
        held = self.head.scores(linear.read(rows, self.inputs), self.spec)
        return answered(held, self.median, self.calibration)

    def judge(self, texts: Sequence[str | None]) -> tuple[Floats, Floats]:
        """Numbers and in_scope of texts, float64[n] each."""
        held = self.head.scores(texts, self.spec)
        score, difficulty, scope = measured(held, self.median, self.calibration)
        return read(score, difficulty, self.calibration.reading)[0], scope

    def save(self, folder: Path) -> None:
        """The files of `train.linear.write`."""
        said = {
            "loader": LOADER,
            "inputs": self.inputs,
            "median": self.median,
            "calibration": asdict(self.calibration),
        }
        values, scope = self.judge(VECTORS)
        answers = [{"value": float(v), "in_scope": float(s)} for v, s in zip(values, scope, strict=True)]
        linear.write(folder, self.head, self.spec, said, linear.vectors_of(self.head, self.spec, answers))


def load(folder: Path) -> TextNumber:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    head, spec, said, expected = linear.stored(folder)
    reading = reading_of(said["calibration"].pop("reading"))
    model = TextNumber(
        inputs=tuple(said["inputs"]),
        spec=spec,
        head=head,
        median=said["median"],
        calibration=Calibration(**said["calibration"], reading=reading),
    )
    values, _ = model.judge([case["text"] for case in expected])
    off = np.abs(values - [case["value"] for case in expected]).max()
    if off > 1e-6 * max(reading.most - reading.least, 1e-300):
        raise Damaged("text_model_differs", path=str(folder))
    return model


def measured(held: Scored, median: float, constants: Calibration) -> tuple[Floats, Floats, Floats]:
    """Score, difficulty (the share of unknown words) and in_scope, float64[n] each."""
    score = np.where(held.known, held.scores[:, 0], median)
    scope = linear.scaled(held.coverage, held.known, constants.low, constants.middle)
    return score, np.where(held.known, 1 - held.coverage, 1.0), scope


def answered(held: Scored, median: float, constants: Calibration, asked: np.ndarray | None = None) -> Answers:
    """Answers to scored texts."""
    score, difficulty, scope = measured(held, median, constants)
    return answer_numbers(score, difficulty, scope, constants.reading, asked)


def _model(lesson: Lesson, constants: Calibration, mixture: Mixture, spec: Spec) -> TextNumber:
    return TextNumber(
        inputs=mixture.task.inputs,
        spec=spec,
        head=linear.final(lesson, constants.cost, spec),
        median=float(np.median(lesson.value[lesson.weight > 0])),
        calibration=constants,
    )


def crossfit(setup: Setup, mixture: Mixture, folds: np.ndarray) -> CrossFit:
    """A fit a fold, some to choose a cost, one on all rows; folds int8[n], -1 = never held out."""
    lesson = Lesson(linear.corpus_of(mixture, setup), values_of(mixture))
    out = linear.hold_out(lesson, folds, setup.cost, setup.spec)
    heard = np.flatnonzero((folds >= 0) & (lesson.weight > 0))
    held = out.of(heard)
    reading = fit(held.scores[:, 0], 1 - held.coverage, lesson.value[heard], *lesson.range)
    low, middle = linear.quantiles(held.coverage)
    constants = Calibration(cost=out.cost, reading=reading, low=low, middle=middle)
    model = _model(lesson, constants, mixture, setup.spec)
    answers = answered(out.of(np.arange(len(folds))), model.median, constants, folds >= 0)
    return CrossFit(model=model, answers=answers, fits=out.fits + 1)


def train(setup: Setup, parent: Model | None, mixture: Mixture) -> Model:
    """One fit with the constants of a parent that says numbers, else a cross-fit of its own."""
    if isinstance(parent, TextNumber):
        lesson = Lesson(linear.corpus_of(mixture, setup), values_of(mixture))
        return _model(lesson, parent.calibration, mixture, setup.spec)
    place = np.argsort(np.argsort(values_of(mixture).value, kind="stable"), kind="stable")
    return crossfit(setup, mixture, linear.own_folds(place)).model
