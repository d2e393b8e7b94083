"""Is a stream of wrong corrections found, and nobody accused who tells of errors more than of the rest?

    python benchmarks/streams.py [--seeds 21] [--jobs 1] [--sets banking77 ...] [--page]

Real turns on real texts: 1,500 labelled rows, then requests that the accepted model answers and of which
desks speak, some 40 or 120 times each, in one turn. Eight desks are right: two speak of requests at random,
two three times and two ten times as often of a wrong answer as of a right one, two of wrong answers alone.
One, of another kind in each life, is not: of requests at random it names a random other class, or the
model's next best, in 40 %; or it contradicts right answers alone, any or those that the model is least sure
of, with the next best. In half of the lives 1,500 more requests are of another set: nobody speaks of them.
Then an expert answers the turn's 300 questions, and there is a second turn, for which desks say nothing more.

Writes docs/results/streams.json and streams.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402

from bapsim.compose.asking import worth_asking  # noqa: E402
from bapsim.compose.plan import exam  # noqa: E402
from bapsim.core.arrow import numbers, strings  # noqa: E402
from bapsim.core.recipe import Recipe  # noqa: E402
from bapsim.core.records import Rows, Task  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.gather.answers import answers, write_questions  # noqa: E402
from bapsim.gather.service import service  # noqa: E402
from bapsim.judge.compare import wilson  # noqa: E402
from bapsim.judge.exam import accuracy, per_item, probs_of  # noqa: E402
from bapsim.judge.gate import paired  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from bapsim.store.project import Project, opened  # noqa: E402
from bapsim.train.text import text_linear  # noqa: E402
from bapsim.wheel.candidates import NAME  # noqa: E402
from bapsim.wheel.sheet import open_questions  # noqa: E402
from bapsim.wheel.turn import run_turn  # noqa: E402
from lab import Start, World, batch, new_folder, rows_in  # noqa: E402

OUT = Path(__file__).parent.parent / "docs" / "results"
SETS = ("banking77", "clinc150", "nsmc_ko")
SIZES = (40, 120)
FOREIGN = {"banking77": "clinc150", "clinc150": "banking77", "nsmc_ko": "banking77"}  # from where others come
STRANGERS = 1500
GOOD = {"at random": 1.0, "3 times": 3.0, "10 times": 10.0, "errors alone": np.inf}
BAD = ("random other class", "next best class", "right ones contradicted", "unsure right ones contradicted")
LIES = 0.4
REQUESTS = 6000


@dataclass(frozen=True)
class First:
    """The rows at hand, once."""

    world: World

    def __call__(self, turn: Turn) -> Any:
        return list(Start(self.world)(turn))[:1]


def recipe_of(world: World) -> Recipe:
    return Recipe(
        task=Task(input="text", target="label"),
        sources={
            "start": First(world),
            "served": service("service/", rights="own"),
            "expert": answers("answers/", rights="own"),
        },
        questions=worth_asking(300),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(None),
        seed=world.seed,
    )


def spoken(rng: np.random.Generator, right: np.ndarray, bias: float, count: int) -> np.ndarray:
    """int64[<= count]: requests that a desk speaks of, wrong answers `bias` times as often as right ones."""
    weight = np.where(right, 0.0, 1.0) if np.isinf(bias) else np.where(right, 1.0, bias)
    count = min(count, int((weight > 0).sum()))
    return rng.choice(len(right), count, replace=False, p=weight / weight.sum())


def lies(
    rng: np.random.Generator, kind: str, truth: np.ndarray, order: np.ndarray, sure: np.ndarray, count: int
) -> dict[int, str]:
    """What the bad desk says; order: object[n, k], classes from the likeliest on; sure: float64[n]."""
    right = truth == order[:, 0]
    if kind == BAD[3]:
        unsure = np.flatnonzero(right)[np.argsort(sure[right], kind="stable")[:count]]
        return {int(i): order[i, 1] for i in unsure}
    if kind == BAD[2]:
        return {int(i): order[i, 1] for i in rng.choice(np.flatnonzero(right), count, replace=False)}
    told: dict[int, str] = {}
    for i in rng.choice(len(truth), count, replace=False).tolist():
        others = [c for c in order[i].tolist() if c != truth[i]]
        wrong = others[int(rng.integers(len(others)))] if kind == BAD[0] else others[0]
        told[i] = wrong if rng.random() < LIES else truth[i]
    return told


def strangers(name: str, seed: int) -> list[str]:
    texts = rows_in(FOREIGN[name])[0]
    return [texts[i] for i in np.random.default_rng([6, seed]).choice(len(texts), STRANGERS, replace=False)]


def life(job: tuple[str, int, int, bool]) -> dict[str, Any]:
    name, size, seed, visited = job
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    pool = min(REQUESTS, len(rows_in(name)[0]) - 1500)
    world = World(name, seed, 1500, pool, 0)
    kind, rng, root = BAD[seed % len(BAD)], np.random.default_rng([5, seed]), new_folder()
    (root / "recipe.py").write_text("# in memory\n")
    try:
        with opened(root) as project:
            first = run_turn(project, recipe_of(world))
            model = artifacts.load(root / "wheel" / "models" / NAME / first["serves"] / "judged")
        at, truth = world.parts()["pool"], rows_in(name)[1][world.parts()["pool"]]
        told_all = model(batch(world, at, None).select(["text"]))
        probs = probs_of(told_all)
        order = np.array(model.classes, object)[np.argsort(-probs, axis=1)]
        right = np.array(strings(told_all.column("prediction")), object) == truth
        desks = {f"{about} {k}": dict.fromkeys(spoken(rng, right, bias, size).tolist())
                 for about, bias in GOOD.items() for k in (1, 2)}  # fmt: skip
        said = {desk: {i: truth[i] for i in rows} for desk, rows in desks.items()}
        said["bad"] = lies(rng, kind, truth, order, probs.max(axis=1), size)
        lines: list[dict[str, Any]] = []
        when = {"at": "2026-11-22T10:00:00.000000+00:00", "deployment": "main"}
        texts = rows_in(name)[0][at]
        for i in range(len(at)):
            about = {"purpose": None, "consent": None, "model": first["serves"]}
            answer = {"prediction": order[i, 0], "confidence": float(probs[i].max())}
            lines.append({"request": f"r{i}", **when, **about, "input": {"text": texts[i]}, **answer})
        others = strangers(name, seed) if visited else []
        said_of = model(Rows(pa.record_batch({"text": pa.array(others, pa.string())})))
        labels, sures = strings(said_of.column("prediction")), numbers(said_of.column("confidence"))
        for i, (text, label, sure) in enumerate(zip(others, labels, sures.tolist(), strict=True)):
            answer = {"prediction": label, "confidence": float(sure)}
            about = {"purpose": None, "consent": None, "model": first["serves"]}
            lines.append({"request": f"s{i}", **when, **about, "input": {"text": text}, **answer})
        taken: set[int] = set()
        for desk, rows in said.items():
            for i, label in rows.items():
                if i not in taken:  # two who speak of one request would be in conflict
                    lines.append({"request": f"r{i}", **when, "by": desk, "correction": label})
            taken |= set(rows)
        path = root / "inbox" / "service" / "main-w0-20261122T100000-000000.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        with opened(root) as project:
            told = run_turn(project, recipe_of(world))
        named = refused_in(told)
        with opened(root) as project:
            fill_in(project, recipe_of(world), dict(zip(*map(list, rows_in(name)), strict=True)))
            later = refused_in(run_turn(project, recipe_of(world)))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {
        "set": name,
        "size": size,
        "seed": seed,
        "visited": visited,
        "bad": kind,
        "named": named,
        "later": sorted({*named, *later}),
        "right": float(right.mean()),
    }


def refused_in(told: dict[str, Any]) -> list[str]:
    return [one["name"].split("by:")[-1] for one in told["suspects"] if one["refused"]]


def fill_in(project: Project, recipe: Recipe, truth: dict[str, str]) -> None:
    """An expert fills in the sheet; of a stranger's request nothing fits."""
    path = project.root / "inbox" / "answers" / "sheet.jsonl"
    path.parent.mkdir(parents=True)
    write_questions(path, open_questions(project, recipe.task))
    asked = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    filled = [one | {"label": truth.get(one["text"], "?")} for one in asked]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in filled), "utf-8")


