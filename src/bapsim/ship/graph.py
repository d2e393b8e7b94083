"""Heads as ONNX graphs: plain ai.onnx operators of opset 17, so that every runtime has them, web ones too.

Weights stay float32 or int8 in the file; sums and calibration are float64, as bapsim's own, so that no answer
depends on who adds up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bapsim.core.errors import MissingExtra
from bapsim.ship.parts import TextParts

OPSET, IR = 17, 9
TREES = "ai.onnx.ml", 5  # the operators of trees; no other graph needs them
LN19 = float(np.log(19))


def onnx() -> Any:
    """The package onnx; MissingExtra says which command installs it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise MissingExtra("missing_edge", package="onnx") from error
    return onnx


class Graph:
    """Nodes and constants in the order in which they were named."""

    def __init__(self) -> None:
        self.onnx = onnx()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: Any = np.float64) -> str:
        """The name of a constant."""
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(value, kind).reshape(np.shape(value))
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """The name of what an operator makes of its inputs."""
        name = out or f"n{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def wide(self, name: str) -> str:
        return self.node("Cast", name, to=self.onnx.TensorProto.DOUBLE)

    def narrow(self, name: str, out: str) -> str:
        return self.node("Cast", name, out=out, to=self.onnx.TensorProto.FLOAT)

    def total(self, name: str, axis: int, keep: int = 0) -> str:
        return self.node("ReduceSum", name, self.constant([axis], np.int64), keepdims=keep)

    def scaled(self, name: str, factor: Any) -> str:
        return self.node("Mul", name, self.constant(factor))

    def moved(self, name: str, by: Any) -> str:
        return self.node("Add", name, self.constant(by))

    def clipped(self, name: str, low: float, high: float) -> str:
        return self.node("Clip", name, self.constant(low), self.constant(high))

    def body(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bytes:
        """The model as a file: names of tensors with (type, shape)."""
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        ends = [
            [helper.make_tensor_value_info(name, getattr(kinds, kind), shape) for name, (kind, shape) in many]
            for many in (inputs.items(), outputs.items())
        ]
        graph = helper.make_graph(self.nodes, "head", *ends, self.constants)
        used = {"": OPSET} | ({TREES[0]: TREES[1]} if any(node.domain for node in self.nodes) else {})
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(*one) for one in used.items()],
            ir_version=IR,
            producer_name="bapsim",
            producer_version="1",
        )
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def text_head(parts: TextParts) -> bytes:
    """head.onnx of a model of texts: columns, values, coverage -> answers (features.md, sections 4 and 6)."""
    g = Graph()
    score, known = scores(g, parts)
    said = {"class": _class, "labels": _labels, "number": _number}[parts.answer]
    outputs, measure = said(g, parts, score, known)
    inside = scope(g, parts.said["calibration"], measure, known)
    g.narrow(inside, "in_scope")
    given = {
        "columns": ("INT64", ["n", "l"]),
        "values": ("FLOAT", ["n", "l"]),
        "coverage": ("DOUBLE", ["n"]),
    }
    return g.body(given, outputs | {"in_scope": ("FLOAT", ["n"])})


def scores(g: Graph, parts: TextParts) -> tuple[str, str]:
    """Scores float64[n, k], and whether anything of a text is known, bool[n]."""
    rows = g.wide(g.node("Gather", g.constant(parts.table, parts.table.dtype), "columns", axis=0))
    values = g.node("Unsqueeze", g.wide("values"), g.constant([2], np.int64))
    score = g.total(g.node("Mul", rows, values), 1)
    if parts.scale is not None:
        score = g.scaled(score, parts.scale)
    score = g.moved(score, parts.bias)
    if parts.then is not None:
        seen = g.node("Relu", score)
        score = g.moved(g.node("MatMul", seen, g.constant(parts.then.weights)), parts.then.bias)
    known = g.node("Greater", g.total("values", 1), g.constant(0.0, np.float32))
    return score, known


def calibrated(g: Graph, said: Mapping[str, Any], score: str, known: str) -> str:
    """Probabilities float64[n, k] of a class."""
    c, prior = said["calibration"], np.asarray(said["prior"])
    bent = g.scaled(g.node("Relu", g.moved(score, -c["knee"])), c["bend"])
    evidence = g.node("Add", g.scaled(score, c["slope"]), bent)
    grown = g.node("Softmax", g.moved(evidence, c["shift"] * np.log(prior)), axis=1)
    mixed = g.moved(g.scaled(grown, 1 - c["floor"]), c["floor"] * prior)
    return g.node("Where", _column(g, known), mixed, g.constant(prior))


