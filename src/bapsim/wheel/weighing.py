"""Labels that look wrong count for less: a second fit, weighted by what the first one says out of fold.

Weighting gained where leaving the same rows out lost (docs/results/wheel.md): a right label that looks wrong
still teaches a little. Answers to questions count fully: they were asked because the model did not know them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.compose.oof import crossfit
from bapsim.core.arrow import positions
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import CrossFit, Mixture, Recipe
from bapsim.judge.exam import heard
from bapsim.refine.label_errors import NEAR
from bapsim.refine.labels import Suspicion, flag, suspicion
from bapsim.refine.noise import noise
from bapsim.store.ledger import Ledger
from bapsim.text.vectors import unit_vectors
from bapsim.wheel.kin import alike
from bapsim.wheel.settling import answers
from bapsim.wheel.stock import ASKED, Scene, Stock

LOW = 0.02  # the share of wrong labels, at least, from which on a second fit is worth its time
WRONG = 0.5  # the chance of being wrong from which on a label is worth a question
BELIEF = 5  # answers that the estimate counts for
LEAST = 0.05  # the weight of a label that is surely wrong: the model may be wrong about a whole class


def weighs(recipe: Recipe) -> bool:
    """Whether a survey of the recipe wants doubtful labels to count for less."""
    return any(bool(getattr(survey, "weigh", False)) for survey in recipe.surveys.values())


def weighed_sources(recipe: Recipe) -> Mapping[str, float]:
    """How much the rows of a source count, by its name; RecipeError for a source that is none, or a weight
    that is not between 0 and 1."""
    for name, weight in recipe.weights.items():
        if name not in recipe.sources or not 0 <= weight <= 1:
            known = ", ".join(recipe.sources) or "-"
            raise RecipeError("weight_of_no_source", name=name, weight=weight, known=known)
    return recipe.weights


def by_source(recipe: Recipe, stock: Stock, at: np.ndarray) -> np.ndarray:
    """float32[n]: how much stock rows `at` count by their sources."""
    given = {n: recipe.weights.get(origin.source, 1.0) for n, origin in stock.origins.items()}
    most = np.ones(max(given, default=0) + 1, np.float32)
    most[list(given)] = list(given.values())
    return np.asarray(most[stock.origin[at]], np.float32)


class Looks(NamedTuple):
    """The newest answers about labels that only looked wrong: how many, and how many gave another label."""

    asked: int
    changed: int


def learn(
    recipe: Recipe,
    stock: Stock,
    looks: Looks | None,
    mixture: Mixture,
    at: np.ndarray,
    folds: np.ndarray,
    seed: int,
) -> tuple[CrossFit, np.ndarray]:
    """The fit of a mixture of stock rows `at`, and the weights (float32[n]) that it learnt them with.

    looks: None = all labels count alike.
    """
    given = by_source(recipe, stock, at)
    if mixture.weight is not None:
        given = given * mixture.weight
    if (given != 1).any():
        mixture = replace(mixture, weight=given)
    fitted = crossfit(recipe.train, None, mixture, folds, seed)
    found = weights(stock, looks, at, fitted) if looks is not None and weighs(recipe) else None
    if found is None:
        return fitted, given
    found = found * given
    mixture = replace(mixture, weight=found)
    again = crossfit(recipe.train, None, mixture, folds, seed)
    return CrossFit(model=again.model, answers=again.answers, fits=fitted.fits + again.fits), found


def weights(stock: Stock, looks: Looks, at: np.ndarray, fitted: CrossFit) -> np.ndarray | None:
    """float32[n], the chance that a label is right as far as people bore it out; None where hardly any label
    is wrong.
    """
    said = heard(fitted.answers, fitted.model.classes, stock.task.answer)
    if said.answer != "class" or said.probs is None or len(said.classes) < 2:
        return None
    labels, unheard = coded(said.classes, stock.labels[at]), said.prediction == None  # noqa: E711  element by element
    probs = np.where(unheard[:, None], np.float32(np.nan), said.probs)
    if not noise(probs, labels).low > LOW:  # the quick half of `can_tell`
        return None
    doubts = doubt(stock, at, probs, labels, inputs_alike(stock, at))
    return counted(stock, looks, at, doubts) if can_tell(doubts, labels) else None


def can_tell(said: Suspicion, labels: np.ndarray) -> bool:
    """Whether enough labels are wrong, and a model knows which: most of as many as are estimated to be wrong
    are likelier wrong than right. Where it does not, weights cost (docs/results/label_errors.md).
    """
    found = flag(said, labels)
    return bool(said.noise.low > LOW and 2 * found.prunable.sum() >= len(found.rows))


def counted(stock: Stock, looks: Looks, at: np.ndarray, said: Suspicion) -> np.ndarray:
    """float32[n]: how much stock rows `at` count, of which this is said; answers to questions fully."""
    asked = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))[at]
    return np.where(asked, np.float32(1), trust(said.wrong * trusted(looks, said.wrong)))


def trust(wrong: np.ndarray) -> np.ndarray:
    """float32[n], how much labels count that are wrong with these chances (nan = nothing is known)."""
    return np.asarray(np.maximum(1 - np.nan_to_num(wrong), LEAST), np.float32)


def trusted(looks: Looks, wrong: np.ndarray) -> float:
    """How much of the estimated chances of being wrong (float64[n]) the last looks bore out: from 0 to 1.

    They are a sample of the labels that are likelier wrong than right. Where people mostly confirmed these,
    the model is at fault: fewer labels are asked about, and doubtful ones count for more.
    """
    chances = np.nan_to_num(wrong)
    expected = float(chances[chances >= WRONG].mean()) if (chances >= WRONG).any() else WRONG
    return min((looks.changed + BELIEF * expected) / ((looks.asked + BELIEF) * expected), 1.0)


def newest_looks(ledger: Ledger, stock: Stock, superseded: np.ndarray, refused: np.ndarray) -> Looks:
    """The answers of the last turn with any about labels that only looked wrong: what a changed rule or an
    equal input asks about is no sample of these. superseded, refused: bool[N].
    """
    asked = {r["id"] for r in ledger.rows("select distinct id from asking where why='label_error'")}
    found = second_looks(stock, superseded, refused)
    pairs = [(row, old) for row, old in found if stock.ids[old].tobytes() in asked]
    if not pairs:
        return Looks(0, 0)
    turn = stock.turn_of_origin[stock.origin[[row for row, _ in pairs]]]
    newest = [pair for pair, n in zip(pairs, turn, strict=True) if n == turn.max()]
    return Looks(len(newest), sum(bool(stock.labels[row] != stock.labels[old]) for row, old in newest))


def looks_of(scene: Scene) -> Looks:
    """The newest looks of a turn."""
    return newest_looks(scene.project.ledger, scene.stock, scene.superseded, scene.refused)


def second_looks(stock: Stock, superseded: np.ndarray, refused: np.ndarray) -> list[tuple[int, int]]:
    """Each answer about a label that is settled, and the row that it was asked about."""
    pairs = [(row, mums[0]) for row, mums in answers(stock).items() if stock.labelled[mums[0]]]
    aside = stock.of_refused_deliveries  # asked about because of their delivery, not of a look at the label
    return [(row, old) for row, old in pairs if superseded[old] and not refused[row] | aside[old]]


def coded(classes: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """int64[n]: the position of each label among a model's classes, -1 = none of them."""
    return positions(pa.array(labels.tolist(), pa.string()), pa.array(list(classes), pa.string()))


def inputs_alike(stock: Stock, at: np.ndarray) -> np.ndarray:
    """int64[m]: equal for stock rows `at` that say the same, but for spelling."""
    among = np.zeros(len(stock), bool)
    among[at] = True
    found: np.ndarray = alike(stock, among, NEAR)[at]
    return found


def doubt(
    stock: Stock, at: np.ndarray, probs: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> Suspicion:
    """What held-out probabilities (float[n, k]), similar rows and equal inputs (groups: int64[n]) say against
    the labels (int64[n]) of stock rows.
    """
    texts = [stock.texts[i] for i in at.tolist()] if stock.task.kind == "text" else None
    features = None if texts is None else unit_vectors(texts)
    return suspicion(probs, labels, groups=groups, features=features)
