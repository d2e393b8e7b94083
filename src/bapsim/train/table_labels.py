"""Sets of labels of tables: forests of all labels at once and boosting of each, blended and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.arrow import take
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import trees
from bapsim.train.columns import encode, in_scope, quantiles, strangeness, used
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import Sets, sets_of
from bapsim.train.multilabel import Platt, answer_sets, calibrate, platt_of, probabilities
from bapsim.train.trees import MEMBERS, Fit, Size, blend_weights, blended, estimator, one_thread

LOADER = "bapsim.train.table_labels:load"
ITEMS = 200_000  # rows * labels that are enough to weigh the members


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold rows: the members' weights (last the labels' shares), each label's evidence,
    and the quantiles of the two out-of-scope measures.
    """

    blend: tuple[float, ...]
    platt: Platt
    strange: np.ndarray
    outside: np.ndarray


def fit(rows: Rows, sets: Sets, chosen: np.ndarray, members: Sequence[str], size: Size, seed: int) -> Fit:
    """Learn columns, shares of labels and the named members from the rows of a mask.

    A label that all of them have, or none, has its share alone; boosting fits each of the others by itself.
    """
    mine = Rows(take(rows, chosen))
    columns = trees.columns_of(mine)
    there, weight = sets.there[chosen], sets.weight[chosen]
    prior = (weight @ there + 0.5) / (weight.sum() + 1)
    weight = trees.unequal(weight)
    varied = np.flatnonzero(there.any(axis=0) & ~there.all(axis=0))
    fitted: dict[str, Any] = {}
    if len(varied):
        x, categories = trees.seen_by_trees(columns, mine)
        k = len(sets.classes)
        with one_thread():
            for name in members:
                made = estimator(name, x, categories, k, size).set_params(random_state=seed % 2**32)
                if name == "boosted":
                    from sklearn.base import clone

                    for j in varied:
                        fitted[f"{name}-{j}"] = clone(made).fit(x, there[:, j].astype(np.int64), weight)
                else:
                    fitted[name] = made.fit(x, there.astype(np.int64), weight)
    return Fit(columns=columns, members=fitted, prior=prior)


def member_probs(fitted: Fit, x: np.ndarray, names: Sequence[str] = MEMBERS) -> np.ndarray:
    """float64[len(names) + 1, n, k]; last the shares of the labels, which also stand in for absentees."""
    out = np.tile(fitted.prior, (len(names) + 1, len(x), 1))
    read = x[:, used(fitted.columns)]
    with one_thread():
        for i, name in enumerate(names if len(x) else ()):
            for key, model in fitted.members.items():
                kind, _, label = key.partition("-")
                if kind == name and label:
                    out[i][:, int(label)] = model.predict_proba(read)[:, 1]
                elif kind == name:
                    out[i] = _forest(model, read, fitted.prior)
    return out


def _forest(model: Any, x: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """float64[n, k] of a forest of several outcomes; one that never varied keeps its share."""
    said = model.predict_proba(x)
    said = said if isinstance(said, list) else [said]
    columns = [p[:, 1] if p.shape[1] == 2 else np.full(len(x), s) for p, s in zip(said, prior, strict=True)]
    return np.column_stack(columns)


def evidence(probs: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, held within those of one in a million."""
    inside = np.clip(probs, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside) - np.log1p(-inside))


@dataclass(frozen=True, kw_only=True, eq=False)
class TableLabels:
    """A respondent over the columns it was trained on that answers with sets."""

    classes: tuple[str, ...]
    fitted: Fit
    calibration: Calibration

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.fitted.columns)

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, 2_000_000 // len(self.classes))

    def _part(self, rows: Rows) -> Answers:
        constants = self.calibration
        x = encode(self.fitted.columns, rows)
        total = blended(member_probs(self.fitted, x), constants.blend)
        scope = in_scope(constants, *strangeness(self.fitted.columns, x))
        probs = probabilities(evidence(total), constants.platt)
        return answer_sets(self.classes, probs, scope, constants.platt)

    def save(self, folder: Path) -> None:
        """The files of `train.trees.write`."""
        constants = {"blend": self.calibration.blend, "platt": asdict(self.calibration.platt)}
        trees.write(
            folder, self.fitted, self.calibration, {"loader": LOADER, "classes": self.classes, **constants}
        )


def load(folder: Path) -> TableLabels:
    """The model in a folder; Damaged for more than trees, InputError for another scikit-learn."""
    said, fitted, scope = trees.stored(folder)
    calibration = Calibration(blend=tuple(said["blend"]), platt=platt_of(said["platt"]), **scope)
    return TableLabels(classes=tuple(said["classes"]), fitted=fitted, calibration=calibration)


def weigh(out: trees.HeldOut, sets: Sets) -> Calibration:
    """Constants from what was held out."""
    heard = np.flatnonzero(out.heard)
    there, weight = sets.there[heard], sets.weight[heard]
    least = int(sets.there[sets.weight > 0].any(axis=1).all())
    blend = (*[1 / len(MEMBERS)] * len(MEMBERS), 0.0)
    if len(heard):
        some = np.linspace(0, len(heard) - 1, min(len(heard), ITEMS // len(sets.classes) + 1)).astype(int)
        sure = np.where(there[some], out.member[:, heard[some]], 1 - out.member[:, heard[some]])
        each = np.repeat(weight[some] / weight.mean(), len(sets.classes))
        blend = tuple(blend_weights(sure.reshape(len(sure), -1), each).tolist())
    total = evidence(blended(out.member[:, heard], blend))
    return Calibration(
        blend=blend,
        platt=calibrate(total, there, weight, least, start=1.0),
        strange=quantiles(out.strange[heard]),
        outside=quantiles(out.outside[heard]),
    )


def _final(rows: Rows, sets: Sets, constants: Calibration, size: Size, seed: int) -> TableLabels:
    voting = [name for name, share in zip(MEMBERS, constants.blend, strict=False) if share > 0]
    fitted = fit(rows, sets, sets.weight > 0, voting, size, seed)
    return TableLabels(classes=sets.classes, fitted=fitted, calibration=constants)


def _crossfit(rows: Rows, sets: Sets, size: Size, folds: np.ndarray, seed: int) -> CrossFit:
    blank = np.full((len(MEMBERS) + 1, len(rows), len(sets.classes)), 0.5)
    out = trees.hold_out(
        rows, folds, sets.weight, blank, lambda seen: fit(rows, sets, seen, MEMBERS, size, seed), member_probs
    )
    constants = weigh(out, sets)
    probs = probabilities(evidence(blended(out.member, constants.blend)), constants.platt)
    scope = in_scope(constants, out.strange, out.outside)
    answers = answer_sets(sets.classes, probs, scope, constants.platt, out.held)
    model = _final(rows, sets, constants, size, seed)
    return CrossFit(model=model, answers=answers, fits=out.fits + 1)


def crossfit(size: Size, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
    """A fit a fold and one on all rows; folds int8[n], -1 = never held out (its answer is null)."""
    return _crossfit(trees.input_columns(mixture), sets_of(mixture), size, folds, seed)


def train(size: Size, parent: Model | None, mixture: Mixture, seed: int) -> Model:
    """One fit with the constants of a parent of the same columns and labels, else a cross-fit of its own."""
    rows, sets = trees.input_columns(mixture), sets_of(mixture)
    known = isinstance(parent, TableLabels) and parent.inputs == mixture.task.inputs
    if isinstance(parent, TableLabels) and known and parent.classes == sets.classes:
        return _final(rows, sets, parent.calibration, size, seed)
    return _crossfit(rows, sets, size, trees.own_folds(rows, seed), seed).model
