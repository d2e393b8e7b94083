"""Which people-made rows become the exam, and which fold holds a row out: whole groups only.

Rows that share a near-duplicate cluster, a root ancestor or a declared group are one group: if one of them
were trained on and another examined, the exam would measure memory. Pure functions, arrays in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bapsim.text.minhash import Ints, unite

Mask = NDArray[np.bool_]
STRATUM = 100  # eligible rows: a smaller class is no stratum of its own


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The sampling frame: what is known of n rows, in one order.

    labels: int64[n] class codes that do not depend on the order of rows, -1 = no label; clusters, roots:
    int64[n], equal where rows belong together; group: int64[n] codes of the declared column, -1 = alone;
    time: sortable[n], nan or NaT = unknown; eligible: bool[n], people's input and target, kept by all
    checks (default: all that have a label); ids: sortable[n], unique: with them, the order of rows decides
    nothing.
    """

    labels: Ints
    clusters: Ints
    roots: Ints
    group: Ints | None = None
    time: np.ndarray | None = None
    eligible: Mask | None = None
    ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


def exam_size(rows: int) -> int:
    """Exam items to aim at, of this many people-made labelled rows: a fifth, within 100 and 2,000.

    A fifth costs .4 points of accuracy on banking77 and three tenths 1.2, so a fifth it is, but up to three
    tenths where a fifth is less than 100 items: fewer can hardly prove anything (.8 power at .005 needs
    about 470 items for a gain of 5 points). 2,000 items find +2 points in models that differ on up to .06
    of the items with power .8; rows beyond that teach more than they prove.
    """
    return min(2000, max(round(0.2 * rows), min(100, int(0.3 * rows))))


def _linked(root: Ints, values: Ints, rows: Ints) -> Ints:
    """The components after joining those of the given rows that have the same value."""
    _, first, which = np.unique(values[rows], return_index=True, return_inverse=True)
    return unite(root, rows, rows[first[which]])


