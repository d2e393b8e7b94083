"""The audit log as a page: who did what to whom, and whether the chain is whole; nobody's words."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from starlette.responses import Response

from bapsim.serve.people.audit import broken
from bapsim.serve.people.doors import Ask, Door
from bapsim.serve.people.roles import AUDITING
from bapsim.serve.people.tables import audit

SHOWN = 200


def rows_before(connection: sa.Connection, before: int | None, most: int = SHOWN) -> list[dict[str, Any]]:
    """Rows of the log, the newest first."""
    query = sa.select(audit).order_by(audit.c.seq.desc()).limit(most)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [dict(row) for row in connection.execute(query).mappings()]


async def page(ask: Ask) -> Response:
    """The newest rows."""
    said = ask.request.query_params.get("before", "")
    before = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None
    rows = await ask.read(lambda c: rows_before(c, before))
    wrong = await ask.read(lambda c: broken(c, ask.rooms.key))
    return ask.page("audit.html.j2", rows=rows, wrong=wrong, more=len(rows) == SHOWN)


DOORS = (Door(path="/people/audit", handler=page, who=AUDITING, nav="audit"),)
