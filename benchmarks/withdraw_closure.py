"""Among 1,000,000 records of 2,000 experts, what rests on one consent is found within a tenth of a second.

    OMP_NUM_THREADS=1 python benchmarks/withdraw_closure.py [--seed 0] [--out docs/results/withdraw_closure]

A project as a turn gathers it: 894,000 rows of 1,999 experts, 100,000 that a machine made of those, 2,000 of
one more expert, and 4,000 made of theirs in two generations, a quarter of them with a parent of another.
What is timed is `bapsim.wheel.closure.closure`, which asks the ledger and reads shards, nine times in one
process and once each in nine new ones (its modules are loaded before). What it finds is compared with a walk
over all parents, record by record, in another order and without the ledger's index.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat
from bapsim.core.records import Draft, Origin, Records, Rows, Task, derive
from bapsim.core.turn import Turn
from bapsim.store.lake import read_batch
from bapsim.store.project import Project, opened
from bapsim.wheel.closure import closure, counted, decided
from bapsim.wheel.gathering import gather_one

EXPERT = "c-expert234567"
EXPERTS = 2_000
BAR = 0.1  # seconds
TIMES = 9
PART = 50_000  # rows of a draft
WORDS = (
    "카드",
    "대출",
    "송금",
    "이체",
    "로그인",
    "비밀번호",
    "한도",
    "이자",
    "어제",
    "지점",
    "앱",
    "card",
    "loan",
)
SIZES = {
    "others": 894_000,
    "machine": 100_000,
    "expert": 2_000,
    "first": 2_000,
    "mixed": 1_000,
    "second": 1_000,
}

Source = Callable[[Turn], Iterator[Draft]]


def rows(rng: np.random.Generator, first: int, count: int) -> Rows:
    """Texts of six words that stand once, each with one of 77 labels."""
    drawn = rng.integers(len(WORDS), size=(count, 6)).tolist()
    texts = [f"{' '.join(WORDS[k] for k in row)} {first + i}" for i, row in enumerate(drawn)]
    labels = [f"intent {k}" for k in rng.integers(77, size=count).tolist()]
    return Rows(pa.record_batch({"text": pa.array(texts), "intent": pa.array(labels)}))


def given(name: str, first: int, rng: np.random.Generator, consents: list[str]) -> Source:
    """What experts gave, each under a consent."""
    made = Origin(source=name, input_maker="person", target_maker="person", method="file", rights="own")
    cuts = np.linspace(0, SIZES[name], len(consents) + 1).astype(int).tolist()

    def source(turn: Turn) -> Iterator[Draft]:
        for consent, (start, end) in zip(consents, pairwise(cuts), strict=True):
            yield Draft(rows=rows(rng, first + start, end - start), origin=replace(made, consent=consent))

    return source


def derived(name: str, first: int, rng: np.random.Generator, parents: list[Records]) -> Source:
    """What a machine made: each row has one parent in each of these."""
    made = Origin(
        source=name, input_maker="machine", target_maker="machine", method="rephrase", rights="derived"
    )
    whole = Records(concat(parents))
    starts = np.cumsum([0, *(len(one) for one in parents)]).tolist()

    def source(turn: Turn) -> Iterator[Draft]:
        for at in range(0, SIZES[name], PART):
            count = min(PART, SIZES[name] - at)
            drawn = [rng.integers(a, b, size=count) for a, b in pairwise(starts)]
            of = np.stack(drawn, 1).tolist()
            new = rows(rng, first + at, count)
            yield derive(whole, of, new, changed=frozenset({"input"}), origin=made)

    return source


def built(root: Path, seed: int) -> dict[str, float]:
    """The project, gathered; seconds by source."""
    (root / "inbox").mkdir(parents=True)
    (root / "recipe.py").write_text("", "utf-8")
    rng, first, seconds = np.random.default_rng(seed), 0, {}
    mums = {"machine": ["others"], "first": ["expert"], "mixed": ["first", "others"], "second": ["first"]}
    with opened(root) as project:
        for name, size in SIZES.items():
            start = time.perf_counter()
            if name in mums:
                source = derived(name, first, rng, [brought(project, one) for one in mums[name]])
            else:
                others = [f"c-{i:012d}" for i in range(EXPERTS - 1)]
                source = given(name, first, rng, [EXPERT] if name == "expert" else others)
            turn = Turn(n=1, seed=seed, task=Task(input="text", target="intent"), inbox=project.inbox)
            assert gather_one(project, name, source, turn, name) == size
            first += size
            seconds[name] = round(time.perf_counter() - start, 1)
            print(f"{name}: {size:,} records in {seconds[name]} s", flush=True)
    return seconds


def brought(project: Project, name: str) -> Records:
    """The first shard of what a source brought."""
    path = project.ledger.value("select path from shard where source=? order by rowid limit 1", name)
    return Records(read_batch(project.wheel / str(path)))


def walked(project: Project) -> set[bytes]:
    """What rests on the consent, by a walk over the parents of all records until nothing is added."""
    own = {int(r["n"]) for r in project.ledger.rows("select n from origin where consent=?", EXPERT)}
    found: set[bytes] = set()
    children: list[tuple[bytes, list[bytes]]] = []
    for shard in reversed(project.shards()):
        batch = read_batch(project.wheel / shard.path, ["_id", "_origin", "_parents"])
        for one, origin, of in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if origin in own:
                found.add(one)
            if of:
                children.append((one, of))
    size = -1
    while size != len(found):
        size = len(found)
        found.update(one for one, of in children if not found.isdisjoint(of))
    return found


def timed(root: Path) -> dict[str, Any]:
    """Closures in this process: seconds of each, and what was found."""
    seconds = []
    with opened(root, writing=False) as project:
        for _ in range(TIMES):
            start, cpu = time.perf_counter(), time.process_time()
            found = closure(project, EXPERT)
            seconds.append([time.perf_counter() - start, time.process_time() - cpu])
    return {"seconds": seconds, "found": len(found.members)}


def compared(root: Path) -> dict[str, Any]:
    with opened(root, writing=False) as project:
        found = closure(project, EXPERT)
        wanted = walked(project)
        start = time.perf_counter()
        actions = decided(found, set(), set())
        return {
            "walked": len(wanted),
            "missing": len(wanted - {one.id for one in found.members}),
            "too_many": len({one.id for one in found.members} - wanted),
            "actions": counted(actions),
            "decided_seconds": time.perf_counter() - start,
            "shards": len(found.shards),
            "records": sum(shard.rows for shard in found.shards),
        }


def alone(root: Path) -> list[float]:
    """Seconds of the first closure of a new process, and of CPU."""
    command = [sys.executable, __file__, "--once", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(one) for one in done.stdout.split()]


def once(root: Path) -> int:
    with opened(root, writing=False) as project:
        read_batch(project.wheel / project.shards()[0].path, ["_id"])  # modules that pyarrow loads when used
        pa.array(np.arange(2))
        start, cpu = time.perf_counter(), time.process_time()
        closure(project, EXPERT)
        print(time.perf_counter() - start, time.process_time() - cpu)
    return 0


def page(said: dict[str, Any], command: str) -> str:
    def of(seconds: list[list[float]], kind: int) -> str:
        ranked = sorted(1000 * one[kind] for one in seconds)
        return f"{ranked[len(ranked) // 2]:.0f} | {ranked[0]:.0f} | {ranked[-1]:.0f}"

    c = said["compared"]
    actions = "\n".join(f"| {name} | {count:,} |" for name, count in c["actions"].items())
    return f"""# What rests on a consent, among a million records

