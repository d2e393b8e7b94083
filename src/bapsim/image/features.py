"""What a small picture looks like as 860 numbers: edges by place and direction, contrast, colour, texture.

Everything is computed from a square of 64 x 64 pixels (`bapsim.image.pixels.square`), so that pictures of any
size and shape become rows of one table. docs/pictures.md specifies each number. Edge histograms follow Dalal
and Triggs 2005 and Bosch et al. 2007, texture the rotation-invariant uniform patterns of Ojala et al. 2002.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bapsim.image.pixels import NoPicture, grey, square

SIDE = 64
DIRECTIONS = 8
BATCH = 64  # squares that are worked on at once
VERSION = 1
FLOOR = np.float32(1 / 255)  # a grey level: less is not seen as a difference
STEEP = (0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 1.0)
LIGHT = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
AROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # the eight neighbours, in a circle
# Numbers of each block, in order.
BLOCKS = {"edges8": 512, "edges4": 128, "edges2": 32, "contrast": 48, "colour": 40, "texture": 100}
WIDTH = sum(BLOCKS.values())

Floats32 = NDArray[np.float32]


def features(bodies: Sequence[bytes | None]) -> tuple[Floats32, NDArray[np.bool_]]:
    """float32[n, 860] of pictures from their bytes; bool[n]: which could be read, the others are zeros."""
    out, known = np.zeros((len(bodies), WIDTH), np.float32), np.zeros(len(bodies), bool)
    for start in range(0, len(bodies), BATCH):
        squares, rows = [], []
        for i, body in enumerate(bodies[start : start + BATCH], start):
            try:
                squares.append(square(body or b"", SIDE))
            except NoPicture:
                continue
            rows.append(i)
        if rows:
            out[rows], known[rows] = measured(np.stack(squares)), True
    return out, known


def measured(squares: Floats32) -> Floats32:
    """float32[n, 860] of squares float32[n, 64, 64, 3] in [0, 1]."""
    light = grey(squares)
    down, across = _slopes(light)
    steep = np.hypot(down, across)
    edges = _directed(down, across, steep)
    parts = [
        _local(edges),
        *(np.sqrt(_unit(_cells(edges, k).reshape(len(light), -1))) for k in (4, 2)),
        _contrast(light),
        _colour(squares),
        _texture(light),
        _texture(_cells(light, SIDE // 2)),
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _cells(values: Floats32, k: int) -> Floats32:
    """float32[n, k, k, ...]: means over k x k equal cells of float32[n, s, s, ...]."""
    n, s, _, *rest = values.shape
    return np.asarray(values.reshape(n, k, s // k, k, s // k, *rest).mean(axis=(2, 4)))


def _padded(values: Floats32) -> Floats32:
    """One more row and column on each side, which repeat the border."""
    return np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")


def _slopes(light: Floats32) -> tuple[Floats32, Floats32]:
    """float32[n, s, s] each: how much brighter it gets over two pixels downwards, and to the right."""
    wide = _padded(light)
    return wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]


def _directed(down: Floats32, across: Floats32, steep: Floats32) -> Floats32:
    """float32[n, 8, 8, 8]: mean steepness in 8 x 8 cells, by direction, shared between the nearest two."""
    n, cells = len(steep), SIDE // 8
    angle = np.arctan2(down, across) * np.float32(DIRECTIONS / (2 * np.pi)) % DIRECTIONS
    first = np.minimum(angle.astype(np.int64), DIRECTIONS - 1)
    share = angle - first
    row = np.arange(SIDE) // 8
    place = np.arange(n)[:, None, None] * cells**2 + row[:, None] * cells + row
    size = n * cells**2 * DIRECTIONS
    total = np.bincount((place * DIRECTIONS + first).ravel(), (steep * (1 - share)).ravel(), size)
    second = (first + 1) % DIRECTIONS
    total += np.bincount((place * DIRECTIONS + second).ravel(), (steep * share).ravel(), size)
    return (total / 64).astype(np.float32).reshape(n, cells, cells, DIRECTIONS)


def _local(edges: Floats32) -> Floats32:
    """float32[n, 512]: each cell's edges against those of the 3 x 3 cells around it, .5 at most."""
    wide = _padded((edges**2).sum(axis=-1))
    k = edges.shape[1]
    around = sum(wide[:, i : i + k, j : j + k] for i in range(3) for j in range(3)) / 9
    return np.asarray(np.minimum(edges / np.sqrt(around + 1e-5)[..., None], 0.5).reshape(len(edges), -1))


def _unit(values: Floats32) -> Floats32:
    return np.asarray(values / np.sqrt((values**2).sum(axis=1, keepdims=True) + 1e-6))


def _quantiles(values: Floats32, at: Sequence[float]) -> Floats32:
    """float32[n, len(at)] of float32[n, m]: the value at rank floor(at * (m - 1))."""
    ranks = (np.array(at) * (values.shape[1] - 1)).astype(np.int64)
    return np.asarray(np.sort(values, axis=1)[:, ranks])


def _contrast(light: Floats32) -> Floats32:
    """float32[n, 48]: at full, half and quarter size, how steep its edges are and how light its pixels."""
    found = []
    for side in (SIDE, SIDE // 2, SIDE // 4):
        scaled = light if side == SIDE else _cells(light, side)
        steep = np.hypot(*_slopes(scaled)).reshape(len(light), -1)
        found += [np.log(_quantiles(steep, STEEP) + FLOOR), _quantiles(scaled.reshape(len(light), -1), LIGHT)]
    return np.concatenate(found, axis=1)


def _colour(squares: Floats32) -> Floats32:
    """float32[n, 40]: red less green and yellow less blue in 4 x 4 cells, their spread, and the channels'."""
    red, green, blue = squares[..., 0], squares[..., 1], squares[..., 2]
    against = np.stack([red - green, (red + green) / 2 - blue], axis=-1)
    n = len(squares)
    parts = [_cells(against, 4).reshape(n, -1), squares.mean(axis=(1, 2)), squares.std(axis=(1, 2))]
    return np.concatenate([*parts, against.std(axis=(1, 2))], axis=1)


def _texture(light: Floats32) -> Floats32:
    """float32[n, 50]: roots of the shares of ten local patterns in the whole and in each quarter.

    A pixel's pattern: how many of its eight neighbours, which lie in one run, are lighter by a grey level; 9
    if they lie in several runs.
    """
    wide, side = _padded(light), light.shape[1]
    lighter = [wide[:, i : i + side, j : j + side] >= light + FLOOR for i, j in AROUND]
    changes = sum((a != b).astype(np.int8) for a, b in zip(lighter, [*lighter[1:], lighter[0]], strict=True))
    count = sum(one.astype(np.int8) for one in lighter)
    pattern = np.where(changes <= 2, count, 9)
    shares = np.stack([_cells((pattern == p).astype(np.float32), 2) for p in range(10)], axis=-1)
    whole = shares.mean(axis=(1, 2))
    return np.asarray(np.sqrt(np.concatenate([whole, shares.reshape(len(light), -1)], axis=1)))
