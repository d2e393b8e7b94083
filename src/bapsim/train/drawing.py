"""What all generators share: how they are asked, what they are taught, and how they are kept in files.

A generator is a model that is asked for rows instead of answers: what is asked holds the target (what to
draw) and `_seed`; what is answered holds the task's input columns. The same seed draws the same row, whatever
is asked beside it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import Damaged, InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows
from bapsim.core.turn import named_seed
from bapsim.train.image_net import torch
from bapsim.train.labels import Labels, labels_of

SEED = "_seed"
BATCH = 64  # rows drawn at once, always: a row's last digits must not depend on what is asked beside it

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Order(NamedTuple):
    """What is to be drawn: class positions int64[n], a seed for each row."""

    y: Ints
    seeds: list[int]


def ordered(rows: Rows, target: str, classes: Sequence[str], able: Mapping[int, int], least: int) -> Order:
    """What these rows ask for; able: rows that each class was learnt from, of which `least` are needed.

    Raises InputError without target or seed and for a class that nobody has seen, NotEnough for a class of
    too few rows.
    """
    for name in (target, SEED):
        if name not in rows.schema.names:
            raise InputError("drawn_column_missing", column=name, available=", ".join(rows.schema.names))
    kind = rows.column(SEED).type
    if not pa.types.is_integer(kind) or rows.column(SEED).null_count:
        raise InputError("drawn_seed", type=str(kind))
    place = {name: i for i, name in enumerate(classes)}
    said = strings(rows.column(target))
    odd = sorted({str(one) for one in said if one not in place})
    if odd:
        raise InputError("drawn_class", label=odd[0][:80], classes=", ".join(classes))
    y = np.array([place[str(one)] for one in said], np.int64)
    for code in np.unique(y).tolist():
        if able.get(code, 0) < least:
            raise NotEnough("drawn_rows", label=classes[code], rows=able.get(code, 0), least=least)
    seeds: list[Any] = rows.column(SEED).to_pylist()
    return Order(y, seeds)


def random(seed: int, one: int) -> np.random.Generator:
    """The random numbers of one drawn row."""
    return np.random.default_rng(named_seed(seed, "drawn", one))


def taught(mixture: Mixture, least: int) -> Labels:
    """The classes to draw; RecipeError where the target is none, NotEnough where none has `least` rows."""
    if mixture.task.answer != "class":
        raise RecipeError("generators_draw_classes", answer=mixture.task.answer)
    labels = labels_of(mixture)
    most = max(heard(labels).values())
    if most < least:
        raise NotEnough("drawn_no_class", rows=most, least=least)
    return labels


def heard(labels: Labels, known: NDArray[np.bool_] | None = None) -> dict[int, int]:
    """How many rows of each class count: those of a weight, and of `known`."""
    there = labels.weight > 0
    there = there if known is None else there & known
    counts = np.bincount(labels.y[there], minlength=len(labels.classes))
    return {code: int(n) for code, n in enumerate(counts)}


def rarely(y: Ints) -> Floats:
    """float64[n], sum 1: how often each row is learnt from, by one over the root of its class's frequency."""
    counts = np.bincount(y)
    share = 1 / np.sqrt(counts[y])
    return np.asarray(share / share.sum())


def in_batches(order: Order, draw: Callable[[Ints, list[int]], NDArray[Any]]) -> NDArray[Any]:
    """What `draw` makes of classes and seeds, BATCH at a time; the last batch is filled up and cut off."""
    parts, n = [], len(order.y)
    for start in range(0, max(n, 1), BATCH):
        y, seeds = order.y[start : start + BATCH], order.seeds[start : start + BATCH]
        room = BATCH - len(y)
        parts.append(draw(np.pad(y, (0, room)), [*seeds, *[0] * room])[: len(y)])
    return np.concatenate(parts)


@contextmanager
def repeatable(seed: int) -> Iterator[Any]:
    """The package torch, in which everything random comes from the seed and one thread adds up."""
    t = torch()
    threads, deterministic = t.get_num_threads(), t.are_deterministic_algorithms_enabled()
    t.set_num_threads(1)
    t.use_deterministic_algorithms(True)
    try:
        with t.random.fork_rng(devices=[]):
            t.manual_seed(seed % 2**63)
            yield t
    finally:
        t.set_num_threads(threads)
        t.use_deterministic_algorithms(deterministic)


# --- on disk --------------------------------------------------------------------------------------


def write(folder: Path, said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """model.json (names the loader) and drawn.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "drawn.npz", **arrays)  # type: ignore[arg-type]
    (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def stored(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `write` wrote; Damaged where it cannot be read."""
    try:
        said = json.loads((folder / "model.json").read_text("utf-8"))
        with (folder / "drawn.npz").open("rb") as body, np.load(body, allow_pickle=False) as file:
            return said, {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Damaged("unreadable_model", path=str(folder)) from error


def weights(module: Any) -> dict[str, NDArray[Any]]:
    """A module of torch as arrays by name."""
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def filled(module: Any, arrays: Mapping[str, NDArray[Any]], folder: Path | None = None) -> Any:
    """The module with these weights, to be asked only; Damaged where they do not fit."""
    t = torch()
    try:
        module.load_state_dict({name: t.from_numpy(np.array(value)) for name, value in arrays.items()})
    except (RuntimeError, TypeError) as error:
        raise Damaged("unreadable_model", path=str(folder)) from error
    return module.eval()
