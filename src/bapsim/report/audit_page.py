"""The audit as one page that loads nothing, worth mailing to a colleague; and as words for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bapsim.core.errors import text
from bapsim.report.page import HERE, marked, safe
from bapsim.report.words import number, percent, points, reason_text

WORDS = "first found none"
SHOWN = 15  # suspicious labels on the page; the sheet has more
PLAIN = ("label", "target", "라벨", "레이블", "정답")  # names that leave nothing to guess


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing that was found: heading, sentences, what to do ("" = nothing), and the rows to show.

    count: what stands beside the heading; groups: rows that belong together, each with its words.
    """

    name: str
    count: str
    sentences: tuple[str, ...]
    do: str = ""
    groups: tuple[tuple[str, tuple[dict[str, Any], ...]], ...] = ()
    table: tuple[tuple[str, str], ...] = ()
    bars: tuple[tuple[str, str, float], ...] = ()
    grave: bool = field(default=False)


def findings(facts: Mapping[str, Any], lang: str) -> list[Finding]:
    """What was found, the gravest first; kinds of which nothing was found are told, too."""
    found = [
        *_leaks(facts, lang),
        *_contradictions(facts, lang),
        *_suspicious(facts, lang),
        *_confused(facts, lang),
        *_personal(facts, lang),
        *_copies(facts, lang),
        *_balance(facts, lang),
        *_exam(facts, lang),
        *_unread(facts, lang),
    ]
    return found


def headline(facts: Mapping[str, Any], lang: str) -> str:
    """How many rows deserve a look."""
    touched = facts["touched"]
    key = "some" if touched else "clean"
    return text(f"audit.headline.{key}", lang, touched=number(touched), rows=number(facts["rows"]))


def introduction(facts: Mapping[str, Any], lang: str) -> Iterator[str]:
    """How the file was read, and what the judgement of labels rests on."""
    if facts["target"] is None:
        yield text("audit.read.no_target", lang)
    else:
        key = "audit.read.text" if facts["kind"] == "text" else "audit.read.table"
        inputs = ", ".join(facts["inputs"][:4])
        yield text(key, lang, inputs=inputs, count=len(facts["inputs"]), target=facts["target"])
        if facts["left_out"]:
            columns = ", ".join(facts["left_out"][:8]) + " …" * (len(facts["left_out"]) > 8)
            yield text("new.left_out.text", lang, inputs=inputs, columns=columns)
        if facts["answer"] != "class":
            yield text(f"audit.answer.{facts['answer']}", lang, target=facts["target"])
        if facts["guessed"] and facts["target"].lower() not in PLAIN:
            yield text("audit.read.guessed", lang, target=facts["target"])
    if facts["empty"]:
        yield text("audit.empty", lang, rows=number(facts["empty"]))
    model = facts.get("model")
    if model is not None:
        values = {name: percent(model[name]) for name in ("accuracy", "majority")}
        yield text("audit.model", lang, rows=number(model["rows"]), **values)
        if model["weak"]:
            yield text("audit.model.weak", lang)
        if model["rows"] < facts["labels"]["labelled"]:
            yield text("audit.sampled", lang, rows=number(model["rows"]))


