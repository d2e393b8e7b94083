"""The channels that can be watched, and the one route that serves them all."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import sqlalchemy as sa
from starlette.responses import Response, StreamingResponse

from bapsim.serve.people import sessions
from bapsim.serve.people.doors import HEADERS, Ask, Door
from bapsim.serve.people.events import Event, stream
from bapsim.serve.people.roles import SIGNED_IN
from bapsim.serve.refused import Refused

PACE = 0.5  # seconds between two parts of a page that take each other's place


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Channels of one kind: `name` is a pattern of the whole channel; may: whether who asks may watch this
    one; show: an event as a fragment of HTML (from a template, so that it is escaped), None: not for them;
    whole: it takes the place of what was shown before, so that of events that wait the last is enough.
    """

    name: str
    may: Callable[[sa.Connection, Ask, str], bool]
    show: Callable[[Ask, Event], Awaitable[str | None]]
    whole: bool = False


async def watch(ask: Ask) -> Response:
    """Events of a channel after `Last-Event-ID`, else after `?after=`, while the connection lasts."""
    channel = ask.path["channel"]
    kind = next((one for one in ask.rooms.channels if re.fullmatch(one.name, channel)), None)
    if kind is None or not await ask.read(lambda c: kind.may(c, ask, channel)):
        raise Refused(404, "no_route", found="GET")
    seq = _number(ask.request.headers.get("last-event-id") or ask.request.query_params.get("after", "0"))

    async def show(event: Event) -> str | None:
        return await kind.show(ask, event)

    async def still() -> bool:
        return await ask.read(lambda c: _same(c, ask) and kind.may(c, ask, channel))

    watched = ask.rooms.hub.watch(channel, seq, latest=kind.whole)
    body = stream(watched, show, still, PACE if kind.whole else 0.0)
    headers = HEADERS | {"x-accel-buffering": "no"}
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


def _same(connection: sa.Connection, ask: Ask) -> bool:
    """Whether this session is still that of the person who asked, in the same role."""
    found = sessions.whose(connection, ask.token)
    return found is not None and (found[0].id, found[0].role) == (ask.who.id, ask.who.role)


def _number(said: str) -> int:
    return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0


DOORS = (Door(path="/people/events/{channel}", handler=watch, who=SIGNED_IN),)
