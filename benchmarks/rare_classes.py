"""Whether machine-made rows raise the average precision of a rare class, against weights and real labels.

    OMP_NUM_THREADS=1 python benchmarks/rare_classes.py [--sets thyroid,cardio] [--seeds 5] [--quick]

Each run (a set and a seed) is kept in docs/results/rare_classes.json at once and not made again; the page
docs/results/rare_classes.md is written from all that are there (--page: only that). What each arm says of
each row is kept in docs/results/rare_classes_items.npz, so that another rule of picking needs no training.
Nothing is tuned on these sets: all trainers and generators are at their defaults, except for the GAN's
steps, which CPU time bounds. Out of fold, a generator learns anew from the other folds: one that has seen a
held-out row gives it away; and every arm votes with the blend of the model of people's rows, so that no arm
is fitted to the rows that it is held against.
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
ITEMS = RESULTS.with_name("rare_classes_items.npz")
FOLDS, DRAWS = 3, 200  # parts of the out-of-fold answers; bootstrap draws of an interval
GAN_STEPS = 100  # a twentieth of its default (at 500, in six runs, none of its rows passed), and
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

    model: Model
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
    def at(self) -> np.ndarray:
        """int64[n]: positions of the rows at hand."""
        return np.append(self.world.common, self.world.rare)

    @property
    def real(self) -> pa.RecordBatch:
        return part(self.whole, self.at)

    def rare_in(self, rows: pa.RecordBatch) -> np.ndarray:
        """int64[k]: where the rare rows are."""
        return np.flatnonzero(np.array(strings(rows.column("target"))) == self.whole.rare)

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
        return Fitted(cross.model, oof, said, time.process_time() - start)

    def plain(self) -> Arm:
        return Arm(self.real, None, self.folds(self.at))

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


def fold_arms(
    race: Race, rest: pa.RecordBatch, held: pa.RecordBatch
) -> dict[str, tuple[pa.RecordBatch, np.ndarray | None]]:
    """What each arm would train on if `rest` were all rows at hand, and `held` could be bought: rows, and
    their weights.
    """
    at = race.rare_in(rest)
    again = rest.take(pa.array(np.resize(at, race.count if len(at) else 0)))
    weight = np.ones(len(rest), np.float32)
    weight[at[1::2]] = 0  # every second one: what a doubling of real rows was worth
    arms = {
        "none": (rest, None),
        "weights": (rest, race.balance(rest)),
        "oversample": (pa.concat_batches([rest, again]), None),
        "real": (pa.concat_batches([rest, held]), None),
        "half": (rest, weight),
    }
    for name, generator in within_folds(race.whole, race.quick).items():
        people = Mixture(task=race.task, records=records(rest))
        try:
            drawn = race.drawn(generator(None, people, race.seed), 2 * race.count)
        except NotEnough:  # no rare row is left in the other folds
            drawn = rest.slice(0, 0)
        arms[name] = pa.concat_batches([rest, drawn.slice(0, race.count)]), None
        if name == "diffusion":
            passed = race.passed(drawn, rest) if len(drawn) else np.zeros(0, bool)
            some = drawn.filter(pa.array(passed & (passed.mean() >= BROKEN if len(passed) else False)))
            arms["diffusion verified"] = pa.concat_batches([rest, some.slice(0, race.count)]), None
    return arms


def out_of_fold(race: Race, parent: Model) -> dict[str, np.ndarray]:
    """What arms say of the rows at hand, each by a generator, a verifier and a model that have seen the other
    folds only, and with the blend of `parent`, the model of people's rows: float64[n], arm by arm.
    """
    base = race.plain()
    found: dict[str, np.ndarray] = {}
    for fold in range(FOLDS):
        held = base.folds == fold
        rest, asked = base.rows.filter(pa.array(~held)), base.rows.filter(pa.array(held))
        apart = ~np.isin(race.whole.group[race.world.held], race.whole.group[race.at[held]])
        bought = part(race.whole, race.world.held[apart])
        for arm, (rows, weight) in fold_arms(race, rest, bought).items():
            mixture = Mixture(task=race.task, records=Records(rows), weight=weight)
            model = trainer(race.whole, race.quick)(parent, mixture, race.seed)
            said = model(Asked(asked.select(list(race.task.inputs))))
            said_rare = share_of(said, model.classes, race.whole.rare)
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
        "ap": {arm: round(precision(gold, s, one), 5) for arm, s in said.items()},
        "se": {arm: round(float(a.std()), 5) for arm, a in again.items()},
        "apart": {a: {b: round(float((again[a] - again[b]).std()), 5) for b in said} for a in said},
    }


def gold_of(race: Race, at: np.ndarray) -> np.ndarray:
    return np.array(strings(part(race.whole, at).column("target"))) == race.whole.rare


def race_of(name: str, seed: int, quick: bool) -> Race:
    whole = read(name)
    return Race(whole, draw(whole, seed), task_of(whole), seed, quick)


def judged(race: Race, at: np.ndarray, said: dict[str, np.ndarray]) -> dict[str, dict]:
    return spread(gold_of(race, at), race.whole.group[at], said, race.seed)


def develop(race: Race, parent: Model | None = None) -> tuple[dict, dict[str, np.ndarray]]:
    """Development data of a run, and what each arm says of each row."""
    said = out_of_fold(race, parent or race.fit(race.plain()).model)
    return judged(race, race.at, said), said


def run(name: str, seed: int, quick: bool) -> tuple[dict, dict[str, np.ndarray]]:
    """One set and one seed; and what each arm says of each row, for rare_classes_items.npz."""
    race = race_of(name, seed, quick)
    arms, rates, seconds = made(race)
    fitted = {arm: race.fit(rows) for arm, rows in (arms | {"real": race.bought()}).items()}
    test = {arm: one.test for arm, one in fitted.items()}
    dev, said = develop(race, fitted["none"].model)
    found = {
        "set": name,
        "seed": seed,
        "kind": race.whole.kind,
        "rows": {
            "common": len(race.world.common),
            "rare": len(race.world.rare),
            "order": race.count,
            "test": len(race.world.test),
            "test rare": int(gold_of(race, race.world.test).sum()),
        },
        "dev": dev,
        "test": judged(race, race.world.test, test),
        "passed": rates,
        "making": seconds,
        "training": {arm: f.seconds for arm, f in fitted.items()},
        "arms": list(ARMS[race.whole.kind]),
        "blend": "people's",
    }
    return found, items(race, "dev", race.at, said) | items(race, "test", race.world.test, test)


def items(race: Race, where: str, at: np.ndarray, said: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Log odds of the rare class (float16), truths and groups: all that average precision needs."""
    kept = {"gold": gold_of(race, at), "group": race.whole.group[at].astype(np.int32)}
    for arm, probs in said.items():
        p = np.clip(probs, 1e-6, 1 - 1e-6)
        kept[arm] = np.log(p / (1 - p)).astype(np.float16)
    return {f"{where}/{name}": values for name, values in kept.items()}


