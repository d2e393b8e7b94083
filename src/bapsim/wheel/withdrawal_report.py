"""What a withdrawal says when it is done, signed: what went, who consumed it, what no withdrawal reaches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bapsim.store.ledger import Ledger, now
from bapsim.store.project import Project
from bapsim.store.terms import Withdrawal, stem
from bapsim.wheel.departures import departures
from bapsim.wheel.scrubbing import Outcome, histories
from bapsim.wheel.tainting import tainted
from bapsim.wheel.verifying import Hit

FOLDER = "withdrawals"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was done beside the records: owners of destroyed keys, taped answers, cells of the ledger, files
    of models, other files; quoted: records of others with the same words.
    """

    keys: list[str]
    dialogues: int
    cells: int
    models: list[dict[str, Any]]
    files: list[Outcome]
    quoted: tuple[str, ...]


def place_of(project: Project, consent: str) -> Path:
    """Where the report of a withdrawal lies."""
    return project.root / "reports" / FOLDER / stem(consent)


def report_of(project: Project, consent: str) -> dict[str, Any] | None:
    """The report as it lies there; None where there is none, or it cannot be read."""
    try:
        said = json.loads((place_of(project, consent) / "report.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("body"), dict) else None


def body_of(
    project: Project, one: Withdrawal, told: Told, hits: Collection[Hit], state: str
) -> dict[str, Any]:
    """The body of the report; what an earlier report of the same withdrawal told is told again."""
    seq, mac = project.ledger.head()
    earlier = report_of(project, one.consent)
    past = earlier["body"] if earlier is not None else {}
    files = [*past.get("files", []), *(asdict(file) for file in told.files)]
    return {
        "consent": one.consent,
        "person": one.person,
        "withdrawn": one.at,
        "by": one.by,
        "finished": now(),
        "state": state,
        "records": tallied(project.ledger, one.consent),
        "actions": actions_of(project.ledger, one.consent),
        "quoted": sorted({*past.get("quoted", []), *told.quoted}),
        "keys": sorted({*past.get("keys", []), *told.keys}),
        "dialogues": past.get("dialogues", 0) + told.dialogues,
        "ledger_cells": past.get("ledger_cells", 0) + told.cells,
        "model_files": [*past.get("model_files", []), *told.models],
        "files": list({json.dumps(file, sort_keys=True): file for file in files}.values()),
        "consumers": consumers(project, one.consent),
        "serving": serving(project),
        "outside": outside(project, one.consent),
        "verification": {"found": [asdict(hit) for hit in hits]},
        "chain": f"{seq} {mac}",
        "program": f"bapsim {version('bapsim')}",
    }


def actions_of(ledger: Ledger, consent: str) -> list[dict[str, str]]:
    """What was done with each record that rested on a consent."""
    rows = ledger.rows("select id, action, reason from action where consent=? order by rowid", consent)
    return [{"id": row["id"].hex(), "action": row["action"], "reason": row["reason"]} for row in rows]


def tallied(ledger: Ledger, consent: str) -> dict[str, int]:
    """Records by action and reason."""
    return counted(actions_of(ledger, consent))


def counted(actions: Collection[dict[str, str]]) -> dict[str, int]:
    """How many records for each action and reason, as `action.reason`."""
    return dict(sorted(Counter(f"{one['action']}.{one['reason']}" for one in actions).items()))


def consumers(project: Project, consent: str) -> list[dict[str, Any]]:
    """Every model and set of records, clean or tainted by this consent, with the remedy; then exams and
    packages that consumed it.
    """
    query = "select kind, name, turn, rows, remedy from taint where consent=? order by rowid"
    rows = project.ledger.rows(query, consent)
    marked = {(row["kind"], row["name"]): {**row, "state": "tainted"} for row in rows}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in project.ledger.rows("select version, data, turn from model order by turn, rowid"):
        for kind, name in (("model", row["version"]), ("data", row["data"])):
            clean = {"kind": kind, "name": name, "turn": row["turn"], "rows": 0, "remedy": None}
            found[kind, name] = marked.pop((kind, name), found.get((kind, name), {**clean, "state": "clean"}))
    return [*found.values(), *marked.values()]


def serving(project: Project) -> dict[str, Any]:
    """What serves, and by which withdrawals it is tainted."""
    current = project.ledger.value("select version from used order by n desc limit 1")
    marks = [] if current is None else tainted(project.ledger, "model", str(current))
    state = "none" if current is None else "tainted" if marks else "clean"
    return {"version": current, "state": state, "consents": [str(mark["consent"]) for mark in marks]}


def outside(project: Project, consent: str) -> dict[str, Any]:
    """What no withdrawal reaches: packages that were sent, earlier versions of files, copies elsewhere."""
    query = "select name from taint where consent=? and kind in ('export', 'ship')"
    names = {row["name"] for row in project.ledger.rows(query, consent)}
    sent = [asdict(one) | {"name": one.name} for one in departures(project) if one.name in names]
    return {"sent": sent, "histories": histories(project), "copies": "not_known"}
