"""Is the source with 40 % wrong labels named, and no good one? Many small turns, and some whole ones.

    BAPSIM_DATA=... OMP_NUM_THREADS=1 python benchmarks/bad_sources.py [--runs 200] [--wheel 4]

Three situations: four sources meet a model of 1,500 rows; these rows and four sources come in one first turn;
four sources come alone. Writes docs/results/bad_sources.md and .json. The many runs use the product's own
calibration and verdicts on a ridge of 300 dimensions (gate_models); `--wheel` whole turns with `text_linear`
say whether that stands for the product.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bad_sources_page import report
from bapsim.judge.compare import points_interval, standardised
from bapsim.judge.gate import OOF_INFLATION
from bapsim.judge.residual import Delivery, flagged, limit, residuals
from bapsim.train.text import calibrate, probabilities
from bapsim.wheel.suspicion import DOUBT, HELPS
from gate_evidence import confusable
from gate_models import fit, vectors

OUT = Path(__file__).parent.parent / "docs" / "results" / "bad_sources"
NAMES = ("banking77", "clinc150", "3i4k", "nsmc_ko")
BASE = 1500
SIZES = {"500": (500,) * 4, "150": (150,) * 4, "800 to 100": (800, 400, 200, 100)}
HEARD = 1000  # held-out rows that are enough for a calibration
FLOORED = 1e-4


@dataclass(frozen=True)
class Answered:
    """What one cross-fitted model says: probs [n, k] of its classes about all rows of a world."""

    probs: np.ndarray
    classes: np.ndarray
    eaten: np.ndarray

    def codes(self, label: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self.classes, label)
        at = np.minimum(at, len(self.classes) - 1)
        return np.where(self.classes[at] == label, at, -1)


def answered(z: np.ndarray, label: np.ndarray, eaten: np.ndarray, rng: np.random.Generator) -> Answered:
    """Out of fold where eaten, directly elsewhere; calibrated as the product does."""
    classes, y = np.unique(label[eaten], return_inverse=True)
    mine, k = z[eaten], len(classes)
    order = rng.permutation(len(y))
    folds = np.empty(len(y), np.int64)
    folds[order[np.argsort(y[order], kind="stable")]] = np.arange(len(y)) % 5
    target = np.eye(k)[y] - 1 / k
    parts = [
        (mine[folds == f].T @ mine[folds == f], mine[folds == f].T @ target[folds == f]) for f in range(5)
    ]
    gram, cross = sum(p[0] for p in parts) + np.eye(z.shape[1]), sum(p[1] for p in parts)
    scores = np.empty((len(z), k))
    inside = np.empty((len(y), k))
    for f, (less, gone) in enumerate(parts):
        inside[folds == f] = mine[folds == f] @ np.linalg.solve(gram - less, cross - gone)
    scores[eaten] = inside
    if not eaten.all():
        scores[~eaten] = z[~eaten] @ fit(mine, y, k)
    scores = 2 * (scores + 1 / k) - 1  # to the range of the product's scores, whose bend is fixed
    prior = (np.bincount(y, minlength=k) + 0.5) / (len(y) + 0.5 * k)
    heard = np.linspace(0, len(y) - 1, min(HEARD, len(y))).astype(np.int64)
    ones = np.ones(len(heard))
    constants = calibrate(scores[eaten][heard], y[heard], ones, prior, ones, 1.0)
    return Answered(probabilities(scores, np.ones(len(z), bool), prior, constants), classes, eaten)


def judged(
    said: Answered, name: np.ndarray, label: np.ndarray, fresh: Sequence[str], proven: bool
) -> Mapping:
    return residuals(name, said.probs, said.codes(label), said.eaten, proven=proven, among=fresh)


@dataclass
class World:
    """The rows of one run: z [n, 300], true classes, each row's delivery, and which deliveries are new."""

    z: np.ndarray
    truth: np.ndarray
    name: np.ndarray
    fresh: tuple[str, ...]
    rng: np.random.Generator
    clean: dict[str, Answered] = field(default_factory=dict)  # models that never saw a wrong label

    def without(self, bad: str, label: np.ndarray) -> Answered:
        if bad not in self.clean:
            self.clean[bad] = answered(self.z, label, self.name != bad, self.rng)
        return self.clean[bad]


