"""Which delivery is bad: the share of its labels that are wrong, as a model sees it that did not learn them.

A label that contradicts a calibrated model is wrong, or the model is; how often the model expects to be wrong
is known. No fit beyond the model's own. Leaving each source out instead named the bad one in 12 % of runs for
as many fits as sources.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.judge.compare import NORMAL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MARGIN = (
    0.10  # more wrong labels than what people made well has: 10 % at most in ten test sets (Northcutt 2021)
)
LEVEL = 0.05  # chance that any good delivery of a turn is named, were all of them as bad as the margin allows
FEWEST = 30  # rows of known classes; below, a handful of odd labels would convict
LEARNT = 10  # rows from which a model knows a class, however many more of it a delivery brings
TELLING = 0.25  # half a 95 % interval; a wider one says nothing about a share of wrong labels
MEDIAN = math.pi / 2  # variance of a median, in variances of a mean
ROUNDS = 4  # after which a share of wrong labels and the classes that it leaves agree
MOST = 5000  # rows of a delivery that are read, evenly spread: a share within .02


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What one delivery's labels say against a model.

    rows: those of classes that the model knows; new: those of others; noise: share of wrong labels beyond
    what is usual in the other deliveries (below 0 by chance), with its 95 % interval low to high; usual: that
    share of the others; z: of noise over the margin. All nan where too few rows, or too unsure ones, could
    tell 10 % wrong labels from 35 %.
    """

    name: str
    rows: int
    new: int
    noise: float = math.nan
    low: float = math.nan
    high: float = math.nan
    usual: float = math.nan
    z: float = math.nan


class Reading(NamedTuple):
    """One delivery held against one set of probabilities.

    wrong: share of wrong labels; error: its standard error; weight: the inverse of its variance, were it the
    margin.
    """

    wrong: float
    error: float
    weight: float

    @property
    def z(self) -> float:
        """Against the margin, its spread as it is there: a score test."""
        return (self.wrong - MARGIN) * math.sqrt(self.weight)

    @property
    def tells(self) -> bool:
        """Whether it is not too vague for a verdict; a model must not convict what it cannot read."""
        return NORMAL.inv_cdf(0.975) <= TELLING * math.sqrt(self.weight)


def residuals(
    delivery: NDArray[np.str_],
    probs: Floats,
    label: Ints,
    eaten: Mask,
    *,
    proven: bool,
    among: Collection[str] | None = None,
    classes: bool = True,
) -> dict[str, Delivery]:
    """Judges every delivery, by name; among: those that are asked about, None = all.

    One entry a labelled row: delivery str[n]; probs float[n, k], calibrated, of a model that did not learn
    this row (out of fold, or never trained on it); label int64[n], the class, -1 = none of the model's;
    eaten bool[n], the model was trained on it. proven: the model owes nothing to what is judged; if not, its
    doubts include wrong labels that it learnt, and only the other deliveries can say what is usual.

    A good delivery of new classes contradicts every model: rows of a class are not counted where the model
    had fewer than ten of it, and fewer than are delivered (of a delivery that is asked about, from others).
    Not classes: the columns are "agrees" and "contradicts" in place of classes, which another mix of does not
    excuse and nobody has to learn; a wrong label always contradicts.
    Consistent nonsense is not seen here; it is the gate's work.
    """
    names, code = np.unique(delivery, return_inverse=True)
    order = np.argsort(code, kind="stable")
    edges = np.searchsorted(code[order], np.arange(len(names) + 1))
    k = probs.shape[1]
    had = np.bincount(label[eaten & (label >= 0)], minlength=k)
    mix = (had + 0.5) / (had + 0.5).sum()
    found: dict[str, Delivery] = {}
    readings: dict[str, Reading] = {}
    for name, a, b in zip(names.tolist(), edges[:-1], edges[1:], strict=True):
        mine = order[a:b]
        own = eaten[mine] if among is None or name in among else np.zeros(len(mine), bool)
        known = mine[_known(label[mine], own, had) if classes else label[mine] >= 0]
        found[name] = Delivery(name=name, rows=len(known), new=len(mine) - len(known))
        if len(known) >= FEWEST:
            some = known[np.linspace(0, len(known) - 1, min(len(known), MOST)).astype(np.int64)]
            readings[name] = read(np.asarray(probs[some], np.float64), label[some], mix if classes else None)
    for name, one in readings.items():
        if one.tells:
            others = [r for other, r in readings.items() if other != name and r.weight > 0]
            found[name] = _beside(found[name], one, others, proven=proven, k=k if classes else math.inf)
    return found


def _known(label: Ints, own: Mask, had: Ints) -> Mask:
    """Rows of one delivery whose classes the model knows, those left out that are its `own` teaching."""
    from_others = had - np.bincount(label[own & (label >= 0)], minlength=len(had))
    there = np.bincount(label[label >= 0], minlength=len(had))
    learnt = (from_others > 0) & ((from_others >= LEARNT) | (from_others >= there))
    return np.asarray((label >= 0) & np.append(learnt, False)[label])


