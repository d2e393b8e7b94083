"""Small models of tables of each kind of answer, the files that they become, and rows to try them on."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.ship.pack import write
from bapsim.ship.tables import UNKNOWN, table_files, table_vectors
from bapsim.ship.trees import Member
from bapsim.train.table import table_boosted
from bapsim.train.trees import Size
from bapsim.wheel.portable_tables import table_parts

INPUTS = ("x", "skewed", "colour", "holes", "flag", "still")
KINDS = ("class", "two", "labels", "number")
SIZE = Size(trees=12, rounds=15)
# Cells as JSON writes them, that a file and a device must read alike or refuse alike.
CELLS = (
    *(
        '" 5 "',
        '"5\\u3000"',
        '"5\\u001c"',
        '"\\ufeff5"',
        "true",
        '"TRUE"',
        "false",
        "0",
        "1",
        "1.0",
        "-0",
        "-0.0",
    ),
    *("1e400", '"-1e400"', '"inf"', '"Infinity"', '"nan"', '"-nan"', "1" * 5000, "9007199254740993", "2.50"),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "0.1",
        "1e-7",
        "1E5",
        '"1_0"',
        '"0x10"',
        '"५"',
        '""',
        "null",
    ),
)


def rows(count: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "blue", "초록", "grey", "black"], count).astype(object)
    colour[rng.random(count) < 0.1] = None
    holes = [None if rng.random() < 0.2 else float(v) for v in rng.integers(0, 5, count)]
    said = {"x": 100 * rng.normal(size=count), "skewed": rng.exponential(size=count) ** 4}
    said |= {"colour": pa.array(colour.tolist(), pa.string()), "holes": pa.array(holes, pa.float64())}
    return pa.RecordBatch.from_pydict(said | {"flag": rng.random(count) < 0.5, "still": np.ones(count)})


def target(given: pa.RecordBatch, kind: str) -> list[str]:
    x, skewed, colour, holes = (given.column(name).to_pylist() for name in INPUTS[:4])
    worth = [
        a / 100 + np.log1p(b) + (c in ("red", "초록")) - 0.4 * (d is None)
        for a, b, c, d in zip(x, skewed, colour, holes, strict=True)
    ]
    if kind == "number":
        return [f"{v:.4f}" for v in worth]
    if kind == "labels":
        return [
            "; ".join(["hot"] * int(v > 1) + ["dry"] * (c == "grey")) or "[]"
            for v, c in zip(worth, colour, strict=True)
        ]
    return [("low", "middle" if kind == "class" else "low", "high")[int(np.clip(v, 0, 2))] for v in worth]


@cache
def made(kind: str) -> Any:
    given = rows(260, 0)
    answer: Any = "class" if kind == "two" else kind
    task = Task(input=INPUTS, target="said", kind="table", answer=answer)
    records = Records(given.append_column("said", pa.array(target(given, kind))))
    return table_boosted(trees=SIZE.trees, rounds=SIZE.rounds)(None, Mixture(task=task, records=records), 0)


def odd(model: Any, count: int = 600) -> Rows:
    """New rows, half of whose cells are null, infinite, huge, never seen, or at or beside a split."""
    rng, given = np.random.default_rng(1), rows(count, 2)
    votes = [vote for _, vote in table_parts(model).votes if isinstance(vote, Member)]
    splits = np.concatenate([[0.0], *(vote.trees.split.astype(np.float64) for vote in votes)])
    near = [np.nextafter(splits, side) for side in (-np.inf, np.inf)]
    far = [np.nan, np.inf, -np.inf, 1e308, -1e308, 3e38, 5e-324, -0.0, *splits.astype(np.float32)]
    pool = np.concatenate([splits, *near, far])
    columns: dict[str, Any] = {}
    for name in INPUTS:
        cells = given.column(name).to_pylist()
        for i in np.flatnonzero(rng.random(count) < 0.5):
            said: Any = [None, float(rng.choice(pool))][int(rng.random() < 0.8)]
            if name == "colour":
                said = [None, UNKNOWN, "Red", "초록"][i % 4]
            cells[i] = said if name != "flag" else [None, True, False][i % 3]
        columns[name] = pa.array(cells, given.schema.field(name).type)
    return Rows(pa.RecordBatch.from_pydict(columns))


def spelled(cells: Sequence[str] = CELLS) -> list[str]:
    """Rows as lines of JSON, one odd cell in each."""
    usual = {"x": 1.5, "skewed": 2, "colour": "red", "holes": 3, "flag": True, "still": 1}
    pairs = [(name, cell) for name in ("x", "colour", "flag") for cell in cells] + [
        ("x", "[1]"),
        ("flag", "{}"),
    ]
    return [json.dumps({**usual, name: "here"}).replace('"here"', cell) for name, cell in pairs]


def put(model: Any, folder: Path) -> Path:
    write(folder, table_files(table_parts(model)), table_vectors)
    return folder
