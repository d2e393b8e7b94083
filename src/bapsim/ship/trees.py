"""Decision trees in a graph: TreeEnsemble names the leaf of each tree, what stands at it is added in float64.

ONNX adds the values of leaves in float32; the number of a leaf is exact in it, so no answer is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bapsim.ship.graph import Graph

EXACT = 1 << 24  # whole numbers up to it are float32
END = 3.2e38  # beyond every cell and before every null
NULL = 3.4e38
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """T trees one after another: feature Ints[m], split float[m]: at node i a cell <= split goes to yes[i],
    else to no[i]: Ints[m], a node, or -1 - leaf; tree Ints[m] ascending, its first node is the root; row
    Ints[l] of a leaf in values float64[u, w].

    split float32: cells are compared in 32 bits. feature: of 2 p + s: cells whose nulls go to yes, the same
    to no, then the 0 or 1 of `sides`.
    """

    feature: Ints
    split: NDArray[Any]
    yes: Ints
    no: Ints
    tree: Ints
    leaf_tree: Ints
    row: Ints
    values: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """Where the codes of a category go: column, and uint8[codes, s]: 1 = to no; null is the last code."""

    column: int
    goes: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """What votes: the mean of its trees, or start float64[w] and the sum of rounds of w trees, under a link.

    The w numbers become k: place float64[w, k] of 0 and 1, rest float64[k] where nothing is placed.
    """

    trees: Trees
    sides: tuple[Side, ...] = ()
    start: NDArray[np.float64] | None = None
    link: Literal["none", "odds", "two", "softmax"] = "none"
    place: NDArray[np.float64] | None = None
    rest: NDArray[np.float64] | None = None


def ends(g: Graph, cells: str) -> tuple[str, str, str]:
    """Which cells are null, and the cells with nulls below and above every number."""
    null = g.node("IsNaN", cells)
    below, above = (g.node("Where", null, g.constant(sign * NULL), cells) for sign in (-1.0, 1.0))
    return null, below, above


def voted(g: Graph, cells: str, member: Member) -> str:
    """What a member says of cells float64[n, p]: float64[n, k]."""
    trees = member.trees
    null, below, above = ends(g, cells)
    read = g.node("Concat", below, above, *(_side(g, cells, null, s) for s in member.sides), axis=1)
    if trees.split.dtype == np.float32:
        read = g.node("Cast", read, to=g.onnx.TensorProto.FLOAT)
    leaves = g.node("Cast", _leaves(g, read, trees), to=g.onnx.TensorProto.INT64)
    values = g.node("Gather", g.constant(trees.values), leaves, axis=0)  # [n, trees, w]
    if member.start is None:
        count = float(trees.tree[-1] + 1)
        return g.node("Div", g.total(values, 1), g.constant(count))
    shape = g.constant([0, -1, len(member.start)], np.int64)
    return _placed(g, g.moved(g.total(g.node("Reshape", values, shape), 1), member.start), member)


def _placed(g: Graph, raw: str, member: Member) -> str:
    if member.link in ("odds", "two"):
        odds = g.node("Sigmoid", raw)
        other = g.node("Sub", g.constant(1.0), odds)
        raw = odds if member.link == "odds" else g.node("Concat", other, odds, axis=1)
    elif member.link == "softmax":
        raw = g.node("Softmax", raw, axis=1)
    if member.place is not None and member.rest is not None:
        raw = g.moved(g.node("MatMul", raw, g.constant(member.place)), member.rest)
    return raw


def coded(g: Graph, cells: str, null: str, column: int, codes: int) -> str:
    """The codes of a category, int64[n]; null is the last of them."""
    at = g.constant(column, np.int64)
    here, empty = g.node("Gather", cells, at, axis=1), g.node("Gather", null, at, axis=1)
    code = g.node("Where", empty, g.constant(float(codes - 1)), here)
    return g.node("Cast", code, to=g.onnx.TensorProto.INT64)


def _side(g: Graph, cells: str, null: str, side: Side) -> str:
    code = coded(g, cells, null, side.column, len(side.goes))
    return g.wide(g.node("Gather", g.constant(side.goes, np.uint8), code, axis=0))


def _leaves(g: Graph, read: str, trees: Trees) -> str:
    """The row in `values` of the leaf that each tree leads to, [n, T]."""
    kind = trees.split.dtype if len(trees.values) < EXACT else np.dtype(np.float64)
    count = int(trees.tree[-1]) + 1
    roots = np.searchsorted(trees.tree, np.arange(count))
    tensor = g.onnx.numpy_helper.from_array
    ways = {"true": trees.yes, "false": trees.no}
    where = {f"nodes_{n}nodeids": np.where(to < 0, -1 - to, to).tolist() for n, to in ways.items()}
    leafs = {f"nodes_{n}leafs": (to < 0).astype(np.int64).tolist() for n, to in ways.items()}
    return g.node(
        "TreeEnsemble",
        read,
        domain="ai.onnx.ml",
        n_targets=count,
        aggregate_function=1,
        post_transform=0,
        tree_roots=roots.tolist(),
        nodes_featureids=trees.feature.tolist(),
        nodes_splits=tensor(np.clip(trees.split, -END, END).astype(kind)),
        nodes_modes=tensor(np.zeros(len(trees.feature), np.uint8)),
        leaf_targetids=trees.leaf_tree.tolist(),
        leaf_weights=tensor(trees.row.astype(kind)),
        **where,
        **leafs,
    )
