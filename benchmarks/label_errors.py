"""Are wrong labels found, as well as cleanlab finds them, and what do asking and leaving out do to accuracy?

    python -m venv /tmp/peer && /tmp/peer/bin/pip install cleanlab==2.9.0
    OMP_NUM_THREADS=1 python benchmarks/label_errors.py --peer /tmp/peer/bin/python

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/label_errors.{json,md}. Wrong labels are put
into nsmc_ko, banking77 and mnist; what the three and hate_ko hold by nature is measured by accuracy alone.
Every ranking gets the same out-of-fold probabilities.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import average_precision_score

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.refine.ambiguity import ambiguous_pairs
from bapsim.refine.labels import contradictions, flag, suspicion
from bapsim.text.minhash import clusters
from bapsim.text.vectors import unit_vectors
from bapsim.train.text import calibrate, probabilities, text_linear
from bapsim.wheel.weighing import can_tell, trust
from label_errors_page import FULL, INJECTED, OUT, cells, write

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
SEEDS = tuple(range(10))
FOLDS, TEST, BUDGET = 5, 3000, 0.05
# set -> file, label, rows; the cost is searched on two and three classes, where that is cheap
TEXTS = {
    "nsmc_ko": ("nsmc_ko/train.jsonl.gz", "label", 4000, None),
    "banking77": ("banking77/train.jsonl.gz", "intent", 3000, 1.0),
    "hate_ko": ("hate_ko/labeled.jsonl.gz", "hate", 3500, None),
}
Fit = Callable[[np.ndarray, np.ndarray], float]  # rows and their labels -> accuracy on untouched rows


@dataclass(frozen=True, eq=False)
class Part:
    """One seed's rows of a set: true classes y of k, folds; held: classes of the untouched rows."""

    y: np.ndarray
    k: int
    folds: np.ndarray
    held: np.ndarray
    nearest: np.ndarray
    crossfit: Callable[[np.ndarray], tuple[np.ndarray, Fit]]
    features: Any
    groups: np.ndarray | None
    names: tuple[str, ...]


