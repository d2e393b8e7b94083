"""The worlds of benchmarks/circle.py: what is at hand, what the service is asked, and what is never sent."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from lab import DATA

OOS = "oos"  # the label of what fits no class: nobody can answer it
NAMES = ("clinc150", "nsmc_ko", "bccd")


@dataclass(frozen=True)
class Row:
    """A text, or the bytes of a picture, and its true label."""

    input: str | bytes
    label: str


@dataclass(frozen=True)
class World:
    """phases: requests before each turn; changes: of the recipe that `bapsim new` writes; missing: classes of
    which nothing is at hand; rare: the class that is looked for.
    """

    start: list[Row]
    stream: list[Row]
    untouched: list[Row]
    phases: tuple[int, ...]
    changes: tuple[tuple[str, str], ...]
    missing: tuple[str, ...] = ()
    rare: str | None = None

    @property
    def pictures(self) -> bool:
        return isinstance(self.start[0].input, bytes)


@cache
def lines_of(path: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def clinc150(seed: int) -> World:
    """Ten rows of each of 130 classes; the stream has 150, and requests that fit none."""
    rng = np.random.default_rng(seed)
    train, service, val = (lines_of(f"clinc150/{part}.jsonl.gz") for part in ("train", "service", "val"))
    classes = sorted({r["intent"] for r in train} - {OOS})
    missing = tuple(sorted(rng.permutation(classes)[:20].tolist()))
    counts, start, rest = Counter[str](), [], []
    for i in rng.permutation(len(train)).tolist():
        row = train[i]
        if row["intent"] not in {*missing, OOS} and counts[row["intent"]] < 10:
            counts[row["intent"]] += 1
            start.append(row)
        else:
            rest.append(row)
    phases = (1600, *[1200] * 6)
    strange = [r for r in service if r["intent"] == OOS]
    half = len(strange) // 2
    stream = [*rest, *(r for r in service if r["intent"] != OOS), *strange[:half]]
    stream = [stream[i] for i in rng.permutation(len(stream)).tolist()][: sum(phases)]
    sent = {r["text"] for r in [*stream, *start]}
    untouched = [r for r in [*val, *strange[half:]] if r["text"] not in sent]
    parts = ([Row(r["text"], r["intent"]) for r in part] for part in (start, stream, untouched))
    return World(*parts, phases, _rule(300, corrections=130), missing)


def nsmc_ko(seed: int) -> World:
    """Film reviews: 1,000 until 2008 at hand, those until 2014 in their order, untouched ones of 2015."""
    rng = np.random.default_rng(seed)
    rows = [r for r in lines_of("nsmc_ko/train.jsonl.gz") if r["label"] is not None and r["text"].strip()]
    year = np.array([int(r["date"][:4]) for r in rows])

    def some(among: np.ndarray, count: int) -> list[dict[str, Any]]:
        return [rows[i] for i in rng.permutation(np.flatnonzero(among))[:count].tolist()]

    phases = (1600, *[1200] * 5)
    stream = sorted(some((year >= 2009) & (year <= 2014), sum(phases)), key=lambda r: r["date"])
    start = some(year <= 2008, 1000)
    sent = {r["text"] for r in [*stream, *start]}
    untouched = [r for r in some(year >= 2015, 3000) if r["text"] not in sent]
    parts = ([Row(r["text"], str(r["label"])) for r in part] for part in (start, stream, untouched))
    return World(*parts, phases, _rule(300, corrections=130))


def bccd(seed: int) -> World:
    """Blood cells: 100 crops at hand, three of them platelets, which are 8 % of what comes and looked for."""
    rng = np.random.default_rng(seed)
    with np.load(DATA / "bccd" / "crops32.npz") as file:
        crops, y, image = file["x"], np.array(["red", "white", "platelet"])[file["y"]], file["image_id"]
    pictures = rng.permutation(np.unique(image))
    held = np.isin(image, pictures[: len(pictures) // 4])
    order = rng.permutation(np.flatnonzero(~held))
    start = np.concatenate(
        [order[y[order] == c][:n] for c, n in (("red", 90), ("white", 7), ("platelet", 3))]
    )
    phases = (600, *[470] * 4)
    stream = order[~np.isin(order, start)][: sum(phases)]
    parts = [[Row(_png(crops[i]), str(y[i])) for i in at] for at in (start, stream, np.flatnonzero(held))]
    changes = (*_rule(60, corrections=45), ("exam_share=0.2", 'exam_share=0.2, retrieve=("platelet",)'))
    return World(*parts, phases, changes, rare="platelet")


def _png(crop: np.ndarray) -> bytes:
    body = io.BytesIO()
    Image.fromarray(crop).save(body, "PNG")
    return body.getvalue()


def _rule(budget: int, corrections: int) -> tuple[tuple[str, str], ...]:
    """So many questions; a turn when a third of them, or so many corrections, came; drift would make more."""
    rule = f"exam=exam(), when=when(answers={budget // 3}, corrections={corrections}, drift=99),"
    return (("budget=200", f"budget={budget}"), ("exam=exam(),", rule))


WORLDS: dict[str, Callable[[int], World]] = {"clinc150": clinc150, "nsmc_ko": nsmc_ko, "bccd": bccd}
