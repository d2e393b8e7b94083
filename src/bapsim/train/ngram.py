"""A byte n-gram language model as a trainer: the bar for larger ones, learnt without torch in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.text.byte_ngram import ByteModel, Counts, drawn, learn, nats
from bapsim.text.targets import written

LOADER = "bapsim.train.ngram:load"
BETWEEN = "\n"  # an input and what is written to it


@dataclass(frozen=True, kw_only=True, eq=False)
class NgramModel:
    """A respondent that writes the target column; its inputs come before it."""

    inputs: tuple[str, ...]
    target: str
    counts: ByteModel
    longest: int  # bytes that are written at most
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        """`prediction`: a text for each row, drawn; by the column `_seed`, if there is one."""
        seeds = rows.column("_seed").to_pylist() if "_seed" in rows.schema.names else None
        prompts = _before(rows, [name for name in self.inputs if name != self.target])
        if seeds is None:
            said = drawn(self.counts, prompts, self.longest, np.random.default_rng(0))
        else:
            rngs = (np.random.default_rng(abs(int(one or 0))) for one in seeds)
            pairs = zip(prompts, rngs, strict=True)
            said = [drawn(self.counts, [p], self.longest, rng)[0] for p, rng in pairs]
        return Answers(pa.record_batch([pa.array(said, pa.string())], names=["prediction"]))

    def losses(self, rows: Rows, /) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What each target costs in nats, float64[n]; its bytes, int64[n]; one that is missing is empty."""
        prompts = _before(rows, [name for name in self.inputs if name != self.target])
        targets = [one or "" for one in written(rows.column(self.target), "text")]
        return nats(self.counts, targets, prompts)

    def save(self, folder: Path) -> None:
        """counts.npz and model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{n}_{name}": value
            for n, one in enumerate(self.counts.orders)
            for name, value in vars(one).items()
        }
        np.savez_compressed(folder / "counts.npz", **arrays)
        said = {"loader": LOADER, "inputs": self.inputs, "target": self.target, "longest": self.longest}
        said |= {"orders": len(self.counts.orders)}
        (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def _before(rows: Rows, names: Sequence[str]) -> list[str]:
    """What stands before each target: its inputs, a line each."""
    columns = [[one or "" for one in strings(rows.column(name))] for name in names]
    return ["".join(f"{cell}{BETWEEN}" for cell in cells) for cells in zip(*columns, strict=True)] or [
        ""
    ] * len(rows)


def load(folder: Path) -> NgramModel:
    """The model in a folder."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    with np.load(folder / "counts.npz", allow_pickle=False) as file:
        names = ("contexts", "total", "kinds", "pairs", "count")
        orders = [Counts(**{name: file[f"{n}_{name}"] for name in names}) for n in range(int(said["orders"]))]
    return NgramModel(
        inputs=tuple(said["inputs"]),
        target=said["target"],
        counts=ByteModel(orders=tuple(orders)),
        longest=int(said["longest"]),
    )


@dataclass(frozen=True, kw_only=True)
class TextNgram:
    """A trainer: contexts of up to `order` bytes."""

    order: int = 4
    longest: int = 2_000

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> NgramModel:
        task = mixture.task
        rows = Rows(mixture.records)
        targets = written(rows.column(task.target), "text")
        inputs = [name for name in task.inputs if name != task.target]
        texts = [a + b for a, b in zip(_before(rows, inputs), (t or "" for t in targets), strict=True)]
        if not any(texts):
            raise NotEnough("nothing_to_train", records=len(mixture))
        counts = learn(texts, self.order)
        return NgramModel(inputs=task.inputs, target=task.target, counts=counts, longest=self.longest)


def text_ngram(order: int = 4, *, longest: int = 2_000) -> TextNgram:
    """A byte n-gram model of texts: contexts of up to `order` bytes, 0 to 6; it writes `longest` at most."""
    return TextNgram(order=order, longest=longest)
