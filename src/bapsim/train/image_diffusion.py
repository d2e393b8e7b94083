"""A generator of small pictures by class-conditional denoising diffusion (Ho et al. 2020) over components.

Pictures are told by their principal components, each of unit variance: what is drawn is smooth where real
pictures are, and some seconds of one core are enough. It is taught all classes at once with an embedding of
the class, rare rows more often (by one over the root of the frequency): shape and light are learnt from the
common classes, what is rare from the few. A net over the pixels took four times as long and drew grain
(docs/generators.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.core.turn import named_seed
from bapsim.train import diffusion, drawing, squares
from bapsim.train.image_net import torch
from bapsim.train.trees import one_thread

LOADER = "bapsim.train.image_diffusion:load"
LEAST = 2  # rows of a class
SHARE, MOST = 0.98, 256  # of the variance that components explain, and components
SAMPLE = 2000  # pictures that components are found in
LIMIT = 4.0  # standard deviations of a component

Ints = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class Basis(NamedTuple):
    """What pictures are made of: mean float32[p], components float32[k, p], each as large as its spread."""

    mean: Floats32
    parts: Floats32

    def told(self, flat: Floats32) -> Floats32:
        """float32[n, k]: how much of each component is in pictures float32[n, p], of unit variance."""
        sizes = (self.parts.astype(np.float64) ** 2).sum(axis=1)
        told = (flat - self.mean).astype(np.float64) @ self.parts.T / np.maximum(sizes, 1e-12)
        return np.ascontiguousarray(told, np.float32)

    def shown(self, told: Floats32) -> Floats32:
        """float32[n, p]: the pictures of these components."""
        return np.asarray(told @ self.parts + self.mean, np.float32)


def basis(flat: Floats32, share: NDArray[np.float64], seed: int) -> Basis:
    """The components of pictures float32[n, p] that explain SHARE of their variance, from SAMPLE at most,
    rare ones rather than common ones.
    """
    rng = np.random.default_rng(named_seed(seed, "basis"))
    at = np.sort(rng.choice(len(flat), min(len(flat), SAMPLE), replace=False, p=share))
    mean = flat[at].mean(axis=0, dtype=np.float64)
    off = flat[at] - mean
    values, vectors = np.linalg.eigh(off @ off.T)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    explained = np.cumsum(values) / max(float(values.sum()), 1e-12)
    real = int((values > 1e-9 * max(float(values[0]), 1e-12)).sum())
    k = max(1, min(int(np.searchsorted(explained, SHARE)) + 1, MOST, real))
    parts = vectors[:, :k].T @ off / np.sqrt(len(at))
    signs = np.where(parts[np.arange(k), np.abs(parts).argmax(axis=1)] < 0, -1, 1)  # not left to chance
    return Basis(mean.astype(np.float32), (parts * signs[:, None]).astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """A generator of pictures; shape: channels, side, side; able: rows of each class; net: of torch."""

    classes: tuple[str, ...]
    target: str
    name: str
    shape: tuple[int, ...]
    able: tuple[int, ...]
    basis: Basis
    hidden: int
    net: Any
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        order = drawing.ordered(rows, self.target, self.classes, dict(enumerate(self.able)), LEAST)

        def draw(y: Ints, seeds: list[int]) -> NDArray[np.uint8]:
            rngs = [drawing.random(self.seed, one) for one in seeds]
            told = diffusion.drawn(self.net, y, rngs, (len(self.basis.parts),), LIMIT)
            return squares.byte(self.basis.shown(told)).reshape(-1, *self.shape)

        with drawing.repeatable(0), one_thread():
            return squares.answered(self.name, drawing.in_batches(order, draw))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz (weights and components)."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "name": self.name,
            "shape": self.shape,
            "able": self.able,
            "hidden": self.hidden,
            "seed": str(self.seed),
        }
        net = {f"net.{name}": value for name, value in drawing.weights(self.net).items()}
        drawing.write(folder, said, {"mean": self.basis.mean, "parts": self.basis.parts} | net)


def load(folder: Path) -> Painted:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    named = {name.removeprefix("net."): value for name, value in arrays.items() if name.startswith("net.")}
    found = Basis(arrays["mean"], arrays["parts"])
    net = diffusion.net_of(len(found.parts), len(said["classes"]), int(said["hidden"]))
    return Painted(
        classes=tuple(said["classes"]),
        target=said["target"],
        name=said["name"],
        shape=tuple(said["shape"]),
        able=tuple(said["able"]),
        basis=found,
        hidden=int(said["hidden"]),
        net=drawing.filled(net, named, folder),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class ImageDiffusion:
    """Trainer of a generator; see `image_diffusion`."""

    steps: int = 2500
    hidden: int = 256
    side: int | None = None
    batch: int = 128

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Painted:
        torch()  # who lacks it is told before pictures are read
        labels = drawing.taught(mixture, LEAST)
        seen = squares.lesson(mixture, labels, self.side, LEAST)
        flat, share = squares.signed(seen.squares).reshape(len(seen.y), -1), drawing.rarely(seen.y)
        with drawing.repeatable(seed) as t, one_thread():
            found = basis(flat, share, seed)
            net = diffusion.net_of(len(found.parts), len(labels.classes), self.hidden)
            plan = diffusion.Plan(steps=self.steps, batch=self.batch)
            diffusion.train(net, t.from_numpy(found.told(flat)), seen.y, share, plan, seed)
        return Painted(
            classes=labels.classes,
            target=mixture.task.target,
            name=mixture.task.inputs[0],
            shape=seen.squares.shape[1:],
            able=tuple(seen.able[code] for code in range(len(labels.classes))),
            basis=found,
            hidden=self.hidden,
            net=net,
            seed=seed,
        )


def image_diffusion(steps: int = 2500, hidden: int = 256, side: int | None = None) -> ImageDiffusion:
    """A generator of pictures by diffusion, conditional on the class; extra [vision] (torch).

    steps: of learning, 128 pictures each; hidden: width of the net; side: of the squares in pixels, None =
    16, 32 or 64 by the pictures. What 98 % of the variance (256 components) does not hold is not drawn.
    """
    return ImageDiffusion(steps=steps, hidden=hidden, side=side)
