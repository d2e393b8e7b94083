"""Classification of small pictures: 860 measured features, products of their main components, a linear head.

Features are those of docs/pictures.md. They are put on one scale, and the products of their main components
are added, so that a linear head bends as a kernel machine of degree two does without keeping training
pictures. The head is least squares on -1 and 1 with a ridge (Rifkin et al. 2003), solved at once for every
fold; its scores become probabilities as those of texts do, by constants that are fitted out of fold.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import Damaged, InputError, NotEnough, RecipeError
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.image.features import VERSION, features
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import labels_of
from bapsim.train.linear import own_folds, thinned
from bapsim.train.table import answer
from bapsim.train.text import Calibration, calibrate, in_scope, probabilities
from bapsim.train.trees import one_thread

LOADER = "bapsim.train.image:load"
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # against features of length 1
FIRST = 3  # where the search of ridges begins
COMPONENTS = 64  # at most, and the root of the rows: their products are half as many as the rows
FAR = 5.0  # standard deviations: a feature counts as no farther out
STRANGE = 4.0  # what a picture loses of its best score where it lies outside all of training
BATCH = 1024  # pictures that are worked on at once
SAME = 1e-4  # of a probability, between machines

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scale:
    """How features become the columns of the head.

    centre, spread: float32[860]; reach: the length of the longest training row; basis: float32[860, m], the
    main components.
    """

    centre: Floats32
    spread: Floats32
    reach: float
    basis: Floats32


@dataclass(frozen=True, eq=False)
class Head:
    """weights: float64[v, k] for 860 features and m (m + 1) / 2 products; bias: float64[k]."""

    weights: Floats
    bias: Floats


# --- arrays in, arrays out ------------------------------------------------------------------------


def learn_scale(x: Floats32, weight: Floats) -> Scale:
    """Centre, spread, reach and main components of rows float32[n, 860] with weights > 0."""
    share = weight / weight.sum()
    centre = share @ x.astype(np.float64)
    spread = np.sqrt(share @ (x - centre) ** 2)
    spread = (spread + 0.1 * spread.mean() + 1e-6) * np.sqrt(x.shape[1])
    bare = Scale(
        centre.astype(np.float32), spread.astype(np.float32), np.inf, np.zeros((x.shape[1], 0), np.float32)
    )
    z, _ = scaled(bare, x)
    _, axes = np.linalg.eigh((z * share[:, None]).T @ z)
    most = min(COMPONENTS, isqrt(len(x)))
    basis = axes[:, ::-1][:, :most].astype(np.float32)
    return Scale(bare.centre, bare.spread, float(np.sqrt((z**2).sum(axis=1)).max()), basis)


def scaled(scale: Scale, x: Floats32) -> tuple[Floats, Floats]:
    """float64[n, 860] of length `reach` at most; float64[n] in (0, 1]: 1 inside of what training saw."""
    z = ((x - scale.centre) / scale.spread).astype(np.float64)
    limit = FAR / np.sqrt(x.shape[1])
    length = np.sqrt((z**2).sum(axis=1))
    inside = np.minimum(1.0, scale.reach / np.maximum(length, 1e-9))
    z = np.clip(z, -limit, limit)
    short = np.minimum(1.0, scale.reach / np.maximum(np.sqrt((z**2).sum(axis=1)), 1e-9))
    return z * short[:, None], inside


def columns(scale: Scale, z: Floats) -> Floats:
    """float64[n, v]: scaled features, then the products of their main components."""
    main = z @ scale.basis.astype(np.float64)
    a, b = np.triu_indices(main.shape[1])
    return np.concatenate([z, main[:, a] * main[:, b] * np.where(a == b, 1.0, np.sqrt(2.0))], axis=1)


class Sums(NamedTuple):
    """Sums over some rows, all that least squares needs: weights, columns, products, and with the targets."""

    weight: float
    of_columns: Floats
    products: Floats
    of_targets: Floats
    both: Floats

    def less(self, other: Sums) -> Sums:
        """The sums of the rows that the others are not."""
        return Sums(
            self.weight - other.weight,
            self.of_columns - other.of_columns,
            self.products - other.products,
            self.of_targets - other.of_targets,
            self.both - other.both,
        )


def solve(sums: Sums, ridge: float) -> Head:
    """Weights and bias with the least squared error and ridge * squared weights; the bias is free."""
    from scipy.linalg import cho_factor, cho_solve

    mean, share = sums.of_columns / sums.weight, sums.of_targets / sums.weight
    left = sums.products - np.outer(sums.of_columns, mean)
    left[np.diag_indices(len(left))] += ridge
    right = sums.both - np.outer(sums.of_columns, share)
    weights = cho_solve(cho_factor(left, lower=True, overwrite_a=True, check_finite=False), right)
    return Head(weights, share - mean @ weights)


# --- folds ----------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """A mixture as arrays: features float32[n, 860], which could be read, classes, weights of mean 1."""

    x: Floats32
    known: NDArray[np.bool_]
    y: NDArray[np.int64]
    weight: Floats
    classes: tuple[str, ...]

    @property
    def heard(self) -> NDArray[np.bool_]:
        return self.known & (self.weight > 0)

    @property
    def prior(self) -> Floats:
        """Class frequencies float64[k], half a row each beforehand."""
        counts = np.bincount(self.y, self.weight, len(self.classes)) + 0.5
        return np.asarray(counts / counts.sum())


class HeldOut(NamedTuple):
    """What heads that did not see them say of all rows: scores float64[n, k], -1 where nobody was asked."""

    scores: Floats
    strange: Floats
    ridge: float
    fits: int


def learn_from(mixture: Mixture) -> Lesson:
    """What a mixture teaches; NotEnough below two classes, InputError for rows without a target, RecipeError
    where the target is no class.
    """
    if mixture.task.answer != "class":
        raise RecipeError("pictures_are_classes", answer=mixture.task.answer)
    classes, y, weight = labels_of(mixture)[:3]
    x, known = read(Rows(mixture.records), mixture.task.inputs)
    heard = known & (weight > 0)
    return Lesson(x, known, y, weight / (weight[heard].mean() if heard.any() else 1.0), classes)


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def sums(lesson: Lesson, scale: Scale, rows: NDArray[np.int64]) -> Sums:
    """The sums of these rows, chunk by chunk."""
    width = len(scale.centre) + scale.basis.shape[1] * (scale.basis.shape[1] + 1) // 2
    k = len(lesson.classes)
    total = Sums(0.0, np.zeros(width), np.zeros((width, width)), np.zeros(k), np.zeros((width, k)))
    for some in _chunks(rows):
        weight = lesson.weight[some]
        z = columns(scale, scaled(scale, lesson.x[some])[0])
        targets = np.where(lesson.y[some][:, None] == np.arange(k), weight[:, None], -weight[:, None])
        heavy = z * weight[:, None]
        total = Sums(
            total.weight + float(weight.sum()),
            total.of_columns + heavy.sum(axis=0),
            total.products + heavy.T @ z,
            total.of_targets + targets.sum(axis=0),
            total.both + z.T @ targets,
        )
    return total


def score(scale: Scale, head: Head, x: Floats32) -> tuple[Floats, Floats]:
    """Scores float64[n, k] and how far from training each picture is, float64[n] in (-STRANGE, 0]."""
    z, inside = scaled(scale, x)
    return columns(scale, z) @ head.weights + head.bias, STRANGE * (inside - 1)


def choose_ridge(lesson: Lesson, scale: Scale, seen: Sums, held: NDArray[np.int64]) -> tuple[float, int]:
    """The ridge with the least calibrated log-loss on rows held out, climbing from RIDGES[FIRST]; how many
    heads that took."""
    held = held[thinned(len(held), 4 * BATCH)]
    gold, weight, losses = lesson.y[held], lesson.weight[held] + 1e-9, dict[int, float]()

    def loss(i: int) -> float:
        if i not in losses:
            scores, strange = score(scale, solve(seen, RIDGES[i]), lesson.x[held])
            constants = calibrate(scores, gold, weight, lesson.prior, strange, RIDGES[i])
            probs = probabilities(scores, lesson.known[held], lesson.prior, constants)
            losses[i] = float(-(np.log(probs[np.arange(len(gold)), gold]) * weight).sum())
        return losses[i]

    at = FIRST
    step = 1 if loss(at + 1) < loss(at) else -1
    while 0 <= at + step < len(RIDGES) and loss(at + step) < loss(at):
        at += step
    return RIDGES[at], len(losses)


def hold_out(lesson: Lesson, scale: Scale, folds: NDArray[np.int8], ridge: float | None) -> HeldOut:
    """Score every row of folds >= 0 by a head of the other folds' rows; no ridge: choose it on the first."""
    n, k = len(lesson.y), len(lesson.classes)
    scores, strange, fits = np.full((n, k), -1.0), np.zeros(n), 0
    whole = sums(lesson, scale, np.flatnonzero(lesson.heard))
    for fold in np.unique(folds[folds >= 0]):
        held = np.flatnonzero(folds == fold)
        seen = whole.less(sums(lesson, scale, held[lesson.heard[held]]))
        if seen.weight < 0.5:  # nobody is left to learn from
            continue
        if ridge is None:
            ridge, fits = choose_ridge(lesson, scale, seen, held[lesson.known[held]])
        head, fits = solve(seen, ridge), fits + 1
        for some in _chunks(held[lesson.known[held]]):
            scores[some], strange[some] = score(scale, head, lesson.x[some])
    return HeldOut(scores, strange, RIDGES[FIRST] if ridge is None else ridge, fits)


