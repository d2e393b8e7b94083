"""How often does the gate let in a candidate that is not better? Every null is real models' answers, swapped.

An exam lifetime: one set of items, candidate after candidate. Per item, the champion's answer is that of one
of six real models, drawn at random, and each candidate's is that of another, drawn at random: every candidate
is as good as every other, on every item answers are real ones, and the same items and the same champion are
met again and again. An accepted candidate becomes the champion. The product's own screen, gate and wear
decide.

    BAPSIM_DATA=... python benchmarks/gate_null.py [--lifetimes 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Decision, Wear
from bapsim.core.records import Scores
from bapsim.judge.compare import NORMAL
from bapsim.judge.exam import accuracy
from bapsim.judge.gate import paired, spent, wear_after
from gate_models import Answered, answered

SCREEN_PASS = 1 - NORMAL.cdf(0.5)
OUT = Path(__file__).parent.parent / "docs" / "results"
POOLS = (("banking77", 800), ("banking77", 2000), ("banking77", 4800), ("nsmc_ko", 1000), ("nsmc_ko", 4000))


@dataclass(frozen=True)
class Life:
    """One way of living with an exam: its size, fresh items a turn, turns, out-of-fold rows, calibrated or
    not.
    """

    name: str
    items: int
    turns: int
    fresh: int = 0
    screened: int = 800
    calibrated: bool = True


def as_scores(
    pool: Answered, rows: np.ndarray, who: np.ndarray, names: np.ndarray, calibrated: bool
) -> Scores:
    """The answers of model who[i] to item rows[i], as the judge would score them."""
    loss = pool.loss[who, rows] if calibrated else np.full(len(rows), np.nan)
    ids = np.zeros((len(rows), 16), np.uint8)
    ids[:, :8] = rows.astype(np.int64)[:, None].view(np.uint8).reshape(len(rows), 8)
    columns = {
        "_id": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(rows), [None, pa.py_buffer(ids.tobytes())]
        ),
        "gold": pa.array(names[pool.gold[rows]]),
        "prediction": pa.array(names[pool.prediction[who, rows]]),
        "loss": pa.array(loss, pa.float64(), from_pandas=True),
    }
    return Scores(pa.record_batch(list(columns.values()), names=list(columns)))


def another(who: np.ndarray, models: int, rng: np.random.Generator) -> np.ndarray:
    return (who + rng.integers(1, models, len(who))) % models


@dataclass
class Lived:
    """What happened in one lifetime."""

    first_accept: int | None = None
    looks: int = 0
    worn: int = 0
    refused: int = 0


def live(life: Life, pool: Answered, seed: int) -> Lived:
    """One lifetime under the null, through the product's screen, gate and wear."""
    rng, gate = np.random.default_rng(seed), paired()
    models, names = len(pool.loss), np.array([f"c{k}" for k in range(int(pool.gold.max()) + 1)])
    order = rng.permutation(pool.loss.shape[1])
    oof_rows, stream = order[: life.screened], order[life.screened :]
    champion = rng.integers(0, models, pool.loss.shape[1])
    versions, looks, lived = [(life.items, life.items)], [], Lived()
    for turn in range(life.turns):
        size = life.items + life.fresh * turn
        if turn and life.fresh:
            versions.append((size, life.fresh))
        rows = stream[:size]
        candidate = another(champion, models, rng)
        old, new = (pool.loss[w[oof_rows], oof_rows] for w in (champion, candidate))
        if not life.calibrated:
            old, new = (
                pool.prediction[w[oof_rows], oof_rows] != pool.gold[oof_rows] for w in (champion, candidate)
            )
        if not gate.screen(old.astype(float) - new).look:
            continue
        wear = wear_after(versions, looks)
        level = gate.level(wear)
        before, after = (
            as_scores(pool, rows, w[rows], names, life.calibrated) for w in (champion, candidate)
        )
        decision = gate(before, after, accuracy, wear)
        if level == 0.0:
            lived.worn += 1
            continue
        lived.looks += 1
        looks.append((len(versions), spent(decision, level)))
        lived.refused += decision.verdict == "refuse"
        if decision.verdict == "accept":
            champion = candidate
            lived.first_accept = turn if lived.first_accept is None else lived.first_accept
            break  # the family has its error
    return lived


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def summary(lives: Iterable[Lived], horizon: int) -> dict[str, float]:
    every = list(lives)
    hits = sum(one.first_accept is not None and one.first_accept < horizon for one in every)
    low, high = interval(hits, len(every))
    return {
        "lifetimes": len(every),
        "false": hits,
        "share": hits / len(every),
        "low": low,
        "high": high,
        "looks": float(np.mean([one.looks for one in every])),
        "refused": float(np.mean([one.refused > 0 for one in every])),
        "worn": float(np.mean([one.worn for one in every])) / horizon,
    }


