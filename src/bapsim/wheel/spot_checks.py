"""Which rows of a machine's lots people are asked about, for the recipe's `spot_checked` surveys."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bapsim.refine.sampling_plan import lot_verdict
from bapsim.refine.spot_check import SpotChecked
from bapsim.wheel.aside import agreed
from bapsim.wheel.stock import Scene, Stock


def to_spot(scene: Scene, askable: np.ndarray) -> np.ndarray:
    """int64[m]: rows of the samples that nobody answered yet, of lots that are not decided; askable: bool[N].
    Of a row that nobody can tell the next one of the lot is asked instead.
    """
    stock, found = scene.stock, [np.empty(0, np.int64)]
    for survey in scene.recipe.surveys.values():
        if isinstance(survey, SpotChecked):
            found += [_open(stock, survey, rows, askable) for rows in _lots(stock, survey.source)]
    return np.unique(np.concatenate(found))


def _open(stock: Stock, survey: SpotChecked, rows: np.ndarray, askable: np.ndarray) -> np.ndarray:
    """int64[m]: what is left to ask about one lot (int64[n], in the order of ids)."""
    made = survey.planned(len(rows))
    lot = np.zeros(len(stock), bool)
    lot[rows] = True
    said = agreed(stock, lot, np.zeros(len(stock), bool))
    if (
        made is None
        or lot_verdict(made, [said[i] for i in rows.tolist() if i in said][: made.n]) != "undecided"
    ):
        return np.empty(0, np.int64)
    mine = [i for i in rows.tolist() if askable[i] or i in said][: made.n]
    return np.array([i for i in mine if i not in said], np.int64)


def _lots(stock: Stock, source: str) -> Iterator[np.ndarray]:
    """int64[n]: the machine-made labelled rows of each batch of a source, in the order of their ids."""
    for n, origin in stock.origins.items():
        if origin.source == source:
            rows = np.flatnonzero((stock.origin == n) & stock.by_machine & stock.labelled & ~stock.erased)
            yield rows[np.argsort(stock.ids[rows], kind="stable")]
