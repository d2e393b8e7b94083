"""Models of tables as what a device needs of them: scikit-learn's trees, node by node, and a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.ship.tables import Line, TableParts
from bapsim.ship.trees import Member, Side, Trees
from bapsim.train import table_number, trees
from bapsim.train.columns import Column, used
from bapsim.train.table import TableModel
from bapsim.train.table_labels import TableLabels
from bapsim.train.table_number import COMMON, TableNumber
from bapsim.train.trees import Fit

Ints = NDArray[np.int64]
Tabular = TableModel | TableLabels | TableNumber
NOWHERE = -1e300  # the evidence of a class that a member never saw


class Tree(NamedTuple):
    """One tree: left Ints[m] (-1 at leaves), right, feature Ints[m], split float64[m], what stands at its
    nodes float64[m, w], and whether nulls go left bool[m].
    """

    left: Ints
    right: Ints
    feature: Ints
    split: NDArray[np.float64]
    values: NDArray[np.float64]
    nulls: NDArray[np.bool_]


def table_parts(model: Tabular) -> TableParts:
    """A model of tables in parts."""
    fitted, calibration = model.fitted, model.calibration
    said: dict[str, Any]
    if isinstance(model, TableNumber):
        answer, said = "number", {"calibration": {"reading": asdict(model.calibration.reading)}}
    elif isinstance(model, TableLabels):
        answer, said = "labels", {"calibration": {"platt": asdict(model.calibration.platt)}}
    else:
        answer, said = "class", {"calibration": {"temperature": model.calibration.temperature}}
    names = table_number.MEMBERS if answer == "number" else trees.MEMBERS
    votes = [
        (share, _vote(name, model, answer))
        for name, share in zip((*names, ""), calibration.blend, strict=True)
        if share
    ]
    return TableParts(
        answer=answer,
        classes=tuple(model.classes),
        columns=[asdict(column) for column in fitted.columns],
        read=used(fitted.columns),
        votes=votes,
        strange=calibration.strange,
        outside=calibration.outside,
        said=said,
    )


def _vote(name: str, model: Tabular, answer: str) -> Any:
    """What votes under a name; where nothing was fitted, what is said of every row."""
    fitted = model.fitted
    mine = {key: one for key, one in fitted.members.items() if key.partition("-")[0] == name}
    if not mine:
        return np.asarray(fitted.prior, np.float64)
    if name == "line":
        return _line(fitted.columns, mine[name])
    if name == "boosted":
        return _boosted(mine, fitted, answer)
    return _forest(mine[name], fitted, answer)


# --- forests --------------------------------------------------------------------------------------


def _forest(model: Any, fitted: Fit, answer: str) -> Member:
    """The mean of what stands at the leaves: shares of classes, of labels, or a number."""
    some = (_grown(one.tree_, model, fitted, answer) for one in model.estimators_)
    # float32(cell) <= split where it is <= the largest float32 that is not above split
    return Member(trees=_joined(some, len(used(fitted.columns)), narrow=True))


def _grown(tree: Any, model: Any, fitted: Fit, answer: str) -> Tree:
    value = np.asarray(tree.value)  # [m, outcomes, classes]
    if answer == "class":
        said = np.zeros((len(value), len(fitted.prior)))
        said[:, np.asarray(model.classes_, np.int64)] = value[:, 0, : model.n_classes_]
    elif answer == "labels":
        counts = np.atleast_1d(model.n_classes_)
        said = np.tile(fitted.prior, (len(value), 1))
        said[:, counts == 2] = value[:, counts == 2, -1]
    else:
        said = value[:, :, 0]
    left, right = (np.asarray(to, np.int64) for to in (tree.children_left, tree.children_right))
    nulls = np.asarray(tree.missing_go_to_left, bool)
    return Tree(left, right, np.asarray(tree.feature, np.int64), np.asarray(tree.threshold), said, nulls)


def _below(split: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above a split."""
    near = split.astype(np.float32)
    return np.where(near > split, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def _joined(some: Iterable[Tree], columns: int, *, narrow: bool) -> Trees:
    """Trees one after another, inner nodes and leaves counted apart; equal leaves share a row of values."""
    parts: dict[str, list[Any]] = {name: [] for name in Trees.__dataclass_fields__}
    nodes = leaves = 0
    for at, grown in enumerate(some):
        one = _split_once(grown) if grown.left[0] < 0 else grown
        leaf = one.left < 0
        place = np.where(leaf, -leaves - np.cumsum(leaf), nodes + np.cumsum(~leaf) - 1)
        inner = ~leaf
        parts["yes"].append(place[one.left[inner]])
        parts["no"].append(place[one.right[inner]])
        parts["feature"].append(one.feature[inner] + columns * ~one.nulls[inner])
        parts["split"].append(one.split[inner])
        parts["values"].append(one.values[leaf])
        parts["tree"].append(np.full(int(inner.sum()), at))
        parts["leaf_tree"].append(np.full(int(leaf.sum()), at))
        nodes, leaves = nodes + int(inner.sum()), leaves + int(leaf.sum())
    values, row = np.unique(np.concatenate(parts.pop("values")), axis=0, return_inverse=True)
    whole = {name: np.concatenate(part) for name, part in parts.items() if part}
    split = _below(np.clip(whole.pop("split"), -3.3e38, 3.3e38)) if narrow else whole.pop("split")
    return Trees(**whole, split=split, row=row.reshape(-1).astype(np.int64), values=values)


def _split_once(one: Tree) -> Tree:
    """A tree where nothing was split: a node whose two ways lead to the same."""
    twice = np.concatenate([one.values[:1]] * 3)
    ends, zero = np.array([-1, -1]), np.zeros(3, np.int64)
    left, right = np.r_[1, ends].astype(np.int64), np.r_[2, ends].astype(np.int64)
    return Tree(left, right, zero, np.zeros(3), twice, np.ones(3, bool))


# --- boosting -------------------------------------------------------------------------------------

Splits = dict[tuple[int, bytes], int]  # of categories: column and where each code goes -> number


def _boosted(mine: dict[str, Any], fitted: Fit, answer: str) -> Member:
    """Rounds of trees: one for each class (for two, one in all), for each label, or one."""
    models = list(mine.values())
    columns = [fitted.columns[j] for j in used(fitted.columns)]
    splits: Splits = {}
    some = [
        _predictor(tree, columns, model, splits)
        for i in range(len(models[0]._predictors))
        for model in models
        for tree in model._predictors[i]
    ]
    start = np.concatenate([np.ravel(model._baseline_prediction) for model in models])
    joined, sides = _sided(_joined(some, len(columns), narrow=False), splits, 2 * len(columns))
    member: dict[str, Any] = {"trees": joined, "sides": sides, "start": start.astype(np.float64)}
    if answer == "number":
        return Member(**member)
    k = len(fitted.prior)
    if answer == "labels":
        at = [int(key.partition("-")[2]) for key in mine]
        rest = np.asarray(fitted.prior, np.float64).copy()
        rest[at] = 0.0
        return Member(**member, link="odds", place=np.eye(k)[at], rest=rest)
    place = np.eye(k)[np.asarray(models[0].classes_, np.int64)]
    link: Any = "two" if len(start) == 1 else "softmax"
    return Member(**member, link=link, place=place, rest=np.zeros(k))


def _predictor(tree: Any, columns: Sequence[Column], model: Any, splits: Splits) -> Tree:
    """A tree of boosting over our columns (it sees categories first); a split of a category is a column of 0
    and 1 behind the others.
    """
    texts = [j for j, column in enumerate(columns) if column.kind == "category"]
    order = np.array([*texts, *(j for j, column in enumerate(columns) if column.kind != "category")])
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    feature = order[np.where(leaf, 0, nodes["feature_idx"])].astype(np.int64)
    split, nulls = nodes["num_threshold"].astype(np.float64), nodes["missing_go_to_left"].astype(bool)
    for i in np.flatnonzero(~leaf & nodes["is_categorical"].astype(bool)):
        column = int(feature[i])
        known = model._preprocessor.named_transformers_["encoder"].categories_[texts.index(column)]
        left = tree.raw_left_cat_bitsets[nodes["bitset_idx"][i]]
        goes = _goes(len(columns[column].values) + 2, known, left, bool(nulls[i]))
        number = splits.setdefault((column, goes), len(splits))
        feature[i], split[i], nulls[i] = 2 * len(columns) + number, 0.5, True
    left, right = (np.where(leaf, -1, nodes[way].astype(np.int64)) for way in ("left", "right"))
    return Tree(left, right, feature, split, nodes["value"].astype(np.float64)[:, None], nulls)


def _goes(codes: int, known: NDArray[np.float64], left: NDArray[np.uint32], nulls: bool) -> bytes:
    """For each code (the last is null) 0 = left, 1 = right; one that boosting never saw goes as null does."""
    goes = np.full(codes, not nulls, np.uint8)
    for i, code in enumerate(known[~np.isnan(known)].astype(np.int64).tolist()):
        goes[code] = not int(left[i >> 5]) >> (i & 31) & 1
    return goes.tobytes()


def _sided(joined: Trees, splits: Splits, first: int) -> tuple[Trees, tuple[Side, ...]]:
    """The splits of categories column by column, and the trees that name them so."""
    order = sorted(splits, key=lambda one: (one[0], splits[one]))
    place = np.zeros(max(len(order), 1), np.int64)
    place[[splits[one] for one in order]] = np.arange(len(order))
    behind = np.maximum(joined.feature - first, 0)
    feature = np.where(
        joined.feature >= first, first + place[np.minimum(behind, len(place) - 1)], joined.feature
    )
    sides = [
        Side(column=j, goes=np.array([np.frombuffer(goes, np.uint8) for c, goes in order if c == j]).T)
        for j in sorted({column for column, _ in order})
    ]
    return replace(joined, feature=feature), tuple(sides)


# --- the line -------------------------------------------------------------------------------------


def _line(columns: Sequence[Column], model: Any) -> Line:
    """The weights of `table_number.flat`, column by column."""
    at, worth, numbers = 0, {}, []
    for j, column in enumerate(columns):
        known = min(len(column.values), COMMON) + 1 if column.kind == "category" else 2
        mine = model.coef_[at : at + known + 1]
        at += known + 1
        if column.kind == "category":
            worth[j] = np.r_[mine[:-1], np.zeros(len(column.values) + 1 - known), mine[-1]]
        else:
            numbers.append((j, column, mine))
    ends = [(c.centre, c.scale, np.sinh(c.low), np.sinh(c.high)) for _, c, _ in numbers]
    centre, scale, low, high = np.array(ends).reshape(-1, 4).T
    return Line(
        columns=np.array([j for j, _, _ in numbers], np.int64),
        centre=centre,
        scale=scale,
        low=low,
        high=high,
        weights=np.array([mine for _, _, mine in numbers]).reshape(-1, 3).T.reshape(-1),
        worth=worth,
        bias=float(model.intercept_),
    )
