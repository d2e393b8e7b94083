"""What a whole turn costs: nsmc_ko, 121,798 labelled rows and 53,806 without, against one plain fit.

    python benchmarks/turn_cost.py [--out docs/results/turn_cost]

Peer: scikit-learn's TfidfVectorizer (words 1-2 and char_wb 2-4, sublinear) + LinearSVC, one fit on the
labelled rows. Each side is a process of its own, one thread; CPU seconds and peak memory are the operating
system's.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = DATA / "nsmc_ko" / "train.jsonl.gz"


def plain() -> dict[str, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = [r for r in rows if r["label"] is not None]
    both = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    )
    LinearSVC().fit(both.fit_transform([r["text"] for r in kept]), [r["label"] for r in kept])
    return {"rows": len(kept)}


def ours() -> dict[str, float]:
    """One fit of the product's own trainer, calibration out of fold included."""
    import pyarrow as pa

    from bapsim.core.recipe import Mixture
    from bapsim.core.records import Numbering, Rows, Task, certify, source
    from bapsim.train.text import text_linear

    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = [r for r in rows if r["label"] is not None]
    batch = Rows(
        pa.record_batch({"text": [r["text"] for r in kept], "label": [str(r["label"]) for r in kept]})
    )
    draft = source(batch, name="nsmc", maker="person", rights="CC0")
    records = certify(draft, secret=b"0" * 32, origin=0, numbering=Numbering())
    text_linear()(None, Mixture(task=Task(input="text", target="label"), records=records), 0)
    return {"rows": len(kept)}


RECIPE = """
from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.gather.files import files
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.duplicates import exact_duplicates, near_duplicates
from bapsim.refine.schema import schema
from bapsim.train.text import text_linear

recipe = Recipe(
    task=Task(input="text", target="label"),
    sources={"data": files("data/", rights="CC0-1.0", key="id", types={"label": "string"})},
    checks={"schema": schema()},
    surveys={"copies": exact_duplicates(), "near": near_duplicates(0.8)},
    questions=worth_asking(200),
    train=text_linear(), judge=per_item(), metric=accuracy, gate=paired(), exam=exam(),
)
"""


def turn() -> dict[str, float]:
    import shutil
    import time

    from bapsim.store.artifacts import import_file
    from bapsim.store.project import opened
    from bapsim.wheel.turn import run_turn

    root = Path(tempfile.mkdtemp(prefix="bapsim-cost-"))
    steps: list[tuple[str, float]] = []
    try:
        (root / "inbox" / "data").mkdir(parents=True)
        shutil.copy(FILE, root / "inbox" / "data")
        (root / "recipe.py").write_text(RECIPE)
        recipe = import_file(root / "recipe.py").recipe
        with opened(root) as project:
            told = run_turn(project, recipe, say=lambda s, **_: steps.append((s, time.process_time())))
        print(
            json.dumps({k: told[k] for k in ("verdict", "fits", "oof_accuracy", "accounts")}), file=sys.stderr
        )
        spent = {f"cpu until {name}": round(at, 1) for name, at in steps}
        size = sum(p.stat().st_size for p in (root / "wheel").rglob("*") if p.is_file())
        return {"fits": told["fits"], "rows": told["accounts"]["trained"], "disk_mb": size / 1e6, **spent}
    finally:
        shutil.rmtree(root)


def measured(side: str) -> dict[str, float]:
    """CPU seconds and peak resident memory of one side in a process of its own."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    code = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r}); import turn_cost; "
    code += f"print(json.dumps(turn_cost.{side}()))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = f"{code}; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    said = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = said.stdout.strip().splitlines()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "rss_gb": int(lines[-1]) / 1e6, **json.loads(lines[-2])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/results/turn_cost"))
    args = parser.parse_args()
    found = {side: measured(side) for side in ("plain", "ours", "turn")}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    t, p, o = found["turn"], found["plain"], found["ours"]
    args.out.with_suffix(".md").write_text(
        "# What a whole turn costs\n\n"
        "`python benchmarks/turn_cost.py`: nsmc_ko, 121,798 labelled rows and 53,806 without; one thread.\n\n"
        "| | CPU, s | peak memory, GB | fits |\n|---|---|---|---|\n"
        "| plain: TfidfVectorizer words 1-2 + char_wb 2-4, LinearSVC "
        f"| {p['cpu']:.1f} | {p['rss_gb']:.2f} | 1 |\n"
        "| `text_linear()` once, with its calibration out of fold "
        f"| {o['cpu']:.1f} | {o['rss_gb']:.2f} | 5 folds, its search, 1 |\n"
        f"| **a whole turn** | **{t['cpu']:.1f}** | **{t['rss_gb']:.2f}** | {t['fits']} |\n"
        f"| turn / plain | **{t['cpu'] / p['cpu']:.2f}** | | |\n\n"
        f"CPU of the turn until each step: "
        + ", ".join(f"{k.removeprefix('cpu until ')} {v}" for k, v in t.items() if k.startswith("cpu until"))
        + f". The wheel takes {t['disk_mb']:.0f} MB on disk.\n"
    )
    print(args.out.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
