"""What became of machine-made rows: the ways that were raced, the guard's signals, and both over
the turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bapsim.core.errors import text
from bapsim.report.panels import Panel, panels, sparkline
from bapsim.report.words import number

SHOWN = ("coverage", "distinct_2", "compression")


def fused_tables(report: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """The race of this turn, its signals, and a line for each turn; nothing where machines made nothing."""
    said = report.get("fused")
    if said is None:
        return
    yield {
        "title": text("fused.title", lang),
        "note": text(f"fused.{said['reason']}", lang, **_words(said, lang)),
        "head": [text(f"fused.head.{name}", lang) for name in ("way", "made", "gain")],
        "rows": [_raced(one, said["way"], lang) for one in said["raced"]],
        "notes": [*_rule(said, lang), *_buy(said, lang)],
    }
    if said["signals"]:
        yield {
            "title": text("fused.signals", lang),
            "note": text("fused.signals.note", lang),
            "head": [text(f"fused.head.{name}", lang) for name in ("signal", "value", "band")],
            "rows": [_signal(one, one["name"] in said["outside"], lang) for one in said["signals"]],
            "notes": [],
        }
    turns = report.get("fused_turns", [])
    if len(turns) > 1:
        yield {
            "title": text("fused.turns", lang),
            "note": text("fused.turns.note", lang),
            "head": [text(f"fused.head.{name}", lang) for name in ("turn", "share", "deepest", *SHOWN)],
            "rows": [_turn(one) for one in turns],
            "picture": panels(
                followed(report, lang), [one["turn"] for one in turns], text("fused.turns", lang)
            ),
            "notes": [],
        }


def over_turns(report: Mapping[str, Any], lang: str) -> list[list[str]]:
    """For a terminal: a line for each turn in which machines made rows, and below what each column looks
    like; empty where there is no such turn.
    """
    turns = report.get("fused_turns", [])
    if not turns:
        return []
    every = followed(report, lang)
    short = ("share", "deepest", "held", *SHOWN)
    rows = [[text("fused.head.turn", lang), *(text(f"fused.short.{name}", lang) for name in short)]]
    for k, turn in enumerate(turns):
        rows.append([str(turn["turn"]), *(one.said[k] for one in every)])
    if len(turns) > 1:
        rows.append(["", *(sparkline(one.values) for one in every)])
    return rows


def followed(report: Mapping[str, Any], lang: str) -> list[Panel]:
    """What is followed over the turns: the share and depth of machine-made rows, people's held-out rows,
    what is left of people's rare types, and diversity in two ways.
    """
    turns = report["fused_turns"]
    held = {one["turn"]: one for one in report.get("curve", [])}
    shares = [share_of(one) for one in turns]
    deepest = [float(one["deepest"]) for one in turns]
    none: list[tuple[float, float] | None] = [None] * len(turns)
    name = {one: text(f"fused.panel.{one}", lang) for one in ("share", "deepest", "held", *SHOWN)}
    right = [_held(held.get(one["turn"])) for one in turns]
    found = [
        Panel(name=name["share"], values=shares, said=[f"{100 * one:.0f} %" for one in shares], bands=none),
        Panel(name=name["deepest"], values=deepest, said=[f"{one:.0f}" for one in deepest], bands=none),
        Panel(name=name["held"], values=[v for v, _ in right], said=[said for _, said in right], bands=none),
    ]
    for signal in SHOWN:
        rows = [next((row for row in one["signals"] if row["name"] == signal), None) for one in turns]
        values = [None if row is None else float(row["value"]) for row in rows]
        said = [_marked(row, one) for row, one in zip(rows, turns, strict=True)]
        bands = [None if row is None else _band(row) for row in rows]
        found.append(Panel(name=name[signal], values=values, said=said, bands=bands))
    return found


def _held(one: Mapping[str, Any] | None) -> tuple[float | None, str]:
    """What the turn's model gets right of people's held-out rows, or how far off its numbers are."""
    if one is None or (one["oof_accuracy"] is None and one.get("oof_error") is None):
        return None, "-"
    if one["oof_accuracy"] is None:
        return float(one["oof_error"]), f"{one['oof_error']:.3g}"
    return float(one["oof_accuracy"]), f"{100 * one['oof_accuracy']:.1f} %"


def _band(row: Mapping[str, Any]) -> tuple[float, float]:
    high = row["high"] if row["high"] is not None else max(row["value"], row["low"])
    return float(row["low"]), float(high)


def share_of(said: Mapping[str, Any]) -> float:
    """Which part of the rows of the mixed candidate machines made; 0 where none joined."""
    rows = said["taken"] + said["people"]
    return float(said["taken"] / rows) if said["taken"] else 0.0


def way_in_words(way: Mapping[str, Any], lang: str) -> str:
    """At most 30 % of all rows, rare classes only, each counting half, before people's."""
    parts = [text("fused.way", lang, percent=f"{100 * way['share']:.0f}")]
    if way["rare"]:
        parts.append(text("fused.way.rare", lang))
    if way["weight"] != 1:
        parts.append(text("fused.way.weight", lang, percent=f"{100 * way['weight']:.0f}"))
    if way["first"]:
        parts.append(text("fused.way.first", lang))
    return ", ".join(parts)


