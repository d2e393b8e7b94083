"""Do the policies on machine-made text come in the order that papers tell, and does the guard hold?

    python benchmarks/collapse.py [--seeds 3] [--generations 8] [--page]

`bapsim lab collapse` on Shakespeare's plays (word trigrams, 100,000 words to learn from): every policy and
seed, eight generations. What is written down is the loss on people's text that nothing else saw, above that
of a model of people's text alone; what of people's rare words is left; what the guard said of each text. The
same bars on three texts for which nothing was chosen: Korean documentation, Python's PEPs, speeches of
presidents.

Writes docs/results/collapse.json, collapse_others.json and collapse.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.lab.collapse import collapse, last  # noqa: E402

OUT = Path(__file__).parent.parent / "docs" / "results"
ARMS = (
    *("replace", "replace@0.5", "mix10", "subsample", "accumulate", "mix50", "anchor"),
    *("best", "verified", "guarded"),
)


OTHERS = {"react-ko": "lm_ko", "pep": "lm_en", "us-speeches": "lm_en"}  # source: where its documents are


def bars(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What is asked, what was measured, and whether it holds: for the means, and the orders in every seed."""
    end = {name: last(found, name)[0] for name in ARMS}
    each = {name: [row[-1] for row in found["arms"][name]["loss"]] for name in ARMS}
    order = ("replace", "mix10", "subsample", "accumulate", "anchor")
    seeds = range(len(found["seeds"]))
    falls = [all(each[a][s] > each[b][s] for a, b in pairwise(order)) for s in seeds]
    said = [one for seed in found["arms"]["guarded"]["guard"] for one in seed]
    score = found["arms"]["best"]["score"]
    improves = all(a > b for row in score for a, b in pairwise(row))
    worst = max(each["guarded"])
    share = {name: end[name] / end["replace"] for name in ("accumulate", "anchor", "replace@0.5", "best")}
    refused = sum(not one["admitted"] for one in said)
    first, final = (float(np.mean([row[at] for row in score])) for at in (0, -1))
    trap = "kept by an outside model's score: the score improves each time, the loss is worse than unfiltered"
    told = f"{first:.2f} to {final:.2f} nats, {end['best']:+.3f} against {end['replace']:+.3f}"
    falling = f"{sum(falls)} of {len(falls)} seeds"
    return [
        (" > ".join(order) + " > 0, in every seed", falling, all(falls) and end["anchor"] > 0),
        ("accumulate / replace <= .35", f"{share['accumulate']:.3f}", share["accumulate"] <= 0.35),
        ("anchor / replace <= .2", f"{share['anchor']:.3f}", share["anchor"] <= 0.2),
        ("sharpened >= 2 x plain", f"{share['replace@0.5']:.2f}", share["replace@0.5"] >= 2),
        (trap, told, improves and share["best"] > 1),
        ("the guard refuses every harmful text at once", f"{refused} of {len(said)}", refused == len(said)),
        ("the guarded model never ends worse than people's text alone", f"{worst:+.4f}", worst <= 0),
    ]


def table(found: dict[str, Any]) -> list[str]:
    """One line for each arm: loss after 1, 4 and the last generation, and what is left."""
    wanted = sorted({1, min(4, found["generations"]), found["generations"]})
    rows = [
        "| arm | "
        + " | ".join(f"after {g}" for g in wanted)
        + " | rare words left | different pairs | compression | CPU-s |"
    ]
    rows.append("|---|" + "---|" * (len(wanted) + 4))
    for name in ARMS:
        one = found["arms"][name]
        loss = np.array(one["loss"])
        width = loss[:, -1].std(ddof=1) if len(loss) > 1 else float("nan")
        cells = [f"{loss[:, g].mean():+.3f}" for g in wanted]
        cells[-1] += f" ± {width:.3f}"
        cells += [f"{last(found, name, key)[0]:.3f}" for key in ("coverage", "distinct_2", "compression")]
        rows.append(f"| {name} | " + " | ".join(cells) + f" | {one['seconds'] / len(loss):.1f} |")
    one = found["arms"]["replace"]
    human = [
        f"{np.mean([row[0] for row in one[key]]):.3f}" for key in ("coverage", "distinct_2", "compression")
    ]
    return [*rows, "| people's text | " + " | ".join(["0"] * len(wanted) + human) + " | |"]


def others(texts: dict[str, dict[str, Any]]) -> list[str]:
    """The bars again, a column for each of the other texts."""
    held = {name: bars(found) for name, found in texts.items()}
    heads = [f"{name} ({found['tokens']:,} words)" for name, found in texts.items()]
    rows = [f"| asked | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for line in zip(*held.values(), strict=True):
        cells = [measured if good else f"**{measured}**" for _, measured, good in line]
        rows.append(f"| {line[0][0]} | {' | '.join(cells)} |")
    return rows


def write(found: dict[str, Any], texts: dict[str, dict[str, Any]]) -> None:
    holds = bars(found)
    seeds, generations = len(found["seeds"]), found["generations"]
    sizes = f"{found['tokens']:,} words, {found['vocabulary']:,} different, {found['learnt']:,} learnt from"
    how = f"`python benchmarks/collapse.py --seeds {seeds} --generations {generations}`"
    lines = [
        "# Policies on machine-made text",
        "",
        f"{how}: Shakespeare's plays, {sizes}. Loss: nats a word on people's held-out text more than a model "
        "of people's text alone, mean over seeds ± their standard deviation.",
        "",
        *table(found),
        "",
        "| asked | measured | holds |",
        "|---|---|---|",
        *(f"| {asked} | {measured} | {'yes' if good else '**no**'} |" for asked, measured, good in holds),
        "",
        "The guard is no wall: more text of people, whoever delivers it, is admitted "
        "(`pytest tests/lab/test_collapse.py::test_the_guard_admits_what_helps`).",
        "",
        "verified: people's text, and of three times as much machine text what a model of other people's "
        "text finds neither odder nor plainer than nine tenths of people's blocks. It is no better than the "
        "anchor alone: a band of likelihood admits text that looks usual, and takes no error out.",
        "",
        "## Other texts",
        "",
        "As many generations and seeds; what does not hold is bold.",
        "",
        *others(texts),
    ]
    (OUT / "collapse.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if not asked.page:
        data = Path(os.environ.get("BAPSIM_DATA", "../shared/data"))
        with gzip.open(data / "tinyshakespeare/input.txt.gz", "rt", encoding="utf-8") as file:
            keep("collapse", measured(file.read(), asked))
        keep("collapse_others", {name: measured(documents(data, name), asked) for name in OTHERS})
    write(kept("collapse"), kept("collapse_others"))


def measured(text: str, asked: argparse.Namespace) -> dict[str, Any]:
    return collapse(text, generations=asked.generations, seeds=range(asked.seeds), arms=ARMS)


def documents(data: Path, source: str) -> str:
    """All documents of a source, one after the other."""
    with gzip.open(data / OTHERS[source] / "docs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return "\n\n".join(row["text"] for row in rows if row["source"] == source)


def keep(name: str, found: dict[str, Any]) -> None:
    (OUT / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def kept(name: str) -> dict[str, Any]:
    return dict(json.loads((OUT / f"{name}.json").read_text()))


if __name__ == "__main__":
    main()
