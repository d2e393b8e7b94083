"""Why a record stands where it stands, and why a model was accepted or not: lines of (heading, words)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bapsim.core.errors import text
from bapsim.report.kin import said_of
from bapsim.report.words import amount, number, parts, reason_text, unit_of

Lines = Iterator[tuple[str, str]]
LONGEST = 400  # characters of one value; the rest is in the records


def record_lines(said: Mapping[str, Any], lang: str) -> Lines:
    """A record: what it says, who made it, what was said of it, and the models that ate it."""
    head = _heads(lang)
    yield head("record"), said["id"]
    for name, value in said["row"].items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield "", f"{name}: {shown[:LONGEST]}"
    yield head("stands"), text(f"account.{said['stands']}", lang)
    made = said["certificate"]
    makers = {part: text(f"maker.{made[f'{part}_maker']}", lang) for part in ("input", "target")}
    depths = {f"{part}_depth": _depth(made[f"{part}_depth"]) for part in ("input", "target")}
    named = {name: made[name] for name in ("turn", "method", "rights")}
    named["source"] = made["source"] if made["batch"] is None else f"{made['source']}, {made['batch']}"
    yield (
        head("certificate"),
        text("why.certificate" if said["labelled"] else "why.pool", lang, **named, **makers, **depths),
    )
    for one in said["verdicts"]:
        if not one["keep"]:
            value, limit = (number(one[name]) for name in ("value", "limit"))
            reason = reason_text("verdict", str(one["reason"]), lang)
            key = "why.refused" if one["value"] is None else "why.refused_value"
            yield (
                head("verdict"),
                text(key, lang, check=one["check"], reason=reason, value=value, limit=limit),
            )
    for one in said["quarantine"]:
        key = "why.quarantined" if one["itself"] else "why.quarantined.through"
        yield head("quarantine"), text(key, lang, entry=said_of(one, lang))
    passed = [one["check"] for one in said["verdicts"] if one["keep"]]
    if passed:
        yield head("passed"), ", ".join(passed)
    for kin in ("replaced_by", "eaten_by"):
        if said[kin]:
            yield head(kin), _some(said[kin])


def _depth(depth: int | None) -> str:
    return "?" if depth is None else str(depth)


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" … ({len(names)})" if len(names) > most else "")


def model_lines(said: Mapping[str, Any], lang: str) -> Lines:
    """A model: its state, what it ate, its looks at the exam, what was decided, and what serves of it."""
    head = _heads(lang)
    yield head("model"), said["version"]
    state = text(f"state.{said['state']}", lang)
    yield head("stands"), f"{state}; {text('why.serves', lang)}" if said["serves"] else state
    ate = ", ".join(f"{name} {number(rows)}" for name, rows in said["rows_by_source"].items())
    yield head("ate"), ate or "–"
    yield head("identity"), text("why.identity", lang, **{k: said[k] for k in ("fingerprint", "data")})
    for look in said["looks"]:
        verdict = text(f"verdict_word.{look['verdict']}", lang) if look["verdict"] else "?"
        named = {"exam": look["exam"], "champion": look["champion"], "turn": look["turn"]}
        yield head("look"), text("why.look", lang, **named, verdict=verdict, level=f"{look['alpha']:.4f}")
    decision = said["decision"]
    if decision is not None and decision["candidate"] == said["version"]:
        word = text(f"verdict_word.{decision['verdict']}", lang)
        unit = unit_of(decision)
        gain, low, high = (amount(decision[name], unit) for name in ("gain", "low", "high"))
        key = "why.no_look" if decision["gain"] is None else "why.decision"
        key += ".number" if unit == "number" else ""
        yield (
            head("decision"),
            text(key, lang, verdict=word, turn=said["turn"], gain=gain, low=low, high=high),
        )
    for one in said["tainted"]:
        remedy = text(f"withdraw.remedy.{one['remedy']}", lang)
        counted = {"consent": one["consent"], "rows": number(one["rows"])}
        yield head("tainted"), text("why.tainted", lang, **counted, remedy=remedy)
    if said.get("quarantined"):
        yield head("quarantine"), text("why.ate_quarantined", lang, rows=number(said["quarantined"]))
    if said["refitted_with_exam"]:
        yield head("served"), text("detail.refitted.value", lang)


def _heads(lang: str) -> Any:
    def head(name: str) -> str:
        return parts(f"why.head.{name}", lang)[0]

    return head
