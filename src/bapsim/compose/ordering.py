"""What data a project lacks, as an order: so many rows of a rare class, a weak class, a cluster, a group.

Pure: counts and out-of-fold results in, lines out. An order says what is missing, not who fills it: people,
a vendor or a machine (docs/orders.md). How much is ordered are rules of thumb, said with each line; whether
the rows help is for the gate. Limits: Wilson (1927), all lines of a kind together at 95 % (Šidák).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

from bapsim.store.order_file import Line

FEW = 0.5  # of the median class, below which a class is rare
SHOWN = 200  # examples that a line names
SHARE = 0.5  # of people's rows, that an order may come to in all
LEAST = 20  # rows of a line, and out-of-fold results below which nothing is said of a class
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Seen:
    """People's rows of one value, and how many of those that were answered out of fold were right."""

    rows: int
    answered: int = 0
    right: int = 0


def limits(right: int, of: int, among: int = 1) -> tuple[float, float]:
    """Wilson's interval of a share, one of so many that are looked at together; nan of nothing."""
    if not of:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + LEVEL ** (1 / max(among, 1))) / 2)
    share, wide = right / of, 1 + z * z / of
    centre = (share + z * z / (2 * of)) / wide
    half = z / wide * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def classes(seen: Mapping[str, Seen]) -> list[Line]:
    """Classes with fewer than half the rows of the median class: as many as it lacks to the median; classes
    surely below the share right of all rows: as many again.
    """
    if len(seen) < 2:
        return []
    usual = round(median(one.rows for one in seen.values()))
    answered = sum(one.answered for one in seen.values())
    overall = sum(one.right for one in seen.values()) / answered if answered else math.nan
    found = []
    for value, one in sorted(seen.items()):
        low, high = limits(one.right, one.answered, len(seen))
        few, weak = one.rows < FEW * usual, one.answered >= LEAST and high < overall
        if not (few or weak):
            continue
        found.append(
            Line(
                kind="class",
                why="few" if few else "weak",
                value=value,
                have=one.rows,
                rows=max(usual - one.rows if few else one.rows, 1),
                score=one.right / one.answered if one.answered else math.nan,
                low=low,
                high=high,
                others=overall,
            )
        )
    return found


def clusters(found: Sequence[tuple[str, Sequence[bytes]]]) -> list[Line]:
    """Errors that say something alike, by name, with the ids of their rows: four for each, 20 at least."""
    return [
        Line(
            kind="errors",
            why="confused",
            value=name,
            have=len(ids),
            rows=max(4 * len(ids), LEAST),
            examples=tuple(ids[:SHOWN]),
        )
        for name, ids in found
    ]


def behind(
    column: str, value: str, seen: Seen, best: int, others: float, examples: Sequence[bytes]
) -> Line | None:
    """The value of a group for which the model is surely worse: what it lacks to the best one's rows, or as
    many again; none without a row to go by.
    """
    if not seen.rows:
        return None
    low, high = limits(seen.right, seen.answered)
    return Line(
        kind="group",
        why="behind",
        column=column,
        value=value,
        have=seen.rows,
        rows=max(best - seen.rows, seen.rows),
        score=seen.right / seen.answered if seen.answered else math.nan,
        low=low,
        high=high,
        others=others,
        examples=tuple(examples[:SHOWN]),
    )


def capped(lines: Sequence[Line], people: int) -> list[Line]:
    """The lines, cut alike where they come to more than half of people's rows; each keeps a row at least."""
    wanted, most = sum(one.rows for one in lines), int(SHARE * people)
    if wanted <= most or not wanted:
        return list(lines)
    return [replace(one, rows=max(one.rows * most // wanted, 1)) for one in lines]
