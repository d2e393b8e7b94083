"""The reverse arrow: what a turn would change in its own recipe, each change with its evidence.

Everything comes from out-of-fold answers about rows that are trained on, and from forecasts made of these;
never from the exam. The owner takes a proposal over or not; whether it helped, the gate decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bapsim.compose.asking import WorthAsking
from bapsim.compose.leaving_out import Found, leave_out
from bapsim.core.arrow import booleans, numbers
from bapsim.core.recipe import Recipe
from bapsim.core.records import rows_of
from bapsim.gather.people_lines import Said, read_people
from bapsim.judge.compare import wilson
from bapsim.judge.exam import heard
from bapsim.judge.power import items_needed
from bapsim.refine.duplicates import NearDuplicates
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.doubting import rules_in_force
from bapsim.wheel.judging import Judged, random_rows
from bapsim.wheel.refining import Opinions
from bapsim.wheel.sampling import losses_under, missed
from bapsim.wheel.stock import Scene
from bapsim.wheel.weighing import LOW, weighs

Row = dict[str, Any]

STEEP = 0.02  # a gain, at least, from which on twice as many questions are proposed
FAIR, MOST = 3, 0.5  # turns within which the exam should find a gain; share of questions for it, at most
LATEST = 10  # turns within which the exam has to be that large at the proposed share
SEEN = 0.005  # smaller gains are not worth an exam
COPIES, STEP, NEAREST = 30, 0.1, 0.95  # rows that tell; by how much a threshold moves; no higher than that
SUSPECTS, LESS = 3, 0.5  # sources that are tried a turn; the weight that is tried where leaving out costs
TOLD = "told"  # the change of what people are told of a class
PAIRS = 2  # pairs of classes a turn


def proposals(
    scene: Scene, opinions: Opinions, judged: Judged, people: Candidate, told: Mapping[str, Any]
) -> list[Row]:
    """The changes as plain values, see `wheel.rewriting.splices`; each with `evidence`: a name and numbers.

    told: the turn's summary so far: forecast, sources, notice, wear.
    """
    found = [*_questions(scene, judged, told), *_copies(scene, opinions, people, told)]
    found += [*_labels(scene.recipe, told), *_classes(scene, told), *_sources(scene, people, told)]
    found += _told(scene)
    return found


def _questions(scene: Scene, judged: Judged, told: Mapping[str, Any]) -> Iterator[Row]:
    """Fewer or more of them by the forecast, and how many for the exam by the gain that it should find."""
    asks, said = scene.recipe.questions, told["forecast"]
    if not isinstance(asks, WorthAsking) or said is None or not said["tells"]:
        return
    numbers_ = {name: said[name] for name in ("gain", "low", "high", "answers", "now", "answer")}
    if said["verdict"] in ("stop", "dear") and asks.budget >= 2:
        why = {"name": f"budget.{said['verdict']}", "costs": said["costs"], "most": said["most"]}
        yield _budget(asks.budget // 2, asks.budget, why | numbers_ | {"least": said["least"]})
    elif said["low"] >= STEEP and said["answer"] != "number" and told["questions"] >= asks.budget > 0:
        yield _budget(2 * asks.budget, asks.budget, {"name": "budget.steep", **numbers_})
    both = judged.screened[0].both
    if both is None or said["answer"] == "number" or said["gain"] < SEEN or told["opponent"] in _UNTRAINED:
        return
    apart = float((both.right != 0).mean())
    needed = items_needed(min(said["gain"], apart), apart) if apart else None
    items = int(told["wear"]["items"])
    if needed is None or needed <= items or asks.budget <= 0:
        return
    share = min(math.ceil(20 * (needed - items) / (FAIR * asks.budget)) / 20, MOST)
    within = needed - items <= LATEST * share * asks.budget  # else it takes a duel, not an exam
    if share > asks.exam_share and within:
        why = {"name": "exam", "items": items, "needed": needed, "apart": apart, "gain": said["gain"]}
        yield {"what": "exam_share", "value": str(share), "old": str(asks.exam_share), "evidence": why}


_UNTRAINED = (
    "majority",
    "median",
    "incumbent",
)  # how often such a one differs says nothing of the next model


def _budget(new: int, old: int, evidence: Row) -> Row:
    return {"what": "budget", "value": str(new), "old": str(old), "evidence": evidence}


def _copies(scene: Scene, opinions: Opinions, people: Candidate, told: Mapping[str, Any]) -> Iterator[Row]:
    """A higher threshold, where the model misses rows that were left out as copies as often as fresh ones."""
    stock, fresh = scene.stock, told["oof_accuracy"]
    for name, survey in scene.recipe.surveys.items():
        if not isinstance(survey, NearDuplicates) or fresh is None or survey.threshold >= NEAREST:
            continue
        said = opinions.named[name]
        value = numbers(said.column("value"))
        near = ~booleans(said.column("keep"), True) & (value < survey.threshold + STEP) & stock.labelled
        at = np.flatnonzero(near & stock.by_people & ~scene.exam & ~scene.superseded)
        if len(at) < COPIES:
            continue
        answers = people.model(rows_of(stock.part(at), stock.task.inputs))
        gold = stock.labels[at].tolist()
        lost = missed(heard(answers, people.model.classes, stock.task.answer), gold)
        right = len(at) - int(lost.sum())
        low, high = wilson(right, len(at))
        if high < (1 + fresh) / 2:  # nearer to a fresh row than to one that is known by heart
            new = min(round(survey.threshold + STEP, 2), NEAREST)
            why = {"name": "copies", "rows": len(at), "right": right / len(at), "low": low, "high": high}
            why |= {"fresh": fresh, "upto": survey.threshold + STEP}
            yield {"what": "copies", "value": str(new), "old": str(survey.threshold), "evidence": why}


def _labels(recipe: Recipe, told: Mapping[str, Any]) -> Iterator[Row]:
    """The survey of wrong labels, where there are some and none is in the recipe."""
    noise = told["notice"]["noise"]
    if noise is not None and noise["low"] >= LOW and not weighs(recipe) and "labels" not in recipe.surveys:
        yield {
            "what": "labels",
            "evidence": {"name": "labels", **{n: noise[n] for n in ("rate", "low", "high")}},
        }


def _classes(scene: Scene, told: Mapping[str, Any]) -> Iterator[Row]:
    """A rule for classes that are mixed up; where people had one and still differ, one class of the two."""
    recipe = scene.recipe
    known = rules_in_force(scene.project.ledger)
    left = PAIRS
    for pair in told["notice"]["confused"]:
        first, second = str(pair["first"]), str(pair["second"])
        why = {n: pair[n] for n in ("evidence", "rows", "gain", "low", "high")} | {
            "first": first,
            "second": second,
        }
        why["found"] = why.pop("evidence")
        ruled = [label for label in (first, second) if label in recipe.guideline]
        if not left or {first, second} & set(recipe.task.merged):
            continue
        left -= 1
        if not ruled:
            yield {
                "what": "guideline",
                "pair": [first, second],
                "ids": pair["ids"],
                "evidence": {"name": "rule", **why},
            }
        elif all(known.get(one, ("", scene.turn.n))[1] < scene.turn.n for one in ruled) and _apart(
            pair, recipe
        ):
            labels = scene.stock.labels[scene.stock.labelled]
            rarer, other = sorted((first, second), key=lambda one: (int((labels == one).sum()), one))
            yield {"what": "merged", "pair": [rarer, other], "evidence": {"name": "merge", **why}}


def _told(scene: Scene) -> Iterator[Row]:
    """What people are told of a class: as an expert worded it last, and approved. The proposal names the
    line; the words stay where they are, so that they go with their consent.
    """
    last: dict[str, Said] = {}
    lines = [one for mine in read_people(scene.project.inbox).values() for one in mine]
    for one in sorted(lines, key=lambda one: (one.at, one.id)):
        if one.kind == "guideline":
            last[str(one.body["label"])] = one
    known = set(scene.stock.labels[scene.stock.labelled].tolist())
    for label, one in last.items():
        if label in known and scene.recipe.guideline.get(label) != one.body["text"]:
            why = {"name": "told", "label": label, "person": one.person}
            yield {"what": TOLD, "label": label, "line": [one.consent, one.id], "evidence": why}


def _apart(pair: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether to merge: it always looks like a gain, and is one only where people cannot tell them apart."""
    free = not {pair["first"], pair["second"]} & set(recipe.task.merged.values())
    return free and bool({"disputed", "surest"} & set(pair["evidence"])) and (pair["low"] or 0) > 0


