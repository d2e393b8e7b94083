"""The history of the turns that a loop made by itself: a line each, in reports/history.txt."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from bapsim.core.errors import text
from bapsim.report.page import gain_in_words
from bapsim.report.words import fixed, number
from bapsim.store import fault

HISTORY = "history.txt"


def in_one_line(said: dict[str, Any], why: str, sheet: Path | None, lang: str) -> str:
    """A turn as a person reads it in a list: why, what came of it, what serves, what is asked."""
    verdict = text(f"verdict_word.{said['decision']['verdict']}", lang)
    gain = gain_in_words(said["decision"])
    serves = said["serves"]["version"] if said["serves"] is not None else "-"
    if said["serves"] is not None and said["serves"]["state"] == "provisional":
        serves += f" ({text('state.provisional', lang)})"
    parts = [text("watch.turn", lang, turn=said["turn"], why=why, verdict=verdict, gain=gain, serves=serves)]
    parts += fixed(said, lang)
    aside = [one["name"] for one in said["suspects"] if one["refused"]]
    if aside:
        parts.append(text("watch.aside", lang, names=", ".join(aside)))
    if sheet is not None:
        asked = number(said["questions"])
        parts.append(text("watch.asked", lang, questions=asked, sheet=f"questions/{sheet.name}"))
    return " ".join(parts)


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
