"""The history of the turns that a loop made by itself: a line each, in reports/history.txt."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bapsim.store import fault

HISTORY = "history.txt"


def stamped(said: str) -> str:
    """A line as it stands in the history: local time and what happened."""
    at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{at}  {' '.join(said.split())}"


def enter(root: Path, line: str) -> None:
    """Add a line that is not there yet. The file is written whole: a full disk leaves no half of a line."""
    place = root / "reports" / HISTORY
    old = place.read_bytes() if place.exists() else b""
    new = line.encode("utf-8", "replace")
    if new not in old.splitlines():
        glue = b"\n" if old and not old.endswith(b"\n") else b""
        fault.write(place, old + glue + new + b"\n")
