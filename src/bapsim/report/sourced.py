"""What each source gave and cost, and how each version fared in service, as tables of the turn's page; what
nobody can tell is said to be so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bapsim.core.errors import text
from bapsim.mods import Money
from bapsim.report.words import number, percent, points

MOST = 8  # files of a source that are told apart
HEAD = ("source", "given", "aside", "wrong", "points", "cost")


def sources(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table's head and rows of cells, and notes below; None for turns of versions that have none."""
    rows = report.get("sources")
    if not rows:
        return None
    return {
        "title": text("insight.sources", lang),
        "note": text("insight.sources.note", lang),
        "head": [text(f"insight.source.{name}", lang) for name in HEAD],
        "rows": [[_name(one, lang), _given(one, lang), *_judged(one, lang), cost(one, lang)] for one in rows],
        "notes": [note for one in rows if one["name"] is not None for note in _notes(one, lang)],
    }


def market(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """What people said of each version's answers; None where no service ran, or nobody said anything."""
    rows = report.get("market", [])
    if not any(one["spoke"] for one in rows):
        return None
    cells = []
    for one in rows:
        counts = [number(one[name]) for name in ("requests", "spoke")]
        share = text("insight.source.unknown", lang)
        if one["spoke"]:
            said = {name: percent(one[name], 0) for name in ("share", "low", "high")}
            share = f"{said['share']}% ({said['low']}–{said['high']})"
        cells.append([one["version"], *counts, share])
    return {
        "title": text("insight.market", lang),
        "note": text("insight.market.note", lang),
        "head": [
            text(f"insight.market.{name}", lang) for name in ("version", "requests", "spoke", "content")
        ],
        "rows": cells,
        "notes": [],
    }


def _name(one: Mapping[str, Any], lang: str) -> str:
    return str(one["name"]) if one["name"] is not None else text("insight.source.none", lang)


def _given(one: Mapping[str, Any], lang: str) -> str:
    """Rows that are trained on, and what else stands."""
    if one["name"] is None:
        return ""
    counts = [(name, one[name]) for name in ("trained", "exam", "pool", "pending", "superseded") if one[name]]
    unread = sum(rows for reason, rows in one["unread"].items() if reason != "cannot_tell")  # an answer
    counts += [("unread", unread)] if unread else []
    said = [text(f"insight.source.{name}", lang, rows=number(rows)) for name, rows in counts]
    return ", ".join(said) or "0"


def _judged(one: Mapping[str, Any], lang: str) -> list[str]:
    """Rows refused, wrong labels beyond what is usual, points."""
    if one["name"] is None:
        return ["", "", ""]
    return [number(sum(one["refused"].values())), _wrong(one["noise"], lang), _points(one["points"], lang)]


def _wrong(noise: Mapping[str, Any] | None, lang: str) -> str:
    if noise is None:
        return text("insight.source.unknown", lang)
    share, low, high = (percent(noise[name], 0) for name in ("share", "low", "high"))
    return f"{share}% ({low}–{high})"


def _points(said: Mapping[str, Any] | None, lang: str) -> str:
    """The gain with its interval where it tells."""
    if said is None or not said.get("tells"):
        return text("insight.source.unknown", lang)
    gain, low, high = (points(said[name]) for name in ("gain", "low", "high"))
    return f"{gain} [{low}, {high}]"


def cost(one: Mapping[str, Any], lang: str) -> str:
    """What was paid, and for each accepted record; a dash where nothing was written down."""
    each = one.get("cost_per_accepted", {})
    said = []
    for currency, minor in one["costs"].items():
        paid = money(minor, currency)
        one_record = money(round(each.get(currency, 0)), currency)
        told = text("insight.source.each", lang, paid=paid, each=one_record)
        said.append(told if currency in each else paid)
    return "; ".join(said) or "–"


def spent(curve: Sequence[Mapping[str, Any]], lang: str) -> str:
    """What was paid turn by turn; empty where nothing was written down."""
    paid = []
    for one in curve:
        amounts = [money(minor, currency) for currency, minor in one.get("costs", {}).items()]
        if amounts:
            paid.append(text("insight.spent.turn", lang, turn=one["turn"], paid=" + ".join(amounts)))
    return text("insight.spent", lang, paid="; ".join(paid)) if paid else ""


def money(minor: int, currency: str) -> str:
    """An amount with its currency."""
    return f"{Money(minor=minor, currency=currency).amount} {currency}"


def _notes(one: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What the table has no room for: classes of its own, and what people said of what was set aside."""
    for paid in one.get("paid", [])[:MOST]:
        counts = {name: number(paid[name]) for name in ("accepted", "rows")}
        amount = money(paid["minor"], paid["currency"])
        yield text("insight.source.file", lang, file=paid["file"], paid=amount, **counts)
    for key, rows in (("new", one["new"]), ("checked", one["checked"])):
        if rows is not None:
            shares = {name: percent(rows[name], 0) for name in ("share", "low", "high")}
            counts = {name: number(rows[name]) for name in ("agree", "rows", "classes") if name in rows}
            yield text(f"insight.source.{key}", lang, name=one["name"], **shares, **counts)
