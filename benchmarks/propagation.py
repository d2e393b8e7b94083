"""How far does a wrong label of people's spread through machine-made rows, is it found, and what mends it?

    OMP_NUM_THREADS=1 python benchmarks/propagation.py [--seeds 6] [--depth 4] [--quick] [--page]

300 reviews of nsmc_ko by people, 2,000 others held out. 60 of the 300 are seeds: at each depth a machine
writes three rows of every row of the depth before (half of the text stays, the rest a trigram model writes,
or for one in four another row of the same label lends it) and carries the label over. 0, 1, 3, 6 or 12 of
the seeds have a wrong label. Rows, ids and parents are those of a project's wheel; the model is text_linear.
Told are the wrong rows by depth, the model's error, whether the tree of each wrong row names the record that
it has its label from, and the error after the wrong records alone are left out, and after `use ID
--quarantine`.

Writes docs/results/propagation.json and propagation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.core.turn import named_seed  # noqa: E402
from bapsim.lab.propagation import Rewriter, followed  # noqa: E402
from lab import rows_in  # noqa: E402

OUT = Path(__file__).parents[1] / "docs" / "results" / "propagation"
PEOPLE, HELD, SEEDS = 300, 2_000, 60
PLANTED = (0, 1, 3, 6, 12)


def run(seed: int, planted: int, depth: int) -> dict[str, Any]:
    texts, labels = rows_in("nsmc_ko")
    at = np.random.default_rng(named_seed("propagation", seed)).permutation(len(texts))
    mine, held = at[:PEOPLE], at[PEOPLE : PEOPLE + HELD]
    begun = time.process_time()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        said = followed(
            Path(folder) / "p",
            texts[mine].tolist(),
            labels[mine].tolist(),
            (texts[held].tolist(), labels[held].tolist()),
            range(planted),
            Rewriter(seeds=SEEDS, seed=seed),
            depth,
        )
    return said | {"seed": seed, "wrong": planted, "cpu": time.process_time() - begun}


def percent(values: list[float]) -> str:
    width = f" ± {100 * np.std(values, ddof=1) / len(values) ** 0.5:.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{width}"


def page(found: dict[str, Any]) -> str:
    runs = found["runs"]
    depth = len(runs[0]["by_depth"]) - 1
    clean = {one["seed"]: one for one in runs if not one["wrong"]}
    sizes = runs[0]["by_depth"]
    lines = [
        "# A wrong label and all that is written from it",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/propagation.py --seeds 12` ({found['date']}, "
        f"{sum(one['cpu'] for one in runs):,.0f} CPU-s, {len(clean)} seeds). What is done stands at the top "
        f"of that file. Rows by depth: {', '.join(str(one['rows']) for one in sizes)}.",
        "",
        "## Error of a model of all rows up to a depth, % of 2,000 held-out reviews (mean ± standard error)",
        "",
        f"| wrong seeds of {SEEDS} | wrong rows, last depth | "
        f"{' | '.join(f'depth {d}' for d in range(depth + 1))} |",
        "|---|---|" + "---|" * (depth + 1),
    ]
    for count in PLANTED:
        mine = [one for one in runs if one["wrong"] == count]
        if mine:
            cells = [percent([one["by_depth"][d]["error"] for one in mine]) for d in range(depth + 1)]
            bad = mine[0]["by_depth"][depth]
            share = f"{bad['wrong']:,} ({100 * bad['wrong'] / bad['rows']:.1f} %)"
            lines.append(f"| {count} | {share} | {' | '.join(cells)} |")
    lines += [
        "",
        f"## What mends it, at depth {depth}",
        "",
        "| wrong seeds | points lost to them | without these records alone | quarantined | as many by chance "
        "| rows taken, of these right | wrong rows left |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in PLANTED[1:]:
        mine = [one for one in runs if one["wrong"] == count]
        if mine:
            lines.append(_mended(count, mine, clean, depth))
    return "\n".join([*lines, "", *traced([one for one in runs if one["wrong"]])]) + "\n"


def _mended(count: int, mine: list[dict[str, Any]], clean: dict[int, Any], depth: int) -> str:
    bare = np.array([clean[one["seed"]]["by_depth"][depth]["error"] for one in mine])
    full = np.array([one["by_depth"][depth]["error"] for one in mine])
    alone, out = (np.array([one[name] for one in mine]) for name in ("records_only", "quarantine"))
    chance = np.array([one["chance"] for one in mine])
    back = percent((full - chance).tolist())
    rows, right = (np.mean([one["taken"][name] for one in mine]) for name in ("rows", "right"))
    left = sum(one["left_wrong"] for one in mine)
    cells = [
        percent((full - bare).tolist()),
        percent((full - alone).tolist()),
        percent((full - out).tolist()),
    ]
    return f"| {count} | {cells[0]} | {cells[1]} | {cells[2]} | {back} | {rows:,.0f}, {right:,.0f} | {left} |"


def traced(runs: list[dict[str, Any]]) -> list[str]:
    rows = sum(one["traced"]["rows"] for one in runs)
    found = sum(one["traced"]["found"] for one in runs)
    depths = runs[0]["traced"]["candidates"]
    named = ", ".join(
        f"{np.mean([one['traced']['candidates'][d] for one in runs]):.1f} at depth {d}" for d in depths
    )
    after = np.mean([one["traced"]["after_three"] for one in runs])
    slow = max(one["traced"]["milliseconds"] for one in runs)
    aside = max(one["quarantine_seconds"] for one in runs)
    return [
        "Points lost: error with the wrong seeds less error of the same wheel without any. The next three "
        "columns: points gained again by leaving the wrong records out and keeping what was written from "
        "them, by the quarantine, and, because machine-made rows cost points here even without a wrong one, "
        "by leaving out as many rows of each depth at random. Rows that have a wrong row as their second "
        "parent have a right label, and go along. Ids are keyed anew in each run, which orders the rows "
        "anew: a second run differs by some tenths of a point.",
        "",
        "## The way back",
        "",
        f"Of {rows:,} wrong rows that machines wrote, the tree names the wrong record for **{found:,}** "
        f"({100 * found / rows:.1f} %), in {slow:.2f} ms a row at most. It names {named} of people's rows "
        f"(one row in four has two parents); of three wrong rows with the same origin, the trees have "
        f"{after:.2f} of people's rows in common. To put one record into quarantine took {aside:.2f} "
        "CPU-s at most.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    path = args.out.with_suffix(".json")
    if not args.page:
        seeds, depth = (1, 2) if args.quick else (args.seeds, args.depth)
        runs = [run(seed, planted, depth) for seed in range(seeds) for planted in PLANTED]
        path.write_text(
            json.dumps({"date": time.strftime("%Y-%m-%d"), "runs": runs}, indent=1) + "\n", "utf-8"
        )
    args.out.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
