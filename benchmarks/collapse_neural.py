"""A small neural language model that learns from its own text collapses in the order of the trigram model.

    OMP_NUM_THREADS=1 python benchmarks/collapse_neural.py [--seeds 3] [--arms replace@0.2,...] [--page]

Writes docs/results/collapse_neural.{json,md}. A character model (ten characters, 16 numbers each, two hidden
layers of 128) learns tinyshakespeare from scratch at every generation, in as many steps whatever the arm, and
writes as much text as it learnt from. The arms are those of `bapsim lab collapse`; "@0.2" draws at
temperature 1 - .2. Judged in nats a character on people's text that nothing else sees.
`--device cuda --hidden 1024 --batch 16384` is a larger run for a machine with a GPU; nobody has run it yet.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first

from bapsim.lab.arms import Filtered, Ints, World, names_of  # noqa: E402
from bapsim.lab.collapse import Cut, Floats, cut, other_text  # noqa: E402
from bapsim.train.image_net import torch  # noqa: E402
from lab import DATA  # noqa: E402

OUT = Path(__file__).parents[1] / "docs" / "results" / "collapse_neural"
SPAN, WIDTH = 10, 16  # characters that are looked back at; numbers for each
RATE, DECAY = 4e-3, 0.01
CHAINS = 2_000
CORE = ("replace@0.2", "mix10@0.2", "accumulate@0.2")
MORE = ("anchor@0.2", "replace", "accumulate", "guarded@0.2")
MEASURES = {"loss": "nats more", "distinct_3": "distinct trigrams", "compression": "zlib", "own": "own batch"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """steps of so many contexts each; hidden: width of both layers; device: of torch."""

    steps: int = 500
    batch: int = 1024
    hidden: int = 128
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Characters:
    """A writer of the lab: a net that says what comes after ten characters."""

    net: Any
    data: Ints
    device: str

    def nats(self, codes: Ints) -> Floats:
        """float64[n - 2]; before the beginning stands character 0."""
        th = torch()
        known = np.concatenate([np.zeros(SPAN, np.int64), codes])
        seen = np.lib.stride_tricks.sliding_window_view(known, SPAN)[2 : len(codes)]
        found = []
        with th.no_grad():
            for at in range(0, len(seen), 16_384):
                said = self.net(th.from_numpy(seen[at : at + 16_384].copy()).to(self.device))
                want = th.from_numpy(codes[2:][at : at + 16_384]).to(self.device)
                found.append(th.nn.functional.cross_entropy(said, want, reduction="none").cpu().numpy())
        return np.concatenate(found).astype(np.float64)

    def drawn(self, count: int, rng: np.random.Generator, sharp: float) -> Ints:
        """Chains that each begin with ten characters from somewhere in what was learnt."""
        th = torch()
        chains = min(CHAINS, max(count // 100, 1))
        length = -(-count // chains)
        start = rng.integers(0, len(self.data) - SPAN, chains)
        text = np.empty((chains, SPAN + length), np.int64)
        text[:, :SPAN] = self.data[start[:, None] + np.arange(SPAN)]
        with th.no_grad():
            for at in range(SPAN, SPAN + length):
                seen = th.from_numpy(text[:, at - SPAN : at].copy()).to(self.device)
                p = th.softmax(self.net(seen).double() / (1 - sharp), 1).cpu().numpy().cumsum(1)
                p /= p[:, -1:]
                text[:, at] = (p < rng.random((chains, 1))).sum(1)
        return text[:, SPAN:].reshape(-1)[:count]


@dataclass(eq=False)
class Lesson:
    """Trains such nets, each from scratch; the same text gives the same net, and is not learnt twice."""

    kinds: int
    seed: int
    plan: Plan
    known: dict[int, Characters] = field(default_factory=dict)

    def __call__(self, data: Ints) -> Characters:
        key = zlib.crc32(data.tobytes())
        if key not in self.known:
            every = list(self.known.items())  # people's, and the last few, are asked for again
            self.known = dict([*every[:1], *every[1:][-2:]])
            self.known[key] = taught(data, self.kinds, self.seed, self.plan)
        return self.known[key]


def taught(data: Ints, kinds: int, seed: int, plan: Plan) -> Characters:
    """A net after so many steps of AdamW, the rate falling as a cosine."""
    th = torch()
    nn, rng = th.nn, np.random.default_rng(seed)
    th.manual_seed(seed)
    layers = [nn.Embedding(kinds, WIDTH), nn.Flatten(), nn.Linear(SPAN * WIDTH, plan.hidden), nn.ReLU()]
    layers += [nn.Linear(plan.hidden, plan.hidden), nn.ReLU(), nn.Linear(plan.hidden, kinds)]
    net = nn.Sequential(*layers).to(plan.device)
    steps = th.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    falling = th.optim.lr_scheduler.CosineAnnealingLR(steps, plan.steps)
    text = th.from_numpy(data.copy()).to(plan.device)
    reach = th.arange(SPAN + 1, device=plan.device)
    for _ in range(plan.steps):
        at = th.from_numpy(rng.integers(0, len(data) - SPAN, plan.batch)).to(plan.device)
        rows = text[at[:, None] + reach]
        loss = nn.functional.cross_entropy(net(rows[:, :SPAN]), rows[:, SPAN])
        steps.zero_grad(set_to_none=True)
        loss.backward()
        steps.step()
        falling.step()
    return Characters(net, data, plan.device)


def measured(model: Characters, first: Characters, test: Ints, new: Ints, kinds: int) -> dict[str, float]:
    """loss on people's test; of the new text distinct trigrams, what zlib leaves, and what the model of
    people's text alone thinks of it (own: the score that would call a collapse an improvement).
    """
    triples = new[:-2] * kinds * kinds + new[1:-1] * kinds + new[2:]
    body = new.astype(np.uint8).tobytes()
    return {
        "loss": float(model.nats(test).mean()),
        "distinct_3": len(np.unique(triples)) / len(triples),
        "compression": len(zlib.compress(body, 6)) / len(body),
        "own": float(first.nats(new).mean()),
    }


def run(part: Cut, arm: str, learn: Lesson, generations: int) -> dict[str, Any]:
    """One arm with one seed: its measures by generation, the first being people's text."""
    begun, seed, kinds = time.process_time(), learn.seed, learn.kinds
    ((_, policy, sharp),) = names_of([arm])
    first = learn(part.learn)
    rng = np.random.default_rng([seed, 1])
    outside = learn(other_text(part, seed)) if isinstance(policy, Filtered) else first
    world = World(learn=learn, real=part.learn, judge=part.judge, outside=outside, sharp=sharp, rng=rng)
    model, rows = first, [measured(first, first, part.test, part.learn, kinds)]
    for _ in range(generations):
        new = model.drawn(len(part.learn), rng, sharp)
        model = learn(policy(world, model, new))
        rows.append(measured(model, first, part.test, new, kinds))
    size = sum(p.numel() for p in first.net.parameters())
    said = {"arm": arm, "seed": seed, "parameters": size, "rows": rows, "guard": world.said}
    return {**said, "learnt": len(part.learn), "cpu": time.process_time() - begun}


