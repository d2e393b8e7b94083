"""Lessons in a process of their own: a room asks what lines change, and goes on; the newest request counts.

The process is spawned, opens the project for reading, prepares a classroom and answers one request at a
time. An effect takes the place of an older one of the same dialogue, whose future is cancelled.
While nobody asks it fits heads that are likely to be needed. It ends with its parent, and is started again if
it was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bapsim.compose.dialogue import Reply, consulted_rows, question_of
from bapsim.core import errors
from bapsim.core.errors import BapsimError, StoreError
from bapsim.core.recipe import Respondent
from bapsim.core.records import Answers, Rows

NICE = 15  # pages come first
IDLE = 0.5  # seconds without a request after which heads are fitted beforehand
WARM = 60.0  # seconds of such fits, at most, until the next request

Line = Mapping[str, Any]
EFFECT = "effect"


class Lessons:
    """The classroom of one project, in a process of its own. Close it, or use it as a context.

    Every method returns a future at once and never waits for the process, so all may be called in an event
    loop (`asyncio.wrap_future`). A future has a BapsimError where the project cannot be prepared, StoreError
    (`lesson_process_died`) where the process was killed; the next request starts another one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._child: Any = None
        self._pipe: Connection | None = None
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()  # requests on their way; None = no more
        self._waiting: dict[int, tuple[str | None, Future[Any]]] = {}  # of an effect: whose it is
        self._number = 0
        self._closed = False

    def __enter__(self) -> Lessons:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def effect(
        self, lines: Sequence[Line], before: Sequence[Line] = (), whose: str = ""
    ) -> Future[dict[str, Any]]:
        """What `lines` change against `before` (`wheel.effect.effect`) as plain values; cancelled as soon as
        another effect of the same dialogue (`whose`) is asked for.
        """
        return self._ask(EFFECT, whose, [dict(line) for line in lines], [dict(line) for line in before])

    def consult(
        self, questions: Sequence[Mapping[str, Any]], minutes: Mapping[str, Any]
    ) -> Future[list[Any]]:
        """What the data says to questions of an interview (kind, about), each as plain values.

        minutes: what the room has on record, see `wheel.consulting.Recorded`.
        """
        return self._ask("consult", [dict(one) for one in questions], dict(minutes))

    def ready(self) -> Future[dict[str, Any]]:
        """The turn, version, rows and classes of the classroom, once it is prepared."""
        return self._ask("ready")

    def renew(self) -> None:
        """Prepare anew at the next request: a turn has ended. What waits is cancelled."""
        with self._lock:
            self._stop()

    def close(self) -> None:
        """End the process; what waits is cancelled."""
        with self._lock:
            self._closed = True
            self._stop()

    def _ask(self, what: str, *arguments: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        with self._lock:
            if self._closed:
                answer.set_exception(StoreError("lesson_process_died"))
                return answer
            if self._pipe is None:
                self._start()
            self._number += 1
            whose = arguments[0] if what == EFFECT else None
            if whose is not None:
                old = [number for number, (other, _) in self._waiting.items() if other == whose]
                for number in old:
                    self._waiting.pop(number)[1].cancel()
            self._waiting[self._number] = whose, answer
            self._out.put((self._number, what, arguments))
        return answer

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._child = spawn.Process(target=serve, args=(theirs, str(self._root)), daemon=True)
        self._child.start()
        theirs.close()
        self._out = queue.SimpleQueue()
        threading.Thread(target=_send, args=(self._pipe, self._out), daemon=True).start()
        threading.Thread(target=self._read, args=(self._pipe, self._child, self._out), daemon=True).start()

    def _stop(self) -> None:
        if self._pipe is not None:
            self._out.put(None)
            self._child.terminate()
        self._pipe = self._child = None
        for _, one in self._waiting.values():
            one.cancel()
        self._waiting.clear()

    def _read(self, pipe: Connection, child: Any, out: queue.SimpleQueue[Any]) -> None:
        """In a thread: hand out what the process answers, until it ends."""
        with suppress(EOFError, OSError):
            while True:
                number, said, error = pipe.recv()
                with self._lock:
                    _, answer = self._waiting.pop(number, (None, None))
                if answer is not None:
                    _settle(answer, said, error)
        child.join()
        out.put(None)
        pipe.close()
        with self._lock:
            if self._pipe is not pipe:  # stopped on purpose, or another one runs by now
                return
            self._pipe = self._child = None
            lost, self._waiting = self._waiting, {}
        for _, one in lost.values():
            _settle(one, None, ("StoreError", "lesson_process_died", {}))


def _send(pipe: Connection, out: queue.SimpleQueue[Any]) -> None:
    """In a thread, for a pipe is full while the process is at a fit, and nobody else may wait for that."""
    with suppress(OSError):  # it died between two requests: the reader tells all who wait
        while (one := out.get()) is not None:
            pipe.send(one)


def _settle(answer: Future[Any], said: Any, error: tuple[str, str, dict[str, Any]] | None) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile
        if error is None:
            answer.set_result(said)
        else:
            kind, key, values = error
            answer.set_exception(getattr(errors, kind)(key, **values))


@dataclass(frozen=True)
class _Consulted:
    lessons: Lessons
    minutes: Mapping[str, Any]
    timeout: float

    def __call__(self, rows: Rows, /) -> Answers:
        asked = [question_of(rows, row) for row in range(len(rows))]
        questions = [{"kind": one.kind, "about": one.about} for one in asked]
        said = self.lessons.consult(questions, self.minutes).result(self.timeout)
        return consulted_rows([Reply(said=one) for one in said])


def consulting(lessons: Lessons, minutes: Mapping[str, Any], timeout: float = 60.0) -> Respondent:
    """The data as a respondent of an interview, asked in its process. It waits for the answer, so a dialogue
    is driven in a thread. Raises TimeoutError.
    """
    return _Consulted(lessons, minutes, timeout)


# --------------------------------------------------------------------------- in the process


def serve(pipe: Connection, root: str) -> None:
    """Answer requests until the other end is closed; what the spawned process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    if hasattr(os, "nice"):
        os.nice(NICE)
    desk = _Desk(pipe, Path(root))
    with suppress(EOFError, OSError):
        while True:
            desk.wait()
            desk.answer(*desk.queue.pop(0))


class _Desk:
    """Requests in the order in which they came; of a dialogue's effects only the newest is left."""

    def __init__(self, pipe: Connection, root: Path) -> None:
        self.pipe, self.root = pipe, root
        self.queue: list[tuple[int, str, tuple[Any, ...]]] = []
        self.room: Any = None
        self.topics: Any = None

    def take(self, timeout: float | None) -> None:
        """Take in what has come within a time (None: until something does)."""
        while self.pipe.poll(timeout):
            one = self.pipe.recv()
            if one[1] == EFFECT:
                self.queue = [other for other in self.queue if not _same_effect(other, one)]
            self.queue.append(one)
            timeout = 0

    def wait(self) -> None:
        """Until there is a request; meanwhile heads are fitted."""
        from bapsim.wheel.lesson import Superseded, warm_up

        self.take(0)
        if not self.queue and self.room is not None:
            self.take(IDLE)
            with suppress(Superseded):
                warm_up(self.room, 0 if self.queue else WARM, self.asked)
        while not self.queue:
            self.take(None)

    def asked(self) -> bool:
        """Whether anything has come."""
        self.take(0)
        return bool(self.queue)

    def newer(self, whose: str) -> bool:
        """Whether another effect of this dialogue is wanted by now; what is no effect is quick, and is
        answered in between.
        """
        self.take(0)
        others = [one for one in self.queue if one[1] != EFFECT]
        self.queue = [one for one in self.queue if one[1] == EFFECT]
        for one in others:
            self.answer(*one)
        return any(arguments[0] == whose for _, _, arguments in self.queue)

    def answer(self, number: int, what: str, arguments: tuple[Any, ...]) -> None:
        """One request."""
        from bapsim.wheel.lesson import Superseded

        try:
            self.pipe.send((number, _ANSWERS[what](self, *arguments), None))
        except Superseded:
            pass
        except BapsimError as error:
            self.pipe.send((number, None, (type(error).__name__, error.key, error.values)))

    def prepared(self) -> Any:
        """The classroom, made at the first request."""
        from bapsim.store.project import opened
        from bapsim.wheel.founding import load_recipe
        from bapsim.wheel.lesson import prepare
        from bapsim.wheel.topics import topics

        if self.room is None:
            with opened(self.root, writing=False) as project:
                self.room = prepare(project, load_recipe(self.root))
            self.topics = topics(self.room)
        return self.room


def _same_effect(one: tuple[int, str, tuple[Any, ...]], other: tuple[int, str, tuple[Any, ...]]) -> bool:
    return one[1] == other[1] == EFFECT and one[2][0] == other[2][0]


def _ready(desk: _Desk) -> dict[str, Any]:
    has = desk.prepared().has
    return {"turn": has.turn, "version": has.version, "rows": len(has.y), "classes": list(has.classes)}


def _effect(desk: _Desk, whose: str, lines: list[Line], before: list[Line]) -> dict[str, Any]:
    from bapsim.wheel.effect import effect

    return effect(desk.prepared(), lines, before, lambda: desk.newer(whose)).json()


def _consult(desk: _Desk, questions: list[Mapping[str, Any]], minutes: Mapping[str, Any]) -> list[Any]:
    from bapsim.wheel.consulting import Recorded, answered

    found: list[Any] = answered(desk.prepared(), desk.topics, Recorded(minutes), questions)
    return found


_ANSWERS: Mapping[str, Callable[..., Any]] = {EFFECT: _effect, "consult": _consult, "ready": _ready}
