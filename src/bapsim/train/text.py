"""Text classification: hashed word and character n-grams, a linear head, constants from out-of-fold scores.

Features are those of docs/features.md, so that a model runs wherever 200 lines of C or JavaScript run. The
head is one-vs-rest with squared hinge loss (Fan et al. 2008, LIBLINEAR); its scores become probabilities by
three numbers and a floor that are fitted out of fold, where labels were not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import Damaged
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.text.features import Entries, Spec
from bapsim.train import linear, text_labels, text_number
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import Labels, labels_of
from bapsim.train.linear import (
    BATCH,
    VECTORS,
    WORDS_KNOWN,
    Corpus,
    Floats,
    Head,
    Ints,
    Linear,
    Scored,
    Setup,
    corpus_of,
    final,
    hold_out,
    learn,
    read,
    thinned,
)
from bapsim.train.table import answer

LOADER = "bapsim.train.text:load"
KNEE = -0.5  # score at which the slope of a class's evidence may change


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold scores, and the cost they were made with.

    Probabilities are (1 - floor) * softmax(slope * s + bend * max(s - KNEE, 0) + shift * ln(prior)) + floor *
    prior. in_scope is .5 where 5 % of held-out training rows score lower, .95 at their median.
    """

    cost: float
    slope: float = 3.0
    bend: float = 0.0
    shift: float = 0.0
    floor: float = 0.01
    low: float = 0.0
    middle: float = 1.0


# --- arrays in, arrays out ------------------------------------------------------------------------


def softmax(logits: Floats) -> Floats:
    """Probabilities float64[n, k]."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def probabilities(scores: Floats, known: NDArray[np.bool_], prior: Floats, constants: Calibration) -> Floats:
    """Calibrated probabilities float64[n, k]; a text without any known n-gram gets the prior."""
    bent = constants.bend * np.maximum(scores - KNEE, 0)
    p = softmax(constants.slope * scores + bent + constants.shift * np.log(prior))
    return np.where(known[:, None], (1 - constants.floor) * p + constants.floor * prior, prior)


def fit_evidence(scores: Floats, y: NDArray[np.int64], weight: Floats, prior: Floats) -> list[float]:
    """[slope, bend, shift, floor] with the least log-loss, by bounded L-BFGS: no row's evidence turns round.

    A row is explained by its scores or (share `floor`) by the class frequencies alone, which keeps confused
    labels from flattening everything. Half a row for the floor and a weak pull to slope 3 keep few rows sane.
    """
    from scipy.optimize import minimize

    below, above, frequency = np.minimum(scores - KNEE, 0), np.maximum(scores - KNEE, 0), np.log(prior)
    rows, total = np.arange(len(y)), weight.sum()
    centre = np.array([3.0, 3.0, 0.0])

    def loss(at: Floats) -> tuple[float, Floats]:
        floor, pull = at[3], at[:3] - centre
        p = softmax(at[0] * below + at[1] * above + at[2] * frequency)
        right = (1 - floor) * p[rows, y] + floor * prior[y]
        trust = weight * (1 - floor) * p[rows, y] / right
        slope = [
            -(trust * (t[rows, y] - (p * t).sum(axis=1))).sum()
            for t in (below, above, np.broadcast_to(frequency, p.shape))
        ]
        lost = -(weight * np.log(right)).sum() - 0.5 * np.log(floor) + 0.025 * (pull**2).sum()
        fourth = (weight * (p[rows, y] - prior[y]) / right).sum() - 0.5 / floor
        return float(lost / total), np.array([*(slope + 0.05 * pull), fourth]) / total

    bounds = [(0.02, 100.0), (0.02, 100.0), (-3.0, 3.0), (1e-4, 0.5)]
    found = minimize(loss, [3.0, 3.0, 0.0, 0.02], jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return [found[0], found[1] - found[0], found[2], found[3]]


def calibrate(
    scores: Floats, y: NDArray[np.int64], weight: Floats, prior: Floats, coverage: Floats, cost: float
) -> Calibration:
    """Constants from held-out rows; the defaults where there are none."""
    if not len(y):
        return Calibration(cost=cost)
    slope, bend, shift, floor = fit_evidence(scores, y, weight, prior)
    low, middle = linear.quantiles(familiarity(scores, coverage))
    return Calibration(cost=cost, slope=slope, bend=bend, shift=shift, floor=floor, low=low, middle=middle)


def familiarity(scores: Floats, coverage: Floats) -> Floats:
    """The in-scope score before scaling, float64[n]: the best class's score and how many words are known."""
    return np.asarray(scores.max(axis=1) + WORDS_KNOWN * coverage)


