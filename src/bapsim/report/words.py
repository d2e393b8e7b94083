"""A turn in plain words, Korean or English: the headline, what was seen, what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.train.lm.epochs import Budget

SCREEN_LIMIT = 0.5  # shown beside z where a candidate did not get to the exam
CONFUSED = 0.1  # share of wrong labels beyond the usual, at least, from which on a source is worth a talk
MOST_MISSING = 10  # times the exam: more is no advice


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a person reads of a turn: one line, the sentences behind it, and what to type next."""

    headline: str
    sentences: tuple[str, ...]
    next: tuple[str, ...]


def parts(key: str, lang: str, **values: object) -> list[str]:
    """A message of several parts, each by itself; empty parts are left out."""
    said = messages()[key][lang]
    return [part.format(**values) for part in ([said] if isinstance(said, str) else said) if part]


def points(share: float | None, *, signed: bool = True) -> str:
    """A share in points with one decimal (two below a tenth), with a real minus sign."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    digits = 1 if abs(value) >= 0.095 or value == 0 else 2
    said = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return said.replace("-", "−")


def amount(value: float | None, unit: str, *, signed: bool = True) -> str:
    """A gain in its unit: points of a share, or, of numbers, the target's own with three digits."""
    if unit == "points":
        return points(value, signed=signed)
    if value is None or not math.isfinite(value):
        return "–"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    shown = f"{round(value, digits):{'+' if signed else ''},.{max(digits, 0)}f}"
    return shown.replace("-", "−")


def unit_of(decision: Mapping[str, Any]) -> str:
    """The unit of a decision's gain: "points", or "number" where it is the target's own."""
    return str((decision.get("values") or {}).get("unit", "points"))


def held_out_in_words(one: Mapping[str, Any]) -> str:
    """How good a turn's model is on rows held out of training: percent right, or the mean absolute error."""
    if one.get("oof_error") is not None:
        return amount(one.get("oof_error"), "number", signed=False)
    return "–" if one["oof_accuracy"] is None else f"{100 * one['oof_accuracy']:.1f}"


def number(value: float | int | None, digits: int = 2) -> str:
    """A count with separators, or a measured number with so many decimals."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}".replace("-", "−")


def reason_text(kind: str, reason: str, lang: str) -> str:
    """A reason of a verdict or of an unread line in plain words; a user's own reason stands for itself."""
    key = f"{kind}.{reason}"
    return text(key, lang) if key in messages() else reason


def opponent(name: str, lang: str) -> str:
    """Whom the candidate was compared with."""
    if name in ("majority", "median", "incumbent"):
        return text(f"opponent.{name}", lang)
    return text("opponent.model", lang, version=name)


def story(report: Mapping[str, Any], lang: str, bapsim: str = "bapsim") -> Story:
    """The facts of a turn as words; `bapsim` is how the program is called in what to type next."""
    decision = report["decision"]
    values = {**decision["values"], "opponent": opponent(report["opponent"], lang), "limit": SCREEN_LIMIT}
    values = {k: number(v) if isinstance(v, int | float) else v for k, v in values.items()}
    headline, *more = parts(decision["reason"], lang, **values)
    refused = dict(report["refused"])
    for reason, key in {"conflict": "said.conflicts", "unverified": "said.unverified"}.items():
        if refused.get(reason):
            more.append(text(key, lang, count=number(refused[reason]), bapsim=bapsim))
    more += _vouched(report, lang)
    told = (_evidence(report, lang), more, _read(report, lang), _duel(report, lang), _suspects(report, lang))
    served = (_service(report, lang), _tainted(report, lang))
    sentences = [sentence for part in (*told, *served) for sentence in part]
    return Story(headline=headline, sentences=tuple(sentences), next=tuple(_next(report, lang, bapsim)))


