"""Text classification: hashed word and character n-grams, a linear head, constants from out-of-fold scores.

Features are those of docs/features.md, so that a model runs wherever 200 lines of C or JavaScript run. The
head is one-vs-rest with squared hinge loss (Fan et al. 2008, LIBLINEAR); its scores become probabilities by
three numbers and a floor that are fitted out of fold, where labels were not seen.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import concat, strings
from bapsim.core.errors import Damaged, InputError
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.text import features
from bapsim.text.features import Entries, Hashes, Spec
from bapsim.train.labels import labels_of
from bapsim.train.table import answer

LOADER = "bapsim.train.text:load"
# Of one unit of hinge loss, against half the squared length of the weights.
COSTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FIRST = 2  # where the search of costs begins
SAMPLE = 20_000, 600_000  # rows, and rows * classes, that are enough to choose a cost
KNEE = -0.5  # score at which the slope of a class's evidence may change
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
Linear = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights [v, k] and bias [k]


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


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants from out-of-fold scores, and the cost they were made with.

    Probabilities are (1 - floor) * softmax(slope * s + bend * max(s - KNEE, 0) + shift * ln(prior)) + floor *
    prior. in_scope is .5 where 5 % of held-out training rows score lower, .95 at their median.
    """

    cost: float
    slope: float = 3.0
    bend: float = 0.0
    shift: float = 0.0
    floor: float = 0.01
    low: float = 0.0
    middle: float = 1.0


# --- arrays in, arrays out ------------------------------------------------------------------------


def learn(x: Any, y: NDArray[np.int64], weight: Floats, k: int, cost: float) -> Linear:
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


def softmax(logits: Floats) -> Floats:
    """Probabilities float64[n, k]."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def probabilities(scores: Floats, known: NDArray[np.bool_], prior: Floats, constants: Calibration) -> Floats:
    """Calibrated probabilities float64[n, k]; a text without any known n-gram gets the prior."""
    bent = constants.bend * np.maximum(scores - KNEE, 0)
    p = softmax(constants.slope * scores + bent + constants.shift * np.log(prior))
    return np.where(known[:, None], (1 - constants.floor) * p + constants.floor * prior, prior)


def fit_evidence(scores: Floats, y: NDArray[np.int64], weight: Floats, prior: Floats) -> list[float]:
    """[slope, bend, shift, floor] with the least log-loss, by bounded L-BFGS: no row's evidence turns round.

    A row is explained by its scores or (share `floor`) by the class frequencies alone, which keeps confused
    labels from flattening everything. Half a row for the floor and a weak pull to slope 3 keep few rows sane.
    """
    from scipy.optimize import minimize

    below, above, frequency = np.minimum(scores - KNEE, 0), np.maximum(scores - KNEE, 0), np.log(prior)
    rows, total = np.arange(len(y)), weight.sum()
    centre = np.array([3.0, 3.0, 0.0])

    def loss(at: Floats) -> tuple[float, Floats]:
        floor, pull = at[3], at[:3] - centre
        p = softmax(at[0] * below + at[1] * above + at[2] * frequency)
        right = (1 - floor) * p[rows, y] + floor * prior[y]
        trust = weight * (1 - floor) * p[rows, y] / right
        slope = [
            -(trust * (t[rows, y] - (p * t).sum(axis=1))).sum()
            for t in (below, above, np.broadcast_to(frequency, p.shape))
        ]
        lost = -(weight * np.log(right)).sum() - 0.5 * np.log(floor) + 0.025 * (pull**2).sum()
        fourth = (weight * (p[rows, y] - prior[y]) / right).sum() - 0.5 / floor
        return float(lost / total), np.array([*(slope + 0.05 * pull), fourth]) / total

    bounds = [(0.02, 100.0), (0.02, 100.0), (-3.0, 3.0), (1e-4, 0.5)]
    found = minimize(loss, [3.0, 3.0, 0.0, 0.02], jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return [found[0], found[1] - found[0], found[2], found[3]]


def calibrate(
    scores: Floats, y: NDArray[np.int64], weight: Floats, prior: Floats, coverage: Floats, cost: float
) -> Calibration:
    """Constants from held-out rows; the defaults where there are none."""
    if not len(y):
        return Calibration(cost=cost)
    slope, bend, shift, floor = fit_evidence(scores, y, weight, prior)
    low, middle = np.quantile(familiarity(scores, coverage), [0.05, 0.5]).tolist()
    middle = max(middle, low + 1e-3)
    return Calibration(cost=cost, slope=slope, bend=bend, shift=shift, floor=floor, low=low, middle=middle)


def familiarity(scores: Floats, coverage: Floats) -> Floats:
    """The in-scope score before scaling, float64[n]: the best class's score and how many words are known."""
    return np.asarray(scores.max(axis=1) + WORDS_KNOWN * coverage)