def groups(frame: Frame) -> Ints:
    """int64[n]: the smallest row that each row is connected to by cluster, root ancestor or declared group.

    Rows of a group that an exam item belongs to must not be trained on, whether they were drawn or not. Texts
    that everybody writes ("great!") may tie all declared groups into one: where that makes a group of more
    than a tenth of all rows (and twice the largest declared one), the clusters that span most declared
    groups stop linking them, and their rows are left to the search for exam leaks.
    """
    rows = np.arange(len(frame), dtype=np.int64)
    root = _linked(rows, frame.roots, rows)
    if frame.group is None:
        return _linked(root, frame.clusters, rows)
    root = _linked(root, frame.group, np.flatnonzero(frame.group >= 0))
    most = max(len(frame) // 10, 2 * int(np.bincount(root, minlength=1).max()))
    _, cluster = np.unique(frame.clusters, return_inverse=True)
    spanned = np.bincount(np.unique(cluster * np.int64(len(frame)) + root) // max(len(frame), 1))
    for span in (len(frame), 64, 32, 16, 8, 4, 2):
        linked = _linked(root, cluster, np.flatnonzero(spanned[cluster] <= span))
        if np.bincount(linked, minlength=1).max() <= most:
            return linked
    return root


@dataclass(frozen=True)
class _Units:
    """Groups in an order that rows do not decide: who belongs to which, and their class counts as rows of
    (unit, class, count) sorted by unit; `starts` finds a unit's."""

    of: Ints
    classes: Ints
    counts: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Ints:
        before: Ints = np.concatenate([[0], np.cumsum(self.counts)])
        return before[self.starts[1:]] - before[self.starts[:-1]]


def _units(frame: Frame, labels: Ints, counted: Mask) -> _Units:
    """The groups with at least one counted row."""
    order = np.arange(len(frame)) if frame.ids is None else np.argsort(frame.ids, kind="stable")
    place = np.empty(len(frame), np.int64)
    place[order] = np.arange(len(frame))
    group = groups(frame)
    least = np.full(len(frame), len(frame), np.int64)
    np.minimum.at(least, group[counted], place[counted])  # the group's name: its least place
    alive = np.unique(least[group[counted]])
    of = np.full(len(frame), -1, np.int64)
    among = least[group] < len(frame)
    of[among] = np.searchsorted(alive, least[group[among]])
    width = int(labels.max(initial=0)) + 1
    pairs, counts = np.unique(of[counted] * width + labels[counted], return_counts=True)
    starts = np.searchsorted(pairs // width, np.arange(len(alive) + 1))
    return _Units(of, pairs % width, counts, starts)


def _apportioned(totals: Ints, caps: Ints, size: int) -> Ints:
    """How many of each class: in proportion, by largest remainder, never above the caps."""
    size = min(size, int(caps.sum()))
    quota, full = np.zeros(len(totals)), caps == 0
    while not full.all():
        rest = totals[~full].sum()
        quota = np.where(full, caps, totals * ((size - caps[full].sum()) / rest))
        above = ~full & (quota > caps)
        if not above.any():
            break
        full |= above
    quota = np.where(full, caps, quota)
    given = quota.astype(np.int64)
    given[np.argsort(given - quota, kind="stable")[: size - int(given.sum())]] += 1
    return given


def _quotas(totals: Ints, caps: Ints, size: int, rng: np.random.Generator) -> Ints:
    """How many of each class: large classes in proportion, small ones as a random draw of all small rows.

    In proportion, the exam repeats by which classes the training rows happen to be rich in, so a young model
    looks better than it is, and later gains smaller: by one point (banking77, 1,500 rows, 77 classes;
    docs/results/exam_draw.md). That falls with the rows of a class; from 100 on it is below .1 point, and
    proportion pays. Below seven rows a class, what `draw` leaves to training bends the exam as much.
    """
    size = min(size, int(caps.sum()))
    small = totals < STRATUM
    strata = np.append(np.where(small, 0, totals), totals[small].sum())
    quota = _apportioned(strata, np.append(np.where(small, 0, caps), caps[small].sum()), size)
    among = rng.multivariate_hypergeometric(np.where(small, totals, 0), int(quota[-1]))
    return np.where(small, np.minimum(among, caps), quota[:-1])


def _latest(frame: Frame, units: _Units, counted: Mask, size: int) -> Mask:
    """bool[units]: the units of which every row lies in the latest period that holds `size` rows."""
    if frame.time is None:
        return np.ones(len(units), bool)
    _, period = np.unique(frame.time, return_inverse=True)
    period = np.where(frame.time == frame.time, period, -1)  # nan and NaT are not equal to themselves
    earliest = np.full(len(units), len(frame), np.int64)
    np.minimum.at(earliest, units.of[counted], period[counted])
    order = np.argsort(-earliest, kind="stable")
    enough = np.flatnonzero(np.cumsum(units.sizes[order]) >= size)
    cut = earliest[order[enough[0]]] if len(enough) else 0
    return (earliest >= cut) & (earliest >= 0)


def _filled(units: _Units, order: Ints, room: Ints, most: int, taken: list[int]) -> None:
    """Take units in order wherever each class has room and the whole stays within `most` rows."""
    free = room.tolist()
    classes, counts, starts = units.classes.tolist(), units.counts.tolist(), units.starts.tolist()
    for unit in taken:
        for i in range(starts[unit], starts[unit + 1]):
            free[classes[i]] -= counts[i]
            most -= counts[i]
    already = set(taken)
    for unit in order.tolist():
        if most <= 0:
            return
        mine = range(starts[unit], starts[unit + 1])
        count = sum(counts[i] for i in mine)
        if unit not in already and count <= most and all(counts[i] <= free[classes[i]] for i in mine):
            taken.append(unit)
            most -= count
            for i in mine:
                free[classes[i]] -= counts[i]


def draw(frame: Frame, size: int, rng: np.random.Generator) -> Mask:
    """bool[n]: the exam, about `size` eligible rows in whole groups, stratified by class of 100 rows or more.

    At least half of a class's eligible rows, and all of a class with fewer than 3, stay for training. With
    times, the exam comes from the latest period that holds `size` rows of groups that began in it. Within
    `size`, unless groups are so large that one too many comes nearer to it than one too few. May be empty:
    groups too large, classes too small.
    """
    counted = frame.labels >= 0 if frame.eligible is None else frame.eligible & (frame.labels >= 0)
    if size <= 0 or not counted.any():
        return np.zeros(len(frame), bool)
    labels = np.maximum(frame.labels, 0)
    units = _units(frame, labels, counted)
    totals = np.bincount(labels[counted], minlength=int(labels.max()) + 1)
    caps = np.where(totals >= 3, totals // 2, 0)
    late = _latest(frame, units, counted, size)
    order = rng.permutation(len(units))
    order = order[late[order]]
    pool = np.bincount(labels[counted & late[units.of]], minlength=len(totals))
    taken: list[int] = []
    _filled(units, order, _quotas(pool, np.minimum(caps, pool), size, rng), size, taken)
    _filled(units, order, caps, size, taken)  # what whole groups left open
    sizes = units.sizes
    count = int(sizes[taken].sum())
    nearer = order[np.abs(count + sizes[order] - size) < size - count]
    nearer = nearer[np.argsort(np.abs(count + sizes[nearer] - size), kind="stable")]
    for unit in nearer.tolist():
        longer = [*taken, unit] if unit not in taken else taken
        if longer is not taken and (_spent(units, longer, len(caps)) <= caps).all():
            taken = longer
            break
    chosen = np.zeros(len(units) + 1, bool)  # the last stands for rows of no unit
    chosen[taken] = True
    return chosen[units.of] & counted


def _spent(units: _Units, taken: list[int], classes: int) -> Ints:
    """int64[classes]: rows of each class in the units."""
    chosen = np.zeros(len(units), bool)
    chosen[taken] = True
    mine = np.repeat(chosen, np.diff(units.starts))
    return np.bincount(units.classes[mine], units.counts[mine], classes).astype(np.int64)


def _levelled(level: Ints, count: int, size: Ints) -> Ints:
    """int64[k]: how many of `count` go where, so that the levels end as even as they can; who gets one more
    is decided by size."""
    order = np.lexsort((size, level))
    for k in range(len(level), 0, -1):
        base, rest = divmod(count + int(level[order[:k]].sum()), k)
        if base >= level[order[k - 1]]:
            break
    low = order[:k]
    more = np.zeros(len(level), np.int64)
    more[low] = base - level[low]
    more[low[np.argsort(size[low] + more[low], kind="stable")[:rest]]] += 1
    return more


def folds(frame: Frame, k: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """int8[n]: the fold that holds each row out; groups whole, classes and sizes as even as groups allow.

    Groups of several rows go first, the largest before all, each to the fold that has the least of its
    classes; single rows then level the classes (as scikit-learn's StratifiedGroupKFold, in array form).
    """
    if not 2 <= k <= 127:
        raise ValueError(f"folds are 2 to 127, not {k}")
    _, labels = np.unique(frame.labels, return_inverse=True)
    units = _units(frame, labels, np.ones(len(frame), bool))
    totals = np.bincount(labels)
    have = np.zeros((len(totals), k), np.int64)
    fold = np.zeros(len(units), np.int8)
    order = rng.permutation(len(units))
    sizes = units.sizes[order]
    for unit in order[np.argsort(-sizes, kind="stable")[: int((sizes > 1).sum())]].tolist():
        mine = slice(units.starts[unit], units.starts[unit + 1])
        classes, counts = units.classes[mine], units.counts[mine]
        share = counts / totals[classes]
        crowd = share @ have[classes] + counts.sum() / len(frame) * have.sum(axis=0)
        fold[unit] = np.argmin(crowd)
        have[classes, fold[unit]] += counts
    single = order[sizes == 1]
    kind = units.classes[units.starts[single]]
    for label in np.unique(kind):
        these = single[kind == label]
        more = _levelled(have[label], len(these), have.sum(axis=0))
        fold[these] = np.repeat(np.arange(k, dtype=np.int8), more)
        have[label] += more
    return fold[units.of]
