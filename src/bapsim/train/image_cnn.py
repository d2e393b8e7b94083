"""Classification of pictures by a small convolutional network: for what 860 measured features do not see.

Learnt with torch (extra `[vision]`), answered with numpy; calibrated out of fold as every model here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import Damaged, InputError, RecipeError
from bapsim.core.fingerprint import digest
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.image.convolve import Floats32, Net, arrays, from_arrays
from bapsim.image.pixels import NoPicture, look, square
from bapsim.train.image import made_up
from bapsim.train.image_net import Plan, learn, torch
from bapsim.train.in_parts import in_parts
from bapsim.train.labels import labels_of
from bapsim.train.linear import Floats, own_folds
from bapsim.train.table import answer
from bapsim.train.text import Calibration, calibrate, in_scope, probabilities
from bapsim.train.trees import one_thread

LOADER = "bapsim.train.image_cnn:load"
SIDES = (16, 32, 64)  # pixels; the first that shows most pictures whole
TRANSFER = 128  # pixels, for a checkpoint of larger pictures
BATCH = 64
UNIT = 3.0  # scores are a third of logits: then constants begin where those of hinge scores do
SAME = 1e-3  # of a probability, between machines


def read(rows: Rows, inputs: Sequence[str], side: int) -> tuple[Floats32, NDArray[np.bool_]]:
    """float32[n, 3, side, side] of the one input column, which holds pictures as bytes; bool[n]: readable."""
    if len(inputs) != 1 or inputs[0] not in rows.schema.names:
        available = ", ".join(rows.schema.names)
        raise InputError("picture_column_missing", columns=", ".join(inputs), available=available)
    bodies: list[Any] = rows.column(inputs[0]).to_pylist()
    out, known = np.zeros((len(bodies), 3, side, side), np.float32), np.zeros(len(bodies), bool)
    for i, body in enumerate(bodies):
        try:
            out[i] = square(body or b"", side).transpose(2, 0, 1)
        except NoPicture:
            continue
        known[i] = True
    return out, known


def side_of(rows: Rows, name: str) -> int:
    """The side of the square on which half of the pictures at least are not shrunk, 64 at most."""
    sizes = []
    for body in rows.column(name).to_pylist()[:1000]:
        try:
            seen = look(body or b"", whole=False)
        except NoPicture:
            continue
        sizes.append(max(seen.width, seen.height))
    middle = float(np.median(sizes)) if sizes else SIDES[-1]
    return next((side for side in SIDES if side >= middle), SIDES[-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageNet:
    """A respondent over one column of pictures; what is no picture gets the class frequencies, in_scope 0."""

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    side: int
    net: Net
    prior: Floats
    calibration: Calibration

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, BATCH)

    def _part(self, rows: Rows) -> Answers:
        return answer(self.classes, *self.judge(*read(rows, self.inputs, self.side)))

    def judge(self, squares: Floats32, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] and in_scope float64[n] of squares."""
        scores = scores_of(self.net, squares)
        probs = probabilities(scores, known, self.prior, self.calibration)
        return probs, in_scope(scores, known, np.zeros(len(known)), self.calibration)

    def save(self, folder: Path) -> None:
        """net.npz, vectors.json (made-up pictures and the answers to them), model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "net.npz", **arrays(self.net))
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "inputs": self.inputs,
            "side": self.side,
            "prior": self.prior.tolist(),
            "calibration": asdict(self.calibration),
        }
        for name, value in {"model": said, "vectors": vectors(self)}.items():
            (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def scores_of(net: Net, squares: Floats32) -> Floats:
    """float64[n, k], some pictures at a time."""
    with one_thread():
        parts = [net.scores(squares[at : at + BATCH]) for at in range(0, max(1, len(squares)), BATCH)]
    return np.asarray(np.concatenate(parts).astype(np.float64) / UNIT)


def vectors(model: ImageNet) -> list[dict[str, Any]]:
    """For each made-up picture its bytes and its probabilities."""
    bodies = made_up()
    squares = np.stack([square(body, model.side).transpose(2, 0, 1) for body in bodies])
    probs, _ = model.judge(squares, np.ones(len(bodies), bool))
    return [
        {"picture": base64.b64encode(body).decode(), "probs": p.tolist()}
        for body, p in zip(bodies, probs, strict=True)
    ]


def load(folder: Path) -> ImageNet:
    """The model in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    with np.load(folder / "net.npz", allow_pickle=False) as file:
        net = from_arrays({name: file[name] for name in file.files})
    model = ImageNet(
        classes=tuple(said["classes"]),
        inputs=tuple(said["inputs"]),
        side=int(said["side"]),
        net=net,
        prior=np.array(said["prior"]),
        calibration=Calibration(**said["calibration"]),
    )
    expected = json.loads((folder / "vectors.json").read_text("utf-8"))
    told = np.array([case["probs"] for case in vectors(model)])
    if np.abs(told - [case["probs"] for case in expected]).max() > SAME:
        raise Damaged("image_model_differs", path=str(folder))
    return model


