"""One worker's service: rows in, answers out, every request in the log; feedback by request.

Answers come from the lineup as it was when a request began. What fails on a canary, or on a model that has
just taken over, is answered by the model that was proven, so that a trial costs no answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bapsim.core.records import Task
from bapsim.serve import ids
from bapsim.serve.asked import Asked, Columns
from bapsim.serve.batching import Answered
from bapsim.serve.deployment import Deployment
from bapsim.serve.feedback import Feedback
from bapsim.serve.lineup import Lineup, Player, draws_canary
from bapsim.serve.live import Live
from bapsim.serve.log import WAIT, Entry, Line, Log, Picture
from bapsim.serve.metrics import Metrics
from bapsim.serve.refused import Limits, Refused
from bapsim.serve.retention import deleted_upto, is_gone
from bapsim.serve.trial import Trial

PATIENCE = 2.0  # seconds after which a canary's answer is not waited for any more
SHADOWED = 0.25  # seconds that a line of the log waits for the shadow's answer
BEHIND = 512  # rows that may wait for a shadow; more are not asked
DAY = 86400.0
Row = dict[str, Any]


@dataclass(eq=False)
class Service:
    """What a worker holds. undo: tells everyone that a version is rolled back, and why; roles: who is what at
    this moment; retired, untaken: segments that were deleted, and old ones that no turn has taken.
    """

    root: Path
    task: Task
    types: dict[str, str]
    limits: Limits
    deployment: Deployment
    worker: int
    workers: int
    log: Log
    key: bytes
    lineup: Lineup
    live: Live = field(default_factory=Live)
    metrics: Metrics = field(default_factory=Metrics)
    undo: Callable[[str, str], Awaitable[None]] | None = None
    waiting: int = 0
    warnings: dict[str, str] = field(default_factory=dict)
    background: set[asyncio.Task[Any]] = field(default_factory=set)
    roles: dict[str, str | None] = field(default_factory=dict)
    retired: int = 0
    untaken: int = 0

    def __post_init__(self) -> None:
        self.names = ids.issuer(self.key, self.worker)
        self.roles = self.roles or {"serves": self.lineup.serves.version, "canary": None, "shadow": None}

    # ------------------------------------------------------------------ answers

    async def predict(self, asked: Asked, client: str | None) -> list[Row]:
        """What is sent for each row; raises Refused where nothing can be answered now."""
        if self.waiting and self.waiting + asked.count > self.limits.waiting:
            raise Refused(503, "busy", waiting=f"{self.waiting:,}")
        if self.deployment.durable and self.log.refuses is not None:
            raise Refused(503, "log_failing", why=self.log.refuses)
        begun = time.perf_counter()
        names = self.names(asked.count)
        lineup = self.lineup
        self.waiting += asked.count
        try:
            who, got = await self._answer(lineup, asked, client if client is not None else names[0])
        except Exception as why:
            self.live.erred()
            raise Refused(500, "model_failed", why=type(why).__name__) from why
        finally:
            self.waiting -= asked.count
        version = who.version
        sent = [{"request": name, **row, "model": version} for name, row in zip(names, got.said, strict=True)]
        kept = self._log(lineup, who, asked, sent)
        if kept is not None:
            try:
                await asyncio.wrap_future(kept)
            except OSError as why:
                raise Refused(503, "log_failing", why=why.strerror or str(why)) from why
        self.live.answered(time.perf_counter() - begun, asked.count)
        self.live.by_model(version, got.said, who.served.expected)
        return sent

    async def _answer(self, lineup: Lineup, asked: Asked, client: str) -> tuple[Player, Answered]:
        canary = lineup.canary
        if canary is not None and draws_canary(self.key, canary.version, lineup.share, client):
            got = await self._tried(canary, lineup.canary_trial, asked, "canary")
            if got is not None:
                return canary, got
        elif lineup.on_probation and lineup.before is not None:
            got = await self._tried(lineup.serves, lineup.new_trial, asked, "serves")
            return (lineup.serves, got) if got is not None else await self._plainly(lineup.before, asked)
        return await self._plainly(lineup.serves, asked)

    async def _plainly(self, who: Player, asked: Asked) -> tuple[Player, Answered]:
        """The answer of a model that nobody stands in for."""
        try:
            got = await who.lane.ask(asked.columns, asked.count)
        except Exception:
            who.usual.add(0.0, True)
            self.metrics.erred(who.version, "serves")
            raise
        who.usual.add(got.seconds, False)
        self.metrics.answered(who.version, "serves", asked.count, got.seconds)
        return who, got

    async def _tried(self, who: Player, trial: Trial | None, asked: Asked, role: str) -> Answered | None:
        """The answer of a model on trial; None where it fails or takes too long, which counts against it."""
        begun = time.perf_counter()
        try:
            got: Answered | None = await asyncio.wait_for(
                asyncio.shield(quiet(who.lane.ask(asked.columns, asked.count))), PATIENCE
            )
        except Exception:  # noqa: BLE001  whatever it raises, the proven model answers instead
            got = None
        seconds = got.seconds if got is not None else time.perf_counter() - begun
        who.usual.add(seconds, got is None)
        if got is None:
            self.metrics.erred(who.version, role)
            if role == "canary":
                self.live.aside(who.version).failed += 1
        else:
            self.metrics.answered(who.version, role, asked.count, seconds)
            if role == "canary":
                self.live.aside(who.version).answered += asked.count
        why = None if trial is None else trial.add(seconds, got is None)
        if why is not None and self.undo is not None:
            self.later(self.undo(who.version, why))
        return got

    def later(self, work: Awaitable[None]) -> None:
        """Do something beside the requests; `background` holds it until it is done."""

        async def run() -> None:
            await work

        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(run())
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    # ------------------------------------------------------------------ the log

    def _log(self, lineup: Lineup, who: Player, asked: Asked, sent: list[Row]) -> Future[None] | None:
        """Give the lines of a request to the log, now or when the shadow has spoken; under `durable` the
        future of their being on the disk.
        """
        done: Future[None] | None = Future() if self.deployment.durable else None
        entry = self._entry(who, asked, sent, done, canary=who is lineup.canary)
        other = lineup.shadow or (lineup.serves if who is lineup.canary else None)
        if other is None or other is who or not self._may_follow(other, asked.count):
            self.log.put(entry)
        else:
            hidden = other is lineup.shadow
            self.later(self._shadowed(other, asked.columns, sent, entry, hidden=hidden))
        return done

    def _may_follow(self, other: Player, rows: int) -> bool:
        if other.lane.rows + rows <= BEHIND:
            return True
        self.live.aside(other.version).skipped += rows
        return False

    async def _shadowed(
        self, other: Player, columns: Columns, sent: list[Row], entry: Entry, *, hidden: bool
    ) -> None:
        """The lines with what the other model says beside; without, if it does not say so in time. hidden: it
        is a shadow, else the model that serves, beside what a canary said.
        """
        counts = self.live.aside(other.version if hidden else sent[0]["model"])
        try:
            asked = quiet(other.lane.ask(columns, len(sent)))
            got = await asyncio.wait_for(asyncio.shield(asked), SHADOWED)
            for line, mine, row in zip(entry.lines, sent, got.said, strict=True):
                beside = {name: row.get(name) for name in ("prediction", "confidence")}
                line["shadow"] = {"model": other.version, **beside}
                counts.compared += 1
                counts.agreed += same(mine["prediction"], row["prediction"])
            self.metrics.answered(other.version, "shadow", len(sent), got.seconds)
            if hidden:
                self.live.by_model(other.version, got.said, other.served.expected)
        except Exception:  # noqa: BLE001  a shadow may fail as it likes: nobody sees its answers
            counts.failed += 1
            self.metrics.erred(other.version, "shadow")
        self.log.put(entry)

    def _entry(
        self, who: Player, asked: Asked, sent: list[Row], done: Future[None] | None, *, canary: bool
    ) -> Entry:
        at, terms = stamp(), self.deployment
        shared: Line = {"at": at, "deployment": terms.name, "purpose": terms.purpose}
        shared |= {"consent": terms.consent, "model": who.version, "draw": "all"}
        shared |= {"canary": True} if canary else {}
        mask: list[tuple[Line, str]] = []
        pictures: list[Picture] = []
        inputs = _by_row(asked.columns)
        if self.task.kind == "image":
            both = [self._picture(row["request"], cells, at) for row, cells in zip(sent, inputs, strict=True)]
            inputs, pictures = [line for line, _ in both], [picture for _, picture in both]
        else:
            for name, values in asked.columns.items():
                mask += [(cells, name) for cells, v in zip(inputs, values, strict=True) if type(v) is str]
        lines: list[Line] = [
            {
                "request": row["request"],
                "input": cells,
                "prediction": row["prediction"],
                "confidence": row.get("confidence"),
                "in_scope": row.get("in_scope"),
            }
            for row, cells in zip(sent, inputs, strict=True)
        ]
        return Entry(
            lines=lines, shared=shared, done=done, keep=done is not None, mask=mask, pictures=pictures
        )

    def _picture(self, name: str, values: Line, at: str) -> tuple[Line, Picture]:
        from bapsim.serve.pictures import ending_of

        (column,) = self.task.inputs
        body = values[column]
        path = f"pictures/{at[:10].replace('-', '')}/{name}{ending_of(body)}"
        return {column: {"file": path}}, Picture(path=path, body=body, bare=self.deployment.pii == "mask")

    # ------------------------------------------------------------------ feedback

    async def heard(self, said: Feedback) -> None:
        """Keep what a client says of an answer: it is on the disk when this returns. Raises Refused."""
        given = ids.issued(self.key, said.request)
        if given is None:
            raise Refused(404, "unknown_request", "request")
        age, retain = time.time() - given.at, self.deployment.retain
        if retain is not None and age > retain * DAY:
            raise Refused(404, "request_too_old", "request", days=retain)
        if given.at <= deleted_upto(self.root) and await asyncio.to_thread(
            is_gone, self.root, said.request, given
        ):
            raise Refused(404, "request_gone", "request")
        if given.worker != self.worker % 256 and not self.deployment.durable:
            await asyncio.sleep(min(max(WAIT + SHADOWED - age, 0.0), WAIT + SHADOWED))  # its line comes first
        done: Future[None] = Future()
        line = {"request": said.request, "at": stamp(), "deployment": self.deployment.name, **said.line()}
        names = ["comment"] if "comment" in line else []
        self.log.put(Entry(lines=[line], done=done, keep=True, mask=[(line, n) for n in names]))
        try:
            await asyncio.wrap_future(done)
        except OSError as why:
            raise Refused(503, "log_failing", why=why.strerror or str(why)) from why
        self._count(said)

    def _count(self, said: Feedback) -> None:
        kinds = {"lines": True, "corrections": said.correction is not None, "up": said.thumbs == 1}
        kinds |= {"down": said.thumbs == -1, "out_of_scope": bool(said.out_of_scope)}
        for name, there in kinds.items():
            if there:
                self.live.feedback[name] += 1
                self.metrics.heard(name)

    async def drained(self) -> None:
        """Wait until what runs beside requests is done, then close the log."""
        while self.background:
            await asyncio.wait(set(self.background))
        await asyncio.get_running_loop().run_in_executor(None, self.log.close)


def quiet(future: asyncio.Future[Answered]) -> asyncio.Future[Answered]:
    """A future whose failure is seen to, also where nobody waits for it any more."""
    future.add_done_callback(lambda one: one.cancelled() or one.exception())
    return future


def _by_row(columns: Columns) -> list[Line]:
    """Columns as one mapping a row."""
    if len(columns) == 1:
        ((name, values),) = columns.items()
        return [{name: value} for value in values]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def same(a: Any, b: Any) -> bool:
    """Whether two models say the same; numbers to within a hundredth."""
    if isinstance(a, float | int) and isinstance(b, float | int):
        return abs(a - b) <= 0.01 * max(abs(a), abs(b))
    return bool(a == b)


def stamp() -> str:
    """The time of day as lines of the log have it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
