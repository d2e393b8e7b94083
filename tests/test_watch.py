"""The loop by itself: turns when they pay, one at a time, whoever makes them and whenever it is killed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.when import Arrived, When, when
from bapsim.core.errors import InputError, Locked, RecipeError
from bapsim.core.records import Draft
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers
from bapsim.gather.service import service
from bapsim.report.facts import facts
from bapsim.report.history import HISTORY, enter, in_one_line
from bapsim.report.words import story
from bapsim.serve import release
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.watch import alone, tick
from bapsim.wheel.arrivals import Watched, look
from bapsim.wheel.attempt import Attempt, keep, last_attempt
from bapsim.wheel.snapshot import inventory, snapshot_of, take_snapshot
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
    again = [feedback(5003, correction="fraud", thumbs=-1), feedback(5002, thumbs=-1)] * 40
    log(root, *again, feedback(5003, correction="theft"), name="app-w1-000001.jsonl")
    now = seen(root, recipe, past)
    assert (now.corrections, now.errors, now.rare) == (2, 2, {"theft": 1}), "one request, however often"
    with (root / "inbox/service/app-w0-000001.jsonl").open("a") as file:
        file.write('{"request": "half a li')
    assert seen(root, recipe, past).requests == 10
    with (root / "inbox/service/app-w0-000001.jsonl").open("a") as file:
        file.write('ne", "input": {"text": "x"}, "confidence": 0.9}\nno json\n')
    assert seen(root, recipe, past).requests == 11
    with opened(root) as project:  # a person makes the turn by hand
        run_turn(project, recipe)
    old = root / "inbox" / "data" / "old.csv"
    for one in (past, Watched()):  # also as one that was started anew sees it
        assert seen(root, recipe, one).bytes == 0
        old.parent.mkdir(exist_ok=True)
        old.write_text("text,intent\n")
        os.utime(old, (1, 1))  # as `cp -p` and `rsync -a` do
        assert seen(root, recipe, one).files == 1
        old.unlink()
    log(root, request(5041), feedback(5001, correction="card"))
    now = seen(root, recipe, past)
    assert (now.requests, now.corrections) == (1, 1), "a segment is read from where that turn left it"
    log(root, *(request(i) for i in range(5050, 5060)), name="app-w2-000001.jsonl")
    assert seen(root, recipe, past).requests == 11
    (root / "inbox/service/app-w2-000001.jsonl").write_text(json.dumps(request(5061)) + "\n")
    assert seen(root, recipe, past).requests == 2, "a shorter one is another one"


def test_a_log_of_another_program_that_grows_is_no_file_that_was_dropped(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), served_bank()
    recipe = replace(recipe, sources={**recipe.sources, "app": service("app/", rights="own")})
    log(root, request(5000), name="../app/log.jsonl")
    with opened(root) as project:
        run_turn(project, recipe)
        project.ledger.db.execute("update turn set started='2999-01-01T00:00:00.000+00:00'")
    log(root, request(5001), name="../app/log.jsonl")
    now = seen(root, recipe, Watched())
    assert (now.files, now.bytes > 0) == (0, True)
    assert When(rest=5)(replace(now, answers=50)), "a clock that was set back holds nothing up"


def test_nothing_is_read_again_while_nothing_came(tmp_path: Path) -> None:
    root, recipe, past = founded(tmp_path / "p"), served_bank(), Watched()
    with opened(root) as project:
        run_turn(project, recipe)
    log(root, *(request(i) for i in range(5000, 5010)))
    assert seen(root, recipe, past).requests == 10
    path = root / "inbox/service/app-w0-000001.jsonl"
    about = path.stat()
    path.write_bytes(b"\n" * about.st_size)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert seen(root, recipe, past).requests == 10


def test_turns_are_made_when_they_pay_and_told_in_a_line(tmp_path: Path) -> None:
    root, recipe, past = founded(tmp_path / "p"), served_bank(answers=20, corrections=10), Watched()
    assert tick(root, recipe, past, "en") is None, "nothing is there yet"
    log(root, *(request(i) for i in range(5000, 5040)))
    first = tick(root, recipe, past, "en")
    assert first is not None
    assert first.sheet is not None
    assert tick(root, recipe, past, "en") is None
    steps = story(first.said, "en", "bapsim").next
    assert any(f"bapsim add {first.sheet}" in step for step in steps), "the sheet that is there already"
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


def test_a_turn_that_cannot_be_begun_is_told_once(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), served_bank()
    log(root, request(5000))
    os.mkfifo(root / "inbox" / "pipe")
    assert dies(root, 9), "before the ledger has its tables"
    made = tick(root, recipe, Watched(), "en")
    assert made is not None
    assert "neither a file nor a folder" in made.line
    assert tick(root, recipe, Watched(), "en") is None
    (root / "inbox" / "pipe").unlink()
    made = tick(root, recipe, Watched(), "en")
    assert made is not None
    assert made.said is not None


@dataclass(frozen=True)
class Clumsy:
    """A step of a user that fails."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        raise KeyError("intent")


