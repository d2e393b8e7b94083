"""Strata of the exam and of folds: a class, the rarest label of a set, a tenth of the numbers.

Texts that are to be written are one stratum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bapsim.core.records import Answer
from bapsim.text.minhash import Ints
from bapsim.text.targets import label_set, numbers_of

PARTS = 10  # of the numbers, as many rows in each as ties allow


def strata(said: Sequence[str], answer: Answer) -> Ints:
    """int64[n]: codes of written targets; they do not depend on the order of the rows.

    A row of several labels goes with the rarest of them, which a random draw would miss first (the idea of
    iterative stratification, Sechidis et al. 2011, in one pass); rows without a label are a stratum.
    """
    if answer == "text":
        return np.zeros(len(said), np.int64)
    if answer == "number":
        value = numbers_of(said)
        known = value[np.isfinite(value)]
        cuts = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS)) if len(known) else known
        return np.searchsorted(cuts, value, side="right").astype(np.int64)
    names = list(said) if answer == "class" else _rarest(said)
    return np.unique(np.array(names, str), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _rarest(said: Sequence[str]) -> list[str]:
    sets = [label_set(one) for one in said]
    count = Counter(label for one in sets for label in one)
    return [min(one, key=lambda label: (count[label], label), default="") for one in sets]
