"""The same worlds as in bad_sources.py through whole turns: gather, suspect, exam, train, judge."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Rows, Task
from bapsim.core.turn import Turn
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.turn import run_turn
from lab import nearest_class, new_folder, rows_in

BASE, ROWS, BAD = 1500, 500, "source 1"
KINDS = ("none", "uniform", "confused")


@dataclass(frozen=True)
class Part:
    """One source, at one turn: `count` rows of a set in a random order from `start` on, some labels wrong."""

    name: str
    seed: int
    start: int
    count: int
    kind: str
    at_turn: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n != self.at_turn:
            return
        texts, labels = rows_in(self.name)
        at = np.random.default_rng([1, self.seed]).permutation(len(texts))[self.start :][: self.count]
        said = self._spoiled(labels[at], np.unique(labels))
        rows = {"text": pa.array(texts[at].tolist(), pa.string()), "label": pa.array(said, pa.string())}
        made = Origin(
            source="lab", input_maker="person", target_maker="person", method="file", rights="research"
        )
        yield Draft(rows=Rows(pa.record_batch(rows)), origin=made)

    def _spoiled(self, labels: np.ndarray, classes: np.ndarray) -> list[str]:
        rng = np.random.default_rng([3, self.seed])
        said = labels.tolist()
        for i in rng.permutation(len(said))[: 0 if self.kind == "none" else round(0.4 * len(said))]:
            others = [nearest_class(self.name)[said[i]]]
            if self.kind == "uniform":
                others = [c for c in classes if c != said[i]]
            said[i] = str(others[int(rng.integers(len(others)))])
        return said


def recipe(name: str, seed: int, kind: str, at_turn: int) -> Recipe:
    sources = {"base": Part(name, seed, 0, BASE, "none", 1)}
    for i in range(4):
        spoilt = kind if f"source {i}" == BAD else "none"
        sources[f"source {i}"] = Part(name, seed, BASE + i * ROWS, ROWS, spoilt, at_turn)
    return Recipe(
        task=Task(input="text", target="label"),
        sources=sources,
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(300),
        seed=seed,
    )


def whole_turns(name: str, runs: int) -> list[dict[str, Any]]:
    """One entry a turn in which the four sources came."""
    found = []
    for seed in range(runs):
        root = new_folder()
        (root / "recipe.py").write_text("# in memory\n")
        os.environ["BAPSIM_KEY"] = f"{seed:064x}"
        try:
            with opened(root) as project:
                run_turn(project, recipe(name, seed, "none", 2))
            for kind in KINDS:
                found.append({"cell": f"proven/{kind}", "seed": seed, **_turn(name, seed, kind, 2, root)})
                found.append({"cell": f"first turn/{kind}", "seed": seed, **_turn(name, seed, kind, 1, None)})
        finally:
            shutil.rmtree(root, ignore_errors=True)
        print(name, "turns", seed, f"{time.process_time():.0f} s", file=sys.stderr, flush=True)
    return found


def _turn(name: str, seed: int, kind: str, at_turn: int, before: Path | None) -> dict[str, Any]:
    root = new_folder()
    try:
        (root / "recipe.py").write_text("# in memory\n")
        if before is not None:
            shutil.copytree(before, root, dirs_exist_ok=True)
        with opened(root) as project:
            told = run_turn(project, recipe(name, seed, kind, at_turn))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    suspects = {one["name"]: one for one in told["suspects"]}
    mine = suspects.get(f"{BAD}@{at_turn}")
    return {
        "named": mine is not None,
        "other": bool(set(suspects) - {f"{BAD}@{at_turn}"}),
        "refused": mine is not None and mine["refused"],
        "noise": None if mine is None else mine["noise"],
        "low": None if mine is None else mine["low"],
        "high": None if mine is None else mine["high"],
        "verdict": told["verdict"],
    }
