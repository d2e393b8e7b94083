"""Made-up texts with something to learn, and small trainers for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bapsim.core.recipe import Mixture
from bapsim.core.records import Task
from bapsim.testing import mixture_of
from bapsim.train.lm.learning import Plan
from bapsim.train.lm.scratch import LmScratch, Writing, lm_scratch
from bapsim.train.lm.transformer import Shape

DOCUMENTS = Task(input="text", target="text", answer="text")
REPLIES = Task(input="ask", target="reply", answer="text")
KINDS = Task(input="text", target="label")
WHO = ("철수", "영희", "the boss", "my neighbour")
WHAT = {"배송": ("parcel", "택배가", "delivery"), "환불": ("refund", "환불이", "money")}


def sentence(i: int) -> tuple[str, str]:
    """A text and its class."""
    rng = np.random.default_rng(i)
    label = ("배송", "환불")[i % 2]
    return f"{rng.choice(WHO)} asks: {rng.choice(WHAT[label])} 언제 오나요 {rng.integers(10)}", label


def documents(begin: int, end: int) -> Mixture:
    return mixture_of([{"text": sentence(i)[0]} for i in range(begin, end)], DOCUMENTS)


def labelled(begin: int, end: int, **more: Any) -> Mixture:
    pairs = [dict(zip(("text", "label"), sentence(i), strict=True)) for i in range(begin, end)]
    return mixture_of(pairs, KINDS, **more)


def small(plan: Plan | None = None, **more: Any) -> LmScratch:
    """A trainer of a tiny decoder: under a CPU-second for a hundred sentences."""
    plan = plan or Plan(steps=0, batch=8, rate=1e-2, every=4)
    named = {name: more.pop(name) for name in ("checkpoints", "processes") if name in more}
    shape = Shape(layers=2, width=32, heads=2, context=32)
    given = {"epochs": 8, **more}
    return lm_scratch(shape, replace(plan, **named), Writing(longest=60), vocabulary=300, **given)
