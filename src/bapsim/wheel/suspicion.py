"""Which delivery is bad: the champion's residual names it, one retrain without it confirms or clears it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bapsim.compose.exam import folds
from bapsim.compose.oof import crossfit
from bapsim.core.fingerprint import fingerprint
from bapsim.core.turn import named_seed
from bapsim.judge.compare import standardised, units
from bapsim.judge.exam import uncalibrated
from bapsim.judge.gate import duo
from bapsim.judge.residual import FEWEST, flagged, residuals
from bapsim.wheel.candidates import data_fingerprint, mixture_of
from bapsim.wheel.examining import frame
from bapsim.wheel.held_out import HeldOut, as_scores, eaten, held_out, honest, of_crossfit
from bapsim.wheel.judging import Opponent, random_rows
from bapsim.wheel.settling import Settled, answers, settle
from bapsim.wheel.stock import Scene, Stock

HELPS = 1.0  # z of the retrain with the suspect against the one without, from which on it may stay


def delivery_names(scene: Scene) -> dict[int, str]:
    """The delivery of each origin: the file that it came in; small ones of one source and turn together.

    A bad sheet is told from the good ones that came with it, if it has as many labels as it takes to tell.
    """
    rows = scene.project.ledger.rows("select n, source, turn, batch from origin")
    stock = scene.stock
    told = stock.labelled & ~scene.refused & ~scene.superseded & ~scene.exam
    labels = np.bincount(stock.origin[told], minlength=len(rows))
    sizes: Counter[tuple[str, str, int]] = Counter()
    for r in rows:
        sizes[r["source"], r["batch"], r["turn"]] += int(labels[r["n"]])
    alone = {part for part, count in sizes.items() if part[1] is not None and count >= FEWEST}
    by_itself = {r["n"]: (r["source"], r["batch"], r["turn"]) in alone for r in rows}
    return {r["n"]: f"{r['batch'] if by_itself[r['n']] else r['source']}@{r['turn']}" for r in rows}


def judge_deliveries(scene: Scene, settled: Settled, champion: Opponent | None) -> list[dict[str, Any]]:
    """This turn's deliveries that contradict the champion, each with what the retrain said.

    A delivery that is refused is not trained on and not examined with; its records are kept. The finding is
    a stage: a resumed turn reads it; the deliveries' states change when the turn is done. Rows that were
    picked for being difficult or that a machine labelled are judged as well: the champion's own confidence
    says what to expect of them. A correction is held against what the champion, out of fold, said of the
    row that it replaces, or that was asked about again: the champion ate that row, and by heart it would
    contradict every correction.
    """
    ledger = scene.project.ledger
    key = f"suspects:{scene.turn.n}:{fingerprint(scene.recipe)}"  # under another recipe it is judged anew
    staged = ledger.value("select output from stage where key=?", key)
    if staged is not None:
        return list(json.loads(staged))
    found = [] if champion is None else _judge(scene, settled, champion)
    with ledger.change("deliveries judged"):
        ledger.add("stage", key=key, name="suspects", turn=scene.turn.n, output=json.dumps(found))
    return found


def _judge(scene: Scene, settled: Settled, champion: Opponent) -> list[dict[str, Any]]:
    stock, names = scene.stock, delivery_names(scene)
    rows = stock.labelled & ~scene.refused & ~scene.exam
    at = np.flatnonzero(rows & ~settled.superseded)
    asked_of, heirs = np.arange(len(stock)), np.flatnonzero(settled.heir >= 0)
    asked_of[settled.heir[heirs]] = heirs
    heirs = heirs[eaten(champion.oof, stock, heirs)]
    asked_of[settled.heir[heirs]] = heirs  # rather one that the champion knows out of fold
    again = [(row, mums[0]) for row, mums in answers(stock).items() if stock.labelled[mums[0]]]
    second = np.array(again, np.int64).reshape(-1, 2)
    second = second[eaten(champion.oof, stock, second[:, 1])]
    asked_of[second[:, 0]] = second[:, 1]
    said = held_out(champion.respond, champion.oof, stock, asked_of[at])
    judged = residuals(
        np.array([names[int(o)] for o in stock.origin[at]]),
        contradicts(stock, at, said),
        np.asarray(said.confidence, np.float64),
        np.isin(stock.labels[at].astype(str), list(said.classes)),
    )
    ledger = scene.project.ledger
    done = int(ledger.value("select coalesce(max(n), 0) from turn where state='done'"))
    fresh = {names[n] for n, turn in stock.turns.items() if turn > done}  # also of turns that were stopped
    worst = [name for name in flagged(judged) if name in fresh]
    if not worst:
        return []
    z = with_and_without(scene, settled, rows, stock.of_origins(lambda n, _: names[n] in worst))
    return [asdict(judged[name]) | {"z_with": z, "refused": bool(z < HELPS)} for name in worst]


def contradicts(stock: Stock, at: np.ndarray, said: HeldOut) -> np.ndarray:
    """bool[n]: the label differs from the answer."""
    return np.array([a != b for a, b in zip(stock.labels[at], said.prediction, strict=True)], bool)


def with_and_without(scene: Scene, settled: Settled, rows: np.ndarray, suspect: np.ndarray) -> float:
    """z of held-out answers with the suspect rows against without, on random rows that are not suspect.

    Rows that the suspect ones replace stand again without them.
    """
    stock = scene.stock
    bad = dict.fromkeys(stock.origin[suspect].tolist(), "refused")
    left = settle(replace(stock, states=stock.states | bad), settled.unfit)
    trained = rows & ~stock.by_machine
    parts = (trained & ~suspect & ~left.superseded, trained & ~scene.superseded)
    at = np.flatnonzero(random_rows(scene) & parts[0] & parts[1])
    if not len(at):
        return -np.inf
    told = [_crossfitted(scene, part, at) for part in parts]
    scores = [as_scores(said, stock, at, scene.groups[at]) for said in told]
    if not all(honest(said, stock, at, np.ones(len(at), bool)) for said in told):
        scores = [uncalibrated(one) for one in scores]
    both = duo(scores[0], scores[1])
    return standardised(units(both.primary, both.groups))


def _crossfitted(scene: Scene, rows: np.ndarray, wanted: np.ndarray) -> HeldOut:
    recipe, stock = scene.recipe, scene.stock
    mixture, at = mixture_of(stock, rows)
    seed = named_seed("train", data_fingerprint(stock, rows), recipe.seed)
    rng = np.random.default_rng(named_seed("folds", seed))
    split = folds(frame(stock, at, scene.groups), recipe.folds, rng)
    fitted = crossfit(recipe.train, None, mixture, split, seed % 2**31)
    return of_crossfit(fitted, order(at, wanted))


def order(at: np.ndarray, wanted: Sequence[int] | np.ndarray) -> np.ndarray:
    """int64: where each wanted row stands in `at`."""
    place = np.argsort(at, kind="stable")
    return place[np.searchsorted(at[place], wanted)]
