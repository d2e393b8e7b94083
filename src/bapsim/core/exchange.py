"""Dialogues without I/O, and the drivers that survive a crash.

An exchange is a generator that yields questions and is sent answers. A driver asks a respondent and keeps
each answer on a tape: after a crash taped answers are replayed, never asked (or paid for) again. An intent
is written before anything is asked, so that a kill can repeat at most the requests in flight, each of
which is reported as in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from bapsim.core.arrow import cells, concat, take
from bapsim.core.errors import ExchangeError, Spent, Waiting
from bapsim.core.fingerprint import digest
from bapsim.core.recipe import Exchange, Respondent
from bapsim.core.records import Answers, Rows

T = TypeVar("T")


class Tape(Protocol):
    """Where questions and answers are kept, by dialogue key and step."""

    def recall(self, key: str, step: int) -> tuple[str, Answers] | None:
        """The question's fingerprint and its answers, if they were taped."""

    def intend(self, key: str, step: int, asked: str) -> None:
        """Write down that a question is about to be asked."""

    def withdraw(self, key: str, step: int) -> None:
        """Take an intent back: nothing was asked after all, or people have not answered yet."""

    def keep(self, key: str, step: int, asked: str, got: Answers) -> None:
        """Tape the answers of a question."""


def asked_fingerprint(asks: Rows) -> str:
    """The identity of a question: its canonical rows."""
    offsets, body = cells(asks)
    return digest(offsets.tobytes() + bytes(body))


@dataclass
class _Live:
    """One exchange in progress: the step it is at, the questions it waits for, or its result."""

    step: int = 0
    asks: Rows | None = None
    result: object = None


def converse(key: str, exchange: Exchange[T], respondent: Respondent, tape: Tape) -> T:
    """Drive one exchange to its end.

    Raises Waiting when people have not answered yet (nothing is lost), ExchangeError when a question
    changed since it was answered or when answers do not fit.
    """
    return converse_all({key: exchange}, respondent, tape)[key]


def converse_all(exchanges: Mapping[str, Exchange[T]], respondent: Respondent, tape: Tape) -> dict[str, T]:
    """Drive many exchanges in lock-step: one call of the respondent for all questions of a round.

    A model call costs about 900 us a row at batch 1 and 16 us at batch 770, so hundreds of games or
    dialogues are asked together. Questions of one round must have one schema.
    """
    live = {key: _Live() for key in exchanges}
    for key, exchange in exchanges.items():
        _advance(exchange, live[key], None)
    while open_now := [key for key, one in live.items() if one.asks is not None]:
        fresh: list[str] = []
        for key in open_now:
            if not _replay(key, exchanges[key], live[key], tape):
                fresh.append(key)
        if fresh:
            _ask(fresh, exchanges, live, respondent, tape)
    return {key: live[key].result for key in exchanges}  # type: ignore[misc]


def _advance(exchange: Exchange[T], one: _Live, answers: Answers | None) -> None:
    """Send answers (None starts it) and note the next questions or the result."""
    try:
        one.asks = next(exchange) if answers is None else exchange.send(answers)
    except StopIteration as end:
        one.asks, one.result = None, end.value


def _replay(key: str, exchange: Exchange[T], one: _Live, tape: Tape) -> bool:
    """Answer from the tape if it has this step; false if somebody must be asked."""
    assert one.asks is not None  # noqa: S101  a live exchange has questions
    taped = tape.recall(key, one.step)
    if taped is None:
        return False
    if taped[0] != asked_fingerprint(one.asks):
        raise ExchangeError("question_changed", key=key, step=one.step)
    one.step += 1
    _advance(exchange, one, taped[1])
    return True


def _ask(
    keys: list[str],
    exchanges: Mapping[str, Exchange[T]],
    live: dict[str, _Live],
    respondent: Respondent,
    tape: Tape,
) -> None:
    asks = [one for key in keys if (one := live[key].asks) is not None]
    prints = [asked_fingerprint(one) for one in asks]
    for key, asked in zip(keys, prints, strict=True):
        tape.intend(key, live[key].step, asked)
    whole = Rows(concat(asks))
    try:
        got = respondent(whole)
    except (Waiting, Spent):  # neither leaves a doubt about what was paid
        for key in keys:
            tape.withdraw(key, live[key].step)
        raise
    if len(got) != len(whole):
        raise ExchangeError("answers_do_not_fit", asked=len(whole), answered=len(got))
    ends = np.cumsum([len(one) for one in asks])
    for key, asked, part, end in zip(keys, prints, asks, ends, strict=True):
        mine = Answers(take(got, np.arange(end - len(part), end)))
        tape.keep(key, live[key].step, asked, mine)
        live[key].step += 1
        _advance(exchanges[key], live[key], mine)
