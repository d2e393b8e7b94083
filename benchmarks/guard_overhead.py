"""The collapse guard costs a turn at most a twentieth: signals and audits, beside a turn that makes rows.

    python benchmarks/guard_overhead.py [--rounds 3] [--quick]

Two turns of a wheel on real reviews (nsmc_ko, 2,000 and 20,000 labels) and on a table of machines (ai4i2020):
in the second, machine-made variants of a fifth of people's rows wait, verifiers are audited on people's rows,
the signals are held against people's band, and ways of adding them are raced. CPU seconds of this process
within each function of the guard, over those of the rest of the second turn. The race is counted apart: it is
the third signal, and it is also what decides how many of these rows are used. So are verifiers that learn.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from bapsim.refine.agrees import Agrees
from bapsim.store.artifacts import import_file
from bapsim.store.project import opened
from bapsim.wheel import fusing, refining, turn
from bapsim.wheel.turn import run_turn

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BAPSIM_DATA", ROOT.parent / "shared" / "data"))
BAR = 0.05
RECIPE = """
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.gather.augment import misspell
from bapsim.gather.drawn import drawn_by
from bapsim.gather.files import files
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.agrees import agrees
from bapsim.refine.near_parent import near_parent
from bapsim.refine.verifying import verified_by
from bapsim.train.table import table_boosted
from bapsim.train.table_smote import table_smote
from bapsim.train.text import text_linear


def spoken(asked, answer):
    return None if len(str(asked)) > 1 else False


