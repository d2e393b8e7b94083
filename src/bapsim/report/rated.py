"""Who of the people is right, as a table of the turn's page: each figure with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.words import number, percent

HEAD = ("who", "answers", "gold", "again", "outcomes", "others", "skill", "sure", "standing")


def raters(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table's head and rows of cells, and what it all says; None where nobody voted."""
    said = report.get("raters")
    if not said:
        return None
    return {
        "title": text("insight.raters", lang),
        "note": text("insight.raters.note", lang),
        "head": [text(f"insight.raters.{name}", lang) for name in HEAD],
        "rows": [_cells(one, lang) for one in said["people"]],
        "notes": list(_notes(said, lang)),
    }


def _cells(one: Mapping[str, Any], lang: str) -> list[str]:
    answers = number(one["answers"])
    if one["cannot_tell"]:
        answers = text("insight.raters.untold", lang, answers=answers, untold=number(one["cannot_tell"]))
    sure = one["brier"]
    brier = "–"
    if sure is not None:
        ends = {name: f"{sure[name]:.2f}" for name in ("rate", "low", "high")}
        brier = text("insight.raters.brier", lang, **ends, of=number(int(sure["of"])))
    shares = [interval(one[name], lang) for name in ("gold", "again", "outcomes", "others")]
    skill = "–" if not one["gold"]["of"] + one["outcomes"]["of"] else interval(one["skill"], lang, of=False)
    standing = text(f"insight.raters.{one['standing']}", lang)
    return [str(one["person"]), answers, *shares, skill, brier, standing]


def interval(one: Mapping[str, Any], lang: str, *, of: bool = True) -> str:
    """A share with its 95 %, and of how many; a dash of nothing."""
    if not one["of"]:
        return "–"
    ends = {name: percent(one[name], 0) for name in ("rate", "low", "high")}
    return text(f"insight.raters.share{'' if of else '.leaning'}", lang, **ends, of=number(round(one["of"])))


def _notes(said: Mapping[str, Any], lang: str) -> Iterator[str]:
    if said["agreement"]["of"]:
        yield text("insight.raters.agreement", lang, share=interval(said["agreement"], lang))
    shared = said["shared"]
    if shared["items"]:
        state = "apart" if shared["independent"] else "few" if shared["p"] >= 0.05 else "together"
        figures = {"pairs": number(shared["pairs"]), "expected": number(round(shared["expected"], 1), 1)}
        yield text(f"insight.raters.{state}", lang, items=number(shared["items"]), **figures)
    for one in said["people"]:
        if one["diverges"]:
            yield text("insight.raters.diverges", lang, person=one["person"])
    if said["surprising"]:
        yield text("insight.raters.surprising", lang, questions=number(len(said["surprising"])))