def swap(before: Scores, after: Scores, rng: np.random.Generator) -> tuple[Scores, Scores]:
    """The same answers with each item's pair exchanged or not, at random: the null of real turns."""
    whole = pa.Table.from_batches([before, after]).combine_chunks().to_batches()[0]
    flip, n = rng.random(len(before)) < 0.5, len(before)
    first = np.where(flip, np.arange(n) + n, np.arange(n))
    return Scores(whole.take(pa.array(first))), Scores(whole.take(pa.array((first + n) % (2 * n))))


def real_turns(
    live_one: Callable[[int, int], Sequence[Decision]], lifetimes: int = 30, turns: int = 20
) -> dict:
    """Part B: `live_one(seed, turns)` runs a project whose turns swap the answers, for its decisions."""
    lives = []
    for seed in range(lifetimes):
        said = [d.verdict for d in live_one(seed, turns)]
        first = said.index("accept") if "accept" in said else None
        lives.append(Lived(first, looks=len(said), refused=said.count("refuse")))
    return summary(lives, turns)


def fixed_level(left: float) -> float:
    """A first design: .005 as long as it can be paid."""
    return 0.005 if left >= 0.005 - 1e-12 else 0.0


def tenth_left(left: float) -> float:
    return paired().level(Wear(version=1, items=1, looks=0, budget=left))


RULES: tuple[tuple[str, Callable[[float], float], float], ...] = (
    ("fixed .005, refund in proportion", fixed_level, 1.0),
    ("fixed .005, no refund", fixed_level, math.inf),
    ("a tenth of what is left, refund in proportion", tenth_left, 1.0),
    ("a tenth of what is left, refund squared (the product)", tenth_left, 2.0),
)


def rule(
    level_of: Callable[[float], float], power: float, turns: int, fresh: int, lifetimes: int
) -> dict[str, float]:
    """Exact p-values (uniform under the null, independent screen): what a rule of spending does by itself."""
    rng, false, looks = np.random.default_rng(1), 0, 0
    last = []
    for _ in range(lifetimes):
        left, size = 0.05, 600
        for turn in range(turns):
            if turn and fresh:
                size += fresh
                left = min(0.05, left + 0.05 * (fresh / size) ** power)
            level = level_of(left)
            if level and rng.random() < SCREEN_PASS:
                looks += 1
                if rng.random() < level:
                    false += 1
                    break
                left -= level
        last.append(level_of(left))
    levels = np.array(last)
    find = [NORMAL.cdf(4.0 - NORMAL.inv_cdf(1 - a)) if a else 0.0 for a in levels]
    return {"false": false / lifetimes, "looks": looks / lifetimes, "power": float(np.mean(find))}


