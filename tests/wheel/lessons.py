"""A classroom of the small bank, made in a second: sentences with out-of-fold answers, and a pool."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.exam import Frame, folds
from bapsim.core.arrow import numbers
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.judge.exam import heard
from bapsim.text.minhash import clusters
from bapsim.train.text import TextModel, text_linear
from bapsim.wheel.lesson import Classroom, Material, classroom
from tests.wheel.world import sentence

TASK = Task(input="text", target="intent")


def ids(texts: Sequence[str], salt: str) -> np.ndarray:
    digests = (
        hashlib.blake2b(f"{salt}{i}{t}".encode(), digest_size=16).digest() for i, t in enumerate(texts)
    )
    return np.array(list(digests), "V16")


def material(
    rows: Sequence[tuple[str, str]], pool: Sequence[str], cost: float = 1.0, **changes: Any
) -> Material:
    """Labelled texts and a pool, answered out of fold by a text model of their own."""
    texts, labels = [t for t, _ in rows], [label for _, label in rows]
    groups = np.asarray(clusters(texts, 0.8), np.int64)
    _, y = np.unique(np.array(labels, object), return_inverse=True)
    frame = Frame(labels=y.astype(np.int64), clusters=groups, roots=np.arange(len(rows)))
    split = folds(frame, 4, np.random.default_rng(0))
    records = Records(pa.record_batch({"text": texts, "intent": labels}))
    fitted = text_linear(cost=cost).crossfit(None, Mixture(task=TASK, records=records), split, 0)
    model = fitted.model
    assert isinstance(model, TextModel)

    def read(asked: Rows) -> tuple[np.ndarray, np.ndarray]:
        said = model(asked)
        told = heard(said, model.classes, "class")
        assert told.probs is not None
        return told.probs, numbers(said.column("in_scope"))

    probs, scope = read(Rows(pa.record_batch({"text": pa.array(list(pool), pa.string())})))
    told = heard(fitted.answers, model.classes, "class").probs
    assert told is not None
    made = {
        "turn": 1,
        "version": "t001-people",
        "inputs": ("text",),
        "classes": model.classes,
        "ids": ids(texts, "row"),
        "texts": texts,
        "y": y.astype(np.int64),
        "probs": told,
        "weight": np.ones(len(rows), np.float32),
        "folds": split,
        "groups": groups,
        "proof": np.ones(len(rows), bool),
        "random": np.ones(len(rows), bool),
        "pool_ids": ids(pool, "pool"),
        "pool_texts": list(pool),
        "pool_probs": probs,
        "pool_scope": scope,
        "pool_folds": np.full(len(pool), -1, np.int8),
        "read": read,
        "spec": model.spec,
        "constants": model.calibration,
    }
    return Material(**(made | changes))


def bank_room(rows: int = 320, pool: int = 120, **changes: Any) -> Classroom:
    said = [sentence(i) for i in range(rows + pool)]
    return classroom(material(said[:rows], [text for text, _ in said[rows:]], **changes))
