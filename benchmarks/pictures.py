"""Are pictures learnt as well as by the usual classifiers, and does looking for rare ones pay? With CPU cost.

    OMP_NUM_THREADS=1 python benchmarks/pictures.py --data ../shared/data

Writes docs/results/pictures.{json,md}. Accuracy: `image_linear()` against logistic regression, a linear and
an RBF support vector machine and a random forest of scikit-learn, on the same features
(all 860) and on the pixels. Retrieval: pictures of a rare class among the first 100 shown, by calibrated
probability (`likely`), against as many drawn at random, from few known examples.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import sklearn
from PIL import Image
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from bapsim.compose.likely import likely
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows, Task
from bapsim.image import alike
from bapsim.image.features import WIDTH, features
from bapsim.judge.calibrate import calibration_error
from bapsim.train import image
from bapsim.train.image import image_linear

HERE = Path(__file__).parent
SEEDS = (0, 1, 2, 3, 4)
SEARCHES = tuple(range(10))
TASK = Task(input="image", target="label", kind="image")
TRAIN = {"mnist": 2000, "bccd": 1500, "digits": 1200}
SEARCH = (("bccd", "platelet", 3), ("bccd", "platelet", 10), ("bccd", "white", 3), ("bccd", "white", 10))
SEARCH += (("tiles", "crack", 5), ("tiles", "crack", 10), ("tiles", "crack", 20))
OWN = "bapsim"


_measured: dict[bytes, np.ndarray] = {}


def remembered(bodies: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Each picture of this benchmark is measured once, in whichever seed; its cost is told by itself."""
    new = [body for body in dict.fromkeys(bodies) if body not in _measured]
    _measured.update(zip(new, features(new)[0], strict=True))
    x = np.stack([_measured[body] for body in bodies]) if bodies else np.zeros((0, WIDTH), np.float32)
    return x, np.ones(len(bodies), bool)


