"""What verifiers share: a safe way to call one, verdicts on machine-made rows, the audit on people's.

A verifier is a check that may let machine-made rows in. It has `verifies = True`, a plain function
`accepts(asked, answer)` that says True, False, or None where it has nothing to say, and
`mutated(records, turn)`, which audits that function on people's rows (refine.mutation).
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, numbers, strings, take, valid
from bapsim.core.errors import BapsimError
from bapsim.core.records import VERDICT, Records, Rows, Verdicts, rows_of
from bapsim.core.turn import Turn
from bapsim.refine.mutation import LABEL_KINDS, TEXT_KINDS, Audit, Equals, Verify, audit
from bapsim.text.canonical import LONGEST

Asked = str | Mapping[str, Any]  # the prompt, or the row that the answer belongs to
SECONDS = 2.0
ITEMS = 600  # people's rows of one audit: with none fooled the bound is .5 %
_AGAIN = 0.05  # seconds until a verifier that caught the alarm gets it again


class Verifier(Protocol):
    """A check that may admit machine-made rows, as far as its audit allows."""

    verifies: ClassVar[bool]

    def accepts(self, asked: Asked, answer: str) -> bool | None: ...
    def __call__(self, records: Records, turn: Turn) -> Verdicts: ...
    def mutated(self, records: Records, turn: Turn) -> Audit: ...


class _Late(BaseException):
    """Not an Exception: a verifier that catches those goes on for ever."""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A verifier that cannot raise, hang or be flooded: an exception, too long an answer, or no word in time
    is a refusal.

    form: puts answers in canonical form first; seconds: of wall time. A number is a score: only 1 accepts.
    A single call into compiled code is cut short in the main thread alone.
    """

    verify: Callable[[Any, str], Any]
    seconds: float = SECONDS
    longest: int = LONGEST
    form: Callable[[str], str] | None = None

    def __call__(self, asked: Any, answer: str) -> bool | None:
        if len(answer) > self.longest:
            return False
        try:
            said = in_time(self.seconds, self._judged, asked, answer)
        except BapsimError:
            raise  # a part is missing, or the recipe is wrong: that is no opinion about an answer
        except (Exception, SystemExit, _Late):  # noqa: BLE001  whatever somebody's verifier raises
            return False
        return None if said is None else bool(said == 1)

    def _judged(self, asked: Any, answer: str) -> Any:
        return self.verify(asked, answer if self.form is None else self.form(answer))


def in_time(seconds: float, call: Callable[..., Any], *given: Any) -> Any:
    """What a call returns; raises something that is no Exception when it takes longer (wall time)."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _by_alarm(seconds, call, *given)
    return _by_thread(seconds, call, *given)


def _by_alarm(seconds: float, call: Callable[..., Any], *given: Any) -> Any:
    done = False

    def late(number: int, frame: FrameType | None) -> None:
        if not done:
            raise _Late

    before = signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    started = time.monotonic()
    try:
        said = call(*given)
        done = True
        return said
    finally:
        done = True
        again = max(left - (time.monotonic() - started), 1e-3) if left else 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if again:
            signal.setitimer(signal.ITIMER_REAL, again)


def _by_thread(seconds: float, call: Callable[..., Any], *given: Any) -> Any:
    """Outside the main thread no signal arrives: the call has a thread of its own, which is ended when it is
    late. Nothing is ever planted in the thread that waits: it may hold a lock.
    """
    said: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            said.append(call(*given))
        except BaseException as error:  # noqa: BLE001  it is raised again where it was asked for
            raised.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        threading.Thread(target=_end, args=(worker,), daemon=True).start()
        raise _Late
    if raised:
        raise raised[0]
    return said[0]


def _end(worker: threading.Thread) -> None:
    """Plant an exception in a thread until it ends; one that waits in compiled code ends when that does."""
    while worker.is_alive():
        name = ctypes.c_ulong(worker.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(name, ctypes.py_object(_Late))
        worker.join(_AGAIN)


def machine_made(records: Records) -> np.ndarray:
    """bool[n]: rows whose input or target a machine had a hand in."""
    depths = [numbers(records.column(f"_{part}_depth"), 0) for part in ("input", "target")]
    return np.asarray(np.logical_or.reduce([depth > 0 for depth in depths]))


def people_made(records: Records) -> np.ndarray:
    """bool[n]: rows that are known to be a person's, input and target."""
    depths = [numbers(records.column(f"_{part}_depth"), 1) for part in ("input", "target")]
    return np.asarray(np.logical_and.reduce([depth == 0 for depth in depths]))


