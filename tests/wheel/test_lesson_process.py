"""Lessons in a process of their own: the newest request counts, nobody waits, a killed one is replaced."""

import asyncio
import os
import signal
import time
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from bapsim.compose.dialogue import advance
from bapsim.compose.interview import interview
from bapsim.core.errors import BapsimError, StoreError
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.lesson_process import Lessons, consulting
from tests.compose.test_interview import Memory
from tests.wheel.world import founded, turns

RECIPE = """
import sys
sys.path.insert(0, {root!r})
from tests.wheel.world import History, bank
recipe = bank(sources={{"history": History(220, 60)}})
"""


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    place = founded(tmp_path_factory.mktemp("lessons") / "bank")
    home = os.fspath(Path(__file__).resolve().parents[2])
    (place / "recipe.py").write_text(RECIPE.format(root=home))
    turns(place, load_recipe(place), 1)
    with Lessons(place) as found:
        yield found


def example(i):
    said = {"text": f"송금 한도 {i} 알려 주세요"}
    return {"id": f"e{i}", "kind": "example", "input": said, "target": "transfer"}


def test_it_answers_and_the_newest_request_counts(lessons):
    assert lessons.ready().result(60)["classes"] == ["card", "loan", "login", "transfer"]
    first = lessons.effect([example(0)]).result(60)
    assert first["rows"] > 100
    assert first == lessons.effect([example(0)]).result(60)
    futures = [lessons.effect([example(k) for k in range(n)]) for n in range(1, 12)]
    assert futures[-1].result(60)["rows"] > 100
    for one in futures[:-1]:
        with pytest.raises(CancelledError):
            one.result(1)


def test_a_dialogue_asks_its_data_there(lessons):
    question, _ = advance("d", interview(), Memory(), consulting(lessons, {}))
    assert question is None or question.kind == "choose"
    minutes = {"guideline": {"card": ["글", 3]}}
    asked = [{"kind": "guide", "about": {"label": "card"}}, {"kind": "odd"}]
    assert lessons.consult(asked, minutes).result(60) == [{"text": "글", "version": 3}, {}]


def test_an_event_loop_goes_on_meanwhile(lessons):
    async def story():
        beats, longest = 0, 0.0
        asked = asyncio.wrap_future(lessons.effect([example(k) for k in range(30)]))
        while not asked.done():
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            beats, longest = beats + 1, max(longest, time.perf_counter() - started)
        return (await asked)["rows"], beats, longest

    rows, beats, longest = asyncio.run(story())
    assert rows > 100
    assert beats > 1
    assert longest < 0.5


def test_a_killed_process_is_replaced_and_a_closed_one_ends(lessons):
    os.kill(lessons._child.pid, signal.SIGKILL)
    lost = lessons.effect([example(99)])
    error = lost.exception(60)  # None: it went to the process that took over
    assert error is None or getattr(error, "key", "") == "lesson_process_died"
    assert lessons.effect([example(1)]).result(60)["rows"] > 100
    child = lessons._child
    waits = lessons.ready()
    lessons.renew()
    assert waits.cancelled() or waits.done()
    until = time.monotonic() + 10  # the thread that reads waits for it, too, and one of both is told
    while child.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    assert not child.is_alive()
    lessons.close()
    with pytest.raises(StoreError):
        lessons.effect([]).result(1)


def test_a_project_that_cannot_be_prepared_says_why(tmp_path):
    with Lessons(founded(tmp_path / "empty")) as lessons:
        asked = lessons.ready()
        with pytest.raises(BapsimError) as why:
            asked.result(60)
    assert why.value.key == "no_turn_yet"