def _vouched(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What each verifier said of the rows that machines made."""
    for name, counts in sorted(report.get("vouchers", {}).items()):
        yield text("said.voucher", lang, name=name, **{k: number(v) for k, v in counts.items()})


def _read(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What a language model read, how often, and what that is worth."""
    said = report.get("budget")
    if said is not None:
        names = [one.name for one in fields(Budget)]
        yield from Budget(**{name: said[name] for name in names}).say(lang).split("\n")


def _evidence(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What the look at the exam showed, and what it could have shown."""
    decision = report["decision"]
    if decision["gain"] is None:
        return
    values, unit = decision["values"], unit_of(decision)
    numeric = values.get("answer") == "number"
    seen = {name: amount(decision[name], unit) for name in ("gain", "low", "high")}
    kind = unit if numeric else "labels" if report.get("answer") == "labels" else ""
    yield text(f"said.evidence.{kind}".rstrip("."), lang, **seen, items=number(decision["items"]))
    if "wins" in values:
        told = {"wins": number(values["wins"]), "losses": number(values["losses"])}
        yield text("said.nearer" if numeric else "said.wins", lang, **told)
    if numeric and unit == "points":
        yield text("said.by_error", lang, error=amount(-values["loss_gain"], "number"))
    if not numeric and "loss_gain" in values and abs(decision["gain"]) < 0.1:
        seen_gain = round(values["loss_gain"], 3)
        way = text(f"said.way.{'better' if seen_gain > 0 else 'worse' if seen_gain < 0 else 'same'}", lang)
        yield text("said.by_loss", lang, loss=_signed(-values["loss_gain"]), way=way)
    if "invented_after" in values:
        shares = {name: percent(values[f"invented_{name}"], 1) for name in ("before", "after")}
        ends = {name: amount(values[f"invented_{name}"], "points") for name in ("low", "high")}
        yield text("said.invented", lang, **shares, **ends, claims=number(values["invented_claims"]))
    if decision["verdict"] != "undecided":
        return
    if decision["detectable"] is not None:
        least = amount(decision["detectable"], unit, signed=False)
        yield text("said.detectable.number" if numeric else "said.detectable", lang, detectable=least)
    missing = decision["missing"]
    agree = decision["gain"] > 0 and values.get("loss_gain", 1.0) > 0
    if agree and missing is not None and 0 < missing < MOST_MISSING * decision["items"]:
        yield text("said.missing", lang, missing=number(rounded(missing)))


def _signed(loss: float) -> str:
    """A difference of losses: which way it went must be seen."""
    return f"{loss:+.3f}".replace("-", "−") if round(loss, 3) else "0"


def rounded(count: int) -> int:
    """A count to two figures: an estimate must not look exact."""
    return round(count, 2 - len(str(count)))


def _suspects(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    for one in report["suspects"]:
        key = "suspect.refused" if one["refused"] else "suspect.kept"
        key += ".number" if report.get("answer") == "number" else ""
        shares = {name: percent(one[name], 0) for name in ("noise", "low", "high")}
        yield text(key, lang, name=one["name"], rows=number(one["rows"]), **shares)


def _duel(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What people said where the last undecided model and the proven one differed."""
    said = report.get("duel")
    if said is not None:
        shares = {name: points(said[name]) for name in ("gain", "low", "high")}
        counts = {name: number(said[name]) for name in ("items", "labels")}
        names = {name: said[name] for name in ("first", "second")}
        yield text(f"said.duel.{said['verdict']}", lang, **names, **counts, **shares)


def _service(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    serves, provisional = report["serves"], report["provisional"]
    if provisional is not None and report["decision"]["verdict"] != "accept":
        reason = provisional["reason"]
        numeric = report.get("answer") == "number" and f"{reason}.number" in messages()
        yield text(f"{reason}.number" if numeric else reason, lang)
    if serves is None:
        yield text("serves.none", lang)
    else:
        state = serves["state"] if serves["new"] else "back" if report.get("back_to") else "still"
        yield text(f"serves.{state}", lang, version=serves["version"])
        yield from fixed(report, lang)


def _tainted(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """That what serves learnt from something that was withdrawn, where it did."""
    said, serves, before = report.get("withdrawn"), report["serves"], report.get("stained")
    if serves is None:
        return
    if before not in (None, serves["version"]):
        yield text("said.cleaned", lang, before=before, version=serves["version"])
    rows = sum(
        one["rows"] for one in (said or {"models": []})["models"] if one["version"] == serves["version"]
    )
    if rows:
        key = "said.tainted.still" if before == serves["version"] else "said.tainted"
        yield text(key, lang, version=serves["version"], rows=number(rows))


def fixed(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """That services are held at another version than the one the ledger names, where they are."""
    held = report.get("fixed")
    if held is not None and report["serves"] is not None and held != report["serves"]["version"]:
        yield text("serves.fixed", lang, version=held)


def _next(report: Mapping[str, Any], lang: str, bapsim: str) -> Iterator[str]:
    yield from steps(report, lang)
    if dict(report["refused"]).get("unverified") and not report.get("vouchers"):
        yield text("next.unverified", lang)
    for one in report["suspects"]:
        if one["refused"]:
            yield text("next.overrule", lang, bapsim=bapsim, name=one["name"])
    if report["serves"] is not None:
        yield text("next.predict", lang, bapsim=bapsim)
    if report["questions"]:
        sheet = report.get("sheet")  # a watch has written one
        values = {"bapsim": bapsim, "questions": number(report["questions"]), "sheet": sheet}
        yield text("next.sheet" if sheet else "next.ask", lang, **values)
        sample = report["asked"].get("spot_check", {"count": 0})["count"]
        if sample:
            yield text("next.spot_check", lang, count=number(sample))
    else:
        yield text("next.pool", lang, bapsim=bapsim)
    proposed = report.get("proposal", {}).get("changes", ())
    if proposed:
        diff = f"reports/turn-{report['turn']:03d}/recipe.diff"
        ready = [one for one in proposed if one["what"] != "guideline"]
        if len(ready) < len(proposed):
            yield text("next.rules", lang, diff=diff)
        if ready:
            yield text("next.apply", lang, bapsim=bapsim, changes=number(len(ready)), diff=diff)
    yield text("next.turn", lang, bapsim=bapsim)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, whole where it is whole; what chance took below 0 or above 1 is 0 or 100."""
    return f"{100 * min(max(share, 0.0), 1.0):.{digits}f}".removesuffix(".0")


def slice_name(one: Mapping[str, Any], lang: str) -> str:
    """What a slice is, in words."""
    kind, _, column = one["kind"].partition(" ")
    return text(f"insight.slice.{kind}", lang, name=one["name"], column=column)


def steps(report: Mapping[str, Any], lang: str) -> Iterator[str]:
    """What to do next beyond the verbs: what this turn's data asks for."""
    slices = report["notice"]["slices"]
    for one in slices[:1]:
        shares = {name: percent(one[name]) for name in ("wrong", "elsewhere")}
        yield text("next.weak", lang, name=slice_name(one, lang), **shares)
    for one in report.get("gaps", ()):
        if one["gap"] is not None and one["low"] > 0:
            unit = "number" if report["answer"] == "number" else "points"
            ends = {name: amount(one[name], unit, signed=False) for name in ("gap", "low", "high")}
            yield text("next.gap", lang, name=one["name"], best=one["best"], worst=one["worst"], **ends)
    for one in report["notice"].get("confused", [])[:1]:
        names = {"first": one["first"], "second": one["second"]}
        if one["gain"] is not None:
            yield text("next.pair", lang, **names, gain=points(one["gain"], signed=False))
    for one in report.get("sources") or ():
        noise = one.get("noise")
        if noise is not None and noise["low"] > CONFUSED:
            shares = {name: percent(noise[name], 0) for name in ("share", "low", "high")}
            yield text("next.source", lang, name=one["name"], **shares)
    again = report["asked"].get("guideline", {"count": 0})["count"]
    if again:
        yield text("next.guideline", lang, count=number(again))
    noise = report["notice"].get("noise")
    doubted = report["asked"].get("label_error", {"count": 0})["count"]
    if noise is not None and doubted:
        yield text("next.labels", lang, rate=percent(noise["rate"]), count=number(doubted))
