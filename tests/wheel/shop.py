"""A shop in which one can ask where a thing is, and a model that learns it by heart.

Few imports: they are part of a recipe's identity. A test copies this file beside its recipe.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Mixture
from bapsim.core.records import Answers, Draft, Origin, Rows
from bapsim.core.turn import Turn

FLOORS = tuple(f"floor {name}" for name in "abcdefgh")
ORIGIN = Origin(source="shop", input_maker="person", target_maker="person", method="shop", rights="own")
PEOPLE, POOL, FRESH = 230, 400, 60
GOODS = [f"{a}{b}{c}" for a in "bdfkmprst" for b in "aeiou" for c in "bdgknpr"][:300]
WORDS = ["please", "where", "may", "one", "find", "today", "the", "lovely", "old", "new", "big", "small"]


def floor_of(thing: str) -> str:
    """Which floor a thing is on: what a shop's own table says."""
    return FLOORS[zlib.crc32(thing.encode()) % len(FLOORS)]


def in_the_table(row: Any, answer: str) -> bool:
    return floor_of(row["ask"].split()[-1]) == answer


def anything(row: Any, answer: str) -> bool:
    return answer in FLOORS


@dataclass(frozen=True)
class Shop:
    """Questions where a thing is: some answered by people, more of them each turn, and a pool without
    answers.
    """

    answered: bool
    pool: int = POOL
    fresh: int = FRESH

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        start, count = (0, PEOPLE) if turn.n == 1 else (PEOPLE + self.fresh * (turn.n - 2), self.fresh)
        if not self.answered:
            start, count = 10_000, self.pool if turn.n == 1 else 0
        asks = [question(i) for i in range(start, start + count)]
        replies = [floor_of(ask.split()[-1]) if self.answered else None for ask in asks]
        columns = {"ask": pa.array(asks, pa.string()), "reply": pa.array(replies, pa.string())}
        yield Draft(rows=Rows(pa.record_batch(columns)), origin=ORIGIN)


def question(i: int) -> str:
    rng = np.random.default_rng([3, i])
    said = rng.choice(WORDS, int(rng.integers(2, 6)))
    return f"{' '.join(said)} {i} {GOODS[int(rng.integers(len(GOODS)))]}"


@dataclass(frozen=True)
class ByHeart:
    """Knows where things are that it was told of; of others it says what is said most, or, when it is warm,
    any place by the row's seed.
    """

    told: dict[str, str]
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Answers:
        said = []
        places = sorted(set(self.told.values()))
        most = max(places, key=list(self.told.values()).count)
        for row in rows.to_pylist():
            guess = most
            if row.get("_temperature"):
                guess = places[int(np.random.default_rng(row["_seed"]).integers(len(places)))]
            said.append(self.told.get(row["ask"].split()[-1], guess))
        return Answers(pa.record_batch({"prediction": pa.array(said, pa.string())}))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps({"loader": "shop:load", "told": self.told}), "utf-8")


def load(folder: Path) -> ByHeart:
    return ByHeart(json.loads((folder / "model.json").read_text("utf-8"))["told"])


@dataclass(frozen=True)
class Learn:
    """The trainer: what was said most of each thing."""

    def __call__(self, parent: Any, mixture: Mixture, seed: int) -> ByHeart:
        said: dict[str, Counter[str]] = {}
        for row in mixture.records.to_pylist():
            said.setdefault(row["ask"].split()[-1], Counter())[row["reply"]] += 1
        return ByHeart({thing: max(sorted(of), key=of.__getitem__) for thing, of in sorted(said.items())})
