"""How a service stands, in the words of a terminal; the facts are those of its live page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.desk import Desk
from bapsim.report.words import number, percent

SHOWN = 5  # changes of the release
USUAL = {"unsure": 0.1, "far": 0.05}  # by their definitions, out of fold


def say_status(room: Desk, facts: Mapping[str, Any]) -> None:
    """Who serves, how fast, what people say of it, what has drifted, and the last releases."""
    lang = room.lang
    room.say("live.serves", version=facts["serves"] or "–")
    room.pairs([(name[:1].upper() + name[1:], said) for name, said in _lines(facts, lang)])
    for one in facts["history"][:SHOWN]:
        what = text(f"live.what.{one['what']}", lang)
        version = one["version"] or text("live.ledger", lang)
        room.line(f"{one['at'][:16].replace('T', ' ')}  {what}  {version}  {one['reason']}", rest="    ")


def _lines(facts: Mapping[str, Any], lang: str) -> Iterator[tuple[str, str]]:
    state = text("live.state.runs" if facts["running"] else "live.state.ended", lang)
    yield text("live.about", lang), f"{facts['deployment']} · {state}"
    beside = {name: facts[name] or "–" for name in ("shadow", "canary")}
    yield text("live.agreement", lang), text("live.beside", lang, **beside)
    for one in facts["agreement"]:
        if one["share"] is not None:
            share = f"{percent(one['share'])} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
            yield (
                f"  {one['version']}",
                f"{share} {text('live.compared', lang, rows=number(one['compared']))}",
            )
    yield text("live.tile.rate", lang), number(facts["rows_a_second"], 1)
    latency = [facts["latency"][name] for name in ("p50", "p95", "p99")]
    yield text("live.latency", lang), " / ".join("–" if s is None else f"{1000 * s:.1f} ms" for s in latency)
    requests = {name: number(facts[name]) for name in ("requests", "failed")}
    refused = number(sum(facts["refused"].values()))
    yield text("live.about.requests", lang), text("live.requests", lang, **requests, refused=refused)
    share = facts["versions"].get(facts["serves"], {})
    for name, usual in USUAL.items():
        if share.get(name) is not None:
            said = {"share": f"{percent(share[name])} %", "usual": f"{percent(usual)} %"}
            yield text(f"live.{name}", lang), text("live.of_usual", lang, **said)
    if facts["drift"] is not None:
        yield (
            text("live.drift", lang),
            text(f"live.drift.{facts['drift']['state']}", lang),
        )
    yield text("live.tile.feedback", lang), number(facts["feedback"].get("lines", 0))
    yield text("live.tile.questions", lang), number(facts["questions"])
    yield text("live.about.lines", lang), number(facts["log"]["written"])
    for version, why in facts["warnings"].items():
        yield text("live.state.look", lang), f"{version}: {why}"
    if facts["log"]["failing"]:
        yield text("live.state.look", lang), text("live.trouble.log", lang, why=facts["log"]["failing"])
