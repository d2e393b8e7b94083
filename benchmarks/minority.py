"""Minority views: models taught people's shares of labels, judged against shares of people on other items.

    OMP_NUM_THREADS=1 python benchmarks/minority.py

Writes docs/results/minority.{json,md}. klue_nli_ko: what five people say of 1,986 pairs of sentences, three
labels. klue_sts_ko: what five to seven people say of 333 pairs, how alike they are from 0 to 5; the label is
alike (3 and more) or not. Same rows, folds and trainer (boosted tables over simple marks of two sentences);
only what is learnt differs: the majority's label, or everybody's. Judged on rows that no model saw by
cross-entropy and Brier score against people's shares, and against the majority; on all rows, and on those
where a minority differs. Intervals are Student's over the paired differences of ten seeds.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.train.table import table_boosted
from lab import DATA, interval

OUT = Path(__file__).parents[1] / "docs" / "results" / "minority"
SEEDS = range(10)
DENIALS = ("않", "안 ", "못", "없", "아니")
SETS = {"klue_nli_ko": (1400, 3), "klue_sts_ko": (230, 2)}  # rows to learn from, labels
FLOOR = 1e-6
MEASURES = {
    "entropy": "cross-entropy with people's shares",
    "brier": "Brier score against people's shares",
    "loss": "log-loss of the majority's label",
    "accuracy": "accuracy on the majority's label, %",
}


LESSON = """On klue_sts_ko what people say together is foretold better by who learnt from all of them: on all
rows significantly by every measure but accuracy. On klue_nli_ko nothing changes: marks of letters and lengths
hardly tell entailment at all (45 %), and who cannot tell the label cannot tell where people differ.
Probabilities are calibrated out of fold on the settled label, whatever is learnt: a model is surer than
people are."""


def marks(one: str, two: str, source: str) -> dict[str, Any]:
    """Marks of two sentences: shared letters and words, lengths, denials, numbers, and their source."""

    def pieces(text: str, n: int) -> set[str]:
        return {text[i : i + n] for i in range(len(text) - n + 1)}

    row: dict[str, Any] = {
        f"shared {n}": len(pieces(one, n) & pieces(two, n)) / max(len(pieces(two, n)), 1) for n in (1, 2, 3)
    }
    row |= {"words": len(set(one.split()) & set(two.split())) / max(len(two.split()), 1)}
    row |= {"first": len(one), "second": len(two), "longer": len(two) / max(len(one), 1)}
    row |= {f"{d.strip()} {n}": float(d in t) for d in DENIALS for n, t in (("one", one), ("two", two))}
    row |= {"same digits": float([c for c in one if c.isdigit()] == [c for c in two if c.isdigit()])}
    return row | {"ends": two.rstrip(".")[-2:], "source": source}


def pairs(name: str) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Marks of each pair, and what everybody says of it."""
    with gzip.open(DATA / name / "annot.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    if name == "klue_nli_ko":
        told = [marks(row["premise"], row["hypothesis"], row["source"]) for row in rows]
        return told, [[row["author"], *row["raters"]] for row in rows]
    told = [marks(row["s1"], row["s2"], row["source"]) for row in rows]
    return told, [["alike" if one >= 3 else "unlike" for one in row["ratings"]] for row in rows]


def shares_of(votes: list[str], classes: list[str]) -> list[float]:
    return [votes.count(name) / len(votes) for name in classes]


def settled(votes: list[str]) -> str:
    """The label that most give, of several the first by name."""
    counts = Counter(votes)
    return min(label for label, n in counts.items() if n == max(counts.values()))


def measured(name: str, seed: int, soft: bool) -> dict[str, float]:
    told, votes = pairs(name)
    train = SETS[name][0]
    order = np.random.default_rng(200 + seed).permutation(len(told))
    here, test = order[:train].tolist(), order[train:].tolist()

    def rows(at: list[int]) -> dict[str, Any]:
        return {column: pa.array([told[i][column] for i in at]) for column in told[0]}

    said = {"y": pa.array([settled(votes[i]) for i in here])}
    said |= {"votes": pa.array([votes[i] for i in here], pa.list_(pa.string()))}
    task = Task(input=tuple(told[0]), target="y", kind="table", votes="votes" if soft else None)
    mixture = Mixture(task=task, records=Records(pa.RecordBatch.from_pydict(rows(here) | said)))
    folds = (np.arange(train) % 5).astype(np.int8)
    model = table_boosted(trees=100).crossfit(None, mixture, folds, seed).model
    answers = model(Rows(pa.RecordBatch.from_pydict(rows(test))))
    probs = np.asarray(answers["probs"].flatten()).reshape(len(test), -1)
    classes = list(model.classes)
    return judged(probs, [votes[i] for i in test], classes) | known(votes, here, test, classes)


def judged(probs: np.ndarray, votes: list[list[str]], classes: list[str]) -> dict[str, float]:
    """Each measure on all rows, and on those where somebody differs."""
    shares = np.array([shares_of(one, classes) for one in votes])
    hit = np.array([classes.index(settled(one)) for one in votes])
    divided = shares.max(1) < 1
    probs = np.maximum(probs, FLOOR)
    each = {
        "entropy": -(shares * np.log(probs)).sum(1),
        "brier": ((probs - shares) ** 2).sum(1),
        "loss": -np.log(probs[np.arange(len(hit)), hit]),
        "accuracy": 100.0 * (probs.argmax(1) == hit),
    }
    found = {f"{key} all": float(values.mean()) for key, values in each.items()}
    return found | {f"{key} divided": float(values[divided].mean()) for key, values in each.items()}


def known(votes: list[list[str]], here: list[int], test: list[int], classes: list[str]) -> dict[str, float]:
    """Cross-entropy without looking at a pair (everybody's shares of labels), and of people's own shares."""
    prior = np.mean([shares_of(votes[i], classes) for i in here], 0)
    found = judged(np.tile(prior, (len(test), 1)), [votes[i] for i in test], classes)
    best = judged(np.array([shares_of(votes[i], classes) for i in test]), [votes[i] for i in test], classes)
    return {"prior": found["entropy all"], "best": best["entropy all"]}


def page(found: dict[str, Any]) -> str:
    said = [
        "# Minority views",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/minority.py` (seeds 0 to {len(SEEDS) - 1}, "
        f"{found['cpu']:,.0f} CPU-s, {found['date']}; `--page` writes this page again). What is compared "
        "stands at the top of that file. Differences are everybody's votes minus the majority's label as "
        "what is learnt; less is better but of accuracy.",
        "",
        "| set | rows learnt from | judged on | measure | majority | everybody | difference | 95 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found["sets"]:
        hard, soft = ([run[who] for run in one["runs"]] for who in ("hard", "soft"))
        for rows, words in (
            ("all", "all rows"),
            ("divided", f"rows with a minority ({one['divided']:.0f} %)"),
        ):
            for measure, title in MEASURES.items():
                key, digits = f"{measure} {rows}", 1 if measure == "accuracy" else 4
                middle, low, high = interval([s[key] - h[key] for s, h in zip(soft, hard, strict=True)])
                cells = [f"{np.mean([run[key] for run in who]):.{digits}f}" for who in (hard, soft)]
                cells += [f"{middle:+.{digits}f}", f"{low:+.{digits}f} to {high:+.{digits}f}"]
                head = f"| {one['name']} | {one['train']:,} | {words} | {title} |"
                said.append(f"{head} {' | '.join(cells)} |")
    said += [
        "",
        "Cross-entropy on all rows without looking at a pair (everybody's shares), and of people's own",
    ]
    said += ["shares, which nothing can be below:"]
    for one in found["sets"]:
        prior, best = (np.mean([run["hard"][key] for run in one["runs"]]) for key in ("prior", "best"))
        said += [f"- {one['name']}: {prior:.4f} and {best:.4f}"]
    return "\n".join([*said, "", LESSON]) + "\n"


def main() -> None:
    start = time.process_time()
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "sets": []}
    for name, (train, _) in SETS.items():
        runs = [{who: measured(name, seed, who == "soft") for who in ("hard", "soft")} for seed in SEEDS]
        votes = pairs(name)[1]
        divided = 100 * float(np.mean([len(set(one)) > 1 for one in votes]))
        found["sets"].append({"name": name, "train": train, "divided": divided, "runs": runs})
    found["cpu"] = time.process_time() - start
    OUT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if "--page" not in sys.argv:
        main()
    OUT.with_suffix(".md").write_text(page(json.loads(OUT.with_suffix(".json").read_text("utf-8"))), "utf-8")
