"""The loop by itself: turns when they pay, one at a time, whoever makes them and whenever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.when import Arrived, When, when
from bapsim.core.errors import Locked, RecipeError
from bapsim.gather.answers import answers
from bapsim.gather.service import service
from bapsim.serve import release
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.watch import HISTORY, alone, follow, tick
from bapsim.wheel.arrivals import Watched, look
from bapsim.wheel.turn import run_turn
from tests.cli.conftest import said, sentences, write_csv
from tests.wheel.world import History, bank, founded, sentence

PROGRAM = [sys.executable, "-c", "from bapsim.cli import main; main()"]


def served_bank(**rule: Any) -> Any:
    """The bank behind a service, with people who fill in sheets."""
    sources = {
        "history": History(220, 40),
        "served": service("service/", rights="own"),
        "experts": answers("answers/", rights="own"),
    }
    return replace(bank(), sources=sources, checks={}, train=text_linear(cost=1.0), when=when(**rule))


def request(i: int, **more: Any) -> dict[str, Any]:
    at = f"2026-11-22T10:{i // 60 % 60:02d}:{i % 60:02d}.000001+00:00"
    text, label = sentence(i)
    about = {"request": f"r{i}", "at": at, "deployment": "app", "purpose": None, "consent": None}
    return about | {"model": "m", "input": {"text": text}, "prediction": label, "confidence": 0.4} | more


def feedback(i: int, **more: Any) -> dict[str, Any]:
    return {"request": f"r{i}", "at": "2026-11-22T12:00:00.000001+00:00", "deployment": "app", **more}


def log(root: Path, *lines: dict[str, Any], name: str = "app-w0-000001.jsonl") -> None:
    path = root / "inbox" / "service" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def seen(root: Path, recipe: Any, past: Watched) -> Arrived:
    with opened(root, writing=False) as project:
        return look(project, recipe, past)


def fill(sheet: Path, into: Path) -> int:
    """A person fills in every line of a sheet and drops it into the inbox."""
    book = openpyxl.load_workbook(sheet)
    page = book.active
    head = [cell.value for cell in page[1]]
    for row in page.iter_rows(min_row=2):
        text = row[head.index("text")].value
        row[head.index("intent")].value = sentence(int(text.split()[-1]))[1]
    into.parent.mkdir(parents=True, exist_ok=True)
    book.save(into)
    return int(page.max_row) - 1


# ---------------------------------------------------------------- the rule


counts = st.integers(0, 200)
CAME = dict.fromkeys(("answers", "corrections", "errors", "bytes"), counts)


@given(
    st.builds(
        Arrived, answers=counts, corrections=counts, errors=counts, bytes=counts, days=st.floats(0, 20)
    ),
    counts,
)
def test_more_of_anything_never_makes_a_turn_less_worth_it(one: Arrived, more: int) -> None:
    rule = When()
    for name in ("answers", "corrections", "errors", "days", "bytes"):
        other = replace(one, **{name: getattr(one, name) + more})
        assert rule(one) is None or rule(other) is not None
    assert rule(replace(one, bytes=0)) is None, "nothing came: no turn"


def test_each_clause_is_told_by_name() -> None:
    rule, came = when(rest=1), {"bytes": 9, "days": 1.0}
    for clause in ({"answers": 50}, {"corrections": 100}, {"errors": 50}, {"files": 1}, {"drift": 0.3}):
        assert rule(Arrived(**came, **clause)).key == f"pays.{next(iter(clause))}"
    assert rule(Arrived(**came, rare={"fraud": 5, "x": 4})) == ("pays.rare", {"labels": "fraud"})
    assert rule(Arrived(bytes=9, days=8.0)).key == "pays.days"
    assert rule(Arrived(bytes=9, days=0.01, answers=99)) is None, "it rests"
    with pytest.raises(RecipeError, match="when"):
        when(answers=0)


# ---------------------------------------------------------------- what has arrived


def test_only_what_came_since_the_last_turn_counts(tmp_path: Path) -> None:
    root, recipe, past = founded(tmp_path / "p"), served_bank(), Watched()
    log(root, *(request(i) for i in range(5000, 5030)))
    with opened(root) as project:
        run_turn(project, recipe)
    time.sleep(0.01)
    assert seen(root, recipe, past).requests == 0
    log(root, *(request(i) for i in range(5030, 5040)), feedback(5001, correction="card"))
    log(root, feedback(5002, thumbs=-1), feedback(5003, correction="fraud"), name="app-w1-000001.jsonl")
    now = seen(root, recipe, past)
    assert (now.requests, now.unsure, now.corrections, now.errors) == (10, 10, 2, 1)
    assert now.rare == {"fraud": 1}
    with (root / "inbox/service/app-w0-000001.jsonl").open("a") as file:
        file.write('{"request": "half a li')
    assert seen(root, recipe, past).requests == 10
    with (root / "inbox/service/app-w0-000001.jsonl").open("a") as file:
        file.write('ne", "input": {"text": "x"}, "confidence": 0.9}\nno json\n')
    assert seen(root, recipe, past).requests == 11
    with opened(root) as project:  # a person makes the turn by hand
        run_turn(project, recipe)
    assert seen(root, recipe, past).requests == 0
    assert seen(root, recipe, Watched()).requests == 0, "as one that was started anew sees it"


def test_turns_are_made_when_they_pay_and_told_in_a_line(tmp_path: Path) -> None:
    root, recipe, past = founded(tmp_path / "p"), served_bank(answers=20, corrections=10), Watched()
    assert tick(root, recipe, past, "en") is None, "nothing is there yet"
    log(root, *(request(i) for i in range(5000, 5040)))
    first = tick(root, recipe, past, "en")
    assert first is not None
    assert first.sheet is not None
    assert tick(root, recipe, past, "en") is None
    told = fill(first.sheet, root / "inbox" / "answers" / "a.xlsx")
    assert told >= 20
    second = tick(root, recipe, past, "en")
    assert second is not None
    assert f"{told} new answers" in second.line
    log(root, *(feedback(i, by="kim", correction=sentence(i)[1]) for i in range(5000, 5010)))
    third = tick(root, recipe, past, "ko")
    assert third is not None
    assert third.said["serves"] is not None
    assert "정정 10개" in third.line
    lines = (root / "reports" / HISTORY).read_text("utf-8").splitlines()
    assert lines == [first.line, second.line, third.line]
    assert tick(root, recipe, past, "en") is None


def test_drift_makes_a_turn_once(tmp_path: Path) -> None:
    root, recipe, past = founded(tmp_path / "p"), served_bank(), Watched()
    with opened(root) as project:
        version = run_turn(project, recipe)["serves"]
    alike = [request(i, model=version, confidence=0.9) for i in range(6000, 6250)]
    one_kind = [request(i, model=version, prediction="loan", confidence=0.3) for i in range(7000, 8000)]
    log(root, *alike)
    known = seen(root, recipe, past).drift
    assert known is not None
    assert known < 0.25 or tick(root, recipe, past, "en") is not None
    log(
        root,
        *one_kind,
        *(request(i, model=version, prediction="loan", confidence=0.3) for i in range(8000, 8800)),
    )
    made = tick(root, recipe, past, "en")
    assert made is not None
    assert "drifted" in made.line
    again = [request(i, model=made.said["serves"]["version"], prediction="loan") for i in range(9000, 9300)]
    log(root, *again)
    if made.said["serves"]["version"] == version:
        assert tick(root, recipe, past, "en") is None, "the same drift is no news"
        assert tick(root, recipe, Watched(), "en") is None, "nor to one that was started anew"


def test_a_turn_that_cannot_be_made_is_told_and_waits_for_news(tmp_path: Path) -> None:
    root, past = founded(tmp_path / "p"), Watched()
    recipe = replace(served_bank(), sources={"served": service("service/", rights="own")})
    log(root, request(5000))
    made = tick(root, recipe, past, "en")
    assert made is not None
    assert made.said is None
    assert "could not be made" in made.line
    assert tick(root, recipe, past, "en") is None
    assert tick(root, recipe, Watched(), "en") is None, "started anew"


def test_one_watch_and_one_turn_at_a_time(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), served_bank()
    log(root, request(5000))
    with alone(root), pytest.raises(Locked), alone(root):
        pass
    with opened(root):
        assert tick(root, recipe, Watched(), "en") is None, "somebody else writes"


@pytest.mark.parametrize(
    ("verdict", "what"), [("accept", "canary"), ("refuse", "rollback"), ("undecided", "")]
)
def test_a_duel_ends_the_trial_of_the_canary(verdict: str, what: str, tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        version = run_turn(project, served_bank())["serves"]
    follow(root, None)
    release.change(root, "canary", version, "a try", share=0.2)
    follow(root, {"verdict": verdict, "second": "another"})
    assert release.read(root).canary == version
    follow(root, {"verdict": verdict, "second": version})
    now = release.read(root)
    assert (now.canary is None) == bool(what)
    assert now.serves is None, "the ledger names who serves"
    assert now.history[-1].what == (what or "canary")


# ---------------------------------------------------------------- the verb, as a process


def until(holds: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return found


@pytest.fixture
def watched() -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for one in running:
        one.kill()
        one.wait()


def test_killed_and_started_again_it_goes_on(tmp_path: Path, watched: list[subprocess.Popen[str]]) -> None:
    root = tmp_path / "wheel"
    said("new", root, "--from", write_csv(tmp_path / "a.csv", sentences(120, 1)), "--target", "label")
    history = root / "reports" / HISTORY

    def lines() -> list[str]:
        return history.read_text("utf-8").splitlines() if history.exists() else []

    def start(**env: str) -> subprocess.Popen[str]:
        words = [*PROGRAM, "-C", str(root), "watch", "--every", "0.1"]
        one = subprocess.Popen(words, env={**os.environ, **env}, text=True, stdout=subprocess.DEVNULL)
        watched.append(one)
        return one

    assert start(BAPSIM_FAULT="25").wait(60) == -signal.SIGKILL
    assert not lines()
    running = start()
    until(lambda: len(lines()) == 1)
    assert "interrupted" in lines()[0]
    said("-C", root, "watch", code=2)
    recipe = root / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8").replace("budget=200", "budget=7"), "utf-8")
    write_csv(root / "inbox" / "data" / "more.csv", sentences(60, 2))
    until(lambda: len(lines()) == 2)
    assert running.poll() is None, "a changed recipe starts it anew, in the same process"
    running.terminate()
    running.wait(20)
    with opened(root, writing=False) as project:
        assert project.ledger.value("select count(distinct recipe) from turn") == 2, (
            "the turn is the new one's"
        )
    assert said("-C", root, "watch", "--once") == {"turns": []}
    assert said("-C", root, "check")["ok"]
