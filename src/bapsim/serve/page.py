"""The live page and the page of the routes: made on the server, Korean or English, nothing from elsewhere."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.serve.models import FAR, UNSURE
from bapsim.serve.openapi import About, curl

HERE = Path(__file__).parent
WIDE, HIGH = 720, 120  # of the picture of the traffic
Json = dict[str, Any]


@cache
def _templates() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(HERE)
    found = jinja2.Environment(autoescape=True, loader=loader, trim_blocks=True, lstrip_blocks=True)
    found.filters["coded"] = _coded
    return found


def _coded(said: str) -> Any:
    """What stands between backticks, set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(said))))  # noqa: S704  escaped before


def _words(lang: str) -> dict[str, str]:
    """The words of the page by the last part of their keys."""
    prefix = "live."
    return {
        key.removeprefix(prefix): said[lang] for key, said in messages().items() if key.startswith(prefix)
    }


def live_page(facts: Json, lang: str) -> str:
    """The page of what a service does at this moment."""
    words = _words(lang)
    trouble = list(_trouble(facts, lang))
    return str(
        _templates()
        .get_template("live.html.j2")
        .render(
            lang=lang,
            w=words,
            f=facts,
            trouble=trouble,
            tiles=list(_tiles(facts, words)),
            bars=_bars(facts["traffic"]),
            wide=WIDE,
            high=HIGH,
            most=max((one["rows"] for one in facts["traffic"]), default=0),
            agreement=[_agreed(one, words, lang) for one in facts["agreement"]],
            drift=list(_drift(facts, lang)),
            kinds=_kinds(facts),
            history=[_change(one, words) for one in facts["history"]],
            about=list(_about(facts, words, lang)),
            clock=datetime.now(UTC).strftime("%H:%M:%S"),
            since=ago(time.time() - facts["since"], lang),
            count=count,
            drift_word=words[f"drift.{(facts['drift'] or {}).get('state', 'no')}"],
        )
    )


def docs_page(spec: Json, about: About, base: str, lang: str) -> str:
    """The routes as a page: what each takes and gives, with lines to try."""
    routes = []
    for path, methods in spec["paths"].items():
        for method, one in methods.items():
            routes.append(_route(path, method, one))
    words = _words(lang)
    return str(
        _templates()
        .get_template("docs.html.j2")
        .render(
            lang=lang,
            w=words,
            title=spec["info"]["title"],
            description=spec["info"]["description"],
            routes=routes,
            curl=curl(about, base),
        )
    )


def _route(path: str, method: str, one: Json) -> Json:
    sent = one.get("requestBody", {}).get("content", {})
    examples: list[tuple[str, str]] = []
    for kind, body in sent.items():
        for name, example in body.get("examples", {}).items():
            examples.append((f"{kind} · {name}", _shown(example["value"])))
        if "example" in body:
            examples.append((kind, _shown(body["example"])))
    answers = []
    for status, said in one["responses"].items():
        content = said.get("content", {}).get("application/json", {})
        example = _shown(content["example"]) if status == "200" and "example" in content else ""
        answers.append((status, said["description"], example))
    return {
        "path": path,
        "method": method.upper(),
        "summary": one.get("summary", ""),
        "description": one.get("description", ""),
        "kinds": ", ".join(sent),
        "examples": examples,
        "answers": answers,
    }


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


# --- parts of the live page -----------------------------------------------------------------------


def count(value: float | None, digits: int = 0) -> str:
    """A count with separators, a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def milliseconds(seconds: float | None) -> str:
    """A latency."""
    if seconds is None:
        return "–"
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


def ago(seconds: float, lang: str) -> str:
    """A time that has passed, in its largest unit."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return text(f"ago.{unit}", lang, count=int(seconds // size))
    return text("ago.seconds", lang, count=int(seconds))


def _tiles(facts: Json, words: Mapping[str, str]) -> Iterator[Json]:
    latency, drift = facts["latency"], facts["drift"] or {}
    share = facts["versions"].get(facts["serves"], {})
    rate = facts["rows_a_second"]
    yield {"value": count(rate, 1 if rate < 10 else 0), "label": words["tile.rate"]}
    yield {"value": milliseconds(latency["p50"]), "label": words["tile.p50"]}
    yield {"value": milliseconds(latency["p95"]), "label": words["tile.p95"]}
    yield {"value": milliseconds(latency["p99"]), "label": words["tile.p99"]}
    for name, usual in (("unsure", UNSURE), ("far", FAR)):
        found = drift.get(name, {})
        off = bool(found.get("drifted")) and found["size"] > 0
        label = words[f"tile.{name}"].format(usual=percent(usual, 0))
        yield {"value": percent(share.get(name)), "label": label, "off": off}
    yield {"value": count(facts["feedback"].get("lines", 0)), "label": words["tile.feedback"]}
    yield {"value": count(facts["questions"]), "label": words["tile.questions"]}


