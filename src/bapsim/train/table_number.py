"""Numbers of tables: a line, boosting and two forests, blended by what they get wrong out of fold.

The blend is the convex one with the least absolute error, as the judge counts it; where the members disagree,
rows are hard and intervals wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.arrow import take
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import number, trees
from bapsim.train.columns import Column, encode, in_scope, quantiles, strangeness, used
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import Numbers, values_of
from bapsim.train.trees import Fit, Size, blended, estimator, one_thread

LOADER = "bapsim.train.table_number:load"
MEMBERS = ("line", *trees.MEMBERS)
ROWS = 4_000  # held-out rows that are enough to weigh five members
EVEN = 20  # rows' worth of faith that all members are equally good
COMMON = 30  # categories of a column that the line tells apart


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold rows: the members' weights (last the median), how the blend is read, and the
    quantiles of the two out-of-scope measures.
    """

    blend: tuple[float, ...]
    reading: number.Reading
    strange: np.ndarray
    outside: np.ndarray


def flat(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """float64[n, p] for the line: numbers as they are, and with far ends pulled in; categories and nulls as 0
    and 1.
    """
    parts = []
    for j, column in enumerate(columns):
        null = np.isnan(x[:, j])
        if column.kind == "category":
            parts += [x[:, j] == code for code in range(min(len(column.values), COMMON) + 1)]
        else:
            z = np.where(null, 0.0, (x[:, j] - column.centre) / column.scale)
            z = np.clip(z, np.sinh(column.low), np.sinh(column.high))
            parts += [z, np.arcsinh(z)]
        parts.append(null)
    return np.column_stack([np.asarray(part, np.float64) for part in parts])


def fit(
    rows: Rows, numbers: Numbers, chosen: np.ndarray, members: Sequence[str], size: Size, seed: int
) -> Fit:
    """Learn columns, the median and the named members from the rows of a mask; one value only: no members."""
    from sklearn.linear_model import Ridge

    mine = Rows(take(rows, chosen))
    columns = trees.columns_of(mine)
    value, weight = number.tamed(numbers.value[chosen]), trees.unequal(numbers.weight[chosen])
    fitted: dict[str, Any] = {}
    if len(np.unique(value)) > 1:
        x, categories = trees.seen_by_trees(columns, mine)
        with one_thread():
            for name in members:
                if name == "line":
                    fitted[name] = Ridge(alpha=1.0).fit(flat(columns, encode(columns, mine)), value, weight)
                else:
                    made = estimator(name, x, categories, 0, size).set_params(random_state=seed % 2**32)
                    fitted[name] = made.fit(x, value, weight)
    return Fit(columns=columns, members=fitted, prior=np.array([np.median(value)]))


def member_values(fitted: Fit, x: np.ndarray, names: Sequence[str] = MEMBERS) -> np.ndarray:
    """float64[len(names) + 1, n]; last the median, which also stands in for absentees."""
    out = np.full((len(names) + 1, len(x)), fitted.prior[0])
    read = x[:, used(fitted.columns)]
    voting = [(i, name) for i, name in enumerate(names) if name in fitted.members and len(x)]
    with one_thread():
        for i, name in voting:
            seen = flat(fitted.columns, x) if name == "line" else read
            out[i] = fitted.members[name].predict(seen)
    return out


def blend_weights(member: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Shares of a mixture with the least absolute error, by linear programming: float64[m].

    member: float64[m, n], value, weight: float64[n]. A few rows' worth of equal shares keeps few rows from
    deciding alone; members below 2 % leave, except the last (the median).
    """
    from scipy.optimize import linprog
    from scipy.sparse import eye, hstack

    m, n = member.shape
    some = np.linspace(0, n - 1, min(n, ROWS)).astype(np.int64)
    scale = float(np.abs(value - np.median(value)).mean()) or 1.0
    a, y = member[:, some].T / scale, value[some] / scale
    each, count = weight[some] / weight[some].sum(), len(some)
    # y = a w + over - under; the least sum of over and under
    columns = hstack([a, eye(count), -eye(count)], format="csr")
    total = np.r_[np.ones(m), np.zeros(2 * count)][None, :]
    equal = _stacked(columns, total)
    found = linprog(np.r_[np.zeros(m), each, each], A_eq=equal, b_eq=np.r_[y, 1.0], method="highs")
    even = np.r_[np.full(m - 1, 1 / (m - 1)), 0.0]
    share = (n * np.maximum(found.x[:m], 0) + EVEN * even) / (n + EVEN)
    share[:-1][share[:-1] < 0.02] = 0
    return np.asarray(share / share.sum())


def _stacked(upper: Any, lower: np.ndarray) -> Any:
    from scipy.sparse import csr_matrix, vstack

    return vstack([upper, csr_matrix(lower)], format="csr")


def disagreement(member: np.ndarray, blend: Sequence[float]) -> np.ndarray:
    """float64[n]: how far the members lie apart, weighted as they vote."""
    centre = blended(member, blend)
    return np.asarray(np.sqrt(blended((member - centre) ** 2, blend)))


@dataclass(frozen=True, kw_only=True, eq=False)
class TableNumber:
    """A respondent over the columns it was trained on that answers with numbers."""

    fitted: Fit
    calibration: Calibration
    classes: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.fitted.columns)

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, 200_000)

    def _part(self, rows: Rows) -> Answers:
        constants = self.calibration
        x = encode(self.fitted.columns, rows)
        member = member_values(self.fitted, x)
        scope = in_scope(constants, *strangeness(self.fitted.columns, x))
        score, hard = blended(member, constants.blend), disagreement(member, constants.blend)
        return number.answer_numbers(score, hard, scope, constants.reading)

    def save(self, folder: Path) -> None:
        """The files of `train.trees.write`."""
        said = {
            "loader": LOADER,
            "blend": self.calibration.blend,
            "reading": asdict(self.calibration.reading),
        }
        trees.write(folder, self.fitted, self.calibration, said)


def load(folder: Path) -> TableNumber:
    """The model in a folder; Damaged for more than trees and a line, InputError for another scikit-learn."""
    said, fitted, scope = trees.stored(folder)
    reading = number.reading_of(said["reading"])
    calibration = Calibration(blend=tuple(said["blend"]), reading=reading, **scope)
    return TableNumber(fitted=fitted, calibration=calibration)


def weigh(out: trees.HeldOut, numbers: Numbers) -> Calibration:
    """Constants from what was held out."""
    heard = np.flatnonzero(out.heard)
    value, weight, member = numbers.value[heard], numbers.weight[heard], out.member[:, heard]
    blend = (*[1 / len(MEMBERS)] * len(MEMBERS), 0.0)
    if len(heard):
        blend = tuple(blend_weights(member, value, weight).tolist())
    taught = numbers.value[numbers.weight > 0]
    score, hard = blended(member, blend), disagreement(member, blend)
    return Calibration(
        blend=blend,
        reading=number.fit(score, hard, value, float(taught.min()), float(taught.max())),
        strange=quantiles(out.strange[heard]),
        outside=quantiles(out.outside[heard]),
    )


def _final(rows: Rows, numbers: Numbers, constants: Calibration, size: Size, seed: int) -> TableNumber:
    voting = [name for name, share in zip(MEMBERS, constants.blend, strict=False) if share > 0]
    fitted = fit(rows, numbers, numbers.weight > 0, voting, size, seed)
    return TableNumber(fitted=fitted, calibration=constants)


def _crossfit(rows: Rows, numbers: Numbers, size: Size, folds: np.ndarray, seed: int) -> CrossFit:
    blank = np.full((len(MEMBERS) + 1, len(rows)), np.median(numbers.value))
    out = trees.hold_out(
        rows,
        folds,
        numbers.weight,
        blank,
        lambda seen: fit(rows, numbers, seen, MEMBERS, size, seed),
        member_values,
    )
    constants = weigh(out, numbers)
    score, hard = blended(out.member, constants.blend), disagreement(out.member, constants.blend)
    scope = in_scope(constants, out.strange, out.outside)
    answers = number.answer_numbers(score, hard, scope, constants.reading, out.held)
    model = _final(rows, numbers, constants, size, seed)
    return CrossFit(model=model, answers=answers, fits=out.fits + 1)


def crossfit(size: Size, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
    """A fit a fold and one on all rows; folds int8[n], -1 = never held out (its answer is null)."""
    return _crossfit(trees.input_columns(mixture), values_of(mixture), size, folds, seed)


def train(size: Size, parent: Model | None, mixture: Mixture, seed: int) -> Model:
    """One fit with the constants of a parent of the same columns, else a cross-fit of its own."""
    rows, numbers = trees.input_columns(mixture), values_of(mixture)
    if isinstance(parent, TableNumber) and parent.inputs == mixture.task.inputs:
        return _final(rows, numbers, parent.calibration, size, seed)
    return _crossfit(rows, numbers, size, trees.own_folds(rows, seed), seed).model
