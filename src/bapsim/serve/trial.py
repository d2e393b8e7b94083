"""Whether a model on trial does worse than the one before it: errors and latency, with stated error rates.

Every BLOCK answers of the trial are tested by themselves (what has just begun to fail), and all answers so
far whenever their number has doubled (what fails a little, but always). The k-th test of either kind is at
level ALPHA * 6 / (pi k)^2 / 4 for each of its two questions, so that a sound model is rolled back with a
chance of ALPHA at most, however long it runs. Errors: the exact conditional test of two Poisson rates
(Przyborowski and Wilenski 1940). Latency: of answers slower than a limit made of the other model's 95th
percentile, at most 5 % are expected; one on which the other model is as slow is none (serving).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK = 20  # answers
ALPHA = 0.01
FEWEST = 100  # answers of the other model that say what is usual
SLOWER, PLUS = 2.0, 0.010  # the limit: twice the other's 95th percentile, and .01 s more at least
ERRORS = 3  # a single failure is no rate
REMEMBERED = 2000  # latencies of the other model


def upper_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial variable, exactly."""
    if k <= 0:
        return 1.0
    if p <= 0.0 or k > n:
        return 0.0
    if p >= 1.0:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(n + 1)
    terms = [
        whole - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q
        for i in range(k, n + 1)
    ]
    top = max(terms)
    return min(1.0, math.exp(top) * sum(math.exp(t - top) for t in terms))


def more_errors(errors: int, answers: int, others: int, of_others: int) -> float:
    """The chance of so many errors of `answers`, if the rate is that of `others` errors in `of_others`.

    Where the other model has hardly answered, one error in a hundred is taken for usual.
    """
    if of_others < FEWEST:
        return upper_tail(errors, answers, 0.01)
    return upper_tail(errors, errors + others, answers / (answers + of_others))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def limit_of(usual: Sequence[float]) -> float:
    """Seconds from which an answer is slow, by the other model's latencies."""
    return beyond(percentile(usual, 0.95))


def beyond(seconds: float) -> float:
    """Seconds that are clearly more than these."""
    return max(SLOWER * seconds, seconds + PLUS)


@dataclass(slots=True)
class Tally:
    """Answers, errors among them, and answers that were slow."""

    answers: int = 0
    errors: int = 0
    slow: int = 0

    def add(self, failed: bool, slow: bool) -> None:
        self.answers += 1
        self.errors += failed
        self.slow += slow


@dataclass
class Usual:
    """What the other model does: all answers, errors, and its latest latencies in seconds."""

    answers: int = 0
    errors: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def add(self, seconds: float, failed: bool) -> None:
        self.answers += 1
        self.errors += failed
        if not failed:
            self.seconds.append(seconds)


@dataclass
class Trial:
    """The answers of one model on trial against the usual; share: of ALPHA, where several watch (workers)."""

    usual: Usual
    share: float = 1.0
    block: Tally = field(default_factory=Tally)
    whole: Tally = field(default_factory=Tally)
    blocks: int = 0
    wholes: int = 0
    _next: int = 2 * BLOCK
    _limit: float | None = None

    def slow(self, seconds: float) -> bool:
        """Whether an answer took longer than is usual."""
        if self.block.answers == 0:
            enough = len(self.usual.seconds) >= FEWEST
            self._limit = limit_of(self.usual.seconds) if enough else None
        return self._limit is not None and seconds > self._limit

    def add(self, *, failed: bool, slow: bool) -> str | None:
        """Count an answer; the reason to roll back, or None: a message key's end and its figures."""
        self.block.add(failed, slow)
        self.whole.add(failed, slow)
        if self.block.answers < BLOCK:
            return None
        block, self.block = self.block, Tally()
        self.blocks += 1
        said = self._test(block, self.blocks)
        if said is None and self.whole.answers >= self._next:
            self._next = 2 * self.whole.answers
            self.wholes += 1
            said = self._test(self.whole, self.wholes)
        return said

    def _test(self, seen: Tally, number: int) -> str | None:
        level = ALPHA * self.share * 6 / (math.pi * number) ** 2 / 4
        usual = self.usual
        p = more_errors(seen.errors, seen.answers, usual.errors, usual.answers)
        if seen.errors >= ERRORS and p < level:
            return (
                f"errors: {seen.errors} of {seen.answers} answers, usually {usual.errors} of {usual.answers}"
                f" (p {p:.1g} < {level:.1g})"
            )
        p = upper_tail(seen.slow, seen.answers, 0.05)
        if self._limit is not None and p < level:
            return (
                f"latency: {seen.slow} of {seen.answers} answers took more than {1000 * self._limit:.0f} ms,"
                f" at most 5 % were expected (p {p:.1g} < {level:.1g})"
            )
        return None
