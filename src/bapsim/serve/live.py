"""What one worker has seen: counters, and rolling figures of the last minutes and hours, as plain JSON.

Written to `service/live-<deployment>-w<worker>.json` each second, so that every process can add up what all
workers saw; `together` does.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bapsim.serve.models import BINS, Expected

FIRST, STEP, BOUNDS = 0.0005, 1.2, 64  # seconds: upper bounds of latencies, each a fifth above the last
MINUTES = 60  # that are remembered of the traffic
LATELY = 10  # of them count for latencies
HOURS = 24  # that are remembered of what was answered
Json = dict[str, Any]


def bucket(seconds: float) -> int:
    """The place of a latency among the bounds."""
    if seconds <= FIRST:
        return 0
    return min(math.ceil(math.log(seconds / FIRST) / math.log(STEP)), BOUNDS - 1)


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds that this share of latencies did not exceed, to within a tenth; None without any."""
    total, seen = sum(counts), 0.0
    if not total:
        return None
    for i, count in enumerate(counts):
        if count and seen + count >= share * total:
            low = FIRST * STEP ** (i - 1) if i else 0.0
            return low + (FIRST * STEP**i - low) * max(share * total - seen, 0) / count
        seen += count
    return FIRST * STEP ** (BOUNDS - 1)


@dataclass
class Minute:
    """The traffic of one minute since 1970."""

    at: int
    requests: int = 0
    rows: int = 0
    failed: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * BOUNDS)


@dataclass
class Hour:
    """What one version answered in one hour since 1970."""

    at: int
    version: str
    rows: int = 0
    mix: Counter[str] = field(default_factory=Counter)
    sure: list[int] = field(default_factory=lambda: [0] * BINS)
    unsure: int = 0
    far: int = 0
    scoped: int = 0

    def add(self, rows: Sequence[Mapping[str, Any]], expected: Expected) -> None:
        said = [row["prediction"] for row in rows]
        if set(map(type, said)) <= {str}:
            self.mix.update(said)
        else:
            self.mix.update(name for one in said for name in expected.names_of(one))
        self.rows += len(said)
        sure = [s for row in rows if (s := row.get("confidence")) is not None]
        for one in sure:
            self.sure[min(int(one * BINS), BINS - 1)] += 1
        least = expected.unsure
        self.unsure += 0 if least is None else sum([one < least for one in sure])
        scopes = [s for row in rows if (s := row.get("in_scope")) is not None]
        self.scoped += len(scopes)
        self.far += sum([one < 0.5 for one in scopes])


@dataclass
class Beside:
    """A model beside the one that serves: how often both said the same, it failed, or was not asked."""

    compared: int = 0
    agreed: int = 0
    failed: int = 0
    skipped: int = 0
    answered: int = 0


