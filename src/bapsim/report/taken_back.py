"""Consents that were taken back, and which models learnt from what they covered, on a turn's page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.words import number

HEAD = ("consent", "person", "at", "delete", "drop", "re-verify", "keep", "state")
COUNTS = ("delete", "drop", "re-verify", "keep")


def section(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table of withdrawals, and below it every model that is tainted; None where nobody withdrew."""
    said = report.get("withdrawn")
    if said is None:
        return None
    return {
        "title": text("insight.withdrawn", lang),
        "note": text("insight.withdrawn.note", lang),
        "head": [text(f"insight.withdrawn.{name}", lang) for name in HEAD],
        "rows": [_cells(one, lang) for one in said["consents"]],
        "notes": [*_models(said, lang)] or [text("insight.withdrawn.clean", lang)],
    }


def _cells(one: Mapping[str, Any], lang: str) -> list[str]:
    counts = [number(one["records"].get(name, 0)) for name in COUNTS]
    state = text(f"insight.withdrawn.state.{one['state']}", lang)
    return [one["consent"], one["person"], one["at"][:10], *counts, state]


def _models(said: Mapping[str, Any], lang: str) -> Iterator[str]:
    for one in said["models"]:
        names = {"kind": text("withdraw.kind.model", lang), "name": one["version"]}
        remedy = text(f"withdraw.remedy.{one['remedy']}", lang)
        yield text("withdraw.tainted", lang, **names, rows=number(one["rows"]), remedy=remedy)