def keep(path: Path, name: str, seed: int, said: dict[str, np.ndarray]) -> None:
    """Put what was said to what is known."""
    known = dict(np.load(path)) if path.exists() else {}
    known |= {f"{name}/{seed}/{key}": values for key, values in said.items()}
    np.savez_compressed(path, **known)


def again(found: dict) -> bool:
    """Make the development data of a run anew, where each arm had a blend of its own; whether it did."""
    if found.get("blend") == "people's":
        return False
    start = time.process_time()
    race = race_of(found["set"], found["seed"], False)
    found["dev"], said = develop(race)
    found |= {"blend": "people's", "cpu": found["cpu"] + time.process_time() - start}
    keep(ITEMS, found["set"], found["seed"], items(race, "dev", race.at, said))
    return True


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--until", default="", help="HH:MM, after which no run is begun")
    asked.add_argument("--quick", action="store_true", help="one small run, nothing is written")
    asked.add_argument("--page", action="store_true", help="write the page of the runs that are there")
    given = asked.parse_args()
    if given.quick:
        print(json.dumps(run(given.sets.split(",")[0], 0, True)[0], indent=1))
        return
    wanted = [] if given.page else [(s, name) for s in range(given.seeds) for name in given.sets.split(",")]
    for seed, name in wanted:
        if given.until and time.strftime("%H:%M") >= given.until:
            break
        runs = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        mine = next((one for one in runs if one["set"] == name and one["seed"] == seed), None)
        if mine is None:
            start = time.process_time()
            mine, said = run(name, seed, False)
            runs.append(mine | {"cpu": time.process_time() - start})
            keep(ITEMS, name, seed, said)
        elif not again(mine):
            continue
        RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, runs)) + "\n]\n")
        print(time.strftime("%H:%M:%S"), name, seed, round(runs[-1]["cpu"]), mine["dev"]["ap"], flush=True)
    rare_page.write(RESULTS)


if __name__ == "__main__":
    main()
