"""The routes: predict, feedback, health, metrics, and two pages that load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException as NotRouted
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from bapsim.serve import metrics, openapi
from bapsim.serve.asked import Asked, key_in, object_of, rows_asked
from bapsim.serve.feedback import feedback_in
from bapsim.serve.http import (
    SAFE,
    Handler,
    Rate,
    answering,
    as_json,
    body_of,
    client_of,
    language,
    media_type,
    must_be_json,
    same_origin,
    within_rate,
)
from bapsim.serve.page import docs_page, live_page
from bapsim.serve.people.routes import put_into
from bapsim.serve.pictures import checked
from bapsim.serve.refused import Refused, bad
from bapsim.serve.serving import Service
from bapsim.serve.status import of_worker

HERE = Path(__file__).parent
COUNTED = metrics.Metrics()
KEPT = {"cache-control": "max-age=3600", "x-content-type-options": "nosniff"}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def application(
    service: Callable[[], Service],
    lifespan: Lifespan,
    about: openapi.About,
    rooms: Callable[[], Any] | None = None,
) -> FastAPI:
    """The app; `service` gives the worker's service, and raises Refused while there is no model yet; rooms:
    gives people's rooms where they are open.
    """
    app = FastAPI(
        title=about.title,
        version=about.version,
        description=about.description,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers={NotRouted: _not_routed},
    )

    def refused(status: str) -> None:
        with suppress(Refused):  # without a model nothing counts but the metrics
            service().live.refused[status] += 1

    def route(path: str, handler: Handler, *, method: str = "GET", **extra: Any) -> None:
        made = answering(path, COUNTED, refused)(handler)
        app.add_api_route(path, _typed(made), methods=[method], response_model=None, **extra)

    predict, feedback = _asking(service, about)
    route("/predict", predict, method="POST", **openapi.predict(about))
    route("/feedback", feedback, method="POST", **openapi.feedback(about))
    health, figures, status, live, docs = _telling(service, about, app, rooms)
    route("/health", health, **openapi.health(about))
    route("/metrics", figures, **openapi.figures())
    route("/status", status, **openapi.status())
    route("/", live, include_in_schema=False)
    route("/docs", docs, include_in_schema=False)
    for name, kind in (("style.css", "text/css"), ("live.js", "text/javascript")):
        route(f"/{name}", _file((HERE / name).read_bytes(), kind), include_in_schema=False)
    if rooms is not None:
        put_into(app, rooms, COUNTED)
    return app


def _asking(service: Callable[[], Service], about: openapi.About) -> tuple[Handler, Handler]:
    """What takes rows and feedback."""
    limits = about.limits
    rate = None if limits.rate is None else Rate(limits.rate)

    async def predict(request: Request) -> Response:
        same_origin(request)
        within_rate(request, rate, limits)
        asked = await _asked(request, service())
        sent = await service().predict(asked, client_of(request) or asked.key)
        return as_json({"answers": sent} if asked.many else sent[0])

    async def feedback(request: Request) -> Response:
        same_origin(request)
        within_rate(request, rate, limits)
        must_be_json(request)
        body = await body_of(request, limits.body, limits.seconds)
        masking = service().deployment.pii == "mask"
        said = feedback_in(object_of(body), about.task, limits, masking=masking)
        await service().heard(said)
        return as_json({"request": said.request, "kept": True})

    return predict, feedback


def _telling(
    service: Callable[[], Service], about: openapi.About, app: FastAPI, rooms: Callable[[], Any] | None
) -> tuple[Handler, ...]:
    """What says how the service stands; where the rooms are open, also without a model."""

    async def health(request: Request) -> Response:
        try:
            said, status = _health(service())
        except Refused as why:
            said, status = {"ok": True, "serves": None, "warnings": {"model": str(why).split("\n")[0]}}, 200
        if rooms is not None and rooms().trouble:
            troubles = {f"rooms: {name}": why for name, why in rooms().trouble.items()}
            said |= {"ok": False, "warnings": said["warnings"] | troubles}
        return as_json(said, status)

    async def figures(request: Request) -> Response:
        with suppress(Refused):
            held = service()
            COUNTED.stands(held.roles, held.waiting, held.log)
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(request: Request) -> Response:
        return as_json(await of_worker(service()), headers={"cache-control": "no-store"})

    async def live(request: Request) -> Response:
        lang = language(request)
        try:
            facts = await of_worker(service())
        except Refused:
            if rooms is None:
                raise
            return Response(status_code=303, headers={**SAFE, "location": "/people"})
        return Response(live_page(facts, lang), media_type="text/html", headers=_page(lang))

    async def docs(request: Request) -> Response:
        lang = language(request)
        said = docs_page(app.openapi(), about, str(request.base_url).rstrip("/"), lang)
        return Response(said, media_type="text/html", headers=_page(lang))

    return health, figures, status, live, docs


async def _not_routed(request: Request, why: Any) -> Response:
    """What no route takes is refused as all else."""
    said = Refused(why.status_code, "method" if why.status_code == 405 else "no_route", found=request.method)
    return as_json(said.body(language(request)), said.status, why.headers)


def _typed(handler: Any) -> Any:
    """FastAPI reads the signature: one request in, one response out."""

    async def endpoint(request: Request) -> Response:
        found: Response = await handler(request)
        return found

    return endpoint


def _file(body: bytes, kind: str) -> Any:
    async def file(request: Request) -> Response:
        return Response(
            body,
            media_type=kind,
            headers={"cache-control": "max-age=3600", "x-content-type-options": "nosniff"},
        )

    return file


def _page(lang: str) -> dict[str, str]:
    return SAFE | {"content-language": lang, "vary": "accept-language"}


def _health(service: Service) -> tuple[dict[str, Any], int]:
    failing = service.log.failing
    dead = failing is not None and service.deployment.durable
    said = {
        "ok": failing is None and not service.warnings,
        "serves": service.lineup.serves.version,
        "deployment": service.deployment.name,
        "worker": service.worker,
        "waiting": service.waiting,
        "log": {"failing": failing, "lost": service.log.lost},
        "warnings": service.warnings,
    }
    return said, 503 if dead else 200


# --- bodies ---------------------------------------------------------------------------------------


async def _asked(request: Request, service: Service) -> Asked:
    limits, task = service.limits, service.task
    if task.kind != "image":
        must_be_json(request)
        body = await body_of(request, limits.body, limits.seconds)
        return rows_asked(object_of(body), task, service.types, limits)
    kind = media_type(request)
    if kind.startswith("image/") or kind == "application/octet-stream":
        body = await body_of(request, limits.picture, limits.seconds)
        return _pictured([checked(body, "body", limits)], service, many=False)
    if kind != "multipart/form-data":
        raise Refused(415, "media_type", found=kind, wanted="image/png, multipart/form-data")
    return await _uploaded(request, service)


async def _uploaded(request: Request, service: Service) -> Asked:
    """The pictures of a form, in its order."""
    limits = service.limits
    body = await body_of(request, limits.picture + limits.body, limits.seconds)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=limits.pictures + 1, max_fields=20, max_part_size=1 << 16
    )
    parser.spool_max_size = len(body) + 1  # nothing goes to a temporary file before it is masked
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, AssertionError) as why:
        said = getattr(why, "message", str(why)) or type(why).__name__
        raise bad("not_a_form", "body", why=said) from why
    bodies, said = [], {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            said[name] = value
        else:
            bodies.append(await value.read())
    if not bodies:
        raise bad("no_file", "body")
    if len(bodies) > limits.pictures:
        raise bad("too_many_rows", "body", rows=len(bodies), most=limits.pictures)
    found = [checked(one, f"file {i + 1}", limits) for i, one in enumerate(bodies)]
    return _pictured(found, service, many=len(found) > 1, key=key_in(said, service.task))


def _pictured(bodies: list[bytes], service: Service, *, many: bool, key: str | None = None) -> Asked:
    return Asked(columns={service.task.inputs[0]: bodies}, count=len(bodies), many=many, key=key)