def scope(g: Graph, c: Mapping[str, Any], measure: str, known: str) -> str:
    """in_scope float64[n]."""
    z = g.scaled(g.moved(measure, -c["low"]), LN19 / (c["middle"] - c["low"]))
    return g.node("Where", known, g.node("Sigmoid", z), g.constant(0.0))


def _column(g: Graph, name: str) -> str:
    return g.node("Unsqueeze", name, g.constant([1], np.int64))


def _familiar(g: Graph, best: str, share: float) -> str:
    return g.node("Add", best, g.scaled("coverage", share))


def _class(g: Graph, parts: TextParts, score: str, known: str) -> tuple[dict[str, Any], str]:
    g.narrow(calibrated(g, parts.said, score, known), "probs")
    best = g.node("ReduceMax", score, axes=[1], keepdims=0)
    measure = _familiar(g, best, parts.said["calibration"]["words_known"])
    return {"probs": ("FLOAT", ["n", len(parts.classes)])}, measure


def _labels(g: Graph, parts: TextParts, score: str, known: str) -> tuple[dict[str, Any], str]:
    c, k = parts.said["calibration"], len(parts.classes)
    platt = c["platt"]
    z = g.clipped(g.moved(g.scaled(score, platt["slopes"]), platt["shifts"]), -30.0, 30.0)
    own = g.node("Sigmoid", z)
    probs = g.node("Where", _column(g, known), own, g.constant(np.asarray(parts.said["prior"])))
    outputs = decided(g, probs, k, platt["least"])
    best = g.node("ReduceMax", score, axes=[1], keepdims=0)
    measure = _familiar(g, g.scaled(best, float(platt["least"])), c["words_known"])
    return outputs, measure


def decided(g: Graph, probs: str, k: int, least: int) -> dict[str, Any]:
    """Which of k labels are there; the likeliest where none is and every row has one."""
    there = g.node("GreaterOrEqual", probs, g.constant(0.5))
    if least:
        some = g.node("ReduceMax", g.node("Cast", there, to=g.onnx.TensorProto.FLOAT), axes=[1], keepdims=1)
        likeliest = g.node("ArgMax", probs, axis=1, keepdims=1)
        first = g.node("Equal", likeliest, g.constant(np.arange(k)[None], np.int64))
        bare = g.node("Less", some, g.constant(0.5, np.float32))
        there = g.node("Or", there, g.node("And", bare, first))
    g.narrow(probs, "probs")
    g.node("Identity", there, out="there")
    return {"probs": ("FLOAT", ["n", k]), "there": ("BOOL", ["n", k])}


def _number(g: Graph, parts: TextParts, score: str, known: str) -> tuple[dict[str, Any], str]:
    raw = g.node("Squeeze", score, g.constant([1], np.int64))
    raw = g.node("Where", known, raw, g.constant(parts.said["median"]))
    unknown = g.node("Sub", g.constant(1.0), "coverage")
    unknown = g.node("Where", known, unknown, g.constant(1.0))
    return numbered(g, raw, unknown, parts.said["calibration"]["reading"]), "coverage"


def numbered(g: Graph, raw: str, hard: str, reading: Mapping[str, Any]) -> dict[str, Any]:
    """A raw number and how hard its row is, float64[n] each, as an answer with its interval."""
    ends = reading["least"], reading["most"]
    if reading["scores"]:
        raw = interpolated(g, raw, reading["scores"], reading["medians"])
    value = g.clipped(raw, *ends)
    half = interpolated(g, hard, reading["difficulties"], reading["halves"])
    g.node("Identity", value, out="prediction")
    for name, op in (("low", "Sub"), ("high", "Add")):
        g.node("Identity", g.clipped(g.node(op, value, half), *ends), out=name)
    return dict.fromkeys(("prediction", "low", "high"), ("DOUBLE", ["n"]))


def interpolated(g: Graph, x: str, at: Sequence[float], to: Sequence[float]) -> str:
    """Straight lines between knots, flat beyond them, float64[n]: the first value and each step's share."""
    knots, values = np.asarray(at, np.float64), np.asarray(to, np.float64)
    width, rise = np.diff(knots), np.diff(values)
    steep, column, total = width > 0, _column(g, x), g.constant(values[0])
    if steep.any():
        beyond = g.node("Sub", column, g.constant(knots[:-1][steep][None]))
        share = g.clipped(g.node("Div", beyond, g.constant(width[steep][None])), 0.0, 1.0)
        total = g.node("Add", total, g.total(g.scaled(share, rise[steep][None]), 1))
    if not steep.all():  # two knots at one place: a jump
        behind = g.wide(g.node("GreaterOrEqual", column, g.constant(knots[1:][~steep][None])))
        total = g.node("Add", total, g.total(g.scaled(behind, rise[~steep][None]), 1))
    return g.node("Add", g.scaled(x, 0.0), total)