recipe = Recipe(
    task=Task(input={inputs}, target="label", kind="{kind}"),
    generators={generators},
    sources={{"data": files("data/", rights="own", types={{"label": "string"}}), "made": {made}}},
    checks={checks},
    surveys={surveys},
    train={train}, judge=per_item(), metric=accuracy, gate=paired(), exam=exam({exam}),
)
"""
TEXT = {
    "inputs": '"text"',
    "kind": "text",
    "generators": "{}",
    "made": 'misspell("data", share=0.2)',
    "checks": '{"near": near_parent(0.5), "rule": verified_by(spoken)}',
    "surveys": '{"agrees": agrees(text_linear())}',
    "train": "text_linear()",
}
TABLE = {
    "kind": "table",
    "generators": '{"rows": table_smote()}',
    "made": 'drawn_by("rows", count=200)',
    "checks": "{}",
    "surveys": '{"agrees": agrees(table_boosted())}',
    "train": "table_boosted()",
}


def reviews(count: int) -> list[dict[str, Any]]:
    """The first labelled reviews."""
    found = []
    with gzip.open(DATA / "nsmc_ko" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["label"] is not None:
                found.append({"text": row["text"], "label": str(row["label"])})
            if len(found) == count:
                break
    return found


def machines() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The table and its inputs."""
    (path,) = sorted((DATA / "ai4i2020").glob("*.csv.gz"))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    target = next(name for name in rows[0] if "failure" in name.lower())
    skip = {target, "UDI", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"}
    inputs = tuple(name for name in rows[0] if name not in skip)
    return [{**{n: _cell(row[n]) for n in inputs}, "label": f"{row[target]}."} for row in rows], inputs


def _cell(said: str) -> Any:
    try:
        return float(said)
    except ValueError:
        return said


class Clock:
    """CPU seconds within some functions; one that runs inside another is counted in neither twice."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.inside = False

    @contextmanager
    def over(self, module: Any, name: str) -> Iterator[None]:
        whole: Callable[..., Any] = getattr(module, name)

        def timed(*args: Any, **named: Any) -> Any:
            outer, self.inside = self.inside, True
            inner = sum(self.spent.values())
            start = time.process_time()
            try:
                found = whole(*args, **named)
                return list(found) if isinstance(found, Iterator) else found
            finally:
                took = time.process_time() - start - (sum(self.spent.values()) - inner)
                self.spent[name] = self.spent.get(name, 0.0) + took
                self.inside = outer

        with mock.patch.object(module, name, timed):
            yield


def measured(rows: list[dict[str, Any]], recipe: Mapping[str, str]) -> dict[str, Any]:
    """CPU seconds of a second turn, and of the parts of the guard in it."""
    root = Path(tempfile.mkdtemp(prefix="bapsim-guard-"))
    clock = Clock()
    try:
        (root / "inbox" / "data").mkdir(parents=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (root / "inbox" / "data" / "rows.jsonl").write_text(lines, "utf-8")
        (root / "recipe.py").write_text(RECIPE.format(**recipe), "utf-8")
        said = import_file(root / "recipe.py").recipe
        with opened(root) as project:
            run_turn(project, said)
            start = time.process_time()
            with ExitStack() as stack:
                for module, name in PARTS:
                    stack.enter_context(clock.over(module, name))
                told = run_turn(project, said)
            whole = time.process_time() - start
    finally:
        shutil.rmtree(root)
    fused = told["fused"] or {}
    return {"turn": whole, "parts": clock.spent, "made": told["fresh"]["made"], "fused": fused.get("picked")}


PARTS = ((refining, "audits"), (turn, "guarded"), (fusing, "_race"), (Agrees, "__call__"))


def main() -> int:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "guard_overhead")
    say.add_argument("--rounds", type=int, default=3)
    say.add_argument("--quick", action="store_true")
    args = say.parse_args()
    table, inputs = machines()
    worlds: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
        "nsmc_ko, 2,000 labels": (reviews(2000), TEXT | {"exam": "200"}),
        "nsmc_ko, 20,000 labels": (reviews(20000), TEXT | {"exam": "1000"}),
        "ai4i2020, 2,000 rows": (table[:2000], TABLE | {"inputs": repr(inputs), "exam": "400"}),
    }
    if args.quick:
        worlds = dict(list(worlds.items())[:1])
    found: dict[str, Any] = {}
    for name, (rows, recipe) in worlds.items():
        runs = [measured(rows, recipe) for _ in range(1 if args.quick else args.rounds)]
        print(name, json.dumps(runs), flush=True)
        found[name] = summary(runs)
    print(page(found))
    if not args.quick:
        args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        args.out.with_suffix(".md").write_text(page(found), "utf-8")
    return int(any(one["share"] > BAR for one in found.values()))


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over runs; share: signals and audits over the rest of the turn; bare: over what is left of it
    without the race and verifiers that learn.
    """
    names = ("guarded", "audits", "_race", "__call__")
    parts = {n: statistics.median(run["parts"].get(n, 0.0) for run in runs) for n in names}
    shares: list[float] = []
    bare: list[float] = []
    for run in runs:
        guard = run["parts"].get("guarded", 0.0) + run["parts"].get("audits", 0.0)
        apart = sum(run["parts"].get(name, 0.0) for name in ("_race", "__call__"))
        shares.append(guard / (run["turn"] - guard))
        bare.append(guard / (run["turn"] - guard - apart))
    whole = statistics.median(run["turn"] for run in runs)
    found = {"turn": whole, "parts": parts, "share": statistics.median(shares), "shares": shares}
    return found | {"bare": statistics.median(bare), "made": runs[0]["made"]}


def page(found: Mapping[str, Any]) -> str:
    """The results as a page."""
    lines = ["# What the collapse guard costs", "", (__doc__ or "").split("\n\n", 1)[0], ""]
    lines += ["`python benchmarks/guard_overhead.py`", ""]
    lines += ["CPU seconds of a second turn on one thread; medians of the runs.", ""]
    heads = ["world", "machine-made rows", "the turn", "signals", "audits", "race", "`agrees`"]
    heads += ["guard over the rest", "lowest to highest", "over the rest without race and `agrees`"]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, one in found.items():
        part = one["parts"]
        ends = f"{100 * min(one['shares']):.1f} to {100 * max(one['shares']):.1f} %"
        cells = [name, f"{one['made']:,}", f"{one['turn']:.1f}"]
        cells += [f"{part[key]:.2f}" for key in ("guarded", "audits", "_race", "__call__")]
        cells += [f"{100 * one['share']:.1f} %", ends, f"{100 * one['bare']:.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "The race fits models of people's rows with shares of the others: it decides whether such rows are "
        "used at all. `agrees` is a verifier that the recipe asked for, and fits models, too. Where no "
        "machine-made rows wait, none of them runs.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
