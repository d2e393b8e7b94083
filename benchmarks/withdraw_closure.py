"""What rests on a consent, found among a million records of two thousand experts.

    OMP_NUM_THREADS=1 python benchmarks/withdraw_closure.py                  # about 5 minutes on 2 cores
    OMP_NUM_THREADS=1 python benchmarks/withdraw_closure.py --records 20000  # nothing is written

Each expert gave 450 records; a tenth more are made from theirs by a machine. The time is that of
`wheel.closure.closure`, cold (first call of a process, files just opened) and warm (median of 20 experts).
Writes docs/results/withdraw_closure.{json,md}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from bapsim.compose.plan import exam
from bapsim.core.arrow import concat, take
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Records, Rows, Task, derive
from bapsim.core.turn import Turn
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.closure import closure
from bapsim.wheel.gathering import gather
from bapsim.wheel.state import begin

OUT = Path(__file__).parent.parent / "docs" / "results"
EXPERTS = 2_000
BAR = 0.1  # seconds


def consent(expert: int) -> str:
    """The name of an expert's consent."""
    return f"c-{expert:012d}"


@dataclass(frozen=True)
class Experts:
    """Rows of many persons, each under a consent."""

    each: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for expert in range(EXPERTS):
            texts = [
                f"question {expert * self.each + i} about a card that was lost" for i in range(self.each)
            ]
            rows = Rows(pa.record_batch({"text": pa.array(texts), "intent": pa.array(["card"] * self.each)}))
            yield Draft(rows=rows, origin=origin("room", "person", consent(expert)))


@dataclass(frozen=True)
class Rephrase:
    """One row in ten, made anew by a machine."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for view in turn.data.values():
            whole = Records(concat([take(batch, kept) for batch, kept in _batches(view)]))
            some = [[i] for i in range(0, len(whole), 9)]
            texts = [f"in other words: {whole.column('text')[i].as_py()}" for (i,) in some]
            rows = Rows(pa.record_batch({"text": pa.array(texts), "intent": pa.array(["card"] * len(some))}))
            made = origin("rephrase", "machine", None)
            yield derive(whole, some, rows, changed=frozenset({"input"}), origin=made)


def _batches(view: Any) -> Iterator[tuple[Any, Any]]:
    yield from zip(view.batches(), view.kept(), strict=True)


def origin(method: str, maker: Any, given: str | None) -> Origin:
    """Where rows come from."""
    return Origin(
        source=method, input_maker=maker, target_maker="person", method=method, rights="own", consent=given
    )


def world(place: Path, records: int) -> Path:
    """A project with so many records, gathered by two turns."""
    (place / "inbox").mkdir(parents=True)
    (place / "recipe.py").write_text("")
    recipe = Recipe(
        task=Task(input="text", target="intent"),
        sources={"experts": Experts(each=records * 9 // 10 // EXPERTS)},
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(60),
    )
    with opened(place) as project:
        turn = begin(project, recipe)
        gather(project, dict(recipe.sources), turn)
        with project.ledger.change("done") as ledger:
            ledger.amend("turn", {"n": 1}, state="done")
        turn = begin(project, recipe)
        gather(project, {"rephrase": Rephrase()}, turn)
    return place


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        root = world(Path(place) / "bank", wanted.records)
        built = time.perf_counter() - began
        with opened(root, writing=False) as project:
            times, found = [], []
            for expert in range(7, EXPERTS, EXPERTS // 21):
                began = time.perf_counter()
                one = closure(project, consent(expert))
                times.append(time.perf_counter() - began)
                found.append(len(one.members))
            records = sum(shard.rows for shard in project.shards())
    said = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "records": records,
        "experts": EXPERTS,
        "members": [min(found), max(found)],
        "cold": times[0],
        "warm": median(times[1:]),
        "most": max(times[1:]),
        "built": built,
    }
    print(json.dumps(said))
    if wanted.records >= 1_000_000:
        (OUT / "withdraw_closure.json").write_text(json.dumps(said, indent=1) + "\n")
        (OUT / "withdraw_closure.md").write_text(page(said))


def page(said: dict[str, Any]) -> str:
    """The page of results."""
    least, most = said["members"]
    head = ("records", "experts", "records of one", "first call", "median of 20", "slowest of 20")
    times = [f"{said[name]:.3f} s" for name in ("cold", "warm", "most")]
    cells = (f"{said['records']:,}", f"{said['experts']:,}", f"{least} to {most}", *times)
    return "\n".join(
        [
            "# The closure of a consent",
            "",
            f"`python benchmarks/withdraw_closure.py`, {said['date']}, {said['cpus']} CPUs. "
            f"{(__doc__ or '').splitlines()[0]} Asked for: {BAR} s.",
            "",
            "| " + " | ".join(head) + " |",
            "|" + "---|" * len(head),
            "| " + " | ".join(cells) + " |",
            "",
        ]
    )


if __name__ == "__main__":
    main()
