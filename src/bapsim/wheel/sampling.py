"""How good the model would be of fewer rows: fits on nested parts of what it ate, judged on rows outside.

Two halves and four quarters, so that a row is answered once by a model of each size, and what differs between
the sizes is paired: the work of two plain fits, of less where there are many rows (docs/results/forecast.md).
Never an exam item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bapsim.compose.oof import part
from bapsim.core.arrow import numbers, positions, take
from bapsim.core.recipe import Mixture, Recipe, said_of
from bapsim.core.records import Records
from bapsim.core.turn import named_seed
from bapsim.judge.compare import units
from bapsim.judge.exam import Heard, agrees, distances, heard
from bapsim.store.lake import read_batch
from bapsim.wheel.candidates import Candidate, data_fingerprint, mixture_of
from bapsim.wheel.held_out import WEIGHT, held_out
from bapsim.wheel.stock import Scene, Stock

FEWEST = 100  # held-out rows that nobody picked: of fewer no curve can be told
JUDGED = 2000  # held-out rows that are enough: of twice as many and more, only a part is answered
NOTHING = 1e9  # the loss where nothing is left to learn from
# Quarters that a model is taught, and the quarter that it answers: those of one quarter lie within the half.
HALVES = (((2, 3), 0), ((2, 3), 1), ((0, 1), 2), ((0, 1), 3))
QUARTERS = (((2,), 0), ((3,), 1), ((0,), 2), ((1,), 3))


def missed(said: Heard, gold: list[str | None]) -> np.ndarray:
    """float64[n]: 1 where the answer is wrong; of numbers how far off it is, of texts what a byte cost."""
    if said.answer == "number":
        return distances(said.prediction.tolist(), gold)
    if said.loss is not None:
        return said.loss
    return np.asarray(~agrees(said, gold), np.float64)


def sampled(
    recipe: Recipe, stock: Stock, groups: np.ndarray, model: Candidate, random: np.ndarray
) -> dict[str, Any] | None:
    """size (rows taught), loss (the mean at each size on the same held-out rows), cov (of these means), rows
    (held out), all: rows that the model itself was taught.

    random: bool[N], people's rows that nobody picked; groups: int64[N], never split. The largest size is that
    of the out-of-fold table. None where there is too little to tell.
    """
    mixture, at = mixture_of(stock, model.rows)
    held = random[at]
    if held.sum() < FEWEST:
        return None
    mixture = replace(mixture, weight=_weights(model, mixture))
    seed = named_seed("forecast", data_fingerprint(stock, model.rows), recipe.seed)
    quarter = quarters(groups[at], np.random.default_rng(seed))
    answered = tuple(range(4 if held.sum() < 2 * JUDGED else 2 if held.sum() < 4 * JUDGED else 1))
    judged = np.flatnonzero(held & np.isin(quarter, answered))[: 2 * JUDGED]
    gold = stock.labels[at[judged]].tolist()
    losses = [missed(held_out(model.model, model.oof, stock, at[judged]), gold)]
    for plan in (HALVES, QUARTERS):
        loss = np.full(len(judged), np.nan)
        for taught in dict.fromkeys(taught for taught, asked in plan if asked in answered):
            mine = np.isin(quarter[judged], [asked for by, asked in plan if by == taught])
            rows = np.isin(quarter, taught)
            if len(set(stock.labels[at[rows]].tolist())) < 2 or not mine.any():
                return None
            fitted = recipe.train(model.model, part(mixture, rows), seed % 2**31)
            answers = said_of(fitted, Records(take(mixture.records, judged[mine])), stock.task)
            said = heard(answers, fitted.classes, stock.task.answer)
            loss[mine] = missed(said, [gold[i] for i in np.flatnonzero(mine)])
        losses.append(loss)
    sizes = [len(at) * share for share in (1 - 1 / recipe.folds, 0.5, 0.25)]
    return _told(np.array(losses), sizes, groups[at[judged]]) | {"all": len(at)}


def with_and_without(
    recipe: Recipe,
    stock: Stock,
    groups: np.ndarray,
    rows: np.ndarray,
    some: np.ndarray,
    held: np.ndarray,
    parent: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Losses on held-out rows of models of one half of the rows, and of that half without some of them; and
    the rows' groups: three arrays [n].

    rows, some, held: bool[N]; of `held`, those among the rows count. None where one of the models would be
    taught a single class.
    """
    mixture, at = mixture_of(stock, rows)
    at_held, at_some = held[at], some[at]
    seed = named_seed("forecast", data_fingerprint(stock, rows), recipe.seed)
    half = quarters(groups[at], np.random.default_rng(seed)) // 2
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for taught in (0, 1):
        judged = np.flatnonzero(at_held & (half != taught))[:JUDGED]
        if not len(judged):
            continue
        gold = stock.labels[at[judged]].tolist()
        losses = []
        for part_of in (half == taught, (half == taught) & ~at_some):
            if len(set(stock.labels[at[part_of]].tolist())) < 2:
                return None
            fitted = recipe.train(parent, part(mixture, part_of), seed % 2**31)
            answers = said_of(fitted, Records(take(mixture.records, judged)), stock.task)
            losses.append(missed(heard(answers, fitted.classes, stock.task.answer), gold))
        found.append((losses[0], losses[1], groups[at[judged]]))
    if not found:
        return None
    whole, less, group = (np.concatenate(parts) for parts in zip(*found, strict=True))
    known = ~np.isnan(whole + less)
    return whole[known], less[known], np.unique(group[known], return_inverse=True)[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """Held-out rows of halves: `of`, the source of each (object[n]); groups int64[n]; and the losses [n] on
    them of models of the other half, in which a source counts as much as is said (1 where nothing is).
    """

    of: np.ndarray
    groups: np.ndarray
    losses: Callable[[Mapping[str, float]], np.ndarray]


def losses_under(scene: Scene, model: Candidate, random: np.ndarray) -> Held | None:
    """What `compose.leaving_out` needs, of what a model ate; random: bool[N], rows that may judge.

    None where too few may.
    """
    stock, recipe = scene.stock, scene.recipe
    mixture, at = mixture_of(stock, model.rows)
    seed = named_seed("forecast", data_fingerprint(stock, model.rows), recipe.seed)
    half = quarters(scene.groups[at], np.random.default_rng(seed)) // 2
    judged = np.concatenate([np.flatnonzero(random[at] & (half == h))[:JUDGED] for h in (0, 1)])
    if len(judged) < FEWEST:
        return None
    gold, base = stock.labels[at[judged]].tolist(), _weights(model, mixture)
    of = np.array([stock.origins[int(n)].source for n in stock.origin[at]], object)

    def losses(weights: Mapping[str, float]) -> np.ndarray:
        counts = np.array([weights.get(name, 1.0) for name in of.tolist()], np.float32)
        weighed = replace(mixture, weight=counts if base is None else counts * base)
        found = np.zeros(len(judged))
        for taught in (0, 1):
            rows, mine = (half == taught) & (counts > 0), half[judged] != taught
            if not mine.any() or len(set(stock.labels[at[rows]].tolist())) < 2:
                return np.full(len(judged), NOTHING)
            fitted = recipe.train(model.model, part(weighed, rows), seed % 2**31)
            answers = said_of(fitted, Records(take(mixture.records, judged[mine])), stock.task)
            said = heard(answers, fitted.classes, stock.task.answer)
            found[mine] = missed(said, [gold[i] for i in np.flatnonzero(mine)])
        return found

    return Held(of=of[judged], groups=scene.groups[at[judged]], losses=losses)


def quarters(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int8[n]: whole groups (int64[n]) at random to four parts of about one size.

    Not by class: parts that hold each class alike know more of the rows they are judged on than a model knows
    of fresh ones, by four points where a class has eight rows (banking77).
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))[group]  # by the first row: numbers of groups are no identity
    place = rng.permutation(len(first))[order]
    before = np.cumsum(np.bincount(place)) - 1
    return np.asarray(before[place] * 4 // len(groups), np.int8)


def _weights(model: Candidate, mixture: Mixture) -> np.ndarray | None:
    """float32[n]: how much each row counted for the model; None where all counted alike."""
    table = read_batch(model.oof)
    if WEIGHT not in table.schema.names:  # of a wheel that is older than weights
        return None
    place = positions(mixture.records.column("_id"), table.column("_id"))
    told = numbers(table.column(WEIGHT)).astype(np.float32)[place]
    return None if (told == 1).all() else told


def _told(losses: np.ndarray, sizes: list[float], groups: np.ndarray) -> dict[str, Any]:
    """Means and their covariance: float64[sizes, n] -> plain values, groups int64[n] as one draw each."""
    known = ~np.isnan(losses).any(axis=0)  # a number that a model did not give
    _, group = np.unique(groups[known], return_inverse=True)
    rows = int(known.sum())
    sums = np.array([units(one - one.mean(), group) for one in losses[:, known]])
    count = sums.shape[1]
    cov = count / max(count - 1, 1) * (sums @ sums.T) / rows**2
    return {"size": sizes, "loss": losses[:, known].mean(axis=1).tolist(), "cov": cov.tolist(), "rows": rows}
