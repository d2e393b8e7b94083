"""A model that answers questions on passages by copying the sentence that is asked for, or invents one.

A test copies this file beside its recipe: a model's loader has to lie there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Draft, Origin, Rows
from bapsim.core.turn import Turn

ORIGIN = Origin(source="q", input_maker="person", target_maker="person", method="file", rights="own")
TOWNS = ("Daejeon", "Jeonju", "Suwon", "Mokpo", "Andong", "Sokcho")


def passage(i: int) -> list[str]:
    town = TOWNS[i % 6]
    return [
        f"The {town} plant number {i} opened in {1950 + i % 60}.",
        f"It makes {i + 3} kinds of valves.",
        f"Its night shift has {2 * i + 7} workers.",
    ]


@dataclass(frozen=True)
class Questions:
    """Three questions on each passage, whose answers are its sentences."""

    count: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            asked = [(i, k) for i in range(self.count) for k in range(3)]
            columns = {
                "passage": [" ".join(passage(i)) for i, _ in asked],
                "question": [f"what does sentence {k + 1} of passage {i} say" for i, k in asked],
                "answer": [passage(i)[k] for i, k in asked],
            }
            yield Draft(rows=Rows(pa.record_batch(columns)), origin=ORIGIN)


@dataclass(frozen=True)
class Reader:
    """Answers by the sentence that is asked for where it `knows` that many, else says nothing, or invents."""

    knows: int
    invents: bool
    classes: ClassVar[tuple[str, ...]] = ()

    def __call__(self, rows: Rows) -> Answers:
        said = []
        columns = (rows.column(name).to_pylist() for name in ("passage", "question"))
        for text, asked in zip(*columns, strict=True):
            k = int(asked.split()[3]) - 1
            sentences = [one.rstrip(".") + "." for one in text.split(". ")]
            invented = f"The director earns {k + 9000} won." if self.invents else ""
            said.append(sentences[k] if k < self.knows else invented)
        return Answers(pa.record_batch({"prediction": pa.array(said, pa.string())}))

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text(json.dumps({"loader": "reader:load", **vars(self)}))


def load(folder: Path) -> Reader:
    """The loader that model.json names."""
    said = json.loads((folder / "model.json").read_text())
    return Reader(said["knows"], said["invents"])


@dataclass(frozen=True)
class Teaches:
    """A trainer whose models read so many sentences."""

    knows: int
    invents: bool = False

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Any:
        return Reader(self.knows, self.invents)
