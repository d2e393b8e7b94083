"""How long an expert waits until the room shows what an answer changes, on real texts.

    OMP_NUM_THREADS=1 python benchmarks/lesson.py [--sets banking77 nsmc_ko] [--rows 10000]

A project of so many rows (one in ten without a label), one turn; then the room's process is asked, one after
the other, for the effect of sessions of 1 to 30 lines: answers that say another label than the data, examples
and rules of one or two words. Seconds from the request to the effect, which the room writes down and sends;
`first` is the first request of a process, which prepares the classroom. Asked for: 3 s.
Writes docs/results/lesson.{json,md}.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.store.project import opened
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.lesson_process import Lessons
from bapsim.wheel.stock import load_stock
from lab import rows_in

OUT = Path(__file__).parent.parent / "docs" / "results"
SIZES = (1, 2, 3, 5, 8, 12, 20, 30)  # lines of a session
TIMES = 5  # sessions of each size
BAR = 3.0  # seconds


def project(place: Path, name: str, rows: int) -> Path:
    """A project after its first turn."""
    from click.testing import CliRunner

    from bapsim.cli import main as bapsim

    texts, labels = rows_in(name)[:2]
    at = np.random.default_rng(0).permutation(len(texts))[:rows]
    file = place / f"{name}.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        for i, row in enumerate(at.tolist()):
            writer.writerow([texts[row], "" if i % 10 == 9 else labels[row]])
    root = place / name
    for words in (
        ("new", root, "--from", file, "--text", "text", "--target", "label"),
        ("-C", root, "turn"),
    ):
        done = CliRunner().invoke(bapsim, [str(one) for one in words])
        if done.exit_code:
            raise RuntimeError(done.output)
    return root


def sessions(root: Path) -> list[list[dict[str, Any]]]:
    """What experts might say: lines of sessions of all sizes."""
    with opened(root, writing=False) as one:
        stock = load_stock(one, load_recipe(root).task)
        known = np.flatnonzero(stock.labelled)
        told, labels = [str(text) for text in stock.told], stock.labels
        ids = {i: name.hex() for name, i in stock.place.items()}
    classes, rng = sorted(set(labels[known].tolist())), np.random.default_rng(1)
    found = []
    for size in SIZES:
        for _ in range(TIMES):
            lines: list[dict[str, Any]] = []
            for k, row in enumerate(rng.choice(known, size, replace=False).tolist()):
                label = str(rng.choice(classes))
                words = [word for word in told[row].split() if len(word) > 1][:2] or ["x"]
                kinds: list[dict[str, Any]] = [
                    {"kind": "vote", "question": ids[row], "said": label},
                    {"kind": "example", "input": {"text": f"{told[row]} {k}"}, "target": label},
                    {"kind": "rule", "rule": {"any": words}, "label": label},
                ]
                lines.append({"id": f"l-{k}", "person": "p-aaaaaaaaaa", **kinds[k % 3]})
            found.append(lines)
    return found


def measured(root: Path) -> dict[str, Any]:
    """Seconds of the first request and of all others."""
    said = sessions(root)
    with Lessons(root) as lessons:
        began = time.perf_counter()
        ready = lessons.ready().result(600)
        lessons.effect(said[0]).result(600)
        first = time.perf_counter() - began
        time.sleep(20)  # somebody reads the first question; heads are fitted meanwhile
        seconds = []
        for lines in said:
            began = time.perf_counter()
            lessons.effect(lines).result(600)
            seconds.append(time.perf_counter() - began)
            time.sleep(1)
    return {
        "rows": ready["rows"],
        "classes": len(ready["classes"]),
        "first": first,
        "p50": float(np.quantile(seconds, 0.5)),
        "p95": float(np.quantile(seconds, 0.95)),
        "most": max(seconds),
        "within": float(np.mean(np.array(seconds) <= BAR)),
        "sessions": len(seconds),
    }


def page(said: dict[str, Any]) -> str:
    """The page of results."""
    head = ("set", "rows", "classes", "first request", "p50", "p95", "most", f"within {BAR:g} s")
    lines = [
        "# How long a look takes",
        "",
        f"`python benchmarks/lesson.py`, {said['date']}, {said['cpus']} CPUs. "
        f"{(__doc__ or '').splitlines()[0]} {said['sessions']} sessions of 1 to 30 lines on each set.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for name, one in said["sets"].items():
        times = [f"{one[key]:.2f} s" for key in ("first", "p50", "p95", "most")]
        cells = (name, f"{one['rows']:,}", one["classes"], *times, f"{100 * one['within']:.0f} %")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", default=["banking77", "nsmc_ko"])
    parser.add_argument("--rows", type=int, default=10_000)
    wanted = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name in wanted.sets:
            found[name] = measured(project(Path(place), name, wanted.rows))
            print(name, json.dumps(found[name]), flush=True)
    said = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "sessions": len(SIZES) * TIMES,
        "sets": found,
    }
    if wanted.rows >= 10_000:
        (OUT / "lesson.json").write_text(json.dumps(said, indent=1) + "\n")
        (OUT / "lesson.md").write_text(page(said))


if __name__ == "__main__":
    main()
