"""Sets of labels: scores of each label as probabilities, the set that follows from them, and how sure it is.

Each label has a slope and a shift of its own, fitted out of fold and pulled towards those of all labels, so
that a label of five rows does not run away. That the whole set is right is less likely than each label, and
labels come together, so the product of their probabilities is raised to a power that is fitted as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.records import Answers
from bapsim.text.targets import joined

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
START = 3.0  # slope before any row was seen, of hinge scores: 1 is a probability of .95


@dataclass(frozen=True, kw_only=True)
class Platt:
    """Constants from out-of-fold scores: slopes and shifts of k labels (Platt 1999); power: of the product of
    probabilities; least: labels that every training row has at least, 0 or 1.
    """

    slopes: tuple[float, ...]
    shifts: tuple[float, ...]
    power: float = 1.0
    least: int = 0


def platt_of(said: Mapping[str, Any]) -> Platt:
    """Constants as `dataclasses.asdict` and JSON left them."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Platt(**fields)


def probabilities(scores: Floats, constants: Platt) -> Floats:
    """float64[n, k] in (0, 1) of scores float64[n, k]."""
    z = scores * np.asarray(constants.slopes) + np.asarray(constants.shifts)
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def decided(probs: Floats, least: int) -> Mask:
    """bool[n, k]: the labels more likely than not; the likeliest where none is and every row has one."""
    there = probs >= 0.5
    if least and probs.shape[1]:
        bare = np.flatnonzero(~there.any(axis=1))
        there[bare, probs[bare].argmax(axis=1)] = True
    return np.asarray(there)


def sureness(probs: Floats, there: Mask, power: float) -> Floats:
    """float64[n]: how likely the whole set is right."""
    each = np.where(there, probs, 1 - probs)
    return np.asarray(np.exp(power * np.log(np.maximum(each, 1e-12)).sum(axis=1)))


def calibrate(scores: Floats, there: Mask, weight: Floats, least: int, start: float = START) -> Platt:
    """Constants from held-out rows: scores float64[n, k], their labels bool[n, k], weights float64[n].

    Of slopes the logarithm varies from label to label by a half, of shifts the value by one.
    """
    from scipy.optimize import minimize

    n, k = scores.shape
    if not n:
        return Platt(slopes=(start,) * k, shifts=(0.0,) * k, least=least)

    def loss(at: Floats) -> tuple[float, Floats]:
        u, v = at[:k], at[k : 2 * k]
        slope = np.exp(at[-2] + u)
        z = scores * slope + at[-1] + v
        p = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
        lost = (weight * (np.logaddexp(0, z) - there * z).sum(axis=1)).sum()
        lost += 2 * (u @ u) + 0.5 * (v @ v) + 0.05 * ((at[-2] - np.log(start)) ** 2 + at[-1] ** 2)
        back = weight[:, None] * (p - there)
        steep, shift = (back * scores).sum(axis=0) * slope, back.sum(axis=0)
        pull = 0.1 * np.array([at[-2] - np.log(start), at[-1]])
        ends = np.array([steep.sum(), shift.sum()]) + pull
        total = weight.sum()
        return float(lost / total), np.concatenate([steep + 4 * u, shift + v, ends]) / total

    first = np.concatenate([np.zeros(2 * k), [np.log(start), 0.0]])
    bounds = [(-3.0, 3.0)] * k + [(-10.0, 10.0)] * k + [(-4.0, 5.0), (-10.0, 10.0)]
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes, shifts = np.exp(found[-2] + found[:k]), found[-1] + found[k : 2 * k]
    fitted = Platt(slopes=tuple(slopes.tolist()), shifts=tuple(shifts.tolist()), least=least)
    probs = probabilities(scores, fitted)
    power = best_power(probs, there, weight, least)
    return Platt(slopes=fitted.slopes, shifts=fitted.shifts, power=power, least=least)


def best_power(probs: Floats, there: Mask, weight: Floats, least: int) -> float:
    """The power in [1/5, 5] that makes `sureness` the share of sets that are wholly right."""
    from scipy.optimize import minimize_scalar

    chosen = decided(probs, least)
    right = (chosen == there).all(axis=1)

    def loss(log_power: float) -> float:
        sure = np.clip(sureness(probs, chosen, float(np.exp(log_power))), 1e-9, 1 - 1e-9)
        return float(-(weight * np.where(right, np.log(sure), np.log1p(-sure))).sum() + log_power**2)

    found = minimize_scalar(loss, bounds=(-np.log(5), np.log(5)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def set_loss(probs: Floats, there: Mask, weight: Floats) -> float:
    """Binary log-loss over all labels, summed with the rows' weights."""
    each = np.where(there, probs, 1 - probs)
    return float(-(weight[:, None] * np.log(np.maximum(each, 1e-12))).sum())


def answer_sets(
    classes: Sequence[str], probs: Floats, scope: Floats, constants: Platt, asked: Mask | None = None
) -> Answers:
    """Answers of n rows: probs float64[n, k], scope float64[n]; null where `asked` bool[n] is false.

    prediction: the set as it is written (`text.targets`); confidence: that all of it is right.
    """
    silent = np.zeros(len(probs), bool) if asked is None else ~asked
    there = decided(probs, constants.least)
    names: dict[bytes, str] = {}
    said: list[str | None] = []
    for row, quiet in zip(there, silent.tolist(), strict=True):
        key = row.tobytes()
        if key not in names:
            names[key] = joined(classes[j] for j in np.flatnonzero(row).tolist())
        said.append(None if quiet else names[key])
    sure = sureness(probs, there, constants.power).astype(np.float32)
    flat = pa.array(probs.astype(np.float32).ravel(), pa.float32())
    status = [None if quiet else "answered" for quiet in silent.tolist()]
    columns: dict[str, Any] = {
        "prediction": pa.array(said, pa.string()),
        "confidence": pa.array(sure, pa.float32(), mask=silent),
        "in_scope": pa.array(scope.astype(np.float32), pa.float32(), mask=silent),
        "probs": pa.FixedSizeListArray.from_arrays(flat, len(classes), mask=pa.array(silent)),
        "_status": pa.array(status, pa.string()),
    }
    return Answers(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))