def page(lives: list[dict[str, Any]]) -> str:
    seeds = len({one["seed"] for one in lives})
    lines = [
        "# Streams of corrections: who is set aside",
        "",
        f"`python benchmarks/streams.py --seeds {seeds}`",
        "",
    ]
    lines += [" ".join(str(__doc__).split("\n\n")[2].split()), ""]
    lines += [
        "| set | the model is right in | others among the requests | corrections a desk | "
        + " | ".join([*GOOD, *BAD])
        + " |"
    ]
    lines += ["|---|---|---|---|" + "---|" * (len(GOOD) + len(BAD))]
    for name in SETS:
        for size, visited in product(SIZES, (False, True)):
            mine = [o for o in lives if (o["set"], o["size"], o["visited"]) == (name, size, visited)]
            if not mine:
                continue
            cells = []
            for kind in GOOD:
                named = sum(f"{kind} {k}" in one["later"] for one in mine for k in (1, 2))
                cells.append(f"{named} of {2 * len(mine)}")
            for kind in BAD:
                some = [one for one in mine if one["bad"] == kind]
                first, then = (sum("bad" in one[when] for one in some) for when in ("named", "later"))
                cells.append(f"**{first}, {then}** of {len(some)}")
            share = f"{100 * np.mean([one['right'] for one in mine]):.0f} %"
            others = f"{STRANGERS:,} of {FOREIGN[name]}" if visited else "none"
            lines.append(f"| {name} | {share} | {others} | {size} | {' | '.join(cells)} |")
    good = sum(name.split(" ")[0] != "bad" for one in lives for name in one["later"])
    low, high = wilson(good, 8 * len(lives))
    lines += [
        "",
        "Of bad desks: found at once, and after people's answers. Good desks set aside: "
        f"{good} of {8 * len(lives)} [{100 * low:.1f}, {100 * high:.1f}] %.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=21)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    place = OUT / "streams.json"
    if args.page:
        lives = json.loads(place.read_text("utf-8"))
    else:
        arms = list(product(args.sets, SIZES, (False, True)))
        jobs = [(name, size, seed, visited) for seed in range(args.seeds) for name, size, visited in arms]
        lives = []
        with get_context("spawn").Pool(args.jobs) as pool:
            for one in pool.imap_unordered(life, jobs):
                lives.append(one)
                print(
                    one["set"],
                    one["size"],
                    one["seed"],
                    "visited" if one["visited"] else "",
                    one["bad"],
                    "->",
                    ", ".join(one["named"]),
                    flush=True,
                )
        place.write_text(json.dumps(lives, indent=0) + "\n", "utf-8")
    (OUT / "streams.md").write_text(page(lives), "utf-8")
    print(page(lives))


if __name__ == "__main__":
    main()
