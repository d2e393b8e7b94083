"""What the rooms of a worker do beside its requests: hand out events, publish what was approved, tidy up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from bapsim.serve.people import events, publish, withdrawing
from bapsim.serve.people.rooms import Rooms

SWITCH = (
    0.001  # seconds that a thread keeps the others waiting: a form is many short turns of several threads
)
PAUSE = 2.0  # seconds before what failed is tried again
SWEPT = 3600.0  # seconds between two looks for what is too old
said = logging.getLogger("bapsim.serve")


@contextlib.asynccontextmanager
async def living(rooms: Rooms, worker: int, ending: Callable[[], bool]) -> AsyncIterator[None]:
    """The tasks of one worker, until the end of the block; the first worker publishes.

    ending: whether the service was told to end: watchers are let go then, for it waits for connections.
    """
    sys.setswitchinterval(SWITCH)
    gc.freeze()  # what is imported is not looked through again and again
    await rooms.hub.start()
    work: list[Callable[[], Awaitable[None]]] = [rooms.hub.run, partial(_let_go, rooms, ending)]
    if worker == 0:
        work += [partial(_publish, rooms), partial(_withdraw, rooms), partial(_sweep, rooms)]
    tasks = [asyncio.create_task(_again(rooms, one)) for one in work]
    try:
        yield
    finally:
        rooms.ending.set()
        rooms.hub.end()
        await asyncio.to_thread(rooms.lessons.close)
        for task in (*tasks, *rooms.tasks):
            task.cancel()
        await asyncio.gather(*tasks, *rooms.tasks, return_exceptions=True)
        if worker == 0:
            with contextlib.suppress(Exception):  # it is done at the next start
                await _aside(publish.publish, rooms.database, rooms.keys, rooms.inbox)
        await _aside(rooms.database.close)


async def _aside(work: Callable[..., object], *values: object) -> None:
    """Do something in a thread; who is cancelled meanwhile waits for its end, for it uses the database."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *values))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _again(rooms: Rooms, work: Callable[[], Awaitable[None]]) -> None:
    """Do something for ever: what fails is told, and tried again."""
    name = getattr(work, "func", work).__name__.strip("_")
    while True:
        try:
            await work()
            return
        except Exception as why:  # noqa: BLE001  the database may be away for a while
            said.exception("the rooms' %s failed", name)
            rooms.trouble[name] = type(why).__name__
            await asyncio.sleep(PAUSE)


async def _let_go(rooms: Rooms, ending: Callable[[], bool]) -> None:
    while not ending():
        await asyncio.sleep(0.1)
    rooms.hub.end()


async def _publish(rooms: Rooms) -> None:
    while True:
        await _aside(publish.publish, rooms.database, rooms.keys, rooms.inbox)
        rooms.trouble.pop("publish", None)
        await asyncio.sleep(publish.EACH)


async def _withdraw(rooms: Rooms) -> None:
    while True:
        await _aside(withdrawing.finish, rooms)
        rooms.trouble.pop("withdraw", None)
        await asyncio.sleep(withdrawing.EACH)


async def _sweep(rooms: Rooms) -> None:
    while True:
        await rooms.database.write(events.forget)
        await asyncio.sleep(SWEPT)