def in_scope(scores: Floats, known: NDArray[np.bool_], coverage: Floats, constants: Calibration) -> Floats:
    """float64[n] in [0, 1]; 0 for a text without any known n-gram."""
    return linear.scaled(familiarity(scores, coverage), known, constants.low, constants.middle)


# --- folds ----------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """A mixture of texts and what they are (a `train.linear.Lesson`)."""

    corpus: Corpus
    labels: Labels

    @property
    def weight(self) -> Floats:
        return self.labels.weight

    @property
    def k(self) -> int:
        return len(self.labels.classes)

    def learn(self, x: Any, rows: Ints, cost: float) -> Linear:
        """One-vs-rest hinge; a row that raters disagree about counts for each class that they named."""
        at, y, weight = self.labels.learnt(rows)
        return learn(x if len(at) == len(rows) else x[at], y, weight, self.k, cost)

    def loss(self, held: Scored, rows: Ints, cost: float) -> float:
        """Log-loss of the settled labels, calibrated on the rows held out."""
        gold, counts, prior = self.labels.y[rows], self.weight[rows] + 1e-9, prior_of(self.labels)
        constants = calibrate(held.scores, gold, counts, prior, held.coverage, cost)
        probs = probabilities(held.scores, held.known, prior, constants)
        return float(-(np.log(probs[np.arange(len(gold)), gold]) * counts).sum())


def prior_of(labels: Labels) -> Floats:
    """Class frequencies float64[k], half a row each beforehand."""
    counts = np.bincount(labels.y, labels.weight, len(labels.classes)) + 0.5
    return np.asarray(counts / counts.sum())


# --- the model and its trainer --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """A respondent over text columns; a text without known n-grams gets the class frequencies, in_scope 0."""

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: Spec
    head: Head
    prior: Floats
    calibration: Calibration

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, min(BATCH, 4_000_000 // len(self.classes)))

    def _part(self, rows: Rows) -> Answers:
        return answer(self.classes, *self.judge(read(rows, self.inputs)))

    def vectorise(self, texts: Sequence[str | None]) -> tuple[Entries, NDArray[np.float32]]:
        """The known n-grams of texts and their weights: what docs/features.md defines."""
        return self.head.vectorise(texts, self.spec)

    def judge(self, texts: Sequence[str | None]) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] and in_scope float64[n] of texts."""
        scores, known, coverage = self.head.scores(texts, self.spec)
        probs = probabilities(scores, known, self.prior, self.calibration)
        return probs, in_scope(scores, known, coverage, self.calibration)

    def save(self, folder: Path) -> None:
        """head.npz, spec.json, vectors.json (made-up texts and their answers), model.json (the loader)."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "inputs": self.inputs,
            "prior": self.prior.tolist(),
            "calibration": {**asdict(self.calibration), "knee": KNEE, "words_known": WORDS_KNOWN},
        }
        linear.write(folder, self.head, self.spec, said, vectors(self))


def vectors(model: TextModel, texts: Sequence[str] = VECTORS) -> list[dict[str, Any]]:
    """For each text the columns and weights of its features, its probabilities and in_scope."""
    probs, scope = model.judge(texts)
    answers = [{"probs": p.tolist(), "in_scope": float(s)} for p, s in zip(probs, scope, strict=True)]
    return linear.vectors_of(model.head, model.spec, answers, texts)


