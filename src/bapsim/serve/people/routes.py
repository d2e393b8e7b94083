"""All doors and channels of the rooms, and how they are put into the app of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from bapsim.serve.http import answering
from bapsim.serve.metrics import Metrics
from bapsim.serve.people import (
    api,
    auditing,
    desk,
    desk_owner,
    entry,
    mine,
    owner,
    pay,
    room,
    room_end,
    shell,
    streams,
)
from bapsim.serve.people.doors import Door, Guard
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.people.streams import Channel

DOORS: tuple[Door, ...] = (
    *entry.DOORS,
    *desk.DOORS,
    *desk_owner.DOORS,
    *room.DOORS,
    *room_end.DOORS,
    *mine.DOORS,
    *pay.DOORS,
    *owner.DOORS,
    *auditing.DOORS,
    *api.DOORS,
    *streams.DOORS,
)
CHANNELS: tuple[Channel, ...] = (*desk_owner.CHANNELS, *room.CHANNELS)
KEPT = {"cache-control": "max-age=31536000, immutable", "x-content-type-options": "nosniff"}


def put_into(
    app: FastAPI, rooms: Callable[[], Rooms], metrics: Metrics, doors: tuple[Door, ...] = DOORS
) -> Guard:
    """The rooms as routes of an app; `rooms` gives the worker's, which are there once the app has started."""
    guard = Guard(rooms)
    for door in doors:
        made = answering(door.path, metrics, lambda _: None)(guard.guarded(door))
        extra: dict[str, Any] = {"include_in_schema": False} if door.api is None else dict(door.api)
        app.add_api_route(door.path, _typed(made), methods=[door.method], response_model=None, **extra)
    for name, (body, kind) in shell.files().items():
        app.add_api_route(f"/people/static/{name}", _file(body, kind), include_in_schema=False)
    return guard


def _typed(handler: Any) -> Any:
    """FastAPI reads the signature: one request in, one response out."""

    async def endpoint(request: Request) -> Response:
        found: Response = await handler(request)
        return found

    return endpoint


def _file(body: bytes, kind: str) -> Any:
    async def file(request: Request) -> Response:
        return Response(body, media_type=kind, headers=KEPT)

    return file
