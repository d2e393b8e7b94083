"""The kin of a record as a tree for a terminal: what it was made from, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bapsim.core.errors import text
from bapsim.report.words import number, reason_text

if TYPE_CHECKING:
    from bapsim.report.desk import Desk

SHOWN = 12  # relatives of each direction; `--json` tells more
LONGEST = 60  # characters of an input
BRANCH, LAST, BAR, GAP = "├─ ", "└─ ", "│  ", "   "


class Line(NamedTuple):
    """One line of a tree: what stands before its words, before what is broken off them, and the words."""

    first: str
    rest: str
    said: str


def tree(said: Mapping[str, Any], lang: str) -> Iterator[Line]:
    """The first relatives, each under the one through whom it was reached: two lines each."""
    nodes: Sequence[Mapping[str, Any]] = said["first"][:SHOWN]
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    for one in nodes:
        below.setdefault(one["through"], []).append(one)
    open_ends = [(one, "", one is below[None][-1]) for one in reversed(below.get(None, []))]
    while open_ends:
        one, before, last = open_ends.pop()
        mine = below.get(one["id"], [])
        under = before + (GAP if last else BAR)
        hang = under + (BAR if mine else GAP)
        yield Line(before + (LAST if last else BRANCH), hang, named(one, lang))
        if one["here"]:
            yield Line(hang, hang, made(one, lang))
        open_ends += [(each, under, each is mine[-1]) for each in reversed(mine)]
    if said["count"] > len(nodes):
        yield Line("", "", text("kin.more", lang, count=number(said["count"] - len(nodes))))


def summary(said: Mapping[str, Any], lang: str) -> str:
    """How many there are, over how many hands, whose, and where they stand."""
    sources = ", ".join(f"{name} {number(count)}" for name, count in said["sources"].items())
    stands = ", ".join(
        f"{text(f'account.{name}', lang)} {number(count)}" for name, count in said["standing"].items()
    )
    values = {name: number(said[name]) for name in ("count", "steps", "people", "not_here")}
    words = text("kin.summary", lang, sources=sources or "-", stands=stands or "-", **values)
    return f"{words} {text('kin.not_here', lang, **values)}" if said["not_here"] else words


def named(one: Mapping[str, Any], lang: str) -> str:
    """A relative by its id and what it says."""
    if not one["here"]:
        return f"{one['id'][:8]}  {text('kin.gone', lang)}"
    said = " ".join(one["input"].split()) or text("kin.erased", lang)
    said = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
    return f"{one['id'][:8]}  {said}" + (f" → {one['target']}" if one["target"] is not None else "")


def made(one: Mapping[str, Any], lang: str) -> str:
    """Who made it, how, how deep it lies, under which rights, where it stands, and what verifiers said."""
    makers = [one["input_maker"], *([one["target_maker"]] if one["target"] is not None else [])]
    depths = [one["input_depth"], *([one["target_depth"]] if one["target"] is not None else [])]
    by = "/".join(text(f"maker.{name}", lang) for name in dict.fromkeys(makers))
    deep = "/".join("?" if depth is None else str(depth) for depth in dict.fromkeys(depths))
    source = one["source"] if one["batch"] in (None, one["source"]) else f"{one['source']} ({one['batch']})"
    parts = [
        text("kin.made", lang, by=by, depth=deep),
        text("kin.from", lang, source=source, method=one["method"], turn=one["turn"]),
        text("kin.rights", lang, rights=one["rights"]),
        text(f"account.{one['stands']}", lang),
        *(verdict(each, lang) for each in one["verifiers"]),
    ]
    told = {each["check"] for each in one["verifiers"]}
    parts += [verdict(each, lang) for each in one["refused"] if each["check"] not in told]
    return " · ".join(part for part in parts if part)


def said_of(entry: Mapping[str, Any], lang: str) -> str:
    """An entry of the quarantine: what, who, when, why."""
    kinds = "/".join(text(f"kin.kind.{kind}", lang) for kind in entry["kinds"])
    name = entry["name"][:8] if entry["kinds"] == ["record"] else entry["name"]
    values = {"kinds": kinds, "name": name, "by": entry["by"], "reason": entry["reason"]}
    return text("kin.entry", lang, **values, at=str(entry["at"])[:10])


def in_quarantine(report: Mapping[str, Any], lang: str) -> dict[str, Any] | None:
    """The table of a turn's page; None where nothing was in quarantine."""
    if not report.get("quarantines"):
        return None
    heads = ("what", "by", "reason", "rows", "made")
    rows = []
    for one in report["quarantines"]:
        kinds = "/".join(text(f"kin.kind.{kind}", lang) for kind in one["kinds"])
        said = [f"{kinds} {_name(one | {'what': one['name']})}", one["by"], one["reason"]]
        rows.append([*said, number(one["rows"]), number(one["made"])])
    return {
        "title": text("kin.quarantines", lang),
        "note": text("kin.quarantines.note", lang),
        "head": [text(f"kin.head.{name}", lang) for name in heads],
        "rows": rows,
        "notes": [],
    }


def say_put_aside(room: Desk, said: Mapping[str, Any]) -> None:
    """What a quarantine reaches: rows, where they stood, models, and generators that ate them."""
    counts = {name: number(said[name]) for name in ("rows", "made")}
    key = "kin.aside" if said["new"] else "kin.aside.again"
    room.say(key, name=_name(said), **counts)
    stood = ", ".join(
        f"{text(f'account.{name}', room.lang)} {number(count)}" for name, count in said["standing"].items()
    )
    if stood:
        room.say("kin.aside.stood", stood=stood)
    for one in said["models"]:
        key = "kin.aside.serves" if one["serves"] else "kin.aside.model"
        state = text(f"state.{one['state']}", room.lang)
        room.say(key, version=one["version"], rows=number(one["rows"]), state=state)
    for one in said["generators"]:
        key = "kin.aside.drawn" if one["drawn"] else "kin.aside.generator"
        values = {"version": one["version"], "rows": number(one["rows"]), "drawn": number(one["drawn"])}
        room.say(key, **values, bapsim=room.called)
    room.say("kin.aside.next", name=_name(said), bapsim=room.called)


def say_released(room: Desk, said: Mapping[str, Any]) -> None:
    """What a release gives back, and what other entries still hold."""
    counts = {name: number(said[name]) for name in ("rows", "made", "still")}
    room.say("kin.released", name=_name(said), bapsim=room.called, **counts)
    if said["still"]:
        room.say("kin.released.still", **counts)


def _name(said: Mapping[str, Any]) -> str:
    """What an entry names, as it can be typed."""
    name = str(said["what"][:8] if said["kinds"] == ["record"] else said["what"])
    return f"{said['source']}/{name}" if said["source"] is not None else name


def verdict(one: Mapping[str, Any], lang: str) -> str:
    """What a check said: yes, or no and why, and what it measured."""
    value = "" if one["value"] is None else f" {one['value']:.2f}"
    if one["keep"]:
        return f"{one['check']} ✓{value}"
    reason = reason_text("verdict", str(one["reason"]), lang)
    return f"{one['check']} ✗{value} ({reason})"
