"""Judge: who looks at the exam, what the gate says, and what may serve meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Decision, Gate, Respondent, Wear
from bapsim.core.records import Scores
from bapsim.judge.exam import uncalibrated
from bapsim.judge.gate import Duo, Provisional, duo, fresh_needed, point_worth, provisional, spent
from bapsim.wheel.candidates import Candidate, mixture_of
from bapsim.wheel.examining import eligible, wear
from bapsim.wheel.held_out import Table, as_scores, eaten, held_out, honest
from bapsim.wheel.looking import intend, tell
from bapsim.wheel.stock import Scene


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """Whom a candidate is compared with: the last proven model, or on the first turn somebody else."""

    name: str  # version, `majority` or `incumbent`
    fingerprint: str
    respond: Respondent
    oof: Table | None


@dataclass(frozen=True, kw_only=True)
class Screened:
    """One candidate against an opponent on held-out, randomly drawn people-made rows.

    both: on those that the opponent had eaten too: labels that are new have been proven by nothing, and a
    noisy delivery flatters the model that learnt its noise; worth: the loss that a point is worth.
    """

    candidate: Candidate
    z: float
    rows: int
    look: bool
    both: Duo | None
    worth: float
    honest: bool  # both calibrated out of fold: else right and wrong decide, here and at the exam


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a turn's judging came to."""

    decision: Decision
    looked: Candidate | None
    screened: tuple[Screened, ...]
    wear: Wear  # after the look
    level: float
    provisional: Provisional | None = None
    serves: Candidate | None = None
    both: Duo | None = field(default=None)


def random_rows(scene: Scene) -> np.ndarray:
    """bool[N]: people-made rows outside the exam that nobody picked for being difficult."""
    return np.asarray(eligible(scene.stock, scene.refused | scene.superseded) & ~scene.exam)


def screen(scene: Scene, opponent: Opponent, one: Candidate) -> Screened:
    """The two models' held-out answers about the random rows that the candidate ate."""
    stock, at = scene.stock, np.flatnonzero(random_rows(scene) & one.rows)
    if not len(at):
        return Screened(candidate=one, z=math.nan, rows=0, look=True, both=None, worth=0.01, honest=False)
    told = held_out(opponent.respond, opponent.oof, stock, at), held_out(one.model, one.oof, stock, at)
    own = eaten(opponent.oof, stock, at), np.ones(len(at), bool)
    before, after = (as_scores(said, stock, at, scene.groups[at]) for said in told)
    decides = all(honest(said, stock, at, mine) for said, mine in zip(told, own, strict=True))
    if not decides:
        before, after = uncalibrated(before), uncalibrated(after)
    both = duo(before, after)
    seen = scene.recipe.gate.screen(both.primary, both.groups)
    worth = point_worth(before) if both.loss is not None else 0.01
    return Screened(
        candidate=one,
        z=seen.z,
        rows=seen.rows,
        look=seen.look,
        both=both.part(own[0]),
        worth=worth or 0.01,
        honest=decides,
    )


def judge_candidates(scene: Scene, opponent: Opponent, screened: Sequence[Screened]) -> Judged:
    """At most one look: the candidate with the best screen, if it is worth one and the exam has one left."""
    gate, ledger = scene.recipe.gate, scene.project.ledger
    best = max(screened, key=lambda s: (not math.isnan(s.z), s.z))
    look = (wear(ledger, gate.budget).version, best.candidate.fingerprint, opponent.fingerprint)
    before = wear(ledger, gate.budget, without=look)
    level = gate.level(before)
    no_look = _no_look(best, opponent, before, gate)
    if no_look is None and _told_before(scene, look):
        no_look, before = ("decision.nothing_new", {}), wear(ledger, gate.budget)
    if no_look is not None:
        reason, values = no_look
        items = int(scene.exam.sum())
        said = Decision(verdict="undecided", reason=reason, values=values, items=items)
        return Judged(decision=said, looked=None, screened=tuple(screened), wear=before, level=level)
    intend(ledger, look, scene.turn.n, level)
    stock = scene.stock
    items_of_exam, at = mixture_of(stock, scene.exam)
    old = grouped(scene.recipe.judge(opponent.respond, items_of_exam), scene.groups[at])
    new = grouped(scene.recipe.judge(best.candidate.model, items_of_exam), scene.groups[at])
    if not best.honest:
        old, new = uncalibrated(old), uncalibrated(new)
    said = gate(old, new, scene.recipe.metric, before)
    said = replace(said, verdict=tell(ledger, look, said.verdict, spent(said, level)))
    return Judged(
        decision=said,
        looked=best.candidate,
        screened=tuple(screened),
        wear=wear(ledger, gate.budget),
        level=level,
        both=duo(old, new),
    )


def _no_look(
    best: Screened, opponent: Opponent, before: Wear, gate: Gate
) -> tuple[str, dict[str, Any]] | None:
    """Why the exam is not touched, if it is not."""
    if best.candidate.fingerprint == opponent.fingerprint:
        return "decision.nothing_new", {}
    if not before.items:
        return "decision.no_exam", {}
    if not best.look:
        return "decision.screened", {"z": best.z, "rows": best.rows}
    if gate.level(before) <= 0:
        return "decision.worn", {"fresh": fresh_needed(before, gate.budget / 10, full=gate.budget)}
    return None


def _told_before(scene: Scene, look: tuple[int, str, str]) -> bool:
    """An earlier turn knows what this look says: asking again, under other numbers too, tells nothing new."""
    query = "select turn from look where exam=? and candidate=? and champion=? and verdict is not null"
    turn = scene.project.ledger.value(query, *look)
    return turn is not None and int(turn) < scene.turn.n


def grouped(scores: Scores, groups: np.ndarray) -> Scores:
    """Scores whose group is what must not be split: near-duplicates are one unit of the test."""
    at = scores.schema.names.index("group")
    column = pa.array([str(g) for g in groups], pa.string())
    return Scores(scores.set_column(at, "group", column))


def may_serve(judged: Judged, people: Screened, against_current: Screened | None) -> Provisional:
    """Whether the candidate of people's data may serve although nothing was proven.

    No suspect delivery is in it: one that the retrain did not clear was refused.

    Against the last proven model on exam and held-out rows pooled (exam only if this candidate looked), and
    against what serves now on held-out rows.
    """
    exam = None
    if judged.looked is people.candidate and judged.both is not None:
        exam = (judged.both.primary, judged.both.groups)
        if (judged.both.loss is None) != (people.both is None or people.both.loss is None):
            exam = None
    oof = None if people.both is None else (people.both.primary, people.both.groups)
    only_people = people.candidate.people_only
    said = provisional(exam, oof, people.worth, people_only=only_people)
    if not said.allowed or against_current is None or against_current.both is None:
        return said
    both = against_current.both
    also = provisional(None, (both.primary, both.groups), against_current.worth, people_only=only_people)
    return said if also.allowed else replace(also, reason="provisional.behind_current")