def _sources(scene: Scene, people: Candidate, told: Mapping[str, Any]) -> Iterator[Row]:
    """Sources to leave out or to weigh less, of those whose labels look wrong beside the others'."""
    taught = [one for one in told["sources"] if one["name"] is not None and one["trained"]]
    noise = {one["name"]: one["noise"] for one in taught if one["noise"] is not None}
    names = [name for name, said in noise.items() if said["low"] > 0 and name in scene.recipe.sources]
    names = sorted(names, key=lambda name: -noise[name]["share"])[:SUSPECTS]
    found = searched(scene, people, names) if names else None
    if found is None:
        return
    for name, weight in found.weights.items():
        mine = next(one for one in found.tried if one.source == name and one.weight == weight)
        why = {"name": "source", "source": name, "weight": weight, "chose": mine.gain, "bound": mine.bound}
        why |= {"gain": found.gain, "low": found.low, "high": found.high, "rows": found.rows}
        why |= {"optimism": found.optimism, "answer": told["answer"]}
        yield {"what": "weights", "source": name, "value": str(weight), "evidence": why}


def searched(scene: Scene, people: Candidate, names: list[str]) -> Found | None:
    """The leave-out rule over these sources, on held-out rows outside the exam; None where it cannot tell."""
    held = losses_under(scene, people, random_rows(scene) & people.rows)
    if held is None:
        return None
    return leave_out(names, held.losses, held.of, held.groups, weights=(0.0, LESS))