LIVES = (
    Life("400 items, calibrated loss, one look", 400, 1, screened=0),
    Life("400 items, right/wrong, one look", 400, 1, screened=0, calibrated=False),
    Life("400 items, calibrated loss", 400, 20),
    Life("2,000 items, calibrated loss", 2000, 20),
    Life("400 items, right/wrong", 400, 20, calibrated=False),
    Life("400 items, calibrated loss, no screen", 400, 20, screened=0),
    Life("400 items, right/wrong, no screen", 400, 20, screened=0, calibrated=False),
    Life("600 items + 36 a turn, calibrated loss", 600, 100, fresh=36),
    Life("100 items + 30 a turn, right/wrong, no screen", 100, 100, fresh=30, screened=0, calibrated=False),
)
HEAD = """# False accepts under the null

{command}

{lifetimes} exam lifetimes a row (ten times as many of one look), seed {seed}, pools in turn: {pools}.
False accepts = lifetimes in which any candidate was accepted, none is better; 95 % interval by
Clopper-Pearson; {seconds:.0f} CPU seconds. See the
head of `benchmarks/gate_null.py` for what a lifetime is, [gate.md](../gate.md) for what follows.

| exam | turns | false accepts | 95 % interval | looks | turns at a worn exam | with a refusal |
|---|---|---|---|---|---|---|
"""
RULE_HEAD = """
## Why the budget is spent so

The same lifetimes with exact p-values (20,000 each, screen at z > .5, an exam of 600 items; seed 1). Power:
of a truly better candidate, z = 4 expected (+2 points, d = .05, 2,000 items), met after the last turn.

| rule | turns | fresh items a turn | false accepts | looks | power after the last turn |
|---|---|---|---|---|---|
"""


def main(arguments: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--lifetimes", type=int, default=1000)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument(
        "--only", type=int, nargs="*", help="rows of LIVES, for a quick look: nothing is written"
    )
    said = ask.parse_args(arguments)
    pools = [answered(*pool) for pool in POOLS]
    rows = []
    for k, life in enumerate(LIVES):
        if said.only and k not in said.only:
            continue
        start = time.process_time()
        count = said.lifetimes * (10 if life.turns == 1 else 1)
        lives = [
            live(life, pools[i % len(pools)], said.seed * 10_000_000 + k * 100_000 + i) for i in range(count)
        ]
        rows.append({"life": asdict(life), **summary(lives, life.turns)})
        if life.turns > 20:
            first = summary(lives, 20)
            rows.append({"life": asdict(life) | {"name": "the first 20 of these", "turns": 20}, **first})
        print(rows[-2:], f"{time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
    if said.only:
        return
    named = ", ".join(
        f"{name} {size} rows (d = {pool.discordance:.3f})"
        for (name, size), pool in zip(POOLS, pools, strict=True)
    )
    text = HEAD.format(
        command="`BAPSIM_DATA=... OMP_NUM_THREADS=1 python benchmarks/gate_null.py"
        f" --lifetimes {said.lifetimes} --seed {said.seed}`",
        lifetimes=said.lifetimes,
        seed=said.seed,
        pools=named,
        seconds=time.process_time(),
    )
    for row in rows:
        text += (
            f"| {row['life']['name']} | {row['life']['turns']} | {row['share']:.3f} | {row['low']:.3f} to "
            f"{row['high']:.3f} "
        )
        whole = f"| {row['looks']:.1f} | {row['worn']:.2f} | {row['refused']:.2f} |\n"
        text += "| | | |\n" if row["life"]["name"].startswith("the first") else whole
    text += RULE_HEAD
    compared = []
    for name, level_of, power in RULES:
        for turns, fresh in ((20, 0), (100, 40)):
            compared.append(
                {"rule": name, "turns": turns, "fresh": fresh, **rule(level_of, power, turns, fresh, 20_000)}
            )
            row = compared[-1]
            text += f"| {name} | {turns} | {fresh} | {row['false']:.3f} | {row['looks']:.1f} "
            text += f"| {row['power']:.2f} |\n"
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "gate_null.md").write_text(text)
    (OUT / "gate_null.json").write_text(
        json.dumps({"seed": said.seed, "rows": rows, "rules": compared}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
