"""Classification of tables: boosted trees and two forests, blended and calibrated out of fold.

Measured (docs/results/table_defaults.md): no single kind of tree is best on every table, so each votes with
the weight that its out-of-fold log loss earns. The class frequencies vote too: the loss stays finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import take
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import table_labels, table_number, trees
from bapsim.train.columns import encode, in_scope, quantiles, strangeness, used
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import Labels, labels_of
from bapsim.train.trees import MEMBERS, Fit, Size, blend_weights, blended, estimator, one_thread

LOADER = "bapsim.train.table:load"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants that come from out-of-fold rows only.

    blend: a weight for each of MEMBERS and, last, the class frequencies; temperature: divides log
    probabilities; strange, outside: ascending quantiles of the two out-of-scope measures, float64[<= 10,001].
    """

    blend: tuple[float, ...]
    temperature: float
    strange: np.ndarray
    outside: np.ndarray


# --- members, blend, temperature ------------------------------------------------------------------


def cooled(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities float64[n, k] whose logarithms are divided by a temperature."""
    log = np.log(np.maximum(probs, 1e-300)) / temperature
    raised = np.exp(log - log.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def best_temperature(probs: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """The temperature in [1/3, 3] with the least log loss of classes y; few rows are held near 1."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        right = cooled(probs, float(np.exp(log_t)))[np.arange(len(y)), y]
        return float(-(weight * np.log(np.maximum(right, 1e-12))).sum() + log_t**2)

    found = minimize_scalar(loss, bounds=(-np.log(3), np.log(3)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def fit(
    rows: Rows, y: np.ndarray, weight: np.ndarray, classes: int, members: Sequence[str], size: Size, seed: int
) -> Fit:
    """Learn columns, class frequencies and the named members from n >= 1 rows.

    y: int64[n] class positions; weight: float64[n], > 0. One class only: no members, frequencies alone.
    """
    columns = trees.columns_of(rows)
    weight = weight / weight.mean()
    prior = np.bincount(y, weight, classes) + 0.5
    fitted: dict[str, Any] = {}
    if len(np.unique(y)) > 1:
        x, categories = trees.seen_by_trees(columns, rows)
        with one_thread():
            for name in members:
                model = estimator(name, x, categories, classes, size)
                fitted[name] = model.set_params(random_state=seed % 2**32).fit(x, y, weight)
    return Fit(columns=columns, members=fitted, prior=prior / prior.sum())


def member_probs(fitted: Fit, x: np.ndarray, names: Sequence[str] = MEMBERS) -> np.ndarray:
    """float64[len(names) + 1, n, k]; last the class frequencies, which also stand in for absentees."""
    out = np.tile(fitted.prior, (len(names) + 1, len(x), 1))
    read = x[:, used(fitted.columns)]
    voting = [(i, name) for i, name in enumerate(names) if name in fitted.members and len(x)]
    with one_thread():
        for i, name in voting:
            model = fitted.members[name]
            out[i] = 0
            out[i][:, np.asarray(model.classes_, np.int64)] = model.predict_proba(read)
    return out


def calibrate(
    member: np.ndarray, y: np.ndarray, weight: np.ndarray, strange: np.ndarray, outside: np.ndarray
) -> Calibration:
    """Constants from held-out rows: member float64[m, n, k], the rest [n]. No rows: plain averages."""
    names = len(MEMBERS)
    if not len(y):
        blend, temperature = (*[1 / names] * names, 0.0), 1.0
    else:
        weight = weight / weight.mean()
        blend = tuple(blend_weights(member[:, np.arange(len(y)), y], weight).tolist())
        temperature = best_temperature(blended(member, blend), y, weight)
    return Calibration(
        blend=blend, temperature=temperature, strange=quantiles(strange), outside=quantiles(outside)
    )


# --- the model and its trainer --------------------------------------------------------------------


def answer(
    classes: Sequence[str], probs: np.ndarray, scope: np.ndarray, asked: np.ndarray | None = None
) -> Answers:
    """Answers of n rows: probs float64[n, k], scope float64[n]; null where `asked` bool[n] is false."""
    import pyarrow.compute as pc

    asked = np.ones(len(probs), bool) if asked is None else asked
    narrow = probs.astype(np.float32)
    best = narrow.argmax(1) if len(narrow) else np.zeros(0, np.int64)
    silent = ~asked
    flat = pa.array(narrow.ravel(), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(flat, len(classes), mask=pa.array(silent))
    named = pa.array(list(classes), pa.string()).take(pa.array(best, pa.int64(), mask=silent))
    status = pc.if_else(pa.array(asked), "answered", pa.scalar(None, pa.string()))
    return Answers(
        pa.RecordBatch.from_arrays(
            [
                named,
                pa.array(narrow.max(1, initial=0.0), pa.float32(), mask=silent),
                pa.array(scope.astype(np.float32), pa.float32(), mask=silent),
                vectors,
                status,
            ],
            names=["prediction", "confidence", "in_scope", "probs", "_status"],
        )
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TableModel:
    """A respondent over the columns it was trained on; others are ignored, missing ones are an InputError."""

    classes: tuple[str, ...]
    fitted: Fit
    calibration: Calibration

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.fitted.columns)

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, 2_000_000 // len(self.classes))

    def _part(self, rows: Rows) -> Answers:
        x = encode(self.fitted.columns, rows)
        total = blended(member_probs(self.fitted, x), self.calibration.blend)
        scope = in_scope(self.calibration, *strangeness(self.fitted.columns, x))
        return answer(self.classes, cooled(total, self.calibration.temperature), scope)

    def save(self, folder: Path) -> None:
        """model.json (names the loader), scope.npz, and one .skops for each member that votes."""
        constants = {"blend": self.calibration.blend, "temperature": self.calibration.temperature}
        said = {"loader": LOADER, "classes": self.classes, **constants}
        trees.write(folder, self.fitted, self.calibration, said)


def load(folder: Path) -> TableModel:
    """The model in a folder; Damaged for more than trees, InputError for another scikit-learn."""
    said, fitted, scope = trees.stored(folder)
    calibration = Calibration(blend=tuple(said["blend"]), temperature=said["temperature"], **scope)
    return TableModel(classes=tuple(said["classes"]), fitted=fitted, calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A mixture as arrays: the input columns and the labels."""

    rows: Rows
    labels: Labels


def lesson(mixture: Mixture) -> Lesson:
    """What the trees learn from; NotEnough below two classes, InputError for rows without a target."""
    labels = labels_of(mixture)
    return Lesson(rows=trees.input_columns(mixture), labels=labels)


@dataclass(frozen=True, kw_only=True)
class TableBoosted:
    """Trainer of tables; see `table_boosted`."""

    size: Size = field(default_factory=Size)

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Model:
        """One fit with the parent's calibration where it is such a model of our columns and classes, else a
        cross-fit.
        """
        if mixture.task.answer == "labels":
            return table_labels.train(self.size, parent, mixture, seed)
        if mixture.task.answer == "number":
            return table_number.train(self.size, parent, mixture, seed)
        taught = lesson(mixture)
        if not isinstance(parent, TableModel) or parent.inputs != mixture.task.inputs:
            return self._crossfit(taught, trees.own_folds(taught.rows, seed), seed).model
        return self._final(taught, parent.calibration, seed)

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold and one on all rows; folds int8[n], -1 = never held out (its answer is null)."""
        if mixture.task.answer == "labels":
            return table_labels.crossfit(self.size, mixture, folds, seed)
        if mixture.task.answer == "number":
            return table_number.crossfit(self.size, mixture, folds, seed)
        return self._crossfit(lesson(mixture), folds, seed)

    def _fit(self, taught: Lesson, chosen: np.ndarray, members: Sequence[str], seed: int) -> Fit:
        """A fit of the rows of a mask; one that raters disagree about is learnt for each class they named."""
        rows = np.flatnonzero(chosen)
        at, y, weight = taught.labels.learnt(rows)
        return fit(
            Rows(take(taught.rows, rows[at])), y, weight, len(taught.labels.classes), members, self.size, seed
        )

    def _final(self, taught: Lesson, calibration: Calibration, seed: int) -> TableModel:
        voting = [name for name, share in zip(MEMBERS, calibration.blend, strict=False) if share > 0]
        fitted = self._fit(taught, taught.labels.weight > 0, voting, seed)
        return TableModel(classes=taught.labels.classes, fitted=fitted, calibration=calibration)

    def _crossfit(self, taught: Lesson, folds: np.ndarray, seed: int) -> CrossFit:
        classes, y, weight = taught.labels.classes, taught.labels.y, taught.labels.weight
        blank = np.full((len(MEMBERS) + 1, len(y), len(classes)), 1 / len(classes))
        out = trees.hold_out(
            taught.rows,
            folds,
            weight,
            blank,
            lambda seen: self._fit(taught, seen, MEMBERS, seed),
            member_probs,
        )
        heard = out.heard
        calibration = calibrate(
            out.member[:, heard], y[heard], weight[heard], out.strange[heard], out.outside[heard]
        )
        probs = cooled(blended(out.member, calibration.blend), calibration.temperature)
        answers = answer(classes, probs, in_scope(calibration, out.strange, out.outside), out.held)
        return CrossFit(model=self._final(taught, calibration, seed), answers=answers, fits=out.fits + 1)


def table_boosted(trees: int = 200, rounds: int = 150) -> TableBoosted:
    """Boosting, extra trees and a random forest over columns of any type, calibrated out of fold.

    The task's answer says what is learnt: one class, a set of labels, or a number (for which a line votes
    too). trees: of each forest; rounds: of boosting (fewer above 10 classes). Texts are categories (numbers
    held as text stay text), nulls are information, values never seen are treated like rare ones.
    """
    return TableBoosted(size=Size(trees=trees, rounds=rounds))
