"""Requests that look like a class of their own: proposed with examples and a name, for a person to say.

Rows of which a model is unsure are clustered by what they say (average linkage of cosines); a cluster that is
doubtful as a whole, large, and far from what is known already, is worth a few questions. A class is only made
by a person's answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.text.features import Spec
from bapsim.text.normalise import fold
from bapsim.text.vectors import unit_vectors
from bapsim.text.words import strings, words

DOUBT = 0.2  # chance of a wrong or foreign answer from which on a row may belong to something new
CUT = 0.65  # distance (1 - cosine, on average) up to which rows are one cluster
SPEC = Spec(words=(1, 2), chars=(2, 3, 4))
FEWEST = 3  # rows of a cluster
MOST = 3000  # rows that are clustered: the most doubtful, for the cost grows with their square


class Proposal(NamedTuple):
    """A likely class: rows int64[m] of the pool, the most typical first; a name from their words; how
    doubtful they are on average.
    """

    rows: NDArray[np.int64]
    name: str
    doubt: float


def proposals(
    texts: Sequence[str], doubt: NDArray[np.float64], known: Sequence[str], count: int
) -> list[Proposal]:
    """At most `count` clusters of the pool, the most promising first.

    texts: the pool; doubt: float[n], chance that the model's answer is wrong or that no class fits; known:
    texts that people labelled, or could not, already.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    at = np.flatnonzero(doubt > DOUBT)
    at = np.sort(at[np.argsort(-doubt[at], kind="stable")[:MOST]])
    if len(at) < FEWEST or not count:
        return []
    vectors = unit_vectors([*(texts[i] for i in at.tolist()), *known], SPEC, 1.0)
    mine, others = vectors[: len(at)], vectors[len(at) :]
    like = (mine @ mine.T).toarray().astype(np.float64)
    apart = np.clip(1 - like, 0, None)
    np.fill_diagonal(apart, 0)
    of = fcluster(linkage(squareform(apart, checks=False), "average"), CUT, "distance")
    near = np.asarray((mine @ others.T).max(axis=1).todense()).ravel() if len(known) else np.zeros(len(at))
    names = _names([texts[i] for i in at.tolist()], of)
    found = []
    for c in np.unique(of).tolist():
        k = np.flatnonzero(of == c)
        if len(k) < FEWEST or c not in names:  # "..." three times is a cluster, and no class
            continue
        typical = k[np.argsort(-like[np.ix_(k, k)].mean(axis=1), kind="stable")]
        worth = len(k) ** 0.5 * doubt[at[k]].mean() * (1 - near[k].mean())
        found.append((worth, Proposal(at[typical], names[c], float(doubt[at[k]].mean()))))
    found.sort(key=lambda one: (-one[0], one[1].rows[0]))
    return [one for _, one in found[:count]]


def _names(texts: list[str], of: NDArray[np.int32]) -> dict[int, str]:
    """For each cluster the two words that most of its texts, and few others, have; in their usual order.

    "?" where its texts share none; a cluster of texts without any word has no name.
    """
    codes = fold(texts)
    there = words(codes)
    said = list(dict.fromkeys(zip(there.texts.tolist(), strings(codes, there), strict=True)))
    everywhere = Counter(word for _, word in said)
    inside: dict[int, Counter[str]] = {}
    order: dict[int, dict[str, int]] = {}
    for text, word in said:
        c = int(of[text])
        inside.setdefault(c, Counter())[word] += 1
        order.setdefault(c, {}).setdefault(word, len(order[c]))
    found = {}
    for c, counts in inside.items():
        size = int((of == c).sum())
        worth = {w: n / size * np.log(len(texts) / everywhere[w]) for w, n in counts.items() if n > 1}
        best = sorted(worth, key=lambda w: (-worth[w], w))[:2]
        found[c] = "_".join(sorted(best, key=lambda w: order[c][w])) or "?"
    return found
