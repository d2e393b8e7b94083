"""What later rows make of earlier ones: answered questions, replaced rows, answers that disagree.

Two rows speak about one thing if they answer one question, or if one source calls them by one key of its own
and their input is the same (a key may also name a rater, whose rows have nothing in common).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bapsim.core.arrow import strings
from bapsim.core.records import Verdicts, verdicts
from bapsim.wheel.stock import ASKED, Stock

SUPERSEDED = "superseded"  # the verdict under which this is stored
_Name = tuple[str, "str | None", str]  # source, key, input


@dataclass(frozen=True, kw_only=True)
class Settled:
    """bool[N] each; heir: int64[N], the row that took the place of a replaced one, -1 = none.

    answered: questions with an answer that stands, and pool rows that a labelled row has the source, key and
    input of; replaced: rows of which a later turn says something else, or that say again what stands, and
    what machines made of them; conflicting: rows of one turn that disagree; unfit: as it was given.
    """

    answered: np.ndarray
    replaced: np.ndarray
    conflicting: np.ndarray
    heir: np.ndarray
    unfit: np.ndarray

    @property
    def superseded(self) -> np.ndarray:
        return np.asarray(self.answered | self.replaced)

    def verdicts(self) -> Verdicts:
        """As they are stored: no opinion but on superseded rows."""
        reasons = np.where(self.answered, "answered", "replaced").tolist()
        return verdicts(~self.superseded, reasons)


def subjects(stock: Stock) -> np.ndarray:
    """int64[N]: labelled rows of one number speak about one thing; -1 = no other row does."""
    found = np.full(len(stock), -1, np.int64)
    names: dict[Any, int] = {}
    for row, mums in answers(stock).items():
        found[row] = names.setdefault(mums, len(names))
    for row, name in _keyed(stock, stock.labelled):
        found[row] = names.setdefault(name, len(names))
    if names:
        several = np.bincount(found[found >= 0], minlength=len(names)) > 1
        found[~np.append(several, False)[found]] = -1
    return found


def _keyed(stock: Stock, among: np.ndarray) -> Iterator[tuple[int, _Name]]:
    """Rows (bool[N]) of sources that delivered keys more than once: source, key and input of each."""
    counts = Counter(stock.origins[n].source for n in stock.keyed)
    keyed = stock.of_origins(lambda n, origin: n in stock.keyed and counts[origin.source] > 1)
    rows = np.flatnonzero(keyed & among & ~stock.erased).tolist()
    keys = strings(stock.records.column("_key")) if rows else []
    for row in rows:
        yield row, (stock.origins[int(stock.origin[row])].source, keys[row], stock.texts[row])


def answers(stock: Stock) -> dict[int, tuple[int, ...]]:
    """Answers that have a label, with the questions that they answer."""
    asked = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))
    return {row: mums for row, mums in stock.parents if asked[row] and mums and stock.labelled[row]}


def settle(stock: Stock, unfit: np.ndarray) -> Settled:
    """What stands, turn by turn.

    Rows that a check refused (`unfit`, bool[N]) and refused deliveries settle nothing. Rows of one turn that
    disagree settle nothing either, until a later turn says one thing.
    """
    out = unfit | stock.refused_deliveries
    subject = subjects(stock)
    replaced, conflicting = np.zeros(len(stock), bool), np.zeros(len(stock), bool)
    heir = np.full(len(stock), -1, np.int64)
    rows = np.flatnonzero((subject >= 0) & ~out)
    turn = stock.turn_of_origin[stock.origin[rows]]
    rows = rows[np.lexsort((rows, turn, subject[rows]))]
    edges = np.flatnonzero(np.diff(subject[rows])) + 1
    for said in np.split(rows, edges) if len(rows) else ():
        _settle_one(stock, said, replaced, conflicting, heir)
    answered = np.zeros(len(stock), bool)
    given = answers(stock)
    corrected: dict[int, str] = {}  # of labels that were asked about, what they are now
    for row, mums in given.items():
        if not out[row] and not conflicting[row]:
            answered[list(mums)] = True
            corrected |= {} if replaced[row] else dict.fromkeys(mums, stock.labels[row])
    told = {name for _, name in _keyed(stock, stock.labelled & ~out & ~conflicting & ~replaced)}
    _settle_pool(stock, told, answered, replaced)
    for row, mums in stock.parents:  # what was made of a replaced row has the label that was corrected
        stale = any(corrected.get(mum, stock.labels[row]) != stock.labels[row] for mum in mums)
        own = row in given or stock.other_task[row]  # a reason or a rule says no label: it stands
        if not own and (replaced[list(mums)].any() or stale):  # parents come before their children
            replaced[row] = True
    return Settled(answered=answered, replaced=replaced, conflicting=conflicting, heir=heir, unfit=unfit)


def _settle_pool(stock: Stock, told: set[_Name], answered: np.ndarray, replaced: np.ndarray) -> None:
    """Rows without a label: none stands whose name has one, and of one name the last (feedback was added)."""
    pool = list(_keyed(stock, ~stock.labelled))
    told = told | {name for row, name in pool if answered[row]}
    turn = stock.turn_of_origin[stock.origin]
    last = {name: row for row, name in sorted(pool, key=lambda one: (turn[one[0]], one[0]))}
    for row, name in pool:
        answered[row] |= name in told
        replaced[row] |= last[name] != row


def _settle_one(
    stock: Stock, said: np.ndarray, replaced: np.ndarray, conflicting: np.ndarray, heir: np.ndarray
) -> None:
    """One thing: the rows about it, by turn."""
    stands, before, disputed = -1, [], np.empty(0, np.int64)
    turn = stock.turn_of_origin[stock.origin[said]]
    for n in np.unique(turn).tolist():
        now = said[turn == n]
        if len(set(stock.labels[now].tolist())) > 1:
            conflicting[now], disputed = True, np.append(disputed, now)
            continue
        replaced[disputed], conflicting[disputed], disputed = True, False, disputed[:0]
        replaced[now] = True  # but for one: the first that says something new
        if stands < 0 or stock.labels[now[0]] != stock.labels[stands]:
            before += [stands] if stands >= 0 else []
            stands = int(now[0])
    if stands >= 0:
        replaced[before], heir[before], replaced[stands] = True, stands, False
