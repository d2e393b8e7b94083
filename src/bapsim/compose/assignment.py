"""Whom to ask what next: one vote first, more where people or the model disagree, none once it is settled.

Blind tests come in between, and nothing that a person sees tells them apart: items whose answer is known,
more often for who is not known yet, and items that the person answered a while ago. Pure: who holds what, and
until when, is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from bapsim.core.turn import named_seed
from bapsim.raters.popular import popular_doubt
from bapsim.raters.reliability import Blind
from bapsim.raters.sequential import Standing

SKILL = 0.8  # the share of right votes of whom nothing is known
WORST, TOP = 0.05, 0.98  # nobody is taken for surer than this, either way
TIE, LEAST = 1e-9, 1e-12
SPREAD = 0.1  # of the model's say, over all labels: it weighs like one more person at most
State = Literal["open", "settled", "disputed"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is asked. limit: the probability from which on a label is settled; alone: the skill from which
    on one vote settles where no model says anything (above 1: never); confident: of the model's label, from
    which on another first vote is looked at again, however skilled; cap: votes on one item.

    gold, trusted: one item in so many is a test whose answer is known, until it is told whether somebody is
    an expert, for `trial` answers at most, and then; again: one in so many is an item of the person's own,
    answered at least `after` answers before.
    """

    limit: float = 0.9
    alone: float = 0.7
    confident: float = 0.8
    cap: int = 5
    gold: int = 4
    trial: int = 60
    trusted: int = 12
    again: int = 20
    after: int = 15


PLAN = Plan()


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item with what was said of it: votes: by person, None = cannot tell, tests left out; peers: by
    person, the share of others who are expected to say the same; guess: the model's probabilities, none
    where there is no model; labels: how many could be given; leased: who has it before them.
    """

    key: str
    votes: Mapping[str, str | None] = field(default_factory=dict)
    peers: Mapping[str, float] = field(default_factory=dict)
    guess: Mapping[str, float] = field(default_factory=dict)
    labels: int = 2
    leased: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who is asked: answered: the keys of their work in the order of answering; tested: known items they have
    had; repeated: items they were asked again; skipped: left to others; standing: what tests say so far.
    """

    name: str
    answered: Sequence[str] = ()
    tested: Sequence[str] = ()
    repeated: Sequence[str] = ()
    skipped: Sequence[str] = ()
    standing: Standing = "undecided"


class Asked(NamedTuple):
    """An item for a person, and which blind test it is, if any: that is for the caller alone."""

    key: str
    blind: Blind | None


@dataclass(frozen=True, kw_only=True)
class Need:
    """What an item still needs. disputed: asked as often as the plan allows, and both sides stand.

    label: the one that people's votes lead to, None where none leads; sure: its probability, the model's say
    included; least: votes that it takes at least to settle the item or to end it, 0 where it is not open.
    """

    state: State
    label: str | None
    sure: float
    votes: int
    least: int


def need(item: Item, skills: Mapping[str, float], plan: Plan = PLAN) -> Need:
    """Whether an item is settled, and if not, how many votes may be asked for at once.

    skills: the share of right votes by person; of whom it does not name, SKILL. The label is the people's:
    what the model says costs votes or saves some, and decides nothing. Where another label is surprisingly
    popular, somebody looks again.
    """
    said = tuple((label, skills.get(name, SKILL)) for name, label in sorted(item.votes.items()))
    label, sure = _lead(item, said)
    found = Need(state="settled", label=label, sure=sure, votes=len(said), least=0)
    if _enough(item, said, plan) and not _surprised(item, label):
        return found
    if len(said) >= plan.cap:
        return replace(found, state="disputed")
    best = max(SKILL, *skills.values()) if skills else SKILL
    hopes = {one for one, _ in said if one is not None} | set(item.guess) or {""}  # any label: all are alike
    least = next(
        (
            more
            for more in range(1, plan.cap - len(said))
            if any(_enough(item, (*said, *[(hope, best)] * more), plan) for hope in hopes)
        ),
        plan.cap - len(said),
    )
    return replace(found, state="open", least=least)


def _surprised(item: Item, label: str | None) -> bool:
    """Whether more people say another label than people foretold: then the many may be wrong about it."""
    said = item.votes.items()
    return popular_doubt([(one, item.peers[who]) for who, one in said if one and who in item.peers], label)


