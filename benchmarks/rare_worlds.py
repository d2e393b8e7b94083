"""Sets with one rare class, split for a race: rows at hand, real rows held back, test rows; groups whole.

Used by rare_classes.py. Nothing here is part of the product.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import cells, strings, take
from table_defaults import ai4i, tabular

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
COMMON, TESTED = 1000, 3000  # common rows at hand and in the test, at most
AT_HAND, ORDER = 20, 100  # rare rows at hand, and rows that an order asks for, at most
TILES = ("free", "blowhole", "break", "crack", "fray", "uneven")
CROPS = ("red cell", "white cell", "platelets")


@dataclass(frozen=True, eq=False)
class Rows:
    """A whole set: inputs and `target` in one batch, group int64[n], the rare class."""

    rows: pa.RecordBatch
    group: np.ndarray
    rare: str
    kind: str


@dataclass(frozen=True, eq=False)
class World:
    """Positions of one draw: common and rare rows at hand, real rare rows held back, test rows."""

    common: np.ndarray
    rare: np.ndarray
    held: np.ndarray
    test: np.ndarray


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(pixels).save(body, "PNG")
    return body.getvalue()


def pictures(pixels: np.ndarray, labels: list[str], group: np.ndarray, rare: str) -> Rows:
    bodies = pa.array([png(one) for one in pixels], pa.binary())
    batch = pa.RecordBatch.from_pydict({"image": bodies, "target": labels})
    return Rows(batch, group.astype(np.int64), rare, "image")


def same(batch: pa.RecordBatch) -> np.ndarray:
    """int64[n]: identical inputs are one group."""
    offsets, body = cells(batch)
    known: dict[bytes, int] = {}
    bodies = [bytes(body[offsets[i] : offsets[i + 1]]) for i in range(len(batch))]
    return np.array([known.setdefault(one, len(known)) for one in bodies], np.int64)


@cache
def read(name: str) -> Rows:
    """One of SETS."""
    if name.startswith("bccd"):
        with np.load(DATA / "bccd" / "crops32.npz") as z:
            labels = [CROPS[v] for v in z["y"]]
            return pictures(z["x"], labels, z["image_id"], CROPS[1 if name.endswith("white") else 2])
    if name == "defect_tiles":
        with np.load(DATA / "defect_tiles" / "tiles96.npz") as z:
            return pictures(z["image"], [TILES[v] for v in z["y"]], z["group"], "crack")
    batch = ai4i(DATA) if name == "ai4i2020" else tabular(DATA / "tabular" / f"{name}.npz")
    return Rows(batch, same(batch.drop_columns(["target"])), "1", "table")


SETS = (
    "thyroid",
    "cardio",
    "mammography",
    "annthyroid",
    "steel_fault",
    "shuttle",
    "ai4i2020",
    "bccd_platelets",
    "bccd_white",
    "defect_tiles",
)


def draw(whole: Rows, seed: int) -> World:
    """Two fifths of the groups are the test; of the rare rows in the others at most 20, and at most a third,
    are at hand, the rest is held back.
    """
    rng = np.random.default_rng([seed, 7])
    names = rng.permutation(np.unique(whole.group))
    rare = np.array(strings(whole.rows.column("target"))) == whole.rare
    tested = np.isin(whole.group, names[: round(0.4 * len(names))])
    place = np.argsort(names)[np.searchsorted(np.sort(names), whole.group)]  # groups in their random order
    theirs = np.flatnonzero(rare & ~tested)
    theirs = theirs[np.lexsort((theirs, place[theirs]))]
    count = max(6, min(AT_HAND, len(theirs) // 3))
    cut = place[theirs] <= place[theirs[count - 1]]  # a group is at hand as a whole or not at all
    held = theirs[~cut][:ORDER]
    common = rng.permutation(np.flatnonzero(~rare & ~tested))[:COMMON]
    other = rng.permutation(np.flatnonzero(~rare & tested))[:TESTED]
    return World(np.sort(common), theirs[cut], held, np.sort(np.append(other, np.flatnonzero(rare & tested))))


def part(whole: Rows, at: np.ndarray) -> pa.RecordBatch:
    return take(whole.rows, at)
