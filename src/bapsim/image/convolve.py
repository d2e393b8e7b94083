"""A small residual network over squares of pixels, in numpy: who serves a model needs no training library.

Convolutions with batch statistics folded in, as ResNet's basic blocks are put together (He et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Conv:
    """weight float32[out, in, k, k], bias float32[out]; padded by k // 2."""

    weight: Floats32
    bias: Floats32
    stride: int = 1


@dataclass(frozen=True, eq=False)
class Block:
    """Two convolutions around which the input goes, as it is or through a convolution of one pixel."""

    first: Conv
    second: Conv
    around: Conv | None = None


@dataclass(frozen=True, eq=False)
class Net:
    """pooled: a maximum over 3 x 3 at every second pixel follows the stem; weights float32[c, k] and bias
    float32[k] come after the mean over all pixels; centre, spread: float32[3], of each colour.
    """

    stem: Conv
    pooled: bool
    blocks: tuple[Block, ...]
    weights: Floats32
    bias: Floats32
    centre: Floats32
    spread: Floats32

    def scores(self, squares: Floats32) -> Floats32:
        """float32[n, k] of squares float32[n, 3, side, side] in [0, 1]."""
        x = (squares - self.centre[:, None, None]) / self.spread[:, None, None]
        x = np.maximum(convolved(x, self.stem), 0)
        if self.pooled:
            wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
            x = _windows(wide, 3, 2).max(axis=(4, 5))
        for block in self.blocks:
            past = x if block.around is None else convolved(x, block.around)
            inside = np.maximum(convolved(x, block.first), 0)
            x = np.maximum(convolved(inside, block.second) + past, 0)
        return np.asarray(x.mean(axis=(2, 3)) @ self.weights + self.bias)


def _windows(x: Floats32, k: int, stride: int) -> Any:
    """A view float32[n, c, h', w', k, k]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def convolved(x: Floats32, conv: Conv) -> Floats32:
    """float32[n, out, h', w'] of float32[n, in, h, w]."""
    out, into, k, _ = conv.weight.shape
    pad = k // 2
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))) if pad else x
    windows = _windows(wide, k, conv.stride)
    n, _, high, broad = windows.shape[:4]
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * high * broad, into * k * k)
    made = rows @ conv.weight.reshape(out, -1).T + conv.bias
    return np.ascontiguousarray(made.reshape(n, high, broad, out).transpose(0, 3, 1, 2))


# --- as arrays by name ----------------------------------------------------------------------------


def arrays(net: Net) -> dict[str, Any]:
    """All that a net is, by names that `from_arrays` knows."""
    found: dict[str, Any] = {name: getattr(net, name) for name in ("weights", "bias", "centre", "spread")}
    found["pooled"] = np.array(net.pooled)
    for name, conv in _convolutions(net):
        found |= {f"{name}.weight": conv.weight, f"{name}.bias": conv.bias}
        found[f"{name}.stride"] = np.array(conv.stride)
    return found


def _convolutions(net: Net) -> list[tuple[str, Conv]]:
    found = [("stem", net.stem)]
    for i, block in enumerate(net.blocks):
        found += [(f"{i}.first", block.first), (f"{i}.second", block.second)]
        found += [(f"{i}.around", block.around)] if block.around is not None else []
    return found


def from_arrays(said: Mapping[str, Any]) -> Net:
    """The net that `arrays` took apart."""

    def conv(name: str) -> Conv:
        return Conv(said[f"{name}.weight"], said[f"{name}.bias"], int(said[f"{name}.stride"]))

    count = sum(name.endswith(".first.weight") for name in said)
    blocks = tuple(
        Block(
            conv(f"{i}.first"),
            conv(f"{i}.second"),
            conv(f"{i}.around") if f"{i}.around.weight" in said else None,
        )
        for i in range(count)
    )
    ends = {name: said[name] for name in ("weights", "bias", "centre", "spread")}
    return Net(stem=conv("stem"), pooled=bool(said["pooled"]), blocks=blocks, **ends)
