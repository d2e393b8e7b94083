"""What the gate finds: exact power over size and discordance, and the share of real gains that it accepts.

BAPSIM_DATA=... python benchmarks/gate_power.py [--draws 300] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bapsim.core.recipe import Wear
from bapsim.judge.duel import duel, duel_verdict
from bapsim.judge.exam import accuracy
from bapsim.judge.gate import paired
from bapsim.judge.power import detectable, items_needed, power_of
from gate_models import Answered, folds_of, losses, train, vectors
from gate_null import as_scores

OUT = Path(__file__).parent.parent / "docs" / "results"
DISCORDANCES = (0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20)
SIZES = (150, 300, 600, 1000, 2000, 4000)
GAIN = 0.02
BUDGETS = (100, 200, 400)
REAL = (
    ("banking77", 800, 1300), ("banking77", 1500, 2000), ("banking77", 2000, 2500), ("banking77", 2500, 4000),
    ("nsmc_ko", 1000, 1500), ("nsmc_ko", 2000, 4000), ("nsmc_ko", 4000, 9000),
)  # fmt: skip


def grown(name: str, small: int, large: int, seed: int) -> Answered:
    """A champion of `small` rows and a candidate of the same and more answer the other half."""
    v, rng = vectors(name), np.random.default_rng(seed)
    half = len(v.y) // 2
    order = rng.permutation(half)
    said = [
        train(v.z[order[:m]], v.y[order[:m]], v.classes, folds_of(m, rng))(v.z[half:]) for m in (small, large)
    ]
    gold = v.y[half:]
    return Answered(
        np.array([p.argmax(axis=1) for p in said]), np.array([losses(p, gold) for p in said]), gold
    )


def found(
    pool: Answered, items: int, calibrated: bool, draws: int, rng: np.random.Generator
) -> dict[str, float]:
    """The verdicts on `draws` exams of this size, each drawn anew from the pool."""
    names, verdicts = np.array([f"c{k}" for k in range(int(pool.gold.max()) + 1)]), []
    fresh = Wear(version=1, items=items, looks=0, budget=0.05)
    for _ in range(draws):
        rows = rng.choice(len(pool.gold), items, replace=False)
        sides = (as_scores(pool, rows, np.full(items, who), names, calibrated) for who in (0, 1))
        verdicts.append(paired()(*sides, accuracy, fresh).verdict)
    return {"accept": verdicts.count("accept") / draws, "refuse": verdicts.count("refuse") / draws}


def duelled(pool: Answered, budget: int, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """Duels with so many labels: the mean number of items drawn, and the share that proved the candidate."""
    first, second, gold = (row.astype(str).tolist() for row in (*pool.prediction, pool.gold))
    said = []
    for _ in range(draws):
        drawn = duel(first, second, budget, rng)
        said.append(duel_verdict(drawn, [gold[i] for i in drawn.rows], first, second))
    accepted = sum(one.verdict == "accept" for one in said)
    return {"items": float(np.mean([one.items for one in said])), "accept": accepted / draws}


def real_table(draws: int, seed: int) -> list[dict]:
    rows = []
    for name, small, large in REAL:
        pool, rng = grown(name, small, large, seed), np.random.default_rng(seed)
        right = pool.prediction == pool.gold
        row: dict = {
            "set": name,
            "from": small,
            "to": large,
            "gain": float(right[1].mean() - right[0].mean()),
        }
        row |= {"d": pool.discordance, "sizes": {}}
        for items in (150, 400, 1000, 2000):
            row["sizes"][items] = [found(pool, items, calibrated, draws, rng) for calibrated in (False, True)]
        row["differ"] = float(np.mean(pool.prediction[0] != pool.prediction[1]))
        row["duels"] = [duelled(pool, budget, draws, rng) for budget in BUDGETS]
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(c) for c in cells) + " |\n"


def grid(first: str, cell: object) -> str:
    text = line([first, *(f"{n:,}" for n in SIZES)]) + line(["---"] * (len(SIZES) + 1))
    for d in DISCORDANCES:
        text += line([f"d = {d:.2f}", *(cell(n, d) for n in SIZES)])
    return text + "\n"


def shown(gain: float | None) -> str:
    return "none" if gain is None else f"{100 * gain:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--draws", type=int, default=300)
    ask.add_argument("--seed", type=int, default=0)
    said = ask.parse_args(arguments)
    rows = real_table(said.draws, said.seed)
    later = 0.005 * 0.9**6
    text = "# Power of the gate\n\n`BAPSIM_DATA=... OMP_NUM_THREADS=1 python benchmarks/gate_power.py"
    text += f" --draws {said.draws} --seed {said.seed}`, {time.process_time():.0f} CPU seconds.\n\n"
    text += "## +2 points, right/wrong, first look at an exam (.005), by exam items\n\n"
    text += (
        "Exact: binomial number of discordant items, mid-p McNemar. d = share of items on which exactly one\n"
    )
    text += "model is right.\n\n" + grid("power", lambda n, d: f"{power_of(n, d, GAIN):.2f}")
    text += f"## The same after six looks that did not accept (level {later:.4f})\n\n"
    text += grid("power", lambda n, d: f"{power_of(n, d, GAIN, alpha=later):.2f}")
    text += "## Gain in points that is found in four of five first looks\n\n"
    text += grid("points", lambda n, d: shown(detectable(n, d)))
    text += "## Items needed for four of five (right/wrong, first look)\n\n"
    text += line(["gain", *(f"d = {d:.2f}" for d in DISCORDANCES)]) + line(["---"] * (len(DISCORDANCES) + 1))
    for gain in (0.01, 0.02, 0.03, 0.05):
        needed = [items_needed(gain, d) for d in DISCORDANCES]
        text += line([f"+{100 * gain:.0f}", *("none" if n is None else f"{n:,}" for n in needed)])
    text += "\n## Real gains that the gate accepts: right/wrong, then calibrated loss\n\n"
    text += f"Champion and candidate of more rows of the same kind; {said.draws} exams drawn from their\n"
    text += (
        "other half of the data (5,001 and 10,000 items); first look. In brackets: refused, where it was.\n\n"
    )
    text += line(["set", "rows", "true gain", "d", *(f"{n:,} items" for n in rows[0]["sizes"])]) + line(
        ["---"] * 8
    )
    for row in rows:
        cells = []
        for pair in row["sizes"].values():
            cells.append(
                " / ".join(
                    f"{p['accept']:.2f}" + (f" ({p['refuse']:.3f})" if p["refuse"] else "") for p in pair
                )
            )
        head = [
            row["set"],
            f"{row['from']:,} to {row['to']:,}",
            f"{100 * row['gain']:+.1f}",
            f"{row['d']:.3f}",
        ]
        text += line([*head, *cells])
    text += "\n## The duel: items drawn and share accepted for so many labels (level .005)\n\n"
    text += f"The same pairs; {said.draws} duels over a random order of the pool, through `judge.duel`.\n"
    text += "Differ: share of items on which the two models' answers differ; both may be wrong.\n\n"
    text += line(["set", "rows", "true gain", "d", "differ", *(f"{n} labels" for n in BUDGETS)])
    text += line(["---"] * (5 + len(BUDGETS)))
    for row in rows:
        cells = [f"{one['items']:,.0f} items: {one['accept']:.2f}" for one in row["duels"]]
        head = [
            row["set"],
            f"{row['from']:,} to {row['to']:,}",
            f"{100 * row['gain']:+.1f}",
            f"{row['d']:.3f}",
        ]
        text += line([*head, f"{row['differ']:.3f}", *cells])
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "gate_power.md").write_text(text)
    (OUT / "gate_power.json").write_text(json.dumps({"seed": said.seed, "real": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
