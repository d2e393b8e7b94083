"""False accepts through real turns: the two models' answers are swapped inside the product's own turn.

    python benchmarks/gate_turns.py [--lifetimes 30] [--turns 20] [--jobs 2]

Each lifetime is a project on nsmc_ko: 1,000 rows at hand, then a candidate a turn from 50 more answers (10
of them fresh exam items). Turn 1 is a real one, so that a model is the champion. From then on every pair
that the screen or the gate sees has its answers swapped item by item (whole groups together) by a fair coin:
no candidate is better, whatever it learned. A lifetime with any accepted candidate is a false accept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.core.recipe import Decision, Wear  # noqa: E402
from bapsim.core.records import Scores  # noqa: E402
from bapsim.judge.gate import Paired, Screened, paired  # noqa: E402
from lab import World, live, new_folder, recipe_of  # noqa: E402


def coins(body: bytes, groups: np.ndarray, seed: int) -> np.ndarray:
    """bool[n]: a fair coin for each group, from what is judged and the lifetime's seed."""
    said = hashlib.blake2b(body, digest_size=8, key=str(seed).encode()).digest()
    rng = np.random.default_rng(int.from_bytes(said, "little"))
    which = np.unique(groups, return_inverse=True)[1]
    return (rng.random(which.max(initial=0) + 1) < 0.5)[which]


@dataclass(frozen=True)
class Swapped:
    """The product's gate, for pairs whose answers changed hands."""

    inner: Paired
    seed: int

    @property
    def budget(self) -> float:
        return self.inner.budget

    def level(self, wear: Wear) -> float:
        return self.inner.level(wear)

    def screen(self, diffs: np.ndarray, groups: np.ndarray | None = None) -> Screened:
        kin = np.arange(len(diffs)) if groups is None else groups
        flip = coins(np.ascontiguousarray(diffs).tobytes(), kin, self.seed)
        return self.inner.screen(np.where(flip, -diffs, diffs), groups)

    def __call__(self, before: Scores | None, after: Scores, metric: Any, wear: Wear) -> Decision:
        if before is None:
            return self.inner(before, after, metric, wear)
        names = np.array(after["group"].to_pylist())
        body = json.dumps([before["prediction"].to_pylist(), after["prediction"].to_pylist()]).encode()
        flip = pa.array(coins(body, names, self.seed))
        return self.inner(mixed(before, after, flip), mixed(after, before, flip), metric, wear)


def mixed(mine: Scores, other: Scores, flip: pa.Array) -> Scores:
    """`mine` with the other's answers where the coin fell so."""
    columns = [pa.compute.if_else(flip, other[n], mine[n]) for n in mine.schema.names]
    return Scores(pa.RecordBatch.from_arrays(columns, schema=mine.schema))


def one(job: tuple[int, int]) -> dict[str, Any]:
    seed, turns = job
    world = World("nsmc_ko", seed, 1000, 4000, 500)
    place = new_folder()
    try:
        first = live(world, recipe_of(world, questions=50, exam_size=200), 1, keep={2: place})
        swapped = recipe_of(world, questions=50, exam_size=200, gate=Swapped(paired(), seed))
        told = live(world, swapped, turns + 1, before=(place, first))
    finally:
        shutil.rmtree(place)
    found = {
        "seed": seed,
        "verdicts": [s["verdict"] for s in told[1:]],
        "looks": sum(s["looked"] for s in told[1:]),
        "exam": told[-1]["accounts"]["exam"],
        "first": told[0]["verdict"],
    }
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    from scipy.stats import beta

    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetimes", type=int, default=30)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/results/gate_turns"))
    args = parser.parse_args()
    with get_context("spawn").Pool(args.jobs) as pool:
        runs = pool.map(one, [(s, args.turns) for s in range(args.lifetimes)], chunksize=1)
    false = sum("accept" in r["verdicts"] for r in runs)
    n = len(runs)
    low = float(beta.ppf(0.025, false, n - false + 1)) if false else 0.0
    high = float(beta.ppf(0.975, false + 1, n - false))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")
    looks, turns = sum(r["looks"] for r in runs), args.turns * n
    refused = sum(r["verdicts"].count("refuse") for r in runs)
    args.out.with_suffix(".md").write_text(
        "# False accepts through real turns\n\n"
        f"`python benchmarks/gate_turns.py --lifetimes {n} --turns {args.turns}`\n\n"
        f"{n} projects on nsmc_ko, {args.turns} candidate turns each, answers swapped at random inside the "
        f"turn: **{false} of {n}** lifetimes accepted a candidate (95 % interval {low:.3f} to {high:.3f}); "
        f"{looks} looks in {turns} turns, {refused} candidates refused.\n"
    )
    print(args.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
