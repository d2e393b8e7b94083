"""Processes of a service: one that listens, and as many workers as are wanted, each with its own log.

One worker runs in the process itself. With several, this process holds the socket and the lock, starts them
again where one dies, and passes signals on; a worker whose parent is gone ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from bapsim.core.errors import BapsimError, InputError, RecipeError
from bapsim.core.records import Task
from bapsim.gather.service import names_of_the_log
from bapsim.serve import deployment, ids, release
from bapsim.serve.app import application
from bapsim.serve.keeping import Keeper, aside, live_path
from bapsim.serve.lineup import Lineup, player
from bapsim.serve.log import Log
from bapsim.serve.models import Served, served
from bapsim.serve.openapi import About
from bapsim.serve.people.living import living
from bapsim.serve.people.rooms import Rooms, rooms_of
from bapsim.serve.people.routes import CHANNELS, DOORS
from bapsim.serve.refused import Limits, Refused
from bapsim.serve.retention import log_folder
from bapsim.serve.serving import Service
from bapsim.store.project import opened
from bapsim.wheel.column_types import input_types
from bapsim.wheel.founding import load_recipe

BACKLOG = 2048
IDLE = 75  # seconds for which a connection is kept: longer than clients do, so that they close it
DRAIN = 30  # seconds for requests that have begun when the service is told to end
AWAITED = 1.0  # seconds between two looks whether there is a model
SHUT = 2.0  # seconds for a client to agree that a TLS connection ends
SOON = 1.0  # seconds after which a worker that died is started again
SWITCH = 0.0005  # seconds after which a thread that computes lets the event loop in; Python's own are .005
said = logging.getLogger("bapsim.serve")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that a worker has to know; as JSON on its way to another process. people: whether it has
    the rooms, and then a model may come later; cert, key: files for TLS.
    """

    root: str
    deployment: str
    worker: int = 0
    workers: int = 1
    limits: dict[str, Any] = field(default_factory=dict)
    people: bool = False
    cert: str | None = None
    key: str | None = None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises InputError where that cannot be."""
    held = None
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        held = socket.socket(family, kind, proto)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(address)
        held.listen(BACKLOG)
    except OSError as why:
        if held is not None:
            held.close()
        raise InputError("cannot_listen", host=host, port=port, why=why.strerror or str(why)) from why
    return held


def typed_task(root: Path) -> tuple[Task, dict[str, str]]:
    """What is asked and answered, and the types of its columns. Raises RecipeError for names of the log's."""
    task = load_recipe(root).task
    if taken := names_of_the_log(task):  # no turn could read what this service would log
        raise RecipeError("log_columns", columns=", ".join(taken))
    with opened(root, writing=False) as project:
        return task, input_types(project.ledger, task)


def first_model(root: Path, task: Task, types: dict[str, str]) -> Served:
    """The model that serves when a service starts; one that cannot be loaded is rolled back, if there was one
    before. Raises InputError where none serves.
    """
    for _ in range(3):
        version = release.serving(root, release.read(root))
        if version is None:
            raise InputError("nothing_serves")
        try:
            return served(root, version, task, types)
        except BapsimError as why:
            said.error("model %s: %s", version, why)
            try:
                reason = f"automatic: {why.say().splitlines()[0]}"
                release.change(root, "rollback", version, reason)
            except InputError:
                raise why from None
    raise InputError("nothing_serves")


def about_of(
    root: Path, task: Task, types: dict[str, str], limits: Limits, classes: tuple[str, ...]
) -> About:
    """What the service says of itself."""
    from importlib.metadata import version

    title = f"{root.resolve().name or 'bapsim'}: {task.target}"
    return About(
        title=title, version=version("bapsim"), task=task, types=types, limits=limits, classes=classes[:20]
    )


