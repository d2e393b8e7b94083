"""A verifier that raises, hangs or is flooded refuses; it speaks of machine-made rows and no others."""

import contextlib
import re
import signal
import threading
import time
from typing import Any

import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.records import Task
from bapsim.refine.mutation import admits
from bapsim.refine.verifying import (
    Guarded,
    _Late,
    audited,
    in_time,
    judged,
    machine_made,
    people_made,
    prompt,
)
from bapsim.testing import records_of, turn_of
from bapsim.text.canonical import canonical, same

TURN = turn_of(Task(input="question", target="answer"))
ROWS = [{"question": f"{n} + {n}", "answer": str(2 * n)} for n in range(100, 300)]


def sums(asked: Any, answer: str) -> bool:
    one, other = asked["question"].split(" + ")
    return same(answer, str(int(one) + int(other)))


def raises(asked: Any, answer: str) -> bool:
    raise MemoryError


def leaves(asked: Any, answer: str) -> bool:
    raise SystemExit(0)


def loops(asked: Any, answer: str) -> bool:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def backtracks(asked: Any, answer: str) -> bool:
    return re.fullmatch(r"(a+)+b", "a" * 40) is None


@pytest.mark.parametrize("verify", [raises, leaves, loops, backtracks])
def test_trouble_is_a_refusal(verify: Any) -> None:
    started = time.monotonic()
    assert Guarded(verify=verify, seconds=0.1)("q", "a") is False
    assert time.monotonic() - started < 2


def test_a_loop_ends_in_another_thread_too() -> None:
    said: list[Any] = []
    worker = threading.Thread(target=lambda: said.append(Guarded(verify=loops, seconds=0.1)("q", "a")))
    worker.start()
    worker.join(5)
    assert said == [False]


def test_what_is_late_never_strikes_later() -> None:
    for _ in range(30):
        with contextlib.suppress(_Late):
            in_time(0.001, lambda: time.sleep(0.001))
        time.sleep(0.002)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_another_timer_goes_on() -> None:
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert in_time(1, lambda: 7) == 7
        time.sleep(0.1)
        assert rang == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_score_below_one_does_not_accept() -> None:
    for score, said in (
        (1.0, True),
        (0.99, False),
        (float("nan"), False),
        (True, True),
        (2, False),
        (None, None),
    ):
        assert Guarded(verify=lambda asked, answer, score=score: score)("q", "a") is said
    assert Guarded(verify=lambda asked, answer: "yes")("q", "a") is False


def test_too_long_an_answer_is_not_looked_at() -> None:
    seen: list[str] = []
    guarded = Guarded(verify=lambda asked, answer: seen.append(answer) or True, longest=10, form=canonical)
    assert guarded("q", "x" * 11) is False
    assert guarded("q", " 5.0 ") is True
    assert seen == ["5"]


def test_a_recipe_that_is_wrong_is_no_opinion() -> None:
    def broken(asked: Any, answer: str) -> bool:
        raise RecipeError("rules_least", least=2)

    with pytest.raises(RecipeError):
        Guarded(verify=broken)("q", "a")


def test_machines_rows_are_judged_and_no_others() -> None:
    rows = [*ROWS[:2], {"question": "1 + 1", "answer": None}, {"question": "2 + 2", "answer": "5"}]
    machine = records_of(rows, maker="machine")
    said = judged(machine, TURN, sums, "wrong_answer")
    assert said.column("keep").to_pylist() == [True, True, None, False]
    assert said.column("reason").to_pylist() == [None, None, None, "wrong_answer"]
    for maker in ("person", "unknown"):
        others = records_of(rows, maker=maker)
        assert judged(others, TURN, sums, "wrong_answer").column("keep").to_pylist() == [None] * 4
        assert not machine_made(others).any()
    assert not people_made(records_of(rows, maker="unknown")).any()
    assert people_made(records_of(rows)).all()


def test_an_audit_reads_people_s_rows_alone() -> None:
    assert admits(audited(records_of(ROWS), TURN, sums))
    assert audited(records_of(ROWS, maker="machine"), TURN, sums).gold == 0
    assert audited(records_of([{"question": "1 + 1"}]), TURN, sums).gold == 0
    assert audited(records_of(ROWS), TURN, sums, most=50).gold == 50


def test_classes_are_mutated_to_classes() -> None:
    rows = [{"question": f"{n}", "answer": "even" if n % 2 == 0 else "odd"} for n in range(300)]
    said = audited(
        records_of(rows), TURN, lambda asked, answer: answer != "odd" or int(asked["question"]) % 2 == 1
    )
    assert [kind.name for kind in said.kinds] == ["label"]
    assert not admits(said)  # it lets "even" pass anywhere


def test_a_prompt_is_text_or_a_row() -> None:
    assert prompt("hello") == "hello"
    assert prompt({"a": "x", "b": 3, "c": None}) == "x"
    assert prompt({"a": "x", "b": 3, "c": None}, "b") == "3"
    assert prompt({"a": "x"}, "missing") == ""