def spoiled(
    truth: np.ndarray, kind: str, rate: float, near: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Labels of which exactly this share is wrong; `drawn`: replaced by any class, the right one too."""
    label, k = truth.copy(), len(near)
    bad = rng.permutation(len(truth))[: round(rate * len(truth))]
    if kind == "uniform":
        label[bad] = (label[bad] + rng.integers(1, k, len(bad))) % k
    elif kind == "drawn":
        label[bad] = rng.integers(0, k, len(bad))
    elif kind == "confused":
        label[bad] = near[label[bad]]
    return label


def one_verdict(world: World, label: np.ndarray, champion: Answered | None, bad: str) -> dict[str, Any]:
    """The wheel's two readings and its retrain, as `wheel.suspicion` does them."""
    asked = world.fresh if champion is not None else tuple(np.unique(world.name).tolist())
    whole = answered(world.z, label, np.ones(len(label), bool), world.rng)
    inside = judged(whole, world.name, label, asked, False)
    doubtful = [n for n in asked if inside[n].z > DOUBT]
    if champion is not None:
        outside = judged(champion, world.name, label, asked, True)
        named = [n for n in flagged(outside, asked) if n in doubtful]
    else:
        outside, named = {}, []
        if doubtful == [bad]:  # the usual case, whose clean model the kinds of noise share
            outside = judged(world.without(bad, label), world.name, label, asked, False)
        elif doubtful:
            left = answered(world.z, label, ~np.isin(world.name, doubtful), world.rng)
            outside = judged(left, world.name, label, asked, False)
        named = list(flagged(outside, doubtful, of=len(asked))) if outside else []
    seen: Delivery | None = outside.get(bad)
    return {
        "named": bad in named,
        "others": sorted(set(named) - {bad}),
        "noise": None if seen is None or np.isnan(seen.z) else [seen.noise, seen.low, seen.high, seen.z],
        "first_z": _number(inside[bad].z),
        **helps(world, label, whole, bad),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def helps(world: World, label: np.ndarray, whole: Answered, bad: str) -> dict[str, Any]:
    """The model with the suspect against the one without, on the rows of the others: z in log-loss, points,
    and whether their interval (as `wheel.contrast` has it) tells.
    """
    rows = world.name != bad
    losses, right = [], []
    for said in (world.without(bad, label), whole):
        code, probs = said.codes(label[rows]), said.probs[rows]
        p = np.where(code >= 0, probs[np.arange(len(code)), code], FLOORED)
        losses.append(-np.log(np.maximum(p, FLOORED)))
        right.append((probs.argmax(axis=1) == code).astype(float))
    gains = right[1] - right[0]
    gain, wide = float(gains.mean()), math.sqrt(OOF_INFLATION)
    low, high = points_interval(gains, len(gains))
    tells = gain - wide * (gain - low) > 0 or gain + wide * (high - gain) < 0
    return {"helps": standardised(losses[0] - losses[1]), "gain": gain, "tells": bool(tells)}


def deliveries(
    order: np.ndarray, sizes: Sequence[int], base: int
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Row numbers, the delivery of each, and the names of the four."""
    fresh = tuple(f"source {i}" for i in range(len(sizes)))
    counts = ([base] if base else []) + list(sizes)
    names = ([] if not base else ["base"]) + list(fresh)
    return order[: sum(counts)], np.repeat(names, counts), fresh


KINDS = ("none", "uniform", "drawn", "confused")
SITUATIONS = ("proven", "first turn", "alone")


def run(name: str, seed: int, sizes: Sequence[int]) -> dict[str, Any]:
    """One draw of rows: all situations and kinds of wrong labels on the same rows."""
    v, found = vectors(name), {}
    order = np.random.default_rng([1, seed]).permutation(len(v.y))
    bad = f"source {seed % len(sizes)}"
    near = confusable_of(name)
    for situation in SITUATIONS[1:]:
        rows, names, fresh = deliveries(order, sizes, BASE if situation == "first turn" else 0)
        world = World(v.z[rows], v.y[rows], names, fresh, np.random.default_rng([2, seed]))
        champion = answered(world.z, world.truth, names == "base", world.rng) if "base" in names else None
        for kind in KINDS:
            if kind == "drawn" and v.classes > 10:  # one in 77 of them is right: the same as uniform
                continue
            label = world.truth.copy()
            mine = names == bad
            label[mine] = spoiled(label[mine], kind, 0.4, near, np.random.default_rng([3, seed]))
            found[f"{situation}/{kind}"] = one_verdict(world, label, None, bad)
            if champion is not None:
                found[f"proven/{kind}"] = one_verdict(world, label, champion, bad)
    return found


_NEAR: dict[str, np.ndarray] = {}


def confusable_of(name: str) -> np.ndarray:
    if name not in _NEAR:
        _NEAR[name] = confusable(vectors(name))
    return _NEAR[name]


# --- good sources that look odd


def odd_sources(
    v: Any, champion: Answered, base: np.ndarray, left: np.ndarray, rng: np.random.Generator
) -> dict:
    """Good sources of 500 rows out of `left`: the hardest by a model of the base, a mix of few classes, and
    classes of which the model has none, or three rows.
    """
    sure = champion.probs[len(base) :].max(axis=1)
    odds = rng.dirichlet(np.full(v.classes, 0.5 if v.classes <= 10 else 0.05))
    odds = odds[v.y[left]] / np.bincount(v.y[left], minlength=v.classes)[v.y[left]]
    skewed = left[np.argsort(-np.log(rng.random(len(left))) / np.maximum(odds, 1e-12))[:500]]
    return {"hardest": left[np.argsort(sure)[:500]], "few classes": skewed}


def odd(name: str, seed: int) -> dict[str, Any]:
    """Whether good sources are named that look odd to a model of 1,500 rows, beside a bad one of 500."""
    v, near = vectors(name), confusable_of(name)
    rng = np.random.default_rng([4, seed])
    order = rng.permutation(len(v.y))
    rare = rng.permutation(v.classes)[: max(1, v.classes // 10)]
    is_rare, found = np.isin(v.y[order], rare), {}
    plain, of_rare = order[~is_rare], order[is_rare]
    for kind in ("hardest", "few classes", "new classes", "rare classes"):
        few = 3 if kind == "rare classes" else 0
        if kind == "new classes" and v.classes == 2:
            continue
        if kind in ("hardest", "few classes"):
            base, bad, good, left = np.split(order, [BASE, BASE + 500, BASE + 1000])
            said = answered(
                v.z[np.r_[base, left]], v.y[np.r_[base, left]], np.arange(BASE + len(left)) < BASE, rng
            )
            special = odd_sources(v, said, base, left, rng)[kind]
        else:
            known = np.concatenate([of_rare[v.y[of_rare] == c][:few] for c in rare])
            base, bad, good, _ = np.split(plain, [BASE, BASE + 500, BASE + 1000])
            base, others = np.r_[known, base[len(known) :]], np.setdiff1d(of_rare, known)
            special = rng.permutation(others)[:500]
        found[kind] = _odd_verdict(v, [base, bad, good, special], near, seed)
    return found


def _odd_verdict(v: Any, parts: Sequence[np.ndarray], near: np.ndarray, seed: int) -> dict[str, Any]:
    rows = np.concatenate(parts)
    names = np.repeat(["base", "bad", "good", "odd"], [len(p) for p in parts])
    world = World(v.z[rows], v.y[rows], names, ("bad", "good", "odd"), np.random.default_rng([5, seed]))
    label = world.truth.copy()
    label[names == "bad"] = spoiled(
        label[names == "bad"], "confused", 0.4, near, np.random.default_rng([3, seed])
    )
    champion = answered(world.z, label, names == "base", world.rng)
    said = one_verdict(world, label, champion, "bad")
    first = judged(champion, names, label, world.fresh, True)["odd"]
    by_one = not np.isnan(first.z) and first.z > limit(3)
    return {
        "bad": said["named"],
        "odd": "odd" in said["others"],
        "one_reading": bool(by_one),
        "new": first.new,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--runs", type=int, default=200)
    ask.add_argument("--odd", type=int, default=60)
    ask.add_argument("--wheel", type=int, default=4, help="whole turns a cell")
    ask.add_argument("--sets", nargs="+", default=list(NAMES))
    said = ask.parse_args(arguments)
    found: dict[str, Any] = {"runs": said.runs, "odd_runs": said.odd, "wheel_runs": said.wheel, "cells": {}}
    found["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    for name in said.sets:
        for size, sizes in SIZES.items():
            runs = said.runs if size != "800 to 100" else min(said.runs, 60)
            found["cells"][f"{name}/{size}"] = [run(name, seed, sizes) for seed in range(runs)]
            print(name, size, f"{time.process_time():.0f} s", file=sys.stderr, flush=True)
        found.setdefault("odd", {})[name] = [odd(name, seed) for seed in range(said.odd)]
        print(name, "odd", f"{time.process_time():.0f} s", file=sys.stderr, flush=True)
    found["seconds"] = time.process_time()
    found["helps"] = HELPS
    if said.wheel:
        from bad_sources_wheel import whole_turns

        found["wheel"] = {name: whole_turns(name, said.wheel) for name in said.sets}
        found["wheel_seconds"] = time.process_time() - found["seconds"]
    text, figures = report(found)
    OUT.with_suffix(".md").write_text(text)
    OUT.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
