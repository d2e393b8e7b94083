"""The kin of a record as a tree for a terminal: what it was made from, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bapsim.core.errors import text
from bapsim.report.words import number, reason_text

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


def verdict(one: Mapping[str, Any], lang: str) -> str:
    """What a check said: yes, or no and why, and what it measured."""
    value = "" if one["value"] is None else f" {one['value']:.2f}"
    if one["keep"]:
        return f"{one['check']} ✓{value}"
    reason = reason_text("verdict", str(one["reason"]), lang)
    return f"{one['check']} ✗{value} ({reason})"
