"""Small models of each kind of answer, made once, and the files that they become."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Records, Rows, Task
from bapsim.ship.pack import ODD, Target, text_files, write
from bapsim.ship.parts import TextParts
from bapsim.train.student import distilled
from bapsim.train.text import text_linear
from bapsim.wheel.making import small
from bapsim.wheel.portable import text_parts

STRINGS = [text * min(times, 3000) for text, times in ODD]
WORDS = [
    "카드",
    "card",
    "대출",
    "loan",
    "송금",
    "lost",
    "이자",
    "rate",
    "ㅠㅠ",
    "please",
    "문의",
    "👍🏽",
    "Straße",
]


@dataclass(frozen=True)
class Made:
    """A model, its task, and texts that it was trained on."""

    model: Model
    task: Task
    texts: tuple[str, ...]

    @property
    def parts(self) -> TextParts:
        return text_parts(self.model)


def taught(answer: Any, rows: int = 120) -> tuple[Mixture, tuple[str, ...]]:
    rng = np.random.default_rng(3)
    at = rng.integers(len(WORDS), size=(rows, 4))
    texts = [" ".join(WORDS[j] for j in row) for row in at]
    if answer == "class":
        said: list[Any] = [str(row[0] % 3) for row in at]
    elif answer == "labels":
        said = ["; ".join(sorted({f"l{j % 4}" for j in row[:2]})) for row in at]
    else:
        said = [float(row[0] + 0.1 * row[1]) for row in at]
    task = Task(input="text", target="said", answer=answer)
    return Mixture(
        task=task, records=Records(pa.RecordBatch.from_pydict({"text": texts, "said": said}))
    ), tuple(texts)


@cache
def made(answer: str, student: bool = False) -> Made:
    mixture, texts = taught(answer)
    if not student:
        return Made(text_linear()(None, mixture, 0), mixture.task, texts)
    with pytest.MonkeyPatch.context() as shorter:
        shorter.setattr("bapsim.train.student.FEWEST", 40)  # steps: what it answers matters, not how well
        return Made(distilled()(made(answer).model, mixture, 0), mixture.task, texts)


def put(parts: TextParts, target: Target, folder: Path) -> Path:
    write(folder, text_files(parts, target))
    return folder


def reduced(one: Made) -> TextParts:
    return small(one.parts, one.texts)


def rows(texts: list[str]) -> Rows:
    whole = [t.encode("utf-8", "replace").decode() for t in texts]
    return Rows(pa.RecordBatch.from_pydict({"text": pa.array(whole, pa.string())}))
