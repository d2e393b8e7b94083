"""A classroom: what a room needs at hand to show, within seconds, what an answer or a rule would change.

It is made once from the last turn: rows that are trained on with their out-of-fold answers, their features, a
pool of rows without a label, heads that are fitted as they are needed. Exam items and their like never enter.
What lines of people change in it is in `wheel.effect`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.compose.exam import folds
from bapsim.core.arrow import numbers, positions, strings
from bapsim.core.errors import InputError, NotEnough
from bapsim.core.recipe import Recipe
from bapsim.core.records import Rows, rows_of
from bapsim.core.turn import named_seed
from bapsim.judge.exam import Heard, heard
from bapsim.store.project import Project
from bapsim.text import features
from bapsim.text.features import Hashes, Spec
from bapsim.text.rules import Folded, folded
from bapsim.train import refit
from bapsim.train.linear import COSTS, FIRST, LARGE
from bapsim.train.refit import Effort, Fitted
from bapsim.train.text import KNEE, Calibration, TextModel
from bapsim.wheel.audit import stands
from bapsim.wheel.examining import eligible, frame
from bapsim.wheel.held_out import WEIGHT, held_out, table_of
from bapsim.wheel.kin import kin
from bapsim.wheel.state import the_newest, unseen
from bapsim.wheel.stock import PENDING, POOL, TRAINED, Stock, examined, load_stock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WHOLE = 10_000  # rows up to which the heads of all classes are fitted beforehand, as far as there is time
MOST_POOL = 20_000  # rows without a label that are at hand
FITS = 55_000_000  # entries of features, times heads, that a lesson may go through: about 1.5 s of two cores
AT_HAND = 1 << 30  # bytes of heads that are kept
THREADS = min(2, os.cpu_count() or 1)
COLD = Effort(tolerance=1e-4)
WARM = Effort(steps=8, tolerance=1e-4)
TINY = 1e-9

Stop = Callable[[], bool]


class Superseded(Exception):
    """Nobody waits for this any more: it was told to stop."""


class Heads(NamedTuple):
    """One class against all others, fold by fold: what it says of the rows held out, float32[n]."""

    fits: tuple[Fitted, ...]
    held: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What a classroom is made of: n labelled rows, and m of a pool.

    ids: void16; texts: as the model reads them; y: int64[n], places among the k classes; probs, pool_probs:
    float32[., k], those of the labelled ones out of fold; weight: float32[n]; folds, pool_folds: int8, -1 =
    of none; groups: int64[n], rows that say nearly the same; proof: bool[n], people's rows; random: bool[n],
    those that nobody picked; slices: by declared column, object[n]; pool_scope: float[m], whether any class
    fits; read: probabilities of further rows, and whether any class fits.
    """

    turn: int
    version: str
    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    ids: np.ndarray
    texts: Sequence[str]
    y: Ints
    probs: np.ndarray
    weight: np.ndarray
    folds: NDArray[np.int8]
    groups: Ints
    proof: np.ndarray
    random: np.ndarray
    pool_ids: np.ndarray
    pool_texts: Sequence[str]
    pool_probs: np.ndarray
    pool_scope: np.ndarray
    pool_folds: NDArray[np.int8]
    read: Callable[[Rows], tuple[np.ndarray, np.ndarray]]
    spec: Spec
    constants: Calibration
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    stand_in: bool = False  # the model is no head on n-grams: one stands in for it


