"""Labels worth a second look: a rule about them changed or contradicts them, they look wrong, they contradict
their like, or they are a sample of a delivery that was set aside, or of a stream that only people can judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers
from bapsim.core.recipe import Recipe
from bapsim.core.records import Rows
from bapsim.refine.ambiguity import Pair, ambiguous_pairs
from bapsim.refine.labels import Suspicion
from bapsim.refine.spot_check import WHY
from bapsim.store.ledger import Ledger
from bapsim.text.targets import label_set
from bapsim.wheel.aside import set_aside, to_check
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.cross_check import to_compare, unclear
from bapsim.wheel.held_out import held_out
from bapsim.wheel.ruling import doubted_by_rules
from bapsim.wheel.spot_checks import to_spot
from bapsim.wheel.stock import AGAIN, PENDING, TRAINED, Scene, standing
from bapsim.wheel.weighing import WRONG, coded, doubt, inputs_alike, looks_of, trusted

SET_ASIDE = "set_aside"  # why a label of the sample of a delivery is asked about
STREAM = "stream"  # why one is asked about that contradicts what the service answered
STUBS = ("WRITE THE RULE HERE", "여기에 규칙을 적으세요")  # of messages/arrow.json, in a proposed rule
CERTAIN = 0.9  # a label that the model, out of fold, gives this chance stands under a new rule, too


def rules_in_force(ledger: Ledger) -> dict[str, tuple[str, int]]:
    """By label: the rule that people were told last, and the turn since which it stands."""
    rows = ledger.rows("select label, rule, turn from guideline order by turn")
    return {row["label"]: (row["rule"], int(row["turn"])) for row in rows}


def new_rules(ledger: Ledger, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Labels whose rule in the recipe is new or changed, and the rule; a stub that nobody filled is none."""
    known = rules_in_force(ledger)
    for label, rule in recipe.guideline.items():
        if known.get(label, ("", 0))[0] != rule and not any(stub in rule for stub in STUBS):
            yield label, rule


def ruled_since(ledger: Ledger, recipe: Recipe, n: int) -> dict[str, int]:
    """By label: the turn since which its rule stands, this turn (n) for one that is new.

    A rule of the first turn is not among them: nothing was labelled before it, as far as anyone knows.
    """
    known = {label: turn for label, (_, turn) in rules_in_force(ledger).items() if label in recipe.guideline}
    known |= {label: n for label, _ in new_rules(ledger, recipe)}
    return {label: turn for label, turn in known.items() if turn > 1}


@dataclass(frozen=True, kw_only=True)
class Doubted:
    """What is said against the labels of stock rows `at` (int64[m]), out of fold and by equal inputs.

    suggested: object[m], the label that is likelier, None = none is; borne: float64[m], the chance that the
    model gives the label that is there; pairs: classes that people do not tell apart alike.
    """

    at: np.ndarray
    said: Suspicion
    suggested: np.ndarray
    borne: np.ndarray
    pairs: tuple[Pair, ...]


def doubted(scene: Scene, model: Candidate) -> Doubted:
    """What a model and equal inputs say against each label that is trained on, or left out as wrong.

    Of sets and numbers nothing is: confident learning knows one class against others.
    """
    stock = scene.stock
    stands = standing(stock, scene.exam, scene.refused, scene.superseded)
    rows = (stands == TRAINED) | (stands == PENDING) | scene.pruned & ~scene.superseded
    at = np.flatnonzero(rows)
    told = held_out(model.model, model.oof, stock, at)
    known = told.classes if told.answer == "class" else ()
    classes, labels = np.array([*known, None], object), coded(known, stock.labels[at])
    probs = np.full((len(at), len(known)), np.nan, np.float32)
    if known and told.probs is not None:
        probs = told.probs
    groups = inputs_alike(stock, at)
    said = doubt(stock, at, probs, labels, groups)
    pairs = ambiguous_pairs(probs, labels, known, groups=groups) if len(known) > 1 else ()
    mine = probs[np.arange(len(at)), np.maximum(labels, 0)] if known else np.zeros(len(at))
    borne = np.where(labels >= 0, np.nan_to_num(mine), 0.0)
    return Doubted(at=at, said=said, suggested=classes[said.suggested], borne=borne, pairs=pairs)


def doubts(scene: Scene, found: Doubted, askable: np.ndarray) -> Rows:
    """Rows `_id`, `why` (set_aside, stream, spot_check, guideline, contradiction, rule, label_error) and
    `wrong`; the most worthy first.

    askable: bool[N]. A label that was looked at again is only doubted for a new rule; of a row and what a
    machine made of it, only the row's own.
    """
    stock, at = scene.stock, found.at
    aside = to_check(stock, set_aside(scene.project.ledger, stock.states), scene.superseded | ~askable)
    streams = unclear(scene.project.ledger, scene.turn.n)
    other = to_compare(stock, streams, scene.superseded | ~askable | scene.refused)
    spots = np.setdiff1d(to_spot(scene, askable), np.concatenate([*aside.values(), other]))
    sample = np.concatenate([*aside.values(), other, spots])
    wrong = np.nan_to_num(found.said.wrong) * trusted(looks_of(scene), found.said.wrong)
    contradicted = found.said.contradicted > 0
    since = ruled_since(scene.project.ledger, scene.recipe, scene.turn.n)
    given = stock.turn_of_origin[stock.origin[at]]
    several = stock.task.answer == "labels"
    parts = (label_set(label) if several else (label,) for label in stock.labels[at].tolist())
    ruled = np.array([max((since.get(one, -1) for one in part), default=-1) for part in parts]) >= given
    ruled &= found.borne < CERTAIN
    looked = stock.of_origins(lambda _, o: o.method == AGAIN)[at]
    reasons = {"guideline": ruled, "contradiction": contradicted, "rule": doubted_by_rules(scene)[at]}
    reasons["label_error"] = wrong >= WRONG
    why = np.select(list(reasons.values()), list(reasons), "")
    why[looked & ~ruled | ~askable[at] | variants(scene, at)[at] | np.isin(at, sample)] = ""
    rank = np.select([why == one for one in ("guideline", "contradiction", "rule")], [0, 1, 2], 3)
    rows = np.flatnonzero(why != "")
    rows = rows[np.lexsort((stock.ids[at[rows]], -wrong[rows], rank[rows]))]
    sampled = [SET_ASIDE] * (len(sample) - len(other) - len(spots)) + [STREAM] * len(other)
    said = [*sampled, *[WHY] * len(spots), *why[rows].tolist()]
    columns = [
        stock.part(np.concatenate([sample, at[rows]])).column("_id"),
        pa.array(said, pa.string()),
        pa.array(np.concatenate([np.full(len(sample), np.nan), wrong[rows]])),
    ]
    return Rows(pa.record_batch(columns, names=["_id", "why", "wrong"]))


def variants(scene: Scene, at: np.ndarray) -> np.ndarray:
    """bool[N]: rows with an input that a machine made of a row among `at` (int64[m]), or of one that people
    looked at since.
    """
    stock, there = scene.stock, scene.superseded.copy()
    made = numbers(stock.records.column("_input_depth"), 0) > 0
    there[at] = True
    found = np.zeros(len(stock), bool)
    found[[row for row, mums in stock.parents if made[row] and there[list(mums)].any()]] = True
    return found