@dataclass(eq=False)
class Worker:
    """One process of the service. first: the model to begin with; service: None until there is one; app: what
    answers now.
    """

    setting: Setting
    parent: int | None = None
    first: Served | None = None
    service: Service | None = None
    rooms: Rooms | None = None
    server: uvicorn.Server | None = None
    app: FastAPI = field(init=False)
    task: Task = field(init=False)
    types: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.root = Path(self.setting.root)
        self.limits = Limits(**self.setting.limits)

    def served(self) -> Service:
        """The service; raises Refused where there is no model yet."""
        if self.service is None:
            raise Refused(503, "no_model")
        return self.service

    def answer_with(self, first: Served | None, task: Task, types: dict[str, str]) -> None:
        """Put an app in place that tells of this model."""
        self.task, self.types = task, types
        classes = () if first is None else tuple(getattr(first.model, "classes", ()))
        about = about_of(self.root, task, types, self.limits, classes)
        rooms = (lambda: self.rooms) if self.setting.people else None
        self.app = application(self.served, self.living, about, rooms)

    @contextlib.asynccontextmanager
    async def living(self, _: Any) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if self.rooms is not None:
                await stack.enter_async_context(living(self.rooms, self.setting.worker, self.ending))
            if self.first is not None:
                await self.begin(self.first, self.task, self.types)
                await self.keeper.follow()
            stack.push_async_callback(self.drained, asyncio.create_task(self.run()))
            yield

    async def run(self) -> None:
        """Wait for a model where there is none yet, and keep the service up to date."""
        while self.service is None:
            if self.orphaned():
                return
            await asyncio.sleep(AWAITED)
            with contextlib.suppress(BapsimError):
                await self.try_to_begin()
        await self.keeper.run()

    async def try_to_begin(self) -> None:
        """Begin to answer if a turn has proved a model meanwhile."""
        if release.serving(self.root, release.read(self.root)) is None:
            return
        task, types = await aside(typed_task, self.root)
        first = await aside(first_model, self.root, task, types)
        self.answer_with(first, task, types)
        await self.begin(first, task, types)

    async def begin(self, first: Served, task: Task, types: dict[str, str]) -> None:
        """Answer with this model from now on."""
        service = _service(self.setting, task, types, self.limits, first)
        service.log.start()
        self.service = service

    @cached_property
    def keeper(self) -> Keeper:
        """Of the service, once there is one."""
        return Keeper(self.served(), self.parent, self.end)

    def orphaned(self) -> bool:
        """End where the process that started this one is gone."""
        gone = self.parent is not None and os.getppid() != self.parent
        if gone:
            self.end()
        return gone

    def end(self) -> None:
        if self.server is not None:
            self.server.should_exit = True

    def ending(self) -> bool:
        return self.server is not None and self.server.should_exit

    async def drained(self, work: asyncio.Task[None]) -> None:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if self.service is not None:
            await self.service.drained()
            await self.keeper.tell()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As an ASGI application: the one that is in place at this moment."""
        await self.app(scope, receive, send)


def work(setting: Setting, held: socket.socket, parent: int | None = None) -> None:
    """Serve from this process until it is told to end."""
    told: list[int] = []
    signal.signal(
        signal.SIGTERM, lambda number, _: told.append(number)
    )  # what uvicorn passes on when it ends
    sys.setswitchinterval(SWITCH)
    if setting.cert is not None:
        asyncio.constants.SSL_SHUTDOWN_TIMEOUT = SHUT  # type: ignore[attr-defined]  # no option reaches it
    first, task, types = _first(setting, Path(setting.root))
    worker = Worker(setting, parent, first)
    if setting.people:
        secure = setting.cert is not None
        worker.rooms = rooms_of(worker.root, secure=secure, doors=DOORS, channels=CHANNELS)
    worker.answer_with(first, task, types)
    config = uvicorn.Config(
        worker,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=DRAIN,
        timeout_keep_alive=IDLE,
        backlog=BACKLOG,
        server_header=False,
        date_header=False,
        ssl_certfile=setting.cert,
        ssl_keyfile=setting.key,
    )
    server = worker.server = uvicorn.Server(config)
    if told:
        return
    server.run(sockets=[held])
    if not server.started:
        raise InputError("cannot_start")


def _first(setting: Setting, root: Path) -> tuple[Served | None, Task, dict[str, str]]:
    """The model to begin with; None where there is none yet and the rooms are open without it."""
    try:
        task, types = typed_task(root)
        return first_model(root, task, types), task, types
    except BapsimError as why:
        if not setting.people or why.key not in ("nothing_serves", "no_turn_yet"):
            raise
    return None, load_recipe(root).task, {}


def _service(setting: Setting, task: Task, types: dict[str, str], limits: Limits, first: Served) -> Service:
    root = Path(setting.root)
    terms = deployment.read(root, setting.deployment)
    log = Log(
        folder=log_folder(root),
        deployment=terms.name,
        worker=setting.worker,
        pii=terms.pii == "mask",
        durable=terms.durable,
    )
    return Service(
        root=root,
        task=task,
        types=types,
        limits=limits,
        deployment=terms,
        worker=setting.worker,
        workers=setting.workers,
        log=log,
        key=ids.service_key(release.folder_of(root)),
        lineup=Lineup(serves=player(first)),
    )


# --- several workers ------------------------------------------------------------------------------


def serve(setting: Setting, held: socket.socket, lock: int) -> None:
    """Serve with as many workers as the setting says, until SIGTERM or SIGINT."""
    root = Path(setting.root)
    for path in release.folder_of(root).glob(f"live-{setting.deployment}-w*.json"):
        path.unlink()  # of a service that has ended
    if setting.workers == 1:
        work(setting, held)
        return
    with _figures() as environment:
        Crew(setting, held, lock, environment).run()


@contextlib.contextmanager
def _figures() -> Iterator[dict[str, str]]:
    """The environment of workers that count together."""
    place = tempfile.mkdtemp(prefix="bapsim-metrics-")
    try:
        yield {**os.environ, "PROMETHEUS_MULTIPROC_DIR": place}
    finally:
        shutil.rmtree(place, ignore_errors=True)


@dataclass
class Crew:
    """The workers of a service."""

    setting: Setting
    held: socket.socket
    lock: int
    environment: dict[str, str]
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Start all, start again whoever dies, end all on a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ending.set())
        started: dict[int, float] = {}
        while not self.ending.wait(0.1):
            for worker in range(self.setting.workers):
                process = self.processes.get(worker)
                if process is not None and process.poll() is None:
                    continue
                if process is not None:
                    self._left(worker, process)
                    if time.monotonic() - started[worker] < SOON:
                        self.ending.wait(SOON)  # one that cannot start must not be started for ever at once
                    if self.ending.is_set():
                        break
                started[worker] = time.monotonic()
                self.processes[worker] = self._start(worker)
        self._end()

    def _start(self, worker: int) -> subprocess.Popen[bytes]:
        setting = asdict(self.setting) | {"worker": worker}
        said = json.dumps({"setting": setting, "socket": self.held.fileno(), "parent": os.getpid()})
        command = [sys.executable, "-m", "bapsim.serve.worker", said]
        keep = (self.held.fileno(), self.lock)
        return subprocess.Popen(command, pass_fds=keep, env=self.environment)  # noqa: S603  our own module

    def _left(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        said.error("worker %d ended with %s and is started again", worker, process.returncode)
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(process.pid, self.environment["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
        live_path(Path(self.setting.root), self.setting.deployment, worker).unlink(missing_ok=True)

    def _end(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + DRAIN + 5
        for process in self.processes.values():
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
