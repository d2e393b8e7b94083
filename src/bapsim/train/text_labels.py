"""Sets of labels of texts: one hinge a label over the n-grams of text.py, calibrated out of fold."""

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
from bapsim.train.labels import Sets, sets_of
from bapsim.train.linear import BATCH, VECTORS, Corpus, Floats, Head, Ints, Linear, Scored, Setup
from bapsim.train.multilabel import Platt, answer_sets, calibrate, platt_of, probabilities, set_loss

LOADER = "bapsim.train.text_labels:load"


class Lesson(NamedTuple):
    """A mixture of texts and their sets (a `train.linear.Lesson`)."""

    corpus: Corpus
    sets: Sets

    @property
    def weight(self) -> Floats:
        return self.sets.weight

    @property
    def k(self) -> int:
        return len(self.sets.classes)

    @property
    def least(self) -> int:
        return int(self.sets.there[self.weight > 0].any(axis=1).all())

    def learn(self, x: Any, rows: Ints, cost: float) -> Linear:
        """Weights of each label by itself; one that all rows have, or none has, scores 1 or -1."""
        weights = np.zeros((x.shape[1], self.k), np.float32)
        bias = np.zeros(self.k, np.float32)
        for j in range(self.k):
            y = self.sets.there[rows, j].astype(np.int64)
            alone, constant = linear.learn(x, y, self.weight[rows], 2, cost)
            weights[:, j], bias[j] = alone[:, 1], constant[1]
        return weights, bias

    def loss(self, held: Scored, rows: Ints, cost: float) -> float:
        """Binary log-loss over the labels, calibrated on the rows held out."""
        there, weight = self.sets.there[rows], self.weight[rows] + 1e-9
        constants = calibrate(held.scores, there, weight, self.least)
        return set_loss(probabilities(held.scores, constants), there, weight)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold scores: cost, each label's evidence, and the scale of in_scope."""

    cost: float
    platt: Platt
    low: float = 0.0
    middle: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TextLabels:
    """A respondent over text columns that answers with sets; a text without known n-grams gets the shares of
    the labels, in_scope 0.
    """

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: Spec
    head: Head
    prior: Floats
    calibration: Calibration

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, min(BATCH, 4_000_000 // len(self.classes)))

    def _part(self, rows: Rows) -> Answers:
        probs, scope = self.judge(linear.read(rows, self.inputs))
        return answer_sets(self.classes, probs, scope, self.calibration.platt)

    def judge(self, texts: Sequence[str | None]) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] and in_scope float64[n] of texts."""
        return judged(self.head.scores(texts, self.spec), self.prior, self.calibration)

    def save(self, folder: Path) -> None:
        """The files of `train.linear.write`."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "inputs": self.inputs,
            "prior": self.prior.tolist(),
            "calibration": asdict(self.calibration),
        }
        probs, scope = self.judge(VECTORS)
        answers = [{"probs": p.tolist(), "in_scope": float(s)} for p, s in zip(probs, scope, strict=True)]
        linear.write(folder, self.head, self.spec, said, linear.vectors_of(self.head, self.spec, answers))


def load(folder: Path) -> TextLabels:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    head, spec, said, expected = linear.stored(folder)
    platt = platt_of(said["calibration"].pop("platt"))
    model = TextLabels(
        classes=tuple(said["classes"]),
        inputs=tuple(said["inputs"]),
        spec=spec,
        head=head,
        prior=np.array(said["prior"]),
        calibration=Calibration(**said["calibration"], platt=platt),
    )
    probs, _ = model.judge([case["text"] for case in expected])
    if np.abs(probs - [case["probs"] for case in expected]).max() > 1e-6:
        raise Damaged("text_model_differs", path=str(folder))
    return model


def familiarity(held: Scored, least: int) -> Floats:
    """float64[n]: how many words are known, and where every row has a label, how well the best one fits."""
    return np.asarray(held.scores.max(axis=1) * least + linear.WORDS_KNOWN * held.coverage)


def judged(held: Scored, prior: Floats, constants: Calibration) -> tuple[Floats, Floats]:
    """Probabilities float64[n, k] and in_scope float64[n] of scored texts."""
    probs = np.where(held.known[:, None], probabilities(held.scores, constants.platt), prior)
    measure = familiarity(held, constants.platt.least)
    return probs, linear.scaled(measure, held.known, constants.low, constants.middle)


def _model(lesson: Lesson, constants: Calibration, mixture: Mixture, spec: Spec) -> TextLabels:
    return TextLabels(
        classes=lesson.sets.classes,
        inputs=mixture.task.inputs,
        spec=spec,
        head=linear.final(lesson, constants.cost, spec),
        prior=shares(lesson.sets),
        calibration=constants,
    )


def shares(sets: Sets) -> Floats:
    """float64[k]: the share of rows that have each label, a row with and one without beforehand."""
    return np.asarray((sets.weight @ sets.there + 1) / (sets.weight.sum() + 2))


def crossfit(setup: Setup, mixture: Mixture, folds: np.ndarray) -> CrossFit:
    """A fit a fold, some to choose a cost, one on all rows; folds int8[n], -1 = never held out."""
    lesson = Lesson(linear.corpus_of(mixture, setup), sets_of(mixture))
    out = linear.hold_out(lesson, folds, setup.cost, setup.spec)
    heard = np.flatnonzero((folds >= 0) & (lesson.weight > 0))
    heard = heard[linear.thinned(len(heard), 4_000_000 // lesson.k)]
    held, sets = out.of(heard), lesson.sets
    platt = calibrate(held.scores, sets.there[heard], sets.weight[heard], lesson.least)
    low, middle = linear.quantiles(familiarity(held, lesson.least))
    constants = Calibration(cost=out.cost, platt=platt, low=low, middle=middle)
    probs, scope = judged(out.of(np.arange(len(folds))), shares(sets), constants)
    answers = answer_sets(sets.classes, probs, scope, platt, folds >= 0)
    model = _model(lesson, constants, mixture, setup.spec)
    return CrossFit(model=model, answers=answers, fits=out.fits + 1)


def train(setup: Setup, parent: Model | None, mixture: Mixture) -> Model:
    """One fit with the constants of a parent of the same labels, else a cross-fit of its own."""
    sets = sets_of(mixture)
    if isinstance(parent, TextLabels) and parent.classes == sets.classes:
        lesson = Lesson(linear.corpus_of(mixture, setup), sets)
        return _model(lesson, parent.calibration, mixture, setup.spec)
    rarest = sets.there.sum(axis=0)
    order = np.where(sets.there, rarest * len(rarest) + np.arange(len(rarest)), np.iinfo(np.int64).max)
    return crossfit(setup, mixture, linear.own_folds(order.min(axis=1))).model
