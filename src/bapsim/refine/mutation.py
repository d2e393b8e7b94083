"""Verifiers are tested before they judge: right answers are made wrong, and what is let through counts.

A verifier is any callable of (what was asked, an answer) that says True, False, or None where it has nothing
to say. The audit gives the rate at which it takes wrong answers, by the kind of mistake, with one-sided 95 %
bounds (Clopper-Pearson). Mutants of one answer stand or fall together, so the bound for all kinds counts
answers, one that lets any of its mutants through as a whole mistake: it is never too low for that reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bapsim.text.canonical import NUMBER, canonical, number

LIMIT = 0.02  # a verifier whose false-accept rate may be higher ranks, and does not admit
LEVEL = 0.95
TRIES = 12  # places at which a mutation is tried until the answer differs in canonical form
HEDGE = " or maybe not"
TEXT_KINDS = ("digit", "swap", "suffix", "other", "order", "sign", "unit", "empty")
LABEL_KINDS = ("label",)
UNITS = ("km", "m", "cm", "kg", "g", "hours", "minutes", "dollars", "cents", "원", "달러", "시간", "분", "%")
_UNIT = re.compile(rf"(?<=\d)\s*({'|'.join(map(re.escape, sorted(UNITS, key=len, reverse=True)))})(?![a-z])")

Verify = Callable[[Any, str], bool | None]
Equals = Callable[[Any, str, str], bool]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of mutation: how many mutants, how many of them were taken and of how many nothing was said;
    one-sided 95 % bounds of the share that was taken.
    """

    name: str
    tried: int
    taken: int
    abstained: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.taken / self.tried if self.tried else float("nan")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What a verifier does with right answers and with wrong ones.

    gold, refused, abstained: right answers that were put to it, and what it did not take of them; equal:
    mutants that are right too and count nowhere; answers: right answers that it takes and that have mutants;
    fooled: those of them with a mutant that was taken; upper: the bound of fooled / answers.
    """

    gold: int
    refused: int
    abstained: int
    equal: int
    answers: int
    fooled: int
    upper: float
    kinds: tuple[Kind, ...]

    @property
    def tried(self) -> int:
        return sum(kind.tried for kind in self.kinds)

    @property
    def taken(self) -> int:
        return sum(kind.taken for kind in self.kinds)

    @property
    def false_accept(self) -> float:
        """The share of wrong answers that it takes, nan without any."""
        return self.taken / self.tried if self.tried else float("nan")

    @property
    def false_refuse(self) -> float:
        """The share of right answers that it refuses, of those about which it says anything."""
        said = self.gold - self.abstained
        return self.refused / said if said else float("nan")

    def worst(self) -> Kind | None:
        """The kind of mistake that is taken most surely: the one with the highest lower bound."""
        judged = [kind for kind in self.kinds if kind.tried]
        return max(judged, key=lambda kind: (kind.low, kind.rate), default=None)


def admits(audit: Audit, limit: float = LIMIT) -> bool:
    """Whether it may let machine-made rows in: the upper bound is at most the limit, and no single kind of
    mistake is shown to pass more often (many harmless kinds would hide it). Without answers: no.
    """
    return audit.answers > 0 and audit.upper <= limit and all(kind.low <= limit for kind in audit.kinds)


def bounds(hits: int, tries: int, level: float = LEVEL) -> tuple[float, float]:
    """One-sided Clopper-Pearson bounds of a share, each at this level; 0 and 1 where nothing was tried."""
    from scipy.special import betaincinv

    low = 0.0 if hits == 0 else float(betaincinv(hits, tries - hits + 1, 1 - level))
    high = 1.0 if hits >= tries else float(betaincinv(hits + 1, tries - hits, level))
    return low, high


def audit(
    verify: Verify,
    items: Sequence[tuple[Any, str]],
    *,
    seed: int = 0,
    kinds: Sequence[str] = TEXT_KINDS,
    labels: Sequence[str] = (),
    equals: Equals | None = None,
) -> Audit:
    """One mutant of each kind of each right answer that the verifier takes.

    items: what was asked, and the right answer; labels: the classes, for the kind `label`; equals: says
    whether two answers are both right of what was asked, where equal spelling is too strict. A verifier that
    raises refuses. Raises ValueError for an unknown kind.
    """
    rng = np.random.default_rng([seed, 0x6D7574])
    golds = [gold for _, gold in items]
    counts = {name: [0, 0, 0] for name in kinds}  # tried, taken, abstained
    refused = abstained = equal = answers = fooled = 0
    for asked, gold in items:
        said = _said(verify, asked, gold)
        refused, abstained = refused + (said is False), abstained + (said is None)
        if said is not True:
            continue
        made = wrong = 0
        for kind, mutant in mutants(gold, rng, kinds, others=golds, labels=labels):
            if equals is not None and equals(asked, gold, mutant):
                equal += 1
                continue
            verdict = _said(verify, asked, mutant)
            counts[kind][0] += 1
            counts[kind][1] += verdict is True
            counts[kind][2] += verdict is None
            made, wrong = made + 1, wrong + (verdict is True)
        answers, fooled = answers + (made > 0), fooled + (wrong > 0)
    return Audit(
        gold=len(items),
        refused=refused,
        abstained=abstained,
        equal=equal,
        answers=answers,
        fooled=fooled,
        upper=bounds(fooled, answers)[1],
        kinds=tuple(_kind(name, *counts[name]) for name in kinds),
    )


def _kind(name: str, tried: int, taken: int, abstained: int) -> Kind:
    low, high = bounds(taken, tried)
    return Kind(name=name, tried=tried, taken=taken, abstained=abstained, low=low, high=high)


def _said(verify: Verify, asked: Any, answer: str) -> bool | None:
    try:
        return verify(asked, answer)
    except Exception:  # noqa: BLE001  whatever somebody's verifier raises, the answer is not verified
        return False


def mutants(
    gold: str,
    rng: np.random.Generator,
    kinds: Sequence[str] = TEXT_KINDS,
    *,
    others: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> Iterator[tuple[str, str]]:
    """(kind, wrong answer): one of each kind that this answer has, each of another canonical form than it.

    others: answers of other items; labels: the classes of which another one is named. Raises ValueError for
    an unknown kind.
    """
    right = canonical(gold)
    pools: Mapping[str, Sequence[str]] = {"other": others, "label": labels}
    for kind in kinds:
        change = _CHANGES.get(kind)
        if change is None and kind not in pools:
            raise ValueError(kind)
        for _ in range(TRIES):
            made = _drawn(rng, pools[kind]) if change is None else change(rng, gold)
            if made is None:
                break
            if canonical(made) != right:
                yield kind, made
                break


def _drawn(rng: np.random.Generator, pool: Sequence[str]) -> str | None:
    return pool[int(rng.integers(len(pool)))] if len(pool) else None


def _digit(rng: np.random.Generator, gold: str) -> str | None:
    """One digit is another one."""
    at = [i for i, char in enumerate(gold) if char in "0123456789"]
    if not at:
        return None
    i = at[int(rng.integers(len(at)))]
    new = (int(gold[i]) + int(rng.integers(1, 10))) % 10
    return f"{gold[:i]}{new}{gold[i + 1 :]}"


def _swap(rng: np.random.Generator, gold: str) -> str | None:
    """Two neighbouring characters change places."""
    at = [i for i in range(len(gold) - 1) if gold[i] != gold[i + 1]]
    if not at:
        return None
    i = at[int(rng.integers(len(at)))]
    return gold[:i] + gold[i + 1] + gold[i] + gold[i + 2 :]


def _suffix(rng: np.random.Generator, gold: str) -> str | None:
    return gold + HEDGE


def _empty(rng: np.random.Generator, gold: str) -> str | None:
    return ""


def _order(rng: np.random.Generator, gold: str) -> str | None:
    """The members of a list (JSON, lines, or with commas between) in another order."""
    try:
        parsed = json.loads(gold)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, list) and len(parsed) > 1:
        return json.dumps([parsed[i] for i in rng.permutation(len(parsed)).tolist()], ensure_ascii=False)
    for mark in ("\n", ", ", ",", "; ", " "):
        parts = gold.split(mark)
        if len(parts) > 1:
            return mark.join(parts[i] for i in rng.permutation(len(parts)).tolist())
    return None


def _sign(rng: np.random.Generator, gold: str) -> str | None:
    """One number has the other sign."""
    found = [one for one in NUMBER.finditer(gold) if number(one.group())]
    if not found:
        return None
    one = found[int(rng.integers(len(found)))]
    said = one.group()
    flipped = said[1:] if said[0] == "-" else "-" + said.removeprefix("+")
    return gold[: one.start()] + flipped + gold[one.end() :]


def _unit(rng: np.random.Generator, gold: str) -> str | None:
    """What stands behind a number is another unit."""
    found = list(_UNIT.finditer(gold))
    if not found:
        return None
    one = found[int(rng.integers(len(found)))]
    return gold[: one.start(1)] + UNITS[int(rng.integers(len(UNITS)))] + gold[one.end(1) :]


_CHANGES: Mapping[str, Callable[[np.random.Generator, str], str | None]] = {
    "digit": _digit,
    "swap": _swap,
    "suffix": _suffix,
    "order": _order,
    "sign": _sign,
    "unit": _unit,
    "empty": _empty,
}
