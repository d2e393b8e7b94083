"""The share of an accepted turn: whose new rows made its gain, by models with and without them.

The gain is the one that the turn printed, on its exam or in its duel; nothing else is asked of an exam here.
It is measured against the last proven model, so that what turns left undecided in between gave is in it: it
is paid when a turn that ate it is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Recipe
from bapsim.core.records import Scores
from bapsim.core.turn import named_seed
from bapsim.judge.contribution import Expected, Part, balanced, parts, trust
from bapsim.judge.exam import Heard, agrees, contradicts, gold_share, item_losses, spread
from bapsim.store import artifacts
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.text.targets import numbers_of
from bapsim.wheel.audit import stands
from bapsim.wheel.candidates import NAME, data_fingerprint
from bapsim.wheel.contrast import unkept
from bapsim.wheel.examining import eligible
from bapsim.wheel.held_out import OOF, held_out
from bapsim.wheel.judging import Opponent
from bapsim.wheel.kin import kin
from bapsim.wheel.merging import merging_opponent
from bapsim.wheel.pay_makers import Player, makers
from bapsim.wheel.pay_tests import Record, records_of_tests
from bapsim.wheel.stock import REFUSED, SUPERSEDED, Stock, load_stock
from bapsim.wheel.weighing import Looks, newest_looks
from bapsim.wheel.worth import eaten_by

MOST = 12  # people and sources that are each left out by themselves; the others are left out together
Say = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A model that was proven better: against whom, by how much in the metric's unit with its 95 % interval,
    in which turn, and by what, `exam` or `duel`.
    """

    version: str
    opponent: str
    turn: int
    gain: float
    low: float
    high: float
    unit: str
    by: str


def accepted(ledger: Ledger) -> list[Accepted]:
    """Every model that a duel or a turn's look proved, in the order in which that was."""
    found = []
    for row in ledger.rows("select n, decision from turn where state='done'"):
        said = json.loads(row["decision"])
        if said["verdict"] == "accept":
            unit = str(said["values"].get("unit", "points"))
            found.append(_proven(said, row["n"], (said["candidate"], said["opponent"]), ("exam", unit)))
    for row in ledger.rows("select turn, output from stage where name='duel told'"):
        said = json.loads(row["output"])
        if said["verdict"] == "accept":
            found.append(_proven(said, row["turn"], (said["second"], said["first"]), ("duel", "points")))
    return sorted(found, key=lambda one: (one.turn, one.by))


def _proven(said: Mapping[str, Any], turn: int, names: tuple[str, str], how: tuple[str, str]) -> Accepted:
    gain, low, high = (float(said[name] or 0) for name in ("gain", "low", "high"))
    (version, opponent), (by, unit) = names, how
    return Accepted(
        version=version, opponent=opponent, turn=turn, gain=gain, low=low, high=high, unit=unit, by=by
    )


def in_points(one: Accepted, stock: Stock, ate: np.ndarray) -> tuple[float, float, float]:
    """The gain and its interval in points; of a number one is a hundredth of the spread of what it ate."""
    scale = 100.0
    if one.unit != "points":
        gold = pa.array(numbers_of(stock.labels[ate].tolist()), pa.float64())
        wide = spread(Scores(pa.record_batch([gold], names=["gold"])))
        scale = 100 / wide if wide > 0 else 0.0
    return one.gain * scale, one.low * scale, one.high * scale


# --------------------------------------------------------------------------- what each gave


@dataclass(frozen=True, kw_only=True)
class Field:
    """An accepted model's rows, those of them that are new, and whose each of these is.

    ate, new: bool[N]; groups: int64[N], rows of one number are never split; tests: by person.
    """

    recipe: Recipe
    stock: Stock
    ate: np.ndarray
    new: np.ndarray
    made: Mapping[int, tuple[Player, ...]]
    tests: Mapping[str, Record]
    groups: np.ndarray
    looks: Looks

    @cached_property
    def players(self) -> list[Player]:
        """All of them, in the order of their names."""
        return sorted({player for mine in self.made.values() for player in mine})

    def of(self, players: Collection[Player]) -> np.ndarray:
        """bool[N]: new rows that any of these made."""
        found = np.zeros(len(self.stock), bool)
        wanted = set(players)
        found[[row for row, mine in self.made.items() if wanted.intersection(mine)]] = True
        return found

    @cached_property
    def at(self) -> np.ndarray:
        """int64[n]: rows on which models are held against one another: random ones that were there before,
        and all that are new.
        """
        nobody = np.zeros(len(self.stock), bool)
        return np.flatnonzero(self.ate & (self.new | eligible(self.stock, nobody)))

    def trust(self, player: Player) -> float:
        """How much the word of somebody counts; a source is nobody who was tested."""
        one = self.tests.get(player.person, Record())
        return trust(one.right, one.tests)


