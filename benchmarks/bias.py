"""Whether rows that are ordered for the group for whom a model is worst narrow the gap, and harm nobody.

    OMP_NUM_THREADS=1 python benchmarks/bias.py [--seeds 10] [--quick]

On two real tables with a declared group. In each run the worst group is found out of fold; half of its rows
at hand are held back, as the real rows that could be bought. Each run is kept in docs/results/bias.json at
once; the page is written from all that are there.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
from scipy.stats import t as student

from bapsim.core.arrow import strings, take
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.core.records import Rows as Asked
from bapsim.core.turn import named_seed
from bapsim.gather.drawn import order
from bapsim.refine.closeness import BROKEN, closeness
from bapsim.testing import records_of, turn_of
from bapsim.train.table import table_boosted
from bapsim.train.table_copula import table_copula
from bapsim.train.table_diffusion import table_diffusion
from bapsim.train.table_smote import table_smote
from table_defaults import ai4i

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "bias.json"
GENERATORS = {"smote": table_smote(), "copula": table_copula(), "diffusion": table_diffusion()}
ARMS = ("weights", *GENERATORS, "real rows")
SETS = {"heart_sites": ("sex", 2000), "heart_sites by site": ("site", 2000), "ai4i2020": ("Type", 3000)}


def heart(group: str) -> pa.RecordBatch:
    """One row a patient: numbers, and the group as text; the target is whether any disease was found."""
    body = gzip.decompress((DATA / "heart_sites" / "heart.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(body)))
    columns: dict[str, pa.Array] = {}
    for name in rows[0]:
        said = [row[name] or None for row in rows]
        if name in (group, "site"):
            columns |= {name: pa.array(said, pa.string())} if name == group else {}
        elif name == "target":
            columns[name] = pa.array(["0" if one == "0" else "1" for one in said])
        else:
            columns[name] = pa.array([float(one) if one else None for one in said], pa.float64())
    return pa.RecordBatch.from_pydict(columns)


def read(name: str) -> tuple[pa.RecordBatch, str]:
    group, most = SETS[name]
    rows = ai4i(DATA) if name == "ai4i2020" else heart(group)
    at = np.random.default_rng(0).permutation(len(rows))[:most]
    return take(rows, np.sort(at)), group


@dataclass(frozen=True, eq=False)
class Half:
    """One draw: rows to learn from and to test with, stratified by group and class."""

    train: pa.RecordBatch
    test: pa.RecordBatch


def halves(rows: pa.RecordBatch, group: str, seed: int) -> Half:
    rng = np.random.default_rng([seed, 3])
    groups, gold = strings(rows.column(group)), strings(rows.column("target"))
    cell = np.array([f"{g}|{y}" for g, y in zip(groups, gold, strict=True)])
    taught = np.zeros(len(rows), bool)
    for one in np.unique(cell):
        mine = rng.permutation(np.flatnonzero(cell == one))
        taught[mine[: -(-len(mine) // 2)]] = True
    return Half(take(rows, taught), take(rows, ~taught))


def losses(answers: pa.RecordBatch, classes: tuple[str, ...], rows: pa.RecordBatch) -> np.ndarray:
    """Nats of each row."""
    flat = np.asarray(answers.column("probs").flatten()).reshape(len(rows), len(classes)).astype(float)
    gold = [classes.index(str(one)) for one in strings(rows.column("target"))]
    return -np.log(np.clip(flat[np.arange(len(rows)), gold], 1e-6, 1))


def ordered(
    half: pa.RecordBatch, group: str, worst: str, trainer: Callable, seed: int
) -> tuple[pa.RecordBatch, float]:
    """As many verified rows of the worst group as there are, of its classes in their shares; the pass rate.

    The generator learns group and class as one label, so that the rows of the others teach it columns.
    """
    inputs = [n for n in half.schema.names if n not in (group, "target")]
    groups, gold = strings(half.column(group)), strings(half.column("target"))
    cell = pa.array([f"{g}|{y}" for g, y in zip(groups, gold, strict=True)])
    rows = half.select(inputs).append_column("cell", cell)
    task = Task(input=tuple(inputs), target="cell", kind="table")
    people = records_of(rows.to_pylist(), schema=rows.schema)
    model = trainer(None, Mixture(task=task, records=people), seed)
    wanted = [one for one in cell.to_pylist() if one.startswith(f"{worst}|")]
    wanted = [one for one in wanted if wanted.count(one) >= 2]  # of one row nothing can be learnt
    asks = [(one, named_seed(seed, i) % 2**63) for i, one in enumerate(2 * wanted)]
    made = model(order("cell", asks))
    names = pa.array([one for one, _ in asks])
    drawn = pa.RecordBatch.from_arrays([*made.columns, names], names=[*inputs, "cell"])
    new = closeness()(
        records_of(drawn.to_pylist(), maker="machine", schema=drawn.schema), turn_of(task, people)
    )
    label = pa.array([one.split("|")[1] for one, _ in asks])
    whole = drawn.drop_columns(["cell"]).append_column(group, pa.array([worst] * len(asks)))
    whole = whole.append_column("target", label).select(half.schema.names)
    judge = fit(half, None, seed + 1000)[0]
    agrees = np.array(judge(Asked(whole.drop_columns(["target"]))).column("prediction")) == np.array(label)
    passed = agrees & np.array([keep is not False for keep in new.column("keep").to_pylist()])
    rate = float(passed.mean())
    return whole.filter(pa.array(passed & (rate >= BROKEN))).slice(0, len(wanted)), rate


def fit(rows: pa.RecordBatch, weight: np.ndarray | None, seed: int, real: int = 0) -> tuple:
    """A model of these rows and its out-of-fold losses; rows from `real` on are machine-made, never held
    out.
    """
    inputs = tuple(n for n in rows.schema.names if n != "target")
    task = Task(input=inputs, target="target", kind="table")
    folds = (np.random.default_rng([seed, 5]).permutation(len(rows)) % 3).astype(np.int8)
    if real:
        folds[real:] = -1
    mixture = Mixture(task=task, records=Records(rows), weight=weight)
    cross = table_boosted().crossfit(None, mixture, folds, seed)
    return cross.model, cross.answers


def run(name: str, seed: int) -> dict:
    """One set and one seed: mean loss of the worst group and of the others on test rows, arm by arm."""
    start = time.process_time()
    rows, group = read(name)
    half = halves(rows, group, seed)
    model, answers = fit(half.train, None, seed)
    loss, said = losses(answers, model.classes, half.train), np.array(strings(half.train.column(group)))
    names = [one for one in np.unique(said) if (said == one).sum() >= 20]
    worst = max(names, key=lambda one: loss[said == one].mean())
    theirs = np.random.default_rng([seed, 9]).permutation(np.flatnonzero(said == worst))
    held = np.zeros(len(said), bool)
    held[theirs[: len(theirs) // 2]] = True
    hand = take(half.train, ~held)
    heavy = np.where(np.array(strings(hand.column(group))) == worst, 2.0, 1.0).astype(np.float32)
    arms = {"nothing": (hand, None), "weights": (hand, heavy), "real rows": (half.train, None)}
    rates = {}
    for arm, trainer in GENERATORS.items():
        drawn, rates[arm] = ordered(hand, group, worst, trainer, seed)
        arms[arm] = (pa.concat_batches([hand, drawn]), None)
    mine = np.array(strings(half.test.column(group))) == worst
    found = {}
    for arm, (taught, weight) in arms.items():
        real = 0 if arm == "real rows" else len(hand)
        fitted, _ = fit(taught, weight, seed, real)
        asked = Asked(half.test.drop_columns(["target"]))
        loss = losses(fitted(asked), fitted.classes, half.test)
        found[arm] = {"worst": float(loss[mine].mean()), "others": float(loss[~mine].mean())}
    sizes = {"at hand": int((~held & (said == worst)).sum()), "test": int(mine.sum())}
    return {
        "set": name,
        "seed": seed,
        "worst": str(worst),
        "rows": sizes,
        "loss": found,
        "passed": rates,
        "cpu": time.process_time() - start,
    }


def interval(values: list[float]) -> str:
    low, high = ends(values)
    return f"{np.mean(values):+.3f} [{low:+.3f}, {high:+.3f}]"


def ends(values: list[float]) -> tuple[float, float]:
    """The 95 % t-interval of splits that overlap, as many rows taught as tested (Nadeau and Bengio 2003)."""
    d = np.array(values)
    if len(d) < 2:
        return -np.inf, np.inf
    half = student.ppf(0.975, len(d) - 1) * d.std(ddof=1) * np.sqrt(1 / len(d) + 1)
    return float(d.mean() - half), float(d.mean() + half)


def changes(runs: list[dict], arm: str) -> dict[str, list[float]]:
    """What an arm changes in each run: the worst group's loss, the others', and the gap."""
    pairs = [(one["loss"][arm], one["loss"]["nothing"]) for one in runs]
    found = {part: [after[part] - before[part] for after, before in pairs] for part in ("worst", "others")}
    return found | {"gap": [w - o for w, o in zip(found["worst"], found["others"], strict=True)]}


def verdict(runs: list[dict], arm: str) -> str:
    """In words what the intervals tell."""
    at = {part: ends(values) for part, values in changes(runs, arm).items()}
    gap = "narrows" if at["gap"][1] < 0 else "widens" if at["gap"][0] > 0 else "not told from chance"
    if at["gap"][1] < 0 and at["worst"][1] >= 0:
        gap += " (the worst group does not surely gain)"
    harm = "; harms the others" if at["others"][0] > 0 else ""
    return gap + harm + ("; helps the worst group" if at["worst"][1] < 0 else "")


def plainly(runs: list[dict]) -> list[str]:
    """What narrows and what does not, over all sets."""
    lines = ["", "## What narrows, and what does not", "", f"| arm | {' | '.join(SETS)} |"]
    lines.append("|---|" + "---|" * len(SETS))
    for arm in ARMS:
        cells = [verdict([o for o in runs if o["set"] == name], arm) for name in SETS]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    tests = len(ARMS) * len(SETS)
    return [
        *lines,
        "",
        f"With {tests} intervals of 95 % about {tests * 0.05:.0f} would tell something by chance.",
    ]


def page(runs: list[dict]) -> str:
    cpu = sum(one["cpu"] for one in runs)
    lines = [
        "# Rows ordered for the worst group",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/bias.py` ({cpu:.0f} CPU-s, one thread).",
        "",
        "In each run the group for whom the model is worst is found out of fold; half of its rows are held "
        "back as "
        "what could be bought. A generator learns group and class as one label; as many rows of the worst "
        "group as "
        "are at hand are ordered, in the shares of its classes, and enter where a model of people's rows of "
        "another seed agrees with their label and they are new (`closeness`). Loss in nats on test rows, "
        "`table_boosted()`; differences to nothing with 95 % t-intervals over seeds, widened because "
        "splits of one set overlap (Nadeau and Bengio 2003). The gap is the loss of the worst "
        "group minus that of the others.",
    ]
    for name in SETS:
        mine = [one for one in runs if one["set"] == name]
        if not mine:
            continue
        names = sorted({one["worst"] for one in mine})
        worst = ", ".join(f"{w} ({sum(one['worst'] == w for one in mine)})" for w in names)
        base = [one["loss"]["nothing"] for one in mine]
        gap = np.mean([b["worst"] - b["others"] for b in base])
        rows = np.mean([one["rows"]["at hand"] for one in mine])
        whole = [float(np.mean([b[part] for b in base])) for part in ("worst", "others")]
        lines += [
            "",
            f"## {name}: {SETS[name][0]}",
            "",
            f"{len(mine)} runs; worst: {worst}; {rows:.0f} of its rows at hand on average. With nothing: "
            f"worst {whole[0]:.3f}, others {whole[1]:.3f}, gap {gap:.3f}.",
            "",
            "| arm | worst, before → after | worst group | others | gap | passed |",
            "|---|---|---|---|---|---|",
        ]
        for arm in ARMS:
            after = float(np.mean([one["loss"][arm]["worst"] for one in mine]))
            passed = [one["passed"].get(arm, np.nan) for one in mine]
            share = f"{np.mean(passed):.2f}" if arm in GENERATORS else ""
            cells = [interval(values) for values in changes(mine, arm).values()]
            lines.append(f"| {arm} | {whole[0]:.3f} → {after:.3f} | {' | '.join(cells)} | {share} |")
    if all(any(one["set"] == name for one in runs) for name in SETS):
        lines += plainly(runs)
    return "\n".join(lines) + "\n"


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--quick", action="store_true", help="one run, nothing is written")
    given = asked.parse_args()
    if given.quick:
        print(page([run("heart_sites", 0)]))
        return
    for seed in range(given.seeds):
        for name in given.sets.split(","):
            runs = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            if not any(one["set"] == name and one["seed"] == seed for one in runs):
                RESULTS.write_text(json.dumps([*runs, run(name, seed)]))
            RESULTS.with_suffix(".md").write_text(page(json.loads(RESULTS.read_text())))
    print(RESULTS.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
