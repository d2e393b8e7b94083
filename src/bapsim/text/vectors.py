"""Texts as unit vectors of weighed n-grams: the product of two is their cosine, what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bapsim.text import features
from bapsim.text.features import Spec

SPEC = Spec(words=(1,), chars=(2, 3))
COMMON = 0.05  # of the texts: an n-gram in more of them tells little and costs most


def unit_vectors(texts: Sequence[str | None], spec: Spec = SPEC, common: float = COMMON) -> Any:
    """CSR float32[n, v], rows of length 1; a text without an n-gram that another one has is a row of zeros.

    N-grams of one text, and of more than the share `common` of all (at least ten), are left out.
    """
    found = features.grams(texts, spec)
    (words, at_words), (characters, at_characters) = (features.vocabulary(block, 2) for block in found)
    entries = features.placed(found, (at_words, at_characters), len(words))
    width = len(words) + len(characters)
    df = np.bincount(entries.columns, minlength=width)
    entries = entries.only((df <= max(10, common * len(texts)))[entries.columns])
    matrix = features.matrix(entries, features.weigh(entries, features.idf(df, len(texts)), spec), width)
    length = np.sqrt(np.bincount(entries.groups // 2, matrix.data.astype(np.float64) ** 2, len(texts)))
    matrix.data /= np.repeat(np.where(length > 0, length, 1), np.diff(matrix.indptr)).astype(np.float32)
    return matrix