def page(facts: Mapping[str, Any], lang: str) -> str:
    """The page; it needs no other file."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    found = findings(facts, lang)
    file = facts["files"][0] + (f" + {len(facts['files']) - 1}" if len(facts["files"]) > 1 else "")
    return environment.get_template("audit.html.j2").render(
        lang=lang,
        title=text("audit.title", lang, file=file),
        headline=headline(facts, lang),
        introduction=[safe(marked(one)) for one in introduction(facts, lang)],
        w={name: text(f"audit.{name}", lang) for name in WORDS.split()},
        found=found,
        titles={one.name: text(f"audit.{one.name}", lang) for one in found},
        do=[safe(marked(one.do)) for one in found if one.do],
        css=safe((HERE / "page.css").read_text("utf-8")),
        made=text("audit.made", lang, seconds=number(facts["seconds"], 1)),
    )


def write_page(path: Path, facts: Mapping[str, Any], lang: str) -> None:
    """Write the page, whole or not at all."""
    from bapsim.store import fault

    fault.write(path, page(facts, lang).encode())


# --------------------------------------------------------------------------- kinds of findings


def shown(row: Mapping[str, Any], lang: str, note: str = "") -> dict[str, Any]:
    """One row as the page shows it: where it stands, its label, its text."""
    where = text("audit.where", lang, file=row["file"], line=number(row["line"]))
    return {"where": where, "label": row.get("label"), "text": row["text"], "note": note}


def _group(rows: Sequence[Mapping[str, Any]], lang: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    return "", tuple(shown(row, lang) for row in rows)


def _leaks(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    if not facts["splits"]:
        return
    leaks = facts["leaks"]["between"]
    say, do = [], []
    for one in leaks:
        numbers = {name: number(one[name]) for name in ("rows", "of", "exact")}
        names = {"known": one["known"], "inside": one["inside"]}
        share = percent(one["rows"] / max(one["of"], 1))
        say.append(text("audit.leaks.say", lang, **numbers, **names, percent=share))
        do.append(text("audit.leaks.do", lang, rows=numbers["rows"], inside=one["inside"]))
    yield Finding(
        name="leaks",
        count=number(sum(one["rows"] for one in leaks)),
        sentences=tuple(say),
        do=do[0] if do else "",
        groups=tuple(_group(pair, lang) for one in leaks for pair in one["examples"][:2]),
        grave=bool(leaks),
    )


def _contradictions(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    found = facts.get("contradictions")
    if found is None:
        return
    counts = {"groups": number(found["groups"]), "rows": number(found["rows"])}
    some = found["groups"] or found["near_groups"]
    yield Finding(
        name="contradictions",
        count=number(found["rows"]),
        sentences=(text("audit.contradictions.say", lang, **counts, near=number(found["near_groups"])),)
        if some
        else (),
        do=text("audit.contradictions.do", lang, groups=counts["groups"]) if found["groups"] else "",
        groups=tuple(_group(rows, lang) for rows in found["examples"]),
        grave=bool(found["groups"]),
    )


def _suspicious(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    found = facts.get("suspicious")
    if found is None:
        return
    rates = {name: percent(found[name] or 0.0) for name in ("rate", "low", "high")}
    count = number(found["count"])
    rows = []
    for row in found["top"][:SHOWN]:
        note = text("audit.suspect", lang, given=row["label"], suggested=row["suggested"])
        rows.append(shown({**row, "label": None}, lang, note))
    say = text("audit.suspicious.say", lang, **rates, count=count)
    yield Finding(
        name="suspicious",
        count=count,
        sentences=(say,) if rows else (text("audit.suspicious.none", lang),),
        do=text("audit.suspicious.do", lang, count=count) if rows and not facts["model"]["weak"] else "",
        groups=(("", tuple(rows)),) if rows else (),
        grave=bool(rows) and not facts["model"]["weak"],
    )


def _confused(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    pairs = facts.get("confused")
    if pairs is None:
        return
    groups, do = [], ""
    for one in pairs:
        names = {"first": one["first"], "second": one["second"]}
        gains = {name: points(one[name]) for name in ("gain", "low", "high")}
        key = "audit.confused.say" if one["gain"] is not None else "audit.confused.border"
        say = text(key, lang, **names, **gains, rows=number(one["rows"]))
        groups.append((say, tuple(shown(row, lang) for row in one["examples"])))
        do = do or text("audit.confused.do", lang, **names)
    yield Finding(name="confused", count=number(len(pairs)), sentences=(), do=do, groups=tuple(groups))


def _personal(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    found = facts["personal"]
    kinds = ", ".join(f"{text(f'audit.pii.{k}', lang)} {number(n)}" for k, n in found["kinds"].items())
    rows = number(found["rows"])
    examples = []
    for row in found["examples"]:
        note = text("audit.column", lang, column=row["column"])
        examples.append(shown(row, lang, note))
    yield Finding(
        name="personal",
        count=rows,
        sentences=(text("audit.personal.say", lang, rows=rows, kinds=kinds),) if found["rows"] else (),
        do=text("audit.personal.do", lang, rows=rows) if found["rows"] else "",
        groups=(("", tuple(examples)),) if examples else (),
        grave=bool(found["rows"]),
    )


def _copies(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    found = facts["copies"]
    count = found["exact"] + found["near"]
    counts = {name: number(found[name]) for name in ("exact", "near")}
    groups = []
    for one in found["largest"]:
        say = text("audit.copies.group", lang, rows=number(one["rows"]))
        groups.append((say, tuple(shown(row, lang) for row in one["of"])))
    yield Finding(
        name="copies",
        count=number(count),
        sentences=(text("audit.copies.say", lang, **counts),) if count else (),
        do=text("audit.copies.do", lang, count=number(count)) if count else "",
        groups=tuple(groups),
    )


def _balance(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    shares = facts["languages"].items()
    letters = ", ".join(text(f"audit.script.{n}", lang, percent=percent(s)) for n, s in shares if s >= 0.001)
    spoken = [text("audit.languages", lang, shares=letters)] if letters else []
    labels = facts["labels"]
    if labels is None or not labels["classes"]:
        yield Finding(name="balance", count="", sentences=tuple(spoken))
        return
    counts = list(labels["classes"].values())
    numbers = {"most": number(counts[0]), "least": number(counts[-1]), "classes": number(len(counts))}
    say = [text("audit.balance.say", lang, labelled=number(labels["labelled"]), **numbers)]
    do = ""
    if labels["few"]:
        say.append(text("audit.balance.few", lang, few=number(labels["few"])))
        do = text("audit.balance.few.do", lang, few=number(labels["few"]))
    if labels["slips"]:
        slips = ", ".join(
            f"“{label}” ({number(count)})" for label, count in list(labels["slips"].items())[:6]
        )
        say.append(text("audit.balance.slips", lang, labels=slips))
        do = text("audit.balance.slips.do", lang, labels=slips)
    if labels["unlabelled"]:
        say.append(text("audit.balance.pool", lang, unlabelled=number(labels["unlabelled"])))
    some = list(labels["classes"].items())
    some = some if len(some) <= 12 else [*some[:8], *some[-4:]]
    bars = tuple((label, number(count), count / counts[0]) for label, count in some)
    yield Finding(name="balance", count=numbers["classes"], sentences=(*say, *spoken), do=do, bars=bars)


def _exam(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    exam = facts.get("exam")
    if exam is None:
        return
    values = {"items": number(exam["items"]), "discordance": percent(exam["discordance"])}
    if exam["detectable"] is None:
        say = text("audit.exam.none", lang, items=values["items"])
    else:
        gain = points(exam["detectable"], signed=False)
        say = text("audit.exam.say", lang, **values, detectable=gain)
    rows = tuple(
        (text("audit.exam.points", lang, points=points(one["gain"], signed=False)), number(one["items"]))
        for one in exam["needed"]
    )
    heads = ((text("audit.exam.gain", lang), text("audit.exam.needs", lang)),)
    yield Finding(name="exam", count=values["items"], sentences=(say,), table=heads + rows)


def _unread(facts: Mapping[str, Any], lang: str) -> Iterator[Finding]:
    if facts["unread"]:
        rows = tuple((reason_text("unread", r, lang), number(n)) for r, n in facts["unread"].items())
        count = number(sum(facts["unread"].values()))
        yield Finding(name="unread", count=count, sentences=(), table=rows)