def test_a_step_that_fails_ends_the_turn_and_a_recipe_that_was_mended_tries_again(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), served_bank()
    log(root, request(5000))
    made = tick(root, replace(recipe, sources={"clumsy": Clumsy()}), Watched(), "en")
    assert made is not None
    assert "KeyError" in made.line
    assert tick(root, recipe, Watched(), "en") is None
    (root / "recipe.py").write_text("# mended\n")
    reasons = []
    tick(root, recipe, Watched(), "en", lambda _, **said: reasons.append(said.get("reason")))
    assert reasons[0] == "the recipe was changed after turn 1 could not be made"


def test_what_goes_while_the_inbox_is_copied_is_not_there(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    files = [root / "inbox" / f"{i}.csv" for i in range(2000)]
    for file in files:
        file.touch()
    gone = threading.Thread(target=lambda: [file.unlink() for file in files])
    with opened(root) as project:
        gone.start()
        sizes = take_snapshot(project, 1)
        gone.join()
        assert set(sizes) <= {path.name for path in snapshot_of(project, 1).iterdir()}


def test_a_date_alone_is_no_news(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), served_bank()
    file, past = root / "inbox" / "data" / "a.csv", Watched()
    file.parent.mkdir()
    file.write_text("text,label\nwhere is it,card\n")
    with opened(root) as project:
        run_turn(project, recipe)
        for at in (1e9, 2e9):  # as `touch` and `cp -r` leave it
            os.utime(file, (at, at))
            assert look(project, recipe, past).files == look(project, recipe, Watched()).files == 0
        file.write_text("text,label\nwhere is it,cash\n")  # as long as before
        assert look(project, recipe, past).files == 1


@pytest.fixture
def nobodys(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody for whom permissions count, as they do not for root."""
    if os.geteuid():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
        yield Path(place)
        os.seteuid(0)


def test_what_cannot_be_read_is_named(nobodys: Path) -> None:
    root = founded(nobodys / "p")
    file = root / "inbox" / "a.csv"
    file.touch(0)
    with opened(root) as project:
        assert inventory(root / "inbox") == {}
        with pytest.raises(InputError, match=r"a\.csv could not be copied"):
            take_snapshot(project, 1)


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
    release.settle(root, None)
    release.change(root, "canary", version, "a try", share=0.2)
    release.settle(root, {"verdict": verdict, "second": "another"})
    assert release.read(root).canary == version
    release.settle(root, {"verdict": verdict, "second": version})
    now = release.read(root)
    assert (now.canary is None) == bool(what)
    assert now.serves is None, "the ledger names who serves"
    assert now.history[-1].what == (what or "canary")


def test_a_turn_says_that_the_service_is_held_elsewhere(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        first = run_turn(project, served_bank())["serves"]
        report = facts(project, 1)
    for held, here in ((None, False), (first, False), ("another", True)):
        told = [in_one_line(report | {"fixed": held}, "a try", None, "en")]
        told += story(report | {"fixed": held}, "en").sentences
        assert ["stay at another" in one for one in (told[0], " ".join(told[1:]))] == [here, here]
    release.change(root, "switch", first, "by hand")
    assert release.settle(root, None) == first


# ---------------------------------------------------------------- killed between a turn and its telling


STRIDE = 1 if "BAPSIM_KILLS" in os.environ else 2  # steps that differ by a sync only leave the same files


def dies(root: Path, at: int | str) -> bool:
    """A look by a process that dies by signal 9 at a durable step (by number), or when a turn says a word."""
    child = os.fork()
    if not child:
        status, fault._passed = 1, 0
        os.environ["BAPSIM_FAULT"] = str(at)
        try:
            said = lambda step, **_: step == at and os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
            tick(root, served_bank(), Watched(), "en", said)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


@pytest.fixture(scope="module")
def untold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel whose watch died when its turn was done, and a canary that this turn's duel has settled."""
    root = founded(tmp_path_factory.mktemp("untold") / "p")
    log(root, *(request(i) for i in range(5000, 5040)))
    assert dies(root, "done")
    with opened(root) as project:
        version = project.ledger.value("select version from used")
        said = json.loads(project.ledger.value("select decision from turn"))
        shares = dict.fromkeys(("gain", "low", "high", "p_better", "p_worse"), 0.01)
        said["duel"] = {
            "verdict": "accept",
            "items": 9,
            "labels": 9,
            "first": "t000",
            "second": version,
        } | shares
        with project.ledger.change("a duel") as ledger:
            ledger.amend("turn", {"n": 1}, decision=json.dumps(said))
    release.change(root, "canary", version, "a try")
    return root


def test_killed_anywhere_before_a_turn_is_told_it_is_told_once(untold: Path, tmp_path: Path) -> None:
    for step in itertools.count(STRIDE, STRIDE):
        root = tmp_path / str(step)
        shutil.copytree(untold, root)
        if not dies(root, step):
            break
        tick(root, served_bank(), Watched(), "en")
        assert last_attempt(root).told
        (line,) = (root / "reports" / HISTORY).read_text("utf-8").splitlines()
        assert "Turn 1: the first turn → " in line
        assert line.endswith("in questions/turn-001.xlsx.")
        assert (root / "reports/turn-001/index.html").exists()
        assert (root / "questions/turn-001.xlsx").exists()
        assert [one.what for one in release.read(root).history] == ["canary", "canary"]
    assert step > 20
    assert tick(root, served_bank(), Watched(), "en") is None


def test_a_turn_by_hand_in_between_tells_itself(untold: Path, tmp_path: Path) -> None:
    root, recipe = tmp_path / "p", served_bank()
    shutil.copytree(untold, root)
    with opened(root) as project:
        run_turn(project, recipe)
    made = tick(root, recipe, Watched(), "en")
    assert made is not None
    assert (made.turn, made.sheet) == (1, None), "a later turn asks"
    assert tick(root, recipe, Watched(), "en") is None
    assert len((root / "reports" / HISTORY).read_text("utf-8").splitlines()) == 1


def test_a_full_disk_is_waited_for_and_no_line_is_glued_to_half_a_line(untold: Path, tmp_path: Path) -> None:
    root, recipe = tmp_path / "p", served_bank()
    shutil.copytree(untold, root)
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports" / HISTORY).write_text("2026-11-22 10:03  Turn 0: half a li")
    full = root / "reports" / f"{HISTORY}.tmp"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        tick(root, recipe, Watched(), "en")
    full.unlink()
    made = tick(root, recipe, Watched(), "ko")
    assert made is not None
    enter(root, made.line)
    half, line = (root / "reports" / HISTORY).read_text("utf-8").splitlines()
    assert half.endswith("half a li")
    assert line == made.line


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
        with (tmp_path / "said").open("a") as out:
            one = subprocess.Popen(words, env={**os.environ, **env}, text=True, stdout=out)
        watched.append(one)
        return one

    def heard() -> str:
        return (tmp_path / "said").read_text("utf-8")

    def state() -> str:
        with opened(root, writing=False) as project:
            return str(project.ledger.value("select state from turn order by n desc"))

    assert start(BAPSIM_FAULT="27").wait(60) == -signal.SIGKILL
    assert not lines()
    running = start()
    until(lambda: len(lines()) == 1)
    assert "interrupted" in lines()[0]
    again = [*PROGRAM, "-C", str(root), "watch"]
    second = subprocess.run(again, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert said("-C", root, "watch", "--once") == {"turns": []}, "cron finds another one at work"
    recipe = root / "recipe.py"
    text = recipe.read_text("utf-8")
    recipe.write_text(text + "recipe = nothing\n", "utf-8")
    until(lambda: "recipe.py was changed" in heard())
    write_csv(root / "inbox" / "data" / "more.csv", sentences(60, 2))
    until(lambda: len(lines()) == 2)
    recipe.write_text(text.replace("budget=200", "budget=7"), "utf-8")
    until(lambda: heard().count("Watching.") == 3)
    assert heard().count("recipe.py was changed") == 1
    write_csv(root / "inbox" / "data" / "again.csv", sentences(60, 3))
    until(lambda: state() == "open")
    with opened(root, writing=False) as project:
        assert project.ledger.value("select count(distinct recipe) from turn") == 2, (
            "the turn is the new one's"
        )
    running.terminate()
    assert running.wait(20) == -signal.SIGTERM, "a changed recipe starts it anew, in the same process"
    (made,) = said("-C", root, "watch", "--once")["turns"]
    assert made["line"] == lines()[2]
    assert "interrupted" in made["line"]
    assert said("-C", root, "watch", "--once") == {"turns": []}
    assert said("-C", root, "check")["ok"]


@pytest.mark.parametrize(
    "body", ["[" * 100_000, "[]", '{"turn": "x"}', '{"told": false, "line": 5}', '{"new": 1}']
)
def test_a_damaged_note_of_the_last_turn_says_nothing(body: str, tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "watch.json").write_text(body)
    assert last_attempt(tmp_path) == Attempt()
    assert keep(tmp_path, Attempt(turn=2, line="x", told=False)) == last_attempt(tmp_path)