def _words(said: Mapping[str, Any], lang: str) -> dict[str, str]:
    names = ", ".join(text(f"fused.signal.{name}", lang) for name in said["outside"])
    return {
        "made": number(said["made"]),
        "taken": number(said["taken"]),
        "percent": f"{100 * share_of(said):.0f}",
        "outside": names or "-",
        "refused": number(said.get("refused", 0)),
    }


def _rule(said: Mapping[str, Any], lang: str) -> Iterator[str]:
    """How a way is taken, or why nothing was raced."""
    if said["raced"]:
        yield text("fused.rule", lang)
    elif not said.get("refused"):
        yield text("fused.no_race", lang)


def _buy(said: Mapping[str, Any], lang: str) -> Iterator[str]:
    """Whether labels by people are the better buy; reports of earlier versions do not say."""
    if said.get("buy") and said["way"] is None:
        yield text("fused.buy", lang)
    if said["way"] is None or said.get("labels") is None:
        return
    won = next(one for one in said["raced"] if all(one[name] == v for name, v in said["way"].items()))
    values = {"labels": f"{said['labels']:.4f}", "gain": f"{won['gain']:.4f}"}
    yield text("fused.buy.more" if said["buy"] else "fused.keep", lang, **values)


def _raced(one: Mapping[str, Any], won: Mapping[str, Any] | None, lang: str) -> list[str]:
    mine = won is not None and all(one[name] == value for name, value in won.items())
    said = way_in_words(one, lang) + (f" ({text('fused.won', lang)})" if mine else "")
    if one["gain"] is None:
        return [said, number(one["made"]), "-"]
    width = "" if one["error"] is None else f" ±{one['error']:.4f}"
    return [said, number(one["made"]), f"{one['gain']:+.4f}{width}"]


def _signal(one: Mapping[str, Any], strange: bool, lang: str) -> list[str]:
    value = f"{one['value']:.3f}" + (f" ({text('fused.outside', lang)})" if strange else "")
    high = "" if one["high"] is None else f"{one['high']:.3f}"
    return [text(f"fused.signal.{one['name']}", lang), value, f"{one['low']:.3f} – {high}"]


def _turn(one: Mapping[str, Any]) -> list[str]:
    said = {row["name"]: row for row in one["signals"]}
    cells = [_marked(said.get(name), one) for name in SHOWN]
    return [str(one["turn"]), f"{100 * share_of(one):.0f} %", str(one["deepest"]), *cells]


def _marked(row: Mapping[str, Any] | None, turn: Mapping[str, Any]) -> str:
    """A signal's value, with a star where it lies outside people's range."""
    return "-" if row is None else f"{row['value']:.3f}{'*' * (row['name'] in turn['outside'])}"
