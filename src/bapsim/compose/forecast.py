"""What more rows are worth: a power law through models of fewer rows, and how far it may be off.

Error falls as rows to the power of minus `slope` (Hestness 2017); floors and bends are not told apart from it
within four times the rows, and a free bend made forecasts worse (docs/results/forecast.md). The interval is a
parametric bootstrap over what is not known: the curve, how much answers that were picked for doubt give above
others, and what two trainings differ by; widened where earlier forecasts were off. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHARE = 0.8  # of truths that an interval should hold
DRAWS = 4000
SLOPE = 0.3, 0.3  # what slopes are before anything is seen: mean and standard deviation
WORTH = 1.05, 0.3  # what a row of the next delivery is worth of an average row here; error of the logarithm
PICKED = 1.6  # what a row that was picked for doubt is worth of one that was not
UNEVEN = 0.25, 0.2  # by how much rows at hand look harder than fresh ones (log of the error, its error), if
# all rows were picked for doubt: questions fill the gaps that rows at hand leave, not those around them
REDRAWN = 0.12  # log-growth that a new draw of the folds is like, in answers that change
TRAINING = 0.6  # what one training differs by from another, of a row's spread times sqrt(log-growth / rows)
LARGE = 5000  # fresh rows on which a true score is known
KNOWN = 0.7  # of the slope's prior error, at most, that may be left: else nothing was learnt about it
FARTHEST = 4.0  # times the rows at hand
BELIEF = 8  # earlier forecasts that the model's own error counts for


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The law through samples: log error at `rows` (level) and slope, their covariance float64[2, 2].

    spread: of one row's loss; apart: variance of the difference of two means over `judged` rows, for one unit
    of log-growth.
    """

    rows: int
    judged: int
    level: float
    slope: float
    cov: Floats
    spread: float
    apart: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What `more` rows bring; losses are errors: shares of wrong answers, or of numbers how far off they are.

    gain, low, high: by which the error on fresh rows falls, with its 80 % interval; fresh, reported: the
    error on fresh rows and the out-of-fold one of the next report, each (middle, low, high); sd: of the
    reported one; tells: the interval means something.
    """

    more: int
    gain: float
    low: float
    high: float
    fresh: tuple[float, float, float]
    reported: tuple[float, float, float]
    sd: float
    tells: bool


def curve_of(samples: Mapping[str, Any] | None) -> Curve | None:
    """The curve of `size`, `loss`, `cov`, `rows`, `all` (wheel.sampling); None where no error is left to tell
    from.
    """
    if samples is None or min(samples["loss"]) <= 0:
        return None
    loss, cov = np.array(samples["loss"]), np.array(samples["cov"])
    x = np.log(np.array(samples["size"]) / samples["all"])
    design = np.column_stack([np.ones(len(x)), -x])
    inverse = np.linalg.inv(cov / np.outer(loss, loss) + 1e-6 * np.eye(len(x)))
    prior = np.diag([1e-6, 1 / SLOPE[1] ** 2])
    told = np.linalg.inv(design.T @ inverse @ design + prior)
    level, slope = told @ (design.T @ inverse @ np.log(loss) + prior @ [0.0, SLOPE[0]])
    near = 1 if x[0] - x[1] > 0.1 else 2  # of two folds the first two sizes are one
    apart = (cov[0, 0] + cov[near, near] - 2 * cov[0, near]) / (x[0] - x[near])
    return Curve(
        rows=int(samples["all"]),
        judged=int(samples["rows"]),
        level=float(level),
        slope=float(slope),
        cov=told,
        spread=math.sqrt(max(cov[0, 0], 0.0) * samples["rows"]),
        apart=max(float(apart), 0.0),
    )


def forecast(
    curve: Curve,
    now: float,
    more: int,
    *,
    picked: float = 0.0,
    before: float = 0.0,
    worth: tuple[float, float] = (1.0, 0.0),
    past: Sequence[float] = (),
) -> Forecast:
    """What `more` rows bring to a model whose reported error is `now`.

    picked: the share of them that is picked for doubt; before: that of the rows at hand; worth: of one of
    them, in average rows, and its standard error; past: standardised errors of earlier forecasts. The same
    values give the same answer.
    """
    rng = np.random.default_rng(20)
    growth = math.log1p(more / curve.rows)
    drawn = rng.multivariate_normal([curve.level, curve.slope], curve.cov, DRAWS, method="cholesky")
    usual = WORTH[0] * PICKED ** (picked - before) * np.exp(WORTH[1] * rng.standard_normal(DRAWS))
    usual *= worth[0] + worth[1] * rng.standard_normal(DRAWS)
    falls = -np.expm1(-np.maximum(drawn[:, 1], 0) * usual * growth)
    uneven = UNEVEN[0] + UNEVEN[1] * rng.standard_normal(DRAWS)
    level = np.exp(drawn[:, 0] - before * uneven)
    more_picked = (picked - before) * more / (curve.rows + more)
    apart = curve.apart * growth
    noise = TRAINING * curve.spread * math.sqrt(growth / curve.rows)
    wide = widened(past)
    chance = [rng.standard_normal(DRAWS) for _ in range(3)]
    true = noise * chance[0] + math.sqrt(apart * curve.judged / LARGE) * chance[1]
    gain = level * falls + true
    after = level * (1 - falls) - true
    redrawn = math.sqrt(apart + REDRAWN * curve.apart)
    said = now * (1 - falls) * np.exp(more_picked * uneven) - noise * chance[0] - redrawn * chance[2]
    told = [_interval(one, wide) for one in (gain, after, said)]
    known = math.sqrt(curve.cov[1, 1]) < KNOWN * SLOPE[1] and more <= FARTHEST * curve.rows
    return Forecast(
        more=more,
        gain=told[0][0],
        low=told[0][1],
        high=told[0][2],
        fresh=told[1],
        reported=told[2],
        sd=float(said.std()),
        tells=known and more > 0,
    )


def widened(past: Sequence[float]) -> float:
    """How much wider intervals become by what earlier forecasts were off, in their standard deviations."""
    return math.sqrt((BELIEF + sum(min(z * z, 9.0) for z in past)) / (BELIEF + len(past)))


def _interval(drawn: Floats, wide: float) -> tuple[float, float, float]:
    low, middle, high = np.quantile(drawn, [(1 - SHARE) / 2, 0.5, (1 + SHARE) / 2]).tolist()
    return middle, middle - wide * (middle - low), middle + wide * (high - middle)


def winkler(low: float, high: float, truth: float, share: float = SHARE) -> float:
    """Score of an interval (Winkler 1972), smaller is better: its width, and what it missed by, dearly."""
    return high - low + 2 / (1 - share) * (max(low - truth, 0.0) + max(truth - high, 0.0))
