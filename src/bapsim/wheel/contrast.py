"""What some rows are worth: a model with them against one without, held out, on rows of neither."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bapsim.core.recipe import Recipe
from bapsim.judge.compare import points_interval, standardised, units
from bapsim.judge.exam import uncalibrated
from bapsim.judge.gate import OOF_INFLATION, duo
from bapsim.wheel.candidates import fit
from bapsim.wheel.held_out import as_scores, held_out, honest, oof_table
from bapsim.wheel.judging import Opponent
from bapsim.wheel.stock import Stock
from bapsim.wheel.weighing import Looks


def unkept(
    recipe: Recipe, stock: Stock, groups: np.ndarray, rows: np.ndarray, looks: Looks | None = None
) -> Opponent:
    """A model of these rows (bool[N]) that nobody keeps, with its out-of-fold answers; groups: int64[N].

    looks: weigh doubtful labels as a candidate's are, None = all labels count alike.
    """
    mixture, fitted, _ = fit(recipe, stock, groups, rows, looks)
    return Opponent(name="", fingerprint="", respond=fitted.model, oof=oof_table(mixture.records, fitted))


def contrast(
    stock: Stock, groups: np.ndarray, before: Opponent, after: Opponent, at: np.ndarray
) -> dict[str, Any]:
    """z of `after` against `before` on stock rows `at` (int64[n]), and the accuracy that it gains: gain, low
    and high (95 %, as held-out answers have it: their error is more than the items', docs/gate.md), rows, and
    whether the interval tells, being on one side of 0. Without rows z is -inf and nothing is known.
    """
    if not len(at):
        return {"z": -math.inf, "points": None}
    told = [held_out(model.respond, model.oof, stock, at) for model in (before, after)]
    scores = [as_scores(said, stock, at, groups[at]) for said in told]
    if not all(honest(said, stock, at, np.ones(len(at), bool)) for said in told):
        scores = [uncalibrated(one) for one in scores]
    both = duo(scores[0], scores[1])
    gain, wide = float(both.right.mean()), math.sqrt(OOF_INFLATION)
    low, high = points_interval(units(both.right, both.groups), len(at))
    low, high = gain - wide * (gain - low), gain + wide * (high - gain)
    points = {"gain": gain, "low": low, "high": high, "tells": not low <= 0 <= high, "rows": len(at)}
    return {"z": standardised(units(both.primary, both.groups)), "points": points}
