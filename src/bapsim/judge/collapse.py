"""Whether machine-made material goes the way of a collapse: three signals, none of which is enough alone.

Loss on people's held-out items tells harm, and tells it late. Which rare types of people's material a batch
still has tells what is being lost. Diversity tells a change of form, and may rise as well as fall in a
collapse: noise adds types, sharpening removes them. A score of quality is none of them: keeping what another
model likes best raises that score at every generation, while the loss gets worse (docs/collapse.md).

Sources: Shumailov et al. 2024 (tails go first), Gerstgrasser et al. 2024 (people's data as anchor).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bapsim.judge.compare import Floats, Ints

SURE = 1.645  # standard errors: one-sided .05
RARE = 2  # times that a type occurs, at most
DRAWS = 20  # batches of people's items
SLACK = 0.05  # of the mean: what differs by less than a twentieth is like people's
FEWEST = 40  # people's items, below which nobody knows what people's are like


@dataclass(frozen=True, kw_only=True)
class Items:
    """n items as sequences of type codes: words, n-grams, classes, clusters or cells of a table.

    codes: int64[m]; starts: int64[n + 1]; vectors: float64[n, d] of length 1, where there are any.
    """

    codes: Ints
    starts: Ints
    vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def part(self, at: Ints) -> Items:
        """The items at these positions, in this order."""
        sizes = np.diff(self.starts)[at]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
        codes = self.codes[np.repeat(self.starts[:-1][at], sizes) + inside]
        return Items(codes=codes, starts=starts, vectors=None if self.vectors is None else self.vectors[at])


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One measure of a batch, and the band in which batches of people's items of its size lie."""

    name: str
    value: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        return self.low <= self.value <= self.high


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Whether a batch may be learnt from; reason: a message key; outside: the signals outside
    people's band.
    """

    admitted: bool
    reason: str
    outside: tuple[Signal, ...] = ()


def items(rows: Sequence[Sequence[int]], vectors: Floats | None = None) -> Items:
    """Items of lists of codes."""
    sizes = [len(row) for row in rows]
    codes = np.array([code for row in rows for code in row], np.int64)
    return Items(
        codes=codes, starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), vectors=vectors
    )


def rare_types(human: Items) -> Ints:
    """Types that occur once or twice in people's items."""
    names, counts = np.unique(human.codes, return_counts=True)
    return np.asarray(names[counts <= RARE], np.int64)


def coverage(batch: Items, rare: Ints) -> float:
    """The share of these types that occur in a batch; nan where there are none."""
    return float(np.isin(rare, batch.codes).mean()) if len(rare) else float("nan")


def diversity(batch: Items) -> dict[str, float]:
    """distinct_1, distinct_2: different types, and pairs of neighbours, for each one there is; compression:
    bytes that are left of one; spread: 1 - the squared length of the mean vector.
    """
    count = max(len(batch.codes), 1)
    inner = np.ones(max(len(batch.codes) - 1, 0), bool)
    ends = batch.starts[1:-1]
    inner[ends[(ends > 0) & (ends < len(batch.codes))] - 1] = False
    wide = int(batch.codes.max(initial=0)) + 1
    pairs = (batch.codes[:-1] * wide + batch.codes[1:])[inner]
    body = batch.codes.astype("<i4").tobytes()
    found = {
        "distinct_1": len(np.unique(batch.codes)) / count,
        "distinct_2": len(np.unique(pairs)) / max(len(pairs), 1),
        "compression": len(zlib.compress(body, 6)) / max(len(body), 1),
    }
    if batch.vectors is not None:
        found["spread"] = float(1 - (batch.vectors.mean(axis=0) ** 2).sum())
    return found


def signals(
    machine: Items,
    human: Items,
    rng: np.random.Generator,
    *,
    of_machine: Ints | None = None,
    of_human: Ints | None = None,
) -> tuple[Signal, ...]:
    """Coverage and diversity of a batch against batches of people's items of the same size.

    of_machine, of_human: int64, codes of classes: people's items are then drawn in the batch's shares of
    classes, so that an order for a rare class is compared with that class. Half of people's items say which
    types are rare, the other half what fresh ones reach; every batch is measured at the size that both have.
    Empty where there are fewer than 40 items to compare with.
    """
    order = rng.permutation(len(human))
    known, fresh = order[: len(order) // 2], order[len(order) // 2 :]
    shares = _shares(of_machine, of_human, fresh)
    usable = fresh[shares > 0]
    size = min(len(machine), len(usable) // 2)
    if size < FEWEST // 2:
        return ()
    rare, weight = rare_types(human.part(known)), shares[shares > 0] / shares.sum()
    theirs, mine = [], []
    for _ in range(DRAWS):
        theirs.append(_measured(human.part(rng.choice(usable, size, replace=False, p=weight)), rare))
        mine.append(_measured(machine.part(rng.choice(len(machine), size, replace=False)), rare))
    return tuple(
        _signal(name, [one[name] for one in mine], [one[name] for one in theirs])
        for name in mine[0]
        if not np.isnan(mine[0][name])
    )


def _shares(of_machine: Ints | None, of_human: Ints | None, fresh: Ints) -> Floats:
    """float64[n]: how much each fresh item of people counts, so that classes have the shares of the batch."""
    if of_machine is None or of_human is None:
        return np.ones(len(fresh))
    classes = of_human[fresh]
    size = int(max(of_machine.max(initial=0), classes.max(initial=0))) + 1
    have = np.bincount(classes, minlength=size)
    want = np.bincount(of_machine, minlength=size) / max(len(of_machine), 1)
    return np.asarray(want[classes] / have[classes])


def _measured(batch: Items, rare: Ints) -> dict[str, float]:
    return {"coverage": coverage(batch, rare), **diversity(batch)}


def _signal(name: str, mine: Sequence[float], theirs: Sequence[float]) -> Signal:
    """Within three standard deviations of people's batches and a twentieth; of rare types more is
    no fault.
    """
    middle, width = float(np.mean(theirs)), 3 * float(np.std(theirs))
    width += SLACK * abs(middle)
    high = float("inf") if name == "coverage" else middle + width
    return Signal(name=name, value=float(np.mean(mine)), low=middle - width, high=high)


def outside(found: Sequence[Signal]) -> tuple[Signal, ...]:
    """The signals that lie outside people's band."""
    return tuple(one for one in found if not one.within)


def guard(found: Sequence[Signal], gain: float, error: float) -> Guarded:
    """Whether a batch may be learnt from, by its signals and its gain on people's held-out items.

    gain: positive = better, with its standard error. What surely harms is refused. What is not like people's
    must surely gain; the rest must not surely harm.
    """
    strange = outside(found)
    if gain < -SURE * error:
        return Guarded(admitted=False, reason="collapse.harm", outside=strange)
    if strange and not gain > SURE * error:
        return Guarded(admitted=False, reason="collapse.outside", outside=strange)
    return Guarded(admitted=True, reason="collapse.admitted", outside=strange)
