"""Override what serves, or what was set aside: a person's choice, with a reason, on the record."""

from __future__ import annotations

from typing import Any

from bapsim.core.errors import InputError
from bapsim.store.project import Project
from bapsim.wheel.aside import set_aside, take_back
from bapsim.wheel.candidates import NAME


def use(project: Project, version: str, reason: str) -> dict[str, Any]:
    """Let another version serve from now on; the next turn that accepts or provisionally serves replaces it.

    The name of a delivery that was set aside is taken back instead (`take_back`). Raises InputError for a
    version that is not known, or that has nothing to serve with.
    """
    ledger = project.ledger
    if version in set_aside(ledger):
        return take_back(project, version, reason)
    servable = [
        r["version"] for r in ledger.rows("select version from model where served is not null order by rowid")
    ]
    if not reason.strip():
        raise InputError("reason_is_empty")
    if version not in servable or not (project.models / NAME / version / "served").is_dir():
        known = ledger.value("select 1 from model where version=?", version) is not None
        key = "not_servable" if known else "unknown_version"
        raise InputError(key, version=version, known=", ".join(servable) or "-")
    before = ledger.value("select version from used order by n desc limit 1")
    if before != version:
        number = int(ledger.value("select coalesce(max(n), 0) from used")) + 1
        turn = int(ledger.value("select coalesce(max(n), 0) from turn"))
        with ledger.change("used") as changed:
            changed.add("used", n=number, version=version, reason=f"person: {reason.strip()}", turn=turn)
    return {"version": version, "before": before, "reason": reason.strip()}
