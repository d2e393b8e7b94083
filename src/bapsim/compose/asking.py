"""The questions of a recipe: what to ask people next, and which part of the budget each reason gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.compose.likely import likely
from bapsim.compose.novel import proposals
from bapsim.compose.outcomes import outcomes
from bapsim.compose.questions import CHOSEN, RANDOM, choose, trouble
from bapsim.core.arrow import ID, Column, cells, concat, id_bytes, numbers, positions, strings, take
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import Answers, Rows, Task, rows_of
from bapsim.core.turn import Turn
from bapsim.image import alike
from bapsim.image.alike import Sketches, joined, sketches
from bapsim.mods import Money, money
from bapsim.text.minhash import clusters
from bapsim.text.targets import decimal, number_of, written

ERROR = "label_error"  # why a label is asked about that only looks wrong
LOOKS = 0.06  # of the chosen questions, at most, for such: weighted down they do little harm (docs/LOG.md)
REPAIR = "repair"  # how a question about a label that is there already was drawn
DUEL = 0.2  # of the budget, at most, where two models differ on what was asked at random
FEW = 3  # labels below which a class is in need
SOUGHT, NEEDED = 0.25, 0.1  # of the chosen questions, at most, for classes that are sought, or in need
CLOSING = 0.5  # of the questions that are left, for the value of a group for whom the model is worst
NOVEL, EXAMPLES = 0.2, 2  # of the chosen questions, at most, for likely new classes; and for each of them


@dataclass(frozen=True, kw_only=True)
class WorthAsking:
    """Questions that teach, apart from a random share that refreshes the exam.

    budget: questions a turn; exam_share: of them drawn at random; repair_share: of the others, at most, about
    labels that look wrong (Turn.doubts); retrieve: classes of which likely rows are sought; without any,
    those with fewer than three labels; closes: a group of the recipe, half of the questions that teach go to
    the value for whom the model is worst (`why` is gap); near: Jaccard from which on two texts are one
    question; point: what a point of accuracy is worth, so that the wheel can say when answers cost more.
    """

    budget: int
    exam_share: float = 0.2
    repair_share: float = 0.25
    retrieve: tuple[str, ...] = ()
    near: float = 0.8
    point: Money | None = None
    closes: str | None = None

    def __call__(self, pool: Dataset, turn: Turn) -> Rows:
        """Rows `_id`, `draw` (random, chosen, repair), `why` and `prediction` in the order of asking.

        pool: rows without a label. A share of them, decided by their ids for ever, is kept for random draws:
        if hard rows were taken out of what random draws are made from, every later exam would be easier than
        the service.
        """
        ids, said, marks = [], [], []
        for batch in pool.batches(turn.task.inputs):  # a pool of pictures need not fit into memory
            if len(batch):
                inputs = rows_of(batch, turn.task.inputs)
                ids.append(batch.select(["_id"]))
                said.append(turn.models["current"](inputs))
                marks.append(marks_of(inputs))
        if not ids:
            return doubted(turn, self.budget, self.repair_share, 0)
        whole, answers, groups = concat(ids), Answers(concat(said)), same(marks, self.near)
        probs, kept, rng = (
            outcomes(answers, turn.task.answer),
            reserved(whole, self.exam_share),
            turn.rng("questions"),
        )
        at = np.flatnonzero(kept)
        random = at[choose(probs[at], groups[at], round(self.budget * self.exam_share), 1.0, rng).rows]
        free = np.flatnonzero(~kept & ~np.isin(groups, groups[random]))
        again = doubted(turn, self.budget - len(random), self.repair_share, len(np.unique(groups[free])))
        fight = at_duel(whole, turn, free, int(DUEL * self.budget))
        free = free[~np.isin(groups[free], groups[fight]) & ~labelled(whole, turn)[free]]
        found, left = (
            Found(answers, probs, groups, marks, at_behind(whole, turn)),
            self.budget - len(random) - len(again) - len(fight),
        )
        parts = [Part(random, RANDOM, "random", found.hints(turn.task))]
        parts.append(Part(fight, CHOSEN, "duel", dict.fromkeys(fight.tolist())))  # nobody is led
        parts += self._chosen(turn, found, free, left)
        return _mixed([*(_asked(whole, part) for part in parts), again], rng)

    def _chosen(self, turn: Turn, pool: Found, free: np.ndarray, left: int) -> list[Part]:
        """What teaches: rare classes, likely new ones, and what the model is unsure of, in this order."""
        probs, groups, hint = pool.probs, pool.groups, pool.hints(turn.task)
        classes = tuple(getattr(turn.models["current"], "classes", ()) if turn.task.answer == "class" else ())
        sought = [classes.index(c) for c in self.retrieve if c in classes]
        sought = sought or [classes.index(c) for c in in_need(turn, classes)]
        most = int((SOUGHT if self.retrieve else NEEDED) * left)
        rare = free[_rare(probs[free], groups[free], sought, most)]
        free = free[~np.isin(groups[free], groups[rare])]
        new = proposed(turn, pool, free, int(NOVEL * left)) if classes else []
        free = free[~np.isin(groups[free], groups[[row for one in new for row in one.rows]])]
        weight = trouble_spots(turn, classes)[probs.argmax(1)] if classes else np.ones(len(probs))
        count = left - len(rare) - sum(len(one.rows) for one in new)
        far = free[np.isin(free, pool.behind)]
        closing = far[
            choose(probs[far], groups[far], int(CLOSING * count), 0.0, turn.rng("gap"), weight[far]).rows
        ]
        free = free[~np.isin(groups[free], groups[closing])]
        count -= len(closing)
        unsure = free[choose(probs[free], groups[free], count, 0.0, turn.rng("unsure"), weight[free]).rows]
        parts = [Part(rare, CHOSEN, "rare", hint), *new, Part(closing, CHOSEN, "gap", hint)]
        return [*parts, Part(unsure, CHOSEN, "unsure", hint)]


class Found(NamedTuple):
    """A pool as the model sees it: answers, outcomes float[n, k], near-duplicate groups int64[n], marks; and
    behind int64[m], its rows of the value for whom the model is worst.
    """

    answers: Answers
    probs: np.ndarray
    groups: np.ndarray
    marks: list[Any]
    behind: np.ndarray

    def hints(self, task: Task) -> list[str | None]:
        return hints(self.answers.column("prediction"), task)


class Part(NamedTuple):
    """Questions for one reason: rows int64[m] of the pool, how drawn, why; hint: what may be said of each."""

    rows: np.ndarray
    draw: str
    why: str
    hint: Sequence[str | None] | Mapping[int, str | None]


def at_duel(pool: pa.RecordBatch, turn: Turn, free: np.ndarray, count: int) -> np.ndarray:
    """int64[<= count]: the first rows of a duel that can be asked, in the order of drawing."""
    if turn.duel is None:
        return np.empty(0, np.int64)
    at = positions(turn.duel.column("_id"), pool.column("_id"))
    return np.asarray(at[np.isin(at, free)][:count], np.int64)


def at_behind(pool: pa.RecordBatch, turn: Turn) -> np.ndarray:
    """int64[m]: the rows of the value for whom the model is worst."""
    if turn.behind is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(positions(pool.column("_id"), turn.behind.column("_id")) >= 0)


def labelled(pool: pa.RecordBatch, turn: Turn) -> np.ndarray:
    """bool[n]: rows that are in the pool for the duel alone."""
    if turn.duel is None:
        return np.zeros(len(pool), bool)
    only = turn.duel.filter(turn.duel.column("only"))
    return np.asarray(positions(pool.column("_id"), only.column("_id")) >= 0)


def proposed(turn: Turn, pool: Found, free: np.ndarray, count: int) -> list[Part]:
    """Examples of likely new classes, EXAMPLES of each, `count` at most; their name is what is hinted."""
    texts = pool.marks[0] if len(pool.marks) == 1 else [one for part in pool.marks for one in part]
    names = pool.answers.schema.names
    if not isinstance(texts, list) or turn.task.kind != "text" or "in_scope" not in names or not len(free):
        return []
    fits = numbers(pool.answers.column("in_scope"), 1.0) * numbers(pool.answers.column("confidence"), 1.0)
    said = [texts[i] or "" for i in free.tolist()]
    found = proposals(said, 1 - fits[free], known_texts(turn), count // EXAMPLES)
    parts = []
    for one in found:
        rows = free[one.rows]
        _, first = np.unique(pool.groups[rows], return_index=True)
        some = rows[np.sort(first)][:EXAMPLES]
        parts.append(Part(some, CHOSEN, "new_class", {int(row): one.name for row in some}))
    return parts


def known_texts(turn: Turn) -> list[str]:
    """What people labelled, or were asked about, in earlier turns."""
    (column,), target = turn.task.inputs, turn.task.target
    found: list[str] = []
    for view in turn.data.values():
        for batch in view.batches([column, target]):
            ids = batch.column("_id").to_pylist()
            said = zip(strings(batch.column(column)), strings(batch.column(target)), ids, strict=True)
            found += [text for text, label, i in said if text and (label is not None or i in turn.asked)]
    return found


Marks = Sketches | list[str | None] | list[bytes]


def marks_of(inputs: Rows) -> Marks:
    """What tells near duplicates: sketches of pictures, texts, or the canonical bytes of a table's rows."""
    if inputs.num_columns == 1:
        kind = inputs.schema.field(0).type
        if pa.types.is_string(kind):
            return strings(inputs.column(0))
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return sketches(inputs.column(0).to_pylist())
    offsets, body = cells(inputs)
    return [bytes(body[offsets[i] : offsets[i + 1]]) for i in range(len(inputs))]


