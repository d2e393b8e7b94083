"""The loop with real processes: a service, its log, late corrections, an expert, and `bapsim watch`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bapsim.client import Client
from bapsim.core.errors import BapsimError
from tests.cli.conftest import said, sentences, write_csv

PROGRAM = [sys.executable, "-c", "from bapsim.cli import main; main()"]
RULE = "from bapsim.compose.when import when\n"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for one in running:
        one.send_signal(signal.SIGTERM)
    for one in running:
        one.wait(30)


def until(holds: Any, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def fill(sheet: Path, into: Path, truth: dict[str, str]) -> None:
    """An expert, who knows all three intents."""
    book = openpyxl.load_workbook(sheet)
    page = book.active
    head = [cell.value for cell in page[1]]
    for row in page.iter_rows(min_row=2):
        row[head.index("label")].value = truth[row[head.index("text")].value]
    book.save(into.with_suffix(".tmp"))
    into.with_suffix(".tmp").rename(into)


def up(client: Client) -> bool:
    try:
        return bool(client.health())
    except BapsimError:
        return False


def test_a_class_that_was_missing_is_learnt_from_the_service_by_itself(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    root, rows = tmp_path / "bank", sentences(240, 1)
    said(
        *("new", root, "--text", "text", "--target", "label", "--from"),
        write_csv(tmp_path / "a.csv", [row for row in rows if row["label"] != "account"]),
    )
    recipe = root / "recipe.py"
    text = recipe.read_text("utf-8").replace(
        "exam=exam(),", "exam=exam(), when=when(answers=40, corrections=30),"
    )
    title, rest = text.replace("budget=200", "budget=80").split("\n\n", 1)
    recipe.write_text(f"{title}\n\n{RULE}{rest}", "utf-8")
    history = root / "reports" / "history.txt"

    def lines() -> list[str]:
        return history.read_text("utf-8").splitlines() if history.exists() else []

    def start(*words: str) -> None:
        with (tmp_path / f"{words[0]}.out").open("wb") as out:
            command = [*PROGRAM, "-C", str(root), *words]
            processes.append(subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ}))

    start("watch", "--every", "0.2")
    until(lambda: len(lines()) == 1)
    port = free_port()
    start("serve", "--port", str(port), "--rights", "own", "--purpose", "to answer better")
    stream = sentences(500, 2)
    truth = {row["text"]: row["label"] for row in [*rows, *stream]}
    with Client(f"http://127.0.0.1:{port}") as client:
        until(lambda: up(client))
        first = client.predict(text=stream[0]["text"])
        answers = client.predict(rows=[{"text": row["text"]} for row in stream[:300]])
        assert {one.prediction for one in answers} == {"card", "loan"}, "nobody has told it of accounts"
        for one, row in list(zip(answers, stream, strict=False))[:36]:
            client.feedback(one.request, correction=row["label"], by="desk-1")
        until(lambda: len(lines()) == 2)
        sheet = until(lambda: next(iter(sorted(root.glob("questions/turn-002.xlsx"))), None))
        fill(sheet, root / "inbox" / "answers" / "two.xlsx", truth)
        until(lambda: len(lines()) == 3)
        client.predict(rows=[{"text": row["text"]} for row in stream[300:]])

        def switched() -> bool:
            return client.predict(text=stream[0]["text"]).model != first.model

        until(switched)
        later = client.predict(rows=[{"text": row["text"]} for row in sentences(90, 3)])
        right = [one.prediction == row["label"] for one, row in zip(later, sentences(90, 3), strict=True)]
        assert sum(right) >= 75
        assert sum(one.prediction == "account" for one in later) >= 20
    told = json.loads((root / "reports" / "turn-003" / "report.json").read_text("utf-8"))
    (market,) = [one for one in told["market"] if one["version"] == first.model]
    assert market["spoke"] == 36
    assert 0.5 < market["share"] < 0.8, "a third of the requests were about accounts"
    assert said("-C", root, "check")["ok"]
