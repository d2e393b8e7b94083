"""What lies ahead in words: what the next answers are worth, and what a turn would change in its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bapsim.core.errors import text
from bapsim.report.sourced import money
from bapsim.report.words import amount, number, percent, points

if TYPE_CHECKING:
    from bapsim.report.desk import Desk
    from bapsim.wheel.applying import Proposed

SHARES = ("right", "fresh", "apart", "rate")
GAINS = ("gain", "chose", "bound", "optimism", "least")


def worth(said: Mapping[str, Any] | None, lang: str) -> Iterator[str]:
    """What the next answers bring and cost, whether to stop, and what the next report should say."""
    if said is None:
        yield text("forecast.none", lang)
        return
    answers = number(said["answers"])
    if not said["tells"]:
        yield text("forecast.unsure", lang, answers=answers)
        return
    numeric = said["answer"] == "number"
    unit = "number" if numeric else "points"
    gains = {name: amount(said[name], unit) for name in ("gain", "low", "high")}
    costs = paid(said["costs"])
    more = text("forecast.costs", lang, costs=costs) if costs else ""
    key = "usual" if said.get("usual") else "worth"
    yield text(f"forecast.{key}{'.number' * numeric}", lang, answers=answers, costs=more, **gains)
    if said["verdict"] == "stop":
        least = amount(said["least"], unit, signed=False)
        yield text(f"forecast.stop{'.number' * numeric}", lang, high=gains["high"], least=least)
    elif said["verdict"] == "dear":
        yield text("forecast.dear", lang, costs=costs, most=paid(said["most"]))
    reported, best, worst = said["reported"]  # of fresh rows only the gain is told: docs/results/forecast.md
    values = (said["now"], reported, *((best, worst) if numeric else (worst, best)))
    names = ("now", "reported", "low", "high")
    yield text("forecast.next", lang, **{n: score(v, numeric) for n, v in zip(names, values, strict=True)})
    if said["gain"] > 0 and said["now"] - reported < said["gain"] / 2:
        yield text("forecast.harder", lang)


def score(error: float, numeric: bool) -> str:
    """An error as a person reads the score: percent right, or the mean error."""
    return amount(error, "number", signed=False) if numeric else f"{percent(1 - error)} %"


def paid(costs: Mapping[str, int] | None) -> str:
    """Amounts of several currencies."""
    return " + ".join(money(minor, currency) for currency, minor in (costs or {}).items())


def changes(said: Proposed, lang: str) -> Iterator[str]:
    """Each proposed change with its evidence, and whether the diff has it."""
    for change, placed in zip(said.changes, said.placed or (False,) * len(said.changes), strict=True):
        yield _change(change, lang) + ("" if placed else text("arrow.unplaced", lang))


def _change(change: Mapping[str, Any], lang: str) -> str:
    why = dict(change["evidence"])
    name, numeric = str(why.pop("name")), why.get("answer") == "number"
    gain = "number" if numeric else "points"
    shown: dict[str, str] = {}
    for key, value in why.items():
        if key == "found":
            shown[key] = ", ".join(text(f"arrow.found.{one}", lang) for one in value)
        elif key in SHARES or (key in ("low", "high") and name in ("copies", "labels")):
            shown[key] = percent(value, 0)
        elif key in GAINS or key in ("low", "high"):
            shown[key] = amount(value, gain, signed=key != "least")
        else:
            shown[key] = number(value) if isinstance(value, int) else str(value)
    shown |= {"old": str(change.get("old", "")), "new": str(change.get("value", ""))}
    if name == "merge":
        shown |= {"old": change["pair"][0], "new": change["pair"][1]}
    return text(f"arrow.{'rule.say' if name == 'rule' else name}", lang, **shown)


def sections(report: Mapping[str, Any], said: Proposed | None, lang: str) -> Iterator[dict[str, Any]]:
    """Both as sections of a turn's page; nothing of turns of older versions."""
    if "forecast" in report:
        told = [{"words": one, "rows": []} for one in worth(report["forecast"], lang)]
        title = text("page.forecast", lang)
        yield {"title": title, "note": text("page.forecast.note", lang), "groups": told}
    if said is not None and said.changes:
        told = [{"words": one, "rows": []} for one in changes(said, lang)]
        told[-1] |= {"code": said.diff}
        yield {"title": text("page.arrow", lang), "note": text("page.arrow.note", lang), "groups": told}


# --------------------------------------------------------------------------- at the desk


def say_worth(room: Desk, source: str) -> dict[str, Any]:
    """The points that training with a source gives: the fits of one candidate, made once."""
    from bapsim.wheel.worth import worth_of

    recipe = room.recipe()
    with room.project(writing=True) as project:
        said = worth_of(project, recipe, source)
    key = "show.worth" if said["tells"] else "show.worth.unsure" if said["rows"] else "show.worth.none"
    values = {name: points(said.get(name)) for name in ("gain", "low", "high")}
    room.say(key, source=source, rows=number(said["rows"]), **values)
    return said


def say_worth_next(room: Desk, more: int) -> dict[str, Any]:
    """`show --worth-next N`: what is foretold in all, and by source."""
    from bapsim.report.facts import facts
    from bapsim.wheel.forecasting import by_source

    recipe = room.recipe()
    with room.project(writing=True) as project:
        found = by_source(project, recipe, more or None)
        said = facts(project)
    for sentence in worth(said["forecast"], room.lang):
        room.line(sentence)
    rows = (
        [text("forecast.source.head", room.lang, rows=number(found[0]["more"])).split("|")] if found else []
    )
    for one in found:
        unit = "number" if said["answer"] == "number" else "points"
        gain, low, high = (amount(one[name], unit) for name in ("gain", "low", "high"))
        sure = one["verdict"] != "unsure"
        each = f"{one['worth']:.1f} ± {1.3 * one['error']:.1f}" if one["tells"] else "–"
        told = [one["source"], number(one["rows"]), each, f"{gain} [{low}, {high}]" if sure else "–"]
        rows.append([*told, paid(one["costs"]) or "–", text(f"forecast.advice.{one['verdict']}", room.lang)])
    room.table(rows, right=[1])
    room.say("forecast.sources.note")
    return {"forecast": said["forecast"], "sources": found}


def say_applied(room: Desk) -> dict[str, Any]:
    """`turn --apply`: take the last proposal over, and say what was changed."""
    from bapsim.wheel.applying import take_over

    with room.project(writing=True) as project:
        done = take_over(project)
    named = {key: _named(done[key], room.lang) for key in ("changes", "left")}
    key = "apply.done" if done["changed"] else "apply.again"
    room.say(key, turn=done["turn"], changes=named["changes"], backup=done["backup"])
    if done["left"]:
        room.say("apply.left", changes=named["left"])
    if done["to_write"]:
        room.say("apply.to_write", labels=", ".join(done["to_write"]))
    return done


def _named(what: Sequence[str], lang: str) -> str:
    return ", ".join(text(f"apply.what.{one}", lang) for one in dict.fromkeys(what))
