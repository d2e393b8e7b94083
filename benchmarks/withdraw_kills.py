"""A withdrawal that is killed by signal 9 at random moments: the next run finishes it, and nothing is found.

    OMP_NUM_THREADS=1 python benchmarks/withdraw_kills.py              # 100 lives, about 10 minutes
    OMP_NUM_THREADS=1 python benchmarks/withdraw_kills.py --lives 5    # nothing is written

Each life is a copy of a bank after two turns in which an expert's words lie in every kind of file (rows, a
pool, the exam, votes, remarks, rules, a log, a sheet, exports in nine formats, archives, databases with a log
and a free list, arrays, a pickle, a sealed dialogue, a snapshot). The withdrawal runs in a process of its own
and gets signal 9 after a random part of the time that a whole one takes (seed 0); every second one is killed
once more; then it runs to its end. Then a scanner of tests/ that shares no code with the withdrawal decodes
every file and looks for all canaries. Writes docs/results/withdraw_kills.{json,md}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results"
sys.path.insert(0, str(HERE.parent))

from tests.scanner import scan  # noqa: E402
from tests.wheel.withdrawals import EXPERT, founded, lived, planted, recipe, scattered  # noqa: E402

from bapsim.store.project import opened  # noqa: E402
from bapsim.wheel.withdrawal_report import is_sound  # noqa: E402
from bapsim.wheel.withdrawing import withdraw  # noqa: E402


def taken_back(root: Path) -> dict[str, Any]:
    """The withdrawal, to its end."""
    with opened(root) as project:
        return withdraw(project, recipe(), EXPERT)


def killed(work: Callable[[], Any], after: float) -> tuple[bool, float]:
    """Run in a child that gets signal 9 after so many seconds: whether it was still running, and seconds."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  told by the parent's scan
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    while time.perf_counter() - began < after:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError("a run that was not killed failed")
            return False, time.perf_counter() - began
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True, time.perf_counter() - began


def life(world: Path, place: Path, draw: random.Random, whole: float, twice: bool) -> dict[str, Any]:
    """One withdrawal with one or two kills."""
    root = place / "bank"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(world, root)
    kills = 0
    for _ in range(1 + twice):
        died, _ = killed(lambda: taken_back(root), draw.uniform(0.0, whole))
        kills += died
    done = taken_back(root)
    again = taken_back(root)
    return {
        "kills": kills,
        "done": done["body"]["state"] == "done" and is_sound(done) and again == done,
        "found": len(scan(root, planted())),
    }


HEAD = (
    "lives",
    "kills that met a running withdrawal",
    "finished by the next run, report signed and sound",
    "canaries looked for in each life",
    "found afterwards",
)


def page(said: dict[str, Any]) -> str:
    """The page of results."""
    cells = (said["lives"], said["kills"], said["done"], said["canaries"], f"**{said['found']}**")
    return "\n".join(
        [
            "# Withdrawals that were killed",
            "",
            f"`python benchmarks/withdraw_kills.py --lives {said['lives']}`, {said['date']}, "
            f"{said['cpus']} CPUs. {(__doc__ or '').split(chr(10))[0]}",
            "",
            "| " + " | ".join(HEAD) + " |",
            "|" + "---|" * len(HEAD),
            "| " + " | ".join(map(str, cells)) + " |",
            "",
            f"{said['before']} of the canaries were found before; others never came in. "
            f"A whole withdrawal takes {said['whole']:.1f} s here.",
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lives", type=int, default=100)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        world = founded(Path(place) / "world")
        sys.path.insert(0, str(world))
        lived(world)
        scattered(world)
        before = len({name for _, name in scan(world, planted())})
        root = Path(place) / "bank"
        shutil.copytree(world, root)
        taken_back(root)  # everything that is imported is imported once
        shutil.rmtree(root)
        shutil.copytree(world, root)
        _, whole = killed(lambda: taken_back(root), 600.0)
        draw, lives = random.Random(0), []
        for i in range(wanted.lives):
            lives.append(life(world, Path(place), draw, whole, twice=i % 2 == 1))
            print(i, lives[-1], flush=True)
    said = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "lives": len(lives),
        "kills": sum(one["kills"] for one in lives),
        "done": sum(one["done"] for one in lives),
        "found": sum(one["found"] for one in lives),
        "canaries": len(planted()),
        "before": before,
        "whole": whole,
    }
    print(json.dumps(said))
    if wanted.lives >= 100:
        (OUT / "withdraw_kills.json").write_text(json.dumps(said, indent=1) + "\n")
        (OUT / "withdraw_kills.md").write_text(page(said))
    return int(said["found"] > 0 or said["done"] < said["lives"] or said["kills"] < said["lives"])


if __name__ == "__main__":
    raise SystemExit(main())
