"""Labels that a model gives itself teach it little, unless somebody outside looks at them: nsmc_ko from 300.

    OMP_NUM_THREADS=1 python benchmarks/pseudo_labels.py [--seeds 10] [--wheels 5] [--quick] [--page]

Writes docs/results/pseudo_labels.{json,md}. 300 reviews labelled by people teach a generator (text_linear);
it labels 12,000 others, and a student learns from those of its labels that are kept: all, the 4,000 of which
it is surest, or those that an outside verifier believes which is right about each with the chance that is
given. Then six turns of labels by the model of the turn before, on 2,000 fresh reviews each. Last, six turns
of the product's own wheel that is offered just these rows. Judged on 6,000 other reviews.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.core.recipe import Mixture, only  # noqa: E402
from bapsim.core.records import Draft, Origin, Records, Rows, Task, Verdicts, verdicts  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from lab import World, interval, live, recipe_of, rows_in  # noqa: E402

OUT = Path(__file__).parents[1] / "docs" / "results" / "pseudo_labels"
SET = "nsmc_ko"
TASK = Task(input="text", target="label")
PEOPLE, POOL, TEST, SUREST = 300, 12_000, 6_000, 4_000
TURNS, FRESH = 6, 2_000
RIGHT = (0.6, 0.7, 0.8, 0.9, 1.0)
VERIFIERS = ("none", "all", "own", "0.8", "0.9")  # of the wheel
EXAM = 100  # of people's rows
ALL = "people's labels of all"
LESSON = ""
WORDS = {
    "none": "no verifier",
    "all": "one that believes everything",
    "own": "the labeller's own confidence (the surer half)",
    "0.8": "one outside that is right of 80 %",
    "0.9": "one outside that is right of 90 %",
}


# --- the ladder and the loops: functions of arrays ------------------------------------------------


def taught(at: np.ndarray, labels: np.ndarray) -> Any:
    """A model of these reviews with these labels; where all have one, that label."""
    if len(set(labels.tolist())) == 1:
        return labels[0]
    texts = pa.array(rows_in(SET)[0][at].tolist(), pa.string())
    rows = pa.record_batch({"text": texts, "label": pa.array(labels.tolist(), pa.string())})
    return text_linear()(None, Mixture(task=TASK, records=Records(rows)), 0)


def said(model: Any, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels object[n] of these reviews, and how sure the model is of each, float64[n]."""
    if isinstance(model, str):
        return np.full(len(at), model, object), np.ones(len(at))
    answers = model(Rows(pa.record_batch({"text": pa.array(rows_in(SET)[0][at].tolist(), pa.string())})))
    probs = np.asarray(answers["probs"].flatten()).reshape(len(at), -1)
    return np.array(answers["prediction"].to_pylist(), object), probs.max(1)


