"""Whether machine-made rows raise the average precision of a rare class, against weights and real labels.

    OMP_NUM_THREADS=1 python benchmarks/rare_classes.py [--sets thyroid,cardio] [--seeds 5] [--quick]

Each run (a set and a seed) is kept in docs/results/rare_classes.json at once and not made again; the page
docs/results/rare_classes.md is written from all that are there. Nothing is tuned on these sets: all
trainers and generators are at their defaults, except for the GAN's steps, which CPU time bounds.
Out of fold, a generator learns anew from the other folds: one that has seen a held-out row gives it away.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

import rare_page
from bapsim.core.arrow import strings
from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Records, Task
from bapsim.core.records import Rows as Asked
from bapsim.core.turn import named_seed
from bapsim.gather.drawn import order, parents_of
from bapsim.refine.closeness import BROKEN, closeness
from bapsim.testing import records_of, turn_of
from bapsim.train.image import image_linear
from bapsim.train.image_augment import image_augment
from bapsim.train.image_diffusion import image_diffusion
from bapsim.train.image_gan import image_gan
from bapsim.train.table import table_boosted
from bapsim.train.table_copula import table_copula
from bapsim.train.table_diffusion import table_diffusion
from bapsim.train.table_smote import table_smote
from rare_worlds import SETS, Rows, World, draw, part, read

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "rare_classes.json"
FOLDS, DRAWS = 3, 200  # parts of the out-of-fold answers; bootstrap draws of an interval
GAN_STEPS = 500  # a quarter of its default, and
FOLD_STEPS = 700  # of diffusion within a fold: CPU time bounds both
# In the order in which they are preferred: what costs nothing first.
ARMS = {
    "table": ("none", "weights", "oversample", "smote", "copula", "diffusion verified", "diffusion"),
    "image": ("none", "weights", "oversample", "augment", "gan", "diffusion verified", "diffusion"),
}


@dataclass(frozen=True, eq=False)
class Arm:
    """What is trained on: rows, a weight and a fold for each; how many of the first rows are real."""

    rows: pa.RecordBatch
    weight: np.ndarray | None
    folds: np.ndarray


@dataclass(frozen=True, eq=False)
class Fitted:
    """What an arm says: the share of the rare class out of fold (rows at hand) and in the test."""

    oof: np.ndarray
    test: np.ndarray
    seconds: float


def task_of(whole: Rows) -> Task:
    names = tuple(n for n in whole.rows.schema.names if n != "target")
    return Task(input=names[0] if whole.kind == "image" else names, target="target", kind=whole.kind)


def trainer(whole: Rows, quick: bool) -> Callable:
    if whole.kind == "image":
        return image_linear()
    return table_boosted(trees=15, rounds=15) if quick else table_boosted()


def within_folds(whole: Rows, quick: bool) -> dict[str, Callable]:
    """The generators that are candidates of the pick, as they learn within a fold."""
    steps = 60 if quick else FOLD_STEPS
    if whole.kind == "image":
        side = 16 if quick else None
        return {"augment": image_augment(), "diffusion": image_diffusion(steps=steps, side=side)}
    return {"smote": table_smote(), "copula": table_copula(), "diffusion": table_diffusion(steps=steps)}


def generators(whole: Rows, quick: bool) -> dict[str, Callable]:
    if whole.kind == "image":
        diffusion = image_diffusion(steps=100, side=16) if quick else image_diffusion()
        gan = image_gan(steps=40, side=16, wide=8) if quick else image_gan(steps=GAN_STEPS)
        return {"augment": image_augment(), "gan": gan, "diffusion": diffusion}
    diffusion = table_diffusion(steps=180) if quick else table_diffusion()
    return {"smote": table_smote(), "copula": table_copula(), "diffusion": diffusion}


def share_of(answers: Answers, model_classes: tuple[str, ...], rare: str) -> np.ndarray:
    flat = np.asarray(answers.column("probs").flatten()).reshape(-1, len(model_classes))
    return flat[:, model_classes.index(rare)].astype(float)


def records(rows: pa.RecordBatch, maker: str = "person") -> Records:
    keys = [str(i) for i in range(len(rows))]
    return records_of(rows.to_pylist(), maker=maker, schema=rows.schema, keys=keys)


# --- arms -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Race:
    """One set and one seed: what all arms share."""

    whole: Rows
    world: World
    task: Task
    seed: int
    quick: bool

    @property
    def real(self) -> pa.RecordBatch:
        return part(self.whole, np.append(self.world.common, self.world.rare))

    @property
    def count(self) -> int:
        return len(self.world.held)

    def folds(self, at: np.ndarray) -> np.ndarray:
        """int8[n]: rows of one group in one fold; rare and common groups dealt out separately."""
        rare = np.array(strings(part(self.whole, at).column("target"))) == self.whole.rare
        out, rng = np.zeros(len(at), np.int8), np.random.default_rng([self.seed, 11])
        groups = self.whole.group[at]
        for mine in (~np.isin(groups, groups[rare]), np.isin(groups, groups[rare])):
            names = rng.permutation(np.unique(groups[mine]))
            place = np.argsort(names)[np.searchsorted(np.sort(names), groups[mine])]
            out[mine] = place % FOLDS
        return out

    def fit(self, arm: Arm) -> Fitted:
        start, rows = time.process_time(), len(self.world.common) + len(self.world.rare)
        mixture = Mixture(task=self.task, records=Records(arm.rows), weight=arm.weight)
        cross = trainer(self.whole, self.quick).crossfit(None, mixture, arm.folds, self.seed)
        rare, classes = self.whole.rare, cross.model.classes
        test = part(self.whole, self.world.test).select(list(self.task.inputs))
        oof = share_of(cross.answers, classes, rare)[:rows]
        said = share_of(cross.model(Asked(test)), classes, rare)
        return Fitted(oof, said, time.process_time() - start)

    def plain(self) -> Arm:
        at = np.append(self.world.common, self.world.rare)
        return Arm(self.real, None, self.folds(at))

    def weighted(self) -> Arm:
        base = self.plain()
        return Arm(base.rows, self.balance(base.rows), base.folds)

    def balance(self, rows: pa.RecordBatch) -> np.ndarray:
        """float32[n]: rare rows weigh as much as common ones together, at most 20 each."""
        y = np.array(strings(rows.column("target"))) == self.whole.rare
        return np.where(y, min(20.0, (~y).sum() / max(y.sum(), 1)), 1.0).astype(np.float32)

    def oversampled(self) -> Arm:
        base = self.plain()
        again = len(self.world.common) + np.arange(self.count) % len(self.world.rare)
        rows = pa.concat_batches([base.rows, base.rows.take(pa.array(again))])
        return Arm(rows, None, np.append(base.folds, base.folds[again]))

    def bought(self) -> Arm:
        at = np.concatenate([self.world.common, self.world.rare, self.world.held])
        base = self.plain()
        return Arm(part(self.whole, at), None, np.append(base.folds, self.folds(at)[len(base.folds) :]))

    def halved(self) -> Arm:
        """Every second rare row: what a doubling of real rows was worth, by which the next is foretold."""
        base = self.plain()
        weight = np.ones(len(base.rows), np.float32)
        weight[len(self.world.common) + 1 :: 2] = 0
        return Arm(base.rows, weight, base.folds)

    def with_drawn(self, drawn: pa.RecordBatch) -> Arm:
        """Drawn rows lie in the fold of the real row that they are closest to: its child is no news of it."""
        base = self.plain()
        mums = parents_of(records(base.rows), Asked(drawn), self.task.inputs, "target")
        folds = np.where(mums >= 0, base.folds[mums], np.arange(len(drawn)) % FOLDS).astype(np.int8)
        return Arm(pa.concat_batches([base.rows, drawn]), None, np.append(base.folds, folds))

    def drawn(self, model: Model, count: int) -> pa.RecordBatch:
        seeds = [named_seed(self.seed, i) % 2**63 for i in range(count)]
        made = model(order("target", [(self.whole.rare, one) for one in seeds]))
        names, target = list(self.task.inputs), pa.array([self.whole.rare] * count, pa.string())
        columns = [made.column(name).cast(self.real.schema.field(name).type) for name in names]
        return pa.RecordBatch.from_arrays([*columns, target], names=[*names, "target"]).select(
            self.real.schema.names
        )

    def passed(self, drawn: pa.RecordBatch, real: pa.RecordBatch) -> np.ndarray:
        """bool[n]: a model of these real rows alone, of another seed and with balanced classes, says the
        rare class, and the row is new (closeness).
        """
        mixture = Mixture(task=self.task, records=Records(real), weight=self.balance(real))
        judge = trainer(self.whole, self.quick)(None, mixture, self.seed + 1000)
        said = judge(Asked(drawn.select(list(self.task.inputs)))).column("prediction")
        agrees = np.array([one == self.whole.rare for one in said.to_pylist()])
        verdicts = closeness()(records(drawn, "machine"), turn_of(self.task, records(real)))
        return agrees & np.array([keep is not False for keep in verdicts.column("keep").to_pylist()])


def made(race: Race) -> tuple[dict[str, Arm], dict[str, float], dict[str, float]]:
    """All arms of a race; the pass rate of each generator; the CPU-s that making the rows took."""
    arms = {"none": race.plain(), "weights": race.weighted(), "oversample": race.oversampled()}
    rates, seconds = {}, dict.fromkeys(arms, 0.0)
    people = Mixture(task=race.task, records=records(race.real))
    for name, generator in generators(race.whole, race.quick).items():
        start = time.process_time()
        model = generator(None, people, race.seed)
        drawn = race.drawn(model, 2 * race.count)
        arms[name] = race.with_drawn(drawn.slice(0, race.count))
        seconds[name] = time.process_time() - start
        passed = race.passed(drawn, race.real)
        rates[name] = float(passed.mean())
        if name == "diffusion":
            few = drawn.filter(pa.array(passed)).slice(0, race.count)
            sound = passed.mean() >= BROKEN  # of a broken generator nothing enters
            arms["diffusion verified"] = race.with_drawn(few) if sound else race.plain()
            seconds["diffusion verified"] = time.process_time() - start
    return arms, rates, seconds


def out_of_fold(race: Race) -> dict[str, np.ndarray]:
    """What arms with drawn rows say of the rows at hand, each by a generator, a verifier and a model that
    have seen the other folds only: float64[n], arm by arm.
    """
    base = race.plain()
    found: dict[str, np.ndarray] = {}
    for fold in range(FOLDS):
        held = base.folds == fold
        rest, asked = base.rows.filter(pa.array(~held)), base.rows.filter(pa.array(held))
        for name, generator in within_folds(race.whole, race.quick).items():
            people = Mixture(task=race.task, records=records(rest))
            try:
                drawn = race.drawn(generator(None, people, race.seed), 2 * race.count)
            except NotEnough:  # no rare row is left in the other folds
                drawn = rest.slice(0, 0)
            arms = {name: drawn.slice(0, race.count)}
            if name == "diffusion":
                passed = race.passed(drawn, rest) if len(drawn) else np.zeros(0, bool)
                some = drawn.filter(pa.array(passed & (passed.mean() >= BROKEN if len(passed) else False)))
                arms["diffusion verified"] = some.slice(0, race.count)
            for arm, made_rows in arms.items():
                rows = pa.concat_batches([rest, made_rows, asked])
                folds = np.full(len(rows), -1, np.int8)
                folds[len(rows) - len(asked) :] = 0
                mixture = Mixture(task=race.task, records=Records(rows))
                cross = trainer(race.whole, race.quick).crossfit(None, mixture, folds, race.seed)
                said = cross.answers.slice(len(rows) - len(asked))
                said_rare = share_of(said, cross.model.classes, race.whole.rare)
                found.setdefault(arm, np.zeros(len(base.rows)))[held] = said_rare
    return found


# --- what is measured -----------------------------------------------------------------------------


def precision(gold: np.ndarray, said: np.ndarray, weight: np.ndarray) -> float:
    """Average precision of bool[n] gold by float[n] scores, equal ones as one step; weight: its draws."""
    rank = np.argsort(-said, kind="stable")
    score, right, all_ = said[rank], (weight * gold)[rank].cumsum(), weight[rank].cumsum()
    last = np.append(np.diff(score) != 0, True)
    right, all_ = right[last], all_[last]
    gain = np.diff(right, prepend=0)
    return float((gain * right / np.maximum(all_, 1)).sum() / max(right[-1], 1))


def spread(gold: np.ndarray, groups: np.ndarray, said: dict[str, np.ndarray], seed: int) -> dict[str, dict]:
    """Average precision of each arm, and the standard error of the difference of each pair, by drawing whole
    groups of items again.
    """
    rng = np.random.default_rng([seed, 13])
    names, which = np.unique(groups, return_inverse=True)
    draws = [rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[which] for _ in range(DRAWS)]
    one = np.ones(len(gold))
    again = {arm: np.array([precision(gold, s, w) for w in draws]) for arm, s in said.items()}
    return {
        "ap": {arm: precision(gold, s, one) for arm, s in said.items()},
        "se": {arm: float(a.std()) for arm, a in again.items()},
        "apart": {a: {b: float((again[a] - again[b]).std()) for b in said} for a in said},
    }


def run(name: str, seed: int, quick: bool) -> dict:
    """One set and one seed."""
    whole = read(name)
    race = Race(whole, draw(whole, seed), task_of(whole), seed, quick)
    arms, rates, seconds = made(race)
    arms |= {"real": race.bought(), "half": race.halved()}
    fitted = {arm: race.fit(rows) for arm, rows in arms.items()}
    oof = {a: f.oof for a, f in fitted.items()} | out_of_fold(race)
    at = np.append(race.world.common, race.world.rare)
    gold = {
        where: np.array(strings(part(whole, rows).column("target"))) == whole.rare
        for where, rows in (("dev", at), ("test", race.world.test))
    }
    return {
        "set": name,
        "seed": seed,
        "kind": whole.kind,
        "rows": {
            "common": len(race.world.common),
            "rare": len(race.world.rare),
            "order": race.count,
            "test": len(race.world.test),
            "test rare": int(gold["test"].sum()),
        },
        "dev": spread(gold["dev"], whole.group[at], oof, seed),
        "test": spread(
            gold["test"], whole.group[race.world.test], {a: f.test for a, f in fitted.items()}, seed
        ),
        "passed": rates,
        "making": seconds,
        "training": {arm: f.seconds for arm, f in fitted.items()},
        "arms": list(ARMS[whole.kind]),
    }


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--out", type=Path, default=RESULTS)
    asked.add_argument("--quick", action="store_true", help="one small run, nothing is written")
    given = asked.parse_args()
    if given.quick:
        found = run(given.sets.split(",")[0], 0, True)
        print(json.dumps(found, indent=1))
        return
    for seed in range(given.seeds):
        for name in given.sets.split(","):
            runs = json.loads(given.out.read_text()) if given.out.exists() else []
            if any(one["set"] == name and one["seed"] == seed for one in runs):
                continue
            start = time.process_time()
            found = run(name, seed, False) | {"cpu": time.process_time() - start}
            given.out.write_text(json.dumps([*runs, found]))
            best = max(found["arms"], key=found["test"]["ap"].get)
            print(
                name,
                seed,
                best,
                {a: round(v, 3) for a, v in found["test"]["ap"].items()},
                found["cpu"],
                flush=True,
            )
    rare_page.write(given.out)


if __name__ == "__main__":
    main()
