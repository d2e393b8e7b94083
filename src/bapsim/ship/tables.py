"""Models of tables as files: rows become cells in the runtime, trees and a line are a graph over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.ship import runtime, table_cells
from bapsim.ship.graph import Graph, decided, numbered
from bapsim.ship.pack import DEVICE, RUNTIME, as_json
from bapsim.ship.parts import sections
from bapsim.ship.trees import Member, coded, ends, voted

UNKNOWN = "\0 never seen"
FAR = (1e308, -1e308, 0, 1e-300, " +5 ", "-1.5e2")  # of columns that hold fractions
DAYS = "2026-03-12", "1900-02-28", "2200-12-31", "2000-02-29"
FAR_OF = {
    "bool": (True, False, 0, 1, " TRUE ", "0"),
    "timestamp": (*DAYS[:3], "1970-01-01T00:00", " 2026-03-12 09:30:15 ", "1912-06-01 23"),
    "timestampZ": (*(f"{day}T12:00:00Z" for day in DAYS), "2026-03-12T09:30+09:00", "2026-03-12 09:30-0330"),
    "date": (*DAYS, " 1970-01-01 ", "1969-12-31"),
    "time": ("12:00", "00:00:00", "23:59:59", " 09:30 ", "00:01", "18:20:07"),
    "int64": (1 << 53, -(1 << 53), 0, "9223372036854775807", " +5 ", "-0"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A line over all columns: numbers (which columns, centre, scale, ends of what training saw, and weights
    float64[3 q] of the number, its arcsinh, and its absence), and of each category column its worth by code.
    """

    columns: NDArray[np.int64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    weights: NDArray[np.float64]
    worth: Mapping[int, NDArray[np.float64]]
    bias: float


Votes = Sequence[tuple[float, Member | Line | NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TableParts:
    """A model of tables: how columns are read, members with their shares (an array: always says that), the
    columns that trees see, ascending measures of held-out rows, and what else the head needs.
    """

    answer: str
    classes: tuple[str, ...]
    columns: Sequence[Mapping[str, Any]]
    read: Sequence[int]
    votes: Votes
    strange: NDArray[np.float64]
    outside: NDArray[np.float64]
    said: Mapping[str, Any]

    def about(self) -> dict[str, Any]:
        """spec.json of the folder."""
        return {
            "kind": "table",
            "answer": self.answer,
            "classes": list(self.classes),
            "inputs": [column["name"] for column in self.columns],
            "columns": list(self.columns),
            **self.said,
        }


def table_files(parts: TableParts) -> dict[str, bytes]:
    """The files of a model of tables by name, without vectors and card."""
    return {
        "spec.json": as_json(parts.about()),
        "head.onnx": table_head(parts),
        "features.bin": sections([parts.strange.astype("<f8"), parts.outside.astype("<f8")]),
        RUNTIME: Path(runtime.__file__).read_bytes(),
        "table_cells.py": Path(table_cells.__file__).read_bytes(),
        "table_cells.js": (DEVICE / "table_cells.js").read_bytes(),
        "browser/index.html": (DEVICE / "index.html").read_bytes(),
    }


def odd_rows(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that every copy of a model must answer alike: empty, usual, far out, never seen, as text."""
    usual = {c["name"]: _usual(c) for c in columns}
    numbers = [c["name"] for c in columns if c["kind"] == "number"]
    far = {c["name"]: _far(c["type"]) for c in columns if c["kind"] == "number"}
    rows = [
        dict.fromkeys(usual),
        usual,
        *({**usual, **{name: some[i] for name, some in far.items()}} for i in range(len(FAR))),
        {**dict.fromkeys(usual, UNKNOWN), **dict.fromkeys(numbers)},
    ]
    return rows + [{**usual, name: None} for name in usual][:20]


def _usual(column: Mapping[str, Any]) -> Any:
    if column["kind"] == "category":
        return next(iter(column["values"]), None)
    if table_cells.TIME_TYPE.fullmatch(column["type"]):
        return FAR_OF[_family(column["type"])][0]
    return int(column["centre"]) if is_whole(column) else column["centre"]


def is_whole(column: Mapping[str, Any]) -> bool:
    """Whether a column of spec.json holds whole numbers or truth values alone."""
    return "int" in column["type"] or column["type"] == "bool"


def _far(kind: str) -> tuple[Any, ...]:
    if "int" in kind and kind != "int64":  # some hold no more than 8 bits
        return (127, 0, 1, 100, " +5 ", "7")
    return FAR_OF.get(_family(kind), FAR)


def _family(kind: str) -> str:
    """A type without its unit: times of all units are written alike, with a zone or without."""
    of = table_cells.TIME_TYPE.fullmatch(kind)
    return kind if of is None else of[1] + ("Z" if of[3] else "")


def table_vectors(folder: Path) -> bytes:
    """vectors.json: odd rows, the cells that they become (null: none), and what this very folder answers."""
    model = runtime.Model(folder)
    rows = odd_rows(model.about["columns"])
    cells = [[None if math.isnan(x) else x for x in row] for row in model.cells(rows)[0].tolist()]
    told = zip(rows, cells, model(rows), strict=True)
    return as_json([{"row": row, "cells": some, "answer": answer} for row, some, answer in told])


# --- the graph ------------------------------------------------------------------------------------


def table_head(parts: TableParts) -> bytes:
    """head.onnx: cells float64[n, p] -> what the kind of answer has; in_scope is the runtime's."""
    g = Graph()
    seen = g.node("Gather", "cells", g.constant(parts.read, np.int64), axis=1)
    nothing = g.scaled(
        g.wide(g.node("IsNaN", g.node("Gather", "cells", g.constant([0], np.int64), axis=1))), 0
    )
    said: list[tuple[float, str]] = []
    for share, vote in parts.votes:
        if isinstance(vote, Member):
            said.append((share, voted(g, seen, vote)))
        elif isinstance(vote, Line):
            said.append((share, _line(g, vote)))
        else:
            said.append((share, g.moved(nothing, vote)))
    outputs = {"class": _class, "labels": _labels, "number": _number}[parts.answer](g, parts, said)
    return g.body({"cells": ("DOUBLE", ["n", len(parts.columns)])}, outputs)


def _blended(g: Graph, said: Sequence[tuple[float, str]]) -> str:
    total = ""
    for share, name in said:
        one = g.scaled(name, share)
        total = g.node("Add", total, one) if total else one
    return total


def _class(g: Graph, parts: TableParts, said: Sequence[tuple[float, str]]) -> dict[str, Any]:
    cool = g.node("Log", g.node("Max", _blended(g, said), g.constant(1e-300)))
    cool = g.node("Div", cool, g.constant(parts.said["calibration"]["temperature"]))
    g.narrow(g.node("Softmax", cool, axis=1), "probs")
    return {"probs": ("FLOAT", ["n", len(parts.classes)])}


def _labels(g: Graph, parts: TableParts, said: Sequence[tuple[float, str]]) -> dict[str, Any]:
    platt = parts.said["calibration"]["platt"]
    inside = g.clipped(_blended(g, said), 1e-6, 1 - 1e-6)
    odds = g.node("Sub", g.node("Log", inside), g.node("Log", g.node("Sub", g.constant(1.0), inside)))
    z = g.clipped(g.moved(g.scaled(odds, platt["slopes"]), platt["shifts"]), -30.0, 30.0)
    return decided(g, g.node("Sigmoid", z), len(parts.classes), platt["least"])


def _number(g: Graph, parts: TableParts, said: Sequence[tuple[float, str]]) -> dict[str, Any]:
    centre = _blended(g, said)
    apart = [(share, g.node("Sub", name, centre)) for share, name in said]
    spread = g.node("Sqrt", _blended(g, [(share, g.node("Mul", one, one)) for share, one in apart]))
    value, hard = (g.node("Squeeze", one, g.constant([1], np.int64)) for one in (centre, spread))
    return numbered(g, value, hard, parts.said["calibration"]["reading"])


def _line(g: Graph, line: Line) -> str:
    """float64[n, 1]"""
    null, _, _ = ends(g, "cells")
    parts = [
        g.node("Gather", g.constant(worth[:, None]), coded(g, "cells", null, j, len(worth)), axis=0)
        for j, worth in line.worth.items()
    ]
    if len(line.columns):
        x, empty = (
            g.node("Gather", one, g.constant(line.columns, np.int64), axis=1) for one in ("cells", null)
        )
        z = g.node("Div", g.moved(x, -line.centre), g.constant(line.scale))
        z = g.node("Where", empty, g.constant(0.0), z)
        z = g.node("Min", g.node("Max", z, g.constant(line.low)), g.constant(line.high))
        read = g.node("Concat", z, _arcsinh(g, z), g.wide(empty), axis=1)
        parts.append(g.node("MatMul", read, g.constant(line.weights[:, None])))
    return g.moved(g.node("Sum", *parts), line.bias)


def _arcsinh(g: Graph, z: str) -> str:
    """Asinh is float32 in runtimes: log m + log(|z| / m + sqrt(z^2 + 1) / m) of |z|, m = max(|z|, 1)."""
    size = g.node("Abs", z)
    most = g.node("Max", size, g.constant(1.0))
    near, one = g.node("Div", size, most), g.node("Div", g.constant(1.0), most)
    root = g.node("Sqrt", g.node("Add", g.node("Mul", near, near), g.node("Mul", one, one)))
    log = g.node("Add", g.node("Log", most), g.node("Log", g.node("Add", near, root)))
    return g.node("Mul", g.node("Sign", z), log)
