"""Does a small transformer that learns from its own text fall apart in the order that papers tell?

    OMP_NUM_THREADS=1 python benchmarks/collapse_transformer.py [--seeds 3] [--generations 4] [--quick]

`bapsim lab collapse --model transformer` on Shakespeare's plays: two layers of 64, characters, 100,000 of
them to learn from, from scratch at every generation, in as many steps whatever the arm. What is written down
is the loss on people's text that nothing else saw, above that of a model of people's text alone. Drawn at
temperature 1: nothing sharpens what is written.

Writes docs/results/collapse_transformer.json and .md; `--page` writes the page again. `--device cuda` is
there for a machine with a GPU, as is a larger network (`--layers`, `--width`, `--steps`); nobody has run it
there: nothing is claimed of it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.lab.collapse import collapse  # noqa: E402
from bapsim.lab.transformer import Size, transformers  # noqa: E402
from bapsim.train.lm.transformer import built  # noqa: E402
from lab import DATA  # noqa: E402

OUT = Path(__file__).parents[1] / "docs" / "results" / "collapse_transformer"
ORDER = ("replace", "mix10", "subsample", "accumulate", "anchor")


def page(found: dict[str, Any]) -> str:
    arms, seeds, count = found["arms"], len(found["seeds"]), found["generations"]
    base = found["people"]
    lines = [
        "# Collapse of a small transformer",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/collapse_transformer.py` ({found['date']}, "
        f"{found['cpu']:,.0f} CPU-s on one core). What is done stands at the top of that file. "
        f"{found['parameters']:,} parameters, {found['learnt']:,} characters to learn from, "
        f"{found['size']['steps']} steps of {found['size']['batch']} x {found['size']['context']}; "
        f"people's text alone: {base:.3f} nats a character. Below: how much more by generation, mean over "
        f"{seeds} seeds; last with every seed, and the share of people's rare strings of four "
        "characters that the last text still has.",
        "",
        f"| arm | {' | '.join(f'g{n}' for n in range(1, count + 1))} | each seed at g{count} | rare left |",
        "|---|" + "---|" * (count + 2),
    ]
    for name, one in arms.items():
        loss = np.array(one["loss"])
        cells = " | ".join(f"{value:+.4f}" for value in loss.mean(0)[1:])
        each = ", ".join(f"{value:+.4f}" for value in loss[:, -1])
        left = np.array(one["coverage"])[:, -1].mean()
        lines.append(f"| {name} | {cells} | {each} | {100 * left:.1f} % |")
    return "\n".join([*lines, "", *held(found)]) + "\n"


def held(found: dict[str, Any]) -> list[str]:
    """Whether the order holds, for the means and in every seed."""
    last = {name: np.array(one["loss"])[:, -1] for name, one in found["arms"].items()}
    if not set(ORDER) <= last.keys():
        return []
    means = [last[name].mean() for name in ORDER]
    falls = np.all([last[a] > last[b] for a, b in pairwise(ORDER)], axis=0) & (last[ORDER[-1]] > 0)
    worst = [f"{a} against {b}: {int((last[a] > last[b]).sum())}" for a, b in pairwise(ORDER)]
    yes = all(a > b for a, b in pairwise([*means, 0.0]))
    return [
        f"{' > '.join(ORDER)} > 0: **{'holds' if yes else 'does not hold'}** for the means; in "
        f"{int(falls.sum())} of {len(falls)} seeds throughout. Pair by pair, in how many of "
        f"{len(falls)} seeds the first is worse: {'; '.join(worst)}; anchor against 0: "
        f"{int((last['anchor'] > 0).sum())}.",
        "",
        f"accumulate / replace = {means[3] / means[0]:.2f}; anchor / replace = {means[4] / means[0]:.2f}.",
        "",
        "No GPU was at hand: `--device cuda` was never run, and nothing is claimed of larger models.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--arms", default=",".join(ORDER))
    parser.add_argument("--most", type=int, default=100_000)
    for name in ("layers", "width", "steps"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size(), name))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    path = args.out.with_suffix(".json")
    if not args.page:
        with gzip.open(DATA / "tinyshakespeare" / "input.txt.gz", "rt", encoding="utf-8") as file:
            text = file.read()
        size = Size(layers=args.layers, width=args.width, steps=40 if args.quick else args.steps)
        begun = time.process_time()
        found = collapse(
            text,
            generations=1 if args.quick else args.generations,
            seeds=range(1 if args.quick else args.seeds),
            arms=args.arms.split(","),
            most=20_000 if args.quick else args.most,
            learner=transformers(size, args.device),
            say=lambda _, **told: print(told, f"{time.process_time() - begun:.0f} CPU-s", flush=True),
        )
        net = built(size.shape, found["vocabulary"])
        about = {"parameters": sum(one.numel() for one in net.parameters())}
        about |= {"cpu": time.process_time() - begun, "date": time.strftime("%Y-%m-%d"), "size": vars(size)}
        path.write_text(json.dumps(found | about, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
