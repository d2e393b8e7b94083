"""What happens, to everybody who watches: events with a sequence number, sent as server-sent events.

An event is written in the transaction of what it tells of (`tell`). One task of each worker reads new ones,
at once where this process wrote them and every EACH seconds where another did, and hands them to the watchers
of their channels. A watcher says the last number that it has seen (Last-Event-ID), and gets everything after
it, whatever happened to its connection, its worker or the service in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from bapsim.serve.people.database import Database
from bapsim.serve.people.tables import event

EACH = 0.25  # seconds between two looks for what other processes wrote
BEAT = 15.0  # seconds without an event after which a line is sent, so that nobody closes the connection
CHECKED = 2.0  # seconds after which it is asked again whether a watcher may go on
WAITING = 1000  # events that wait for one watcher; a slower one has to connect again
REPLAYED = 5000  # events that are sent again at most; who missed more takes the page anew
KEPT = 7 * 24 * 3600.0  # seconds for which events are kept


class Event(NamedTuple):
    """One thing that happened."""

    seq: int
    channel: str
    kind: str
    body: dict[str, Any]


def tell(connection: sa.Connection, channel: str, kind: str, body: Mapping[str, Any]) -> int:
    """Write an event in the transaction of what it tells of; body: ids and figures, nobody's words."""
    row = {"channel": channel, "kind": kind, "body": json.dumps(body), "at": time.time()}
    return int(connection.execute(event.insert().values(**row).returning(event.c.seq)).scalar_one())


def newest(connection: sa.Connection) -> int:
    """The number of the newest event: a page that was made in this snapshot goes on from there."""
    return int(connection.execute(sa.select(sa.func.max(event.c.seq))).scalar() or 0)


def _event(row: Any) -> Event:
    return Event(int(row.seq), str(row.channel), str(row.kind), json.loads(row.body))


def after(connection: sa.Connection, seq: int, channel: str | None = None, most: int = 1000) -> list[Event]:
    """Events after a number, of one channel or of all, oldest first."""
    query = sa.select(event).where(event.c.seq > seq).order_by(event.c.seq).limit(most)
    if channel is not None:
        query = query.where(event.c.channel == channel)
    return [_event(row) for row in connection.execute(query)]


def forget(connection: sa.Connection) -> None:
    """Delete what is too old to be asked for; the newest stays, so that no number is given twice."""
    old = event.c.at < time.time() - KEPT
    connection.execute(event.delete().where(old, event.c.seq < newest(connection)))


@dataclass(eq=False)
class Watcher:
    """One open connection; late: it could not follow and has to connect again."""

    channel: str
    events: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(WAITING))
    late: bool = False


@dataclass(eq=False)
class Hub:
    """The watchers of one worker."""

    database: Database
    watchers: dict[str, set[Watcher]] = field(default_factory=lambda: defaultdict(set))
    _seen: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _ended: bool = False

    async def run(self) -> None:
        """Hand out events until cancelled."""
        while True:
            found = await self.database.find(lambda c: after(c, self._seen))
            for one in found:
                self._seen = one.seq
                self._hand_out(one)
            if len(found) < 1000:
                await self._until_more()

    async def start(self) -> None:
        """Take note of where the events stand."""
        self._loop = asyncio.get_running_loop()
        self._seen = await self.database.read(newest)
        self.database.committed = self._committed

    def end(self) -> None:
        """Let all watchers go: their connections must not hold up the end of the service."""
        self._ended = True
        for among in self.watchers.values():
            for one in among:
                _put(one, None)

    async def _until_more(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EACH):
                await self._wake.wait()
        self._wake.clear()

    def _committed(self) -> None:
        """In the writer's thread: this process has written."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _hand_out(self, one: Event) -> None:
        for watcher in self.watchers.get(one.channel, ()):
            _put(watcher, one)

    async def watch(self, channel: str, seq: int, *, latest: bool = False) -> AsyncIterator[Event | None]:
        """Events of a channel after a number, as they come; None after BEAT seconds without one. latest: of
        those that wait the last alone.

        Ends where the watcher is too slow, has missed too many, or the service ends.
        """
        mine = Watcher(channel)
        self.watchers[channel].add(mine)
        try:
            missed = await self.database.find(lambda c: after(c, seq, channel, REPLAYED))
            for one in missed[-1:] if latest else missed:
                seq = one.seq
                yield one
            while not (mine.late or self._ended):
                try:
                    async with asyncio.timeout(BEAT):
                        got = await mine.events.get()
                except TimeoutError:
                    yield None
                    continue
                while latest and got is not None and not mine.events.empty():
                    got = mine.events.get_nowait()
                if got is None:
                    return
                if got.seq > seq:
                    seq = got.seq
                    yield got
        finally:
            self.watchers[channel].discard(mine)
            if not self.watchers[channel]:
                del self.watchers[channel]


def _put(watcher: Watcher, one: Event | None) -> None:
    try:
        watcher.events.put_nowait(one)
    except asyncio.QueueFull:
        watcher.late = True


Show = Callable[[Event], Awaitable[str | None]]


def message(seq: int | None, kind: str, data: str) -> bytes:
    """One server-sent event. kind "": its data is put into the page; else a DOM event of this name."""
    lines = [] if seq is None else [f"id: {seq}"]
    lines += [f"event: {kind}"] if kind else []
    lines += [f"data: {line}" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


async def stream(
    watched: AsyncIterator[Event | None], show: Show, still: Callable[[], Awaitable[bool]], pace: float = 0.0
) -> AsyncIterator[bytes]:
    """The body of a response: each event as `show` renders it (None: this watcher does not see it).

    pace: seconds between two of them, while others may come to wait; still: whether the watcher may go on;
    asked every CHECKED seconds, so that who signed out or was let go sees nothing more.
    """
    yield b"retry: 500\n: begins\n\n"
    checked = time.monotonic()
    async for one in watched:
        if time.monotonic() - checked > CHECKED:
            if not await still():
                return
            checked = time.monotonic()
        if one is None:
            yield b": beat\n\n"
            continue
        shown = await show(one)
        yield f"id: {one.seq}\n\n".encode() if shown is None else message(one.seq, "", shown)
        await asyncio.sleep(pace)
