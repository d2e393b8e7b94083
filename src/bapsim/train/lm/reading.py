"""What a language model reads of rows: what stands before, and what is to be foreseen.

Of documents nothing stands before; of replies their inputs; of classes the class stands before the text, so
that the model draws texts of a class, and tells classes apart by how well each foresees a text.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import digest
from bapsim.core.records import Rows, Task
from bapsim.text.minhash import near
from bapsim.text.targets import written
from bapsim.train.lm.bpe import Bpe, Ids

BETWEEN = "\n"
ALIKE = 0.8  # Jaccard similarity of shingles from which on a text of the pool is a copy
LEAST = 20  # letters of a text that is looked for within a long one


def column(rows: Rows, name: str) -> list[str]:
    """One column as texts; what is missing is empty."""
    if name not in rows.schema.names:
        raise InputError("text_column_missing", columns=name, available=", ".join(rows.schema.names))
    said = rows.column(name)
    nested = written(said, "text") if str(said.type).startswith(("list", "struct", "null")) else strings(said)
    return [one or "" for one in nested]


def before(rows: Rows, task: Task) -> list[str]:
    """What stands before each text, with a line break behind each column."""
    if task.answer == "class":
        names: Sequence[str] = (task.target,)
    else:
        names = [name for name in task.inputs if name != task.target]
    columns = [column(rows, name) for name in names]
    if not columns:
        return [""] * len(rows)
    return ["".join(f"{cell}{BETWEEN}" for cell in cells) for cells in zip(*columns, strict=True)]


def foreseen(task: Task) -> str:
    """The column that is foreseen and written; RecipeError for a task that has none."""
    if task.answer == "text":
        return task.target
    if task.answer != "class" or len(task.inputs) != 1 or task.kind != "text":
        raise RecipeError("lm_task", answer=task.answer, inputs=", ".join(task.inputs))
    return task.inputs[0]


def read(rows: Rows, task: Task, bpe: Bpe) -> tuple[list[Ids], list[int]]:
    """Tokens of each row, int32, and how many of them stand before what is foreseen."""
    first, said = bpe.encode(before(rows, task)), bpe.encode(column(rows, foreseen(task)))
    return [np.concatenate(pair) for pair in zip(first, said, strict=True)], [len(one) for one in first]


def seeds_of(rows: Rows, first: int) -> list[int]:
    """By which random numbers each row is drawn: its `_seed` (whole, however large), else by its position."""
    if "_seed" not in rows.schema.names:
        return [first + i for i in range(len(rows))]
    return [abs(int(one or 0)) for one in rows.column("_seed").to_pylist()]


def warmth_of(rows: Rows, usual: float) -> list[float]:
    """The temperature at which each row is drawn: its `_temperature`, else the usual one."""
    if "_temperature" not in rows.schema.names:
        return [usual] * len(rows)
    return [usual if one is None else float(one) for one in rows.column("_temperature").to_pylist()]


def pool_digest(path: Path) -> str:
    """By what a pool is known: its content; InputError without a file."""
    if not path.is_file():
        raise InputError("pool_unreadable", path=str(path), why="there is no such file")
    return digest(path.read_bytes())


def pooled(path: Path, name: str) -> Iterator[str]:
    """Texts of a file without labels: one a line of .jsonl (its column `name`), or a whole .txt; .gz too."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as file
        ):
            if ".jsonl" not in path.suffixes:
                yield file.read()
                return
            for number, line in enumerate(file, 1):
                said = json.loads(line) if line.strip() else {}
                if not isinstance(said, dict) or not isinstance(said.get(name) or "", str):
                    raise InputError("pool_line", path=path.name, line=number, column=name)
                if said.get(name):
                    yield said[name]
    except (OSError, UnicodeDecodeError, ValueError, EOFError) as error:
        raise InputError("pool_unreadable", path=path.name, why=str(error)[:80]) from error


def copies(path: Path, name: str, texts: Sequence[str]) -> frozenset[int]:
    """The places of texts in a pool that equal, or nearly equal, one of these.

    InputError where a pool that is one long text holds any of them: nothing can be left out of it.
    """
    pool = list(pooled(path, name))
    if ".jsonl" not in path.suffixes:
        plain = " ".join(pool[0].split())
        held = [one for one in texts if len(one) >= LEAST and " ".join(one.split()) in plain]
        if held:
            raise InputError("pool_holds_exam", path=path.name, texts=len(held))
        return frozenset()
    return frozenset(np.flatnonzero(near(texts, pool, ALIKE) >= 0).tolist())


def without(path: Path, name: str, left_out: frozenset[int]) -> list[str]:
    """The texts of a pool but those in these places."""
    return [text for i, text in enumerate(pooled(path, name)) if i not in left_out]
