"""The look at the exam that judges a shipped file: counted and paid for like every other."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bapsim.core.fingerprint import digest
from bapsim.core.recipe import Model, Recipe
from bapsim.judge.duel import Verdict
from bapsim.judge.inferior import Inferiority, Standing, can_prove, detectable, not_inferior
from bapsim.store import artifacts
from bapsim.store.project import Project
from bapsim.text.targets import numbers_of, written
from bapsim.wheel.candidates import mixture_of
from bapsim.wheel.device import Device
from bapsim.wheel.examining import wear
from bapsim.wheel.judging import grouped
from bapsim.wheel.kin import kin
from bapsim.wheel.looking import intend, tell, verdict_of
from bapsim.wheel.stock import Stock, exam_ids

AS_VERDICT: dict[Standing, Verdict] = {"ok": "accept", "worse": "refuse", "cannot_tell": "undecided"}
AS_STANDING: dict[Verdict, Standing] = {said: standing for standing, said in AS_VERDICT.items()}
SAME_NUMBER = 1e-9  # of the numbers' range: rounding


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A judged model, the file that was made of it, and on how many other rows they agree."""

    model: Model
    device: Device
    fingerprint: str  # of the model
    agree: dict[str, Any]


def file_fingerprint(device: Device, margin: float) -> str:
    """The identity of a judged file and of what is asked of it: another margin is another question."""
    return digest(json.dumps([artifacts.folder_digest(device.folder), f"{margin:.6f}"]).encode())


def look_at(
    project: Project, recipe: Recipe, stock: Stock, pair: Pair, margin: float
) -> tuple[Inferiority | None, dict[str, Any]]:
    """What the exam says of a file made from `judged/`, and what the look cost; None where there was none.

    The same file under the same margin is one look, however often it is made.
    """
    ledger, gate = project.ledger, recipe.gate
    exam = stock.rows_with(exam_ids(ledger))
    name = file_fingerprint(pair.device, margin)
    look = (wear(ledger, gate.budget).version, name, pair.fingerprint)
    before = wear(ledger, gate.budget, without=look)
    level, again = gate.level(before), verdict_of(ledger, look) is not None
    cost: dict[str, Any] = {"exam": before.version, "items": int(exam.sum()), "level": level, "file": name}
    if not exam.any() or level <= 0:
        return None, cost | {"reason": "worn" if exam.any() else "no_exam"}
    rows = cost["items"] + pair.agree["rows"]
    if not can_prove(cost["items"], rows, margin, level):
        return None, cost | {"reason": "too_small", "detectable": detectable(cost["items"], 0.0, level)}
    intend(ledger, look, int(ledger.value("select coalesce(max(n), 0) from turn")), level)
    seen = compared(recipe, stock, exam, pair, (margin, level))
    price = 0.0 if seen.verdict == "ok" else level
    seen = replace(seen, verdict=AS_STANDING[tell(ledger, look, AS_VERDICT[seen.verdict], price)])
    left = wear(ledger, gate.budget)
    spent = 0.0 if seen.verdict == "ok" else level
    return seen, cost | {"reason": "looked", "again": again, "spent": spent, "budget": left.budget}


def compared(
    recipe: Recipe, stock: Stock, exam: np.ndarray, pair: Pair, bar: tuple[float, float]
) -> Inferiority:
    """The two on the exam's items; bar: margin and level."""
    items, at = mixture_of(stock, exam)
    groups = kin(stock, exam, recipe.exam.near)[at]
    old, new = (grouped(recipe.judge(who, items), groups) for who in (pair.model, pair.device))
    answer = stock.task.answer
    before, after = (written(scores.column("prediction"), answer) for scores in (old, new))
    differ = int((~same_answers(before, after, answer)).sum()) + pair.agree["rows"] - pair.agree["same"]
    return not_inferior(old, new, *bar, differ=differ, rows=len(at) + pair.agree["rows"])


def same_answers(
    before: list[str | None], after: list[str | None], answer: str, near: float = SAME_NUMBER
) -> np.ndarray:
    """bool[n]: written answers that are the same; numbers within `near` of their range."""
    if answer != "number":
        return np.array([a == b for a, b in zip(before, after, strict=True)], bool)
    old, new = numbers_of(before), numbers_of(after)
    reach = near * max(float(np.ptp(old)) if len(old) else 0.0, 1e-300)
    return np.asarray(np.abs(old - new) <= reach)
