"""The gate on numbers: does the sign flip of absolute errors keep its level, and are bad deliveries named?

    OMP_NUM_THREADS=1 python benchmarks/gate_numbers.py

Writes docs/results/gate_numbers.{json,md}. Models are the product's, trained on random halves of the same
rows, so none is meant to be better. Such pairs do differ a little, so two nulls are counted: answers
exchanged item by item at random (nothing can be better: the level itself), and pairs of halves, where an
accept is false if the model is not better on all untouched items together. Exams are drawn from untouched
items; looks are first looks, at .005. Bad deliveries: four of 200 rows on a champion of 1,000, one of them
spoilt. Intervals are Wilson's.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from answers import Set, numbers_of_tables, numbers_of_texts
from bapsim.core.recipe import Wear
from bapsim.judge.exam import Heard, heard, mean_absolute_error, scored
from bapsim.judge.gate import p_better, paired
from bapsim.judge.residual import flagged, residuals
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear
from bapsim.wheel.suspicion import held_against

OUT = Path(__file__).parents[1] / "docs" / "results" / "gate_numbers"
LEVEL, MODELS, EXAMS, RUNS = 0.005, 16, 40, 200
SETS = ("nsmc_ko: stars, 1,000 rows", "ai4i2020: Torque [Nm]", "mammography: x2", "annthyroid: x3")


def chosen() -> list[Set]:
    return [one for one in (*numbers_of_texts(), *numbers_of_tables()) if one.name in SETS]


def wilson(hits: int, trials: int) -> str:
    """A share with its 95 % interval."""
    z, p = 1.96, hits / trials
    middle, half = (p + z * z / 2 / trials), z * math.sqrt(p * (1 - p) / trials + z * z / 4 / trials**2)
    low, high = ((middle + s * half) / (1 + z * z / trials) for s in (-1, 1))
    return f"{p:.4f} ({low:.4f} to {high:.4f})"


def trainer(one: Set) -> Any:
    return text_linear() if "text" in one.columns else table_boosted(trees=60, rounds=50)


def answered(one: Set, train: np.ndarray, rows: np.ndarray) -> Heard:
    folds = (np.arange(len(train)) % 5).astype(np.int8)
    model = trainer(one).crossfit(None, one.mixture(train, "number"), folds, 0).model
    return heard(model(one.rows(rows)), (), "number")


def null(one: Set) -> dict[str, Any]:
    """Accepts and refusals of exams of 400 items, under both nulls."""
    order = np.random.default_rng(0).permutation(len(one.target))
    half, untouched = order[:2000], order[2000:8000]
    gold = one.target[untouched]
    off = []
    for m in range(MODELS):
        mine = np.random.default_rng([1, m]).permutation(half)[:1000]
        off.append(np.abs(answered(one, mine, untouched).prediction.astype(float) - gold))
    rng, counts = (
        np.random.default_rng(2),
        dict.fromkeys(("looks", "swap+", "swap-", "half+", "half-", "false+", "false-"), 0),
    )
    size = min(400, len(gold) // 3)
    for a in range(MODELS):
        for b in range(a + 1, MODELS):
            gain = off[a] - off[b]
            for _ in range(EXAMS):
                exam = gain[rng.permutation(len(gain))[:size]]
                swapped = exam * rng.choice([-1.0, 1.0], size)
                better, other = p_better(exam, None), p_better(swapped, None)
                counts["looks"] += 1
                counts["swap+"] += other <= LEVEL
                counts["swap-"] += 1 - other <= LEVEL
                counts["half+"] += better <= LEVEL
                counts["half-"] += 1 - better <= LEVEL
                counts["false+"] += better <= LEVEL and gain.mean() <= 0
                counts["false-"] += 1 - better <= LEVEL and gain.mean() >= 0
    return {k: int(v) for k, v in counts.items()} | {
        "items": size,
        "untouched": len(gold),
        "gate": whole_gate(off, gold),
    }


def whole_gate(off: list[np.ndarray], gold: np.ndarray) -> bool:
    """That the gate as a whole says what its test says: a few exams through `paired()`."""
    rng, wear = np.random.default_rng(3), Wear(version=1, items=400, looks=0, budget=0.05)
    for _ in range(10):
        at = rng.permutation(len(gold))[:200]
        scores = []
        for errors in (off[0], off[1] * rng.uniform(0.7, 1.3)):
            said = np.array([repr(float(v)) for v in gold[at] + errors[at]], object)
            one = Heard(answer="number", prediction=said, confidence=np.ones(200), probs=None, classes=())
            ids = pa.array([int(i).to_bytes(16, "big") for i in at], pa.binary(16))
            scores.append(scored(one, [repr(float(v)) for v in gold[at]], ids, pa.nulls(200, pa.string())))
        verdict = paired()(scores[0], scores[1], mean_absolute_error, wear)
        if (verdict.verdict == "accept") != (verdict.p_better is not None and verdict.p_better <= LEVEL):
            return False
    return True


SPOILT = ("none", "40 % shuffled", "all shuffled", "10 % times ten", "all a quarter too high")


def spoilt(how: str, value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    value, n = value.copy(), len(value)
    some = rng.random(n) < {"40 % shuffled": 0.4, "all shuffled": 1.0, "10 % times ten": 0.1}.get(how, 0.0)
    if how == "10 % times ten":
        value[some] *= 10
    elif how == "all a quarter too high":
        value += 0.25 * np.ptp(np.quantile(value, [0.05, 0.95]))
    else:
        value[some] = rng.permutation(value[some])
    return value


def deliveries(one: Set) -> dict[str, dict[str, int]]:
    """How often the spoilt one of four deliveries is named, and a good one."""
    found = {how: {"runs": 0, "named": 0, "wrongly": 0} for how in SPOILT}
    for champion in range(5):
        order = np.random.default_rng([4, champion]).permutation(len(one.target))
        train, rest = order[:1000], order[1000:4000]
        said = answered(one, train, rest)
        for run in range(RUNS // 5):
            rng = np.random.default_rng([5, champion, run])
            at = rng.permutation(len(rest))[: min(800, len(rest))]
            quarter = np.array_split(np.arange(len(at)), 4)
            names = np.repeat(["a", "b", "c", "d"], [len(q) for q in quarter])
            for how in SPOILT:
                value = one.target[rest[at]].copy()
                value[quarter[0]] = spoilt(how, value[quarter[0]], rng)
                part = Heard(
                    answer="number",
                    prediction=said.prediction[at],
                    confidence=said.confidence[at],
                    probs=None,
                    classes=(),
                    low=said.low[at],
                    high=said.high[at],
                )
                probs, label = held_against(part, np.array([repr(float(v)) for v in value], object))
                none = np.zeros(len(at), bool)
                judged = residuals(names, probs, label, none, proven=True, classes=False)
                worst = flagged(judged)
                found[how]["runs"] += 1
                found[how]["named"] += "a" in worst
                found[how]["wrongly"] += bool(set(worst) - {"a"})
    return found


def page(found: dict[str, Any]) -> str:
    said = [
        "# The gate on numbers",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/gate_numbers.py` ({found['cpu']:,.0f} CPU-s, "
        f"{found['date']}; `--page` writes this page again). What is counted stands at the top of that file. "
        f"{MODELS} models a set, every pair, {EXAMS} exams a pair; one-sided level {LEVEL}. Exams of "
        f"one pair, "
        "and pairs that share a model, are not independent: intervals are too short.",
        "",
        "| set | items | looks | exchanged: accept | exchanged: refuse | halves: accepted "
        "| and not better on all untouched | halves: refused | and not worse |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found["null"].items():
        n, counted = one["looks"], ("swap+", "swap-", "half+", "false+", "half-", "false-")
        cells = " | ".join(wilson(one[key], n) for key in counted)
        said.append(f"| {name} | {one['items']} of {one['untouched']:,} | {n:,} | {cells} |")
    said += [
        "",
        "## Bad deliveries",
        "",
        "Share of runs in which the spoilt delivery is named, and in which a good one is (numbers "
        "outside the "
        "champion's 80 % intervals, more than a fifth of them; constants of `judge/residual.py` as for "
        "classes).",
        "",
        "| set | spoilt | runs | named | a good one named |",
        "|---|---|---|---|---|",
    ]
    for name, ways in found["deliveries"].items():
        for how, one in ways.items():
            shares = [wilson(one[key], one["runs"]) for key in ("named", "wrongly")]
            said.append(f"| {name} | {how} | {one['runs']} | {' | '.join(shares)} |")
    return "\n".join(said) + "\n"


def main() -> None:
    start = time.process_time()
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "null": {}, "deliveries": {}}
    for one in chosen():
        found["null"][one.name] = null(one)
        assert found["null"][one.name]["gate"]
        found["deliveries"][one.name] = deliveries(one)
        print(one.name, found["null"][one.name], found["deliveries"][one.name], flush=True)
    found["cpu"] = time.process_time() - start
    OUT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if "--page" not in sys.argv:
        main()
    OUT.with_suffix(".md").write_text(page(json.loads(OUT.with_suffix(".json").read_text("utf-8"))), "utf-8")
