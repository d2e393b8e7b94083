"""Texts under linear heads: n-grams as matrices, weights learnt fold by fold, scores of new texts.

What models of classes (text.py), sets (text_labels.py) and numbers (text_number.py) share. Features are those
of docs/features.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import Damaged, InputError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows
from bapsim.text import features
from bapsim.text.features import Entries, Hashes, Spec

# Of one unit of loss, against half the squared length of the weights.
COSTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIRST = 2  # where the search of costs begins
SAMPLE = 20_000, 600_000  # rows, and rows * classes, that are enough to choose a cost
WORDS_KNOWN = 0.5  # what the share of known words adds to the in-scope score, in units of a class's score
LARGE = 50_000  # rows from which an n-gram needs two texts: a quarter of the size for .1 point (nsmc_ko)
BATCH = 8192  # rows that are answered at once: bounds memory
# Made-up texts that every copy of a model must answer alike: no training text leaves with a model.
VECTORS = (
    "",
    " ",
    "Where is my card?",
    "카드가 아직 안 왔어요 ㅠㅠ",
    "ＦＵＬＬ　ｗｉｄｔｈ １２３",
    "e\u0301te\u0301 한글 I\u0307stanbul",
    "👍🏽 ok\r\n2nd line\tno no no no",
    "a" * 3000,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Linear = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights [v, k] and bias [k]


class Setup(NamedTuple):
    """What the user chose: features, texts that an n-gram needs (None = by size), cost (None = by search)."""

    spec: Spec
    min_df: int | None
    cost: float | None


@dataclass(frozen=True, eq=False)
class Head:
    """What is learned of texts: known n-grams (word block, character block), their idf, and the weights.

    hashes: two ascending uint32 arrays, v entries together; idf: float32[v]; weights: float32[v, k];
    bias: float32[k].
    """

    hashes: tuple[Hashes, Hashes]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def vectorise(self, texts: Sequence[str | None], spec: Spec) -> tuple[Entries, NDArray[np.float32]]:
        """The known n-grams of texts and their weights: what docs/features.md defines."""
        found = features.entries(features.grams(texts, spec), self.hashes)
        return found, features.weigh(found, self.idf, spec)

    def scores(self, texts: Sequence[str | None], spec: Spec) -> Scored:
        """What the weights make of texts."""
        found, values = self.vectorise(texts, spec)
        x = features.matrix(found, values, len(self.idf))
        return Scored(score(x, self.weights, self.bias), found.known, found.coverage)


class Scored(NamedTuple):
    """Of n texts: scores float64[n, k]; whether any n-gram is known; the share of known word n-grams."""

    scores: Floats
    known: NDArray[np.bool_]
    coverage: Floats


def learn(x: Any, y: Ints, weight: Floats, k: int, cost: float) -> Linear:
    """Weights float32[v, k] and bias float32[k] of one-vs-rest squared hinge; deterministic, one thread.

    x: CSR float32[n, v]; y: class positions; weight: > 0. A class without rows scores -1 everywhere.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    weights, bias = np.zeros((x.shape[1], k), np.float32), np.full(k, -1, np.float32)
    heard = np.unique(y)
    if len(heard) < 2:
        bias[heard] = 1
        return weights, bias
    with warnings.catch_warnings():  # 1,000 rounds are enough, converged to the last digit or not
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LinearSVC(C=cost, tol=0.01, random_state=0).fit(x, y, weight / weight.mean())
    coef, intercept = fitted.coef_, fitted.intercept_
    if len(heard) == 2:
        coef, intercept = np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
    weights[:, heard], bias[heard] = coef.T, intercept
    return weights, bias


