"""A person's statement as a page to print, a sheet, or data: one content, three files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bapsim.core.errors import InputError, text
from bapsim.gather.answers import escaped
from bapsim.judge.pay import understood
from bapsim.report.page import HERE, marked, safe
from bapsim.report.paid import amount, bare, duration, why_in_words
from bapsim.report.words import number, opponent, percent
from bapsim.store import fault
from bapsim.wheel.pay_statement import WHATS
from bapsim.wheel.pay_words import rule_in_words

MOST = 200  # lines that were not taken, on the page
COLUMNS = ("kind", "at", "what", "ref", "minor", "currency", "words")
Said = Mapping[str, Any]


def write_statement(path: Path, said: Said, lang: str) -> None:
    """Write a statement, by the ending of the file; raises InputError for another one than these three."""
    bodies = {".html": page, ".csv": sheet, ".json": data}
    if path.suffix not in bodies:
        raise InputError("statement_format", file=path.name)
    fault.write(
        path, bodies[path.suffix](said, lang).encode("utf-8-sig" if path.suffix == ".csv" else "utf-8")
    )


def data(said: Said, lang: str) -> str:
    """As JSON; the reasons in words beside their keys."""
    declined = [{**one, "words": why_in_words(one["reason"], lang)} for one in said["declined"]]
    return json.dumps({**said, "declined": declined}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def sheet(said: Said, lang: str) -> str:
    """As CSV: every entry, then every line that was not taken; no cell runs in a spreadsheet."""
    body = io.StringIO(newline="")
    writer = csv.writer(body)
    writer.writerow(COLUMNS)
    for one in (*said["time"], *said["tests"], *said["shares"], *said["other"]):
        words = json.dumps(one["figures"], ensure_ascii=False, sort_keys=True)
        cells = ("entry", one["at"], one["what"], one["ref"], one["minor"], one["currency"], words)
        writer.writerow([escaped(str(cell)) for cell in cells])
    for one in said["declined"]:
        words = why_in_words(one["reason"], lang)
        cells = ("declined", one["at"] or "", one["appeal"], one["ref"], "", "", words)
        writer.writerow([escaped(str(cell)) for cell in cells])
    return body.getvalue()


def page(said: Said, lang: str) -> str:
    """As one page that needs no other file, to be read or printed."""
    import jinja2

    names = "title rule totals time tests shares declined appeals other balance books chain"
    words = {name: text(f"statement.{name}", lang) for name in names.split() if name != "balance"}
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    note = text("statement.declined.note", lang, person=said["person"])
    return environment.get_template("statement.html.j2").render(
        lang=lang,
        s=said,
        w=words,
        css=safe((HERE / "page.css").read_text("utf-8")),
        period=_period(said, lang),
        balance=_balance(said, lang),
        rules=[rule_in_words(understood(rule), lang) for rule in said["rules"]],
        totals=_totals(said, lang),
        days=_days(said, lang),
        time_note=text("statement.time.note", lang),
        time=[_worked(one, lang) for one in said["time"]],
        tests_notes=list(_tests_notes(said, lang)),
        tests=_tests(said, lang),
        shares=[_share(one, lang) for one in said["shares"]],
        no_share=text("statement.share.none", lang),
        waiting=text("statement.waiting", lang, rows=number(said["waiting"])) if said["waiting"] else "",
        became=", ".join(
            f"{text(f'pay.became.{name}', lang)} {number(n)}" for name, n in said["lines"].items()
        ),
        declined_note=safe(marked(note if said["declined"] else text("statement.declined.none", lang))),
        declined=_declined(said, lang),
        more=_more(said, lang),
        appeals=[_appeal(one, lang) for one in said["appeals"]],
        other=[_other(one, lang) for one in said["other"]],
    )


def _period(said: Said, lang: str) -> str:
    ends = {name: said[name] for name in ("since", "until") if said[name]}
    key = {(): "all", ("since",): "from", ("until",): "to"}.get(tuple(ends), "between")
    return text(f"statement.{key}", lang, **ends)


def _balance(said: Said, lang: str) -> str:
    """What is owed at the end of the period, each currency by itself."""
    owed = [
        amount(one["balance"], currency) for currency, one in said["currencies"].items() if one["balance"]
    ]
    if not owed:
        return text("statement.nothing", lang)
    return text("statement.balance", lang, person=said["person"], balance=" + ".join(owed))


def _totals(said: Said, lang: str) -> list[list[str]]:
    """A head, and a row for each currency."""
    names = ("before", *WHATS, "balance")
    head = [text("statement.currency", lang), *(text(f"pay.what.{name}", lang) for name in names)]
    rows = [
        [currency, *(bare(one[n], currency) for n in names)] for currency, one in said["currencies"].items()
    ]
    return [head, *rows]


def _days(said: Said, lang: str) -> list[list[str]]:
    head = [text(f"statement.time.{name}", lang) for name in ("day", "lines", "said")]
    return [head, *([one["day"], number(one["lines"]), duration(one["ms"], lang)] for one in said["days"])]


def _worked(one: Said, lang: str) -> str:
    figures = one["figures"]
    counted = {"counted": duration(figures["ms"], lang), "lines": number(figures["lines"])}
    due = amount(one["minor"], one["currency"])
    return text("statement.time.entry", lang, day=one["at"][:10], amount=due, **counted)


def _tests_notes(said: Said, lang: str) -> Iterator[str]:
    if not said["tests"]:
        return
    told = [one["figures"]["right"] for one in said["tests"]]
    counts = {"tests": len(told), "right": sum(bool(one) for one in told), "untold": told.count(None)}
    mosts = dict.fromkeys(amount(one["figures"]["most"], one["currency"]) for one in said["tests"])
    yield text(
        "statement.tests.note", lang, **{k: number(v) for k, v in counts.items()}, most=", ".join(mosts)
    )


def _tests(said: Said, lang: str) -> list[list[str]]:
    names = ("statement.when", *(f"statement.tests.{name}" for name in ("line", "said", "sure", "part")))
    head = [text(name, lang) for name in (*names, "statement.amount")]
    return [head, *(_test(one, lang) for one in said["tests"])] if said["tests"] else []


def _test(one: Said, lang: str) -> list[str]:
    figures = one["figures"]
    key = {True: "right", False: "wrong", None: "untold"}[figures["right"]]
    told = text(f"statement.tests.{key}", lang)
    told += text("statement.tests.outcome", lang) if figures["outcome"] else ""
    sure = "–" if figures["confidence"] is None else f"{percent(figures['confidence'], 0)}%"
    part = f"{percent(figures['part'], 0)}%"
    return [one["at"][:10], one["ref"], told, sure, part, amount(one["minor"], one["currency"])]


def _share(one: Said, lang: str) -> list[str]:
    """What was gained and whose it was, and how that is known."""
    of, mine, currency = one["of"], one["mine"], one["currency"]
    gained = {name: f"{of[name]:+.2f}".replace("-", "−") for name in ("points", "low", "high")}
    shares = {"share": mine["share"], "share_low": mine["low"], "share_high": mine["high"]}
    ends = {name: amount(one[name], currency) for name in ("least", "most")}
    names = {"version": of["version"], "turn": of["turn"], "opponent": opponent(of["opponent"], lang)}
    told = text(
        "statement.share",
        lang,
        **names,
        **gained,
        **{name: percent(value, 0) for name, value in shares.items()},
        **ends,
        rows=number(mine["rows"]),
        amount=amount(one["minor"], currency),
    )
    key = ("alone" if mine["alone"] else "grouped") if of["fits"] else "only"
    how = text(f"statement.share.{key}", lang, **({"fits": of["fits"]} if key == "alone" else {}))
    counts = {name: number(mine[name]) for name in ("contradicted", "confirmed", "tests", "right")}
    return [told, text("statement.share.how", lang, **counts, how=how)]


def _declined(said: Said, lang: str) -> list[list[str]]:
    if not said["declined"]:
        return []
    head = [text(f"statement.{name}", lang) for name in ("when", "tests.line", "why", "state")]
    rows = [
        [
            (one["at"] or "–")[:10],
            one["ref"],
            why_in_words(one["reason"], lang),
            text(f"pay.appeal.{one['appeal']}", lang),
        ]
        for one in said["declined"][:MOST]
    ]
    return [head, *rows]


def _more(said: Said, lang: str) -> str:
    count = len(said["declined"]) - MOST
    return text("statement.declined.more", lang, count=number(count)) if count > 0 else ""


def _appeal(one: Said, lang: str) -> str:
    values = {name: one[name] for name in ("ref", "why", "decider")}
    if one["state"] == "appealed":
        del values["decider"]
    return text(f"statement.appeal.{one['state']}", lang, at=one["at"][:10], **values)


def _other(one: Said, lang: str) -> str:
    day, due = one["at"][:10], amount(one["minor"], one["currency"])
    if one["what"] == "paid":
        figures = {name: one["figures"][name] for name in ("by", "note")}
        key = "paid" if one["minor"] < 0 else "unpaid"
        return text(f"statement.other.{key}", lang, day=day, amount=due.removeprefix("−"), **figures)
    return text("statement.other.appeal", lang, day=day, amount=due, ref=one["ref"])
