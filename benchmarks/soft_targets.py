"""Where raters disagree: learning from their votes against learning from the label that was settled on.

    OMP_NUM_THREADS=1 python benchmarks/soft_targets.py

Writes docs/results/soft_targets.{json,md}. Same rows, same folds, same trainer; only `Task.votes` differs.
Real votes: klue_nli_ko, five a pair, its columns being simple marks of the two sentences (n-grams cannot do
inference). Crowd-like votes: five raters a text who err more on hard texts, mostly towards the class next
door; the settled label is their majority. Intervals are Student's over the paired differences of ten seeds.
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
from bapsim.judge.exam import losses
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear
from lab import DATA, interval, nearest_class, rows_in

OUT = Path(__file__).parents[1] / "docs" / "results" / "soft_targets"
SEEDS = range(10)
RATERS = 5
PLANS = (("nsmc_ko", 0.15), ("nsmc_ko", 0.3), ("banking77", 0.15), ("banking77", 0.3), ("clinc150", 0.15))
DENIALS = ("않", "안 ", "못", "없", "아니")


def crowd(
    name: str, seed: int, errs: float, count: int
) -> tuple[dict[str, Any], np.ndarray, list[list[str]], np.ndarray]:
    """Texts, settled labels, votes and true labels; a text's difficulty is drawn around `errs`."""
    texts, labels = rows_in(name)
    rng = np.random.default_rng([seed, round(100 * errs)])
    at = rng.permutation(len(texts))[:count]
    names, near = np.unique(labels), nearest_class(name)
    hard = rng.beta(2 * errs, 2 * (1 - errs), count)
    votes, settled = [], []
    for i, truth in enumerate(labels[at]):
        wrong = rng.random(RATERS) < hard[i]
        slips = [near[truth] if rng.random() < 0.7 else str(rng.choice(names)) for _ in range(RATERS)]
        said = [slip if w else truth for slip, w in zip(slips, wrong, strict=True)]
        votes.append(said)
        most = max(Counter(said).values())
        settled.append(min(label for label, n in Counter(said).items() if n == most))
    return {"text": texts[at]}, np.array(settled, object), votes, labels[at]


def inference() -> tuple[dict[str, Any], np.ndarray, list[list[str]], np.ndarray]:
    """Pairs of klue_nli_ko as marks: shared letters and words, lengths, denials, numbers, source."""
    with gzip.open(DATA / "klue_nli_ko/annot.jsonl.gz", "rt", encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]

    def pieces(text: str, n: int) -> set[str]:
        return {text[i : i + n] for i in range(len(text) - n + 1)}

    marks: dict[str, list[Any]] = {}
    for pair in pairs:
        one, two = pair["premise"], pair["hypothesis"]
        row: dict[str, Any] = {
            f"shared {n}": len(pieces(one, n) & pieces(two, n)) / max(len(pieces(two, n)), 1)
            for n in (1, 2, 3)
        }
        row |= {"words": len(set(one.split()) & set(two.split())) / max(len(two.split()), 1)}
        row |= {"premise": len(one), "hypothesis": len(two), "longer": len(two) / max(len(one), 1)}
        row |= {f"{d.strip()} {n}": float(d in t) for d in DENIALS for n, t in (("one", one), ("two", two))}
        row |= {"same digits": float([c for c in one if c.isdigit()] == [c for c in two if c.isdigit()])}
        row |= {"ends": two.rstrip(".")[-2:], "source": pair["source"]}
        for name, value in row.items():
            marks.setdefault(name, []).append(value)
    gold = np.array([pair["gold"] for pair in pairs], object)
    votes = [[pair["author"], *pair["raters"]] for pair in pairs]
    return {name: np.array(values) for name, values in marks.items()}, gold, votes, gold