def score(x: Any, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> Floats:
    """Scores float64[n, k]: products of float32 added in float64 in the order of each text's entries."""
    x = x.astype(np.float64)
    if x.nnz < x.shape[1]:  # few texts: do not widen a whole head for them
        used, x.indices = np.unique(x.indices, return_inverse=True)
        x, weights = type(x)((x.data, x.indices, x.indptr), (x.shape[0], len(used))), weights[used]
    return np.asarray(x @ weights.astype(np.float64) + bias)


def scaled(measure: Floats, known: NDArray[np.bool_], low: float, middle: float) -> Floats:
    """A measure of familiarity as in_scope, float64[n] in [0, 1]: .5 at `low`, .95 at `middle`; 0 for a text
    without any known n-gram.
    """
    z = (measure - low) / (middle - low) * np.log(19)
    return np.where(known, 1 / (1 + np.exp(-np.clip(z, -500, 500))), 0.0)


def quantiles(measure: Floats) -> tuple[float, float]:
    """`low` and `middle` of held-out rows: 5 % of them lie below the one, half below the other."""
    if not len(measure):
        return 0.0, 1.0
    low, middle = np.quantile(measure, [0.05, 0.5]).tolist()
    return low, max(middle, low + 1e-3)


# --- folds ----------------------------------------------------------------------------------------


class Corpus(NamedTuple):
    """n texts as entries in v columns; an n-gram needs min_df of all of them."""

    hashes: tuple[Hashes, Hashes]
    entries: Entries
    rows: int
    min_df: int


class Lesson(Protocol):
    """What a mixture teaches: n texts, their weights (0 = not heard), and how to learn and to be examined.

    k: scores that a text gets.
    """

    @property
    def corpus(self) -> Corpus: ...
    @property
    def weight(self) -> Floats: ...
    @property
    def k(self) -> int: ...

    def learn(self, x: Any, rows: Ints, cost: float) -> Linear:
        """Weights and bias from the rows at these positions; x: CSR float32[rows, v]."""

    def loss(self, held: Scored, rows: Ints, cost: float) -> float:
        """What the scores of rows that were held out are worth, calibrated on them: smaller is better."""


class Design(NamedTuple):
    """The matrices of one fit over the lesson's columns: idf and vocabulary come from the rows seen alone."""

    seen: Ints
    held: Ints
    x: Any  # CSR float32[seen, v]
    x_held: Any
    idf: NDArray[np.float32]
    usable: NDArray[np.bool_]
    known: NDArray[np.bool_]
    coverage: Floats


class HeldOut(NamedTuple):
    """What models that did not see them say of all rows: scores float64[n, k], -1 where nobody was asked."""

    scores: Floats
    known: NDArray[np.bool_]
    coverage: Floats
    cost: float
    fits: int

    def of(self, rows: Ints) -> Scored:
        return Scored(self.scores[rows], self.known[rows], self.coverage[rows])


def read(rows: Rows, inputs: Sequence[str]) -> list[str | None]:
    """One text a row: the input columns as strings, a blank between several; null = empty."""
    absent = [name for name in inputs if name not in rows.schema.names]
    if absent:
        available = ", ".join(rows.schema.names)
        raise InputError("text_column_missing", columns=", ".join(absent), available=available)
    parts = [strings(rows.column(name)) for name in inputs]
    if len(parts) == 1:
        return parts[0]
    return [" ".join(part or "" for part in row) for row in zip(*parts, strict=True)]


def corpus_of(mixture: Mixture, setup: Setup) -> Corpus:
    """The texts of a mixture."""
    min_df = setup.min_df or (1 if len(mixture) < LARGE else 2)
    found = features.grams(read(Rows(mixture.records), mixture.task.inputs), setup.spec)
    (words, at_words), (characters, at_characters) = (features.vocabulary(block, min_df) for block in found)
    entries = features.placed(found, (at_words, at_characters), len(words))
    return Corpus((words, characters), entries, len(mixture), min_df)


def design(corpus: Corpus, seen: Ints, held: Ints, spec: Spec) -> Design:
    """Weigh the rows `seen` and `held` with the vocabulary and document frequencies of `seen`."""
    found, v = corpus.entries, sum(len(h) for h in corpus.hashes)
    part = np.zeros(corpus.rows, np.uint8)
    part[held], part[seen] = 2, 1
    of = part[found.groups // 2]
    df = np.bincount(found.columns[of == 1], minlength=v)
    usable = df >= corpus.min_df
    idf = features.idf(df, len(seen))
    mine = found.only(usable[found.columns] & (of > 0))
    x = features.matrix(mine, features.weigh(mine, idf, spec), v)
    return Design(seen, held, x[seen], x[held], idf, usable, mine.known[held], mine.coverage[held])


class Search(NamedTuple):
    """The cost that was found, how many fits that took, and the head if it learned from every row seen."""

    cost: float
    fits: int
    head: Linear | None


def choose_cost(lesson: Lesson, made: Design) -> Search:
    """The cost with the least calibrated loss on rows held out, climbing from COSTS[FIRST]."""
    rows = thinned(len(made.seen), min(SAMPLE[0], SAMPLE[1] // lesson.k))
    asked = thinned(len(made.held), SAMPLE[0] // 2)
    x, at = made.x[rows], made.held[asked]
    heads: dict[int, Linear] = {}
    losses: dict[int, float] = {}

    def loss(i: int) -> float:
        if i not in losses:
            heads[i] = lesson.learn(x, made.seen[rows], COSTS[i])
            held = Scored(score(made.x_held[asked], *heads[i]), made.known[asked], made.coverage[asked])
            losses[i] = lesson.loss(held, at, COSTS[i])
        return losses[i]

    best = FIRST
    step = 1 if loss(best + 1) < loss(best) else -1
    while 0 <= best + step < len(COSTS) and loss(best + step) < loss(best):
        best += step
    return Search(COSTS[best], len(losses), heads[best] if len(rows) == len(made.seen) else None)


def thinned(n: int, most: int) -> Ints:
    """Positions of at most `most` of n rows, evenly spread."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def hold_out(lesson: Lesson, folds: NDArray[np.int8], cost: float | None, spec: Spec) -> HeldOut:
    """Score every row of folds >= 0 by a model of the other folds' rows; no cost: choose it on the first."""
    n = lesson.corpus.rows
    scores, known, coverage, fits = np.full((n, lesson.k), -1.0), np.zeros(n, bool), np.zeros(n), 0
    for fold in np.unique(folds[folds >= 0]):
        seen, held = np.flatnonzero((folds != fold) & (lesson.weight > 0)), np.flatnonzero(folds == fold)
        if not len(seen):
            continue
        made, head = design(lesson.corpus, seen, held, spec), None
        if cost is None:
            cost, fits, head = choose_cost(lesson, made)
        if head is None:
            head, fits = lesson.learn(made.x, seen, cost), fits + 1
        scores[held], known[held], coverage[held] = score(made.x_held, *head), made.known, made.coverage
    return HeldOut(scores, known, coverage, COSTS[FIRST] if cost is None else cost, fits)


def final(lesson: Lesson, cost: float, spec: Spec) -> Head:
    """The head of all rows, with only the n-grams that it needs."""
    seen, corpus = np.flatnonzero(lesson.weight > 0), lesson.corpus
    made = design(corpus, seen, seen[:0], spec)
    weights, bias = lesson.learn(made.x, seen, cost)
    words = len(corpus.hashes[0])
    hashes = corpus.hashes[0][made.usable[:words]], corpus.hashes[1][made.usable[words:]]
    return Head(hashes, made.idf[made.usable], weights[made.usable], bias)


def own_folds(y: NDArray[np.int64], folds: int = 5) -> NDArray[np.int8]:
    """int8[n]: every class (of numbers: every rank) spread evenly over the folds, in the order of rows."""
    order = np.argsort(y, kind="stable")
    out = np.empty(len(y), np.int8)
    out[order] = np.arange(len(y)) % folds
    return out


# --- on disk --------------------------------------------------------------------------------------


def write(folder: Path, head: Head, spec: Spec, said: dict[str, Any], vectors: list[dict[str, Any]]) -> None:
    """head.npz, spec.json, vectors.json (made-up texts and their answers), model.json (`said`)."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "head.npz",
        words=head.hashes[0],
        characters=head.hashes[1],
        idf=head.idf,
        weights=head.weights,
        bias=head.bias,
    )
    for name, value in {"model": said, "spec": spec.json(), "vectors": vectors}.items():
        (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


class Stored(NamedTuple):
    """What `write` wrote."""

    head: Head
    spec: Spec
    said: dict[str, Any]
    vectors: list[dict[str, Any]]


def stored(folder: Path) -> Stored:
    """The parts of the model in a folder; Damaged if its features are not those of this version."""
    said, told = (json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("model", "spec"))
    fields: dict[str, Any] = {
        k: told[k] for k in ("limit", "word_limit", "tf_limit", "word_share", "version")
    }
    spec = Spec(words=tuple(told["words"]), chars=tuple(told["chars"]), **fields)
    if told != json.loads(json.dumps(spec.json())):
        raise Damaged("text_model_differs", path=str(folder))
    with np.load(folder / "head.npz", allow_pickle=False) as f:
        head = Head((f["words"], f["characters"]), f["idf"], f["weights"], f["bias"])
    return Stored(head, spec, said, json.loads((folder / "vectors.json").read_text("utf-8")))


def vectors_of(
    head: Head, spec: Spec, answers: Sequence[dict[str, Any]], texts: Sequence[str] = VECTORS
) -> list[dict[str, Any]]:
    """For each text the columns and weights of its features, and what is answered to it."""
    found, values = head.vectorise(texts, spec)
    ends = np.searchsorted(found.groups, 2 * np.arange(len(texts) + 1)).tolist()
    return [
        {
            "text": text,
            "columns": found.columns[ends[i] : ends[i + 1]].tolist(),
            "values": values[ends[i] : ends[i + 1]].tolist(),
            **answers[i],
        }
        for i, text in enumerate(texts)
    ]
