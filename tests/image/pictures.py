"""Small pictures drawn by us: parts on a belt, each with its own scratches, some with a crack or a hole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 48


def part(i: int, kind: str) -> np.ndarray:
    """uint8[48, 48]: part number i, free, cracked or holed; the same one on every machine."""
    rng = np.random.default_rng([11, i])
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    light = 120 + 30 * np.sin(x / rng.uniform(5, 12) + rng.uniform(0, 6)) + rng.normal(0, 6, (SIDE, SIDE))
    for _ in range(6):
        light[:, int(rng.integers(SIDE))] += rng.uniform(-25, 25)
    if kind == "crack":
        light[np.abs((y - rng.uniform(10, 38)) - rng.uniform(-1, 1) * (x - 24)) < 1.5] -= 70
    if kind == "hole":
        light[(y - rng.uniform(12, 36)) ** 2 + (x - rng.uniform(12, 36)) ** 2 < 20] -= 80
    return np.clip(light, 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def kind_of(i: int) -> str:
    return ("free", "free", "crack", "free", "hole")[i % 5]


def write_parts(folder: Path, numbers: range, *, labelled: bool = True) -> None:
    """part0007.png, each in the folder of its class, or all in one folder."""
    for i in numbers:
        place = folder / kind_of(i) if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        (place / f"part{i:04d}.png").write_bytes(encoded(part(i, kind_of(i))))


def many_scans() -> bytes:
    """A progressive JPEG with its last scan 300 times: each costs a decoder as much as all pixels."""
    out = io.BytesIO()
    Image.new("L", (64, 64), 127).save(out, "JPEG", progressive=True)
    body = out.getvalue()
    last = body.rindex(b"\xff\xda")
    return body[:last] + body[last:-2] * 300 + body[-2:]