def answers_of(records: Records, turn: Turn) -> list[str | None]:
    """The target of each row as text, None where it has none."""
    target = turn.task.target
    if target not in records.schema.names:
        return [None] * len(records)
    return strings(records.column(target))


def asked_of(records: Records, turn: Turn) -> list[dict[str, Any]]:
    """Each row as a mapping of its columns without the target, where that is not an input too."""
    kept = [n for n in rows_of(records).schema.names if n != turn.task.target or n in turn.task.inputs]
    return Rows(records.select(kept)).to_pylist() if kept else [{} for _ in range(len(records))]


def prompt(asked: Asked, column: str | None = None) -> str:
    """What was asked as one text: the prompt itself, one column of the row, or all its texts by lines."""
    if isinstance(asked, str):
        return asked
    if column is not None:
        return str(asked.get(column) or "")
    return "\n".join(str(value) for value in asked.values() if isinstance(value, str))


def judged(
    records: Records, turn: Turn, verify: Verify, reason: str, *, seconds: float = SECONDS
) -> Verdicts:
    """Verdicts of a plain verifier on machine-made rows with an answer; no opinion about any other row.

    seconds: of wall time for one answer; what takes longer, or raises, is refused.
    """
    verify = Guarded(verify=verify, seconds=seconds)
    keep: list[bool | None] = [None] * len(records)
    rows = np.flatnonzero(machine_made(records))
    if len(rows):
        part = Records(take(records, rows))
        answers = answers_of(part, turn)
        asked = asked_of(part, turn)
        for row, one, answer in zip(rows.tolist(), asked, answers, strict=True):
            if answer is not None:
                keep[row] = verify(one, answer)
    return opinions(keep, reason)


def opinions(keep: list[bool | None], reason: str) -> Verdicts:
    """Verdicts from True, False and None; the reason stands where a row is refused."""
    columns: list[Column] = [
        pa.array(keep, pa.bool_()),
        pa.array([reason if one is False else None for one in keep], pa.string()),
        *(pa.nulls(len(keep), pa.float32()) for _ in ("value", "limit")),
    ]
    return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def audited(
    records: Records,
    turn: Turn,
    verify: Verify,
    *,
    kinds: Sequence[str] | None = None,
    equals: Equals | None = None,
    most: int = ITEMS,
    seconds: float = SECONDS,
) -> Audit:
    """The mutation audit of a verifier on people's rows with an answer, `most` of them drawn by seed.

    kinds: of mutations; where none are named, classes become other classes, and anything else is changed as
    text.
    """
    verify = Guarded(verify=verify, seconds=seconds)
    rows = np.flatnonzero(people_made(records))
    there = turn.task.target in records.schema.names
    rows = rows[valid(records.column(turn.task.target))[rows]] if there else rows[:0]
    if len(rows) > most:
        rows = np.sort(turn.rng("mutation").choice(rows, most, replace=False))
    part = Records(take(records, rows))
    golds = [str(one) for one in answers_of(part, turn)]
    items = list(zip(asked_of(part, turn), golds, strict=True))
    labels = sorted(set(golds)) if turn.task.answer == "class" else ()
    if kinds is None:
        kinds = LABEL_KINDS if turn.task.answer == "class" else TEXT_KINDS
    return audit(verify, items, seed=turn.seed, kinds=kinds, labels=labels, equals=equals)


@dataclass(frozen=True, kw_only=True)
class VerifiedBy:
    """The verifier `verified_by`: somebody's own function of the row and the answer, guarded.

    equals: says of two answers to a row whether both are right, for the audit.
    """

    verify: Verify
    equals: Equals | None = None
    seconds: float = SECONDS
    reason: str = "not_verified"
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        return Guarded(verify=self.verify, seconds=self.seconds)(asked, answer)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.verify, self.reason, seconds=self.seconds)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        return audited(records, turn, self.verify, equals=self.equals, seconds=self.seconds)


def verified_by(
    verify: Verify, *, equals: Equals | None = None, seconds: float = SECONDS, reason: str = "not_verified"
) -> VerifiedBy:
    """The verifier `VerifiedBy`: `verify(row, answer)` says True, False, or None where it cannot tell.

    It is a function at the top of a module, so that it has an identity; the row is a mapping of its columns.
    """
    return VerifiedBy(verify=verify, equals=equals, seconds=seconds, reason=reason)