`{command}`

{(__doc__ or "").split(chr(10) * 2)[2].strip()}

{c["records"]:,} records of {EXPERTS:,} experts in {c["shards"]} shards. Asked: at most {1000 * BAR:.0f} ms.

| closure, ms | median | least | most | CPU, median | least | most |
|---|---|---|---|---|---|---|
| in one process, {TIMES} times | {of(said["warm"], 0)} | {of(said["warm"], 1)} |
| the first in a new process, {TIMES} of them | {of(said["first"], 0)} | {of(said["first"], 1)} |

| found | |
|---|---|
| records that rest on the consent | {said["found"]:,} |
| by the walk over all parents | {c["walked"]:,} |
| **missing; too many** | **{c["missing"]}; {c["too_many"]}** |
| ms to decide what is done with each, where no words are looked for | {1000 * c["decided_seconds"]:.1f} |

| action, where none of the expert's words stands in what was made | records |
|---|---|
{actions}

The walk takes {said["walk_seconds"]:.1f} s. Load of the machine meanwhile: {said["load"]}.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/withdraw_closure"))
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once is not None:
        return once(asked.once)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "bank"
        gathered = built(root, asked.seed)
        warm = timed(root)
        first = [alone(root) for _ in range(TIMES)]
        start = time.perf_counter()
        said = {
            "sizes": SIZES,
            "gathered_seconds": gathered,
            "found": warm["found"],
            "warm": warm["seconds"],
            "first": first,
            "compared": compared(root),
            "walk_seconds": time.perf_counter() - start,
            "load": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        }
    command = f"OMP_NUM_THREADS=1 python benchmarks/withdraw_closure.py --seed {asked.seed}"
    body = page(said, command)
    asked.out.with_suffix(".md").write_text(body, "utf-8")
    asked.out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    print(body)
    c = said["compared"]
    slow = sorted(cpu for _, cpu in warm["seconds"])[TIMES // 2] > BAR
    return int(slow or bool(c["missing"] or c["too_many"]) or c["walked"] != said["found"])


if __name__ == "__main__":
    raise SystemExit(main())
