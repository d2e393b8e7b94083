"""Is a shipped file no worse than the judged model, by more than a margin that was declared before the look?

Right or wrong: Tango's score test (1998), which keeps its level where two respondents hardly differ; a test
that estimates the spread from the differences would take none for certainty. Errors of numbers: their mean
difference against its standard error. Where every answer is the same on all rows that were asked, no label
is needed: the chance that a share of `margin` differs and none was met is (1 - margin)^rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bapsim.core.errors import InputError
from bapsim.core.records import Scores
from bapsim.judge.compare import NORMAL, Floats, Ints, points_interval, standard_error, units
from bapsim.judge.exam import of_numbers, spread
from bapsim.judge.gate import Duo, duo

POWER = 0.8
Standing = Literal["ok", "worse", "cannot_tell"]


@dataclass(frozen=True, kw_only=True)
class Inferiority:
    """What one look at a shipped file showed.

    gain, low, high: accuracy of the file minus that of the model, 95 % (of numbers: what it is nearer, in
    their unit); margin: what it may lose; detectable: the smallest margin that this exam proves with 80 %
    power where both are alike; differ: items that were answered otherwise; rows: that were compared.
    """

    verdict: Standing
    gain: float
    low: float
    high: float
    margin: float
    detectable: float
    wins: int
    losses: int
    differ: int
    items: int
    rows: int
    level: float


def tango(wins: int, losses: int, items: int, margin: float) -> float:
    """z of "the gain is above -margin" from paired items; margin >= 0, items > 0."""
    if margin == 0:
        return (wins - losses) / math.sqrt(wins + losses) if wins + losses else 0.0
    b = -wins - losses - (2 * items - wins + losses) * margin
    c = losses * margin * (1 + margin)
    q = (math.sqrt(max(b * b - 8 * items * c, 0.0)) - b) / (4 * items)
    variance = items * (2 * q - margin * (1 + margin))
    return (wins - losses + items * margin) / math.sqrt(max(variance, 1e-12))


def alike(rows: int, margin: float, level: float) -> bool:
    """Whether rows without a single difference prove that less than a share of `margin` differs."""
    return rows * math.log1p(-margin) <= math.log(level)


def detectable(items: int, discordance: float, level: float) -> float:
    """The smallest margin that this many items prove with 80 % power where both are equally good."""
    z = NORMAL.inv_cdf(1 - level)
    reach = (z + NORMAL.inv_cdf(POWER)) * math.sqrt(discordance / max(items, 1))
    return min(max(reach, z * z / (items + z * z)), 1.0)


def can_prove(items: int, rows: int, margin: float, level: float) -> bool:
    """Whether a file without any difference would be proven to stay within the margin: else no look pays."""
    return alike(rows, margin, level) or tango(0, 0, items, margin) >= NORMAL.inv_cdf(1 - level)


def not_inferior(
    before: Scores, after: Scores, margin: float, level: float, *, differ: int, rows: int
) -> Inferiority:
    """A file's answers `after` against the judged model's `before` on the same exam items.

    margin: a share (.01 = a point; of numbers: that share of their spread); level: one-sided; differ: on how
    many of `rows` (exam items and others) the two said different things. Worse: the file loses at this level
    and is not proven to stay within the margin.
    """
    if not 0 < margin < 1:
        raise InputError("margin_out_of_range", margin=margin)
    both = duo(before, after)
    if of_numbers(after):
        return _numbers(both, before, margin, level, differ=differ, rows=rows)
    items, groups = len(both.right), both.groups
    wins, losses = int((both.right > 0).sum()), int((both.right < 0).sum())
    twins = _twins(both.right, groups)
    z, z0 = (math.sqrt(twins) * tango(wins, losses, items, m) for m in (margin, 0.0))
    needed = NORMAL.inv_cdf(1 - level)
    fine = z >= needed or (differ == 0 and alike(rows, margin, level))
    low, high = points_interval(units(both.right, groups), items)
    return Inferiority(
        verdict="ok" if fine else "worse" if z0 <= -needed else "cannot_tell",
        gain=float(both.right.mean()),
        low=low,
        high=high,
        margin=margin,
        detectable=detectable(int(items * twins), (wins + losses) / items, level),
        wins=wins,
        losses=losses,
        differ=differ,
        items=items,
        rows=rows,
        level=level,
    )


def _twins(right: Floats, groups: Ints | None) -> float:
    """How much of the items is left where near-duplicates count as one, in (0, 1]."""
    if groups is None:
        return 1.0
    sums = units(right, groups)
    if not right.any():
        return len(sums) / len(right)
    return min(float(right @ right) / max(float(sums @ sums), 1e-12), 1.0)


def _numbers(
    both: Duo, before: Scores, margin: float, level: float, *, differ: int, rows: int
) -> Inferiority:
    saved = both.primary
    unit = spread(before) or 1.0
    reach = margin * unit
    sums = units(saved, both.groups)
    # One item more that is off by the whole spread: no spread is no certainty.
    error = math.sqrt(standard_error(sums, len(saved)) ** 2 + (unit / len(saved)) ** 2)
    gain, needed = float(saved.mean()), NORMAL.inv_cdf(1 - level)
    fine = (gain + reach) / error >= needed or (differ == 0 and alike(rows, margin, level))
    half = NORMAL.inv_cdf(0.975) * error
    return Inferiority(
        verdict="ok" if fine else "worse" if gain / error <= -needed else "cannot_tell",
        gain=gain,
        low=gain - half,
        high=gain + half,
        margin=reach,
        detectable=(needed + NORMAL.inv_cdf(POWER)) * error,
        wins=int((saved > 0).sum()),
        losses=int((saved < 0).sum()),
        differ=differ,
        items=len(saved),
        rows=rows,
        level=level,
    )
