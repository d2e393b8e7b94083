"""Rules of people in a turn: how each fares, what it labelled, and which labels of people contradict one."""

from __future__ import annotations

from typing import Any

import numpy as np

from bapsim.core.recipe import Recipe
from bapsim.gather.rules import ByRules
from bapsim.refine.rules import KeepsRules
from bapsim.store.stated import METHOD, Stated, agreed_labels, stated_rules
from bapsim.text.rules import Fit, Folded, fit_of, folded, matching
from bapsim.wheel.stock import PENDING, TRAINED, Scene, Stock, standing

Step = ByRules | KeepsRules


def steps_of(recipe: Recipe) -> list[Step]:
    """The steps of a recipe that follow rules of people."""
    every: list[object] = [*recipe.sources.values(), *recipe.surveys.values()]
    return [one for one in every if isinstance(one, ByRules | KeepsRules)]


def ruled_texts(stock: Stock, at: np.ndarray) -> Folded:
    """The inputs of stock rows `at` as rules are about them."""
    texts = stock.texts
    return folded([texts[i].replace("\x1f", " ") for i in at.tolist()])


def doubted_by_rules(scene: Scene) -> np.ndarray:
    """bool[N]: labels of people that a rule contradicts, where the recipe wants them looked at again."""
    found = np.zeros(len(scene.stock), bool)
    least = [one.least for one in scene.recipe.surveys.values() if isinstance(one, KeepsRules) and one.doubts]
    rules = stated_rules(scene.turn.inbox, scene.stock.task.merged)[0] if least else []
    if not rules:
        return found
    at, texts, fits = _measured(scene, rules)
    firm = [one for one, fit in zip(rules, fits, strict=True) if fit.sure >= min(least)]
    if firm:
        names = np.array([*(one.label for one in firm), None, None], object)[agreed_labels(firm, texts)]
        differs = [a is not None and a != b for a, b in zip(names, scene.stock.labels[at], strict=True)]
        found[at[np.array(differs, bool)]] = True
    return found


def rules_table(scene: Scene) -> list[dict[str, Any]]:
    """One row a rule in force: the line that states it, its label, how it fares on people's rows that are
    trained on, how many rows it labelled that are trained on or pending, how many labels of people contradict
    it, and whether it is right often enough to be followed. Its words stay in the inbox, so that what is
    withdrawn there is gone from every page.
    """
    steps = steps_of(scene.recipe)
    rules = stated_rules(scene.turn.inbox, scene.stock.task.merged)[0] if steps else []
    if not rules:
        return []
    stock = scene.stock
    _, _, fits = _measured(scene, rules)
    stands = standing(stock, scene.exam, scene.refused, scene.superseded)
    eaten = (stands == TRAINED) | (stands == PENDING)
    least = min(one.least for one in steps)
    table = []
    for one, fit in zip(rules, fits, strict=True):
        mine = stock.of_origins(lambda _, origin, name=one.name: origin.method == METHOD + name)
        row = {"line": one.line, "label": one.label, **fit.json()}
        row |= {"taught": int((mine & eaten).sum()), "against": fit.matched - fit.right}
        table.append(row | {"firm": fit.sure >= least, "least": least})
    return table


def _measured(scene: Scene, rules: list[Stated]) -> tuple[np.ndarray, Folded, list[Fit]]:
    """People's rows that are trained on (int64[n]), their texts, and how each rule fares on them."""
    stock = scene.stock
    stands = standing(stock, scene.exam, scene.refused, scene.superseded)
    at = np.flatnonzero((stands == TRAINED) & stock.by_people)
    texts = ruled_texts(stock, at)
    return at, texts, [fit_of(matching(one.rule, texts), stock.labels[at], one.label) for one in rules]
