"""Does `audit` find what was planted: contradictions, leaks, copies, personal data, swapped labels? How fast?

    python benchmarks/audit.py [--seeds 5]

Each seed draws 3,000 rows of a set and plants errors of each kind at rows of their own, then asks `audit`
which lines it would show. Writes docs/results/audit.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.text.minhash import clusters  # noqa: E402
from bapsim.wheel.auditing import audit  # noqa: E402
from bapsim.wheel.founding import Wanted  # noqa: E402
from lab import interval, nearest_class, rows_in  # noqa: E402

PRIVATE = (
    "my number is 010-{a:04d}-{b:04d}",
    "제 번호는 010.{a:04d}.{b:04d}인데요",
    "write to user{a}@example{b}.com please",
    "minsu{a}@naver.com로 답장 주세요",
    "card 4111 1111 1111 1111 was charged",
    "from 203.0.113.{c}",
    "주민번호 900101-1234568 입니다",
)
KINDS = ("contradictions", "leaks", "copies", "personal", "swapped")
SETS = ("banking77", "clinc150", "nsmc_ko")


def planted(name: str, seed: int) -> tuple[list[list[str]], dict[str, set[int]]]:
    """Rows (text, label, split) of a file, and the lines (1 = the header) of each kind that was planted."""
    rng = np.random.default_rng(seed)
    texts, labels = rows_in(name)
    order = rng.permutation(len(texts))[:9000]
    order = order[[len(t) >= 20 for t in texts[order]]]
    _, first = np.unique(clusters(texts[order].tolist(), 0.5), return_index=True)
    at = rng.permutation(order[first])[:2850]
    split = np.where(rng.random(len(at)) < 0.7, "train", "test")
    rows = [[" ".join(texts[i].split()), labels[i], s] for i, s in zip(at, split, strict=True)]
    near, names = nearest_class(name), np.unique(labels[at])
    free = iter(rng.permutation(len(rows)).tolist())
    found: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for k in range(len(rows) // 20):  # 5 % of the labels, half of them to the class next door
        i = next(free)
        others = [n for n in names if n != rows[i][1]]
        rows[i][1] = near[rows[i][1]] if k % 2 and near[rows[i][1]] != rows[i][1] else str(rng.choice(others))
        found["swapped"].add(i + 2)
    for k in range(42):
        i = next(free)
        said = PRIVATE[k % len(PRIVATE)].format(a=rng.integers(1000, 9999), b=rng.integers(1000, 9999), c=k)
        rows[i][0] += " " + said
        found["personal"].add(i + 2)
    added: list[tuple[str, list[str], int]] = []
    for kind, count in (("contradictions", 30), ("copies", 60), ("leaks", 60)):
        for k in range(count):
            i = next(free)
            while kind == "leaks" and rows[i][2] == "train":
                i = next(free)
            text, label, where = rows[i]
            if kind == "contradictions":
                label = str(rng.choice([n for n in names if n != label]))
            elif kind == "leaks":
                where = "train"
            if k % 2 and kind != "contradictions":
                text = text.upper().rstrip("?.!") + " !"
            added.append((kind, [text, label, where], i))
    for kind, row, i in added:
        rows.append(row)
        found[kind].add(i + 2 if kind == "leaks" else len(rows) + 1)
        if kind == "contradictions":
            found[kind].add(i + 2)
    return rows, found


def measured(name: str, seed: int) -> dict[str, float]:
    """Recall of each kind, and how much else was shown."""
    rows, truth = planted(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text", "label", "split"], *rows])
        began = time.process_time()
        facts = audit([path], Wanted(target="label", text="text"), None, lambda *_, **__: None)
        spent = time.process_time() - began
    shown = {kind: [line for _, line in lines] for kind, lines in facts["lines"].items()}
    told = {"seconds": spent, "rate": facts["suspicious"]["rate"]}
    for kind in KINDS[:4]:
        told[kind] = len(truth[kind] & set(shown[kind])) / len(truth[kind])
        told[f"{kind} else"] = len(set(shown[kind]) - truth[kind])
    first = set(shown["suspicious"][: 2 * len(truth["swapped"])])
    told["swapped"] = len(first & truth["swapped"]) / len(truth["swapped"])
    return told


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seeds", type=int, default=5)
    args = say.parse_args()
    lines = [
        "# Audit: what was planted, and what was found",
        "",
        f"Made by `python benchmarks/audit.py --seeds {args.seeds}`. Each file has 3,000 rows of a set: 30 "
        "inputs with a second label, 60 test rows that stand in train, too, 60 copies (half of leaks and "
        "copies in capitals and with another end), 42 rows with personal data of seven forms, and 5 % of the "
        "labels swapped (half of them to the class next door). Recall in %, mean over seeds, with the lowest "
        "seed; for swapped labels among the first twice as many suspects. `else`: lines shown that were not "
        "planted (the sets have errors of their own).",
        "",
        "| set | contradictions | leaks | copies | personal | swapped | estimated wrong % | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        runs = [measured(name, seed) for seed in range(args.seeds)]
        cells = []
        for kind in KINDS:
            values = [100 * r[kind] for r in runs]
            more = f", else {np.mean([r[f'{kind} else'] for r in runs]):.0f}" if kind != "swapped" else ""
            cells.append(f"{np.mean(values):.1f} (lowest {min(values):.1f}{more})")
        rate, low, high = interval([100 * r["rate"] for r in runs])
        seconds = np.mean([r["seconds"] for r in runs])
        lines.append(f"| {name} | {' | '.join(cells)} | {rate:.1f} [{low:.1f}, {high:.1f}] | {seconds:.1f} |")
        print(lines[-1], flush=True)
    out = Path(__file__).parent.parent / "docs" / "results" / "audit.md"
    out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
