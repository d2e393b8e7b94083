"""What every route shares: bodies of a limited size, refusals as JSON, the language, who asks, security."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bapsim.serve.encoding import encoded
from bapsim.serve.metrics import Metrics
from bapsim.serve.refused import Limits, Refused

JSON = ("application/json", "text/plain", "application/x-www-form-urlencoded", "")  # curl -d says the third
DRAINED = 4  # times the limit of a body that is read and thrown away, so that the client can read why
CLIENTS = 10_000  # whose rate is remembered
SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
said = logging.getLogger("bapsim.serve")
Handler = Callable[[Request], Awaitable[Response]]


def as_json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encoded(body), status, media_type="application/json", headers=headers)


def language(request: Request) -> str:
    """ko or en: `?lang=`, else the first of the two that the client accepts."""
    asked = request.query_params.get("lang", "")
    for said in [asked, *request.headers.get("accept-language", "").split(",")]:
        short = said.strip().lower()[:2]
        if short in ("ko", "en"):
            return short
    return "en"


def answering(route: str, metrics: Metrics, refused: Callable[[str], None]) -> Callable[[Handler], Handler]:
    """A handler that answers every request: what was refused with its reason, a fault of ours with 500."""

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        async def handled(request: Request) -> Response:
            begun = time.perf_counter()
            try:
                response = await handler(request)
            except Refused as why:
                refused(str(why.status))
                response = as_json(why.body(language(request)), why.status, dict(why.headers))
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception:  # noqa: BLE001  no request without an answer
                said.exception("%s failed", route)
                refused("500")
                response = as_json(Refused(500, "our_fault").body(language(request)), 500)
            metrics.request(route, response.status_code, time.perf_counter() - begun)
            return response

        return handled

    return wrap


async def body_of(request: Request, most: int, seconds: float) -> bytes:
    """The body, if it is no larger than `most` bytes and comes within `seconds`; raises Refused."""
    length = request.headers.get("content-length", "")
    large = Refused(413, "body_too_large", most=f"{most:,}")
    if length.isdigit() and len(length) < 19 and int(length) > DRAINED * most:
        raise large
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > DRAINED * most:
                    raise large
                if size <= most:
                    parts.append(part)
    except TimeoutError as why:
        raise Refused(408, "body_slow", seconds=f"{seconds:g}") from why
    if size > most:
        raise large
    return b"".join(parts)


def media_type(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def must_be_json(request: Request) -> None:
    """Raises Refused for another content type than JSON, or one that `curl -d` says."""
    kind = media_type(request)
    if kind not in JSON and not kind.endswith("+json"):
        raise Refused(415, "media_type", found=kind, wanted="application/json")


def same_origin(request: Request) -> None:
    """Raises Refused where a page of another site sends this: it must not fill the log of who visits it."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, "other_site", origin=origin[:200])


def client_of(request: Request) -> str | None:
    """Who a client says it is, in the header X-Client."""
    said = request.headers.get("x-client")
    return said[:200] if said else None


@dataclass
class Rate:
    """A bucket of tokens for each client: `a_second` of them flow in, as many as lie in it as flow in during
    `burst` seconds.
    """

    a_second: float
    burst: float = 1.0
    buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, client: str, now: float) -> bool:
        """Whether a client may ask now."""
        most = max(self.a_second * self.burst, 1.0)
        left, at = self.buckets.pop(client, (most, now))
        left = min(left + (now - at) * self.a_second, most)
        allowed = left >= 1.0
        self.buckets[client] = (left - allowed, now)
        if len(self.buckets) > CLIENTS:
            self.buckets.popitem(last=False)
        return allowed


def within_rate(request: Request, rate: Rate | None, limits: Limits) -> None:
    """Raises Refused for a client that asks too often: by X-Client, else by its address."""
    if rate is None:
        return
    host = request.client.host if request.client is not None else ""
    if not rate.take(client_of(request) or host, time.monotonic()):
        raise Refused(429, "too_often", rate=f"{limits.rate:g}")
