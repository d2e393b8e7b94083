"""Learning a small residual network with torch: augmentation, transfer, and what is left when it has learnt.

The names of its parts are those of torchvision's and timm's resnet18 and resnet34, so that a checkpoint of
these is a start. Everything random comes from the seed, and one thread adds up in one order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import InputError, MissingExtra
from bapsim.image.convolve import Block, Conv, Floats32, Net

WIDTHS = (16, 32, 64)  # of the layers of a net that starts from nothing, one block each
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # colours as checkpoints have seen them
PLAIN = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SMOOTH = 0.05  # of each label is shared among all classes
DECAY = 0.01


def torch() -> Any:
    """The package torch; MissingExtra says which command installs it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("missing_vision", package="torch") from error
    return torch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """epochs over the rows; batch: rows at once; rate: the largest; flips: a mirror image is as good;
    checkpoint: a file of weights to start from.
    """

    epochs: int = 30
    batch: int = 64
    rate: float = 0.01
    flips: bool = False
    checkpoint: Path | None = field(default=None, metadata={"identity": False})
    weights: str | None = None  # the digest of that file, which is its identity


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Where a net begins: stem (kernel, stride), whether it pools, blocks by layer, channels by layer."""

    stem: tuple[int, int] = (3, 1)
    pooled: bool = False
    blocks: tuple[int, ...] = (1, 1, 1)
    widths: tuple[int, ...] = WIDTHS


# --- a net of torch -------------------------------------------------------------------------------


def built(shape: Shape, classes: int) -> Any:
    """A module named as torchvision names its ResNets."""
    nn = torch().nn

    class Basic(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, into: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = None
            if stride != 1 or into != out:
                around = nn.Conv2d(into, out, 1, stride, bias=False)
                self.downsample = nn.Sequential(around, nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            past = x if self.downsample is None else self.downsample(x)
            inside = nn.functional.relu(self.bn1(self.conv1(x)))
            return nn.functional.relu(self.bn2(self.conv2(inside)) + past)

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            kernel, stride = shape.stem
            self.conv1 = nn.Conv2d(3, shape.widths[0], kernel, stride, kernel // 2, bias=False)
            self.bn1 = nn.BatchNorm2d(shape.widths[0])
            into = shape.widths[0]
            for i, (count, out) in enumerate(zip(shape.blocks, shape.widths, strict=True), 1):
                layer = [
                    Basic(into if j == 0 else out, out, 2 if i > 1 and j == 0 else 1) for j in range(count)
                ]
                self.add_module(f"layer{i}", nn.Sequential(*layer))
                into = out
            self.fc = nn.Linear(into, classes)

        def forward(self, x: Any) -> Any:
            x = nn.functional.relu(self.bn1(self.conv1(x)))
            if shape.pooled:
                x = nn.functional.max_pool2d(x, 3, 2, 1)
            for i in range(1, len(shape.blocks) + 1):
                x = getattr(self, f"layer{i}")(x)
            return self.fc(x.mean(dim=(2, 3)))

    return Residual()


def checkpoint(path: Path) -> tuple[dict[str, Any], Shape]:
    """Weights of a ResNet of basic blocks by name, and its shape; InputError for anything else.

    Only tensors are read (safetensors, or torch's own format without code).
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            said = load_file(path)
        else:
            said = torch().load(path, map_location="cpu", weights_only=True)
    except MissingExtra:
        raise
    except Exception as error:  # a file from outside: a reader may raise anything
        raise InputError(
            "checkpoint", path=str(path), why=str(error).split("\n", maxsplit=1)[0][:80]
        ) from error
    state = {str(k): v for k, v in dict(said.get("state_dict", said)).items() if not str(k).startswith("fc.")}
    layers = sorted({int(k[5 : k.index(".")]) for k in state if k.startswith("layer")})
    counts = [len({k.split(".")[1] for k in state if k.startswith(f"layer{i}.")}) for i in layers]
    if "conv1.weight" not in state or not layers or any(".conv3." in k for k in state):
        raise InputError("checkpoint", path=str(path), why="no ResNet of basic blocks (resnet18, resnet34)")
    kernel = int(state["conv1.weight"].shape[-1])
    widths = tuple(int(state[f"layer{i}.0.conv1.weight"].shape[0]) for i in layers)
    large = kernel == 7
    return state, Shape(stem=(kernel, 2 if large else 1), pooled=large, blocks=tuple(counts), widths=widths)


# --- learning -------------------------------------------------------------------------------------


def learn(
    squares: Floats32, y: NDArray[np.int64], weight: NDArray[np.float64], classes: int, plan: Plan, seed: int
) -> Net:
    """A net from squares float32[n, 3, side, side], classes int64[n] and weights float64[n] > 0."""
    t = torch()
    threads, deterministic = t.get_num_threads(), t.are_deterministic_algorithms_enabled()
    t.set_num_threads(1)
    t.use_deterministic_algorithms(True)
    try:
        with t.random.fork_rng(devices=[]):
            t.manual_seed(seed)
            return _learnt(squares, y, weight, classes, plan)
    finally:
        t.set_num_threads(threads)
        t.use_deterministic_algorithms(deterministic)


def _learnt(
    squares: Floats32, y: NDArray[np.int64], weight: NDArray[np.float64], classes: int, plan: Plan
) -> Net:
    t = torch()
    state, shape = checkpoint(plan.checkpoint) if plan.checkpoint is not None else ({}, Shape())
    module = built(shape, classes)
    if state:
        absent = module.load_state_dict(state, strict=False)
        if set(absent.missing_keys) - {"fc.weight", "fc.bias"}:
            raise InputError("checkpoint", path=str(plan.checkpoint), why=", ".join(absent.missing_keys[:3]))
    colours = IMAGENET if state else PLAIN
    centre, spread = (t.tensor(c).reshape(3, 1, 1) for c in colours)
    x, gold = t.from_numpy(squares), t.from_numpy(y)
    share = t.from_numpy((weight / weight.mean()).astype(np.float32))
    rate = plan.rate / 10 if state else plan.rate
    steps = plan.epochs * -(-len(y) // plan.batch)
    optimiser = t.optim.AdamW(module.parameters(), lr=rate, weight_decay=DECAY)
    schedule = t.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2))
    module.train()
    for _ in range(plan.epochs):
        order = t.randperm(len(y))
        for some in order.split(plan.batch):
            if len(some) < 2:  # one row has no spread
                continue
            said = module((augmented(x[some], plan.flips) - centre) / spread)
            lost = t.nn.functional.cross_entropy(said, gold[some], reduction="none", label_smoothing=SMOOTH)
            optimiser.zero_grad()
            (lost * share[some]).mean().backward()
            optimiser.step()
            schedule.step()
    module.eval()
    return folded(module, shape, colours)


