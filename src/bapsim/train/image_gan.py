"""A generator of small pictures by a conditional adversarial net: the contrast, which is unstable by seed.

A net draws, another tells drawn from real, and both learn (Goodfellow et al. 2014; the class is projected as
Miyato and Koyama 2018 do). Where it fails, the pass rate of its rows says so (refine.closeness).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows
from bapsim.core.turn import named_seed
from bapsim.train import drawing, squares
from bapsim.train.image_net import torch

LOADER = "bapsim.train.image_gan:load"
LEAST = 2  # rows of a class
NOISE = 64  # numbers that a picture is drawn from
RATE = 2e-4
GRID = 16  # patches along a side: larger pictures have larger patches

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is drawn and by which nets: channels, side in pixels, width of the nets."""

    channels: int
    side: int
    wide: int

    @property
    def patch(self) -> int:
        return max(1, self.side // GRID)

    @property
    def grid(self) -> int:
        return self.side // self.patch // 4


def painter(form: Form, classes: int) -> Any:
    """A net from noise float32[n, NOISE] and classes to pictures in [-1, 1]."""
    nn = torch().nn

    class Painter(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            w = form.wide
            self.which = nn.Embedding(classes, NOISE)
            self.start = nn.Linear(2 * NOISE, 4 * w * form.grid**2)
            self.norm0, self.conv1 = nn.BatchNorm2d(4 * w), nn.Conv2d(4 * w, 2 * w, 3, 1, 1)
            self.norm1, self.conv2 = nn.BatchNorm2d(2 * w), nn.Conv2d(2 * w, w, 3, 1, 1)
            self.norm2 = nn.BatchNorm2d(w)
            self.out = nn.Conv2d(w, form.channels * form.patch**2, 3, 1, 1)

        def forward(self, z: Any, y: Any) -> Any:
            f = nn.functional
            h = self.start(torch().cat([z, self.which(y)], 1))
            h = f.relu(self.norm0(h.reshape(len(z), -1, form.grid, form.grid)))
            h = f.relu(self.norm1(self.conv1(f.interpolate(h, scale_factor=2, mode="nearest"))))
            h = f.relu(self.norm2(self.conv2(f.interpolate(h, scale_factor=2, mode="nearest"))))
            return f.pixel_shuffle(self.out(h), form.patch).tanh()

    return Painter()


def critic(form: Form, classes: int) -> Any:
    """A net from pictures and classes to how real they look."""
    nn = torch().nn

    class Critic(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            w = form.wide
            self.into = nn.Conv2d(form.channels * form.patch**2, w, 3, 1, 1)
            self.conv1, self.conv2 = nn.Conv2d(w, 2 * w, 4, 2, 1), nn.Conv2d(2 * w, 4 * w, 4, 2, 1)
            self.out, self.which = nn.Linear(4 * w, 1), nn.Embedding(classes, 4 * w)

        def forward(self, x: Any, y: Any) -> Any:
            f = nn.functional
            h = f.leaky_relu(self.into(f.pixel_unshuffle(x, form.patch)), 0.2)
            h = f.leaky_relu(self.conv2(f.leaky_relu(self.conv1(h), 0.2)), 0.2).mean(dim=(2, 3))
            return self.out(h)[:, 0] + (h * self.which(y)).sum(1)

    return Critic()


def train(
    form: Form, classes: int, x: NDArray[np.float32], y: Ints, steps: int, batch: int, seed: int
) -> Any:
    """A painter that was taught n pictures float32[n, c, side, side] of classes int64[n]."""
    t = torch()
    paints, tells = painter(form, classes), critic(form, classes)
    rng = np.random.default_rng(named_seed(seed, "gan"))
    ways = [t.optim.Adam(net.parameters(), lr=RATE, betas=(0.5, 0.999)) for net in (paints, tells)]
    share, real, named = drawing.rarely(y), t.from_numpy(x), t.from_numpy(y)
    soft = t.nn.functional.softplus
    for _ in range(steps):
        at = t.from_numpy(rng.choice(len(y), batch, p=share))
        of = named[at]
        made = paints(t.randn(batch, NOISE), of)
        loss = soft(-tells(real[at], of)).mean() + soft(tells(made.detach(), of)).mean()
        ways[1].zero_grad()
        loss.backward()
        ways[1].step()
        ways[0].zero_grad()
        soft(-tells(made, of)).mean().backward()
        ways[0].step()
    return paints.eval()


@dataclass(frozen=True, kw_only=True, eq=False)
class Forged:
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

        def draw(y: Ints, seeds: list[int]) -> NDArray[np.uint8]:
            z = [drawing.random(self.seed, one).standard_normal(NOISE, dtype=np.float32) for one in seeds]
            t = torch()
            with t.inference_mode():
                return squares.byte(self.net(t.from_numpy(np.stack(z)), t.from_numpy(y)).numpy())

        with drawing.repeatable(0):
            return squares.answered(self.name, drawing.in_batches(order, draw))

    def save(self, folder: Path) -> None:
        """model.json and drawn.npz (weights of the net that draws)."""
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


def load(folder: Path) -> Forged:
    """The generator in a folder."""
    said, arrays = drawing.stored(folder)
    form = Form(**said["form"])
    return Forged(
        classes=tuple(said["classes"]),
        target=said["target"],
        name=said["name"],
        form=form,
        able=tuple(said["able"]),
        net=drawing.filled(painter(form, len(said["classes"])), arrays, folder),
        seed=int(said["seed"]),
    )


@dataclass(frozen=True, kw_only=True)
class ImageGan:
    """Trainer of a generator; see `image_gan`."""

    steps: int = 2000
    batch: int = 32
    wide: int = 32
    side: int | None = None

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Forged:
        torch()  # who lacks it is told before pictures are read
        labels = drawing.taught(mixture, LEAST)
        seen = squares.lesson(mixture, labels, self.side, LEAST)
        form = Form(channels=seen.squares.shape[1], side=seen.squares.shape[2], wide=self.wide)
        real, classes = squares.signed(seen.squares), labels.classes
        with drawing.repeatable(seed):
            net = train(form, len(classes), real, seen.y, self.steps, self.batch, seed)
        return Forged(
            classes=classes,
            target=mixture.task.target,
            name=mixture.task.inputs[0],
            form=form,
            able=tuple(seen.able[code] for code in range(len(classes))),
            net=net,
            seed=seed,
        )


def image_gan(steps: int = 2000, wide: int = 32, side: int | None = None) -> ImageGan:
    """A generator of pictures by a conditional adversarial net; extra [vision] (torch).

    steps: of learning, 32 pictures each; wide: channels of the nets; side: of the squares in pixels, 8 or a
    multiple of 16, None = 16, 32 or 64 by the pictures.
    """
    return ImageGan(steps=steps, wide=wide, side=side)
