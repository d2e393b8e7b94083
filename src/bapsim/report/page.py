"""A turn as one page that loads nothing: report.json beside index.html, made from the ledger at any time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.judge.gate import FULL
from bapsim.report import ahead, charts
from bapsim.report.facts import facts, turns
from bapsim.report.fused import fused_tables
from bapsim.report.gaps import gap_tables
from bapsim.report.insight import asked, confused, examples, labels, made, named_ids, weak
from bapsim.report.kin import in_quarantine
from bapsim.report.paid import section
from bapsim.report.rated import raters
from bapsim.report.ruled import rules, rules_in_words
from bapsim.report.sourced import market, sources, spent
from bapsim.report.taken_back import section as taken_back
from bapsim.report.vouched import verifiers
from bapsim.report.words import (
    Story,
    amount,
    number,
    opponent,
    percent,
    reason_text,
    story,
    unit_of,
)
from bapsim.store import fault
from bapsim.store.project import Project
from bapsim.wheel.applying import Proposed, proposed, write_diff

HERE = Path(__file__).parent
STATES = ("trained", "exam", "pool", "pending", "superseded", "refused", "unread")
INSIGHT = "made wear"
WORDS = "turn gain worse better next curve curve_note accounts reasons details chain_note made_by"


def folder_of(project: Project, n: int) -> Path:
    """Where the report of turn n lies."""
    return project.root / "reports" / f"turn-{n:03d}"


def write_report(project: Project, n: int, lang: str) -> Path:
    """Write report.json and index.html of a turn that ended; returns the page's path."""
    said, folder = facts(project, n), folder_of(project, n)
    shown = examples(project, said["task"], list(named_ids([said["notice"], said["asked"]])))
    shown |= rules_in_words(project, said, lang)
    body = json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    fault.write(folder / "report.json", body.encode())
    proposal = proposed(project, n)
    if proposal is not None:
        write_diff(project, proposal)
    fault.write(folder / "index.html", page(said, shown, lang, proposal).encode())
    return folder / "index.html"


def write_missing(project: Project, lang: str) -> None:
    """Reports that a killed process did not get to."""
    for n in turns(project.ledger):
        if not (folder_of(project, n) / "index.html").exists():
            write_report(project, n, lang)


def page(
    report: Mapping[str, Any], shown: Mapping[str, Any], lang: str, proposal: Proposed | None = None
) -> str:
    """The page of one turn; it needs no other file. shown: the records that it names, by id; proposal: what
    it would change in the recipe.
    """
    import jinja2

    words = {name: text(f"page.{name}", lang) for name in WORDS.split()}
    words |= {name: text(f"insight.{name}", lang) for name in INSIGHT.split()}
    against = opponent(report["opponent"], lang)
    unit = unit_of(report["decision"])
    words["gain_note"] = text(f"page.gain_note{'.number' * (unit == 'number')}", lang, opponent=against)
    if report.get("answer") == "number":
        words["curve_note"] = text("page.curve_note.number", lang)
    words["rows"] = messages()["page.rows"][lang]
    said = story(report, lang)
    verdict, counts = report["decision"]["verdict"], report["accounts"]
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    word, _, headline = said.headline.partition(": ")
    return environment.get_template("page.html.j2").render(
        lang=lang,
        r=report,
        w=words,
        css=safe((HERE / "page.css").read_text("utf-8")),
        ended=(report["ended"] or "")[:10],
        verdict=verdict,
        word=word,
        headline=headline[:1].upper() + headline[1:],
        sentences=[safe(marked(sentence)) for sentence in said.sentences],
        next=[safe(marked(step)) for step in said.next],
        interval=safe(charts.interval(report["decision"], words | {"label": _evidence(said)})),
        learning=safe(charts.learning(report["curve"], words | {"label": words["curve_note"]})),
        sections=[
            _noted(one) for one in (*ahead.sections(report, proposal, lang), *_sections(report, shown, lang))
        ],
        spent=spent(report["curve"], lang),
        tables=[_noted(one) for one in _tables(report, shown, lang) if one is not None],
        made=list(made(report, lang)),
        made_note=text("insight.made.note", lang, rows=number(report["train_rows"])),
        wear=_wear(report, lang),
        counted=_counted(counts, lang),
        accounts=list(_accounts(counts, lang)),
        reasons=list(_reasons(report, lang)),
        details=list(_details(report, lang)),
    )