# --- the model and its trainer --------------------------------------------------------------------


def read(rows: Rows, inputs: Sequence[str]) -> tuple[Floats32, NDArray[np.bool_]]:
    """Features float32[n, 860] of the one input column, which holds pictures as bytes; bool[n]: readable."""
    if len(inputs) != 1 or inputs[0] not in rows.schema.names:
        raise InputError(
            "picture_column_missing", columns=", ".join(inputs), available=", ".join(rows.schema.names)
        )
    column: Any = rows.column(inputs[0])
    kind = column.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_null(kind)):
        raise InputError("not_bytes", column=inputs[0], type=str(kind))
    parts = [features(column.slice(at, BATCH).to_pylist()) for at in range(0, max(1, len(rows)), BATCH)]
    x, known = zip(*parts, strict=True)
    return np.concatenate(x), np.concatenate(known)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageModel:
    """A respondent over one column of pictures; what is no picture gets the class frequencies, in_scope 0."""

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    scale: Scale
    head: Head
    prior: Floats
    calibration: Calibration

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, BATCH)

    def _part(self, rows: Rows) -> Answers:
        return answer(self.classes, *self.judge(*read(rows, self.inputs)))

    def judge(self, x: Floats32, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] and in_scope float64[n] from features."""
        with one_thread():
            scores, strange = score(self.scale, self.head, x)
        probs = probabilities(scores, known, self.prior, self.calibration)
        return probs, in_scope(scores, known, strange, self.calibration)

    def save(self, folder: Path) -> None:
        """head.npz, vectors.json (made-up pictures and the answers to them), model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        scale, head = self.scale, self.head
        np.savez(
            folder / "head.npz",
            centre=scale.centre,
            spread=scale.spread,
            basis=scale.basis,
            weights=head.weights.astype(np.float32),
            bias=head.bias,
        )
        said = {
            "loader": LOADER,
            "features": VERSION,
            "classes": self.classes,
            "inputs": self.inputs,
            "reach": scale.reach,
            "prior": self.prior.tolist(),
            "calibration": asdict(self.calibration),
        }
        for name, value in {"model": said, "vectors": vectors(self)}.items():
            (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def made_up() -> list[bytes]:
    """Four pictures that every copy of a model must answer alike: no training picture leaves with a model."""
    from PIL import Image

    y, x = np.mgrid[0:24, 0:32]
    light = [8 * x, 10 * y, 200 * ((x // 4 + y // 4) % 2), 255 * ((x - 16) ** 2 + (y - 12) ** 2 < 60)]
    bodies = []
    for i, values in enumerate(light):
        grey = values.astype(np.uint8)
        picture = Image.fromarray(grey if i < 2 else np.stack([grey, grey // (i + 1), 255 - grey], axis=-1))
        out = io.BytesIO()
        picture.save(out, "PNG")
        bodies.append(out.getvalue())
    return bodies


def vectors(model: ImageModel) -> list[dict[str, Any]]:
    """For each made-up picture its bytes, the first of its features, its probabilities and in_scope."""
    bodies = made_up()
    x, known = features(bodies)
    probs, scope = model.judge(x, known)
    return [
        {
            "picture": base64.b64encode(body).decode(),
            "features": x[i, :8].tolist(),
            "probs": probs[i].tolist(),
            "in_scope": float(scope[i]),
        }
        for i, body in enumerate(bodies)
    ]


def load(folder: Path) -> ImageModel:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    with np.load(folder / "head.npz", allow_pickle=False) as f:
        scale = Scale(f["centre"], f["spread"], float(said["reach"]), f["basis"])
        head = Head(f["weights"].astype(np.float64), f["bias"])
    model = ImageModel(
        classes=tuple(said["classes"]),
        inputs=tuple(said["inputs"]),
        scale=scale,
        head=head,
        prior=np.array(said["prior"]),
        calibration=Calibration(**said["calibration"]),
    )
    expected = json.loads((folder / "vectors.json").read_text("utf-8"))
    x, known = features([base64.b64decode(case["picture"]) for case in expected])
    probs, _ = model.judge(x, known)
    if said["features"] != VERSION or np.abs(probs - [c["probs"] for c in expected]).max() > SAME:
        raise Damaged("image_model_differs", path=str(folder))
    return model


@dataclass(frozen=True, kw_only=True)
class ImageLinear:
    """Trainer of pictures; see `image_linear`."""

    ridge: float | None = None

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> ImageModel:
        """One fit with the parent's constants if it is a model of pictures, else a cross-fit of its own."""
        lesson = learn_from(mixture)
        if isinstance(parent, ImageModel):
            with one_thread():
                scale = learn_scale(lesson.x[lesson.heard], lesson.weight[lesson.heard])
                return self._model(lesson, scale, parent.calibration, mixture)
        return self._crossfit(lesson, own_folds(lesson.y), mixture)[0]

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold, some to choose a ridge, one on all rows; folds int8[n], -1 = never held out.

        Features, their scale and main components are shared by all fits: they know no labels.
        """
        model, answers, fits = self._crossfit(learn_from(mixture), folds, mixture)
        return CrossFit(model=model, answers=answers, fits=fits)

    def _crossfit(
        self, lesson: Lesson, folds: np.ndarray, mixture: Mixture
    ) -> tuple[ImageModel, Answers, int]:
        heard = lesson.heard
        if len(np.unique(lesson.y[heard])) < 2:
            raise NotEnough("pictures_one_class", rows=int(heard.sum()), unread=int((~lesson.known).sum()))
        with one_thread():
            scale = learn_scale(lesson.x[heard], lesson.weight[heard])
            out = hold_out(lesson, scale, folds, self.ridge)
            told = np.flatnonzero((folds >= 0) & heard)
            prior, weight = lesson.prior, lesson.weight[told]
            constants = calibrate(
                out.scores[told], lesson.y[told], weight, prior, out.strange[told], out.ridge
            )
            model = self._model(lesson, scale, constants, mixture)
        probs = probabilities(out.scores, lesson.known, prior, constants)
        scope = in_scope(out.scores, lesson.known, out.strange, constants)
        answers = answer(lesson.classes, probs, scope, folds >= 0)
        return model, answers, out.fits + 1

    def _model(self, lesson: Lesson, scale: Scale, constants: Calibration, mixture: Mixture) -> ImageModel:
        whole = sums(lesson, scale, np.flatnonzero(lesson.heard))
        head = solve(whole, constants.cost)
        return ImageModel(
            classes=lesson.classes,
            inputs=mixture.task.inputs,
            scale=scale,
            head=Head(head.weights.astype(np.float32).astype(np.float64), head.bias),  # as it is saved
            prior=lesson.prior,
            calibration=constants,
        )


def image_linear(ridge: float | None = None) -> ImageLinear:
    """Measured features of small pictures under a linear head of degree two, calibrated out of fold.

    ridge: of the head, None = chosen on held-out rows. No random choice is made: the same rows in the same
    order give the same model. Pictures are looked at on a square of 64 x 64 pixels: what cannot be seen there
    is not learnt.
    """
    return ImageLinear(ridge=ridge)
