"""What people earned, in words: a table for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.mods import Money
from bapsim.report.words import number
from bapsim.wheel.pay_statement import WHATS

HEAD = ("who", "lines", "time", "tests", "owed", "accepted", "point")
BRIEF = ("who", "owed", "accepted", "point")  # what a terminal has room for
MINUTE = 60_000


def amount(minor: int, currency: str) -> str:
    """A signed amount with its currency."""
    return f"{bare(minor, currency)} {currency}"


def bare(minor: int, currency: str) -> str:
    """A signed amount of a currency, without it."""
    return f"{'−' if minor < 0 else ''}{Money(minor=abs(minor), currency=currency).amount}"


def duration(ms: int, lang: str) -> str:
    """Hours and minutes."""
    hours, minutes = divmod(round(ms / MINUTE), 60)
    key = "statement.hours" if hours else "statement.minutes"
    return text(key, lang, **({"hours": number(hours)} if hours else {}), minutes=minutes)


def why_in_words(key: str, lang: str) -> str:
    """A reason for which a line was not taken; one that a check of the recipe gave stands for itself."""
    return text(key, lang) if key in messages() else key.partition(".")[2]


def owed(people: Sequence[Mapping[str, Any]], lang: str) -> list[list[str]]:
    """What everybody has coming, by person and currency, with a head; kinds that nobody has are left out."""
    rows = [(one["person"], currency, sums) for one in people for currency, sums in one["currencies"].items()]
    kinds = [name for name in WHATS if any(sums[name] for _, _, sums in rows)] + ["balance"]
    heads = (text("pay.person", lang), text("statement.currency", lang))
    table = [[*heads, *(text(f"pay.what.{name}", lang) for name in kinds)]]
    return table + [
        [who, currency, *(bare(sums[n], currency) for n in kinds)] for who, currency, sums in rows
    ]


def table(said: Mapping[str, Any], lang: str, names: Sequence[str] = HEAD) -> list[list[str]]:
    """One row a person, then one a source, with a head; of these columns."""
    head = [text(f"insight.paid.{name}", lang) for name in names]
    sources = [
        {**one, "name": text("insight.paid.source", lang, name=one["name"])} for one in said["sources"]
    ]
    rows = [dict(zip(HEAD, _cells(one, lang), strict=True)) for one in (*said["people"], *sources)]
    return [head, *([row[name] for name in names] for row in rows)]


def section(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table of a turn's page; None where nobody works under a rule of pay."""
    said = report.get("people")
    if not said:
        return None
    head, *rows = table(said, lang)
    note = text("insight.paid.note", lang)
    return {"title": text("insight.paid", lang), "note": note, "head": head, "rows": rows, "notes": []}


def _cells(one: Mapping[str, Any], lang: str) -> list[str]:
    taken = {"taken": number(one["taken"]), "said": number(one["taken"] + one["declined"])}
    tests = {"taken": number(one["right"]), "said": number(one["tests"])}
    return [
        str(one["name"]),
        text("insight.paid.of", lang, **taken),
        duration(one["ms"], lang) if one["ms"] else "–",
        text("insight.paid.of", lang, **tests) if one["tests"] else "–",
        "; ".join(amount(minor, currency) for currency, minor in one["owed"].items()) or "–",
        "; ".join(_each(cost, currency, lang) for currency, cost in one["accepted"].items()) or "–",
        "; ".join(_each(cost, currency, lang) for currency, cost in one["point"].items()) or "–",
    ]


def _each(cost: Mapping[str, float | None], currency: str, lang: str) -> str:
    """What one of them cost, with its interval; cannot tell where it has no upper end."""
    ends: Sequence[float | None] = [cost[name] for name in ("each", "low", "high")]
    if any(end is None for end in ends):
        return text("insight.source.unknown", lang)
    each, low, high = (Money(minor=round(end or 0), currency=currency).amount for end in ends)
    return f"{each} {currency} ({low}–{high})"