def same(marks: list[Any], near: float) -> np.ndarray:
    """int64[n]: equal for near duplicates, over all batches."""
    if isinstance(marks[0], Sketches):
        return alike.groups(joined(marks), near).of
    whole = [mark for part in marks for mark in part]
    if not whole or not isinstance(whole[0], bytes):
        return clusters(whole, near)
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(v, i) for i, v in enumerate(whole)], np.int64)


def _rare(probs: np.ndarray, groups: np.ndarray, sought: list[int], count: int) -> np.ndarray:
    """int64[<= count]: the likeliest rows of each sought class, as many of each, every group once."""
    taken = np.empty(0, np.int64)
    for k, position in enumerate(sought):
        free = np.flatnonzero(~np.isin(groups, groups[taken]))
        share = (count - len(taken)) // (len(sought) - k)
        taken = np.append(taken, free[likely(probs[free], position, share, groups[free]).rows])
    return taken


def _asked(pool: pa.RecordBatch, part: Part) -> Rows:
    at = pa.array(part.rows, pa.int64())
    said = [pa.repeat(pa.scalar(word, pa.string()), len(part.rows)) for word in (part.draw, part.why)]
    prediction = pa.array([part.hint[i] for i in part.rows.tolist()], pa.string())
    columns = [pool.column("_id").take(at), *said, prediction]
    return Rows(pa.record_batch(columns, names=["_id", "draw", "why", "prediction"]))


