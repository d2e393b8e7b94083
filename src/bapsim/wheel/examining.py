"""Compose the exam: people-made items, drawn once and refreshed at random, seen by nothing else."""

from __future__ import annotations

import numpy as np

from bapsim.compose.asking import reserved
from bapsim.compose.exam import Frame, draw
from bapsim.compose.strata import strata
from bapsim.core.arrow import strings
from bapsim.core.recipe import Questions, Recipe, Wear
from bapsim.core.turn import Turn
from bapsim.judge.gate import refund, wear_after
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.deals import ENDED
from bapsim.wheel.permits import TERMS
from bapsim.wheel.quarantine import NAME as QUARANTINE
from bapsim.wheel.refining import Opinions
from bapsim.wheel.stock import ASKED, Stock, exam_ids

FRESH = "asked:random"  # the method of answers to questions that were drawn at random
WITHHELD = "exam_share"  # the verdict on corrections that only random questions may use


def eligible(stock: Stock, out: np.ndarray) -> np.ndarray:
    """bool[N]: a person made input and target, and the row is not out (refused or superseded: bool[N]).

    Nor was it picked: chosen questions, doubted labels and corrections of a service's answers are no sample.
    """
    asked = stock.of_origins(lambda _, o: o.method.startswith(ASKED) and o.method != FRESH)
    chosen = stock.of_origins(lambda _, o: o.method.endswith(":chosen"))
    return np.asarray(stock.by_people & stock.labelled & ~out & ~asked & ~chosen)


def withheld(stock: Stock, questions: Questions | None) -> np.ndarray:
    """bool[N]: corrections in the share of rows that random questions are drawn from; only those use them.

    People correct what went wrong. If those requests were not among the random questions, an exam made of the
    answers would be easier than the service, and if they were trained on, it would be known by heart.
    """
    rows = stock.labelled & stock.of_origins(lambda _, origin: origin.method == "service:chosen")
    share = getattr(questions, "exam_share", 0.0)
    rows[rows] = reserved(stock.part(np.flatnonzero(rows)), share)
    return np.asarray(rows)


def compose_exam(
    project: Project, recipe: Recipe, turn: Turn, opinions: Opinions, groups: np.ndarray
) -> np.ndarray:
    """bool[N]: the exam items as of this turn; draws the exam, or extends it by fresh random items."""
    ledger, stock, settled = project.ledger, opinions.stock, opinions.settled
    refused = opinions.refused()
    may = eligible(stock, refused | settled.superseded)
    drawn = ledger.value("select 1 from exam where turn=?", turn.n) is not None
    if not drawn:
        have = stock.rows_with(exam_ids(ledger))
        old, new = corrected(have, may, settled.heir)
        old |= have & opinions.says_no(TERMS)  # its terms ended, or do not allow the recipe's purposes
        if ENDED in opinions.named:
            old |= have & opinions.says_no(ENDED)  # bought items leave the exam with their deal
        if QUARANTINE in opinions.named:
            old |= have & opinions.says_no(QUARANTINE)
        if have.any():
            fresh = may & stock.of_origins(lambda _, o: o.method == FRESH) & ~have
            fresh &= ~np.isin(groups, groups[have])  # a second copy of an item tells nothing new
            if stock.task.group is not None:  # a declared group is trained on or examined, never both
                others = stock.labelled & ~refused & ~fresh & ~have
                fresh &= ~np.isin(groups, groups[others])
        else:
            fresh = first_exam(recipe, turn, stock, may, groups)
        if fresh.any() or old.any():
            _enter(ledger, turn.n, stock, fresh, have, old, new)
    return stock.rows_with(exam_ids(ledger))


def corrected(have: np.ndarray, may: np.ndarray, heir: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool[N] twice: exam items that people replaced, and the rows that take their places.

    Nobody saw what a model answers to an exam item, so a correction is blind. The items count as looked at:
    no refund. Where the row that replaces an item may not be examined, the item stays.
    """
    old = have & (heir >= 0) & may[heir]
    new = np.zeros(len(have), bool)
    new[heir[old]] = True
    return old, new


def first_exam(recipe: Recipe, turn: Turn, stock: Stock, may: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """bool[N]: a first exam by the recipe's plan."""
    rows = np.flatnonzero(may)
    time, when = stock.task.time, None
    if time is not None:
        said = strings(stock.records.column(time))
        when = np.array([said[i] or "" for i in rows])  # unknown is earliest: never examined as the latest
    mask = np.zeros(len(stock), bool)
    if len(rows):
        size = recipe.exam.size_for(len(rows))
        mask[rows] = draw(frame(stock, rows, groups, when), size, turn.rng("exam"))
    return mask


def frame(stock: Stock, rows: np.ndarray, groups: np.ndarray, when: np.ndarray | None = None) -> Frame:
    """The sampling frame of these rows; `groups` already joins near-duplicates, kin and the user's groups."""
    labels = strata(stock.labels[rows].astype(str).tolist(), stock.task.answer)
    return Frame(labels=labels, clusters=groups[rows], roots=groups[rows], time=when, ids=stock.ids[rows])


def _enter(
    ledger: Ledger,
    turn: int,
    stock: Stock,
    fresh: np.ndarray,
    have: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
) -> None:
    version = int(ledger.value("select coalesce(max(version), 0) from exam")) + 1
    fresh = fresh & ~new
    count = int(fresh.sum())
    items = int((have & ~old | new | fresh).sum())
    with ledger.change("exam drawn"):
        row = {"items": items, "fresh": count, "refund": refund(count, items)}
        ledger.add("exam", version=version, turn=turn, **row)
        for i in np.flatnonzero(old):
            ledger.amend("exam_item", {"id": stock.ids[i].tobytes()}, until=turn)
        for i in np.flatnonzero(fresh | new):
            ledger.add("exam_item", id=stock.ids[i].tobytes(), version=version, origin=int(stock.origin[i]))


def wear(ledger: Ledger, budget: float, without: tuple[int, str, str] | None = None) -> Wear:
    """What the exam has been used for, recomputed from the ledger; `without` leaves one look out."""
    versions = [(r["items"], r["fresh"]) for r in ledger.rows("select * from exam order by version")]
    looks = [
        (r["exam"], r["alpha"])
        for r in ledger.rows("select * from look order by rowid")
        if (r["exam"], r["candidate"], r["champion"]) != without
    ]
    return wear_after(versions, looks, full=budget)