def load(folder: Path) -> TextModel:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    head, spec, said, expected = linear.stored(folder)
    constants = {k: v for k, v in said["calibration"].items() if k not in ("knee", "words_known")}
    model = TextModel(
        classes=tuple(said["classes"]),
        inputs=tuple(said["inputs"]),
        spec=spec,
        head=head,
        prior=np.array(said["prior"]),
        calibration=Calibration(**constants),
    )
    probs, _ = model.judge([case["text"] for case in expected])
    if np.abs(probs - [c["probs"] for c in expected]).max() > 1e-6:
        raise Damaged("text_model_differs", path=str(folder))
    return model


def learn_from(mixture: Mixture, setup: Setup) -> Lesson:
    """What a mixture teaches; NotEnough below two classes, InputError for rows without a target."""
    labels = labels_of(mixture)
    return Lesson(corpus_of(mixture, setup), labels)


@dataclass(frozen=True, kw_only=True)
class TextLinear:
    """Trainer of texts; see `text_linear`."""

    spec: Spec
    min_df: int | None
    cost: float | None

    @property
    def setup(self) -> Setup:
        return Setup(self.spec, self.min_df, self.cost)

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Model:
        """One fit with the parent's constants if it is such a model, else a cross-fit of its own."""
        if mixture.task.answer == "labels":
            return text_labels.train(self.setup, parent, mixture)
        if mixture.task.answer == "number":
            return text_number.train(self.setup, parent, mixture)
        lesson = learn_from(mixture, self.setup)
        if isinstance(parent, TextModel):
            return self._model(lesson, parent.calibration, mixture)
        return self._crossfit(lesson, linear.own_folds(lesson.labels.y), mixture).model

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold, some to choose a cost, one on all rows; folds int8[n], -1 = never held out."""
        if mixture.task.answer == "labels":
            return text_labels.crossfit(self.setup, mixture, folds)
        if mixture.task.answer == "number":
            return text_number.crossfit(self.setup, mixture, folds)
        return self._crossfit(learn_from(mixture, self.setup), folds, mixture)

    def _crossfit(self, lesson: Lesson, folds: np.ndarray, mixture: Mixture) -> CrossFit:
        out = hold_out(lesson, folds, self.cost, self.spec)
        heard = np.flatnonzero((folds >= 0) & (lesson.weight > 0))
        heard = heard[thinned(len(heard), 4_000_000 // lesson.k)]
        prior, y, weight = prior_of(lesson.labels), lesson.labels.y[heard], lesson.weight[heard]
        constants = calibrate(out.scores[heard], y, weight, prior, out.coverage[heard], out.cost)
        probs = probabilities(out.scores, out.known, prior, constants)
        scope = in_scope(out.scores, out.known, out.coverage, constants)
        answers = answer(lesson.labels.classes, probs, scope, folds >= 0)
        return CrossFit(model=self._model(lesson, constants, mixture), answers=answers, fits=out.fits + 1)

    def _model(self, lesson: Lesson, constants: Calibration, mixture: Mixture) -> TextModel:
        return TextModel(
            classes=lesson.labels.classes,
            inputs=mixture.task.inputs,
            spec=self.spec,
            head=final(lesson, constants.cost, self.spec),
            prior=prior_of(lesson.labels),
            calibration=constants,
        )


def text_linear(
    words: Sequence[int] = (1, 2),
    chars: Sequence[int] = (1, 2, 3),
    min_df: int | None = None,
    cost: float | None = None,
) -> TextLinear:
    """Hashed n-grams of words and characters under a linear head, calibrated out of fold.

    The task's answer says what is learnt: one class (one-vs-rest hinge), a set of labels (a hinge for each)
    or a number (ridge regression). words, chars: sizes of n-grams; min_df: training texts that an n-gram
    needs, None = 1, or 2 from 50,000 rows; cost: of one unit of loss, None = chosen on held-out rows. No
    random choice is made: the same rows in the same order give the same model.
    """
    return TextLinear(spec=Spec(words=tuple(words), chars=tuple(chars)), min_df=min_df, cost=cost)
