"""Old segments of the log go, once a turn has taken them; what no turn has taken stays, however old."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from bapsim.core.errors import BapsimError
from bapsim.serve.log import lines_of, segment_of
from bapsim.store.project import opened

FOLDER = "service"  # in the inbox
DAY = 86400.0


def log_folder(root: Path) -> Path:
    """Where the log lies: in the inbox, as everything that a turn takes."""
    return root / "inbox" / FOLDER


def taken(root: Path) -> dict[str, float]:
    """Segments that a finished turn brought records of, and when (seconds since 1970) the last such turn
    took its snapshot: what was written before that was in it.
    """
    query = (
        "select origin.batch as batch, max(turn.started) as started"
        " from origin join turn on turn.n = origin.turn"
        " where turn.state = 'done' and origin.batch like ? group by origin.batch"
    )
    try:
        with opened(root, writing=False) as project:
            rows = project.ledger.rows(query, f"{FOLDER}/%")
    except BapsimError:  # no turn yet
        return {}
    found = {}
    for row in rows:
        found[Path(str(row["batch"])).name] = datetime.fromisoformat(str(row["started"])).timestamp()
    return found


def retire(root: Path, deployment: str, days: int, current: str | None) -> tuple[int, int]:
    """Delete closed segments of a deployment older than `days` that a turn has taken whole, with their
    pictures; returns how many went, and how many are as old and were taken by none.
    """
    known, gone, kept = taken(root), 0, 0
    for path in sorted(log_folder(root).glob("*.jsonl")):
        segment = segment_of(path.name)
        if segment is None or segment.deployment != deployment or path.name == current:
            continue
        written = path.stat().st_mtime
        if time.time() - written < days * DAY:
            continue
        if known.get(path.name, 0.0) > written:
            _delete(path)
            gone += 1
        else:
            kept += 1
    return gone, kept


def _delete(path: Path) -> None:
    for line in lines_of(path):
        for value in line.get("input", {}).values():
            if isinstance(value, dict) and isinstance(value.get("file"), str):
                picture = (path.parent / value["file"]).resolve()
                if picture.is_relative_to(path.parent.resolve()):
                    picture.unlink(missing_ok=True)
    path.unlink()
