"""Served projects: real turns on small data, real processes, and models that behave badly on purpose."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bapsim.serve.log import lines_of
from tests.cli.conftest import run, sentences, write_csv
from tests.image.pictures import write_parts

BAPSIM = [sys.executable, "-c", "from bapsim.cli import main; main()"]
Lines = list[dict[str, Any]]
ODD = '''"""Models of this test: they hand on to a real one, and behave badly where their folder says so."""

import json, time
from pathlib import Path
from bapsim.store import artifacts


class Odd:
    def __init__(self, folder):
        self.said = json.loads((folder / "model.json").read_text("utf-8"))
        self.inner = artifacts.load(Path(self.said["inner"]), None)
        self.classes = getattr(self.inner, "classes", ())
        self.calls = 0

    def __call__(self, rows):
        self.calls += 1
        time.sleep(self.said["seconds"])
        if self.said["raises"] and self.calls > self.said["after"]:
            raise RuntimeError("a bad model")
        return self.inner(rows)

    def save(self, folder):
        raise NotImplementedError


def load(folder):
    if json.loads((folder / "model.json").read_text("utf-8"))["broken"]:
        raise ValueError("cannot be loaded")
    return Odd(folder)
'''


def text_project(place: Path) -> Path:
    """Three intents, one turn."""
    file = write_csv(place / "rows.csv", sentences(240, 1))
    run("new", place / "text", "--from", file, "--text", "text", "--target", "label")
    run("-C", place / "text", "turn")
    (place / "text" / "odd.py").write_text(ODD, "utf-8")
    return place / "text"


def table_project(place: Path) -> Path:
    """Numbers, truth and words in, a number out."""
    rng = np.random.default_rng(5)
    lines = []
    for i in range(240):
        rooms, size, lift = int(rng.integers(1, 6)), float(rng.uniform(20, 120)), bool(rng.integers(2))
        town = str(rng.choice(["서울", "부산", "007"]))
        price = 30 * rooms + 2.5 * size + 40 * lift + 80 * (town == "서울") + rng.normal(0, 10)
        row = {"rooms": rooms, "size": round(size, 2) + i / 1e5, "lift": lift, "town": town}
        lines.append(json.dumps({**row, "price": round(price, 2)}, ensure_ascii=False))
    file = place / "rows.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    inputs = ("--input", "rooms,size,lift,town", "--target", "price", "--answer", "number")
    run("new", place / "table", "--from", file, *inputs)
    recipe = place / "table" / "recipe.py"
    said = recipe.read_text("utf-8").replace("table_boosted()", "table_boosted(trees=20, rounds=20)")
    recipe.write_text(said, "utf-8")
    run("-C", place / "table", "turn")
    return place / "table"


def picture_project(place: Path) -> Path:
    """Parts: free, cracked, holed."""
    write_parts(place / "parts", range(100))
    run("new", place / "pictures", "--from", place / "parts")
    run("-C", place / "pictures", "turn")
    return place / "pictures"


def copied(root: Path, place: Path) -> Path:
    """A project of one's own."""
    shutil.copytree(root, place, ignore=shutil.ignore_patterns("inbox", "service", "reports"))
    (place / "inbox").mkdir()
    return place


def add_model(root: Path, version: str, **trouble: Any) -> None:
    """Another version beside the one that the turn made: the same answers, or trouble (seconds of sleep,
    raises after so many calls, broken).
    """
    models = root / "wheel" / "models" / "main"
    folder = models / version / "served"
    folder.mkdir(parents=True)
    said = {"loader": "odd:load", "inner": str(models / "t001-people" / "served")}
    said |= {"seconds": 0.0, "raises": False, "after": 3, "broken": False, **trouble}
    (folder / "model.json").write_text(json.dumps(said), "utf-8")


@dataclass
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[str]
    root: Path
    url: str
    http: httpx.Client

    def predict(self, **row: Any) -> dict[str, Any]:
        got = self.http.post("/predict", json=row)
        assert got.status_code == 200, got.text
        found: dict[str, Any] = got.json()
        return found

    def refused(self, path: str = "/predict", status: int = 422, **sent: Any) -> dict[str, Any]:
        got = self.http.post(path, **sent)
        assert got.status_code == status, (got.status_code, got.text)
        found: dict[str, Any] = got.json()["error"]
        return found

    def log(self) -> Lines:
        """All whole lines, by segment and place."""
        return log_of(self.root)

    def logged(
        self, wanted: Callable[[list[dict[str, Any]]], bool], seconds: float = 60.0
    ) -> list[dict[str, Any]]:
        """The log as soon as it is as wanted."""
        return until(self.log, wanted, seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def log_of(root: Path) -> Lines:
    folder = root / "inbox" / "service"
    return [line for path in sorted(folder.glob("*.jsonl")) for line in lines_of(path)]


def until(look: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 60.0) -> Any:
    """What is seen as soon as it is as wanted; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < end, f"not within {seconds} s: {str(seen)[-2000:]}"
        time.sleep(0.05)


def launched(root: Path, *options: object, **changes: Any) -> subprocess.Popen[str]:
    command = [*BAPSIM, "-C", str(root), "serve", "--port", "0", *map(str, options)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "200", **changes.pop("env", {})}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **changes
    )


@contextmanager
def serving(root: Path, *options: object, **changes: Any) -> Iterator[Running]:
    """A service until the end of the block; it has to end well unless it was ended before."""
    process = launched(root, *options, **changes)
    assert process.stdout is not None
    found = None
    for line in process.stdout:
        found = re.search(r"https?://[0-9.]+:[0-9]+", line)
        if found:
            break
    if found is None:
        assert process.stderr is not None
        raise AssertionError(f"did not start: {process.stderr.read()}")
    pipes = [one for one in (process.stdout, process.stderr) if one is not None]
    drains = [threading.Thread(target=one.read, daemon=True) for one in pipes]
    for drain in drains:
        drain.start()
    with httpx.Client(base_url=found[0], timeout=30, verify=False) as http:
        until(lambda: _answers(http), bool)
        running = Running(process, root, found[0], http)
        try:
            yield running
        finally:
            if process.poll() is None:
                assert running.stop() == 0
            for drain in drains:
                drain.join(5)
            for one in pipes:
                one.close()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code in (200, 503)
    except httpx.TransportError:
        return False