def _mixed(parts: list[Rows], rng: np.random.Generator) -> Rows:
    """All questions in one random order: who answers cannot tell why one is asked."""
    whole = concat(parts)
    return Rows(take(whole, rng.permutation(len(whole))))


def doubted(turn: Turn, budget: int, share: float, free: int) -> Rows:
    """The labels to ask about again: `share` of the budget at most, or what `free` pool rows leave of it.

    Of labels that only look wrong a sample is enough: it says how far the others may be trusted.
    """
    most = max(round(share * budget), budget - free) if share else 0
    found = turn.doubts
    names = ["_id", "draw", "why", "prediction"]
    if found is None or most <= 0:
        return Rows(
            pa.RecordBatch.from_arrays([pa.array([], t) for t in (ID, *[pa.string()] * 3)], names=names)
        )
    error = np.array([why == ERROR for why in strings(found.column("why"))], bool)
    looks = max(round(LOOKS * budget), budget - free)
    drawn = turn.rng("looks").permutation(np.flatnonzero(error))[:looks]  # a sample, not the worst of them
    kept = ~error
    kept[drawn] = True
    some = take(found, np.flatnonzero(kept)[:most])
    said = [pa.repeat(pa.scalar(REPAIR, pa.string()), len(some)), some.column("why")]
    columns = [some.column("_id"), *said, pa.nulls(len(some), pa.string())]
    return Rows(pa.record_batch(columns, names=names))