def read(probs: Floats, label: Ints, mix: Floats | None) -> Reading:
    """The share of wrong labels among rows (n > 0) of known classes.

    mix: float[k], the usual frequencies; None where there is no mix that may differ.

    Of two readings, the probabilities as they are and those for the classes that were delivered, the kinder:
    neither hard rows nor another mix of classes are a fault. Which classes were delivered depends on how many
    labels are wrong, so the second starts from none and is repeated.
    """
    if mix is None:
        return moments(probs[:, 0], label == 1, math.inf)
    plain = moments(*_of_classes(probs, label))
    other = moments(*_of_classes(remixed(probs, label, mix, 0.0), label))
    for _ in range(ROUNDS):
        other = moments(*_of_classes(remixed(probs, label, mix, other.wrong), label))
    return min(plain, other, key=lambda reading: reading.z)


def _of_classes(probs: Floats, label: Ints) -> tuple[Floats, Mask, float]:
    return probs.max(axis=1), np.asarray(probs.argmax(axis=1) != label), probs.shape[1]


def moments(sure: Floats, contradicts: Mask, k: float) -> Reading:
    """The share of wrong labels by weighted moments; sure: float[n], how sure the answers are; k: classes.

    A row whose label is right contradicts the model with the chance 1 - c, c its confidence; one whose label
    is wrong with 1 - (1 - c) / (k - 1), if wrong labels fall on all other classes alike. Rows count by what
    they tell at the margin: sure answers most, and one that is too sure no more than the others.
    """
    expected = 1 - sure
    more = sure - expected / max(k - 1, 1)
    chance = expected + MARGIN * more
    telling = more / np.maximum(chance * (1 - chance), 1e-9)
    weight = float(telling @ more)
    if weight <= 1e-9:  # a model that knows nothing
        return Reading(0.0, math.inf, 0.0)
    wrong = float(telling @ (contradicts - expected)) / weight
    chance = np.clip(expected + wrong * more, 0, 1)
    spread = max(float(telling**2 @ (chance * (1 - chance))), 1.0)
    return Reading(wrong, math.sqrt(spread) / weight, weight)


def remixed(probs: Floats, label: Ints, mix: Floats, wrong: float) -> Floats:
    """Probabilities for rows whose classes are as frequent as their labels, not as in `mix`: float64[n, k].

    The labels count as if a share `wrong` of them had fallen on any other class; beside those of the other
    rows (a row's own label must not explain itself) stand 30 rows of the usual mix.
    """
    k, n = len(mix), len(label)
    wrong = min(max(wrong, 0.0), (k - 1) / k / 2)
    own = np.maximum(np.bincount(label, minlength=k) - n * wrong / max(k - 1, 1), 0)
    own *= n / own.sum()
    found = probs * (own / mix + FEWEST)
    rows = np.arange(n)
    found[rows, label] = probs[rows, label] * (np.maximum(own[label] - 1, 0) / mix[label] + FEWEST)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _beside(mine: Delivery, one: Reading, others: list[Reading], *, proven: bool, k: float) -> Delivery:
    """A reading beyond what is usual: wrong labels leave (1 - share k / (k - 1)) of the truth each time."""
    usual, error = _usual(others)
    if proven and usual < 0:  # others that do better than a proven model expects do not lower the bar
        usual, error = 0.0, 0.0
    chance = 1.0 if k <= 1 or math.isinf(k) else (k - 1) / k
    usual = min(usual, chance / 2)
    left = 1 - usual / chance
    noise = (one.wrong - usual) / left
    half = NORMAL.inv_cdf(0.975) * math.hypot(one.error, error) / left
    z = (noise - MARGIN) * left / math.hypot(1 / math.sqrt(one.weight), error)
    return replace(mine, noise=noise, low=noise - half, high=noise + half, usual=usual, z=z)


def _usual(others: list[Reading]) -> tuple[float, float]:
    """The weighted median of the others and its standard error; 0 where there are none."""
    if not others:
        return 0.0, 0.0
    ordered = sorted(others)
    weights = np.cumsum([one.weight for one in ordered])
    middle = ordered[int(np.searchsorted(weights, weights[-1] / 2))]
    return middle.wrong, math.sqrt(MEDIAN / float(weights[-1]))


def limit(count: int) -> float:
    """The z from which one of so many deliveries is named: 2.24 for four and for fewer."""
    return NORMAL.inv_cdf(1 - LEVEL / max(count, 4))


def flagged(
    judged: Mapping[str, Delivery], among: Collection[str] | None = None, *, of: int = 0
) -> tuple[str, ...]:
    """The names of suspect deliveries, the worst first; one retrain without them confirms or clears.

    among: those that are asked about, None = all; of: how many were, if more than these.
    """
    asked = [d for d in judged.values() if (among is None or d.name in among) and not math.isnan(d.z)]
    bar = limit(max(len(asked), of))
    return tuple(d.name for d in sorted(asked, key=lambda d: (-d.z, d.name)) if d.z > bar)