def page(found: dict[str, Any]) -> str:
    runs = found["runs"]
    arms = list(dict.fromkeys(run["arm"] for run in runs))
    count = len(runs[0]["rows"]) - 1
    base = [run["rows"][0]["loss"] for run in runs]
    lines = [
        "# Collapse of a small neural language model",
        "",
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/collapse_neural.py` ({found['date']}, "
        f"{sum(run['cpu'] for run in runs):,.0f} CPU-s; `--page` writes this page again). What is done "
        f"stands at the top of that file. {runs[0]['parameters']:,} parameters, {runs[0]['learnt']:,} "
        f"characters to learn from, {found['plan']['steps']} steps of {found['plan']['batch']:,} contexts "
        f"each time; people's text alone: {np.mean(base):.3f} nats a character. "
        "Below: how much more by generation, mean over seeds; last with every seed.",
        "",
        f"| arm | seeds | {' | '.join(f'g{n}' for n in range(1, count + 1))} | each seed at g{count} |",
        "|---|---|" + "---|" * (count + 1),
    ]
    for arm in arms:
        mine = [
            [r["loss"] - one["rows"][0]["loss"] for r in one["rows"]] for one in runs if one["arm"] == arm
        ]
        cells = [f"{np.mean([m[n] for m in mine]):+.3f}" for n in range(1, count + 1)]
        every = ", ".join(f"{m[-1]:+.3f}" for m in mine)
        lines.append(f"| {arm} | {len(mine)} | {' | '.join(cells)} | {every} |")
    lines += [
        "",
        f"What the text looks like at g{count} (people's first): distinct trigrams, what zlib leaves of it, "
        "and nats a character by the model of people's text alone, the score that a filter would look at.",
        "",
        "| arm | distinct trigrams | zlib | that score, g1 | that score, last |",
        "|---|---|---|---|---|",
    ]
    people = [np.mean([run["rows"][0][key] for run in runs]) for key in ("distinct_3", "compression", "own")]
    lines.append(f"| people's | {people[0]:.3f} | {people[1]:.3f} | {people[2]:.3f} | |")
    for arm in arms:
        mine = [one["rows"] for one in runs if one["arm"] == arm]
        last = [np.mean([rows[-1][key] for rows in mine]) for key in ("distinct_3", "compression")]
        score = [np.mean([rows[n]["own"] for rows in mine]) for n in (1, -1)]
        lines.append(f"| {arm} | {last[0]:.3f} | {last[1]:.3f} | {score[0]:.3f} | {score[1]:.3f} |")
    return "\n".join([*lines, "", *told_by_guard(runs), *order(runs)]) + "\n"


def told_by_guard(runs: list[dict[str, Any]]) -> list[str]:
    said = [one for run in runs if run["arm"].startswith("guarded") for one in run["guard"]]
    if not said:
        return []
    kept = sum(one["admitted"] for one in said)
    return [f"The guard admitted {kept} of {len(said)} generations.", ""]


def order(runs: list[dict[str, Any]]) -> list[str]:
    """The last generation's ratios, and whether every seed shows the order."""
    last = {
        (run["arm"], run["seed"]): run["rows"][-1]["loss"] - run["rows"][0]["loss"]
        for run in runs
        if run["arm"] in CORE
    }
    seeds = sorted({seed for _, seed in last if all((arm, seed) in last for arm in CORE)})
    if not seeds:
        return []
    means = [np.mean([last[arm, seed] for seed in seeds]) for arm in CORE]
    held = sum(last[CORE[0], s] > last[CORE[1], s] > last[CORE[2], s] for s in seeds)
    ratio = " : ".join(f"{m / means[2]:.1f}" for m in means)
    return [
        f"replace : mix10 : accumulate at temperature .8 = **{ratio}**; in {held} of {len(seeds)} seeds "
        "replace is worse than mix10, and mix10 worse than accumulate."
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", default=",".join((*CORE, *MORE)))
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--most", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--add", action="store_true", help="keep the runs that the file has")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    path = args.out.with_suffix(".json")
    if not args.page:
        plan = Plan(steps=args.steps, batch=args.batch, hidden=args.hidden, device=args.device)
        job = (args.generations, args.most, plan)
        if args.quick:
            job = (2, 30_000, Plan(steps=60, batch=512, hidden=args.hidden, device=args.device))
        torch().set_num_threads(1)
        with gzip.open(DATA / "tinyshakespeare" / "input.txt.gz", "rt", encoding="utf-8") as file:
            text = file.read()
        letters, codes = np.unique(np.array(list(text)), return_inverse=True)
        codes = codes.astype(np.int64)
        found: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "plan": vars(job[2]), "runs": []}
        if args.add:
            found = json.loads(path.read_text("utf-8"))
        for seed in range(args.seeds):
            learn, part = Lesson(len(letters), seed, job[2]), cut(codes, len(letters), job[1], seed)
            for arm in args.arms.split(","):
                if not any((one["arm"], one["seed"]) == (arm, seed) for one in found["runs"]):
                    found["runs"].append(run(part, arm, learn, job[0]))
                    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(json.loads(path.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
