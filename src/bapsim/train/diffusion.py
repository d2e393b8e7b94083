"""Denoising diffusion: noise is added in 100 steps, a net learns to tell it, and rows are drawn without it.

Ho et al. 2020, with the cosine schedule of Nichol and Dhariwal 2021. What is told is noise against row, each
by the other's share (Salimans and Ho 2022): a small net learns that in a tenth of the steps that bare noise
takes. One schedule and one net for rows of tables and for components of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.turn import named_seed
from bapsim.train.image_net import torch

STEPS = 100


def _kept() -> NDArray[np.float64]:
    """The share of a row's variance that is left after each step."""
    wave = np.cos((np.arange(STEPS + 1) / STEPS + 0.008) / 1.008 * np.pi / 2) ** 2
    lost = np.minimum(1 - wave[1:] / wave[:-1], 0.999)
    return np.cumprod(1 - lost)


KEPT = _kept()
WIDE = 32  # of what a net is told of the step
MEMORY = 0.98  # of the running mean of the weights, with which rows are drawn

Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]


def told(steps: Any) -> Any:
    """float32[n, WIDE]: waves of the step int64[n], by which a net tells early from late."""
    t = torch()
    pace = t.exp(-np.log(1000.0) * t.arange(WIDE // 2) / (WIDE // 2))
    angle = steps[:, None].float() * pace
    return t.cat([angle.sin(), angle.cos()], 1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a net is taught: steps, rows at once, the largest rate."""

    steps: int
    batch: int
    rate: float = 2e-3


def train(net: Any, x: Any, y: Ints, share: NDArray[np.float64], plan: Plan, seed: int) -> None:
    """Teaches the net rows x of classes y, drawn by `share`; leaves it the running mean of its weights.

    net(noisy, step, class) -> sqrt(kept) noise - sqrt(1 - kept) row; x: a tensor of n rows of unit variance.
    """
    t = torch()
    rng = np.random.default_rng(named_seed(seed, "diffusion"))
    kept, classes = t.from_numpy(KEPT.astype(np.float32)), t.from_numpy(y)
    optimiser = t.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=0.0)
    mean = {name: value.detach().clone() for name, value in net.named_parameters()}
    net.train()
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * min(1, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * step / plan.steps))
        at = t.from_numpy(rng.choice(len(y), plan.batch, p=share))
        clean, when = x[at], t.randint(STEPS, (plan.batch,))
        noise = t.randn_like(clean)
        left = kept[when].reshape(-1, *[1] * (clean.ndim - 1))
        near, far = left.sqrt(), (1 - left).sqrt()
        said = net(near * clean + far * noise, when, classes[at])
        loss = ((said - (near * noise - far * clean)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        t.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        forget = max(1 - MEMORY, 1 / (step + 1))
        with t.no_grad():
            for name, value in net.named_parameters():
                mean[name].lerp_(value, forget)
    with t.no_grad():
        for name, value in net.named_parameters():
            value.copy_(mean[name])
    net.eval()


def drawn(
    net: Any, y: Ints, rngs: list[np.random.Generator], shape: tuple[int, ...], limit: float
) -> Floats32:
    """float32[n, *shape]: rows of classes int64[n], each from its own random numbers; held to +-limit."""
    t = torch()
    classes = t.from_numpy(y)
    with t.inference_mode():
        x = _normal(rngs, shape)
        for step in range(STEPS - 1, -1, -1):
            kept, before = KEPT[step], KEPT[step - 1] if step else 1.0
            lost = 1 - kept / before
            said = net(x, t.full((len(y),), step), classes)
            clean = (np.sqrt(kept) * x - np.sqrt(1 - kept) * said).clamp(-limit, limit)
            x = (np.sqrt(before) * lost * clean + np.sqrt(1 - lost) * (1 - before) * x) / (1 - kept)
            if step:
                x = x + np.sqrt(lost * (1 - before) / (1 - kept)) * _normal(rngs, shape)
        return np.asarray(x.numpy())


def _normal(rngs: list[np.random.Generator], shape: tuple[int, ...]) -> Any:
    rows = [rng.standard_normal(shape, dtype=np.float32) for rng in rngs]
    return torch().from_numpy(np.stack(rows))


def net_of(width: int, classes: int, hidden: int, blocks: int = 3) -> Any:
    """A residual net over rows of `width` numbers."""
    nn = torch().nn

    class Rows(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
            self.when, self.which = nn.Linear(WIDE, hidden), nn.Embedding(classes, hidden)
            self.blocks = nn.ModuleList(
                nn.Sequential(
                    nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
                )
                for _ in range(blocks)
            )

        def forward(self, x: Any, step: Any, y: Any) -> Any:
            about = self.when(told(step)) + self.which(y)
            h = self.into(x) + about
            for block in self.blocks:
                h = h + block(h + about)
            return self.out(h)

    return Rows()