def in_scope(scores: Floats, known: NDArray[np.bool_], coverage: Floats, constants: Calibration) -> Floats:
    """float64[n] in [0, 1]; 0 for a text without any known n-gram."""
    z = (familiarity(scores, coverage) - constants.low) / (constants.middle - constants.low) * np.log(19)
    return np.where(known, 1 / (1 + np.exp(-np.clip(z, -500, 500))), 0.0)


# --- folds ----------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """A mixture as arrays: entries of n texts in v columns (min_df over all of them), classes, weights."""

    hashes: tuple[Hashes, Hashes]
    entries: Entries
    y: NDArray[np.int64]
    weight: Floats
    classes: tuple[str, ...]
    min_df: int


class Design(NamedTuple):
    """The matrices of one fit over the lesson's columns: idf and vocabulary come from the rows seen alone."""

    seen: NDArray[np.int64]
    held: NDArray[np.int64]
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


def prior_of(lesson: Lesson) -> Floats:
    """Class frequencies float64[k], half a row each beforehand."""
    counts = np.bincount(lesson.y, lesson.weight, len(lesson.classes)) + 0.5
    return np.asarray(counts / counts.sum())


def design(lesson: Lesson, seen: NDArray[np.int64], held: NDArray[np.int64], spec: Spec) -> Design:
    """Weigh the rows `seen` and `held` with the vocabulary and document frequencies of `seen`."""
    found, v = lesson.entries, sum(len(h) for h in lesson.hashes)
    part = np.zeros(len(lesson.y), np.uint8)
    part[held], part[seen] = 2, 1
    of = part[found.groups // 2]
    df = np.bincount(found.columns[of == 1], minlength=v)
    usable = df >= lesson.min_df
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
    """The cost with the least calibrated log-loss on rows held out, climbing from COSTS[FIRST]."""
    k, prior = len(lesson.classes), prior_of(lesson)
    rows = thinned(len(made.seen), min(SAMPLE[0], SAMPLE[1] // k))
    asked = thinned(len(made.held), SAMPLE[0] // 2)
    x, y, weight = made.x[rows], lesson.y[made.seen[rows]], lesson.weight[made.seen[rows]]
    gold, counts = lesson.y[made.held[asked]], lesson.weight[made.held[asked]] + 1e-9
    heads: dict[int, Linear] = {}
    losses: dict[int, float] = {}

    def loss(i: int) -> float:
        if i not in losses:
            heads[i] = learn(x, y, weight, k, COSTS[i])
            scores = score(made.x_held[asked], *heads[i])
            constants = calibrate(scores, gold, counts, prior, made.coverage[asked], COSTS[i])
            right = probabilities(scores, made.known[asked], prior, constants)[np.arange(len(gold)), gold]
            losses[i] = float(-(np.log(right) * counts).sum())
        return losses[i]

    at = FIRST
    step = 1 if loss(at + 1) < loss(at) else -1
    while 0 <= at + step < len(COSTS) and loss(at + step) < loss(at):
        at += step
    return Search(COSTS[at], len(losses), heads[at] if len(rows) == len(made.seen) else None)


def thinned(n: int, most: int) -> NDArray[np.int64]:
    """Positions of at most `most` of n rows, evenly spread."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def hold_out(lesson: Lesson, folds: NDArray[np.int8], cost: float | None, spec: Spec) -> HeldOut:
    """Score every row of folds >= 0 by a model of the other folds' rows; no cost: choose it on the first."""
    n, k = len(lesson.y), len(lesson.classes)
    scores, known, coverage, fits = np.full((n, k), -1.0), np.zeros(n, bool), np.zeros(n), 0
    for fold in np.unique(folds[folds >= 0]):
        seen, held = np.flatnonzero((folds != fold) & (lesson.weight > 0)), np.flatnonzero(folds == fold)
        if not len(seen):
            continue
        made, head = design(lesson, seen, held, spec), None
        if cost is None:
            cost, fits, head = choose_cost(lesson, made)
        if head is None:
            head, fits = learn(made.x, lesson.y[seen], lesson.weight[seen], k, cost), fits + 1
        scores[held], known[held], coverage[held] = score(made.x_held, *head), made.known, made.coverage
    return HeldOut(scores, known, coverage, COSTS[FIRST] if cost is None else cost, fits)


def final(lesson: Lesson, cost: float, spec: Spec) -> Head:
    """The head of all rows, with only the n-grams that it needs."""
    seen = np.flatnonzero(lesson.weight > 0)
    made = design(lesson, seen, seen[:0], spec)
    weights, bias = learn(made.x, lesson.y[seen], lesson.weight[seen], len(lesson.classes), cost)
    words = len(lesson.hashes[0])
    hashes = lesson.hashes[0][made.usable[:words]], lesson.hashes[1][made.usable[words:]]
    return Head(hashes, made.idf[made.usable], weights[made.usable], bias)


# --- the model and its trainer --------------------------------------------------------------------


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


@dataclass(frozen=True, kw_only=True, eq=False)
class TextModel:
    """A respondent over text columns; a text without known n-grams gets the class frequencies, in_scope 0."""

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: Spec
    head: Head
    prior: Floats
    calibration: Calibration

    def __call__(self, rows: Rows, /) -> Answers:
        size = max(1, min(BATCH, 4_000_000 // len(self.classes)))
        parts = [self._part(Rows(rows.slice(at, size))) for at in range(0, max(1, len(rows)), size)]
        return Answers(concat(parts))

    def _part(self, rows: Rows) -> Answers:
        return answer(self.classes, *self.judge(read(rows, self.inputs)))

    def vectorise(self, texts: Sequence[str | None]) -> tuple[Entries, NDArray[np.float32]]:
        """The known n-grams of texts and their weights: what docs/features.md defines."""
        found = features.entries(features.grams(texts, self.spec), self.head.hashes)
        return found, features.weigh(found, self.head.idf, self.spec)

    def judge(self, texts: Sequence[str | None]) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] and in_scope float64[n] of texts."""
        found, values = self.vectorise(texts)
        scores = score(features.matrix(found, values, len(self.head.idf)), self.head.weights, self.head.bias)
        probs = probabilities(scores, found.known, self.prior, self.calibration)
        return probs, in_scope(scores, found.known, found.coverage, self.calibration)

    def save(self, folder: Path) -> None:
        """head.npz, spec.json, vectors.json (made-up texts and their answers), model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        head = self.head
        np.savez(
            folder / "head.npz",
            words=head.hashes[0],
            characters=head.hashes[1],
            idf=head.idf,
            weights=head.weights,
            bias=head.bias,
        )
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "inputs": self.inputs,
            "prior": self.prior.tolist(),
            "calibration": {**asdict(self.calibration), "knee": KNEE, "words_known": WORDS_KNOWN},
        }
        files = {"model": said, "spec": self.spec.json(), "vectors": vectors(self)}
        for name, value in files.items():
            (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def vectors(model: TextModel, texts: Sequence[str] = VECTORS) -> list[dict[str, Any]]:
    """For each text the columns and weights of its features, its probabilities and in_scope."""
    found, values = model.vectorise(texts)
    probs, scope = model.judge(texts)
    ends = np.searchsorted(found.groups, 2 * np.arange(len(texts) + 1)).tolist()
    return [
        {
            "text": text,
            "columns": found.columns[ends[i] : ends[i + 1]].tolist(),
            "values": values[ends[i] : ends[i + 1]].tolist(),
            "probs": probs[i].tolist(),
            "in_scope": float(scope[i]),
        }
        for i, text in enumerate(texts)
    ]


def load(folder: Path) -> TextModel:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    said, told = (json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("model", "spec"))
    fields: dict[str, Any] = {
        k: told[k] for k in ("limit", "word_limit", "tf_limit", "word_share", "version")
    }
    spec = Spec(words=tuple(told["words"]), chars=tuple(told["chars"]), **fields)
    constants = {k: v for k, v in said["calibration"].items() if k not in ("knee", "words_known")}
    with np.load(folder / "head.npz", allow_pickle=False) as f:
        head = Head((f["words"], f["characters"]), f["idf"], f["weights"], f["bias"])
    model = TextModel(
        classes=tuple(said["classes"]),
        inputs=tuple(said["inputs"]),
        spec=spec,
        head=head,
        prior=np.array(said["prior"]),
        calibration=Calibration(**constants),
    )
    expected = json.loads((folder / "vectors.json").read_text("utf-8"))
    probs, _ = model.judge([case["text"] for case in expected])
    if (
        told != json.loads(json.dumps(spec.json()))
        or np.abs(probs - [c["probs"] for c in expected]).max() > 1e-6
    ):
        raise Damaged("text_model_differs", path=str(folder))
    return model


def learn_from(mixture: Mixture, spec: Spec, min_df: int | None) -> Lesson:
    """What a mixture teaches; NotEnough below two classes, InputError for rows without a target."""
    classes, y, weight = labels_of(mixture)
    min_df = min_df or (1 if len(y) < LARGE else 2)
    found = features.grams(read(Rows(mixture.records), mixture.task.inputs), spec)
    (words, at_words), (characters, at_characters) = (features.vocabulary(block, min_df) for block in found)
    entries = features.placed(found, (at_words, at_characters), len(words))
    return Lesson((words, characters), entries, y, weight, classes, min_df)


def own_folds(y: NDArray[np.int64], folds: int = 5) -> NDArray[np.int8]:
    """int8[n]: every class spread evenly over the folds, in the order of its rows."""
    order = np.argsort(y, kind="stable")
    out = np.empty(len(y), np.int8)
    out[order] = np.arange(len(y)) % folds
    return out


@dataclass(frozen=True, kw_only=True)
class TextLinear:
    """Trainer of texts; see `text_linear`."""

    spec: Spec
    min_df: int | None
    cost: float | None

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> TextModel:
        """One fit with the parent's constants if it is a text model, else a cross-fit of its own."""
        lesson = learn_from(mixture, self.spec, self.min_df)
        if isinstance(parent, TextModel):
            return self._model(lesson, parent.calibration, mixture)
        return self._crossfit(lesson, own_folds(lesson.y), mixture)[0]

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold, some to choose a cost, one on all rows; folds int8[n], -1 = never held out."""
        lesson = learn_from(mixture, self.spec, self.min_df)
        model, answers, fits = self._crossfit(lesson, folds, mixture)
        return CrossFit(model=model, answers=answers, fits=fits)

    def _crossfit(
        self, lesson: Lesson, folds: np.ndarray, mixture: Mixture
    ) -> tuple[TextModel, Answers, int]:
        out = hold_out(lesson, folds, self.cost, self.spec)
        heard = np.flatnonzero((folds >= 0) & (lesson.weight > 0))
        heard = heard[thinned(len(heard), 4_000_000 // len(lesson.classes))]
        prior, y, weight = prior_of(lesson), lesson.y[heard], lesson.weight[heard]
        constants = calibrate(out.scores[heard], y, weight, prior, out.coverage[heard], out.cost)
        probs = probabilities(out.scores, out.known, prior, constants)
        scope = in_scope(out.scores, out.known, out.coverage, constants)
        answers = answer(lesson.classes, probs, scope, folds >= 0)
        return self._model(lesson, constants, mixture), answers, out.fits + 1

    def _model(self, lesson: Lesson, constants: Calibration, mixture: Mixture) -> TextModel:
        return TextModel(
            classes=lesson.classes,
            inputs=mixture.task.inputs,
            spec=self.spec,
            head=final(lesson, constants.cost, self.spec),
            prior=prior_of(lesson),
            calibration=constants,
        )


def text_linear(
    words: Sequence[int] = (1, 2),
    chars: Sequence[int] = (1, 2, 3),
    min_df: int | None = None,
    cost: float | None = None,
) -> TextLinear:
    """Hashed n-grams of words and characters under a linear head, calibrated out of fold.

    words, chars: sizes of n-grams; min_df: training texts that an n-gram needs, None = 1, or 2 from 50,000
    rows; cost: of one unit of hinge loss, None = chosen on held-out rows. No random choice is made: the same
    rows in the same order give the same model.
    """
    return TextLinear(spec=Spec(words=tuple(words), chars=tuple(chars)), min_df=min_df, cost=cost)
