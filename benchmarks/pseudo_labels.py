"""Labels that a model gives itself teach it little, unless somebody outside looks at them: nsmc_ko from 300.

    OMP_NUM_THREADS=1 python benchmarks/pseudo_labels.py [--seeds 10] [--wheels 5] [--again|--page|--quick]

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
VERIFIERS = ("none", "all", "own", "0.8", "0.9", "labeller all", "labeller 0.9")  # of the wheel
EXAM = 100  # of people's rows
ALL = "people's labels of all"
LESSON = """## What follows

A verifier from outside gains with how often it is right, whatever the shares of labels; a model's own labels
hardly do. Its own confidence is no verifier: where labels come evenly the surest third gains less than an
outside verifier that is right of 60 %; where three of four praise, nearly all that it is sure of is praise
(in one seed all of it), and the student falls towards saying nothing else (the interval reaches +.1). Labels
in place of labels wear a model out, the sooner the fewer there are: from 300 a turn two thirds of the way to
chance, from 2,000 a seventh; put to people's they neither help nor harm.

In the wheel nothing enters without a verifier. Labels by the model that serves are raced only on people's
rows that came later than what it learnt from (`wheel/self_taught.py`), and in these projects none came:
nothing of theirs was raced in, whoever vouched for them. Before that rule the race took such labels in 18 of
18 turns of either self-made verifier, for gains that were none, and the exam let none pass; those of an
outside verifier, which were worth 2 to 2.5 points, wait with them until people give new rows. Labels of a
generator of the recipe have no such leak: those that nobody checked were never raced in (3 of 18 turns while
each of three ways had to gain only what chance gives one), those of an outside verifier right of 90 % in 5 of
18 turns (7 before), 2.3 points better on average (1.2 before), accepted in one project of three: an exam of
100 seldom proves a gain of a few points. Nothing that ever served was below the model of people's rows alone.
"""
WORDS = {
    "none": "no verifier",
    "all": "one that believes everything",
    "own": "the labeller's own confidence (the surer half)",
    "0.8": "one outside that is right of 80 %",
    "0.9": "one outside that is right of 90 %",
    "labeller all": "labels by a generator of the recipe; one that believes everything",
    "labeller 0.9": "labels by a generator of the recipe; one outside that is right of 90 %",
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


def drawn(seed: int, pool: int, even: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People's rows, the pool and the test, no text twice; even: as many of each label, else as they come
    (three of four reviews praise: a model that says nothing else is right of 75 %).
    """
    texts, labels = rows_in(SET)
    order = np.random.default_rng(seed).permutation(len(texts))
    order = order[np.sort(np.unique(texts[order].astype(str), return_index=True)[1])]
    kinds = [order[labels[order] == name] for name in np.unique(labels)] if even else [order]
    ends = np.cumsum([PEOPLE, pool, TEST]) // len(kinds)
    each = [np.split(rows, ends)[:3] for rows in kinds]
    rng = np.random.default_rng([seed, 1])
    people, among, test = (rng.permutation(np.concatenate(both)) for both in zip(*each, strict=True))
    return people, among, test


def ladder(seed: int, pool: int, even: bool = True) -> dict[str, float]:
    """Accuracy of the generator, of students of its labels (alone; with people's 300), and of the loops."""
    truth, rng = rows_in(SET)[1], np.random.default_rng(1000 + seed)
    people, among, test = drawn(seed, pool, even)
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
    return found | loops(generator, people, among, test)


