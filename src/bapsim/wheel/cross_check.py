"""Streams of corrections that no model can tell from errors: people look at some of what they contradict.

Who corrects mostly what went wrong, and who contradicts right answers where the model is unsure, look alike
to a model. So a random sample of what such a stream contradicts is asked about among the other questions,
and whoever answers sees neither label. Where people side with the service, the stream's labels are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection

import numpy as np

from bapsim.judge.compare import NORMAL, wilson
from bapsim.judge.residual import MARGIN, Delivery
from bapsim.store.ledger import Ledger
from bapsim.wheel.aside import agreed
from bapsim.wheel.served import Logged, logged
from bapsim.wheel.stock import Stock

NAME = "unclear"  # of the stage that says which streams these are
SAMPLE = 10  # contradictions of a stream that people are asked about
ENOUGH = 5  # of them that were answered say something
SURE = 0.99  # of the interval: people disagree with the honest, too


def unclear(ledger: Ledger, turn: int) -> tuple[str, ...]:
    """The streams that a turn, or the last one before it that judged any, could not tell from honest ones."""
    query = "select output from stage where name=? and turn<=? order by turn desc, rowid desc"
    said = ledger.value(query, NAME, turn)
    return () if said is None else tuple(json.loads(said))


def contradictions(stock: Stock, seen: Logged, name: str) -> tuple[np.ndarray, int]:
    """Rows (int64[c]) in which a stream says something else than the service answered, of how many labels.

    The highest ids come first, which are keyed hashes; the lowest are kept for random draws. Of sets and
    numbers none: no stream is excused there.
    """
    mine = stock.of_origins(lambda _, origin: origin.batch == name)[seen.at] & stock.labelled[seen.at]
    if stock.task.answer != "class" or not mine.any():
        return np.empty(0, np.int64), 0
    rows, merged = seen.at[mine], stock.task.merged
    said = [merged.get(one, one) for one in seen.prediction[mine].tolist()]
    differs = [a is not None and a != b for a, b in zip(said, stock.labels[rows].tolist(), strict=True)]
    other = rows[np.array(differs, bool)]
    return np.asarray(other[np.argsort(stock.ids[other], kind="stable")[::-1]], np.int64), len(rows)


def to_compare(stock: Stock, names: Collection[str], done: np.ndarray) -> np.ndarray:
    """int64: the sample of each of these streams, without rows that are `done` (bool[N])."""
    seen = logged(stock) if names else None
    samples = [contradictions(stock, seen, name)[0][:SAMPLE] for name in names if seen is not None]
    rows = np.concatenate([np.empty(0, np.int64), *samples])
    return np.asarray(rows[~done[rows]])


def compared(stock: Stock, seen: Logged, name: str, unfit: np.ndarray) -> Delivery | None:
    """What people's answers say of a stream: the share of its labels that are wrong; None: too few say
    anything, or they leave it open that it is as good as others.

    unfit: bool[N], answers that are not taken. What a stream confirms counts as right.
    """
    rows, labels = contradictions(stock, seen, name)
    sample = np.zeros(len(stock), bool)
    sample[rows[:SAMPLE]] = True
    said = agreed(stock, sample, unfit)
    if len(said) < ENOUGH:
        return None
    wrong, share = len(said) - sum(said.values()), len(rows) / labels
    low, high = (share * one for one in wilson(wrong, len(said), SURE))
    if low <= MARGIN:
        return None
    noise = share * wrong / len(said)
    z = NORMAL.inv_cdf((1 + SURE) / 2) * (noise - MARGIN) / (noise - low)
    return Delivery(name=name, rows=labels, new=0, noise=noise, low=low, high=high, usual=0.0, z=z)
