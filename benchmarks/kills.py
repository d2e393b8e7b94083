"""A turn that is killed anywhere ends as if it had not been: at every durable step, at random moments.

    python benchmarks/kills.py [--moments 500] [--jobs 2]

The project of tests/wheel/world.py: three turns with answers, machine-made rows pending, two candidates. Each
step: a copy of the project before its turn, a process that dies by signal 9 at that step, and one that goes
on. Moments: whole projects that die and go on until they are done. Compared with the undisturbed project:
every row of the ledger but for volatile columns, and every file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["BAPSIM_KEY"] = "07" * 32
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.wheel.world import corrected_bank, differences, founded, killed_run, points, state_of  # noqa: E402

TURNS = 3


def folder() -> Path:
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="bapsim-kill-", dir=memory if memory.is_dir() else None))


def undisturbed(place: Path) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """The steps of each turn, and the state after each; copies of the project before each lie in `place`."""
    root, steps, states = founded(place / "now"), [], []
    for turn in range(1, TURNS + 1):
        shutil.copytree(root, place / f"before-{turn}")
        steps.append(points(root, lambda turn=turn: killed_run(root, corrected_bank(), turn, None)))
        (root / "faults.txt").unlink()
        states.append(state_of(root))
    return steps, states


def at_step(job: tuple[str, int, int]) -> str:
    """Die at one step of one turn, go on; the first difference, or nothing."""
    place, turn, step = job
    root = folder()
    try:
        shutil.copytree(Path(place) / f"before-{turn}", root, dirs_exist_ok=True)
        died = killed_run(root, corrected_bank(), turn, step)
        killed_run(root, corrected_bank(), turn, None)
        expected = json.loads((Path(place) / f"state-{turn}.json").read_text())
        said = differences(expected, json.loads(json.dumps(state_of(root))))
        return said if died else f"step {step} of turn {turn} was never reached"
    finally:
        shutil.rmtree(root)


def at_moments(job: tuple[str, int, int]) -> tuple[int, int, str]:
    """Whole projects that die at random until this many deaths: deaths, projects, first difference."""
    place, seed, wanted = job
    rng, deaths, projects = random.Random(seed), 0, 0
    expected = json.loads((Path(place) / f"state-{TURNS}.json").read_text())
    while deaths < wanted:
        root = founded(folder() / "p")
        while killed_run(root, corrected_bank(), TURNS, rng.randint(1, 150)):
            deaths += 1
        projects += 1
        said = differences(expected, json.loads(json.dumps(state_of(root))))
        shutil.rmtree(root.parent)
        if said:
            return deaths, projects, said
    return deaths, projects, ""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/results/kills"))
    args = parser.parse_args()
    place = folder()
    try:
        steps, states = undisturbed(place)
        for turn, state in enumerate(states, 1):
            (place / f"state-{turn}.json").write_text(json.dumps(state))
        jobs = [(str(place), t, s) for t in range(1, TURNS + 1) for s in range(1, len(steps[t - 1]) + 1)]
        with get_context("spawn").Pool(args.jobs) as pool:
            apart = pool.map(at_step, jobs, chunksize=4)
            each = -(-args.moments // args.jobs)
            lived = pool.map(at_moments, [(str(place), 20261122 + i, each) for i in range(args.jobs)])
    finally:
        shutil.rmtree(place)
    wrong = [said for said in [*apart, *(said for *_, said in lived)] if said]
    deaths, projects = sum(d for d, *_ in lived), sum(p for _, p, _ in lived)
    kinds = len({name for turn in steps for name in turn})
    args.out.with_suffix(".md").parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".md").write_text(
        "# Killed anywhere\n\n"
        f"`python benchmarks/kills.py --moments {args.moments}`: three turns, "
        f"{' + '.join(str(len(s)) for s in steps)} durable steps of {kinds} kinds.\n\n"
        "| killed by signal 9 | deaths | projects that differ from the undisturbed one |\n|---|---|---|\n"
        f"| at each step apart | {len(apart)} | {sum(bool(s) for s in apart)} |\n"
        f"| at random moments, {projects} projects | {deaths} | {sum(bool(s) for *_, s in lived)} |\n"
    )
    print(args.out.with_suffix(".md").read_text())
    for said in wrong[:5]:
        print(said)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
