"""Server-sent events: nothing missed and nothing twice, whatever happens to connections and processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.serve.people import events, persons
from bapsim.serve.people.database import Database
from bapsim.serve.people.doors import Ask
from bapsim.serve.people.events import Event, Hub, after, forget, message, newest, tell
from bapsim.serve.people.routes import CHANNELS, DOORS
from bapsim.serve.people.streams import Channel
from bapsim.serve.people.tables import event
from tests.serve.people.corpus import HOSTILE
from tests.serve.people.house import House, Visitor, house
from tests.serve.people.test_security import odd_tags


def _may(connection: sa.Connection, ask: Ask, channel: str) -> bool:
    return channel != "test:closed"


async def _show(ask: Ask, event: Event) -> str | None:
    if event.body["n"] < 0:
        return None
    if "hostile" in event.body:
        return ask.part("part_refused.html.j2", what=HOSTILE[event.body["n"]], more=HOSTILE)
    return ask.part("part_refused.html.j2", what=f"{event.body['n']} <b>\n</b>", more=[])


TEST = Channel(name=r"test:\w+", may=_may, show=_show)


@pytest.fixture
def home(root: Any, url: str) -> Any:
    with house(root, url, DOORS, (*CHANNELS, TEST)) as one:
        yield one


async def read(visitor: Visitor, path: str, count: int, last: int | None = None) -> list[tuple[int, str]]:
    """So many messages of a stream, over the real app."""
    found: list[tuple[int, str]] = []
    done = asyncio.Event()
    headers = [(b"cookie", "; ".join(f"{k}={v}" for k, v in visitor.http.cookies.items()).encode())]
    headers += [(b"accept", b"text/event-stream"), (b"host", b"rooms.test")]
    if last is not None:
        headers.append((b"last-event-id", str(last).encode()))
    where, _, query = path.partition("?")
    scope = {"type": "http", "method": "GET", "path": where, "raw_path": where.encode(), "headers": headers}
    scope |= {"query_string": query.encode(), "scheme": "http", "server": ("rooms.test", 80), "root_path": ""}
    scope |= {"client": ("10.0.0.9", 1), "http_version": "1.1", "asgi": {"version": "3.0"}}
    body = b""

    async def receive() -> dict[str, Any]:
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(said: dict[str, Any]) -> None:
        nonlocal body
        if said["type"] == "http.response.start":
            assert said["status"] == 200, said
            return
        body += said.get("body", b"")
        *whole, body = body.split(b"\n\n")
        for one in whole:
            lines = one.decode().split("\n")
            number = [line[4:] for line in lines if line.startswith("id: ")]
            data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
            if number and data:
                found.append((int(number[0]), data))
        if len(found) >= count:
            done.set()

    task = asyncio.ensure_future(visitor.house.app(scope, receive, send))
    await asyncio.wait([task], timeout=15)
    if not task.done():
        task.cancel()
    return found


def say(home: House, *numbers: int, channel: str = "test:a") -> list[int]:
    return home.rooms.database.change(lambda c: [tell(c, channel, "said", {"n": n}) for n in numbers])


def test_a_watcher_misses_nothing(home: House) -> None:
    who = home.person("expert")
    first, *_ = say(home, 1, 2, 3)
    say(home, 99, channel="test:b")
    got = home.run(read(who, "/people/events/test:a", 3))
    assert [seq for seq, _ in got] == [first, first + 1, first + 2]
    assert "1 &lt;b&gt;" in got[0][1], "escaped, on several lines"
    assert "&lt;/b&gt;" in got[0][1]
    assert len(home.run(read(who, f"/people/events/test:a?after={first}", 2))) == 2
    (seq, data), *_ = home.run(read(who, "/people/events/test:a?after=0", 1, last=first + 1))
    assert (seq, "3 " in data) == (first + 2, True), "where one was is better than where the page was"

    async def live() -> list[tuple[int, str]]:
        watching = asyncio.ensure_future(read(who, f"/people/events/test:a?after={first + 2}", 5))
        for n in (10, -1, 11, 12, 13, 14):
            await asyncio.sleep(0.02)
            await home.rooms.database.write(lambda c, n=n: tell(c, "test:a", "said", {"n": n}))
        return await watching

    numbers = [int(data.split("<b>")[1].split(" ")[0]) for _, data in home.run(live())]
    assert numbers == [10, 11, 12, 13, 14]


def test_what_people_write_does_not_run_in_an_event(home: House) -> None:
    who = home.person("expert")
    start = home.rooms.database.look(newest)
    for n in range(len(HOSTILE)):
        body = {"n": n, "hostile": True}
        home.rooms.database.change(lambda c, body=body: tell(c, "test:a", "said", body))
    got = home.run(read(who, f"/people/events/test:a?after={start}", len(HOSTILE)))
    assert len(got) == len(HOSTILE)
    assert [odd_tags(data) for _, data in got] == [[]] * len(got)


def test_what_another_process_wrote_is_seen(home: House) -> None:
    who = home.person("expert")
    start = home.rooms.database.look(newest)
    other = Database(home.rooms.database.url)
    other.open()

    async def live() -> list[tuple[int, str]]:
        watching = asyncio.ensure_future(read(who, f"/people/events/test:a?after={start}", 20))
        writes = [other.write(lambda c, n=n: tell(c, "test:a", "said", {"n": n})) for n in range(10)]
        ours = [home.rooms.database.write(lambda c: tell(c, "test:a", "said", {"n": 7})) for _ in range(10)]
        await asyncio.gather(*writes, *ours)
        return await watching

    try:
        got = [seq for seq, _ in home.run(live())]
    finally:
        other.close()
    assert len(got) == 20
    assert got == sorted(set(got)), "in order, none twice"


def test_who_may_not_watch_sees_nothing(home: House) -> None:
    who = home.person("auditor")
    assert who.get("/people/events/test:closed").status_code == 404
    assert who.get("/people/events/elsewhere").status_code == 404
    nobody = home.visitor().get("/people/events/test:a", headers={"accept": "text/event-stream"})
    assert nobody.status_code == 401, "no page to sign in on: a reader of events would read that"
    for odd in ("x", "-1", "9" * 30, "1e3"):
        start = home.rooms.database.look(newest)
        say(home, 5)
        got = home.run(read(who, f"/people/events/test:a?after={odd}", 1))
        assert got[0][0] > 0
        assert start >= 0


def test_who_is_let_go_sees_nothing_more(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CHECKED", 0.05)
    who = home.person("expert")
    start = home.rooms.database.look(newest)

    async def live() -> list[tuple[int, str]]:
        watching = asyncio.ensure_future(read(who, f"/people/events/test:a?after={start}", 3))
        await home.rooms.database.write(lambda c: tell(c, "test:a", "said", {"n": 1}))
        await asyncio.sleep(0.2)
        await home.rooms.database.write(lambda c: persons.close(c, who.id))
        await home.rooms.database.write(lambda c: tell(c, "test:a", "said", {"n": 2}))
        return await watching

    assert len(home.run(live())) == 1


def test_a_slow_watcher_is_let_go_and_comes_back(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WAITING", 5)

    async def slow() -> tuple[list[int], list[int]]:
        hub: Hub = home.rooms.hub
        start = await home.rooms.database.read(newest)
        first, got = hub.watch("test:a", start), []
        waits = asyncio.ensure_future(anext(first))
        await asyncio.sleep(0.05)
        await home.rooms.database.write(lambda c: [tell(c, "test:a", "said", {"n": n}) for n in range(50)])
        got.append((await waits).seq)  # type: ignore[union-attr]
        await asyncio.sleep(0.5)
        got += [one.seq async for one in first if one is not None]
        rest = [one.seq for one in await home.rooms.database.read(lambda c: after(c, got[-1], "test:a"))]
        assert not hub.watchers, "it is forgotten"
        return got, rest

    got, rest = home.run(slow())
    assert len(got) < 50
    assert len(got) + len(rest) == 50


def test_of_parts_that_take_each_others_place_the_last_is_shown(home: House) -> None:
    async def burst() -> list[list[int]]:
        hub: Hub = home.rooms.hub
        start = await home.rooms.database.read(newest)
        write = home.rooms.database.write
        await write(lambda c: [tell(c, "test:a", "said", {"n": n}) for n in range(5)])
        seen = []
        for latest in (False, True):
            watched = hub.watch("test:a", start, latest=latest)
            got = [(await anext(watched)).body["n"]]  # type: ignore[union-attr]
            while got[-1] < 4:
                got.append((await anext(watched)).body["n"])  # type: ignore[union-attr]
            await write(lambda c: [tell(c, "test:a", "said", {"n": n}) for n in range(5, 9)])
            await asyncio.sleep(0.3)
            while got[-1] < 8:
                got.append((await anext(watched)).body["n"])  # type: ignore[union-attr]
            await watched.aclose()
            seen.append(got)
            start = await home.rooms.database.read(newest) - 9
            await write(lambda c: [tell(c, "test:a", "said", {"n": n}) for n in range(5)])
        return seen

    every, last = home.run(burst())
    assert every == list(range(9))
    assert last == [4, 8]


def test_old_events_go_and_numbers_do_not_return(home: House) -> None:
    numbers = say(home, *range(5))
    home.rooms.database.change(lambda c: c.execute(event.update().values(at=0.0)))
    home.rooms.database.change(forget)
    left = home.rooms.database.look(lambda c: c.execute(sa.select(event.c.seq)).scalars().all())
    assert left == [numbers[-1]]
    assert say(home, 6) == [numbers[-1] + 1]


def test_a_message_is_one_message() -> None:
    """Line ends in data do not end it; half an event cannot be made from what people say."""
    said = message(3, "", "a\nid: 9\n\nevent: x\r\rdata: y\r\n")
    assert said.count(b"\n\n") == 1
    assert said.endswith(b"\n\n")
    assert [line.split(b":")[0] for line in said.strip().split(b"\n")] == [b"id", *[b"data"] * 7]
