"""Race the ways of putting machine-made rows to people's, on people's rows that no generator learnt from.

What is raced is addressed by what goes into it: a turn that goes on, or the next one with nothing new, reads
the result. The winner is trained as a candidate of its own, beside the one of people's rows alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bapsim.compose.fusing import chosen, foretold, half_out, raced
from bapsim.core.arrow import numbers
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Composer, CrossFit, Raced, Recipe, Way
from bapsim.core.turn import named_seed
from bapsim.judge.collapse import Signal, guard
from bapsim.judge.compare import standard_error, units
from bapsim.judge.exam import right, uncalibrated
from bapsim.judge.gate import Duo, duo
from bapsim.wheel.candidates import Candidate, data_fingerprint, fit
from bapsim.wheel.generating import development
from bapsim.wheel.guarding import told
from bapsim.wheel.held_out import as_scores, eaten, held_out, honest, oof_table
from bapsim.wheel.judging import random_rows
from bapsim.wheel.sampling import quarters
from bapsim.wheel.self_taught import since
from bapsim.wheel.stock import Scene
from bapsim.wheel.weighing import looks_of

LEAST = 20  # development rows, below which nothing is raced: chance would choose


@dataclass(frozen=True, kw_only=True)
class Fused:
    """What came of the race: machine-made rows (bool[N]) and their way, None = none; raced: every way;
    labels: what as many rows labelled by people are foretold to gain, nan where that was not asked; refused:
    rows that generators drew where none of them stands.
    """

    rows: np.ndarray
    way: Way | None
    raced: tuple[Raced, ...]
    labels: float = math.nan
    refused: int = 0
    signals: tuple[Signal, ...] = ()  # of the guard, against people's rows

    def buy(self) -> bool:
        """Whether labels by people are the better buy: no way won, or they are foretold to gain more."""
        won = [one.gain for one in self.raced if one.way == self.way]
        return bool(self.raced or self.refused) and (not won or self.labels > won[0])

    def told(self) -> dict[str, Any]:
        """For the report."""
        ways = [asdict(one.way) | {k: v for k, v in asdict(one).items() if k != "way"} for one in self.raced]
        said = {"way": None if self.way is None else asdict(self.way), "raced": [_plain(one) for one in ways]}
        return said | _plain({"labels": self.labels}) | {"buy": self.buy(), "refused": self.refused}

    def guard(self) -> dict[str, Any]:
        """What the guard says, for the report: signals, which of them lie outside, and the verdict."""
        best = max((one for one in self.raced if one.made), key=lambda one: one.gain, default=None)
        gain, error = (math.nan, math.nan) if best is None else (best.gain, best.error)
        said = guard(self.signals, gain, error).reason if self.way is None else "collapse.admitted"
        if self.way is None and said == "collapse.admitted":
            said = "collapse.none_passed" if self.refused else "collapse.no_gain"
        return told(self.signals) | {"reason": said}


def composer_of(recipe: Recipe) -> Composer:
    """The recipe's, or the usual race."""
    return recipe.compose or raced()


def none_passed(scene: Scene) -> Fused | None:
    """What is told where generators drew rows and none of them stands: there is nothing to race."""
    drawn = scene.stock.of_origins(lambda _, origin: origin.method.startswith("drawn:"))
    if not drawn.any():
        return None
    return Fused(rows=np.zeros(len(drawn), bool), way=None, raced=(), refused=int(drawn.sum()))


def fuse(scene: Scene, people: Candidate, made: np.ndarray, *, suspect: bool) -> Fused:
    """The machine-made rows (of made: bool[N]) that join those of the people's candidate, if any do."""
    composer, stock, ledger = composer_of(scene.recipe), scene.stock, scene.project.ledger
    later = stock.turn_of_origin[stock.origin] >= since(ledger, stock, made)
    judges = np.flatnonzero(random_rows(scene) & people.rows & development(scene.recipe, stock) & later)
    parts = (people.fingerprint, data_fingerprint(stock, made), composer, suspect, len(judges))
    key = f"fuse:{fingerprint('fuse', *parts)}"
    known = ledger.value("select output from stage where key=?", key)
    if known is None:
        ways = _distinct(scene, people, made, _ways(composer, judges))
        rows = [_race(scene, people, made, judges, way) for way in ways]
        way = composer.pick(rows, suspect=suspect)
        labels = math.nan if way is None else _labels(scene, people, _of(scene, people, made, way), judges)
        said = Fused(rows=made, way=way, raced=tuple(rows), labels=labels).told()
        with ledger.change("fused"):
            ledger.add("stage", key=key, name="fuse", turn=scene.turn.n, output=json.dumps(said))
        known = json.dumps(said)
    return _read(scene, people, made, json.loads(known))


