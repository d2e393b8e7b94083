"""Intervals of the gap between groups hold, and questions that close one, against ordinary ones.

    OMP_NUM_THREADS=1 python benchmarks/gap.py [--draws 400] [--seeds 8]

Coverage: k values with true shares of right answers, n rows each, drawn anew; how often the 95 % interval
holds the true gap (of the true extremes), how often its lower end is above 0 where all are equal, and how
far the plain difference of the extremes is off against the gap that is told. Closing: a made-up bank where
one region says each thing in 120 ways (tests/wheel/test_gapping.py), 420 rows, four turns with 120 answers
each: `closing(worth_asking(120), "region")` against `worth_asking(120)`; accuracy of what serves in the end,
on 3,000 untouched rows of each region. Writes docs/results/gap.{json,md}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results"
sys.path.insert(0, str(HERE.parent))

from tests.wheel import test_gapping as island  # noqa: E402
from tests.wheel.world import founded  # noqa: E402

from bapsim.compose.asking import closing, worth_asking  # noqa: E402
from bapsim.judge.gaps import gap, means  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from bapsim.wheel.candidates import NAME  # noqa: E402
from bapsim.wheel.turn import run_turn  # noqa: E402

WORLDS = {
    "2 equal": [0.85] * 2,
    "5 equal": [0.85] * 5,
    "12 equal": [0.85] * 12,
    "2, one worse": [0.9, 0.8],
    "5, one worse": [0.9, 0.9, 0.9, 0.9, 0.75],
    "12, spread": list(np.linspace(0.75, 0.95, 12)),
}
SIZES = (40, 150, 600)
TURNS, ANSWERS, TEST = 4, 120, 3_000


def covered(shares: list[float], n: int, draws: int) -> dict[str, float]:
    """How often intervals hold, and errors of two ways of telling a gap."""
    truth, k = max(shares) - min(shares), len(shares)
    codes = np.repeat(np.arange(k), n)
    held, above, ours, plain = 0, 0, [], []
    for seed in range(draws):
        rng = np.random.default_rng([seed, n, k])
        right = (rng.random(k * n) < np.repeat(shares, n)).astype(float)
        told = means(right, codes.tolist(), np.arange(k * n), share=True)
        one = gap([str(i) for i in range(k)], [n] * k, told)
        held += one.low - 1e-9 <= truth <= one.high + 1e-9
        above += one.low > 0
        ours.append(one.gap - truth)
        plain.append(float(told.mean.max() - told.mean.min()) - truth)
    off = {
        "told": float(np.sqrt(np.mean(np.square(ours)))),
        "plain": float(np.sqrt(np.mean(np.square(plain)))),
    }
    return {"held": held / draws, "above": above / draws, **off}


def lived(place: Path, seed: int, *, close: bool) -> dict[str, float]:
    """Accuracy by region after some turns."""
    asks = worth_asking(ANSWERS)
    made = island.recipe(seed=seed)
    made = replace(made, questions=closing(asks, "region") if close else asks)
    root = founded(place)
    with opened(root) as project:
        for _ in range(TURNS):
            run_turn(project, made)
        version = project.ledger.value("select version from used order by n desc limit 1")
        model = artifacts.load(project.models / NAME / version / "served", project.root)
        rows = island.rows(range(50_000 + 10_000 * seed, 50_000 + 10_000 * seed + TEST * 3), labelled=True)
        said = model(rows).column("prediction").to_pylist()
    labels, regions = (rows.column(name).to_pylist() for name in ("intent", "region"))
    found = {}
    for region in ("서울", "제주"):
        hits = [a == b for a, b, r in zip(said, labels, regions, strict=True) if r == region][:TEST]
        found[region] = 100 * float(np.mean(hits))
    found["gap"] = found["서울"] - found["제주"]
    found["all"] = 100 * float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))
    return found


def paired(pairs: list[tuple[float, float]]) -> str:
    """Mean difference with its 95 % interval (normal)."""
    diffs = [one - other for one, other in pairs]
    half = 1.96 * stdev(diffs) / len(diffs) ** 0.5 if len(diffs) > 1 else float("nan")
    return f"{mean(diffs):+.2f} [{mean(diffs) - half:+.2f}, {mean(diffs) + half:+.2f}]"


def page(said: dict[str, Any]) -> str:
    """The page of results."""
    lines = [
        "# For whom the model is worse",
        "",
        f"{said['date']}: `python benchmarks/gap.py --draws {said['draws']} --seeds {said['seeds']}`.",
        "",
        "| values | rows each | interval holds | above 0 | error of what is told | of the plain one |",
        "|---|---|---|---|---|---|",
    ]
    for one in said["coverage"]:
        cells = (one["world"], one["n"], f"{one['held']:.3f}", f"{one['above']:.3f}")
        lines.append(
            "| " + " | ".join(map(str, (*cells, f"{one['told']:.3f}", f"{one['plain']:.3f}"))) + " |"
        )
    lines += ["", "After four turns, accuracy in points, mean over seeds; differences are paired.", ""]
    lines += ["| | closing | ordinary | difference |", "|---|---|---|---|"]
    for name in ("서울", "제주", "gap", "all"):
        both = [(one["closing"][name], one["ordinary"][name]) for one in said["lives"]]
        cells = (name, f"{mean(a for a, _ in both):.2f}", f"{mean(b for _, b in both):.2f}", paired(both))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=8)
    wanted = parser.parse_args()
    coverage = [
        {"world": name, "n": n, **covered(shares, n, wanted.draws)}
        for name, shares in WORLDS.items()
        for n in SIZES
    ]
    lives = []
    for seed in range(wanted.seeds):
        with tempfile.TemporaryDirectory() as place:
            os.environ["BAPSIM_KEY"] = f"{seed + 1:02x}" * 32
            arms = {"closing": True, "ordinary": False}
            lives.append({arm: lived(Path(place) / arm, seed, close=close) for arm, close in arms.items()})
            print(seed, json.dumps(lives[-1], ensure_ascii=False), flush=True)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    said = {"date": date, "draws": wanted.draws, "seeds": wanted.seeds, "coverage": coverage, "lives": lives}
    if wanted.seeds >= 8:
        (OUT / "gap.json").write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", "utf-8")
        (OUT / "gap.md").write_text(page(said), "utf-8")
    print(page(said))


if __name__ == "__main__":
    main()