def measured(data: Any, train: int, seed: int, soft: bool) -> dict[str, float]:
    """Accuracy (%) and log-loss on untouched rows, against the settled and against the true labels."""
    columns, settled, votes, truth = data
    order = np.random.default_rng(100 + seed).permutation(len(settled))
    here, test = order[:train], order[train:]

    def rows(at: np.ndarray) -> dict[str, Any]:
        return {name: pa.array(np.asarray(column)[at].tolist()) for name, column in columns.items()}

    said = {
        "y": pa.array(settled[here].tolist()),
        "votes": pa.array([votes[i] for i in here], pa.list_(pa.string())),
    }
    text = "text" in columns
    task = Task(
        input="text" if text else tuple(columns),
        target="y",
        kind="text" if text else "table",
        votes="votes" if soft else None,
    )
    mixture = Mixture(task=task, records=Records(pa.RecordBatch.from_pydict(rows(here) | said)))
    folds = (np.arange(train) % 5).astype(np.int8)
    model = (text_linear() if text else table_boosted(trees=100)).crossfit(None, mixture, folds, seed).model
    answers = model(Rows(pa.RecordBatch.from_pydict(rows(test))))
    probs = np.asarray(answers["probs"].flatten()).reshape(len(test), -1)
    prediction = np.array(answers["prediction"].to_pylist(), object)
    found = {}
    for name, gold in (("settled", settled[test]), ("true", truth[test])):
        found[f"accuracy {name}"] = 100 * float((prediction == gold).mean())
        found[f"loss {name}"] = float(losses(probs, model.classes, gold.tolist()).mean())
    return found


def page(found: dict[str, Any]) -> str:
    said = [
        "# Learning from votes",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/soft_targets.py` (seeds 0 to {len(SEEDS) - 1}, "
        f"{found['cpu']:,.0f} CPU-s, {found['date']}; `--page` writes this page again). What is "
        f"compared stands "
        "at the top of that file. Differences are votes minus settled labels: of accuracy plus is better, of "
        "log-loss minus.",
        "",
        "| set | rows | settled label wrong | accuracy, settled labels | votes | 95 % "
        "| log-loss, settled labels | votes | 95 % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found["sets"]:
        for name in ("settled", "true"):
            if one["wrong"] == 0 and name == "true":
                continue
            hard, soft = ([run[who] for run in one["runs"]] for who in ("hard", "soft"))
            cells = []
            for measure, digits in (("accuracy", 1), ("loss", 4)):
                key = f"{measure} {name}"
                middle, low, high = interval([s[key] - h[key] for s, h in zip(soft, hard, strict=True)])
                cells += [
                    f"{np.mean([h[key] for h in hard]):.{digits}f}",
                    f"{middle:+.{digits + (digits == 1)}f}",
                ]
                cells += [f"{low:+.{digits + (digits == 1)}f} to {high:+.{digits + (digits == 1)}f}"]
            against = "" if one["wrong"] == 0 else f", against {name} labels"
            said.append(
                f"| {one['name']}{against} | {one['train']:,} | {one['wrong']:.1f} % | {' | '.join(cells)} |"
            )
    return "\n".join(said) + "\n"


def main() -> None:
    start = time.process_time()
    found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "sets": []}
    for name, errs in ((None, 0.0), *PLANS):
        runs, wrong = [], []
        for seed in SEEDS:
            data = inference() if name is None else crowd(name, seed, errs, 5000)
            train = 1400 if name is None else 2500
            wrong.append(100 * float((data[1] != data[3]).mean()))
            runs.append({who: measured(data, train, seed, who == "soft") for who in ("hard", "soft")})
        title = "klue_nli_ko, real votes" if name is None else f"{name}, raters err {errs:.0%}"
        found["sets"].append({"name": title, "train": train, "wrong": float(np.mean(wrong)), "runs": runs})
        print(title, runs[0], flush=True)
    found["cpu"] = time.process_time() - start
    OUT.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if "--page" not in sys.argv:
        main()
    OUT.with_suffix(".md").write_text(page(json.loads(OUT.with_suffix(".json").read_text("utf-8"))), "utf-8")
