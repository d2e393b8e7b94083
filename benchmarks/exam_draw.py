"""Does the way the exam is drawn bend the gain that it shows? In proportion to classes, and as bapsim draws.

    python benchmarks/exam_draw.py [--seeds 200] [--jobs 2]

Each seed draws rows at hand (a fifth of them the exam), as many more to learn from later, and 3,000
untouched ones. A linear model (words 1-2, LinearSVC) learns without and with the later rows; its accuracy,
and its gain, on the exam minus on the untouched rows. No gate, no questions: only the draw differs. Writes
docs/results/exam_draw.md.
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from multiprocessing import get_context
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.compose import exam  # noqa: E402
from lab import interval, rows_in  # noqa: E402

CASES = (("banking77", 1500), ("banking77", 3000), ("clinc150", 1000), ("clinc150", 3000), ("nsmc_ko", 1500))
DRAWS = {"every class in proportion": 1, "as bapsim draws": exam.STRATUM}


@cache
def features(name: str) -> tuple:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, labels = rows_in(name)
    some = np.random.default_rng(0).permutation(len(texts))[:20_000]
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts[some]), labels[some]


def one(job: tuple[str, int, int]) -> dict[str, tuple[float, float]]:
    from sklearn.svm import LinearSVC

    name, start, seed = job
    x, labels = features(name)
    order = np.random.default_rng(seed).permutation(len(labels))
    hand, later, untouched = np.split(order[: 2 * start + 3000], [start, 2 * start])
    code = np.unique(labels, return_inverse=True)[1][hand]
    rows, found = np.arange(start), {}
    for said, least in DRAWS.items():
        exam.STRATUM = least
        frame = exam.Frame(labels=code, clusters=rows, roots=rows)
        items = exam.draw(frame, exam.exam_size(start), np.random.default_rng(seed))
        gaps = []
        for learnt in (hand[~items], np.r_[hand[~items], later]):
            model = LinearSVC().fit(x[learnt], labels[learnt])
            right = [np.mean(model.predict(x[at]) == labels[at]) for at in (hand[items], untouched)]
            gaps.append(100 * (right[0] - right[1]))
        found[said] = (gaps[0], gaps[1] - gaps[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/results/exam_draw.md"))
    args = parser.parse_args()
    lines = [
        "# Does the draw of the exam bend the gain?",
        "",
        f"`python benchmarks/exam_draw.py --seeds {args.seeds}`: exam minus 3,000 untouched rows, points, "
        "mean and 95 % interval. The second gain is that of as many rows again.",
        "",
        "| set | rows at hand | draw | first model's accuracy | gain of the second |",
        "|---|---|---|---|---|",
    ]
    with get_context("spawn").Pool(args.jobs) as pool:
        for name, start in CASES:
            runs = pool.map(one, [(name, start, seed) for seed in range(args.seeds)], chunksize=5)
            for said in DRAWS:
                cells = [interval([run[said][i] for run in runs]) for i in (0, 1)]
                shown = " | ".join(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" for mean, low, high in cells)
                lines.append(f"| {name} | {start:,} | {said} | {shown} |")
                print(lines[-1], flush=True)
    lines += [
        "",
        "In proportion, the exam holds more of the classes that training happens to be rich in, and so a "
        "young model looks better on it than it is. The excess goes as rows come: the gain looks smaller.",
        "",
    ]
    args.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
