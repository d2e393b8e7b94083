"""The long proofs of `make prove`, one after another: benchmarks, mutation score, an air-gapped install.

A benchmark is a program benchmarks/NAME.py whose first docstring line says what it proves; it writes its own
page, and ends with a status other than 0 when a number is not reached. ONLY="NAME ..." runs some.
"""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Proof(NamedTuple):
    name: str
    says: str
    command: list[str]


def proofs() -> list[Proof]:
    """Found on disk, so that none is forgotten; a file that is no program is shared code.

    What holds the bars against the results comes last.
    """
    found = []
    for file in sorted((ROOT / "benchmarks").glob("*.py"), key=lambda f: (f.stem == "reached", f.stem)):
        text = file.read_text(encoding="utf-8")
        if "__main__" in text:
            first = ((ast.get_docstring(ast.parse(text)) or "").splitlines() or [""])[0]
            found.append(Proof(file.stem, first, [sys.executable, str(file.relative_to(ROOT))]))
    mutate = [sys.executable, "tools/mutate.py", "--write", "docs/mutation.md"]
    return [
        Proof(
            "airgap", "The bundle installs, and the demo runs, without a network.", ["sh", "tools/airgap.sh"]
        ),
        Proof("mutants", "The tests notice planted faults.", mutate),
        *found,
    ]


def main() -> int:
    known = {proof.name: proof for proof in proofs()}
    wanted = sys.argv[1:] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no such proof: {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    data = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
    environment = {**os.environ, "BAPSIM_DATA": str(data)}
    rows = []
    for name in wanted:
        print(f"-- {name}: {known[name].says}", flush=True)
        start = time.monotonic()
        status = subprocess.run(known[name].command, cwd=ROOT, env=environment, check=False).returncode
        rows.append((name, time.monotonic() - start, status))
    print("-- proofs")
    for name, seconds, status in rows:
        print(f"{name:<24}{seconds:>9.0f} s  {'ok' if status == 0 else f'FAILED ({status})'}")
    print(f"{sum(status == 0 for *_, status in rows)} of {len(rows)} proofs hold")
    return int(any(status for *_, status in rows))


if __name__ == "__main__":
    sys.exit(main())
