"""What the wheel itself makes of an order for a rare class: its own race, on the runs of rare_classes.py.

    OMP_NUM_THREADS=1 python benchmarks/rare_wheel.py [--sets thyroid,cardio] [--seeds 1] [--until HH:MM]

Two turns of the product: people's rows at hand; then an order is drawn by diffusion, refused where it copies
or where a model of people's rows (another seed, balanced classes) does not say the rare class, and raced by
`compose/fusing.py` on people's rows that the generator did not learn from. What the race took is an arm of
rare_classes.py (nothing, or verified diffusion), whose tests say how near it is to the best arm. Each run is
kept in docs/results/rare_wheel.json at once; the page of rare_classes.py has the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bapsim.compose.plan import exam
from bapsim.core.recipe import Mixture, Recipe
from bapsim.core.records import Draft, Origin, Records, Verdicts, verdicts
from bapsim.core.records import Rows as Asked
from bapsim.core.turn import Turn
from bapsim.gather.drawn import drawn_by
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.closeness import closeness, sound_generators
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.train.table import table_boosted
from bapsim.train.table_diffusion import table_diffusion
from bapsim.wheel.candidates import NAME
from bapsim.wheel.turn import run_turn
from lab import new_folder
from rare_classes import FOLD_STEPS, Race, gold_of, precision, race_of, share_of
from rare_worlds import SETS, part

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "rare_wheel.json"
EXAM = 60  # of people's rows


@dataclass(frozen=True)
class AtHand:
    """People's rows of a run."""

    name: str
    seed: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            race = race_of(self.name, self.seed, False)
            made = Origin(source="", input_maker="person", target_maker="person", method="file", rights="own")
            keys = [str(i) for i in race.at.tolist()]
            yield Draft(rows=Asked(race.real), origin=made, keys=keys)


@dataclass(frozen=True)
class Believes:
    """The verifier of rare_classes.py: does a model of people's rows say what the row says?"""

    name: str
    seed: int
    verifies: ClassVar[bool] = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        own = np.array(records.column("target").to_pylist(), object)
        if turn.n == 1 or not len(records):
            return verdicts(np.ones(len(own), bool), "doubted")
        race = race_of(self.name, self.seed, False)
        mixture = Mixture(task=race.task, records=Records(race.real), weight=race.balance(race.real))
        judge = table_boosted()(None, mixture, self.seed + 1000)
        said = judge(Asked(records.select(list(race.task.inputs)))).column("prediction").to_pylist()
        return verdicts(np.array(said, object) == own, "doubted")


def recipe_of(race: Race, name: str) -> Recipe:
    order = drawn_by("drawer", only=(race.whole.rare,), count=race.count)
    return Recipe(
        task=race.task,
        sources={"people": AtHand(name, race.seed), "order": order},
        generators={"drawer": table_diffusion(steps=FOLD_STEPS)},
        checks={"believes": Believes(name, race.seed), "close": closeness()},
        surveys={"sound": sound_generators()},
        train=table_boosted(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(EXAM),
        questions=None,
        folds=3,
        seed=race.seed,
    )


def run(name: str, seed: int) -> dict:
    """What the second turn took, what it advised, and what its candidates are worth in the test."""
    start, race, root = time.process_time(), race_of(name, seed, False), new_folder()
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    (root / "recipe.py").write_text("# in memory\n")
    test = part(race.whole, race.world.test).select(list(race.task.inputs))
    gold = gold_of(race, race.world.test)
    found: dict[str, float] = {}

    def look(step: str, **values: Any) -> None:
        if step == "judge":
            for folder in sorted((root / "wheel" / "models" / NAME).glob("*/judged")):
                model = artifacts.load(folder)
                said = share_of(model(Asked(test)), model.classes, race.whole.rare)
                found[folder.parent.name] = precision(gold, said, np.ones(len(gold)))

    try:
        with opened(root) as project:
            recipe = recipe_of(race, name)
            run_turn(project, recipe, say=look)
            told = run_turn(project, recipe, say=look)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    fused = told["fused"] or {}
    names = ("way", "raced", "buy", "labels", "made", "reason", "refused")
    kept = {one: fused.get(one) for one in names} | {"raced": fused.get("raced", [])}
    cpu = time.process_time() - start
    return {"set": name, "seed": seed, "verdict": told["verdict"], "test": found, "cpu": cpu} | kept


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--sets", default=",".join(SETS[:7]))
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--until", default="", help="HH:MM, after which no run is begun")
    asked.add_argument("--quick", action="store_true", help="one run, nothing is written")
    given = asked.parse_args()
    if given.quick:
        print(json.dumps(run("thyroid", 0), indent=1))
        return
    for seed in range(given.seeds):
        for name in given.sets.split(","):
            runs = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            late = given.until and time.strftime("%H:%M") >= given.until
            if late or any(one["set"] == name and one["seed"] == seed for one in runs):
                continue
            RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, [*runs, run(name, seed)])) + "\n]\n")
            print(time.strftime("%H:%M:%S"), name, seed, flush=True)


if __name__ == "__main__":
    main()