def _ways(composer: Composer, judges: np.ndarray) -> Sequence[Way]:
    return composer.ways() if len(judges) >= LEAST else ()


def _distinct(scene: Scene, people: Candidate, made: np.ndarray, ways: Sequence[Way]) -> list[Way]:
    """The ways that differ in what is trained: of few machine-made rows, a larger share has no more."""
    found: dict[tuple[bytes, float, bool], Way] = {}
    for way in ways:
        found.setdefault((_of(scene, people, made, way).tobytes(), way.weight, way.first), way)
    return list(found.values())


def _read(scene: Scene, people: Candidate, made: np.ndarray, said: dict[str, Any]) -> Fused:
    """A race as the ledger has it."""
    way = None if said["way"] is None else Way(**said["way"])
    names = Way.__dataclass_fields__
    rows = []
    for one in said["raced"]:
        told: dict[str, Any] = {k: math.nan if v is None else v for k, v in one.items() if k not in names}
        rows.append(Raced(way=Way(**{k: v for k, v in one.items() if k in names}), **told))
    taken = np.zeros(len(made), bool) if way is None else _of(scene, people, made, way)
    labels = said.get("labels")  # races of earlier versions did not ask
    return Fused(rows=taken, way=way, raced=tuple(rows), labels=math.nan if labels is None else float(labels))


def _of(scene: Scene, people: Candidate, made: np.ndarray, way: Way) -> np.ndarray:
    """bool[N]: the rows of a way."""
    stock = scene.stock
    return chosen(way, people.rows, made, stock.labels, stock.ids)


def _race(scene: Scene, people: Candidate, made: np.ndarray, judges: np.ndarray, way: Way) -> Raced:
    """One way against people's rows alone: both models' held-out answers about the development rows."""
    stock, rows = scene.stock, _of(scene, people, made, way)
    if not rows.any():
        return Raced(way=way, gain=math.nan, error=math.nan, rows=len(judges), made=0)
    mixture, fitted, _ = fit(scene.recipe, stock, scene.groups, people.rows | rows, looks_of(scene), way)
    gain, error = _gain(scene, people, fitted, oof_table(mixture.records, fitted), judges)
    return Raced(way=way, gain=gain, error=error, rows=len(judges), made=int(rows.sum()))


def _labels(scene: Scene, people: Candidate, taken: np.ndarray, judges: np.ndarray) -> float:
    """What as many rows of people as machines gave (bool[N]) are foretold to gain, in their classes: by what
    one half of people's rows of these classes is worth, whole groups, and a power law.
    """
    stock = scene.stock
    at = np.flatnonzero(people.rows)
    seed = named_seed("labels", data_fingerprint(stock, people.rows), scene.recipe.seed)
    half = np.zeros(len(taken), bool)
    half[at] = quarters(scene.groups[at], np.random.default_rng(seed)) >= 2
    fewer = half_out(people.rows, taken, stock.labels, half)
    if len(set(stock.labels[fewer].astype(str).tolist())) < 2:
        return math.nan
    mixture, fitted, _ = fit(scene.recipe, stock, scene.groups, fewer, looks_of(scene))
    table = oof_table(mixture.records, fitted)
    lost, loss = _apart(scene, (people.model, people.oof), (fitted.model, table), judges)
    classes = set(stock.labels[taken].astype(str).tolist())
    theirs = sum(str(label) in classes for label in stock.labels[at])
    return foretold(loss, -float(lost.primary.mean()), 1 + taken.sum() / max(theirs, 1))


def _gain(
    scene: Scene, people: Candidate, fitted: CrossFit, table: Any, at: np.ndarray
) -> tuple[float, float]:
    """The mean gain over the people's model on stock rows `at`, and its standard error, kin as one draw."""
    both, _ = _apart(scene, (people.model, people.oof), (fitted.model, table), at)
    mean = float(both.primary.mean())
    sums = units(both.primary - mean, both.groups)
    return mean, standard_error(sums, len(at))


def _apart(
    scene: Scene, first: tuple[Any, Any], second: tuple[Any, Any], at: np.ndarray
) -> tuple[Duo, float]:
    """What two models, each with its out-of-fold table, differ by on stock rows; the first's loss."""
    stock, groups = scene.stock, scene.groups[at]
    told = [held_out(model, table, stock, at) for model, table in (first, second)]
    before, after = (as_scores(said, stock, at, groups) for said in told)
    own = eaten(first[1], stock, at), np.ones(len(at), bool)
    if not all(honest(said, stock, at, mine) for said, mine in zip(told, own, strict=True)):
        before, after = uncalibrated(before), uncalibrated(after)
    both = duo(before, after)
    wrong = 1 - float(right(before).mean())
    return both, wrong if both.loss is None else float(numbers(before.column("loss")).mean())


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
