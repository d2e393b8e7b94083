"""What the next answers are worth: at each turn's end for its questions, for each source when asked.

From models of fewer rows and from how earlier forecasts did, on out-of-fold answers; never an exam item. What
a source is worth takes two more fits for each, so that is not computed unasked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from bapsim.compose.forecast import Curve, Forecast, curve_of, forecast
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.judge.compare import units
from bapsim.mods import Money
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.costs import Costs
from bapsim.wheel.examining import eligible
from bapsim.wheel.kin import kin
from bapsim.wheel.sampling import FEWEST, sampled, with_and_without
from bapsim.wheel.sources import bought
from bapsim.wheel.state import the_newest
from bapsim.wheel.stock import ASKED, EXAM, REFUSED, SUPERSEDED, Scene, Stock, load_stock
from bapsim.wheel.worth import eaten_by

USUAL = 500  # answers that are spoken of where no question is asked
LEAST = 0.003  # a gain (share of answers; of numbers, of their error 1 %) that is not worth more answers
LEAST_OF_ERROR = 0.01
DOUBT = ("unsure", "rare", "new_class", "duel", "sought")  # why a question is asked that a model picked
TYPICAL = 0.5  # how far what a row of a source is worth lies from the average row's, before anything is seen

Row = dict[str, Any]


def next_turn(scene: Scene, model: Candidate, random: np.ndarray, asked: list[Row], told: Row) -> Row | None:
    """What the answers to these questions bring; told: the turn's own summary (out-of-fold score, sources).

    random: bool[N], people's rows outside the exam that nobody picked. None where there is too little to
    tell.
    """
    samples = sampled(scene.recipe, scene.stock, scene.groups, model, random)
    curve, now = curve_of(samples), error_of(told)
    if curve is None or now is None or not now > 0:
        return None
    ledger = scene.project.ledger
    picked = np.array([one["why"] in DOUBT for one in asked if one["draw"] == "chosen"], bool)
    before = _picked(ledger, scene.stock, model.rows)
    share = float(picked.mean()) if len(picked) else 0.0
    merged = dict(scene.recipe.task.merged)
    said = forecast(
        curve,
        now,
        len(picked) or USUAL,
        picked=share,
        before=before,
        past=misses(ledger, told, curve, merged),
    )
    answers = len(asked) if len(picked) else USUAL  # where none teaches, of answers as they usually are
    costs = {c: round(each * answers) for c, each in price_of(told["sources"]).items()}
    point = getattr(scene.recipe.questions, "point", None)
    found = _plain(said) | {"answers": answers, "now": now, "picked": share, "before": before}
    found |= {"samples": samples, "merged": merged, "costs": costs, "answer": told["answer"]}
    found |= {"usual": not len(picked)}
    return found | advice(said, now, told["answer"], costs, point)


def _plain(said: Forecast) -> Row:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(said).items()}


def error_of(told: Mapping[str, Any]) -> float | None:
    """The error that a turn reports out of fold: the share of wrong answers, or how far numbers are off."""
    if told.get("oof_error") is not None:
        return float(told["oof_error"])
    return None if told.get("oof_accuracy") is None else 1 - float(told["oof_accuracy"])


def advice(said: Forecast, now: float, answer: str, costs: Costs, point: Money | None) -> Row:
    """worth, stop (even the upper bound is less than `least`), dear (it costs more than it can be worth by
    what the recipe says of a point), or unsure.
    """
    least = LEAST_OF_ERROR * now if answer == "number" else LEAST
    verdict = "worth" if said.tells else "unsure"
    most = None
    if said.tells and said.high < least:
        verdict = "stop"
    elif said.tells and point is not None and answer != "number":
        most = {point.currency: round(max(said.high, 0) * 100 * point.minor)}
        if costs.get(point.currency, 0) > most[point.currency]:
            verdict = "dear"
    return {"verdict": verdict, "least": least, "most": most}


def price_of(sources: list[Row]) -> dict[str, float]:
    """What an answer cost so far, in minor units by currency: of sources that answered, else of all paid;
    nothing where none of what was paid for was accepted.
    """
    paid = [one for one in sources if one.get("costs") and one["name"] is not None]
    paid = [one for one in paid if one["answers"]] or paid
    spent, rows = Counter[str](), Counter[str]()
    for one in paid:
        for currency, minor in one["costs"].items():
            spent[currency] += minor
            rows[currency] += bought(one, currency, one["answers"] or one["trained"] + one["exam"])
    return {currency: minor / rows[currency] for currency, minor in spent.items() if rows[currency]}


def _picked(ledger: Ledger, stock: Stock, rows: np.ndarray) -> float:
    """The share of these rows (bool[N]) that answer questions which a model picked."""
    why = {r["id"] for r in ledger.rows("select distinct id from asking where why in ('unsure', 'rare')")}
    chosen = stock.of_origins(lambda _, origin: origin.method == f"{ASKED}chosen") & rows
    mine = {row: mums for row, mums in stock.parents if chosen[row]} if chosen.any() else {}
    count = sum(any(stock.ids[m].tobytes() in why for m in mums) for mums in mine.values())
    return count / max(int(rows.sum()), 1)


def misses(ledger: Ledger, told: Mapping[str, Any], curve: Curve, merged: Mapping[str, str]) -> list[float]:
    """How far the reported errors of turns that learnt more were from their forecasts, in its deviations.

    Only of turns that read the labels as this one does.
    """
    query = "select decision from turn where state='done' order by n"
    past = [json.loads(row["decision"]) for row in ledger.rows(query)]
    said = [one.get("forecast") for one in past]  # turns of earlier versions have none
    ends = [(error_of(one), f and f["samples"]["all"]) for one, f in zip(past, said, strict=True)]
    ends.append((error_of(told), curve.rows))
    found = []
    for start, (error, rows) in zip(said, ends[1:], strict=True):
        law = None if start is None else curve_of(start["samples"])
        if law is None or start["merged"] != merged or error is None or not rows or rows <= law.rows:
            continue
        more = {"picked": start["picked"], "before": start["before"]}
        then = forecast(law, start["now"], rows - law.rows, **more)
        found.append((error - then.reported[0]) / then.sd)
    return found


# --------------------------------------------------------------------------- by source, when asked


def by_source(project: Project, recipe: Recipe, more: int | None = None) -> list[Row]:
    """What `more` rows of each source are worth (default: as many as the next questions teach), by the last
    turn's forecast and by fits without it. Asked again it is read, not made.

    Raises InputError where no turn told a forecast.
    """
    ledger = project.ledger
    row = ledger.row("select n, decision from turn where state='done' order by n desc limit 1")
    told = None if row is None else json.loads(row["decision"])
    said = None if told is None else told.get("forecast")
    model = None if row is None else the_newest(project, int(row["n"]) + 1, recipe.task)
    law = curve_of(said and said["samples"])
    if row is None or told is None or said is None or model is None or law is None:
        raise InputError("no_forecast")
    key = f"forecast:{model.fingerprint}"
    staged = ledger.value("select output from stage where key=?", key)
    if staged is None:
        staged = json.dumps(_values(project, recipe, model, law))
        with ledger.change("worth of sources told") as changed:
            changed.add("stage", key=key, name="forecast", turn=int(row["n"]), output=staged)
    count, found = more or said["more"], []
    sources = {one["name"]: one for one in told["sources"]}
    for name, value in json.loads(staged).items():
        worth = (value["worth"], value["error"])
        before = said["before"]  # what its rows are worth is measured, however they were picked
        one = forecast(law, said["now"], count, picked=before, before=before, worth=worth)
        costs = {c: round(each * count) for c, each in price_of([sources[name]]).items()}
        point = getattr(recipe.questions, "point", None)
        told_of = advice(one, said["now"], told["answer"], costs, point)
        if not value["tells"]:
            told_of["verdict"] = "unsure"
        found.append({"source": name, "costs": costs, **value, **_plain(one), **told_of})
    return found


def _values(project: Project, recipe: Recipe, model: Any, law: Curve) -> dict[str, Row]:
    """What a row of each source is worth of an average one, with its standard error, shrunk to 1.

    By how much worse a model of half the rows is without them, against what as many rows of all cost.
    """
    stock = load_stock(project, recipe.task)
    state = stands(project, stock)
    ate = eaten_by(project.ledger, stock, model.name)
    groups = kin(stock, ate, recipe.exam.near)
    random = eligible(stock, np.isin(state, [SUPERSEDED, REFUSED, EXAM]))
    of = np.array([stock.origins[int(n)].source for n in stock.origin], object)
    found: dict[str, Row] = {}
    for name in dict.fromkeys([*recipe.sources, *of[ate].tolist()]):
        mine = of == name
        rows = int((mine & ate).sum())
        if not rows:
            continue
        if rows == ate.sum():  # there is no other: it is the average
            found[name] = {"rows": rows, "worth": 1.0, "error": 0.0, "tells": True}
            continue
        told = with_and_without(recipe, stock, groups, ate, mine, random & ~mine, model.respond)
        found[name] = {"rows": rows, "worth": 1.0, "error": TYPICAL, "tells": False}
        if told is None:
            continue
        whole, less, group = told
        diffs = units(less - whole, group)
        lost, n = float((less - whole).mean()), len(diffs)
        error = float(np.std(diffs, ddof=1) * np.sqrt(n)) / len(less)
        each = float(whole.mean()) * law.slope * -np.log1p(-rows / ate.sum())  # average rows, as many
        if len(less) < FEWEST or each <= 0:
            continue
        seen, off = lost / each, max(error / each, 1e-6)
        weight = 1 / (1 + (off / TYPICAL) ** 2)
        value = {"worth": 1 + weight * (seen - 1), "error": TYPICAL * (1 - weight) ** 0.5}
        found[name] |= value | {"tells": bool(off < TYPICAL)}
    return found
