"""Branch coverage: printed for everything; 100 % demanded where a mistake would be believed (core, judge)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FULL = ("src/bapsim/core/*", "src/bapsim/judge/*")


def coverage(*arguments: str, quiet: bool = False) -> int:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=quiet).returncode


def main() -> int:
    coverage("combine", "--quiet", quiet=True)  # nothing to combine when it was done already
    status = coverage("report", "--format=total", quiet=True)
    print("everything, for information:")
    status |= coverage("report", "--skip-covered")
    for folder in FULL:
        print(f"{folder}: branch coverage must be 100 %")
        status |= coverage("report", f"--include={folder}", "--fail-under=100", "--show-missing")
    return int(bool(status))


if __name__ == "__main__":
    sys.exit(main())
