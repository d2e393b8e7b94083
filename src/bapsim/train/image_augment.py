"""A generator of pictures that shows a picture of the class anew: turned, moved, mirrored, lighter or darker.

The label is kept only where a turned or mirrored part is still that part: what does not hold in the domain
(letters, gauges) is switched off. The model holds the pictures that it learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.train import drawing, squares

LOADER = "bapsim.train.image_augment:load"
LEAST = 1  # rows of a class

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


def shown(
    picture: Bytes, turn: float, move: float, light: float, flips: bool, rng: np.random.Generator
) -> Bytes:
    """A square uint8[c, side, side] seen anew: turned by up to `turn` degrees, moved by up to `move` of its
    side, lighter or darker by up to `light`, mirrored at the upright in half of all; the border is repeated.
    """
    side = picture.shape[-1]
    angle = np.deg2rad(rng.uniform(-turn, turn))
    down, across = rng.uniform(-move, move, 2) * side
    mirror = -1.0 if flips and rng.random() < 0.5 else 1.0
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    at = np.stack(
        [
            np.cos(angle) * y - np.sin(angle) * x + down,
            (np.sin(angle) * y + np.cos(angle) * x) * mirror + across,
        ]
    )
    seen = between(picture.astype(np.float64), at + (side - 1) / 2)
    factor, shade = 1 + rng.uniform(-light, light), rng.uniform(-light, light) * 127.5
    return np.clip(np.rint((seen - 127.5) * factor + 127.5 + shade), 0, 255).astype(np.uint8)


def between(picture: Floats, at: Floats) -> Floats:
    """float64[c, side, side]: the picture at places float64[2, side, side], linear between pixels."""
    last = picture.shape[-1] - 1
    at = np.clip(at, 0, last)
    low = np.minimum(np.floor(at).astype(np.int64), max(last - 1, 0))
    high, (v, u) = np.minimum(low + 1, last), at - low
    above = picture[:, low[0], low[1]] * (1 - u) + picture[:, low[0], high[1]] * u
    below = picture[:, high[0], low[1]] * (1 - u) + picture[:, high[0], high[1]] * u
    return np.asarray(above * (1 - v) + below * v)


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How much a picture may change: turn in degrees, move in shares of its side, light in shares; flips."""

    turn: float = 10.0
    move: float = 0.08
    light: float = 0.15
    flips: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmented:
    """A generator of pictures seen anew; squares uint8[n, c, side, side], y int64[n]: what it was taught."""

    classes: tuple[str, ...]
    target: str
    name: str
    squares: Bytes
    y: NDArray[np.int64]
    ways: Ways
    seed: int

    def __call__(self, rows: Rows, /) -> Answers:
        able = dict(enumerate(np.bincount(self.y, minlength=len(self.classes)).tolist()))
        order = drawing.ordered(rows, self.target, self.classes, able, LEAST)
        made, ways = [], self.ways
        for code, one in zip(order.y, order.seeds, strict=True):
            rng = drawing.random(self.seed, one)
            mine = np.flatnonzero(self.y == code)
            picture = self.squares[mine[int(rng.integers(len(mine)))]]
            made.append(shown(picture, ways.turn, ways.move, ways.light, ways.flips, rng))
        return squares.answered(self.name, made)

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz, which holds the pictures that were taught."""
        said = {
            "loader": LOADER,
            "classes": self.classes,
            "target": self.target,
            "name": self.name,
            "ways": vars(self.ways),
            "seed": str(self.seed),
        }
        drawing.write(folder, said, {"squares": self.squares, "y": self.y})


def load(folder: Path) -> Augmented:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    return Augmented(
        classes=tuple(said["classes"]),
        target=said["target"],
        name=said["name"],
        squares=arrays["squares"],
        y=arrays["y"],
        ways=Ways(**said["ways"]),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class ImageAugment:
    """Trainer of a generator; see `image_augment`."""

    ways: Ways
    side: int | None = None

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Augmented:
        labels = drawing.taught(mixture, LEAST)
        seen = squares.lesson(mixture, labels, self.side, LEAST)
        return Augmented(
            classes=labels.classes,
            target=mixture.task.target,
            name=mixture.task.inputs[0],
            squares=seen.squares,
            y=seen.y,
            ways=self.ways,
            seed=seed,
        )


def image_augment(
    turn: float = 10.0, move: float = 0.08, light: float = 0.15, flips: bool = True, side: int | None = None
) -> ImageAugment:
    """A generator of pictures seen anew.

    turn: in degrees; move: of the side; light: brightness and contrast, shares; flips: a mirror image is as
    good; side: of the squares in pixels, None = 16, 32 or 64 by the pictures.
    """
    return ImageAugment(ways=Ways(turn=turn, move=move, light=light, flips=flips), side=side)