@cache
def rows_in(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Texts, classes and class names of a set, rows without a label left out."""
    path, target, _, _ = TEXTS[name]
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        rows = [r for r in map(json.loads, lines) if r[target] is not None and r["text"]]
    names, y = np.unique([str(r[target]) for r in rows], return_inverse=True)
    return np.array([r["text"] for r in rows], object), y, tuple(names.tolist())


def neighbour_class(x: Any, y: np.ndarray, k: int) -> np.ndarray:
    """The class whose centroid is nearest to that of each class, int64[k]."""
    centre = np.stack([np.asarray(x[y == c].mean(axis=0)).ravel() for c in range(k)])
    centre /= np.linalg.norm(centre, axis=1, keepdims=True) + 1e-12
    near = centre @ centre.T
    np.fill_diagonal(near, -1)
    return near.argmax(axis=1)


@cache
def text_neighbours(name: str) -> np.ndarray:
    texts, y, names = rows_in(name)
    some = np.random.default_rng(0).permutation(len(texts))[:20_000]
    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**13)
    return neighbour_class(hashed.transform(texts[some]), y[some], len(names))


def mixture(texts: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None) -> Mixture:
    rows = {"text": pa.array(texts.tolist()), "label": pa.array([f"{c:04d}" for c in labels])}
    return Mixture(
        task=Task(input="text", target="label"), records=Records(pa.record_batch(rows)), weight=weight
    )


def text_part(name: str, seed: int) -> Part:
    """text_linear over five folds; refits keep the constants of that cross-fit."""
    texts, classes, names = rows_in(name)
    _, _, n, cost = TEXTS[name]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(texts))
    at, held = order[:n], order[n : n + TEST]
    mine, test = texts[at], pa.record_batch({"text": pa.array(texts[held].tolist())})
    folds = (rng.permutation(n) % FOLDS).astype(np.int8)

    def crossfit(labels: np.ndarray) -> tuple[np.ndarray, Fit]:
        fitted = text_linear(cost=cost).crossfit(None, mixture(mine, labels), folds, 0)
        column: Any = fitted.answers.column("probs")
        probs = np.zeros((n, max(len(names), int(labels.max()) + 1)), np.float32)
        probs[:, np.unique(labels)] = column.flatten().to_numpy().reshape(n, -1)

        def accuracy(rows: np.ndarray, said: np.ndarray, weight: np.ndarray | None = None) -> float:
            model = text_linear(cost=cost)(fitted.model, mixture(mine[rows], said, weight), 0)
            answers = np.array([int(a) for a in model(test).column("prediction").to_pylist()])
            return float((answers == classes[held]).mean())

        return probs, accuracy

    return Part(
        y=classes[at],
        k=len(names),
        folds=folds,
        held=classes[held],
        nearest=text_neighbours(name),
        crossfit=crossfit,
        features=unit_vectors(mine.tolist()),
        groups=clusters(mine.tolist(), 0.95),
        names=names,
    )


@cache
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels as unit vectors, 1,000 random cosine features of them (Rahimi and Recht 2007), classes, "
    "ids, and
    the probabilities that came with the set."""
    with np.load(DATA / "mnist_label_errors" / "mnist.npz") as file:
        pixels, y = file["image"].reshape(len(file["image"]), -1) / 255.0, file["given"].astype(np.int64)
        ids, came = file["id"], file["pyx"].astype(np.float64)
    pixels -= pixels.mean(axis=0)
    rng = np.random.default_rng(0)
    shift = rng.uniform(0, 2 * np.pi, 1000)
    waves = np.cos(pixels @ rng.normal(scale=0.1, size=(pixels.shape[1], 1000)) + shift)
    unit = (pixels / np.linalg.norm(pixels, axis=1, keepdims=True)).astype(np.float32)
    return unit, np.c_[waves, np.ones(len(y))], y, ids, came


def picture_part(seed: int) -> Part:
    """Ridge regression of -1 and 1 on random features, calibrated as text models are."""
    unit, waves, classes, _, _ = pictures()
    n = 4000
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    at, held = order[:n], order[n:]
    folds = (rng.permutation(n) % FOLDS).astype(np.int8)
    mine, ridge = waves[at], 10.0 * np.eye(waves.shape[1])
    whole = mine.T @ mine
    inner = [np.linalg.inv(whole - mine[folds == f].T @ mine[folds == f] + ridge) for f in range(FOLDS)]

    def crossfit(labels: np.ndarray) -> tuple[np.ndarray, Fit]:
        k = max(10, int(labels.max()) + 1)
        goal = np.where(labels[:, None] == np.arange(k), 1.0, -1.0)
        scores = np.zeros((n, k))
        for f in range(FOLDS):
            scores[folds == f] = mine[folds == f] @ (inner[f] @ (mine[folds != f].T @ goal[folds != f]))
        prior = (np.bincount(labels, minlength=k) + 0.5) / (n + 0.5 * k)
        constants = calibrate(scores, labels, np.ones(n), prior, np.ones(n), 1.0)
        probs = probabilities(scores, np.ones(n, bool), prior, constants)

        def accuracy(rows: np.ndarray, said: np.ndarray, weight: np.ndarray | None = None) -> float:
            target = np.where(said[:, None] == np.arange(k), 1.0, -1.0)
            some = mine[rows].T * (1.0 if weight is None else weight)
            head = np.linalg.solve(some @ mine[rows] + ridge, some @ target)
            return float(((waves[held] @ head).argmax(axis=1) == classes[held]).mean())

        return probs.astype(np.float32), accuracy

    near = neighbour_class(unit, classes, 10)
    names = tuple(str(c) for c in range(10))
    return Part(classes[at], 10, folds, classes[held], near, crossfit, unit[at], None, names)


def part_of(name: str, seed: int) -> Part:
    return picture_part(seed) if name == "mnist" else text_part(name, seed)


def spoiled(part: Part, rate: float, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Labels of which exactly this share is wrong: any other class, or the nearest one; of two "
    "classes, three
    quarters of the wrong ones are of the second class (all of them would be more than half of it at 30 %)."""
    y, k = part.y, part.k
    labels, count = y.copy(), round(rate * len(y))
    if kind == "confused" and k == 2:
        most = round(0.75 * count)
        sides = [(np.flatnonzero(y == 1), most), (np.flatnonzero(y == 0), count - most)]
        at = np.concatenate([rng.choice(rows, m, replace=False) for rows, m in sides])
        labels[at] = 1 - y[at]
        return labels
    at = rng.choice(len(y), count, replace=False)
    labels[at] = part.nearest[y[at]] if kind == "confused" else (y[at] + rng.integers(1, k, count)) % k
    return labels


# --------------------------------------------------------------------------- one cell, one seed


def f1(flagged: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (flagged & truth).sum() / max(flagged.sum() + truth.sum(), 1))


def mask(n: int, rows: np.ndarray) -> np.ndarray:
    found = np.zeros(n, bool)
    found[rows] = True
    return found


@dataclass(eq=False)
class Run:
    """What is measured on one draw."""

    part: Part
    labels: np.ndarray
    probs: np.ndarray
    accuracy: Fit
    rng: np.random.Generator

    @cached_property
    def truth(self) -> np.ndarray:
        return self.labels != self.part.y

    @cached_property
    def known(self) -> np.ndarray:
        """bool[n]: rows but those with an equal text that was published under another label."""
        part = self.part
        if part.groups is None:
            return np.ones(len(self.labels), bool)
        share, _ = contradictions(part.groups, part.y, np.full(len(part.y), np.nan))
        return ~np.isin(part.groups, part.groups[share > 0])

    def found(self) -> dict[str, Any]:
        """The estimate, and how well the ranking and the flags match the truth."""
        plain = suspicion(self.probs, self.labels)
        self.said = suspicion(self.probs, self.labels, groups=self.part.groups, features=self.part.features)
        self.flagged = flag(self.said, self.labels)
        noise, n = self.said.noise, len(self.labels)
        told: dict[str, Any] = {"rate": noise.rate, "low": noise.low, "high": noise.high}
        told |= {"along": noise.along, "advised": self.flagged.prune}
        told["right"] = float((self.probs.argmax(axis=1) == self.part.y).mean())
        told["true"] = float(self.truth.mean())
        if self.truth.any():
            for name, one in (("alone", plain), ("whole", self.said)):
                order = one.order()
                score = np.zeros(n)
                score[order] = np.arange(n, n - len(order), -1)
                told[f"ap_{name}"] = float(average_precision_score(self.truth, score))
                told[f"apart_{name}"] = float(
                    average_precision_score(self.truth[self.known], score[self.known])
                )
                told[f"f1_{name}"] = f1(mask(n, flag(one, self.labels).rows), self.truth)
        return told

    def acted(self, full: bool) -> dict[str, float]:
        """Accuracy on untouched rows after nothing, leaving out, weighing, and (full cells only) asking."""
        n, labels = len(self.labels), self.labels
        everything = np.arange(n)
        told = {"nothing": self.accuracy(everything, labels)}
        kept = np.flatnonzero(~mask(n, self.flagged.rows[self.flagged.prunable]))
        told["left out"] = self.accuracy(kept, labels[kept]) if len(kept) < n else told["nothing"]
        count = trust(self.said.wrong) if can_tell(self.said, labels) else None
        told["weighed"] = told["nothing"] if count is None else self.accuracy(everything, labels, count)
        if full:
            budget = round(BUDGET * n)
            worst, random = self.said.order()[:budget], self.rng.permutation(n)[:budget]
            slip = self.rng.random(budget) >= 0.95
            told["asked"] = self.accuracy(everything, self.answered(worst, np.zeros(budget, bool)))
            told["asked, 95 %"] = self.accuracy(everything, self.answered(worst, slip))
            told["asked at random"] = self.accuracy(everything, self.answered(random, np.zeros(budget, bool)))
        return told

    def answered(self, rows: np.ndarray, slip: np.ndarray) -> np.ndarray:
        """The labels after a reviewer saw these rows, who gives another class where he slips."""
        y, k = self.part.y[rows], self.part.k
        labels = self.labels.copy()
        labels[rows] = np.where(slip, (y + self.rng.integers(1, k, len(rows))) % k, y)
        return labels


def measured(folder: Path) -> list[dict[str, Any]]:
    """Every cell and seed; what the peer is to judge goes into the folder."""
    rows = []
    for name in (*INJECTED, "hate_ko"):
        for seed in SEEDS:
            part = part_of(name, seed)
            for number, (rate, kind) in enumerate(cells(name)):
                rng = np.random.default_rng([seed, number])
                labels = spoiled(part, rate, kind, rng)
                probs, accuracy = part.crossfit(labels)
                run = Run(part, labels, probs, accuracy, rng)
                one = {"set": name, "seed": seed, "injected": rate, "kind": kind, **run.found()}
                if rate in (0.0, 0.05, *FULL, 0.3):
                    one |= run.acted(rate in FULL)
                if rate == 0:
                    pairs = ambiguous_pairs(probs, labels, part.names, groups=part.groups)
                    one["pairs"] = [[p.first, p.second, p.merged[0]] for p in pairs]
                np.savez(
                    folder / f"{len(rows):05d}.npz",
                    labels=labels,
                    probs=probs,
                    truth=run.truth,
                    known=run.known,
                )
                rows.append(one)
            print(name, seed, f"{time.process_time():.0f} CPU-s", flush=True)
    return rows


def compared(folder: Path, rows: list[dict[str, Any]], python: str) -> None:
    """Adds what cleanlab made of the same probabilities."""
    peer = Path(__file__).with_name("label_errors_peer.py")
    subprocess.run([python, str(peer), str(folder)], check=True)
    for i, one in enumerate(rows):
        with np.load(folder / f"{i:05d}.peer.npz") as said, np.load(folder / f"{i:05d}.npz") as given:
            truth, known = given["truth"], given["known"]
            one["peer_rate"] = float(said["rate"])
            if truth.any():
                for key in said.files:
                    if key.startswith("rank_"):
                        one[f"ap_{key[5:]}"] = float(average_precision_score(truth, said[key]))
                        apart = average_precision_score(truth[known], said[key][known])
                        one[f"apart_{key[5:]}"] = float(apart)
                    elif key.startswith("flag_"):
                        one[f"f1_{key[5:]}"] = f1(said[key], truth)


# --------------------------------------------------------------------------- further questions


def split_classes() -> list[dict[str, Any]]:
    """Three classes of banking77, and one of mnist, labelled at random as one of two: are the pairs "
    "named?"""
    found = []
    for name, count in (("banking77", 3), ("mnist", 1)):
        for seed in SEEDS:
            part, rng = part_of(name, seed), np.random.default_rng([seed, 99])
            largest = np.argsort(-np.bincount(part.y, minlength=part.k), kind="stable")[:count]
            labels = part.y.copy()
            for i, c in enumerate(largest.tolist()):
                labels[(part.y == c) & (rng.random(len(labels)) < 0.5)] = part.k + i
            probs, _ = part.crossfit(labels)
            names = [str(c) for c in range(part.k + count)]
            pairs = ambiguous_pairs(probs, labels, names)
            planted = {(str(c), str(part.k + i)) for i, c in enumerate(largest.tolist())}
            named = {(p.first, p.second): p for p in pairs}
            hit = [named[pair] for pair in planted if pair in named]
            first = sum(pair in planted for pair in list(named)[: len(planted)])
            others = len(pairs) - len(hit)
            found.append(
                {"set": name, "planted": len(planted), "named": len(hit), "first": first, "others": others}
                | {"merged": [p.merged[0] for p in hit], "relabelled": [p.relabelled[0] for p in hit]}
            )
    return found


def checked_by_people(folder: Path, python: str) -> dict[str, Any]:
    """Precision among the pictures that five people looked at, by the probabilities that came with them."""
    _, _, y, ids, came = pictures()
    path = DATA / "mnist_label_errors" / "human_check.jsonl.gz"
    checks = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    place = {int(i): n for n, i in enumerate(ids)}
    rows = np.array([place[c["id"]] for c in checks])
    against = [c["votes"]["guessed"] + c["votes"]["neither"] for c in checks]
    given = [c["votes"]["given"] for c in checks]
    folder.mkdir()
    np.savez(folder / "0.npz", labels=y, probs=came.astype(np.float32), truth=np.zeros(len(y), bool))
    subprocess.run([python, str(Path(__file__).with_name("label_errors_peer.py")), str(folder)], check=True)
    ours = suspicion(came, y, features=pictures()[0])
    order = ours.order()
    score = np.zeros(len(y))
    score[order] = np.arange(len(y), len(y) - len(order), -1)
    scores = {"bapsim": score}
    with np.load(folder / "0.peer.npz") as said:
        scores |= {k[5:]: said[k] for k in said.files if k.startswith("rank_")}
        peer_rate = float(said["rate"])
    told: dict[str, Any] = {
        "rows": len(rows),
        "pictures": len(y),
        "rate": ours.noise.rate,
        "peer_rate": peer_rate,
    }
    for word, wrong in (
        ("most say wrong", np.array([a > g for a, g in zip(against, given, strict=True)])),
        ("at least half say wrong", np.array([a >= g for a, g in zip(against, given, strict=True)])),
    ):
        told[word] = {"pictures": int(wrong.sum())}
        for name, one in scores.items():
            best = np.argsort(-one[rows], kind="stable")
            told[word][name] = [float(wrong[best[:k]].mean()) for k in (5, 10, 20)]
            told[word][name].append(float(average_precision_score(wrong, one[rows])))
    return told


def costs() -> dict[str, float]:
    """CPU seconds for 50,000 texts and made-up probabilities of 77 classes."""
    texts, _, _ = rows_in("nsmc_ko")
    rng, n, k = np.random.default_rng(0), 50_000, 77
    y = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    scores[np.arange(n), y] += 4
    probs = np.exp(2 * scores)
    probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = np.where(rng.random(n) < 0.1, np.minimum(y ^ 1, k - 1), y)
    told, made = {}, {}

    def timed(name: str, work: Callable[[], Any]) -> None:
        start = time.process_time()
        made[name] = work()
        told[name] = time.process_time() - start

    timed("texts as vectors", lambda: unit_vectors(texts[:n].tolist()))
    timed("equal texts", lambda: clusters(texts[:n].tolist(), 0.95))
    timed("suspicion, probabilities alone", lambda: suspicion(probs, labels))
    timed("suspicion with neighbours", lambda: suspicion(probs, labels, features=made["texts as vectors"]))
    timed("ambiguous pairs", lambda: ambiguous_pairs(probs, labels, [str(c) for c in range(k)]))
    return told


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--peer", required=True, help="python of a venv with cleanlab==2.9.0")
    say.add_argument("--out", type=Path, default=OUT)
    args = say.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measured(folder)
        compared(folder, rows, args.peer)
        said = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "seeds": list(SEEDS),
            "rows": rows,
            "checked": checked_by_people(folder / "checked", args.peer),
            "split": split_classes(),
            "costs": costs(),
        }
    said["cpu"] = time.process_time()
    args.out.mkdir(parents=True, exist_ok=True)
    body = json.dumps(json.loads(json.dumps(said), parse_float=lambda v: round(float(v), 5)))
    (args.out / "label_errors.json").write_text(body.replace('{"set"', '\n{"set"') + "\n", "utf-8")
    write(args.out)


if __name__ == "__main__":
    main()