_Votes = Sequence[tuple["str | None", float]]  # labels, and the skill of who gave them


def _enough(item: Item, said: _Votes, plan: Plan) -> bool:
    label, sure = _lead(item, said)
    if label is None:
        return False
    if len(said) > 1:
        return sure >= plan.limit
    if not item.guess:
        return said[0][1] >= min(plan.alone, plan.limit)
    doubt = max(item.guess, key=lambda one: item.guess[one])
    return sure >= plan.limit and (doubt == label or item.guess[doubt] < plan.confident)


def _lead(item: Item, said: _Votes) -> tuple[str | None, float]:
    """The label that people's votes lead to, weighted by skill, and its probability."""
    names = sorted({label for label, _ in said if label is not None} | set(item.guess))
    count = max(item.labels, len(names), 2)
    score = np.zeros(len(names) + 1)  # the last is any label that nobody names
    for label, told in said:
        if label is not None:
            skill = min(max(told, WORST), TOP)
            score += math.log((1 - skill) / (count - 1))
            score[names.index(label)] += math.log(skill * (count - 1) / (1 - skill))
    given = [at for at, name in enumerate(names) if any(name == label for label, _ in said)]
    ranked = sorted(given, key=lambda at: -score[at])
    if not ranked or (len(ranked) > 1 and score[ranked[0]] - score[ranked[1]] < TIE):
        return None, 0.0
    whole = score + np.log(_model(item, names, count))
    share = np.exp(whole - whole.max())
    return names[ranked[0]], float(share[ranked[0]] / share.sum())


def _model(item: Item, names: Sequence[str], count: int) -> np.ndarray:
    """What the model makes of each label, and of all others together: float64[names + 1], above 0."""
    others = count - len(names)
    even = np.array([*np.full(len(names), 1 / count), others / count])
    if not item.guess:
        return np.asarray(np.maximum(even, LEAST))
    told = {name: max(share, 0.0) for name, share in item.guess.items()}
    total = max(sum(told.values()), 1.0)  # what is left is shared by the labels that the model does not name
    left = max(1 - sum(told.values()), 0.0) / max(count - len(told), 1)
    shares = np.array([*(told.get(name, left) / total for name in names), left * others])
    return np.asarray(np.maximum((1 - SPREAD) * shares + SPREAD * even, LEAST))


def next_item(
    person: Person,
    items: Iterable[Item],
    known: Sequence[str],
    skills: Mapping[str, float],
    plan: Plan = PLAN,
    seed: int = 0,
) -> Asked | None:
    """What a person gets next; None where nothing is left for them to do.

    items: the work in the order of asking; known: keys of the items whose answer is known. Nobody gets an
    item twice but as a blind test, and no item is held by more people than votes it must at least have. Who
    gets a test, and when, follows from the seed, the name and how much the person has done.
    """
    mine, known_needs = {*person.answered, *person.skipped}, dict[Any, int]()
    work = next(
        (
            one
            for one in items
            if one.key not in mine and _wanted(one, person.name, skills, plan, known_needs)
        ),
        None,
    )
    if work is None:
        return None
    count = len(person.answered) + len(person.tested) + len(person.repeated)
    draw = named_seed("assignment", seed, person.name, count)
    new = person.standing == "undecided" and count < plan.trial
    draw, test = divmod(draw, plan.gold if new else plan.trusted)
    draw, again = divmod(draw, plan.again)
    fresh = [key for key in known if key not in mine and key not in set(person.tested)]
    if test == 0 and fresh:
        return Asked(fresh[draw % len(fresh)], "gold")
    early = [key for key in person.answered[: -plan.after or None] if key not in set(person.repeated)]
    if again == 0 and early:
        return Asked(early[draw % len(early)], "again")
    return Asked(work.key, None)


def _wanted(
    item: Item, name: str, skills: Mapping[str, float], plan: Plan, known_needs: dict[Any, int]
) -> bool:
    """Whether a person may get an item. known_needs: votes that items of which the same is said need: two
    hundred people hold two hundred items that nobody has answered, all alike.
    """
    if name in item.votes or name in item.leased:
        return False
    alike = (tuple(item.votes.items()), tuple(item.peers.items()), tuple(item.guess.items()), item.labels)
    if alike not in known_needs:
        known_needs[alike] = need(item, skills, plan).least
    return len(item.leased) < known_needs[alike]
