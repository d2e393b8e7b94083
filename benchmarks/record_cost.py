"""What does a birth certificate cost, in memory and on disk, beyond the rows themselves?

People-made records with integer keys, written as a turn writes them (shards of 65,536 rows); the same rows
without certificates, written in the same way, are taken away. Also: time for an id, verdict files, and what
gathering keeps in memory while it looks for records that it has seen.

    python benchmarks/record_cost.py [--records 120000] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat
from bapsim.core.records import Draft, Numbering, Origin, Records, Rows, abstained, certify, rows_of, verdicts
from bapsim.store.lake import parquet, regroup, write_shard, write_verdicts

OUT = Path(__file__).parent.parent / "docs" / "results" / "record_cost.md"
ORIGIN = Origin(source="file", input_maker="person", target_maker="person", method="file", rights="own")
LIMITS = {"memory": 40, "disk": 22}


def rows_like(count: int, seed: int) -> Rows:
    """Short texts of Korean syllables (40 on average) with one of 77 labels."""
    rng = np.random.default_rng(seed)
    syllables = np.array([chr(0xAC00 + 28 * i) for i in range(300)] + [" "] * 60)
    sizes = rng.poisson(40, count)
    letters = syllables[rng.integers(len(syllables), size=int(sizes.sum()))]
    ends = np.cumsum(sizes)
    texts = ["".join(letters[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    labels = [f"intent {i}" for i in rng.integers(77, size=count)]
    return Rows(pa.record_batch({"text": pa.array(texts), "label": pa.array(labels)}))


def measured(rows: Rows, keys: list[str] | None) -> dict[str, float]:
    """Bytes and microseconds a record."""
    count = len(rows)
    start = time.process_time()
    draft = Draft(rows=rows, origin=ORIGIN, keys=keys)
    records = certify(draft, secret=b"k" * 32, origin=0, numbering=Numbering())
    seconds = time.process_time() - start
    records = Records(concat([records]))  # its own buffers, no slack of the builders
    with tempfile.TemporaryDirectory() as place:
        shards = list(regroup([records]))
        size = [write_shard(Path(place), f"{i}.parquet", shard) for i, shard in enumerate(shards)]
        disk = sum((Path(place) / shard.path).stat().st_size for shard in size)
        named = {f"check{i}": abstained(count) for i in range(7)}
        named["length"] = verdicts(np.random.default_rng(1).random(count) > 0.02, "short")
        write_verdicts(Path(place), "v.parquet", named)
        said = (Path(place) / "v.parquet").stat().st_size
    bare = sum(len(parquet(rows_of(shard))) for shard in shards)
    tracemalloc.start()
    known = set(records.column("_id").to_pylist())
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "memory": (records.nbytes - rows.nbytes) / len(known),
        "disk": (disk - bare) / count,
        "verdicts": said / count,
        "microseconds": seconds / count * 1e6,
        "gathering": held / count,
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=120_000)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    rows = rows_like(asked.records, asked.seed)
    numbers = [str(i) for i in range(1, asked.records + 1)]
    shuffled = np.random.default_rng(asked.seed).permutation(numbers).tolist()
    kinds = {"integer keys": numbers, "integer keys, shuffled": shuffled}
    kinds |= {"no keys (numbered)": None, "file:line": [f"train.csv:{n}" for n in numbers]}
    found = {kind: measured(rows, keys) for kind, keys in kinds.items()}
    print(json.dumps(found, indent=1))
    command = f"python benchmarks/record_cost.py --records {asked.records} --seed {asked.seed}"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(page(found, asked.records, command), "utf-8")
    integer = [one for kind, one in found.items() if kind.startswith("integer")]
    kept = all(one[name] <= limit for one in integer for name, limit in LIMITS.items())
    print("within the limits" if kept else f"over the limits {LIMITS}")
    return int(not kept)


def page(found: dict[str, dict[str, float]], count: int, command: str) -> str:
    """The table, with the command that makes it."""
    names = {
        "memory": "memory, B",
        "disk": "disk, B",
        "verdicts": "verdict file of 8 checks, B on disk",
        "microseconds": "certify, CPU us",
        "gathering": "set of known ids while gathering, B",
    }
    lines = [
        "# What a birth certificate costs",
        "",
        f"`{command}`: {count:,} people-made records (40 Korean syllables and a label each);",
        "figures are for one record, beyond its row.",
        f"Limits with integer keys: {LIMITS['memory']} B in memory, {LIMITS['disk']} B on disk.",
        "",
        "| keys | " + " | ".join(names.values()) + " |",
        "|---|" + "---|" * len(names),
        *(f"| {kind} | " + " | ".join(f"{one[n]:.1f}" for n in names) + " |" for kind, one in found.items()),
        "",
        "The set of known ids lives only while a source is read; the other figures are for good.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
