"""Run every check of `make test`, all of them even when one fails, and say how long each took.

The runner's own closing line is repeated at the end, so that the last line says what was tested.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
OUTCOMES = "passed|failed|errors?|skipped|deselected|xfailed"
CLOSING = re.compile(rf"^=*\s*(\d+ (?:{OUTCOMES})\b.* in [\d.]+s.*?)\s*=*$")


class Step(NamedTuple):
    name: str
    command: list[str]


def steps(jobs: int, pytest_arguments: list[str]) -> list[Step]:
    """The checks in the order in which they fail cheapest."""
    python = sys.executable
    slowest = ["--durations=8", "--durations-min=3"]  # minutes are shared: who takes them is shown
    # Neighbours stay on one worker, so that projects and services that they share are made once.
    spread = ["-n", str(jobs), "--dist", "worksteal"]
    tests = [python, "-m", "coverage", "run", "-m", "pytest", *spread, *slowest, *pytest_arguments]
    return [
        Step("lint", [str(BIN / "ruff"), "check", "--quiet", "."]),
        Step("format", [str(BIN / "ruff"), "format", "--check", "--quiet", "."]),
        Step("types", [str(BIN / "mypy"), "--no-error-summary"]),
        Step("imports", [str(BIN / "lint-imports"), "--no-cache", "--no-logo"]),
        Step("ratchets", [python, "tools/ratchets.py"]),
        Step("tests", tests),
        Step("coverage", [python, "tools/coverage_floor.py"]),
    ]


def run(step: Step, environment: dict[str, str]) -> tuple[int, float, str]:
    """Run one step with its output shown as it comes; return its exit status, seconds, and closing line."""
    start = time.monotonic()
    closing = ""
    with subprocess.Popen(
        step.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            found = CLOSING.match(line.strip())
            closing = found.group(1) if found else closing
    return process.returncode, time.monotonic() - start, closing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="pytest workers")
    parser.add_argument("--only", help="names of steps, separated by commas")
    arguments, pytest_arguments = parser.parse_known_args()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for stale in ROOT.glob(".coverage*"):
        stale.unlink()
    chosen = steps(arguments.jobs, pytest_arguments)
    if arguments.only:
        chosen = [step for step in chosen if step.name in arguments.only.split(",")]
    results = []
    for step in chosen:
        print(f"-- {step.name}", flush=True)
        status, seconds, closing = run(step, environment)
        results.append((step.name, status, seconds, closing))
    print("-- time of each check")
    for name, status, seconds, _ in results:
        print(f"{name:<10}{seconds:>8.1f} s  {'ok' if status == 0 else f'FAILED ({status})'}")
    print(f"{'together':<10}{sum(seconds for _, _, seconds, _ in results):>8.1f} s")
    for line in (closing for _, _, _, closing in results if closing):
        print(line)
    return int(any(status for _, status, _, _ in results))


if __name__ == "__main__":
    sys.exit(main())