def drawn(seed: int, pool: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People's rows, the pool and the test: as many of each label, no text twice (three of four reviews
    praise: a model that says nothing else is right of 75 %).
    """
    texts, labels = rows_in(SET)
    order = np.random.default_rng(seed).permutation(len(texts))
    order = order[np.sort(np.unique(texts[order].astype(str), return_index=True)[1])]
    ends = np.cumsum([PEOPLE, pool, TEST]) // 2
    halves = [np.split(order[labels[order] == name], ends)[:3] for name in np.unique(labels)]
    rng = np.random.default_rng([seed, 1])
    people, among, test = (rng.permutation(np.concatenate(both)) for both in zip(*halves, strict=True))
    return people, among, test


def ladder(seed: int, pool: int) -> dict[str, float]:
    """Accuracy of the generator, of students of its labels (alone; with people's 300), and of the loops."""
    truth, rng = rows_in(SET)[1], np.random.default_rng(1000 + seed)
    people, among, test = drawn(seed, pool)
    generator = taught(people, truth[people])
    labels, sure = said(generator, among)
    right = labels == truth[among]

    def accuracy(model: Any) -> float:
        return 100 * float((said(model, test)[0] == truth[test]).mean())

    def students(kept: np.ndarray) -> tuple[float, float]:
        at, own = among[kept], labels[kept]
        both = taught(np.r_[people, at], np.r_[truth[people], own])
        return accuracy(taught(at, own)), accuracy(both)

    kept = {"unverified": np.ones(len(among), bool), "surest": sure >= np.sort(sure)[-SUREST * pool // POOL]}
    coin = rng.random(len(among))
    kept |= {f"verifier {q:.1f}": np.where(coin < q, right, ~right) for q in RIGHT}
    found = {"generator": accuracy(generator), "right": 100 * float(right.mean())}
    for name, rows in kept.items():
        found[name], found[f"{name} and people"] = students(rows)
        found[f"{name} rows"] = float(rows.sum())
        found[f"{name} right"] = 100 * float(right[rows].mean())
    found[ALL] = accuracy(taught(among, truth[among]))
    for way in ("replace", "accumulate"):
        for turn, model in enumerate(loop(way, generator, people, among), 1):
            found[f"{way} {turn}"] = accuracy(model)
    return found


def loop(way: str, model: Any, people: np.ndarray, among: np.ndarray) -> Iterator[Any]:
    """Models of six turns, each taught by the labels of the one before."""
    at, labels = people, rows_in(SET)[1][people]
    for fresh in np.array_split(among, TURNS):
        own = said(model, fresh)[0]
        at, labels = (fresh, own) if way == "replace" else (np.r_[at, fresh], np.r_[labels, own])
        model = taught(at, labels)
        yield model


# --- the wheel ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Halves(World):
    """The rows of `drawn`: people's at hand, the pool for the labeller."""

    def parts(self) -> dict[str, np.ndarray]:
        people, among, test = drawn(self.seed, self.spare)
        return {"start": people, "pool": among[:0], "test": test, "spare": among}


@dataclass(frozen=True)
class OwnLabels:
    """Fresh reviews each turn, labelled by the model that serves: `sure` of its labels come along."""

    world: World
    each: int
    purpose: ClassVar[str] = "synthesise"

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        model = turn.models.get("current")
        if model is None:
            return
        at = self.world.parts()["spare"][(turn.n - 2) * self.each : (turn.n - 1) * self.each]
        texts = pa.array(rows_in(SET)[0][at].tolist(), pa.string())
        own = pa.array(said(model, at)[0].tolist(), pa.string())
        made = Origin(
            source="own", input_maker="person", target_maker="machine", method="labelled", rights="research"
        )
        rows = Rows(pa.record_batch({"text": texts, "label": own}))
        yield Draft(rows=rows, origin=made, keys=[str(i) for i in at])


@dataclass(frozen=True)
class Believes:
    """A verifier: of everything, of what the labeller was surest of, or right with a chance."""

    who: str
    verifies: ClassVar[bool] = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        if self.who == "all" or not len(records):
            return verdicts(np.ones(len(records), bool), "doubted")
        keys = [int(key) for key in records.column("_key").to_pylist()]
        if self.who == "own":
            sure = said(turn.models["current"], np.array(keys, int))[1]
            return verdicts(sure >= np.median(sure), "doubted")
        right = rows_in(SET)[1][keys] == np.array(records.column("label").to_pylist(), object)
        coins = [np.random.default_rng([turn.seed, key]).random() for key in keys]
        return verdicts(np.where(np.array(coins) < float(self.who), right, ~right), "doubted")


def wheel(seed: int, verifier: str, each: int) -> list[dict[str, Any]]:
    """What serves after each of seven turns; in the first there are people's rows alone."""
    world = Halves(SET, seed, PEOPLE, 0, TEST, spare=TURNS * each)
    recipe = recipe_of(world, questions=1, exam_size=EXAM, own=OwnLabels(world, each))
    checks = {} if verifier == "none" else {"believes": only("own", Believes(verifier))}
    told = live(world, replace(recipe, questions=None, checks=checks), TURNS + 1)
    return [summed(one) for one in told]


def summed(told: dict[str, Any]) -> dict[str, Any]:
    """One turn: what served, what would have with machine-made rows, and why it did or did not."""
    version = next((s["candidate"] for s in told["screen"] if s["candidate"].endswith("-pending")), None)
    fused, counts = told["fused"] or {}, told["accounts"]
    return {
        "served": 100 * told["served"],
        "candidate": None if version is None else 100 * told["test"][version],
        "verdict": told["verdict"],
        "reason": fused.get("reason"),
        "share": (fused.get("way") or {}).get("share", 0.0),
        "refused": counts["refused"],
        "pending": counts["pending"],
    }


# --- the page -------------------------------------------------------------------------------------


def cell(values: list[float], digits: int = 1) -> str:
    middle, low, high = interval(values)
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def page(found: dict[str, Any]) -> str:
    """The tables."""
    runs = found["ladder"]
    base = [run["generator"] for run in runs]

    def against(name: str) -> str:
        middle, low, high = interval([run[name] - b for run, b in zip(runs, base, strict=True)])
        return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"

    lines = [
        "# Labels that a model gave itself",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/pseudo_labels.py --seeds {len(runs)} --wheels "
        f"{len(found['wheels'])}` ({found['cpu']:,.0f} CPU-s, {found['date']}; `--page` writes this page "
        "again). What is compared stands at the top of that file. Right answers in points of 100, as many "
        "reviews of each label (chance: 50); means and 95 % intervals (Student) over seeds.",
        "",
        f"The generator, of {PEOPLE} labels by people: **{cell(base)}**; of {found['pool']:,} labels by "
        f"people: {cell([run[ALL] for run in runs])}.",
        "",
        "| labels learnt from | rows | of them right | student | against the generator "
        "| with people's 300 | against the generator |",
        "|---|---|---|---|---|---|---|",
    ]
    names = ["unverified", "surest", *(f"verifier {q:.1f}" for q in RIGHT)]
    titles = ["all, unverified", "the surest third", *(f"verifier right of {100 * q:.0f} %" for q in RIGHT)]
    for name, title in zip(names, titles, strict=True):
        rows, right, alone, both = (
            [run[f"{name}{part}"] for run in runs] for part in (" rows", " right", "", " and people")
        )
        said = [f"{np.mean(rows):,.0f}", f"{np.mean(right):.1f}", cell(alone), against(name)]
        lines.append(f"| {title} | {' | '.join([*said, cell(both), against(f'{name} and people')])} |")
    lines += [
        "",
        f"Six turns of labels by the model of the turn before, {found['pool'] // TURNS:,} reviews each:",
        "",
        f"| turn | {' | '.join(str(n) for n in range(1, TURNS + 1))} |",
        "|---|" + "---|" * TURNS,
    ]
    for way, title in (("replace", "in place of what was"), ("accumulate", "put to what was")):
        cells = [cell([run[f"{way} {n}"] for run in runs]) for n in range(1, TURNS + 1)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *wheels(found), LESSON]) + "\n"


def wheels(found: dict[str, Any]) -> list[str]:
    """What the product made of the same rows."""
    if not found["wheels"]:
        return []
    lines = [
        f"The product's wheel (exam of {EXAM} of the {PEOPLE}), offered {found['each']:,} reviews a turn "
        "that the model that serves labelled. Least: the worst of all turns and seeds, against the model of "
        "people's rows alone (turn 1), in points.",
        "",
        "| verifier | serves in the end | against people only | least | turns that raced rows in "
        "| such a candidate against people only | accepted |",
        "|---|---|---|---|---|---|---|",
    ]
    for who in VERIFIERS:
        runs = [one[who] for one in found["wheels"]]
        last = [run[-1]["served"] for run in runs]
        gains = [[turn["served"] - run[0]["served"] for turn in run] for run in runs]
        tried = [t["candidate"] - r[0]["served"] for r in runs for t in r if t["candidate"] is not None]
        took = sum(t["verdict"] == "accept" for r in runs for t in r)
        turns = sum(len(run) - 1 for run in runs)
        what = f"{np.mean(tried):+.1f} ({min(tried):+.1f} to {max(tried):+.1f})" if tried else "-"
        cells = [cell(last), f"{np.mean([g[-1] for g in gains]):+.2f}", f"{np.min(gains):+.2f}"]
        cells += [f"{len(tried)} of {turns}", what, str(took)]
        lines.append(f"| {WORDS[who]} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wheels", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    path = args.out.with_suffix(".json")
    if not args.page:
        start, pool = time.process_time(), 1_200 if args.quick else POOL
        found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "pool": pool, "each": pool // TURNS // 2}
        found |= {"ladder": [], "wheels": []}
        for job in range(args.seeds + args.wheels):
            if job < args.seeds:
                found["ladder"].append(ladder(job, pool))
            else:
                seed = job - args.seeds
                found["wheels"].append({who: wheel(seed, who, found["each"]) for who in VERIFIERS})
            found["cpu"] = time.process_time() - start
            path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
