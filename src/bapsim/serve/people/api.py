"""Routes that speak JSON, for other programs: the same doors, a session cookie, and the header X-CSRF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.serve.http import as_json
from bapsim.serve.people import auditing, consent, lines, names, owner
from bapsim.serve.people.doors import Ask, Door
from bapsim.serve.people.roles import AUDITING, OWNER, ROLES, SIGNED_IN
from bapsim.serve.people.wording import plain
from bapsim.serve.refused import bad

Json = dict[str, Any]
REFUSED: dict[int, str] = {
    400: "The request cannot be read.",
    401: "Nobody is signed in.",
    403: "The role may not do this, or the form token is not right.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The request was read and cannot be used; `where` says which part of it.",
    429: "Too many requests; see the header Retry-After.",
    500: "A fault of ours.",
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["key", "where", "what", "next"],
            "properties": {
                "key": {"type": "string"},
                "what": {"type": "string"},
                "where": {"type": ["string", "null"]},
                "next": {"type": ["string", "null"]},
            },
        }
    },
}
TEXT: Json = {"type": "string"}
MOST = 10**17  # of a sequence number


def described(
    summary: str, answer: Json, *, body: Json | None = None, query: Mapping[str, Json] | None = None
) -> Json:
    """The OpenAPI of a door: what it takes and gives, and how it refuses."""
    refusals: dict[int | str, Json] = {
        status: {"description": said, "content": {"application/json": {"schema": ERROR}}}
        for status, said in REFUSED.items()
        if body is not None or status not in (408, 413, 415, 422) or (query and status == 422)
    }
    extra: Json = {}
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in (query or {}).items()
    ]
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        parameters.append({"name": "x-csrf", "in": "header", "required": True, "schema": TEXT})
    if parameters:
        extra["parameters"] = parameters
    fine = {"description": "Done.", "content": {"application/json": {"schema": answer}}}
    return {
        "summary": summary,
        "description": "Needs the cookie of a session"
        + ("." if body is None else ", and its token in x-csrf."),
        "responses": {200: fine, **refusals},
        "openapi_extra": extra,
        "tags": ["people"],
    }


def a_list(**columns: Json) -> Json:
    """The schema of {"items": [...]}."""
    one = {"type": "object", "properties": columns, "required": list(columns)}
    return {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": one}}}


async def me(ask: Ask) -> Response:
    """Who asks, and the token that everything that writes must send."""
    who = ask.who
    said = {"id": who.id, "role": who.role, "lang": who.lang, "domain": who.domain}
    given = await ask.read(lambda c: consent.standing(c, who.id))
    return as_json(
        {**said, "consent": given, "csrf": names.form_token(ask.token)}, headers={"cache-control": "no-store"}
    )


async def persons(ask: Ask) -> Response:
    """Everybody, as the owner's page has them."""
    found = await ask.write(lambda c: owner.listed(c, ask))
    return as_json({"items": found}, headers={"cache-control": "no-store"})


async def invite(ask: Ask) -> Response:
    """A new person and the link, which is told once."""
    said = {"domain": "", **ask.form.json}
    if unknown := sorted(set(said) - {"role", "lang", "domain"}):
        raise bad("unknown_field", unknown[0][:80])
    role, lang, domain = owner.wanted(said.get("role"), said.get("lang"), said["domain"])
    who, token = await ask.write(lambda c: owner.invited(c, ask, role, lang, domain))
    return as_json({"id": who, "link": owner.link_of(ask, token)}, headers={"cache-control": "no-store"})


async def consents(ask: Ask) -> Response:
    """One's own consents with their receipts."""
    found = await ask.read(lambda c: consent.of_person(c, ask.who.id))
    items = [
        {"id": one["id"], "state": one["state"], "made": one["made"], "receipt": json.loads(one["receipt"])}
        for one in found
    ]
    return as_json({"items": items}, headers={"cache-control": "no-store"})


async def my_lines(ask: Ask) -> Response:
    """All that one gave, drafts too."""

    def read(connection: sa.Connection) -> list[Json]:
        found = lines.of_person(connection, ask.who.id)
        return [
            {name: row[name] for name in ("id", "kind", "state", "consent", "made")}
            | {"said": plain(lines.read(ask.rooms.keys, row))}
            for row in found
            if row["state"] != "undone"
        ]

    return as_json({"items": await ask.read(read)}, headers={"cache-control": "no-store"})


async def audit(ask: Ask) -> Response:
    """The newest rows of the audit log before a number."""
    said = ask.request.query_params.get("before")
    if said is not None and not (said.isascii() and said.isdigit() and len(said) < 19 and int(said) <= MOST):
        raise bad("not_a_number", "before", said=said[:40])
    rows = await ask.read(lambda c: auditing.rows_before(c, None if said is None else int(said)))
    return as_json({"items": rows}, headers={"cache-control": "no-store"})


_WHO = {"id": TEXT, "role": {"enum": list(ROLES)}, "lang": {"enum": ["ko", "en"]}, "domain": TEXT}
_INVITE = {
    "type": "object",
    "required": ["role", "lang"],
    "additionalProperties": False,
    "properties": {
        "role": {"enum": list(ROLES)},
        "lang": {"enum": ["ko", "en"]},
        "domain": {"type": "string", "maxLength": owner.DOMAIN},
    },
}
_ME = {
    "type": "object",
    "required": [*_WHO, "consent", "csrf"],
    "properties": {**_WHO, "consent": {"type": ["string", "null"]}, "csrf": TEXT},
}
_LINK = {"type": "object", "required": ["id", "link"], "properties": {"id": TEXT, "link": TEXT}}
_SEQ = {"type": "integer", "minimum": 0, "maximum": MOST}

DOORS = (
    Door(path="/people/api/me", handler=me, who=SIGNED_IN, api=described("Who asks", _ME)),
    Door(
        path="/people/api/persons",
        handler=persons,
        who=OWNER,
        api=described("Everybody", a_list(**_WHO, state=TEXT)),
    ),
    Door(
        path="/people/api/invites",
        handler=invite,
        who=OWNER,
        method="POST",
        api=described("Invite somebody", _LINK, body=_INVITE),
    ),
    Door(
        path="/people/api/consents",
        handler=consents,
        who=SIGNED_IN,
        api=described(
            "One's own consents", a_list(id=TEXT, state=TEXT, made=TEXT, receipt={"type": "object"})
        ),
    ),
    Door(
        path="/people/api/lines",
        handler=my_lines,
        who=SIGNED_IN,
        api=described("All that one gave", a_list(id=TEXT, kind=TEXT, state=TEXT, said={"type": "object"})),
    ),
    Door(
        path="/people/api/audit",
        handler=audit,
        who=AUDITING,
        api=described("The audit log", a_list(seq={"type": "integer"}, what=TEXT), query={"before": _SEQ}),
    ),
)