def field_of(project: Project, recipe: Recipe, one: Accepted) -> Field:
    """What there is to measure of an accepted model, as the records stand now."""
    stock, ledger = load_stock(project, recipe.task), project.ledger
    ate = eaten_by(ledger, stock, one.version)
    new = ate & ~eaten_by(ledger, stock, one.opponent)
    state = stands(project, stock)
    return Field(
        recipe=recipe,
        stock=stock,
        ate=ate,
        new=new,
        made=makers(project, recipe, stock, new),
        tests=records_of_tests(ledger),
        groups=kin(stock, ate, recipe.exam.near),
        looks=newest_looks(ledger, stock, state == SUPERSEDED, state == REFUSED),
    )


def news(project: Project, field: Field, one: Accepted) -> tuple[np.ndarray, np.ndarray]:
    """Of the new rows, in their order: how unlikely each label was for the model before, float64[m], 1 where
    there was none; and bool[m], whether the accepted one says the same, out of fold.
    """
    rows = np.flatnonzero(field.new)
    before, after = (_model(project, field.recipe, name) for name in (one.opponent, one.version))
    labels = field.stock.labels[rows].tolist()
    unlikely: np.ndarray = np.ones(len(rows))
    same = np.zeros(len(rows), bool)
    if before is not None and len(rows):
        unlikely = _unlikely(held_out(before.respond, before.oof, field.stock, rows), labels)
    if after is not None and len(rows):
        same = ~contradicts(held_out(after.respond, after.oof, field.stock, rows), labels)
    return unlikely, same


def _unlikely(said: Heard, labels: list[str | None]) -> np.ndarray:
    if said.answer == "class" and said.probs is not None:
        return np.asarray(1 - gold_share(said.probs, said.classes, labels))
    return np.asarray(contradicts(said, labels), np.float64)


def _model(project: Project, recipe: Recipe, version: str) -> Opponent | None:
    """A version that can still answer."""
    folder = project.models / NAME / version / "judged"
    if not folder.is_dir():
        return None
    model = artifacts.load(folder, project.root)
    found = Opponent(name=version, fingerprint="", respond=model, oof=folder / OOF)
    return merging_opponent(found, recipe.task)


def measured(project: Project, recipe: Recipe, one: Accepted, say: Say) -> dict[str, Any]:
    """What each person and source gave of an accepted model's gain, as plain values.

    points, low, high: of the gain; players: for each person or source person, source, rows, contradicted (by
    the model before), confirmed (by the accepted one, out of fold), tests, right, and its part of the gain:
    share, low, high, gain, error; alone: it was left out by itself; fits: cross-fits that this took.
    """
    field = field_of(project, recipe, one)
    unlikely, same = news(project, field, one)
    rows = np.flatnonzero(field.new)
    about, expected = [], []
    for player in field.players:
        mine = field.of([player])[rows]
        record = field.tests.get(player.person, Record())
        expected.append(Expected(float(unlikely[mine].sum()), record.right, record.tests))
        counts = {"rows": int(mine.sum()), "contradicted": int((unlikely[mine] > 0.5).sum())}
        counts |= {"confirmed": int(same[mine].sum()), "tests": record.tests, "right": record.right}
        about.append({**player._asdict(), **counts})
    found, fits = _divided(field, expected, named_seed("share", one.version), say)
    points, low, high = in_points(one, field.stock, field.ate)
    said = {"version": one.version, "opponent": one.opponent, "turn": one.turn, "by": one.by, "fits": fits}
    players = [{**p, **_plain(part), "alone": alone} for p, (part, alone) in zip(about, found, strict=True)]
    return {**said, "points": points, "low": low, "high": high, "players": players}


def _plain(part: Part) -> dict[str, Any]:
    """Values that JSON can hold."""
    return {name: None if np.isnan(value) else round(value, 9) for name, value in asdict(part).items()}