# --- the trainer ------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """A mixture as arrays: squares float32[n, 3, side, side], which could be read, classes, weights."""

    squares: Floats32
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


@dataclass(frozen=True, kw_only=True)
class ImageCnn:
    """Trainer of pictures; see `image_cnn`."""

    side: int | None = None
    plan: Plan = field(default_factory=Plan)

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Model:
        """One fit with the parent's constants if it is such a model of these classes, else a cross-fit."""
        lesson, side = self._lesson(mixture)
        if isinstance(parent, ImageNet) and parent.classes == lesson.classes:
            return self._model(lesson, side, parent.calibration, mixture, seed)
        return self._crossfit(lesson, side, own_folds(lesson.y), mixture, seed).model

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold and one on all rows; folds int8[n], -1 = never held out."""
        lesson, side = self._lesson(mixture)
        return self._crossfit(lesson, side, folds, mixture, seed)

    def _lesson(self, mixture: Mixture) -> tuple[Lesson, int]:
        torch()  # who lacks it is told before pictures are read
        if mixture.task.answer != "class":
            raise RecipeError("pictures_are_classes", answer=mixture.task.answer)
        classes, y, weight = labels_of(mixture)[:3]
        rows, inputs = Rows(mixture.records), mixture.task.inputs
        side = self.side or (TRANSFER if self.plan.checkpoint is not None else side_of(rows, inputs[0]))
        squares, known = read(rows, inputs, side)
        return Lesson(squares, known, y, weight, classes), side

    def _fit(self, lesson: Lesson, rows: NDArray[np.bool_], seed: int) -> Net:
        at = np.flatnonzero(rows & lesson.heard)
        return learn(
            lesson.squares[at], lesson.y[at], lesson.weight[at], len(lesson.classes), self.plan, seed
        )

    def _crossfit(
        self, lesson: Lesson, side: int, folds: np.ndarray, mixture: Mixture, seed: int
    ) -> CrossFit:
        n, k = len(lesson.y), len(lesson.classes)
        scores, fits = np.full((n, k), -1.0), 0
        for fold in np.unique(folds[folds >= 0]):
            mine = folds == fold
            if not (lesson.heard & ~mine).any():
                continue
            net, fits = self._fit(lesson, ~mine, seed + int(fold) + 1), fits + 1
            scores[mine] = scores_of(net, lesson.squares[mine])
        heard, none = (folds >= 0) & lesson.heard, np.zeros(n)
        constants = calibrate(
            scores[heard], lesson.y[heard], lesson.weight[heard], lesson.prior, none[heard], 0.0
        )
        probs = probabilities(scores, lesson.known, lesson.prior, constants)
        answers = answer(
            lesson.classes, probs, in_scope(scores, lesson.known, none, constants), np.asarray(folds >= 0)
        )
        model = self._model(lesson, side, constants, mixture, seed)
        return CrossFit(model=model, answers=answers, fits=fits + 1)

    def _model(
        self, lesson: Lesson, side: int, constants: Calibration, mixture: Mixture, seed: int
    ) -> ImageNet:
        return ImageNet(
            classes=lesson.classes,
            inputs=mixture.task.inputs,
            side=side,
            net=self._fit(lesson, np.ones(len(lesson.y), bool), seed),
            prior=lesson.prior,
            calibration=constants,
        )


def image_cnn(
    epochs: int = 30, side: int | None = None, flips: bool = False, checkpoint: str | Path | None = None
) -> ImageCnn:
    """A small residual network over pictures, learnt with augmentation and calibrated out of fold.

    epochs: over all rows; side: of the square of pixels that is looked at, None = 16, 32 or 64 by the
    pictures; flips: a mirror image is as good (not of letters or digits); checkpoint: weights of a resnet18
    or resnet34 (torchvision or timm; .pth or .safetensors) to start from. The same rows and seed give the
    same model on one machine.
    """
    if checkpoint is None:
        return ImageCnn(side=side, plan=Plan(epochs=epochs, flips=flips))
    path = Path(checkpoint)
    if not path.is_file():
        raise InputError("checkpoint", path=str(path), why="there is no such file")
    named = digest(path.read_bytes())
    return ImageCnn(side=side, plan=Plan(epochs=epochs, flips=flips, checkpoint=path, weights=named))
