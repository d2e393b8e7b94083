"""Rooms in this process, on either database, and people in them: requests go through the real app."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from bapsim.serve.metrics import Metrics
from bapsim.serve.people import consent, invites, persons
from bapsim.serve.people.doors import Guard
from bapsim.serve.people.founding import owner_link
from bapsim.serve.people.living import living
from bapsim.serve.people.rooms import Rooms, rooms_of
from bapsim.serve.people.routes import CHANNELS, DOORS, put_into
from bapsim.serve.people.tables import META, person

PASSWORD = "four words are good"
COUNTED = Metrics()
ORIGIN = "http://rooms.test"


@dataclass
class House:
    """Rooms that run in a loop of their own."""

    rooms: Rooms
    app: FastAPI
    loop: asyncio.AbstractEventLoop
    guard: Guard

    def run(self, work: Coroutine[Any, Any, Any], seconds: float = 30.0) -> Any:
        """Do something in the loop of the rooms."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def unhurried(self) -> None:
        """Forget how often somebody asked: tests ask faster than people."""
        self.guard.rate.buckets.clear()

    def visitor(self, address: str = "10.0.0.1") -> Visitor:
        """A browser without cookies."""
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return Visitor(self, httpx.AsyncClient(transport=transport, base_url=ORIGIN))

    def person(self, role: str, lang: str = "en", domain: str = "") -> Visitor:
        """Somebody of this role who is signed in; the password is that of nobody."""

        def make(connection: sa.Connection) -> tuple[str, str]:
            one = persons.add(connection, role=role, lang=lang, domain=domain, by=None)
            connection.execute(
                person.update().where(person.c.id == one).values(state="invited", password="!")
            )
            return one, invites.make(connection, "owner", one)

        one, token = self.rooms.database.change(make)
        visitor = self.visitor()
        visitor.id = one
        assert visitor.post(f"/people/in/{token}", page=f"/people/in/{token}").status_code == 303
        return visitor

    def expert(self, *scope: str, **more: Any) -> Visitor:
        """An expert who has consented to these purposes."""
        visitor = self.person("expert", **more)
        visitor.consent(*(scope or ("train", "evaluate")))
        return visitor

    def owner(self) -> Visitor:
        """The owner by the link that `bapsim people` prints."""
        token = owner_link(self.rooms.root, "en")
        visitor = self.visitor()
        path = f"/people/in/{token}"
        sent = {"login": "Owner Kim", "name": "Kim", "password": PASSWORD, "again": PASSWORD}
        assert visitor.post(path, page=path, **sent).status_code == 303
        return visitor


@dataclass
class Visitor:
    """One browser: cookies, and the form token of the page that it looked at last."""

    house: House
    http: httpx.AsyncClient
    id: str = ""

    def get(self, path: str, **more: Any) -> httpx.Response:
        got: httpx.Response = self.house.run(self.http.get(path, **more))
        return got

    def form_token(self, page: str = "/people/sign-in") -> str:
        """The token of a page's forms."""
        return token_in(self.get(page).text)

    def post(self, path: str, page: str | None = None, **sent: Any) -> httpx.Response:
        """Send a form as its page would; page: where the form is."""
        token = self.form_token(page or ("/people" if self.id else "/people/sign-in"))
        return self.send(path, {"_csrf": token, **sent})

    def send(self, path: str, sent: Any = None, **more: Any) -> httpx.Response:
        """Send fields as they are."""
        got: httpx.Response = self.house.run(self.http.post(path, data=sent, **more))
        return got

    def json(self, path: str, sent: Any) -> httpx.Response:
        """Send JSON with the form token in its header."""
        token = self.get("/people/api/me").json()["csrf"]
        got: httpx.Response = self.house.run(self.http.post(path, json=sent, headers={"x-csrf": token}))
        return got

    def consent(self, *scope: str, **more: Any) -> str:
        """Sign the notice for these purposes; returns the consent's id."""
        page = self.get("/people/consent").text
        digest = re.search(r'name="digest" value="(\w+)"', page)
        assert digest, page
        chosen = {"employer": "none", "licence": "LicenseRef-expert", "revocable": "yes", "read": "on"}
        sent = {"_csrf": token_in(page), "digest": digest[1], "scope": list(scope), **chosen, **more}
        got = self.send("/people/consent", sent)
        assert got.status_code == 303, got.text
        given = self.house.rooms.database.look(lambda c: consent.standing(c, self.id))
        assert given is not None
        return given


def token_in(page: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="_csrf" value="(\w+)"', page) or re.search(r'"X-CSRF": "(\w+)"', page)
    assert found, page[:2000]
    return found[1]


@contextmanager
def house(
    root: Path, url: str, doors: Any = DOORS, channels: Any = CHANNELS, worker: int = 0
) -> Iterator[House]:
    """Rooms of a project until the end of the block."""
    (root / "people").mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / "people" / "database").write_text(url)
    rooms = rooms_of(root, doors=doors, channels=channels)
    rooms.database.change(lambda c: consent.set_controller(c, CONTROLLER))
    app = FastAPI()
    guard = put_into(app, lambda: rooms, COUNTED, doors)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    one = House(rooms, app, loop, guard)
    stack = contextlib.AsyncExitStack()
    one.run(stack.enter_async_context(living(rooms, worker, lambda: False)))
    try:
        yield one
    finally:
        one.run(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


CONTROLLER = consent.Controller(
    name="밥심 은행",
    contact="privacy@bank.example",
    storage="Seoul",
    retention="5 years",
    pay="30,000 KRW an hour",
)


def emptied(url: str) -> None:
    """A Postgres database without a table."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        META.drop_all(connection)
    engine.dispose()


def until(look: Callable[[], Any], wanted: Callable[[Any], bool] = bool, seconds: float = 20.0) -> Any:
    """What is seen as soon as it is as wanted."""
    from tests.serve import world

    return world.until(look, wanted, seconds)