@dataclass(frozen=True, kw_only=True, eq=False)
class Classroom:
    """Material with features and heads; `of` finds rows by id: place, and whether it is of the pool."""

    has: Material
    x: Any
    hashes: tuple[Hashes, Hashes]
    idf: NDArray[np.float32]
    logits: Floats
    of: Mapping[bytes, tuple[int, bool]]
    said: Folded
    pool_said: Folded
    heads: dict[int, Heads] = field(default_factory=dict)
    known: dict[Any, Any] = field(default_factory=dict)  # what lines came to, by the lines

    @property
    def predicted(self) -> Ints:
        """int64[n]: what the last turn's model says of each row that it was not trained on."""
        return np.asarray(self.logits.argmax(axis=1))

    def place(self, name: object) -> tuple[int, bool]:
        """Where a row stands that is named by hex digits, and whether it is of the pool; -1 = nowhere."""
        try:
            return self.of.get(bytes.fromhex(str(name).removeprefix("q")), (-1, False))
        except ValueError:
            return -1, False

    def vectors(self, texts: Sequence[str]) -> Any:
        """Texts as CSR float32[., v], in the terms of the labelled ones."""
        spec = self.has.spec
        found = features.entries(features.grams(texts, spec), self.hashes)
        return features.matrix(found, features.weigh(found, self.idf, spec), len(self.idf))

    @cached_property
    def pool_x(self) -> Any:
        """The pool as CSR float32[m, v]."""
        return self.vectors(list(self.has.pool_texts))

    @property
    def width(self) -> int:
        """Heads that a lesson may fit in time."""
        per_head = max(int(self.x.nnz), 1) * max(len(self.fold_names), 1)
        return max(2, FITS // per_head)

    @property
    def fold_names(self) -> list[int]:
        """The folds, in order."""
        return [int(fold) for fold in np.unique(self.has.folds[self.has.folds >= 0])]

    def base(self, wanted: Sequence[int], stop: Stop | None = None) -> None:
        """Fit the heads of these classes, as the last turn's data has them, where they are not at hand."""
        missing = [c for c in dict.fromkeys(wanted) if c not in self.heads]
        none = np.zeros(self.x.shape[1], np.float32), -1.0  # says of each row that it is something else
        y = {c: np.where(self.has.y == c, 1, -1).astype(np.float32) for c in missing}

        def one(c: int, fold: int) -> Fitted:
            weight, _ = self.seen_weight(fold)
            return refit.refit([refit.Rows(self.x, y[c], weight)], self.has.constants.cost, none, COLD)

        jobs = [(c, fold) for c in self.apart(missing) for fold in self.fold_names]
        fits = side_by_side(one, jobs, stop)
        for c in self.apart(missing):
            mine = tuple(fits[c, fold] for fold in self.fold_names)
            self.heads[c] = Heads(mine, self.held(mine))
            if len(self.has.classes) == 2:
                turned = tuple(fitted.turned() for fitted in mine)
                self.heads[1 - c] = Heads(turned, -self.heads[c].held)
        self._forget(set(wanted))

    def apart(self, wanted: Sequence[int], new: int = 0) -> list[int]:
        """Of these classes, those that need a fit of their own: of two, one is what the other is not."""
        return list(wanted[:1]) if len(self.has.classes) == 2 and not new else list(wanted)

    def _forget(self, needed: set[int]) -> None:
        """Let go of the oldest heads where all of them are too much."""
        each = 4 * self.x.shape[1] * max(len(self.fold_names), 1)
        for c in list(self.heads):
            if len(self.heads) * each > AT_HAND and c not in needed:
                del self.heads[c]

    def seen_weight(self, fold: int) -> tuple[NDArray[np.float32], float]:
        """How much each row counts where a fold is held out, float32[n], one on average; and how much a row
        of weight one does.
        """
        weight = np.where(self.has.folds == fold, 0, self.has.weight)
        total = float(weight.sum())
        unit = np.count_nonzero(weight) / total if total else 1.0
        return np.asarray(weight * unit, np.float32), unit

    def held(self, fits: Sequence[Fitted]) -> NDArray[np.float32]:
        """float32[n]: scores of all rows, each by the head that did not see it."""
        found = np.zeros(len(self.has.y), np.float32)
        for fold, fitted in zip(self.fold_names, fits, strict=True):
            mine = np.flatnonzero(self.has.folds == fold)
            found[mine] = self.x[mine] @ fitted.weights + np.float32(fitted.bias)
        return found

    def evidence(self, scores: np.ndarray) -> Floats:
        """Scores as logits, but for what the class frequencies add."""
        constants = self.has.constants
        s = scores.astype(np.float64)
        return np.asarray(constants.slope * s + constants.bend * np.maximum(s - KNEE, 0))


def side_by_side(
    job: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], stop: Stop | None
) -> dict[tuple[Any, ...], Any]:
    """Jobs on a few threads, each result by its arguments; raises Superseded as soon as `stop` says so."""
    found: dict[tuple[Any, ...], Any] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(arguments), THREADS):
            if stop is not None and stop():
                raise Superseded
            some = arguments[start : start + THREADS]
            for one, result in zip(some, pool.map(lambda a: job(*a), some), strict=True):
                found[one] = result
    return found


def classroom(material: Material) -> Classroom:
    """Features of the material, and its out-of-fold answers as logits. Raises NotEnough without rows."""
    n, k = material.probs.shape
    if n < 2 or k < 2 or len(np.unique(material.folds[material.folds >= 0])) < 2:
        raise NotEnough("lesson_rows", rows=n, classes=k)
    min_df = 1 if n < LARGE else 2
    found = features.grams(list(material.texts), material.spec)
    (words, at_words), (characters, at_characters) = (features.vocabulary(one, min_df) for one in found)
    entries = features.placed(found, (at_words, at_characters), len(words))
    v = len(words) + len(characters)
    idf = features.idf(np.bincount(entries.columns, minlength=v), n)
    x = features.matrix(entries, features.weigh(entries, idf, material.spec), v)
    prior = np.bincount(material.y, material.weight, k) + 0.5
    prior = prior / prior.sum()
    floor = material.constants.floor
    bare = (material.probs.astype(np.float64) - floor * prior) / (1 - floor)  # see train.text.probabilities
    places = {one.tobytes(): (i, False) for i, one in enumerate(material.ids)}
    places |= {one.tobytes(): (i, True) for i, one in enumerate(material.pool_ids)}
    return Classroom(
        has=material,
        x=x,
        hashes=(words, characters),
        idf=idf,
        logits=np.log(np.maximum(bare, TINY)),
        of=places,
        said=folded(list(material.texts)),
        pool_said=folded(list(material.pool_texts)),
    )


