"""A small project that people could have made: three intents in Korean and English, some rows unlabelled."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bapsim.cli import main

WORDS = {
    "card": ["카드", "분실", "결제", "한도", "재발급", "card", "lost", "block", "limit", "pin"],
    "loan": ["대출", "이자", "상환", "연장", "신청", "loan", "interest", "repay", "term", "mortgage"],
    "account": ["계좌", "이체", "송금", "해지", "잔액", "account", "transfer", "close", "balance"],
}
COMMON = ["please", "문의", "언제", "어떻게", "오늘", "내일", "again", "help", "확인", "부탁"]


def sentences(count: int, seed: int) -> list[dict[str, str]]:
    """Rows of text and label; one word of four belongs to the label."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        label = list(WORDS)[i % 3]
        words = [*rng.choice(WORDS[label], 2), *rng.choice(COMMON, 4), str(rng.integers(10_000))]
        rows.append({"text": " ".join(rng.permutation(words)), "label": label})
    return rows


Run = Callable[..., Any]


def run(*words: object, code: int = 0) -> Result:
    """Type a verb; the exit code is part of what is promised."""
    done = CliRunner().invoke(main, [str(word) for word in words], env={"LC_ALL": "C.UTF-8"})
    assert done.exit_code == code, done.output + done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def said(*words: object, code: int = 0) -> dict[str, Any]:
    """The JSON object that a verb prints."""
    done = run(*words, "--json", code=code)
    assert done.stdout.count("\n") == 1, "one object on one line"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_csv(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        sheet = csv.DictWriter(file, fieldnames=list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    return path


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    labelled = sentences(270, 1)
    return labelled + [{"text": row["text"], "label": ""} for row in sentences(90, 2)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> Path:
    """A project after its first turn."""
    place = tmp_path_factory.mktemp("bank")
    file = write_csv(place / "문의.csv", rows, "cp949")
    run("new", place / "wheel", "--from", file, "--text", "text", "--target", "label")
    run("-C", place / "wheel", "turn")
    return place / "wheel"
