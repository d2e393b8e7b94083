"""Small real models for the gate's benchmarks: SVD-300 of TF-IDF and ridge, calibrated out of fold.

Many fits in seconds; their answers are cached in memory only. Data: BAPSIM_DATA.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FLOOR = 1e-4
DIMENSIONS = 300
# words for English, characters within words for Korean, as in the product's text trainer
SETS = {
    "banking77": ("banking77/train.jsonl.gz", "intent", {"ngram_range": (1, 2)}, 10_003),
    "clinc150": ("clinc150/train.jsonl.gz", "intent", {"ngram_range": (1, 2)}, 15_000),
    "nsmc_ko": ("nsmc_ko/train.jsonl.gz", "label", {"analyzer": "char_wb", "ngram_range": (2, 3)}, 20_000),
    "3i4k": (
        "intent_3i4k_ko/train.jsonl.gz",
        "label",
        {"analyzer": "char_wb", "ngram_range": (2, 3)},
        20_000,
    ),
}


def data() -> Path:
    return Path(os.environ["BAPSIM_DATA"])


@dataclass(frozen=True)
class Vectors:
    """z float64[n, 300] and the class numbers y int64[n]."""

    z: np.ndarray
    y: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


@cache
def vectors(name: str) -> Vectors:
    """One data set as dense vectors, rows in a fixed random order."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    path, target, options, limit = SETS[name]
    with gzip.open(data() / path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [r for r in rows if r[target] not in (None, "oos")]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:limit]]
    y = np.unique([str(r[target]) for r in rows], return_inverse=True)[1]
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2, **options).fit_transform(r["text"] for r in rows)
    z = normalize(TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(tfidf))
    return Vectors(np.asarray(z, np.float64), y.astype(np.int64))


def softmax(scores: np.ndarray, sharpness: float) -> np.ndarray:
    """Probabilities float64[n, k] of scores times one sharpness (the inverse temperature)."""
    scaled = scores * sharpness
    grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def sharpness(scores: np.ndarray, gold: np.ndarray) -> float:
    """The inverse temperature with the least log-loss (Guo et al. 2017), within 1e-3 to 1e3 of the scores'
    scale.

    scores float64[n, k]; gold int64[n], -1 = a class that the model does not know (left out). The loss is
    convex in the inverse temperature: Newton inside a bracket, deterministic. 1.0 where nothing can be
    fitted.
    """
    known = gold >= 0
    kept, truth = scores[known], gold[known]
    spread = float(kept.std()) if kept.size else 0.0
    if spread == 0.0:
        return 1.0
    kept = (kept - kept.max(axis=1, keepdims=True)) / spread
    right = kept[np.arange(len(kept)), truth]
    low, high, beta = 1e-3, 1e3, 1.0
    for _ in range(100):
        probable = softmax(kept, beta)
        mean = (probable * kept).sum(axis=1)
        slope = float((mean - right).mean())
        bend = float(((probable * kept**2).sum(axis=1) - mean**2).mean())
        low, high = (low, beta) if slope > 0 else (beta, high)
        step = beta - slope / bend if bend > 0 else low
        if abs(step - beta) <= 1e-10 * beta:
            break
        beta = step if low < step < high else math.sqrt(low * high)
    return beta / spread


def fit(z: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Ridge to one-hot targets: float64[300, classes]."""
    return np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T @ (np.eye(classes)[y] - 1 / classes))


def folds_of(count: int, rng: np.random.Generator, k: int = 5) -> np.ndarray:
    return rng.permutation(np.arange(count) % k)


def out_of_fold(z: np.ndarray, y: np.ndarray, classes: int, folds: np.ndarray) -> np.ndarray:
    """Raw scores of every row from the model that did not see its fold: float64[n, classes]."""
    scores = np.empty((len(y), classes))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        scores[held] = z[held] @ fit(z[~held], y[~held], classes)
    return scores


@dataclass(frozen=True)
class Fitted:
    """A calibrated model: weights, sharpness and its own out-of-fold probabilities."""

    weights: np.ndarray
    sharp: float
    oof: np.ndarray

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return softmax(z @ self.weights, self.sharp)


def train(z: np.ndarray, y: np.ndarray, classes: int, folds: np.ndarray) -> Fitted:
    raw = out_of_fold(z, y, classes, folds)
    sharp = sharpness(raw, y)
    return Fitted(fit(z, y, classes), sharp, softmax(raw, sharp))


def losses(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(probabilities[np.arange(len(gold)), gold], FLOOR))


@dataclass(frozen=True)
class Answered:
    """Answers of several models to the same items: predictions int64[m, n], losses float64[m, n], gold
    int64[n].
    """

    prediction: np.ndarray
    loss: np.ndarray
    gold: np.ndarray

    @property
    def discordance(self) -> float:
        """The mean share of items on which exactly one of two models is right."""
        right = self.prediction == self.gold
        pairs = [(i, j) for i in range(len(right)) for j in range(i)]
        return float(np.mean([np.mean(right[i] != right[j]) for i, j in pairs]))


@cache
def answered(name: str, rows: int, models: int = 6) -> Answered:
    """`models` models, each trained on its own random `rows` of one half, answer the other half."""
    v = vectors(name)
    half, rng = len(v.y) // 2, np.random.default_rng(rows)
    prediction, loss = [], []
    for _ in range(models):
        mine = rng.choice(half, rows, replace=False)
        said = train(v.z[mine], v.y[mine], v.classes, folds_of(rows, rng))(v.z[half:])
        prediction.append(said.argmax(axis=1))
        loss.append(losses(said, v.y[half:]))
    return Answered(np.array(prediction), np.array(loss), v.y[half:])