image.features = remembered


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def read(data: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8[n, ...], labels str[n], what stays together: cells of one photo, shots of one tile."""
    if name == "mnist":
        with np.load(data / "mnist_label_errors" / "mnist.npz") as file:
            return file["image"], file["given"].astype(str), np.arange(len(file["given"]))
    if name == "digits":
        found = load_digits()
        pixels = (found.images * 15.9375).astype(np.uint8)
        return pixels, found.target.astype(str), np.arange(len(pixels))
    if name == "bccd":
        with np.load(data / "bccd" / "crops32.npz") as file:
            return file["x"], np.array(["red", "white", "platelet"])[file["y"]], file["image_id"]
    with np.load(data / "defect_tiles" / "tiles96.npz") as file:
        names = np.array(["free", "blowhole", "break", "crack", "fray", "uneven"])
        return file["image"], names[file["y"]], file["group"]


def rows(bodies: np.ndarray) -> Rows:
    return Rows(pa.record_batch({"image": pa.array(bodies.tolist(), pa.large_binary())}))


def fitted(bodies: np.ndarray, labels: np.ndarray, group: np.ndarray, seed: int) -> Any:
    """Our model and its out-of-fold answers, by folds that keep groups together, as the wheel does."""
    records = rows(bodies).append_column("label", pa.array(labels.tolist(), pa.string()))
    _, code = np.unique(group, return_inverse=True)
    folds = (np.random.default_rng(seed).permutation(code.max() + 1) % 5)[code].astype(np.int8)
    return image_linear().crossfit(None, Mixture(task=TASK, records=records), folds, 0)


def peers(kind: str) -> dict[str, Callable[[], Any]]:
    """Features come on the scale that bapsim's head has them on, which suits all peers better than unit
    variance; pixels lie in [0, 1], and are standardised for the linear ones."""
    linear = {
        "logistic": lambda: LogisticRegression(C=0.1, max_iter=300),
        "linear SVM": lambda: LinearSVC(C=0.01, max_iter=2000),
    }
    if kind == "pixels":
        linear = {
            name: lambda make=make: make_pipeline(StandardScaler(), make()) for name, make in linear.items()
        }
    forest = {"forest": lambda: RandomForestClassifier(300, random_state=0)}
    return linear | {"RBF SVM": lambda: SVC(C=10)} | forest


def accuracy(data: Path, name: str) -> dict[str, Any]:
    """Accuracy in % by method and seed, on rows of other groups than those of training; seconds of CPU."""
    pixels, labels, group = read(data, name)
    bodies = np.array([png(p) for p in pixels], object)
    began = time.process_time()
    x, _ = remembered(bodies.tolist())
    cost = {"features, ms a picture": 1000 * (time.process_time() - began) / len(bodies)}
    flat = pixels.reshape(len(pixels), -1) / np.float32(255)
    scores: dict[str, list[float]] = {}
    errors, seconds = [], []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(np.unique(group))
        place = np.argsort(order)[np.searchsorted(np.unique(group), group)]
        ranked = np.argsort(place, kind="stable")
        cut = place[ranked[TRAIN[name]]]
        train, test = ranked[place[ranked] < cut], ranked[place[ranked] >= cut]
        began = time.process_time()
        made = fitted(bodies[train], labels[train], group[train], seed)
        seconds.append(time.process_time() - began)
        said = made.model(rows(bodies[test]))
        right = np.array(said.column("prediction").to_pylist()) == labels[test]
        errors.append(calibration_error(np.array(said.column("confidence"), np.float64), right))
        scores.setdefault(OWN, []).append(100 * float(right.mean()))
        scale = image.learn_scale(x[train], np.ones(len(train)))
        on_scale = image.scaled(scale, x)[0] * np.sqrt(WIDTH)
        for kind, table in (("features", on_scale), ("pixels", flat)):
            for peer, make in peers(kind).items():
                told = make().fit(table[train], labels[train]).predict(table[test])
                scores.setdefault(f"{peer}, {kind}", []).append(100 * float((told == labels[test]).mean()))
        print(name, seed, {k: round(v[-1], 2) for k, v in scores.items()}, flush=True)
    cost["crossfit and final fit without features, s"] = float(np.mean(seconds))
    return {
        "set": name,
        "train": TRAIN[name],
        "test": len(test),
        "scores": scores,
        "ece": errors,
        "cost": cost,
    }


def search(data: Path, name: str, wanted: str, known: int) -> dict[str, Any]:
    """Per seed: rare items among the first 100, how many were expected, how many random draws would hold."""
    pixels, labels, group = read(data, name)
    bodies = np.array([png(p) for p in pixels], object)
    near = alike.groups(alike.sketches(bodies.tolist())).of
    found = []
    for seed in SEARCHES:
        rng = np.random.default_rng(seed)
        order = rng.permutation(np.unique(group))
        start = np.isin(group, order[: 40 if name == "tiles" else 12])
        rare = np.concatenate([np.flatnonzero((group == g) & (labels == wanted)) for g in order])[:known]
        train = np.union1d(np.flatnonzero(start & (labels != wanted)), rare)
        pool = np.flatnonzero(~start & ~np.isin(group, group[rare]))
        made = fitted(bodies[train], labels[train], group[train], seed)
        probs = np.array(made.model(rows(bodies[pool])).column("probs").flatten()).reshape(len(pool), -1)
        shown = likely(probs, made.model.classes.index(wanted), 100)
        once = likely(probs, made.model.classes.index(wanted), 100, near[pool])
        there = labels[pool] == wanted
        first = np.unique(near[pool], return_index=True)[1]
        found.append(
            {
                "hits": int(there[shown.rows].sum()),
                "expected": shown.expected,
                "random": float(there.mean() * len(shown.rows)),
                "hits_once": int(there[once.rows].sum()),
                "random_once": float(there[first].mean() * len(once.rows)),
            }
        )
    print(name, wanted, known, [one["hits"] for one in found], flush=True)
    return {
        "set": name,
        "class": wanted,
        "known": known,
        "pool": len(pool),
        "train": len(train),
        "found": found,
    }


def interval(values: np.ndarray) -> tuple[float, float, float]:
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def told(values: Any, sign: str = "") -> str:
    mean, low, high = interval(np.asarray(values, float))
    return f"{mean:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def page(results: dict[str, Any], cpu: float, day: str) -> str:
    command = "OMP_NUM_THREADS=1 python benchmarks/pictures.py --data ../shared/data"
    lines = [
        "# Pictures: accuracy, and rare ones found in a pool",
        "",
        f"Made {day} by `{command}` ({cpu:.0f} CPU-s, scikit-learn {sklearn.__version__}). 95 % t-intervals "
        "over seeds. Each set and seed may run in a process of its own: no figure depends on another.",
        "",
        "Features, scale and head were chosen while looking at these sets (mnist, BCCD and digits on "
        "seeds 0 to "
        "2, tiles throughout); nothing was chosen afterwards. Cells of BCCD are easy: all methods "
        "lie within a "
        "point.",
        "",
        *of_accuracy(results["accuracy"]),
        *of_search(results["search"]),
        "",
        "Nearness to the known examples (squared distance in the scaled features to the nearest known rare "
        "picture, alone, over that to the nearest other one, and joined with the probability by rank or "
        "product) was tried on seeds 0 to 7 with 3, 5 and 10 examples before this page was made: on BCCD the "
        "same to a hundredth, on tiles between .5 worse and .4 better with no order in it. So the "
        "probability "
        "alone ranks.",
        "",
        "On tiles the model expects too few with 5 known cracks and too many with 20: the share of "
        "cracks among "
        "the known pictures is not that of the pool, and most of the cracks found are exposures of "
        "few tiles.",
    ]
    return "\n".join(lines) + "\n"


def of_accuracy(results: list[dict[str, Any]]) -> list[str]:
    names = list(results[0]["scores"])
    lines = [
        "## Accuracy",
        "",
        f"% right, seeds {list(SEEDS)}: other rows in training and test each time, cells of one photo on "
        "one side. "
        "bapsim is `image_linear()` as it is, its ridge chosen out of fold. Peers: logistic regression "
        "(C = .1), linear SVM (C = .01), RBF SVM (C = 10) and a forest of 300 trees, on the 860 features as "
        "bapsim scales them, and on the pixels (standardised for the linear ones). Labels as published.",
        "",
        "| method | " + " | ".join(r["set"] for r in results) + " |",
        "|---|---|---|---|",
    ]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(told(r["scores"][name]) for r in results) + " |")
    cells = []
    for r in results:
        best = max(names[1:], key=lambda n, r=r: np.mean(r["scores"][n]))
        gap = np.array(r["scores"][OWN]) - np.array(r["scores"][best])
        cells.append(f"{told(gap, '+')} vs {best}")
    lines.append("| bapsim less the best peer (paired) | " + " | ".join(cells) + " |")
    sizes = (f"{r['train']:,} / {r['test']:,}" for r in results)
    lines.append("| rows of training / test | " + " | ".join(sizes) + " |")
    lines.append("| calibration error beyond chance | " + " | ".join(told(r["ece"]) for r in results) + " |")
    for key in results[0]["cost"]:
        lines.append(f"| {key} | " + " | ".join(f"{r['cost'][key]:.2f}" for r in results) + " |")
    return [*lines, ""]


def of_search(results: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Rare pictures in a pool",
        "",
        f"Seeds {list(SEARCHES)}. Known at first: all common pictures of 12 photos (BCCD) or 40 tiles, "
        "and as many "
        "rare ones as the table says. Shown: the 100 of the pool that are most probable (`likely`). "
        "Ratio: rare "
        "ones found over those that 100 random ones hold. `once`: near duplicates (exposures of one "
        "tile) once.",
        "",
        "| set, class | known | pool | found in 100 | expected by the model | in 100 random | ratio | once |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        got = {key: np.array([one[key] for one in r["found"]], float) for key in r["found"][0]}
        ratio = told(got["hits"] / got["random"])
        once = told(got["hits_once"] / np.maximum(got["random_once"], 1e-9))
        lines.append(
            f"| {r['set']}, {r['class']} | {r['known']} | {r['pool']:,} | {told(got['hits'])} "
            f"| {got['expected'].mean():.1f} | {got['random'].mean():.1f} | {ratio} | {once} |"
        )
    return lines


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--data", type=Path, default=Path(os.environ.get("BAPSIM_DATA", "../shared/data")))
    say.add_argument("--out", type=Path, default=HERE.parent / "docs" / "results")
    args = say.parse_args()
    began = time.process_time()
    results = {
        "accuracy": [accuracy(args.data, name) for name in TRAIN],
        "search": [search(args.data, *what) for what in SEARCH],
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "pictures.json").write_text(json.dumps(results, indent=1) + "\n")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    (args.out / "pictures.md").write_text(page(results, time.process_time() - began, day))


if __name__ == "__main__":
    main()
