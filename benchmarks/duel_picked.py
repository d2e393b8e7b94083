"""Is a duel fair where people correct mostly what went wrong? Three ways to draw it, against the true gain.

    python benchmarks/duel_picked.py [--seeds 20] [--jobs 1]

A model serves 3,000 requests, and people correct 30 % of what it gets wrong and 3 % of the rest. Another one
of the same kind has learnt from as many other rows, and from the corrections. The true gain is measured on
untouched rows; the duel's on all requests on which the two differ. Compared: requests that nobody corrected
(those that people took away are mostly the first model's errors); all, with the second model as it is (it has
eaten the corrections); all, the second model out of fold where it ate them: so bapsim draws. A false
verdict says better, or worse, at .005 where the gain on untouched rows is 0 or of the other sign.

Writes docs/results/duel_picked.json and duel_picked.md.
"""

from __future__ import annotations

import argparse
import json
import os
from multiprocessing import get_context
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.core.arrow import strings  # noqa: E402
from bapsim.core.recipe import Mixture  # noqa: E402
from bapsim.core.records import Draft, Numbering, Rows, Task, certify  # noqa: E402
from bapsim.judge.compare import mcnemar  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from lab import interval, origin, rows_in  # noqa: E402

CASES = (("banking77", 1500), ("clinc150", 3000), ("nsmc_ko", 3000))
ASKED, UNTOUCHED, FOLDS = 3000, 4000, 5
ERRORS, RIGHT = 0.3, 0.03  # shares that people correct, or confirm
WAYS = ("requests that nobody corrected", "all, the corrections eaten", "all, out of fold")


def rows_of(name: str, at: np.ndarray) -> Rows:
    texts, labels = rows_in(name)
    return Rows(
        pa.record_batch({"text": pa.array(texts[at].tolist()), "label": pa.array(labels[at].tolist())})
    )


def fitted(name: str, at: np.ndarray, seed: int) -> tuple[object, list[str | None]]:
    """A model of these rows, and what it says of them out of fold."""
    task = Task(input="text", target="label")
    draft = Draft(rows=rows_of(name, at), origin=origin("file"), keys=[str(i) for i in at])
    records = certify(draft, secret=bytes(32), origin=0, numbering=Numbering())
    folds = np.random.default_rng(seed).permutation(len(at)) % FOLDS
    found = text_linear().crossfit(None, Mixture(task=task, records=records), folds, seed)
    return found.model, strings(found.answers.column("prediction"))


def said_by(model: object, name: str, at: np.ndarray) -> np.ndarray:
    return np.array(strings(model(rows_of(name, at).select(["text"])).column("prediction")), object)  # type: ignore[operator]


def one(job: tuple[str, int, int]) -> dict[str, tuple[float, float, float]]:
    """For each way the gain and the two chances of McNemar's test; `truth` first."""
    name, start, seed = job
    truth = rows_in(name)[1]
    rng = np.random.default_rng(seed)
    ends = np.cumsum([start, start, ASKED, UNTOUCHED])
    mine, theirs, asked, untouched = np.split(rng.permutation(len(truth))[: ends[-1]], ends[:-1])
    first, _ = fitted(name, mine, seed)
    answers = said_by(first, name, asked)
    wrong = answers != truth[asked]
    told = rng.random(ASKED) < np.where(wrong, ERRORS, RIGHT)
    second, oof = fitted(name, np.r_[theirs, asked[told]], seed)
    eaten = said_by(second, name, asked)
    honest = eaten.copy()
    honest[told] = oof[len(theirs) :]
    gain = np.mean(said_by(second, name, untouched) == truth[untouched])
    gain -= np.mean(said_by(first, name, untouched) == truth[untouched])
    found = {"truth": (100 * gain, 1.0, 1.0)}
    for way, rows, theirs_said in zip(
        WAYS, (~told, told | True, told | True), (eaten, eaten, honest), strict=True
    ):
        wins = int(((theirs_said == truth[asked]) & wrong)[rows].sum())
        losses = int(((theirs_said != truth[asked]) & ~wrong)[rows].sum())
        shown = 100 * (wins - losses) / rows.sum()
        found[way] = (shown, mcnemar(wins, losses), mcnemar(losses, wins))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results/duel_picked.md"))
    args = parser.parse_args()
    lines = ["# Is a duel fair where people correct what went wrong?", ""]
    lines += [f"`python benchmarks/duel_picked.py --seeds {args.seeds}`", ""]
    lines += [" ".join(str(__doc__).split("\n\n")[2].split()), ""]
    lines += [
        "| set | rows learnt from | true gain | drawn from | shown minus true, points | false verdicts |"
    ]
    lines += ["|---|---|---|---|---|---|"]
    found = {}
    with get_context("spawn").Pool(args.jobs) as pool:
        for name, start in CASES:
            runs = pool.map(one, [(name, start, seed) for seed in range(args.seeds)], chunksize=1)
            found[name] = runs
            truth = [run["truth"][0] for run in runs]
            for way in WAYS:
                off = interval([run[way][0] - t for run, t in zip(runs, truth, strict=True)])
                false = sum(
                    (run[way][1] <= 0.005 and t <= 0) or (run[way][2] <= 0.005 and t >= 0)
                    for run, t in zip(runs, truth, strict=True)
                )
                cells = [name, f"{start:,}", f"{np.mean(truth):+.2f}", way]
                cells += [f"{off[0]:+.2f} [{off[1]:+.2f}, {off[2]:+.2f}]", f"{false} of {len(runs)}"]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    args.out.with_suffix(".json").write_text(json.dumps(found, indent=0) + "\n", "utf-8")
    args.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
