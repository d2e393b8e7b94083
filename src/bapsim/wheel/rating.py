"""Who of the people is right, as far as a turn can tell: figures with their intervals for the report."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from bapsim.gather.people_lines import Said as Line
from bapsim.gather.people_lines import read_people
from bapsim.raters.lines import said_in
from bapsim.raters.popular import popular_doubt
from bapsim.raters.reliability import Reliability, Said, reliability
from bapsim.raters.shares import Share, share
from bapsim.wheel.pay_tests import GOLD, answer_of, outcomes
from bapsim.wheel.stock import Scene, Stock

SHARES = ("gold", "again", "outcomes", "others", "skill")


def raters_table(scene: Scene) -> dict[str, Any]:
    """Each person who voted, by pseudonym, and how far they agree; empty where nobody did.

    people: `Reliability` as plain values; agreement: pairs of people who say the same of one question, mean
    over questions; shared: whether mistakes are, by known items (independent, pairs, expected, p, items);
    surprising: questions on which another answer than most give is surprisingly popular. Of numbers nothing
    is told.
    """
    stock = scene.stock
    lines = [one for mine in read_people(scene.turn.inbox).values() for one in mine if one.kind == "vote"]
    if not lines or stock.task.answer == "number":
        return {}
    said = said_in({**one.body, "said": answer_of(one, stock)} for one in lines)
    panel = reliability(said, _gold(lines, scene), _confirmed(stock))
    shared = panel.mistakes
    return {
        "people": [_person(one) for one in panel.people.values()],
        "agreement": _plain(agreement(said)),
        "shared": {
            "independent": shared.independent,
            "pairs": shared.pairs,
            "expected": shared.expected,
            "p": shared.p,
            "items": shared.items,
        },
        "surprising": sorted(_surprising(said)),
    }


def _gold(lines: Iterable[Line], scene: Scene) -> dict[str, str]:
    """The labels of items of hidden tests; none of an exam item, nor of one that was taken back."""
    stock, found = scene.stock, {}
    for one in lines:
        name = str(one.body["question"])
        row = stock.place.get(bytes.fromhex(name)) if one.body.get("blind") == GOLD else None
        if row is not None and stock.labelled[row] and not scene.exam[row] and not scene.refused[row]:
            found[name] = str(stock.labels[row])
    return found


def _confirmed(stock: Stock) -> dict[str, str]:
    return {stock.ids[row].tobytes().hex(): label for row, label in outcomes(stock).items()}


def agreement(said: Iterable[Said]) -> Share:
    """How many of the pairs of people who answered one question say the same: the mean over questions."""
    shares = []
    for mine in by_question(said).values():
        pairs = [one == other for one, other in combinations(mine.values(), 2)]
        shares += [sum(pairs) / len(pairs)] if pairs else []
    return share(sum(shares), len(shares))


def by_question(said: Iterable[Said]) -> dict[str, dict[str, str]]:
    """By question what each person said last, hidden tests left out."""
    found: dict[str, dict[str, str]] = {}
    for one in said:
        if one.blind is None and one.label is not None:
            found.setdefault(one.item, {})[one.person] = one.label
    return found


def _surprising(said: Iterable[Said]) -> Iterable[str]:
    foretold: dict[str, dict[str, tuple[str, float]]] = {}
    for one in said:
        if one.blind is None and one.label is not None and one.peers is not None:
            foretold.setdefault(one.item, {})[one.person] = (one.label, one.peers)
    for name, mine in foretold.items():
        labels = [label for label, _ in mine.values()]
        most = max(sorted(set(labels)), key=labels.count)
        if popular_doubt(list(mine.values()), most):
            yield name


def _person(one: Reliability) -> dict[str, Any]:
    told = {name: _plain(getattr(one, name)) for name in SHARES}
    sure = one.calibration
    return {
        "person": one.person,
        "answers": one.answers,
        "cannot_tell": one.cannot_tell,
        **told,
        "agreement": None if one.agreement is None else _plain(one.agreement),
        "brier": None if sure is None else _plain(sure.brier) | {"over": sure.over},
        "standing": one.standing,
        "diverges": one.diverges,
    }


def _plain(one: Share) -> dict[str, Any]:
    """hits, of, rate (None of nothing), low, high."""
    rate = one.rate if one.of else None
    return {"hits": one.hits, "of": one.of, "rate": rate, "low": one.low, "high": one.high}
