"""Novelty of what machines made: no copy of a person's row, and no row that is like none of them.

The distance to the closest record is held against that of real rows: how far a real row lies from the
others of its class when it is left out. It says nothing about the label: a check that admits rows must
judge that as well (a mutated label lies no farther off), so this one refuses, and never vouches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Check, Dataset, Survey
from bapsim.core.records import VERDICT, Records, Verdicts, abstained
from bapsim.core.turn import Turn
from bapsim.image.closest import Axis, Points, axes, closest, of_people, points

FEWEST = 5  # real rows of a class, below which there is nothing to hold a distance against
SAMPLE = 500  # real rows of a class that are left out in turn
BROKEN = 0.2  # of a generator's rows, below which whatever passed is chance
ENOUGH = 20  # rows of a generator, below which nothing is said of it

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Band:
    """How far from the closest record a row of a class may lie: from `near` (a copy) to `far`."""

    near: float
    far: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """People's rows: how they are measured, where they lie, of which class they are, bands by class."""

    axes: tuple[Axis, ...]
    points: Points
    labels: NDArray[np.str_]
    bands: Mapping[str, Band]


def left_out(real: Points, groups: NDArray[np.int64]) -> Floats:
    """float64[<= SAMPLE]: how far real rows lie from the closest of another group; rows of one group (several
    pictures of one part) would make copies look usual.
    """
    chosen = np.unique(np.linspace(0, len(real.at) - 1, min(len(real.at), SAMPLE)).round().astype(np.int64))
    asked = Points(real.at[chosen], real.known[chosen])
    gaps, _ = closest(asked, real, groups[chosen][:, None] == groups[None, :])
    return gaps[np.isfinite(gaps)]


def band(gaps: Floats, near: float, far: float) -> Band:
    """The band for distances between real rows float64[n]: near x their median, far x their 95 % quantile."""
    return Band(near=near * float(np.median(gaps)), far=far * float(np.quantile(gaps, 0.95)))


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """Refuses what machines made with near_copy or far_from_real; see `closeness`."""

    near: float = 0.15
    far: float = 1.6
    verifies: ClassVar[bool] = False  # it cannot see a wrong label

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        machine = numbers(records.column("_input_depth"), 0) > 0
        known = self._reference(turn) if machine.any() and turn.task.kind != "text" else None
        if known is None:
            return abstained(len(records))
        asked = points(known.axes, records)
        said = np.array([one or "" for one in strings(records.column(turn.task.target))])
        copy, _ = closest(asked, known.points)
        keep: list[bool | None] = [None] * len(records)
        why: list[str | None] = [None] * len(records)
        value, limit = np.full(len(records), np.nan), np.full(len(records), np.nan)
        for label, held in known.bands.items():
            at = np.flatnonzero(machine & (said == label) & asked.known)
            mine = known.labels == label
            real = Points(known.points.at[mine], known.points.known[mine])
            own, _ = closest(Points(asked.at[at], asked.known[at]), real)
            for i, gap in zip(at.tolist(), own.tolist(), strict=True):
                too_near, too_far = copy[i] <= held.near, gap > held.far
                keep[i] = not (too_near or too_far)
                why[i] = "near_copy" if too_near else "far_from_real" if too_far else None
                value[i] = gap if too_far and not too_near else copy[i]
                limit[i] = held.far if too_far and not too_near else held.near
        for i in np.flatnonzero(machine & ~asked.known).tolist():  # no picture is like no other
            keep[i], why[i] = False, "far_from_real"
        columns: list[Any] = [
            pa.array(keep, pa.bool_()),
            pa.array(why, pa.string()),
            pa.array(value, pa.float32(), from_pandas=True),
            pa.array(limit, pa.float32(), from_pandas=True),
        ]
        return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))

    def _reference(self, turn: Turn) -> Reference | None:
        """The turn's, measured once: a check is asked shard by shard."""
        for past, step, found in _LAST:
            if past is turn and step == self:
                return found
        _LAST[:] = [(turn, self, reference(turn, self.near, self.far))]
        return _LAST[0][2]


