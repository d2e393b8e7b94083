"""How the rules that people stated fare, as a table of the turn's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.words import number, percent
from bapsim.store.project import Project
from bapsim.store.stated import stated_rules
from bapsim.text.pii import scrub
from bapsim.text.rule_words import say_rule

HEAD = ("rule", "label", "matched", "right", "against", "taught")


def rules_in_words(project: Project, report: Mapping[str, Any], lang: str) -> dict[str, dict[str, str]]:
    """What the rules of a turn say, by the lines that state them, of those that still stand."""
    wanted = {one["line"] for one in report.get("rules", [])}
    said = stated_rules(project.inbox, {})[0] if wanted else []
    words = scrub([say_rule(one.rule, lang) for one in said])[0]
    found = zip(said, words, strict=True)
    return {one.line: {"text": word or ""} for one, word in found if one.line in wanted}


def rules(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table's head and rows of cells; None where nobody stated a rule. shown: their words, by line."""
    rows = [_cells(one, shown, lang) for one in report.get("rules", [])]
    if not rows:
        return None
    return {
        "title": text("insight.rules", lang),
        "note": text("insight.rules.note", lang),
        "head": [text(f"insight.rules.{name}", lang) for name in HEAD],
        "rows": rows,
        "notes": [],
    }


def _cells(one: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> list[str]:
    words = shown.get(one["line"], {}).get("text") or text("insight.rules.gone", lang)
    shares = {name: percent(one["precision"][name], 0) for name in ("share", "low", "high")}
    right = f"{shares['share']}% ({shares['low']}–{shares['high']})" if one["matched"] else "–"
    covers = f"{number(one['matched'])} ({percent(one['coverage'])}%)"
    taught = number(one["taught"]) if one["firm"] else text("insight.rules.weak", lang)
    return [words, str(one["label"]), covers, right, number(one["against"]), taught]
