"""The recipe's verifiers and how far each may be believed, as a table of the turn's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.refine.mutation import LIMIT
from bapsim.report.words import number, percent

HEAD = ("name", "fooled", "upper", "refuses", "kinds", "word")


def verifiers(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table's head and rows of cells; None where no verifier was audited in this turn."""
    found = report.get("verifiers", {})
    if not found:
        return None
    return {
        "title": text("insight.verifiers", lang),
        "note": text("insight.verifiers.note", lang, limit=percent(LIMIT)),
        "head": [text(f"insight.verifiers.{name}", lang) for name in HEAD],
        "rows": [_cells(name, one, lang) for name, one in sorted(found.items())],
        "notes": [],
    }


def _cells(name: str, one: Mapping[str, Any], lang: str) -> list[str]:
    fooled = f"{number(one['fooled'])} / {number(one['answers'])}"
    refuses = "–" if one["false_refuse"] is None else f"{percent(one['false_refuse'])}%"
    kinds = [f"{kind} {taken}/{tried}" for kind, (taken, tried) in one["kinds"].items() if taken]
    word = text(f"insight.verifiers.{'admits' if one['admits'] else 'ranks'}", lang)
    return [name, fooled, f"{percent(one['upper'])}%", refuses, ", ".join(kinds) or "–", word]