@dataclass
class Live:
    """Everything that is counted in a worker; all of it from its one event loop."""

    since: float = field(default_factory=time.time)
    requests: int = 0
    rows: int = 0
    failed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    feedback: Counter[str] = field(default_factory=Counter)
    minutes: deque[Minute] = field(default_factory=lambda: deque(maxlen=MINUTES))
    hours: deque[Hour] = field(default_factory=lambda: deque(maxlen=200))
    beside: dict[str, Beside] = field(default_factory=dict)

    def minute(self) -> Minute:
        """The minute of now."""
        at = int(time.time() // 60)
        if not self.minutes or self.minutes[-1].at != at:
            self.minutes.append(Minute(at))
        return self.minutes[-1]

    def hour(self, version: str) -> Hour:
        """The hour of now of a version."""
        at = int(time.time() // 3600)
        for one in reversed(self.hours):
            if one.at == at and one.version == version:
                return one
        self.hours.append(Hour(at, version))
        return self.hours[-1]

    def answered(self, seconds: float, rows: int) -> None:
        """A request that was answered, by how long it took."""
        self.requests += 1
        self.rows += rows
        minute = self.minute()
        minute.requests += 1
        minute.rows += rows
        minute.latency[bucket(seconds)] += 1

    def by_model(self, version: str, said: Sequence[Mapping[str, Any]], expected: Expected) -> None:
        """The answers that a model gave."""
        self.hour(version).add(said, expected)

    def erred(self) -> None:
        """A request that no model answered."""
        self.failed += 1
        self.minute().failed += 1

    def aside(self, version: str) -> Beside:
        """The counters of a model that runs beside."""
        return self.beside.setdefault(version, Beside())

    def json(self) -> Json:
        """All of it, for `together`."""
        first = int(time.time() // 3600) - HOURS
        return {
            "since": self.since,
            "at": time.time(),
            "requests": self.requests,
            "rows": self.rows,
            "failed": self.failed,
            "refused": dict(self.refused),
            "feedback": dict(self.feedback),
            "minutes": [vars(one) for one in self.minutes],
            "hours": [{**vars(one), "mix": dict(one.mix)} for one in self.hours if one.at > first],
            "beside": {version: vars(one) for version, one in self.beside.items()},
        }


def together(parts: Sequence[Json], now: float) -> Json:
    """What all workers saw: sums, minutes by minute, versions by version."""
    minutes: dict[int, Minute] = {}
    versions: dict[str, Hour] = {}
    beside: dict[str, Counter[str]] = {}
    for part in parts:
        for said in part["minutes"]:
            one = minutes.setdefault(said["at"], Minute(said["at"]))
            one.requests += said["requests"]
            one.rows += said["rows"]
            one.failed += said["failed"]
            one.latency = [a + b for a, b in zip(one.latency, said["latency"], strict=True)]
        for said in part["hours"]:
            _merge(versions.setdefault(said["version"], Hour(0, said["version"])), said)
        for version, counts in part["beside"].items():
            beside.setdefault(version, Counter()).update(counts)
    last = int(now // 60)
    recent = [one for at, one in minutes.items() if at > last - LATELY]
    latency = [sum(column) for column in zip(*(one.latency for one in recent), strict=True)] or [0] * BOUNDS
    begun = min((part["since"] for part in parts), default=now)
    span = min(max(now - begun, 1.0), 60.0)
    whole = [minutes.get(last - i) for i in (1, 0)]
    return {
        "since": begun,
        **{name: sum(part[name] for part in parts) for name in ("requests", "rows", "failed")},
        "refused": dict(_sum(part["refused"] for part in parts)),
        "feedback": dict(_sum(part["feedback"] for part in parts)),
        "rows_a_second": _rate(whole, now, span),
        "latency": {f"p{q}": quantile(latency, q / 100) for q in (50, 95, 99)},
        "traffic": [_traffic(minutes, at) for at in range(last - MINUTES + 1, last + 1)],
        "versions": {v: {**vars(one), "mix": dict(one.mix)} for v, one in versions.items()},
        "beside": {version: dict(counts) for version, counts in beside.items()},
    }


def _traffic(minutes: Mapping[int, Minute], at: int) -> Json:
    one = minutes.get(at, Minute(at))
    return {"at": at, "requests": one.requests, "rows": one.rows}


def _rate(pair: list[Minute | None], now: float, span: float) -> float:
    """Rows a second over about the last minute: all of this minute, and the part of the last that belongs."""
    before, this = (0 if one is None else one.rows for one in pair)
    return (this + before * (1 - now % 60 / 60)) / span


def _merge(one: Hour, said: Json) -> None:
    for name in ("rows", "unsure", "far", "scoped"):
        setattr(one, name, getattr(one, name) + said[name])
    one.mix.update(said["mix"])
    one.sure = [a + b for a, b in zip(one.sure, said["sure"], strict=True)]


def _sum(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    whole: Counter[str] = Counter()
    for part in parts:
        whole.update(part)
    return whole
