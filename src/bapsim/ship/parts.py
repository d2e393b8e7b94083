"""What a device needs of a model, as plain arrays and values; the wheel takes them from its models."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.text.features import Spec, tf_weights
from bapsim.text.normalise import TABLE

Floats32 = NDArray[np.float32]
IDF_VALUES = 1 << 16  # distinct idf values that a section can name


CONSTANTS = (
    "slope",
    "bend",
    "shift",
    "floor",
    "low",
    "middle",
    "knee",
    "words_known",
)  # as features.c has them


def sections(parts: Sequence[NDArray[Any]]) -> bytes:
    """Arrays one after another, each behind the number of its words of 4 bytes."""
    bodies = [np.ascontiguousarray(part).tobytes() for part in parts]
    return b"".join(struct.pack("<I", len(body) // 4) + body for body in bodies)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What comes after the sums over n-grams of a student: max(0, sums) @ weights [r, k] + bias [k]."""

    weights: Floats32
    bias: Floats32


@dataclass(frozen=True, kw_only=True, eq=False)
class TextParts:
    """A model of texts.

    answer: class, labels or number; hashes: the known n-grams of both blocks, ascending (of a student none);
    idf: float32[v]; table: float32[v, r], or int8[v, r] with scale float32[r]; bias: float32[r]; buckets:
    rows of a student's table, a power of two, 0 = looked up; said: prior, calibration and what else the head
    needs, as features.md names it.
    """

    answer: str
    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: Spec
    table: NDArray[Any]
    bias: Floats32
    said: Mapping[str, Any]
    hashes: tuple[NDArray[np.uint32], NDArray[np.uint32]] = field(
        default_factory=lambda: (np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    )
    idf: Floats32 = field(default_factory=lambda: np.zeros(0, np.float32))
    scale: Floats32 | None = None
    buckets: int = 0
    then: Layer | None = None

    def features(self) -> bytes:
        """features.bin: the folding table, the specification and the vocabulary in the order of features.c.

        idf takes as many values as there are document frequencies: each n-gram names one of them in two
        bytes, and nothing is rounded.
        """
        raw = json.loads(TABLE.read_text("utf-8"))
        many = [x for m in raw["many"] for x in (m[0], len(m) - 1, *m[1:])]
        limits = [self.spec.limit, self.spec.word_limit, self.spec.tf_limit, self.buckets]
        values, names = np.unique(self.idf, return_inverse=True)
        if len(values) > IDF_VALUES:
            raise ValueError(f"{len(values)} distinct idf values")
        named = np.zeros(len(names) + len(names) % 2, "<u2")
        named[: len(names)] = names
        unsigned = [raw["blank"], raw["drop"], raw["one"], many, raw["pairs"], raw["late"], raw["word"]]
        parts: list[Any] = [np.array(x, "<u4") for x in (*unsigned, self.spec.words, self.spec.chars, limits)]
        parts += [tf_weights(self.spec.tf_limit)[1:].astype("<f4"), np.array([self.spec.word_share], "<f8")]
        parts += [*(one.astype("<u4") for one in self.hashes), values.astype("<f4"), named]
        return sections(parts)

    def head(self) -> bytes:
        """head.bin, for targets without ONNX: weights, bias, and of one class prior and constants."""
        c = self.said["calibration"]
        constants = [c[name] for name in CONSTANTS] if self.answer == "class" else []
        ends = [np.array(self.said.get("prior", []), "<f8"), np.array(constants, "<f8")]
        return sections([self.table.astype("<f4"), self.bias.astype("<f4"), *ends])

    def about(self) -> dict[str, Any]:
        """spec.json of the folder."""
        return {
            "kind": "text",
            "answer": self.answer,
            "classes": list(self.classes),
            "inputs": list(self.inputs),
            "features": self.spec.json() | {"buckets": self.buckets},
            **self.said,
        }