def augmented(x: Any, flips: bool) -> Any:
    """Each picture turned by up to 10 degrees, moved by up to an eighth, a tenth larger or smaller, and
    lighter or darker.
    """
    t = torch()
    n = len(x)
    turn, size = (t.rand(n) - 0.5) * 0.35, 1 + (t.rand(n) - 0.5) * 0.2
    mirror = t.where(t.rand(n) < 0.5, -1.0, 1.0) if flips else t.ones(n)
    move = (t.rand(n, 2) - 0.5) * 0.5
    rows = [t.cos(turn) * size * mirror, -t.sin(turn) * size, move[:, 0]]
    more = [t.sin(turn) * size * mirror, t.cos(turn) * size, move[:, 1]]
    theta = t.stack([t.stack(rows, 1), t.stack(more, 1)], 1)
    grid = t.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    seen = t.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    light = 1 + (t.rand(n, 1, 1, 1) - 0.5) * 0.4
    shade = (t.rand(n, 1, 1, 1) - 0.5) * 0.2
    return ((seen - 0.5) * light + 0.5 + shade).clamp(0, 1)


# --- what is left -----------------------------------------------------------------------------------


def folded(module: Any, shape: Shape, colours: tuple[tuple[float, ...], ...]) -> Net:
    """The net as plain arrays, batch statistics folded into the convolutions."""
    state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    blocks = []
    for i, count in enumerate(shape.blocks, 1):
        for j in range(count):
            name, stride = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            around = None
            if f"{name}.downsample.0.weight" in state:
                around = _conv(state, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            first = _conv(state, f"{name}.conv1", f"{name}.bn1", stride)
            blocks.append(Block(first, _conv(state, f"{name}.conv2", f"{name}.bn2", 1), around))
    return Net(
        stem=_conv(state, "conv1", "bn1", shape.stem[1]),
        pooled=shape.pooled,
        blocks=tuple(blocks),
        weights=np.ascontiguousarray(state["fc.weight"].T),
        bias=state["fc.bias"].copy(),
        centre=np.array(colours[0], np.float32),
        spread=np.array(colours[1], np.float32),
    )


def _conv(state: Mapping[str, Any], conv: str, norm: str, stride: int) -> Conv:
    spread = np.sqrt(state[f"{norm}.running_var"] + 1e-5)
    factor = (state[f"{norm}.weight"] / spread).astype(np.float32)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * factor
    return Conv(state[f"{conv}.weight"] * factor[:, None, None, None], bias.astype(np.float32), stride)