def in_need(turn: Turn, classes: tuple[str, ...]) -> list[str]:
    """Classes that the model knows by fewer than FEW labels.

    More of them would cost: the likeliest rows of a class teach less than doubtful ones (docs/LOG.md).
    """
    oof = turn.oof
    if oof is None or "label" not in oof.schema.names:
        return []
    counts = dict.fromkeys(classes, 0)
    for label in strings(oof.column("label")):
        if label in counts:
            counts[label] += 1
    return [c for c in classes if counts[c] < FEW]


def trouble_spots(turn: Turn, classes: tuple[str, ...]) -> np.ndarray:
    """float64[k]: where the model errs more than it expects, out of fold; ones where nothing is known."""
    oof = turn.oof
    if oof is None or "label" not in oof.schema.names or "confidence" not in oof.schema.names:
        return np.ones(len(classes))
    said, gold = strings(oof.column("prediction")), strings(oof.column("label"))
    known = np.array([s is not None and g is not None for s, g in zip(said, gold, strict=True)], bool)
    at = positions(pa.array(said, pa.string()), pa.array(classes, pa.string()))
    known &= at >= 0
    right = np.array([s == g for s, g in zip(said, gold, strict=True)], bool)
    return trouble(at[known], right[known], numbers(oof.column("confidence"))[known], len(classes))


def hints(predictions: Column, task: Task) -> list[str | None]:
    """What the model says, as a person reads it: numbers with four digits."""
    said = written(predictions, task.answer)
    if task.answer != "number":
        return said
    return [one and decimal(float(f"{number_of(one):.4g}")) for one in said]


def reserved(pool: pa.RecordBatch, share: float) -> np.ndarray:
    """bool[n]: rows whose id, a keyed hash, falls into the lowest `share` of all ids."""
    first = id_bytes(pool.column("_id")).view(np.uint8).reshape(len(pool), 16)[:, :4]
    return first.copy().view(">u4").reshape(-1) < share * 2**32


def affordable(budget: int | str, each: str | None) -> int:
    """Questions that a budget of money pays for; one in questions is that many.

    Raises RecipeError where an answer has no price, or one in another currency; InputError for what is no
    amount.
    """
    if isinstance(budget, int):
        return budget
    have, price = money(budget), None if each is None else money(each)
    if price is None or price.currency != have.currency or not price.minor:
        raise RecipeError("asking_without_price", budget=budget, each=each or "-")
    return have.minor // price.minor


def worth_asking(
    budget: int | str,
    *,
    each: str | None = None,
    exam_share: float = 0.2,
    repair_share: float = 0.25,
    retrieve: tuple[str, ...] = (),
    near: float = 0.8,
    point: str | None = None,
) -> WorthAsking:
    """What to ask people next: `budget` questions a turn, `exam_share` of them at random for the exam.

    A budget may be money ("60000 KRW") if `each` says what an answer costs ("300 KRW"). Of the rest,
    `repair_share` at most goes to labels that are there already; `retrieve` names rare classes of which
    likely rows are sought; `point` is what a point of accuracy is worth to you ("2000000 KRW").
    """
    budget = affordable(budget, each)
    if budget < 0 or not 0 <= exam_share <= 1 or not 0 <= repair_share <= 1:
        raise RecipeError("asking_out_of_range", budget=budget, exam_share=exam_share)
    return WorthAsking(
        budget=budget,
        exam_share=exam_share,
        repair_share=repair_share,
        retrieve=retrieve,
        near=near,
        point=None if point is None else money(point),
    )


def closing(questions: WorthAsking, group: str) -> WorthAsking:
    """The same questions, of which half of those that teach go to the value of a declared group for whom the
    model is worst; the next reports say whether the gap became smaller.
    """
    return replace(questions, closes=group)
