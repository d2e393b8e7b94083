"""For whom the model is worse, as tables of the turn's page: groups, their gaps over turns, who answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.words import amount, number, percent

HEAD = ("value", "rows", "score", "people", "most")


def gap_tables(report: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """A table for each declared group; none of turns of older versions."""
    kind = "number" if report.get("answer") == "number" else "points"
    for one in report.get("gaps", ()):
        views = {view["name"]: view for view in one["views"]}
        yield {
            "title": text("gaps.title", lang, name=one["name"]),
            "note": text(f"gaps.note.{kind}", lang),
            "head": [text(f"gaps.head.{name}", lang) for name in HEAD],
            "rows": [_cells(part, views[part["name"]], kind) for part in one["parts"]],
            "notes": list(sentences(one, kind, lang)),
        }


def _cells(part: Mapping[str, Any], view: Mapping[str, Any], kind: str) -> list[str]:
    score = "–"
    if part["score"] is not None:
        score = _spread(part, "score", kind)
    most = "–" if view["most"] is None else _spread(view, "most", "points")
    return [part["name"], number(part["rows"]), score, number(view["people"]), most]


def _spread(said: Mapping[str, Any], name: str, kind: str) -> str:
    if kind == "number":
        shown = (amount(said[one], kind, signed=False) for one in (name, "low", "high"))
        return "{} [{}, {}]".format(*shown)
    return f"{percent(said[name])}% [{percent(said['low'])}, {percent(said['high'])}]"


def sentences(one: Mapping[str, Any], kind: str, lang: str) -> Iterator[str]:
    """The gap, how it came about over turns, whether it became smaller, and what is not told."""
    yield gap_said(one, kind, lang)
    for past in one["past"]:
        if past["gap"] is not None:
            yield text("gaps.past", lang, turn=past["turn"], **_named(past), **_ends(past, kind))
    change = one["change"]
    if change is not None:
        sure = "closed" if change["low"] > 0 else "opened" if change["high"] < 0 else "open"
        rows = number(change["rows"])
        yield text(
            f"gaps.change.{sure}", lang, **_named(change), **_ends(change, kind, signed=True), rows=rows
        )
    if one["unknown"]:
        yield text("gaps.unknown", lang, rows=number(one["unknown"]))
    if one["left"]:
        yield text("gaps.left", lang, values=number(one["left"]))


def gap_said(one: Mapping[str, Any], kind: str, lang: str) -> str:
    """The gap of a group with its interval in a sentence."""
    if one["gap"] is None:
        return text("gaps.untold", lang)
    return text(f"gaps.said.{kind}", lang, **_named(one), **_ends(one, kind))


def _named(one: Mapping[str, Any]) -> dict[str, str]:
    return {"best": one["best"], "worst": one["worst"]}


def _ends(one: Mapping[str, Any], kind: str, *, signed: bool = False) -> dict[str, str]:
    return {name: amount(one[name], kind, signed=signed) for name in ("gap", "low", "high")}
