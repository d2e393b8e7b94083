"""A generator of small pictures by class-conditional denoising diffusion (Ho et al. 2020).

It is taught all classes at once with an embedding of the class, rare rows more often (by one over the root of
the frequency): shape and light are learnt from the common classes, what is rare from the few.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import diffusion, drawing, squares
from bapsim.train.image_net import torch

LOADER = "bapsim.train.image_diffusion:load"
LEAST = 2  # rows of a class
GRID = 16  # patches along a side: larger pictures have larger patches

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is drawn and by which net: channels, side in pixels, width of the net; centre, spread: of
    light.
    """

    channels: int
    side: int
    wide: int
    centre: float = 0.0
    spread: float = 1.0

    def net(self, classes: int) -> Any:
        """A net that knows nothing yet."""
        return diffusion.picture_net(self.channels, classes, self.wide, max(1, self.side // GRID))


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """A generator of pictures; able: rows of each class; net: of torch."""

    classes: tuple[str, ...]
    target: str
    name: str
    form: Form
    able: tuple[int, ...]
    net: Any
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        order = drawing.ordered(rows, self.target, self.classes, dict(enumerate(self.able)), LEAST)
        shape = (self.form.channels, self.form.side, self.form.side)

        def draw(y: Ints, seeds: list[int]) -> NDArray[np.uint8]:
            rngs = [drawing.random(self.seed, one) for one in seeds]
            form, limit = self.form, (1 + abs(self.form.centre)) / self.form.spread
            made = diffusion.drawn(self.net, y, rngs, shape, limit)
            return squares.byte(made * np.float32(form.spread) + np.float32(form.centre))

        with drawing.repeatable(0):
            return squares.answered(self.name, drawing.in_batches(order, draw))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz (weights)."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "name": self.name,
            "form": vars(self.form),
            "able": self.able,
            "seed": str(self.seed),
        }
        drawing.write(folder, said, drawing.weights(self.net))


def load(folder: Path) -> Painted:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    form = Form(**said["form"])
    return Painted(
        classes=tuple(said["classes"]),
        target=said["target"],
        name=said["name"],
        form=form,
        able=tuple(said["able"]),
        net=drawing.filled(form.net(len(said["classes"])), arrays, folder),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class ImageDiffusion:
    """Trainer of a generator; see `image_diffusion`."""

    steps: int = 1500
    batch: int = 32
    wide: int = 32
    side: int | None = None

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Painted:
        torch()  # who lacks it is told before pictures are read
        labels = drawing.taught(mixture, LEAST)
        seen = squares.lesson(mixture, labels, self.side, LEAST)
        light = squares.signed(seen.squares)
        form = Form(
            channels=light.shape[1],
            side=light.shape[2],
            wide=self.wide,
            centre=float(light.mean()),
            spread=float(light.std()) or 1.0,
        )
        share = drawing.rarely(seen.y)
        with drawing.repeatable(seed) as t:
            net = form.net(len(labels.classes))
            clean = t.from_numpy((light - np.float32(form.centre)) / np.float32(form.spread))
            plan = diffusion.Plan(steps=self.steps, batch=self.batch)
            diffusion.train(net, clean, seen.y, share, plan, seed)
        return Painted(
            classes=labels.classes,
            target=mixture.task.target,
            name=mixture.task.inputs[0],
            form=form,
            able=tuple(seen.able[code] for code in range(len(labels.classes))),
            net=net,
            seed=seed,
        )


def image_diffusion(steps: int = 1500, wide: int = 32, side: int | None = None) -> ImageDiffusion:
    """A generator of pictures by diffusion, conditional on the class; extra [vision] (torch).

    steps: of learning, 32 pictures each; wide: channels of the net, a multiple of 8; side: of the squares in
    pixels, 8 or a multiple of 16, None = 16, 32 or 64 by the pictures.
    """
    return ImageDiffusion(steps=steps, wide=wide, side=side)