def _divided(
    field: Field, expected: list[Expected], seed: int, say: Say
) -> tuple[list[tuple[Part, bool]], int]:
    """The part of each player, and whether it was measured by itself; the number of cross-fits.

    The MOST of whom most was to be expected are each left out; what the others gave together is divided among
    them by what was to be expected.
    """
    players = field.players
    if len(players) < 2:
        whole = Part(share=1.0, low=1.0, high=1.0, gain=float("nan"), error=float("nan"))
        return [(whole, True) for _ in players], 0
    if not any(player.person for player in players):  # nobody to be paid: no fit is worth its time
        nothing = np.zeros((0, len(players)))
        return [(part, False) for part in parts(nothing, nothing, np.empty(0, np.int64), expected, seed)], 0
    hopes = [one.news * trust(one.right, one.tests) for one in expected]
    order = sorted(range(len(players)), key=lambda i: (-hopes[i], players[i]))
    alone, rest = sorted(order[:MOST]), sorted(order[MOST:])
    sides = [[players[i]] for i in alone] + ([[players[i] for i in rest]] if rest else [])
    hoped = [expected[i] for i in alone] + ([_joined([expected[i] for i in rest])] if rest else [])
    gains, weights, fits = _gains(field, sides, say)
    groups = field.groups[field.at] if len(gains) else np.empty(0, np.int64)
    found = parts(gains, weights, groups, hoped, seed)
    by_player = {i: (part, True) for i, part in zip(alone, found, strict=False)}
    together = sum(hopes[i] for i in rest)
    for i in rest:
        by_player[i] = _scaled(found[-1], hopes[i] / together if together else 1 / len(rest)), False
    return [by_player[i] for i in range(len(players))], fits


def _joined(several: list[Expected]) -> Expected:
    return Expected(*(sum(values) for values in zip(*several, strict=True)))


def _scaled(part: Part, by: float) -> Part:
    nan = float("nan")
    return Part(share=part.share * by, low=part.low * by, high=part.high * by, gain=nan, error=nan)


def _gains(field: Field, sides: list[list[Player]], say: Say) -> tuple[np.ndarray, np.ndarray, int]:
    """float64[n, sides] twice, of the rows `field.at`: by how much less is lost with each side's rows, and
    how much that row says of it; and the cross-fits made. n = 0 where no two models can be compared.
    """
    base, at = field.ate & ~field.new, field.at
    fits: dict[str, np.ndarray] = {}
    mine = [field.of(side) for side in sides]
    added, left = [base | one for one in mine], [_without(field, side) for side in sides]
    nothing = np.zeros((0, len(sides)))
    pairs = [(base, one) for one in added] if _teaches(field, base) else [None] * len(sides)
    columns = []
    for first, out in zip(pairs, left, strict=True):
        both = [
            *([first] if first is not None else []),
            *([(out, field.ate)] if _teaches(field, out) else []),
        ]
        if not both:
            return nothing, nothing, len(fits)
        said = [_loss(field, without, fits, say) - _loss(field, with_, fits, say) for without, with_ in both]
        columns.append(np.mean(said, axis=0))
    own = np.stack([one[at] for one in mine], axis=1)
    word = np.ones(len(at))
    place = {row: k for k, row in enumerate(at.tolist())}
    for row, players in field.made.items():
        word[place[row]] = max(field.trust(player) for player in players)
    return np.stack(columns, axis=1), balanced(base[at], word, own), len(fits)


def _without(field: Field, side: Collection[Player]) -> np.ndarray:
    """bool[N]: what is left when the rows go that nobody else made, too."""
    others = [player for player in field.players if player not in side]
    return np.asarray((field.ate & ~field.new) | field.of(others))


def _teaches(field: Field, rows: np.ndarray) -> bool:
    """Whether there is anything to tell apart."""
    return len(set(field.stock.labels[rows].tolist())) > 1


def _loss(field: Field, rows: np.ndarray, fits: dict[str, np.ndarray], say: Say) -> np.ndarray:
    """float64[n]: the loss on each of `field.at`, held out, of a model of these rows (bool[N]); each is made
    once.
    """
    data = data_fingerprint(field.stock, rows)
    if data not in fits:
        say("share", fits=len(fits) + 1)
        model = unkept(field.recipe, field.stock, field.groups, rows, field.looks)
        said = held_out(model.respond, model.oof, field.stock, field.at)
        gold = field.stock.labels[field.at].tolist()
        lost: np.ndarray = item_losses(said, gold)
        fits[data] = np.where(np.isnan(lost), ~agrees(said, gold), lost)
    return fits[data]
