"""A door is one route of the rooms: path, who may use it, what it does. Everything else is done here, once:
who asks, whether they may, whether the form is ours, how large it is, and how what goes wrong is said.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import sqlalchemy as sa
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bapsim.serve.http import SAFE, Rate, as_json, body_of, language, media_type, same_origin
from bapsim.serve.people import names, sessions, shell
from bapsim.serve.people.persons import Person
from bapsim.serve.people.roles import Roles
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.people.uploads import Upload, multipart
from bapsim.serve.refused import Refused, bad

T = TypeVar("T")
said = logging.getLogger("bapsim.serve")
BODY = 64 << 10  # bytes of a form
FIELDS = 200
RATE, BURST = (
    20.0,
    3,
)  # requests a second of one session or address, and seconds of them that may come at once
SECONDS = 30.0  # for a body to come
HEADERS = {
    **SAFE,
    "content-security-policy": SAFE["content-security-policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
    "referrer-policy": "same-origin",  # without any, a browser says that its forms come from "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What was sent: fields of a form, or of a JSON object, and files."""

    fields: Mapping[str, list[str]] = field(default_factory=dict)
    json: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Upload, ...] = ()

    def get(self, name: str, instead: str = "") -> str:
        """A field's last value."""
        return self.fields.get(name, [instead])[-1]

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return list(self.fields.get(name, []))

    def ticked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return name in self.fields


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """One request that was let in. token: of the session, or of who is not signed in; who: None for these."""

    rooms: Rooms
    request: Request
    door: Door
    person: Person | None
    token: str
    lang: str
    form: Form = field(default_factory=Form)

    @property
    def who(self) -> Person:
        """The person who asks; only where the door lets nobody else in."""
        if self.person is None:
            raise Refused(401, "sign_in")
        return self.person

    @property
    def secure(self) -> bool:
        """Whether the browser speaks TLS, with the service or with a proxy on this machine."""
        return self.rooms.secure or self.request.url.scheme == "https"

    @property
    def cookie(self) -> str:
        """The cookie of a session. Its own name for each project: cookies do not tell ports apart."""
        return ("__Host-" if self.secure else "") + f"bapsim-{self.rooms.name}"

    @property
    def form_cookie(self) -> str:
        """The cookie of who is not signed in."""
        return self.cookie + "-form"

    def set_cookie(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        """A cookie that no script reads, and that no other site's form sends; none: it is taken away."""
        seconds = seconds if value else 0
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the path."""
        found: Mapping[str, str] = self.request.path_params
        return found

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Read the database."""
        return await self.rooms.database.read(work)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Write to the database; done when it is on the disk."""
        return await self.rooms.database.write(work)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page, or a part of one that goes into a page (`part_*.html.j2`)."""
        return shown(self, template, status, **values)

    def part(self, template: str, **values: Any) -> str:
        """A part of a page as text: what an event puts into it."""
        return shell.rendered(template, self.lang, **{**common(self), **values})

    def go(self, path: str) -> Response:
        """Look at another page now: after a form, so that it is not sent twice."""
        return Response(status_code=303, headers={**HEADERS, "location": path})


Handler = Callable[[Ask], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Door:
    """A route. who: the roles that may use it, and "nobody" for who is not signed in; nav: its key in the
    menu (`people.nav.<nav>`); body: bytes that may be sent; api: speaks JSON both ways, and its OpenAPI.
    """

    path: str
    handler: Handler
    who: Roles
    method: str = "GET"
    nav: str | None = None
    body: int = BODY
    api: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclass(eq=False)
class Guard:
    """Lets requests in, for one worker."""

    rooms: Callable[[], Rooms]
    rate: Rate = field(default_factory=lambda: Rate(RATE, burst=BURST))

    def guarded(self, door: Door) -> Callable[[Request], Awaitable[Response]]:
        """The handler of a door behind everything that is asked of a request."""

        async def handled(request: Request) -> Response:
            rooms = self.rooms()
            ask = Ask(rooms=rooms, request=request, door=door, person=None, token="", lang=language(request))
            try:
                ask = await self._known(ask)
                self._allowed(ask)
                ask = await self._with_form(ask)
                response = await door.handler(ask)
            except Refused as why:
                response = refused(ask, why)
            except ClientDisconnect:
                response = Response(status_code=499)
            except sa.exc.OperationalError as why:
                said.error("%s: the database does not answer: %s", door.name, type(why.orig).__name__)
                response = refused(ask, Refused(503, "database_gone"))
            except Exception:  # noqa: BLE001  no request without an answer
                said.exception("%s failed", door.name)
                response = refused(ask, Refused(500, "our_fault"))
            return _with_cookie(ask, response)

        return handled

    async def _known(self, ask: Ask) -> Ask:
        """The request with whom it comes from; raises Refused for who asks too often."""
        request = ask.request
        cookie = request.cookies.get(ask.cookie, "")
        database = ask.rooms.database
        found = await database.find(lambda c: sessions.whose(c, cookie)) if cookie else None
        address = request.client.host if request.client is not None else ""
        if not self.rate.take(cookie if found else address, time.monotonic()):
            raise Refused(429, "too_often", rate=f"{RATE:g}")
        if found is None:
            token = request.cookies.get(ask.form_cookie, "") or names.new_token()
            return replace(ask, token=token)
        person, late = found
        if late:
            await ask.write(lambda c: sessions.seen(c, cookie))
        lang = ask.lang if "lang" in request.query_params else person.lang
        return replace(ask, person=person, token=cookie, lang=lang)

    def _allowed(self, ask: Ask) -> None:
        role = "nobody" if ask.person is None else ask.person.role
        if role in ask.door.who:
            return
        if ask.person is None:
            raise Refused(401, "sign_in")
        raise Refused(403, "not_yours")

    async def _with_form(self, ask: Ask) -> Ask:
        """The request with what was sent, once it is sure that a page of ours sent it."""
        if not ask.door.writes:
            return ask
        same_origin(ask.request)
        body = await body_of(ask.request, ask.door.body, SECONDS)
        form = await _form(ask, body)
        sent = ask.request.headers.get("x-csrf") or form.get("_csrf")
        if not names.same(sent, names.form_token(ask.token)):
            raise Refused(403, "form_not_ours")
        return replace(ask, form=form)


async def _form(ask: Ask, body: bytes) -> Form:
    kind = media_type(ask.request)
    if ask.door.api is not None:
        if kind != "application/json":
            raise Refused(415, "media_type", found=kind, wanted="application/json")
        return Form(json=_object(body))
    if kind == "multipart/form-data":
        fields, files = await multipart(ask.request, body)
        return Form(fields=fields, files=files)
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise Refused(415, "media_type", found=kind, wanted="application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError as why:  # also what is no UTF-8
        raise bad("not_a_form", "body", why=type(why).__name__) from why
    fields = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Form(fields=fields)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body.decode() or "{}")
    except UnicodeDecodeError as why:
        raise bad("not_utf8", "body", byte=why.start, guess="?") from why
    except (ValueError, RecursionError) as why:
        raise bad("not_json", "body", why=str(why)[:200]) from why
    if not isinstance(found, dict):
        raise bad("not_an_object", "body", found="list" if isinstance(found, list) else "value")
    return found


# ---------------------------------------------------------------- responses


def common(ask: Ask) -> dict[str, Any]:
    """What every template may use."""
    role = None if ask.person is None else ask.person.role
    return {
        "csrf": names.form_token(ask.token),
        "me": ask.person,
        "nav": [one for one in ask.rooms.doors if one.nav and role in one.who],
        "here": ask.request.url.path,
        "project": ask.rooms.title,
    }


def shown(ask: Ask, template: str, status: int = 200, **values: Any) -> Response:
    """A template as a response."""
    headers = HEADERS | {"content-language": ask.lang, "vary": "accept-language, cookie"}
    return Response(ask.part(template, **values), status, media_type="text/html", headers=headers)


def refused(ask: Ask, why: Refused) -> Response:
    """What went wrong: as JSON, as a part of a page that htmx puts in its place, or as a page."""
    if ask.door.api is not None:
        return as_json(why.body(ask.lang), why.status, dict(why.headers))
    headers = ask.request.headers
    hx = headers.get("hx-request") == "true" or "text/event-stream" in headers.get("accept", "")
    if why.status == 401 and ask.door.method == "GET" and not hx:
        wanted = ask.request.url.path
        return ask.go("/people/sign-in" + (f"?next={quote(wanted)}" if wanted != "/people" else ""))
    what, *more = why.say(ask.lang).split("\n")
    template = "part_refused.html.j2" if hx else "refused.html.j2"
    response = shown(ask, template, why.status, what=what, more=more, code=why.status)
    response.headers.update(why.headers)
    return response


def _with_cookie(ask: Ask, response: Response) -> Response:
    """Who is not signed in gets a cookie that forms are checked against."""
    if ask.person is None and ask.token and ask.form_cookie not in ask.request.cookies:
        ask.set_cookie(response, ask.form_cookie, ask.token)
    return response