# --------------------------------------------------------------------------- from a project


def prepare(project: Project, recipe: Recipe) -> Classroom:
    """The classroom of a project after its last turn; raises NotEnough before a first model, InputError where
    the task is not one class of a text.
    """
    return classroom(material_of(project, recipe))


def warm_up(room: Classroom, seconds: float, stop: Stop | None = None) -> None:
    """Fit the heads that will be needed first, those of classes with most errors, while there is time."""
    wrong = room.predicted != room.has.y
    errors = np.bincount(room.has.y[wrong], minlength=len(room.has.classes)).astype(np.int64)
    errors += np.bincount(room.predicted[wrong], minlength=len(errors))
    end = time.monotonic() + seconds
    for c in np.argsort(-errors, kind="stable").tolist():
        if time.monotonic() > end:
            return
        room.base([c], stop)


def material_of(project: Project, recipe: Recipe) -> Material:
    """What the last turn left, without exam items, what answers them, and what says nearly the same."""
    task = recipe.task
    if task.kind != "text" or task.answer != "class":
        raise InputError("lesson_kind", kind=task.kind, answer=task.answer)
    turn = int(project.ledger.value("select coalesce(max(n), 0) from turn where state='done'"))
    model = the_newest(project, turn + 1, task)
    if model is None or model.oof is None:
        raise NotEnough("lesson_no_model")
    stock = load_stock(project, task)
    hidden = unseen(stock, stock.rows_with(examined(project.ledger, before=turn + 1)))
    state = np.where(hidden, -1, stands(project, stock))
    table = table_of(model.oof)
    place = positions(stock.records.column("_id"), table.column("_id"))
    at = np.flatnonzero(((state == TRAINED) | (state == PENDING)) & stock.labelled & (place >= 0))
    said = held_out(model.respond, model.oof, stock, at)
    y, probs = _classes(said, stock.labels[at])
    at, probs, y = at[y >= 0], probs[y >= 0], y[y >= 0]
    pool = np.flatnonzero(state == POOL)
    pool = pool[np.argsort(stock.ids[pool], kind="stable")][:MOST_POOL]
    among = np.zeros(len(stock), bool)
    among[at], among[pool] = True, True
    groups = kin(stock, among, recipe.exam.near)
    rng = np.random.default_rng(named_seed("lesson", recipe.seed))
    split = folds(frame(stock, at, groups), recipe.folds, rng)
    fold_of = dict(zip(groups[at].tolist(), split.tolist(), strict=True))
    weight = (
        numbers(table.column(WEIGHT), 1.0)[place[at]] if WEIGHT in table.schema.names else np.ones(len(at))
    )
    own = getattr(model.respond, "model", model.respond)  # a model whose labels were merged since is wrapped
    text = own if isinstance(own, TextModel) else None

    def read(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        answers = model.respond(rows)
        fits = numbers(answers.column("in_scope"), 1.0) if "in_scope" in answers.schema.names else None
        told = heard(answers, said.classes, task.answer).probs
        whole = np.full((len(rows), len(said.classes)), 1 / len(said.classes), np.float32)
        return whole if told is None else told, np.ones(len(rows)) if fits is None else fits

    pool_probs, pool_scope = read(rows_of(stock.part(pool), task.inputs))
    return Material(
        turn=turn,
        version=model.name,
        inputs=task.inputs,
        classes=said.classes,
        ids=stock.ids[at],
        texts=_read(stock, at),
        y=y,
        probs=probs,
        weight=np.asarray(weight, np.float32),
        folds=split,
        groups=groups[at],
        proof=stock.by_people[at],
        random=eligible(stock, np.zeros(len(stock), bool))[at],
        pool_ids=stock.ids[pool],
        pool_texts=_read(stock, pool),
        pool_probs=pool_probs,
        pool_scope=pool_scope,
        pool_folds=np.array([fold_of.get(g, -1) for g in groups[pool].tolist()], np.int8),
        read=read,
        spec=text.spec if text is not None else Spec(),
        constants=text.calibration if text is not None else Calibration(cost=COSTS[FIRST]),
        slices={name: np.array(strings(stock.records.column(name)), object)[at] for name in task.slices},
        stand_in=text is None,
    )


def _read(stock: Stock, at: np.ndarray) -> list[str]:
    """Texts as a model reads them: a blank between several columns."""
    texts = stock.texts
    return [texts[i].replace("\x1f", " ") for i in at.tolist()]


def _classes(said: Heard, labels: np.ndarray) -> tuple[Ints, np.ndarray]:
    """Places of labels among the classes of a model, -1 = none, and its probabilities."""
    if said.probs is None:
        raise InputError("lesson_kind", kind="text", answer="no probabilities")
    y = positions(pa.array(labels.tolist(), pa.string()), pa.array(list(said.classes), pa.string()))
    return y, np.asarray(said.probs, np.float32)
