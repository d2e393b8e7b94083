"""Schemathesis holds the rooms' JSON routes against what they say of themselves, as owner and as expert.

    python -m venv /tmp/st && /tmp/st/bin/pip install schemathesis==4.32.5
    python benchmarks/rooms_bodies.py --st /tmp/st/bin/schemathesis [--examples 200]

Writes docs/results/rooms_bodies.{json,md}. A real `bapsim serve` with rooms on a new project; 18 requests a
second, for nobody may ask more than 20 times. Its own venv, because it brings 93 MB.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from bapsim.serve.people import names, persons, sessions
from bapsim.serve.people.rooms import database_of, key_of
from bapsim.serve.people.tables import person

OUT = Path(__file__).parent.parent / "docs" / "results" / "rooms_bodies"
BAPSIM = [sys.executable, "-c", "from bapsim.cli import main; main()"]


def project(place: Path) -> Path:
    """A project with rooms and without a turn."""
    rows = place / "rows.csv"
    with rows.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(("text", "label"))
        sheet.writerows(
            (f"문의 {i} {'카드' if i % 2 else '대출'}", "card" if i % 2 else "loan") for i in range(60)
        )
    root = place / "bank"
    made = [*BAPSIM, "new", str(root), "--from", str(rows), "--text", "text", "--target", "label"]
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run([*BAPSIM, "-C", str(root), "people"], check=True, capture_output=True)
    return root


def session(root: Path, role: str) -> tuple[str, str]:
    """The cookie and the form token of somebody of this role."""
    database = database_of(root)

    def make(connection: sa.Connection) -> str:
        one = persons.add(connection, role=role, lang="en", domain="", by=None)
        connection.execute(person.update().where(person.c.id == one).values(state="active"))
        return sessions.begin(connection, one)

    token = database.change(make)
    database.close()
    name = f"bapsim-{names.hashed(key_of(root).hex())[:16]}"
    return f"{name}={token}", names.form_token(token)


def asked(url: str, program: str, root: Path, role: str, examples: int) -> dict[str, Any]:
    """What schemathesis says of the routes for one role."""
    cookie, token = session(root, role)
    command = [program, "run", f"{url}/openapi.json", "-H", f"Cookie: {cookie}", "-H", f"x-csrf: {token}"]
    command += ["--include-path-regex", "/people/api", "--max-examples", str(examples), "--seed", "1"]
    command += ["--rate-limit", "18/s"]
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root.parent, env=plain)
    cases = re.search(r"(\d+) generated, (.*)", done.stdout)
    return {
        "role": role,
        "status": done.returncode,
        "cases": int(cases[1]) if cases else 0,
        "said": cases[2] if cases else done.stdout[-500:] + done.stderr[-500:],
        "alive": httpx.get(f"{url}/health").status_code == 200,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--st", required=True)
    parser.add_argument("--examples", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = project(Path(place))
        command = [*BAPSIM, "-C", str(root), "serve", "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        url = next(m[0] for said in process.stdout if (m := re.search(r"http://[0-9.]+:[0-9]+", said)))
        found = [asked(url, args.st, root, role, args.examples) for role in ("owner", "expert")]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(60)
    version = subprocess.run(
        [args.st, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    said = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "peer": version, "roles": found}
    lines = [
        "# Bodies for the rooms",
        "",
        f"`python benchmarks/rooms_bodies.py --st PROGRAM`, {said['date']}, {version}.",
    ]
    lines += ["", "| role | cases | what was found | still answers |", "|---|---|---|---|"]
    lines += [f"| {one['role']} | {one['cases']} | {one['said']} | {one['alive']} |" for one in found]
    OUT.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    OUT.with_suffix(".md").write_text("\n".join([*lines, ""]), "utf-8")
    print("\n".join(lines))
    sys.exit(0 if all(one["status"] == 0 and one["alive"] for one in found) else 1)


if __name__ == "__main__":
    main()
