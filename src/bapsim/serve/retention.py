"""Old segments of the log go, once a turn has taken them and all that was said of their requests.

Feedback lies in a later segment than its request, and is joined with it when a turn reads both: a segment
with a request of which something was said since the last turn's snapshot stays until a turn has taken that.
What no turn has taken stays, however old.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from pathlib import Path
from time import time

from bapsim.core.errors import BapsimError
from bapsim.serve.ids import Issued
from bapsim.serve.log import Segment, lines_of, segment_of
from bapsim.serve.release import folder_of
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.wheel.founding import load_recipe

FOLDER = "service"  # in the inbox
DAY = 86400.0
MINUTE = 60.0
COARSE = 2.0  # seconds by which times of files may be off
BEYOND = 600.0  # seconds for which a segment stays after the last feedback on it was let in


def log_folder(root: Path) -> Path:
    """Where the log lies: in the inbox, as everything that a turn takes."""
    return root / "inbox" / FOLDER


def taken(root: Path) -> float:
    """When (seconds since 1970) the last turn began that read the whole log and is done: a segment that was
    written to before that was in its snapshot, whole. 0 without such a turn.
    """
    query = (
        "select max(turn.started) from turn join batch on batch.turn = turn.n where batch.source = ?"
        " and batch.source in (select source from origin where batch like ?)"
        " and turn.n <= (select max(n) from turn where state = 'done')"
    )
    try:
        sources = load_recipe(root).sources.items()
        names = [name for name, one in sources if str(getattr(one, "path", "")).rstrip("/") == FOLDER]
        with opened(root, writing=False) as project:
            began = [project.ledger.value(query, name, f"{FOLDER}/%") for name in names]
    except BapsimError:  # no turn yet, or a recipe that is being written
        return 0.0
    return max((datetime.fromisoformat(str(at)).timestamp() - COARSE for at in began if at), default=0.0)


def retire(root: Path, deployment: str, days: int, current: str | None) -> tuple[int, int]:
    """Delete closed segments of a deployment older than `days` that a turn has taken whole, with their
    pictures; returns how many went, and how many are as old and have to stay.
    """
    old = []
    for path, segment in _segments(root):
        if segment.deployment != deployment or path.name == current:
            continue
        if time() - path.stat().st_mtime >= days * DAY + BEYOND:
            old.append(path)
    if not old:
        return 0, 0
    upto = taken(root)
    held = _spoken_of(root, upto)
    goes = [one for one in old if one.stat().st_mtime < upto and not _names_any(one, held)]
    if goes:
        last = max(one.stat().st_mtime for one in goes)
        said = json.dumps({"upto": max(last, deleted_upto(root))})
        fault.write(folder_of(root) / f"deleted-{deployment}.json", said.encode())
    for one in goes:
        _delete(one)
    return len(goes), len(old) - len(goes)


def _segments(root: Path) -> Iterator[tuple[Path, Segment]]:
    for path in sorted(log_folder(root).glob("*.jsonl")):
        segment = segment_of(path.name)
        if segment is not None:
            yield path, segment


def _spoken_of(root: Path, upto: float) -> set[str]:
    """Requests of which something was said in files of the log, of whatever name, that no turn has taken."""
    found = set()
    for path in log_folder(root).glob("*.jsonl"):
        if path.stat().st_mtime < upto:
            continue
        with path.open("rb") as file:
            for line in file:
                if b'"input":' in line:  # a request: no text within a line has quotes that are not escaped
                    continue
                try:
                    said = json.loads(line)
                except ValueError:  # not ours, or not whole
                    continue
                if isinstance(said, dict) and isinstance(said.get("request"), str):
                    found.add(said["request"])
    return found


def _names_any(path: Path, requests: set[str]) -> bool:
    return bool(requests) and any(line.get("request") in requests for line in lines_of(path))


def _delete(path: Path) -> None:
    for line in lines_of(path):
        asked = line.get("input")
        for value in asked.values() if isinstance(asked, dict) else ():
            if isinstance(value, dict) and isinstance(value.get("file"), str):
                picture = (path.parent / value["file"]).resolve()
                if picture.is_relative_to(path.parent.resolve()):
                    picture.unlink(missing_ok=True)
    path.unlink()


# --- what is not there any more -------------------------------------------------------------------


def deleted_upto(root: Path) -> float:
    """Requests answered before that (seconds since 1970) may have been deleted; 0: none was ever."""
    return max((_upto(one) for one in folder_of(root).glob("deleted-*.json")), default=0.0)


def _upto(mark: Path) -> float:
    """What a mark says; one that was damaged says nothing."""
    try:
        said = float(json.loads(mark.read_bytes())["upto"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0.0
    return said if isfinite(said) else 0.0


def is_gone(root: Path, request: str, given: Issued) -> bool:
    """Whether a request's line was deleted: read are the segments that its worker wrote to at that time."""
    later = set()  # starts whose segments are younger from here on
    for path, segment in _segments(root):
        start, written = segment._replace(number=0), path.stat().st_mtime
        if segment.worker % 256 != given.worker or start in later or written + COARSE < given.at:
            continue
        if written > given.at + MINUTE:
            later.add(start)
        if any(line.get("request") == request and "input" in line for line in lines_of(path)):
            return False
    return True
