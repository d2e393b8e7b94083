"""One worker's service: rows in, answers out, every request in the log; feedback by request.

Answers come from the lineup as it was when a request began. What fails on a canary, or on a model that has
just taken over, is answered by the model that was proven, so that a trial costs no answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

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
from bapsim.serve.trial import Trial, beyond

PATIENCE = 2.0  # seconds after which a canary's answer is not waited for any more
ROWS, LETTERS, OCTETS = 64, 20_000, 4 << 20  # of a request that is tried on a new model at most
SHADOWED = 0.25  # seconds that a line of the log waits for the shadow's answer
BEHIND = 512  # rows that may wait for a shadow; more are not asked
DAY = 86400.0
Row = dict[str, Any]


class Try(NamedTuple):
    """A model on trial for a request: who stands by, what counts it, and what it plays."""

    who: Player
    proven: Player
    trial: Trial | None
    role: str


def is_large(asked: Asked) -> bool:
    """Whether how long a request takes says more of the request than of a model."""
    cells = [cell for values in asked.columns.values() for cell in values]
    letters = sum(len(cell) for cell in cells if isinstance(cell, str))
    octets = sum(len(cell) for cell in cells if isinstance(cell, bytes))
    return asked.count > ROWS or letters > LETTERS or octets > OCTETS


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
            return await self._tried(Try(canary, lineup.serves, lineup.canary_trial, "canary"), asked)
        if lineup.on_probation and lineup.before is not None:
            return await self._tried(Try(lineup.serves, lineup.before, lineup.new_trial, "serves"), asked)
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

    async def _tried(self, one: Try, asked: Asked) -> tuple[Player, Answered]:
        """The answer of a model on trial, or of the proven one: where the first fails or is too late (which
        counts against it); of a large request see `_large`.
        """
        if is_large(asked):
            return await self._large(one, asked)
        late, begun = False, time.perf_counter()
        try:
            got = await asyncio.wait_for(
                asyncio.shield(quiet(one.who.lane.ask(asked.columns, asked.count))), PATIENCE
            )
        except Exception as why:  # noqa: BLE001  whatever it raises, the proven model answers instead
            late = isinstance(why, TimeoutError) and time.perf_counter() - begun >= PATIENCE
        else:
            if one.trial is not None and one.trial.slow(got.seconds) and not one.who.large:
                self.later(self._slow(one, asked, got.seconds))
            else:
                self._counted(one, got.seconds)
            self.metrics.answered(one.who.version, one.role, asked.count, got.seconds)
            if one.role == "canary":
                self.live.aside(one.who.version).answered += asked.count
            return one.who, got
        seconds = time.perf_counter() - begun
        if not late:
            self._counted(one, seconds, failed=True)
        other, said = await self._plainly(one.proven, asked)
        if late and seconds > beyond(said.seconds) and not one.who.large:  # else it is not the model's fault
            self._counted(one, seconds, failed=True)
        return other, said

    async def _large(self, one: Try, asked: Asked) -> tuple[Player, Answered]:
        """A large request is no canary's; who serves answers it in any time, and fails as with any other."""
        if one.role == "canary":
            return await self._plainly(one.proven, asked)
        one.who.large += 1
        try:
            return await self._plainly(one.who, asked)
        except Exception:  # noqa: BLE001  whatever it raises, who served before answers instead
            self._counted(one, 0.0, failed=True)
            return await self._plainly(one.proven, asked)
        finally:
            one.who.large -= 1

    async def _slow(self, one: Try, asked: Asked, seconds: float) -> None:
        """Count a slow answer: the same rows say whether the proven model is any faster."""
        slow = False
        with suppress(Exception):  # it fails itself
            if one.proven.lane.rows + asked.count <= BEHIND:
                said = await asyncio.wait_for(
                    asyncio.shield(quiet(one.proven.lane.ask(asked.columns, asked.count))), PATIENCE
                )
                slow = seconds > beyond(said.seconds)
        self._counted(one, seconds, slow=slow)

    def _counted(self, one: Try, seconds: float, *, failed: bool = False, slow: bool = False) -> None:
        one.who.usual.add(seconds, failed)
        if failed:
            self.metrics.erred(one.who.version, one.role)
            if one.role == "canary":
                self.live.aside(one.who.version).failed += 1
        why = None if one.trial is None else one.trial.add(failed=failed, slow=slow)
        if why is not None and self.undo is not None:
            self.later(self.undo(one.who.version, why))

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