_LAST: list[tuple[Turn, Closeness, Reference | None]] = []


def reference(turn: Turn, near: float, far: float) -> Reference | None:
    """What people made and labelled and nothing refused, measured; None without any."""
    task = turn.task
    people = of_people(turn, [task.group] if task.group else [])
    if people is None:
        return None
    scale = axes(people, task.inputs)
    found, labels = points(scale, people), np.array(strings(people.column(task.target)))
    groups = np.arange(len(people))
    if task.group:
        named = enumerate(strings(people.column(task.group)))
        said = [f"={one}" if one is not None else f"#{i}" for i, one in named]
        groups = np.unique(said, return_inverse=True)[1].astype(np.int64)
    bands = {}
    for label in np.unique(labels).tolist():
        mine = (labels == label) & found.known
        gaps = left_out(Points(found.at[mine], found.known[mine]), groups[mine])
        if len(gaps) >= FEWEST:
            bands[label] = band(gaps, near, far)
    return Reference(axes=scale, points=found, labels=labels, bands=bands)


def closeness(near: float = 0.15, far: float = 1.6) -> Check:
    """Refuses machine-made rows of tables and pictures that copy a person's row or are like none of their
    class.

    near: of the median distance between real rows of the class, at or below which a row is a copy
    (near_copy); far: of its 95 % quantile, above which it is like none (far_from_real). Abstains for texts
    (near_duplicates compares these), for people's rows, and for classes of fewer than 5 real rows. It keeps
    what is new, and does not vouch for it: the label is for other checks to judge.
    """
    if not 0 <= near < far:
        raise RecipeError("closeness_band", near=near, far=far)
    return Closeness(near=near, far=far)


# --- whether a generator is sound -----------------------------------------------------------------


def pass_rates(makers: NDArray[np.int64], passed: Mask) -> dict[int, tuple[int, int]]:
    """By maker, how many of its rows passed, and how many there are; makers: int64[n], below 0 = a
    person's.
    """
    found = {}
    for maker in np.unique(makers[makers >= 0]).tolist():
        mine = makers == maker
        found[maker] = int((passed & mine).sum()), int(mine.sum())
    return found


@dataclass(frozen=True, kw_only=True)
class SoundGenerators:
    """Refuses all rows of a broken generator with the reason generator_broken; see `sound_generators`."""

    least: float = BROKEN

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        methods = {n: one.method for n, one in turn.origins.items() if one.input_maker == "machine"}
        names = sorted(set(methods.values()))
        parts, masks = [], []
        for batch, keep in zip(dataset.batches([turn.task.target]), dataset.kept(), strict=True):
            origins = numbers(batch.column("_origin")).astype(np.int64).tolist()
            parts.append(
                np.array([names.index(methods[n]) if n in methods else -1 for n in origins], np.int64)
            )
            masks.append(np.asarray(keep, bool))
        none = np.zeros(0, np.int64)
        rates = pass_rates(np.concatenate([none, *parts]), np.concatenate([none > 0, *masks]))
        share = {m: ok / n for m, (ok, n) in rates.items() if n >= ENOUGH and ok / n < self.least}
        for makers, keep in zip(parts, masks, strict=True):
            yield self._said(makers, keep, share)

    def _said(self, makers: NDArray[np.int64], keep: Mask, share: Mapping[int, float]) -> Verdicts:
        broken = keep & np.isin(makers, list(share))
        low = [share.get(m) if no else None for m, no in zip(makers.tolist(), broken, strict=True)]
        columns: list[Any] = [
            pa.array(~broken, mask=~broken),
            pa.array(["generator_broken" if no else None for no in broken.tolist()], pa.string()),
            pa.array(low, pa.float32()),
            pa.array([self.least if no else None for no in broken.tolist()], pa.float32()),
        ]
        return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def sound_generators(least: float = BROKEN) -> Survey:
    """Refuses everything of a generator of which less than this share passed all checks before (20 rows at
    least): what is left of a broken generator is chance, not quality. Name it last.
    """
    return SoundGenerators(least=least)
