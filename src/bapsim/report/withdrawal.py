"""The report of a withdrawal as a page beside its JSON: what went, what is tainted, what is not reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.report.page import HERE, safe
from bapsim.report.words import number
from bapsim.store import fault
from bapsim.store.project import Project
from bapsim.wheel.withdrawal_report import place_of

HEADS = ("kind", "name", "turn", "rows", "state", "remedy")
LISTED = 200  # files that the page names
Body = Mapping[str, Any]


def records(body: Body, lang: str) -> Iterator[str]:
    """What was done with records, by action and reason."""
    for name, count in body["records"].items():
        action, _, why = name.partition(".")
        reason = text(f"withdraw.reason.{why}", lang)
        yield text(f"withdraw.action.{action}", lang, count=number(count), why=reason)


def consumer(one: Mapping[str, Any], lang: str) -> list[str]:
    """What consumed records: kind, name, turn, rows, whether it is clean, and what can be done."""
    remedy = "" if one["remedy"] is None else text(f"withdraw.remedy.{one['remedy']}", lang)
    told = [text(f"withdraw.kind.{one['kind']}", lang), str(one["name"]), str(one["turn"] or "–")]
    return [
        *told,
        number(one["rows"]) if one["rows"] else "–",
        text(f"withdraw.state.{one['state']}", lang),
        remedy,
    ]


def files(body: Body, lang: str) -> Iterator[str]:
    """What became of files; those that are left first."""
    told = sorted(body["files"], key=lambda one: (one["how"] != "left", one["path"]))
    for one in told[:LISTED]:
        yield text(f"withdraw.file.{one['how']}", lang, path=one["path"], why=why_of(one, lang))
    if len(told) > LISTED:
        yield text("withdraw.more", lang, count=number(len(told) - LISTED))


def why_of(one: Mapping[str, Any], lang: str) -> str:
    """Why a file was left or deleted, in words; "" where that is plain."""
    key = f"withdraw.why.{one['why']}"
    return text(key, lang) if key in messages() else str(one["why"])


def outside(body: Body, lang: str) -> Iterator[str]:
    """What no withdrawal reaches."""
    for one in body["outside"]["sent"]:
        yield text("withdraw.sent", lang, name=one["name"], place=one["place"], at=one["at"][:10])
    for one in body["outside"]["histories"]:
        yield text("withdraw.history", lang, place=one)
    yield text("withdraw.copies", lang)


def page(said: Mapping[str, Any], lang: str) -> str:
    """As one page that needs no other file."""
    import jinja2

    body = said["body"]
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    tainted = body["serving"]["state"] == "tainted"
    return environment.get_template("withdrawal.html.j2").render(
        lang=lang,
        t=lambda key, **values: text(f"withdraw.page.{key}", lang, **values),
        s=body,
        css=safe((HERE / "page.css").read_text("utf-8")),
        headline=text(f"withdraw.{body['state']}", lang, consent=body["consent"], person=body["person"]),
        when=text(
            "withdraw.page.when",
            lang,
            **{n: body[n][:16].replace("T", " ") for n in ("withdrawn", "finished")},
        ),
        records=list(records(body, lang)),
        heads=[text(f"withdraw.page.head.{one}", lang) for one in HEADS],
        consumers=[consumer(one, lang) for one in body["consumers"]],
        serving=text("withdraw.page.serving", lang, version=body["serving"]["version"]) if tainted else "",
        files=list(files(body, lang)),
        outside=list(outside(body, lang)),
        digest=said["digest"],
    )


def write_page(project: Project, said: Mapping[str, Any], lang: str) -> Path:
    """Write the page beside report.json, which is what was signed."""
    path = place_of(project, said["body"]["consent"]) / "index.html"
    fault.write(path, page(said, lang).encode())
    return path
