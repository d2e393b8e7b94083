"""Labels worth a second look: a rule about them changed, they look wrong, or they contradict their like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Recipe
from bapsim.core.records import Rows
from bapsim.store.ledger import Ledger
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.held_out import HeldOut, held_out
from bapsim.wheel.stock import PENDING, TRAINED, Scene, standing

AGAIN = "asked:repair"  # the method of answers to such questions
WRONG = 0.25  # estimated chance of being wrong from which on a label is worth a question
CERTAIN = 0.9  # a label that the model, out of fold, gives this chance stands under a new rule, too


def rules_in_force(ledger: Ledger) -> dict[str, tuple[str, int]]:
    """By label: the rule that people were told last, and the turn since which it stands."""
    rows = ledger.rows("select label, rule, turn from guideline order by turn")
    return {row["label"]: (row["rule"], int(row["turn"])) for row in rows}


def new_rules(ledger: Ledger, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Labels whose rule in the recipe is new or changed, and the rule."""
    known = rules_in_force(ledger)
    for label, rule in recipe.guideline.items():
        if known.get(label, ("", 0))[0] != rule:
            yield label, rule


def ruled_since(ledger: Ledger, recipe: Recipe, n: int) -> dict[str, int]:
    """By label: the turn since which its rule stands, this turn (n) for one that is new.

    A rule of the first turn is not among them: nothing was labelled before it, as far as anyone knows.
    """
    known = {label: turn for label, (_, turn) in rules_in_force(ledger).items() if label in recipe.guideline}
    known |= {label: n for label, _ in new_rules(ledger, recipe)}
    return {label: turn for label, turn in known.items() if turn > 1}


def doubts(scene: Scene, model: Candidate, askable: np.ndarray) -> Rows:
    """Rows `_id`, `why` (guideline, contradiction, label_error), `wrong`, what is most worth asking first.

    askable: bool[N]. Never exam items; a label that was looked at again is only doubted for a new rule.
    """
    stock = scene.stock
    stands = standing(stock, scene.exam, scene.refused, scene.superseded)
    at = np.flatnonzero(((stands == TRAINED) | (stands == PENDING)) & askable)
    said = held_out(model.model, model.oof, stock, at)
    wrong = chance_wrong(said, stock.labels[at])
    since = ruled_since(scene.project.ledger, scene.recipe, scene.turn.n)
    given = stock.turn_of_origin[stock.origin[at]]
    ruled = np.array([since.get(str(label), -1) for label in stock.labels[at]], np.int64) >= given
    ruled &= wrong > 1 - CERTAIN
    looked = stock.of_origins(lambda _, o: o.method == AGAIN)[at]
    found = np.flatnonzero(ruled | (~looked & (wrong >= WRONG)))
    found = found[np.lexsort((stock.ids[at[found]].view("V16"), -wrong[found], ~ruled[found]))]
    why = np.where(ruled[found], "guideline", "label_error").tolist()
    columns = [stock.part(at[found]).column("_id"), pa.array(why, pa.string()), pa.array(wrong[found])]
    return Rows(pa.record_batch(columns, names=["_id", "why", "wrong"]))


def chance_wrong(said: HeldOut, labels: np.ndarray) -> np.ndarray:
    """float64[n]: interim."""
    if said.probs is None or not len(labels):
        return np.zeros(len(labels))
    at = np.array([said.classes.index(g) if g in said.classes else -1 for g in labels.astype(str)])
    given = np.where(at >= 0, said.probs[np.arange(len(at)), np.maximum(at, 0)], 0.0)
    top = said.probs.max(axis=1)
    return np.asarray(
        np.where(said.probs.argmax(axis=1) == at, 0.0, (top - given) / (top + given)), np.float64
    )
