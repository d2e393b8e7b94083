"""Requests go along in one call of the model; what is counted of them is what would be counted one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.serve.batching import MOST, Lane
from bapsim.serve.live import Hour
from bapsim.serve.models import BINS, Expected

share = st.none() | st.floats(0, 1)
rows = st.fixed_dictionaries(
    {
        "prediction": st.sampled_from(["a", "b", None]) | st.just(["a", "b"]),
        "confidence": share,
        "in_scope": share,
    }
)


def test_what_waits_goes_together_and_no_more_than_fits() -> None:
    calls: list[int] = []
    free = threading.Event()

    def answer(parts: Sequence[Any]) -> list[Any]:
        free.wait(10)
        calls.append(len(parts))
        if "bad" in parts:
            raise ValueError("bad")
        return list(parts)

    async def all_of_them() -> list[Any]:
        lane = Lane(answer, "m")
        lane.start()
        first = [lane.ask(i, 32) for i in range(3)]
        await asyncio.sleep(0)
        first.append(lane.ask(3, 32))  # a round of the loop later
        await asyncio.sleep(0.02)
        later = [lane.ask(part, 100) for part in ("a", "bad", "c")]
        gone = lane.ask("gone", 1)
        gone.cancel()
        free.set()
        got = await asyncio.gather(*first, *later, return_exceptions=True)
        while lane.rows:
            await asyncio.sleep(0.01)
        lane.end()
        return [one.said if isinstance(one, tuple) else str(one) for one in got]

    assert asyncio.run(all_of_them()) == [0, 1, 2, 3, "a", "bad", "c"]
    assert calls == [4, 2, 1, 1, 2]  # two of the three fit into one call, and it failed
    assert MOST == 256


@given(st.lists(rows, max_size=20), st.none() | st.floats(0, 1))
def test_counts_of_a_batch_are_those_of_its_rows(some: list[dict[str, Any]], least: float | None) -> None:
    expected = Expected(unsure=least)
    whole, single = Hour(0, "m"), Hour(0, "m")
    whole.add(some, expected)
    for row in some:
        single.add([row], expected)
    assert whole == single
    sure = [row["confidence"] for row in some if row["confidence"] is not None]
    assert whole.rows == len(some)
    assert sum(whole.sure) == len(sure)
    assert whole.sure[BINS - 1] == sum(int(one * BINS) >= BINS - 1 for one in sure)
    assert whole.unsure == sum(least is not None and one < least for one in sure)
    assert sum(whole.mix.values()) == sum(len(expected.names_of(row["prediction"])) for row in some)


@pytest.mark.parametrize(
    "why", [StopIteration(), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()]
)
def test_whatever_a_model_raises_the_next_request_is_answered(why: BaseException) -> None:
    def answer(parts: Sequence[Any]) -> list[Any]:
        if "bad" in parts:
            raise why
        return list(parts)

    async def one_after_another() -> list[Any]:
        lane = Lane(answer, "m")
        lane.start()
        some = [lane.ask(part, 1) for part in ("a", "bad", "c")]
        got = await asyncio.wait_for(asyncio.gather(*some, return_exceptions=True), 10)
        got.append(await asyncio.wait_for(lane.ask("d", 1), 10))
        lane.end()
        return got

    first, bad, second, later = asyncio.run(one_after_another())
    assert [one.said for one in (first, second, later)] == ["a", "c", "d"]
    assert isinstance(bad, RuntimeError)
    assert type(why).__name__ in str(bad)
