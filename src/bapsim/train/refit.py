"""A linear head fitted again from where it stands: a few Newton steps after a few rows were added or changed.

The loss is that of `train.linear` (squared hinge, half the squared length of weights and bias), which has one
minimum; so a fit that goes on from an old head ends where one from the beginning does, and what differs
between the two heads is what the rows said, not how the fit went. Source: Keerthi and DeCoste 2005 (modified
finite Newton), with conjugate gradients as in Lin, Weng and Keerthi 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
SMALL = 0.25  # of the rows: up to so many active ones are copied out, more are masked
SHRINK, LEAST = 0.5, 1e-3  # of a step that does not descend


class Rows(NamedTuple):
    """Some rows of one problem: CSR float32[m, v], targets -1 or 1 float32[m], weights >= 0 float32[m]."""

    x: Any
    y: Vector
    weight: Vector


@dataclass(frozen=True, kw_only=True)
class Effort:
    """When a fit ends: Newton steps, steps of conjugate gradients in each, and the gradient's length against
    that of a head of zeros.
    """

    steps: int = 20
    inner: int = 30
    tolerance: float = 1e-3


class Fitted(NamedTuple):
    """A head: weights float32[v], bias; steps that it took."""

    weights: Vector
    bias: float
    steps: int

    def turned(self) -> Fitted:
        """The head that says the opposite."""
        return Fitted(-self.weights, -self.bias, self.steps)


def refit(parts: Sequence[Rows], cost: float, start: tuple[Vector, float], effort: Effort) -> Fitted:
    """The head of all rows of all parts, from `start` on; deterministic.

    A problem without rows of both targets goes on as any other: its bias does the work.
    """
    w, b = start[0].astype(np.float32), float(start[1])
    y = np.concatenate([part.y for part in parts])
    scale = (2 * cost * np.concatenate([part.weight for part in parts])).astype(np.float32)
    z = _times(parts, w) + np.float32(b)
    first = _gradient(parts, scale * -y, np.zeros_like(w), 0.0)  # of a head of zeros
    rare = min(float((y > 0).mean()), float((y < 0).mean())) if len(y) else 0.0
    enough = effort.tolerance * _length(*first) * max(rare, 1e-3)
    for step in range(effort.steps):
        active = (y * z < 1) & (scale > 0)
        slope = np.where(active, scale * (z - y), np.float32(0)).astype(np.float32)
        grad = _gradient(parts, slope, w, b)
        if _length(*grad) <= enough:
            return Fitted(w, b, step)
        down = _solve(_active(parts, active, scale), grad, effort.inner)
        along = _times(parts, down[0]) + np.float32(down[1])
        t = _descent((w, b), down, (z, along, y, scale), grad)
        if t < LEAST:
            return Fitted(w, b, step)
        w, b, z = w + np.float32(t) * down[0], b + t * down[1], z + np.float32(t) * along
    return Fitted(w, b, effort.steps)


def _times(parts: Sequence[Rows], w: Vector) -> Vector:
    return np.concatenate([part.x @ w for part in parts]).astype(np.float32)


def _back(parts: Sequence[Rows], u: Vector) -> Vector:
    """The sum of the rows, each as often as `u` says."""
    total, start = None, 0
    for part in parts:
        mine = part.x.T @ u[start : start + len(part.y)]
        total, start = (mine if total is None else total + mine), start + len(part.y)
    return np.asarray(total, np.float32)


def _gradient(parts: Sequence[Rows], slope: Vector, w: Vector, b: float) -> tuple[Vector, float]:
    return w + _back(parts, slope), b + float(slope.sum(dtype=np.float64))


def _length(w: Vector, b: float) -> float:
    return float(np.sqrt(np.dot(w, w) + b * b))


def _active(parts: Sequence[Rows], active: NDArray[np.bool_], scale: Vector) -> list[tuple[Any, Vector]]:
    """What counts in the second derivative: rows, and how much each."""
    found, start = [], 0
    for part in parts:
        mine = active[start : start + len(part.y)]
        much = np.where(mine, scale[start : start + len(part.y)], np.float32(0)).astype(np.float32)
        start += len(part.y)
        if mine.sum() <= SMALL * len(mine):
            found.append((part.x[np.flatnonzero(mine)], much[mine]))
        else:
            found.append((part.x, much))
    return found


def _solve(active: list[tuple[Any, Vector]], grad: tuple[Vector, float], inner: int) -> tuple[Vector, float]:
    """The Newton step by conjugate gradients, to a tenth of the gradient's length."""
    d, c = np.zeros_like(grad[0]), 0.0
    r, e = -grad[0], -grad[1]
    p, q = r.copy(), e
    square = first = float(np.dot(r, r)) + e * e
    for _ in range(inner):
        if square <= 0.01 * first:
            break
        hp, hq = p.copy(), q
        for x, much in active:
            u = much * (x @ p + np.float32(q))
            hp += x.T @ u
            hq += float(u.sum(dtype=np.float64))
        a = square / (float(np.dot(p, hp)) + q * hq)
        d, c = d + np.float32(a) * p, c + a * q
        r, e = r - np.float32(a) * hp, e - a * hq
        before, square = square, float(np.dot(r, r)) + e * e
        p, q = r + np.float32(square / before) * p, e + square / before * q
    return d, c


def _descent(
    at: tuple[Vector, float],
    down: tuple[Vector, float],
    line: tuple[Vector, Vector, Vector, Vector],
    grad: tuple[Vector, float],
) -> float:
    """How far to go: the whole step, or half of it and so on, until the loss falls enough."""
    z, along, y, scale = line
    square = float(np.dot(at[0], at[0])) + at[1] ** 2
    cross = float(np.dot(at[0], down[0])) + at[1] * down[1]
    own = float(np.dot(down[0], down[0])) + down[1] ** 2
    slope = float(np.dot(grad[0], down[0])) + grad[1] * down[1]

    def loss(t: float) -> float:
        short = np.maximum(1 - y * (z + np.float32(t) * along), 0).astype(np.float64)
        return (square + 2 * t * cross + t * t * own) / 2 + float((scale * short**2).sum()) / 2

    here, t = loss(0.0), 1.0
    while loss(t) > here + 0.01 * t * slope and t >= LEAST:
        t *= SHRINK
    return t