def _sections(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """What the turn shows of the data: only what there is."""
    for name, parts in (("labels", labels), ("confused", confused), ("weak", weak), ("asked", asked)):
        groups = list(parts(report, shown, lang))
        if groups:
            key = f"insight.{name}.note"
            note = text(key, lang) if key in messages() else ""
            yield {"title": text(f"insight.{name}", lang), "note": note, "groups": groups}


def _tables(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[Any]:
    yield from (
        market(report, lang),
        sources(report, lang),
        rules(report, shown, lang),
        verifiers(report, lang),
        raters(report, lang),
        section(report, lang),
        taken_back(report, lang),
        in_quarantine(report, lang),
    )
    yield from gap_tables(report, lang)
    yield from fused_tables(report, lang)


def _noted(table: dict[str, Any]) -> dict[str, Any]:
    drawn = {"picture": safe(table["picture"])} if "picture" in table else {}
    return table | {"note": safe(marked(table["note"]))} | drawn


def _wear(report: Mapping[str, Any], lang: str) -> dict[str, Any]:
    """How much of its exam a project has used up."""
    exam = report["exam"]
    left = min(exam["budget"] / FULL, 1.0)
    counts = {name: number(exam[name]) for name in ("looks", "items")}
    return {"left": 100 * left, "words": text("insight.wear.say", lang, **counts, left=percent(left))}


def safe(html: str) -> Any:
    """Text that is HTML already, and ours: not escaped again."""
    from markupsafe import Markup

    return Markup(html)  # noqa: S704  our own text: CSS, SVG and escaped words


def _evidence(said: Story) -> str:
    return said.sentences[0] if said.sentences else said.headline


def marked(step: str) -> str:
    """A step with what is to be typed, which stands between backticks, set as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(step, quote=False))


def _counted(counts: Mapping[str, int], lang: str) -> str:
    said = [text("page.counted", lang, lines=number(counts["lines"]))]
    said += [text("page.again", lang, again=number(counts["again"]))] if counts["again"] else []
    return " ".join(said)


def _accounts(counts: Mapping[str, int], lang: str) -> Iterator[dict[str, Any]]:
    for name in STATES:
        words = {"label": text(f"account.{name}", lang), "note": text(f"account.{name}.note", lang)}
        yield {"name": name, "rows": counts[name], "shown": number(counts[name]), **words}


def _reasons(report: Mapping[str, Any], lang: str) -> Iterator[dict[str, str]]:
    for kind, prefix in (("refused", "verdict"), ("unread", "unread")):
        for reason, rows in report[kind].items():
            key = "page.cannot_tell" if reason == "cannot_tell" else f"page.{kind}"
            words = {"text": reason_text(prefix, reason, lang), "kind": text(key, lang)}
            yield {**words, "rows": number(rows)}


def _details(report: Mapping[str, Any], lang: str) -> Iterator[tuple[str, str]]:
    yield from _exam(report, lang)
    for one in report["screen"]:
        key = "detail.screen.few" if one["z"] is None else "detail.screen.value"
        values = {"rows": number(one["rows"])} | ({} if one["z"] is None else {"z": number(one["z"])})
        yield text("detail.screen", lang, candidate=one["candidate"]), text(key, lang, **values)
    counts = {name: number(report[name]) for name in ("classes", "fits")}
    rows = number(report["train_rows"])
    key = "detail.training.number" if report.get("answer") == "number" else "detail.training.value"
    yield text("detail.training", lang), text(key, lang, rows=rows, **counts)
    fresh = ", ".join(f"{name} {number(rows)}" for name, rows in report["fresh"].items() if rows)
    yield text("detail.fresh", lang), fresh or text("detail.fresh.none", lang)
    yield text("detail.questions", lang), number(report["questions"])
    yield text("detail.candidate", lang), report["candidate"]
    yield text("detail.opponent", lang), opponent(report["opponent"], lang)
    serves = report["serves"]
    if serves is not None:
        named = {name: serves.get(name, "–") for name in ("version", "fingerprint", "data")}
        yield text("detail.serves", lang), text("detail.serves.value", lang, **named)
        yield text("detail.refitted", lang), text("detail.refitted.value", lang)
    yield text("detail.recipe", lang), report["recipe"]
    if report["seconds"] is not None:
        seconds = number(report["seconds"], 1)
        yield text("detail.seconds", lang), text("detail.seconds.value", lang, seconds=seconds)


def _exam(report: Mapping[str, Any], lang: str) -> Iterator[tuple[str, str]]:
    exam, decision = report["exam"], report["decision"]
    version = {"version": exam["version"], "items": number(exam["items"])}
    yield text("detail.exam", lang), text("detail.exam.value", lang, **version)
    yield text("detail.looks", lang), number(exam["looks"])
    budget = {"budget": f"{exam['budget']:.4f}", "level": f"{exam['level']:.4f}"}
    yield text("detail.budget", lang), text("detail.budget.value", lang, **budget)
    if decision["test"] is not None:
        chances = {"better": chance(decision["p_better"]), "worse": chance(decision["p_worse"])}
        yield text("detail.test", lang), text("detail.test.value", lang, test=decision["test"], **chances)


def chance(p: float) -> str:
    """A probability with two figures, or that it is smaller than is worth saying."""
    if p < 0.0001 or p > 0.9999:
        return "< 0.0001" if p < 0.5 else "> 0.9999"
    return f"{p:.4f}" if p > 0.99 else f"{p:.2g}"


def gain_in_words(said: Mapping[str, Any]) -> str:
    """A gain in points, or in the target's own unit, with its interval, as +2.1 [+0.8, +3.4], or a dash."""
    if said["gain"] is None:
        return "–"
    gain, low, high = (amount(said[name], said.get("unit", "points")) for name in ("gain", "low", "high"))
    return f"{gain} [{low}, {high}]"