def _bars(traffic: list[Json]) -> list[Json]:
    """Rows of each minute as rectangles, the newest at the right."""
    most = max((one["rows"] for one in traffic), default=0) or 1
    step = WIDE / max(len(traffic), 1)
    found = []
    for i, one in enumerate(traffic):
        high = HIGH * one["rows"] / most
        if high:
            found.append(
                {
                    "x": round(i * step + 1, 1),
                    "y": round(HIGH - high, 1),
                    "w": round(step - 2, 1),
                    "h": round(high, 1),
                }
            )
    return found


def _agreed(one: Json, words: Mapping[str, str], lang: str) -> Json:
    said = "–"
    if one["share"] is not None:
        said = f"{percent(one['share'])} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
    return {
        "version": one["version"],
        "role": words[f"role.{one['role']}"],
        "share": said,
        "width": round(100 * (one["share"] or 0)),
        "rows": text("live.compared", lang, rows=count(one["compared"])),
        "failed": count(one["failed"]),
        "skipped": count(one["skipped"]),
    }


def _drift(facts: Json, lang: str) -> Iterator[Json]:
    """What was looked at, how large it is, and what that means."""
    found = facts["drift"] or {}
    for name in ("mix", "confidence", "unsure", "far"):
        one = found.get(name)
        if one is None:
            continue
        size = (
            f"{one['size']:.2f}"
            if name in ("mix", "confidence")
            else f"{100 * one['size']:+.1f}".replace("-", "−")
        )
        yield {
            "name": text(f"live.drift.{name}", lang),
            "size": text(f"live.drift.{name}.size", lang, size=size),
            "state": one["state"],
            "word": text(f"live.drift.{one['state']}", lang),
            "rows": count(one["observations"]),
        }


def _kinds(facts: Json) -> list[Json]:
    """The answers whose share has changed most; widths in percent of the largest."""
    kinds = (facts["drift"] or {}).get("kinds", [])
    most = max((max(one["expected"], one["seen"]) for one in kinds), default=0) or 1
    return [
        {
            "name": one["name"],
            "expected": percent(one["expected"]),
            "seen": percent(one["seen"]),
            "wide": [round(200 * one[part] / most, 1) for part in ("expected", "seen")],
        }
        for one in kinds
    ]


def _change(one: Json, words: Mapping[str, str]) -> Json:
    return {
        "at": one["at"][:16].replace("T", " "),
        "what": words[f"what.{one['what']}"],
        "kind": one["what"],
        "version": one["version"] or words["ledger"],
        "reason": one["reason"],
    }


def _trouble(facts: Json, lang: str) -> Iterator[str]:
    """What a person has to look at."""
    if facts["log"]["failing"]:
        yield text("live.trouble.log", lang, why=facts["log"]["failing"])
    if facts["log"]["lost"]:
        yield text("live.trouble.lost", lang, lines=count(facts["log"]["lost"]))
    for version, why in facts["warnings"].items():
        yield text("live.trouble.model", lang, version=version, why=why)
    if (facts["drift"] or {}).get("drifted"):
        yield text("live.trouble.drift", lang)
    if facts["fixed"] and facts["named"] not in (None, facts["serves"]):
        yield text("live.trouble.fixed", lang, serves=facts["serves"], named=facts["named"])


def _about(facts: Json, words: Mapping[str, str], lang: str) -> Iterator[tuple[str, str]]:
    terms = facts["terms"]
    yield words["about.rights"], terms["rights"]
    yield words["about.purpose"], terms["purpose"] or "–"
    yield words["about.consent"], terms["consent"] or "–"
    yield words["about.pii"], words[f"pii.{terms['pii']}"]
    yield words["about.durable"], words["durable.yes" if terms["durable"] else "durable.no"]
    yield words["about.lines"], count(facts["log"]["written"])
    yield words["about.masked"], count(facts["log"]["masked"])
    retain = terms["retain"]
    kept = words["retain.ever"] if retain is None else text("live.retain.days", lang, days=retain)
    if facts["log"]["untaken"]:
        kept += " · " + text("live.retain.untaken", lang, segments=facts["log"]["untaken"])
    yield words["about.retain"], kept
    refused = sum(facts["refused"].values())
    yield (
        words["about.requests"],
        text(
            "live.requests",
            lang,
            requests=count(facts["requests"]),
            refused=count(refused),
            failed=count(facts["failed"]),
        ),
    )
    yield words["about.workers"], count(facts["workers"])