def loops(generator: Any, people: np.ndarray, among: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Accuracy after each turn of both loops."""
    truth, found = rows_in(SET)[1], {}
    for way in ("replace", "accumulate"):
        for turn, model in enumerate(loop(way, generator, people, among), 1):
            found[f"{way} {turn}"] = 100 * float((said(model, test)[0] == truth[test]).mean())
    return found


def small(seed: int) -> dict[str, float]:
    """The loops with as many reviews a turn as people labelled."""
    people, among, test = drawn(seed, PEOPLE * TURNS)
    return loops(taught(people, rows_in(SET)[1][people]), people, among, test)


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
    """Fresh reviews each turn, labelled by the model that serves, or by a generator of the recipe, which
    never saw the rows on which a turn judges what was made.
    """

    world: World
    each: int
    by: str = "current"
    purpose: ClassVar[str] = "synthesise"

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        model = turn.models.get(self.by)
        if model is None or turn.n == 1:
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
    by, _, who = verifier.rpartition(" ")
    recipe = recipe_of(world, questions=1, exam_size=EXAM, own=OwnLabels(world, each, by or "current"))
    checks = {} if who == "none" else {"believes": only("own", Believes(who))}
    generators = {by: text_linear()} if by else {}
    recipe = replace(recipe, questions=None, checks=checks, generators=generators)
    return [summed(one) for one in live(world, recipe, TURNS + 1)]


def turned(seeds: int, each: int) -> list[dict[str, Any]]:
    """All verifiers' wheels, seed by seed."""
    return [{who: wheel(seed, who, each) for who in VERIFIERS} for seed in range(seeds)]


def summed(told: dict[str, Any]) -> dict[str, Any]:
    """One turn: what served; the models that were judged, of people's rows and with machine-made ones."""
    found = {s["candidate"].partition("-")[2]: told["test"][s["candidate"]] for s in told["screen"]}
    fused, counts = told["fused"] or {}, told["accounts"]
    return {
        "served": 100 * told["served"],
        "people": 100 * told["test"]["t001-people"],
        "candidate": 100 * found["pending"] if "pending" in found else None,
        "verdict": told["verdict"],
        "reason": fused.get("reason"),
        "share": (fused.get("way") or {}).get("share", 0.0),
        "refused": counts["refused"],
        "pending": counts["pending"],
    }


# --- the page -------------------------------------------------------------------------------------


def cell(values: list[float]) -> str:
    middle, low, high = interval(values)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def against(runs: list[dict[str, float]], name: str) -> str:
    """What is gained over the generator."""
    middle, low, high = interval([run[name] - run["generator"] for run in runs])
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"


def steps(runs: list[dict[str, float]]) -> list[str]:
    """The ladder as a table."""
    lines = [
        "| labels learnt from | rows | of them right | student | against the generator "
        "| with people's 300, against it |",
        "|---|---|---|---|---|---|",
    ]
    names = ["unverified", "surest", *(f"verifier {q:.1f}" for q in RIGHT)]
    titles = ["all, unverified", "the surest third", *(f"verifier right of {100 * q:.0f} %" for q in RIGHT)]
    for name, title in zip(names, titles, strict=True):
        rows, right, alone = ([run[f"{name}{part}"] for run in runs] for part in (" rows", " right", ""))
        said = [f"{np.mean(rows):,.0f}", f"{np.mean(right):.1f}", cell(alone), against(runs, name)]
        lines.append(f"| {title} | {' | '.join([*said, against(runs, f'{name} and people')])} |")
    return lines


def turns(named: dict[str, list[dict[str, float]]]) -> list[str]:
    """The loops as a table, by how many reviews a turn has."""
    lines = [
        f"| labels | reviews a turn | {' | '.join(str(n) for n in range(1, TURNS + 1))} |",
        "|---|---|" + "---|" * TURNS,
    ]
    for each, runs in named.items():
        for way, title in (("replace", "in place of what was"), ("accumulate", "put to what was")):
            cells = [cell([run[f"{way} {n}"] for run in runs]) for n in range(1, TURNS + 1)]
            lines.append(f"| {title} | {each} | {' | '.join(cells)} |")
    return lines


def page(found: dict[str, Any]) -> str:
    """The tables."""
    runs, uneven = found["ladder"], found["uneven"]
    each = {f"{found['pool'] // TURNS:,}": runs, f"{PEOPLE}": found["small"]}
    lines = [
        "# Labels that a model gave itself",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/pseudo_labels.py --seeds {len(runs)} --wheels "
        f"{len(found['wheels'])}` ({found['cpu']:,.0f} CPU-s, {found['date']}; `--page` writes this page "
        f"again{again(found)}). What is compared stands at the top of that file. Right answers in points of "
        "100, means and 95 % intervals (Student) over seeds.",
        "",
        "## As many reviews of each label (chance: 50)",
        "",
        f"The generator, of {PEOPLE} labels by people: **{cell([run['generator'] for run in runs])}**; of "
        f"{found['pool']:,} labels by people: {cell([run[ALL] for run in runs])}.",
        "",
        *steps(runs),
        "",
        "## Reviews as they come (three of four praise: 75 without a look)",
        "",
        f"The generator: **{cell([run['generator'] for run in uneven])}**; of {found['pool']:,} labels by "
        f"people: {cell([run[ALL] for run in uneven])}.",
        "",
        *steps(uneven),
        "",
        "## Six turns of labels by the model of the turn before (as many of each label)",
        "",
        *turns(each),
        "",
        *wheels(found),
    ]
    return "\n".join([*lines, LESSON]) + "\n"


def again(found: dict[str, Any]) -> str:
    """When the wheels were run anew, if they were."""
    said = found.get("again")
    if said is None:
        return ""
    count = len(found["wheels"])
    return f"; the wheels anew by `--again --wheels {count}`, {said['cpu']:,.0f} CPU-s, {said['date']}"


def wheels(found: dict[str, Any]) -> list[str]:
    """What the product made of the same rows."""
    if not found["wheels"]:
        return []
    lines = [
        "## The wheel",
        "",
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
        tried = [t["candidate"] - r[0]["people"] for r in runs for t in r if t["candidate"] is not None]
        took = sum(t["verdict"] == "accept" for r in runs for t in r[1:])
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
    parser.add_argument("--again", action="store_true", help="the wheels only; the ladder as it is stored")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    path = args.out.with_suffix(".json")
    if args.again:
        start, found = time.process_time(), json.loads(path.read_text("utf-8"))
        found["wheels"] = turned(args.wheels, found["each"])
        found |= {"again": {"date": time.strftime("%Y-%m-%d"), "cpu": time.process_time() - start}}
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    elif not args.page:
        start, pool = time.process_time(), 1_200 if args.quick else POOL
        found = {"date": time.strftime("%Y-%m-%d"), "pool": pool, "each": pool // TURNS // 2}
        found |= {"ladder": [], "uneven": [], "small": []}
        for seed in range(args.seeds):
            found["ladder"].append(ladder(seed, pool))
            found["uneven"].append(ladder(seed, pool, even=False))
            found["small"].append(small(seed))
        found["wheels"] = turned(args.wheels, found["each"])
        found["cpu"] = time.process_time() - start
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
