"""Students of numbers: how far behind their model they are, and whether their intervals hold.

    python benchmarks/edge_numbers.py [--data DIR]

Writes docs/results/edge_numbers.{json,md}; about 2 CPU-minutes. Stars of nsmc_ko, with and without a pool
that the model labels, and made-up sentences whose number hangs on a subject and one word. The constant of the
ridge was chosen on other rows of nsmc_ko; these were not looked at before.
"""

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat
from bapsim.core.recipe import Mixture
from bapsim.core.records import Numbering, Records, Rows, Task, certify, source
from bapsim.train.student import distilled
from bapsim.train.text import text_linear
from bapsim.wheel.making import machine_labelled

ROOT = Path(__file__).parents[1]
TASK = Task(input="text", target="said", answer="number")
SIZES = ((300, 0), (1_000, 0), (1_000, 20_000), (5_000, 0), (5_000, 20_000))
CHOSEN, TEST, DRAWS = 40_000, 5_000, 3  # rows that the ridge's constant was chosen on; test rows; seeds
Sample = tuple[list[str], np.ndarray]


def certified(texts: list[str], values: np.ndarray | None) -> Records:
    said = pa.nulls(len(texts), pa.string()) if values is None else [repr(v) for v in values.tolist()]
    rows = Rows(pa.record_batch([pa.array(texts), pa.array(said, pa.string())], names=["text", "said"]))
    draft = source(rows, name="set", maker="person", rights="benchmark")
    return certify(draft, secret=b"edge", origin=0, numbering=Numbering())


def stars(data: Path) -> Sample:
    with gzip.open(data / "nsmc_ko" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["text"]]
    fresh = np.random.default_rng(0).permutation(len(rows))[CHOSEN:]
    return [rows[i]["text"] for i in fresh], np.array([float(rows[i]["rating"]) for i in fresh])


def sentences(count: int, seed: int) -> Sample:
    """Ten words each of three subjects; its length of name, and 5 where it is urgent."""
    rng = np.random.default_rng(seed)
    names = ("card", "transfer", "loan interest")
    subject, urgent = rng.integers(3, size=count), rng.random(count) < 0.5
    words = rng.integers(60, size=(count, 8))
    texts = [
        " ".join([f"{'abc'[s]}word{w % 20}" if w < 20 else f"word{w}" for w in row] + ["urgent"] * int(u))
        for row, s, u in zip(words, subject, urgent, strict=True)
    ]
    return texts, np.array([len(names[s]) for s in subject]) + 5 * urgent + rng.normal(0, 0.3, count)


def measure(learnt: Sample, pool: list[str], test: Sample) -> dict[str, Any]:
    people = certified(*learnt)
    model = text_linear()(None, Mixture(task=TASK, records=people), 0)
    records = people
    if pool:
        told = machine_labelled(model, certified(pool, None), TASK, b"edge")
        records = Records(concat([people.select(told.schema.names), told]))
    begun = time.process_time()
    student = distilled()(model, Mixture(task=TASK, records=records), 0)
    out: dict[str, Any] = {"seconds": time.process_time() - begun}
    asked, gold = Rows(pa.record_batch([pa.array(test[0])], names=["text"])), test[1]
    for name, who in (("model", model), ("student", student)):
        answers = who(asked)
        value, low, high = (answers.column(c).to_numpy() for c in ("prediction", "low", "high"))
        out[name] = float(np.abs(value - gold).mean())
        out[f"{name}_inside"] = float(((low <= gold) & (gold <= high)).mean())
        out[f"{name}_width"] = float((high - low).mean())
    return out | {"median": float(np.abs(np.median(learnt[1]) - gold).mean())}


def runs(data: Path) -> dict[str, list[dict[str, Any]]]:
    texts, values = stars(data)
    found: dict[str, list[dict[str, Any]]] = {}
    for people, pool in SIZES:
        for seed in range(DRAWS):
            order = np.random.default_rng(seed).permutation(len(texts))[: people + pool + TEST]
            some = [texts[i] for i in order]
            taught, last = (some[:people], values[order[:people]]), people + pool
            test = some[last:], values[order[last:]]
            name = f"nsmc_ko, stars ({people:,}, {pool:,})"
            found.setdefault(name, []).append(measure(taught, some[people:last], test))
    for people, pool in ((240, 0), (720, 0), (720, 2_000)):
        for seed in range(DRAWS):
            taught, rest, test = (sentences(n, 10 * seed + i) for i, n in enumerate((people, pool, 1_500)))
            found.setdefault(f"made up ({people:,}, {pool:,})", []).append(measure(taught, rest[0], test))
    return found


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    out = [
        "# Students of numbers",
        "",
        f"`python benchmarks/edge_numbers.py`: means of {DRAWS} draws, {TEST:,} test rows of nsmc_ko "
        "(1,500 made-up ones). The ridge's constant was chosen on other rows of nsmc_ko. An interval "
        "should hold four truths of five.",
        "",
        "| set (people's rows, pool) | mean error: median / model / student | behind the model "
        "| truths inside: model / student | width: model / student | CPU-seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, many in found.items():
        mean = {key: float(np.mean([one[key] for one in many])) for key in many[0]}
        out.append(
            f"| {name} | {mean['median']:.3f} / {mean['model']:.3f} / {mean['student']:.3f} "
            f"| {100 * (mean['student'] / mean['model'] - 1):+.1f} % "
            f"| {mean['model_inside']:.3f} / {mean['student_inside']:.3f} "
            f"| {mean['model_width']:.2f} / {mean['student_width']:.2f} | {mean['seconds']:.1f} |"
        )
    return "\n".join([*out, ""])


def main() -> int:
    parser = argparse.ArgumentParser()
    default = os.environ.get("BAPSIM_DATA", ROOT.parent / "shared/data")
    parser.add_argument("--data", type=Path, default=default)
    found = runs(parser.parse_args().data)
    path = ROOT / "docs/results/edge_numbers.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(found))
    print(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
