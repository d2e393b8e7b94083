"""What any classifier is taught of labels: class names, their positions, weights; or why it cannot be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, NotEnough
from bapsim.core.recipe import Mixture


class Labels(NamedTuple):
    """Class names in order, class positions int64[n], weights float64[n] (0 = not heard)."""

    classes: tuple[str, ...]
    y: NDArray[np.int64]
    weight: NDArray[np.float64]


def labels_of(mixture: Mixture) -> Labels:
    """The labels of a mixture; NotEnough below two classes that are heard, InputError for rows without a
    target or a weight that is no weight.
    """
    said = strings(mixture.records.column(mixture.task.target))
    bare = sum(label is None for label in said)
    if bare:
        raise InputError("mixture_no_target", rows=bare, target=mixture.task.target)
    weight = np.ones(len(said)) if mixture.weight is None else mixture.weight.astype(np.float64)
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise InputError("mixture_weight")
    names, y = np.unique(np.array([str(label) for label in said], object), return_inverse=True)
    heard = np.unique(y[weight > 0])
    if len(heard) < 2:
        raise NotEnough("mixture_one_class", rows=len(said), classes=", ".join(names[heard]) or "-")
    return Labels(tuple(names.tolist()), y.astype(np.int64), weight)
