"""Who read or changed what: append-only, each row chained to the one before by a MAC under the project's key.

A row says who, what and about whom, never the payload. A row that was changed, or taken out of the middle,
breaks the chain; rows cut off the end are seen by who kept a copy of the last MAC (receipts hold it).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from bapsim.serve.people.tables import audit
from bapsim.store.ledger import now

FIRST = "0" * 64


def note(
    connection: sa.Connection, key: bytes, person: str | None, what: str, subject: str = "", **detail: Any
) -> str:
    """Write a row in the transaction of what it tells of; returns its MAC."""
    before = last(connection)
    row = {"at": now(), "person": person, "what": what, "subject": subject}
    row["detail"] = json.dumps(detail, ensure_ascii=False, sort_keys=True)
    mac = _mac(key, before, row)
    connection.execute(audit.insert().values(**row, mac=mac))
    return mac


def last(connection: sa.Connection) -> str:
    """The MAC of the newest row."""
    found = connection.execute(sa.select(audit.c.mac).order_by(audit.c.seq.desc()).limit(1)).scalar()
    return FIRST if found is None else str(found)


def broken(connection: sa.Connection, key: bytes) -> int | None:
    """The first row that does not follow from the one before; None where the chain is whole."""
    before = FIRST
    for row in connection.execute(sa.select(audit).order_by(audit.c.seq)).mappings():
        if not hmac.compare_digest(_mac(key, before, dict(row)), row["mac"]):
            return int(row["seq"])
        before = row["mac"]
    return None


def _mac(key: bytes, before: str, row: Mapping[str, Any]) -> str:
    said = [before, *(row[name] for name in ("at", "person", "what", "subject", "detail"))]
    return hmac.new(key, json.dumps(said, ensure_ascii=False).encode(), hashlib.sha256).hexdigest()
