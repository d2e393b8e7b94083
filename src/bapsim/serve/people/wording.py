"""What somebody gave, in words: a line as its person reads it again, without the marks of hidden tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from bapsim.core.errors import InputError
from bapsim.core.errors import text as message
from bapsim.serve.people.desk_tables import item
from bapsim.serve.people.texts import redacted
from bapsim.text.rule_words import say_rule
from bapsim.text.rules import rule_of

SECRET = ("blind",)  # which answers are tests is told when their result is
Json = dict[str, Any]


def plain(body: Mapping[str, Any]) -> Json:
    """What a line says, as its person may have it at any time."""
    return {name: value for name, value in body.items() if name not in SECRET}


def in_words(kind: str, body: Mapping[str, Any], texts: Mapping[str, str], lang: str) -> Json:
    """A line in words: what it is about, what it says, and why; texts: what was shown, by id."""
    shown, messages = texts.get(str(body.get("question") or ""), ""), body.get("messages") or [{}]
    found: tuple[Any, Any, Any]
    match kind:
        case "vote":
            found = (shown, _vote(body, lang), body.get("comment"))
        case "example":
            found = (_joined(body.get("input")), _joined(body.get("target")), body.get("why"))
        case "rule":
            found = (_rule(body.get("rule"), lang), body.get("label"), "")
        case "view":
            shares = (f"{label} {100 * share:.0f} %" for label, share in body["distribution"].items())
            found = (shown or _joined(body.get("input")), ", ".join(shares), body.get("comment"))
        case "guideline":
            found = (body.get("label"), body.get("text"), "")
        case "qa":
            found = (body.get("question_text"), body.get("answer_text"), "")
        case "instruction":
            found = (messages[0].get("content"), messages[-1].get("content"), "")
        case "pair":
            found = (body.get("prompt"), body.get("chosen"), body.get("rejected"))
        case "spans":
            found = (_joined(body.get("input")), _joined(one[2] for one in body.get("spans") or ()), "")
        case _:
            found = (shown, body.get("text"), "")
    return dict(zip(("about", "says", "why"), (one or "" for one in found), strict=True))


def _vote(body: Mapping[str, Any], lang: str) -> str:
    if body.get("cannot_tell"):
        return message("people.desk.cannot_tell", lang)
    if body.get("not"):
        return message("people.said.not", lang, label=_joined(body["not"]))
    return _joined(body.get("said"))


def _rule(rule: Any, lang: str) -> str:
    try:
        return say_rule(rule_of(rule), lang)
    except InputError:
        return _joined(rule)


def _joined(value: Any) -> str:
    """Texts, labels and numbers in a row."""
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return "" if value is None else str(value)
    return ", ".join(_joined(one) for one in value)


def texts_of(connection: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """What the desk showed of these items, without personal data, by id."""
    wanted = sorted({one for one in names if one})
    query = sa.select(item.c.id, item.c.shows).where(item.c.id.in_(wanted))
    return {row.id: _joined(hidden(json.loads(row.shows))) for row in connection.execute(query)}


def hidden(shows: Mapping[str, str]) -> dict[str, str]:
    """What an item shows, without personal data."""
    return {name: redacted(said)[0] for name, said in shows.items()}
