"""Requests in flight are answered together: one call of the model in its own thread, as soon as it is free.

Nobody waits for company that may not come: what has arrived by the time the thread is free forms the next
batch, also where its bytes lie in a socket still, so that batches grow by themselves with the load. A call of
the model costs by the call and by the row: two requests of 32 rows together cost a quarter less than apart.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Answer = Callable[
    [Sequence[Any]], list[Any]
]  # requests in, for each what it is answered; an Exception is one

MOST = 256  # rows in one call of the model, but for a request that has more
LOOKS = 4  # rounds of the event loop before a call: in two of them bytes in a socket become rows that ask


class Answered(NamedTuple):
    """What a request is answered, and how many seconds it took in the queue and in the model."""

    said: Any
    seconds: float


@dataclass(slots=True)
class _Waiting:
    part: Any
    rows: int
    future: asyncio.Future[Answered]
    since: float


@dataclass
class Lane:
    """The queue and the thread of one model. rows: that wait or are being answered."""

    answer: Answer
    name: str
    rows: int = 0
    calls: int = 0
    _pending: list[_Waiting] = field(default_factory=list)
    _busy: bool = False
    _queue: queue.SimpleQueue[list[_Waiting] | None] = field(default_factory=queue.SimpleQueue)
    _loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=f"model {self.name}", daemon=True).start()

    def ask(self, part: Any, rows: int) -> asyncio.Future[Answered]:
        """The answer to a request to come; fails with what the model raised for it."""
        assert self._loop is not None  # noqa: S101  `start` was called
        one = _Waiting(part, rows, self._loop.create_future(), time.perf_counter())
        self.rows += rows
        self._pending.append(one)
        if not self._busy:
            self._busy = True
            self._gather(LOOKS)
        return one.future

    def end(self) -> None:
        """No more requests; the thread ends when it has answered what there is."""
        self._queue.put(None)

    def _gather(self, looks: int) -> None:
        """Call the model as soon as the loop has looked so many times for what goes along."""
        assert self._loop is not None  # noqa: S101
        if looks:
            self._loop.call_soon(self._gather, looks - 1)
        else:
            self._dispatch()

    def _dispatch(self) -> None:
        rows = taken = 0
        for one in self._pending:
            if taken and rows + one.rows > MOST:
                break
            rows, taken = rows + one.rows, taken + 1
        some, self._pending = self._pending[:taken], self._pending[taken:]
        self._queue.put(some)

    def _done(self, some: list[_Waiting], said: list[Any]) -> None:
        self.calls += 1
        end = time.perf_counter()
        for one, answer in zip(some, said, strict=True):
            self.rows -= one.rows
            if one.future.done():  # whoever asked went away
                continue
            if isinstance(answer, BaseException):
                one.future.set_exception(answer)
            else:
                one.future.set_result(Answered(answer, end - one.since))
        self._busy = bool(self._pending)
        if self._busy:
            self._gather(LOOKS)

    def _run(self) -> None:
        while (some := self._queue.get()) is not None:
            said = answered(self.answer, [one.part for one in some])
            assert self._loop is not None  # noqa: S101
            try:
                self._loop.call_soon_threadsafe(self._done, some, said)
            except RuntimeError:  # the loop is closed: nobody is there to be told
                return


def answered(answer: Answer, parts: Sequence[Any]) -> list[Any]:
    """The answers of one call; where it fails, of one call for each, so that one request spoils no other."""
    try:
        said = answer(parts)
        if len(said) != len(parts):
            raise ValueError(f"{len(said)} answers to {len(parts)} requests")
        return said
    except BaseException as why:  # noqa: BLE001  a model of the user's may raise anything, in a thread of ours
        if len(parts) == 1:
            plain = isinstance(why, Exception) and not isinstance(why, StopIteration)  # no future takes that
            return [why if plain else RuntimeError(f"{type(why).__name__}: {why}")]
    return [answered(answer, [part])[0] for part in parts]
