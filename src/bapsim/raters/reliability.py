"""Who is right, as far as anything shows it: rung by rung, each with its interval, never one bare score.

From firm to weak: items whose answer is known, blind; outcomes that were confirmed later; the same item
again; what others said without knowing; how well confidence is placed; and what a model of agreement infers,
which is told only where known items show that mistakes are not shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bapsim.raters.agreement import PLAIN, dawid_skene
from bapsim.raters.calibration import Calibration, calibration
from bapsim.raters.sequential import Standing, tested
from bapsim.raters.shared import Mistakes, shared_mistakes
from bapsim.raters.shares import Share, apart, leaning, share
from bapsim.raters.votes import Vote, coded, with_others

Blind = Literal["gold", "again"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer, in the order in which they were given. label: None = cannot tell; confidence: 0 to 1, that
    it is right; peers: 0 to 1, the share of others who are expected to say the same; blind: it was a hidden
    test.
    """

    person: str
    item: str
    label: str | None
    confidence: float | None = None
    peers: float | None = None
    blind: Blind | None = None


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """What is known of how right one person is.

    answers: outside tests; cannot_tell: of all; gold: right on items whose answer is known; outcomes: right
    by what was confirmed later; again: the same answer to the same item; others: with the majority of the
    others on an item; agreement: as a model of agreement infers it, None where nothing shows that it may;
    calibration: None without confidences on known answers; standing: novice, expert or undecided, from
    `asked` known items; skill: of gold and outcomes, leaning on that of all people; diverges: gold says
    otherwise than the others do, so that one of the two is wrong about this person.
    """

    person: str
    answers: int
    cannot_tell: int
    gold: Share
    outcomes: Share
    again: Share
    others: Share
    agreement: Share | None
    calibration: Calibration | None
    standing: Standing
    asked: int
    skill: Share
    diverges: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All people, by name; mistakes: whether they are shared, as known items show it."""

    people: Mapping[str, Reliability]
    mistakes: Mistakes


class _Seen(NamedTuple):
    """One person's answers in their order, and the first to each item."""

    answers: list[Said]
    first: dict[str, Said]

    def right(self, truth: Mapping[str, str], blind: Blind | None) -> list[bool]:
        """Whether each first answer of this kind is right, where the truth is known and a label was given."""
        mine = [one for one in self.first.values() if one.blind == blind and one.item in truth]
        return [one.label == truth[one.item] for one in mine if one.label is not None]

    def sure(self, gold: Mapping[str, str], outcomes: Mapping[str, str]) -> list[tuple[float, bool]]:
        """Confidence and whether it was right, of the same answers."""
        found = []
        for one in self.first.values():
            truth = (gold if one.blind == "gold" else outcomes).get(one.item)
            if truth is not None and one.label is not None and one.confidence is not None:
                found.append((one.confidence, one.label == truth))
        return found

    def again(self) -> Share:
        """How often the same was said of the same item, asked again."""
        twice = [one for one in self.answers if one.blind == "again" and one.item in self.first]
        same = sum(one.label == self.first[one.item].label for one in twice)
        return share(same, len(twice))


def reliability(
    said: Sequence[Said], gold: Mapping[str, str], outcomes: Mapping[str, str] | None = None
) -> Panel:
    """What each person's answers show.

    gold: the label of each item that is known, made by people, with a known source, never of an exam;
    outcomes: labels, confirmed since, of items that were work. Only blind answers to gold count, and of each
    person the first to an item: who has seen the answer, or made it, is tested by nothing.
    """
    outcomes = outcomes or {}
    seen = {name: _seen(answers) for name, answers in _by_person(said).items()}
    hits = {name: one.right(gold, "gold") for name, one in seen.items()}
    later = {name: one.right(outcomes, None) for name, one in seen.items()}
    sure = {name: one.sure(gold, outcomes) for name, one in seen.items()}
    known = [hit for answers in (*hits.values(), *later.values()) for hit in answers]
    rate = (sum(known) + 1) / (len(known) + 2)
    squares = [(c - hit) ** 2 for pairs in sure.values() for c, hit in pairs]
    everybody = sum(squares) / len(squares) if squares else 0.25
    went = with_others(list(_votes(seen, None).values()))
    mistakes, inferred = _agreement(seen, gold)
    people = {}
    for name, one in seen.items():
        test, mine = tested(hits[name]), [*hits[name], *later[name]]
        right, others = share(sum(hits[name]), len(hits[name])), share(*went.get(name, (0, 0)))
        people[name] = Reliability(
            person=name,
            answers=sum(a.blind is None for a in one.answers),
            cannot_tell=sum(a.label is None for a in one.answers),
            gold=right,
            outcomes=share(sum(later[name]), len(later[name])),
            again=one.again(),
            others=others,
            agreement=inferred.get(name) if mistakes.independent else None,
            calibration=calibration([c for c, _ in sure[name]], [hit for _, hit in sure[name]], everybody),
            standing=test.standing,
            asked=test.asked,
            skill=leaning(sum(mine), len(mine), rate, PLAIN),
            diverges=apart(right, others),
        )
    return Panel(people=people, mistakes=mistakes)


def _by_person(said: Sequence[Said]) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {name: [] for name in sorted({one.person for one in said})}
    for one in said:
        found[one.person].append(one)
    return found


def _seen(answers: list[Said]) -> _Seen:
    first: dict[str, Said] = {}
    for one in answers:
        if one.blind != "again":
            first.setdefault(one.item, one)
    return _Seen(answers, first)


def _votes(seen: Mapping[str, _Seen], *blind: Blind | None) -> dict[str, list[Vote]]:
    """The first answers of each kind by item; who cannot tell has no vote."""
    found: dict[str, list[Vote]] = {}
    for name, person in seen.items():
        for one in person.first.values():
            if one.blind in blind and one.label is not None:
                found.setdefault(one.item, []).append((name, one.label))
    return found


def _agreement(seen: Mapping[str, _Seen], gold: Mapping[str, str]) -> tuple[Mistakes, dict[str, Share]]:
    """Whether mistakes are shared, and the share of right answers that a model of agreement expects."""
    votes = _votes(seen, None, "gold")
    items = sorted(votes)
    known = {at: gold[item] for at, item in enumerate(items) if item in gold}
    told = coded([votes[item] for item in items], known)
    mistakes = shared_mistakes(told)
    posterior = dawid_skene(told).posterior
    right = np.bincount(told.rater, posterior[told.item, told.label], len(told.raters))
    of = np.bincount(told.rater, minlength=len(told.raters))
    pairs = zip(told.raters, right.tolist(), of.tolist(), strict=True)
    return mistakes, {name: share(min(hits, count), count) for name, hits, count in pairs}
