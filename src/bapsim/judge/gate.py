"""The gate: is the candidate better than the last proven model on people-made items that neither has seen?

Three answers. Accept: better, proven. Refuse: worse, proven, over all or in a declared slice. Undecided:
neither. Every look that did not accept spends a tenth of what is left of the exam's budget, and the level of
a look is what it would spend: the rates of all looks sum to at most .05 however many turns there are, and no
exam is ever locked after ten. Pure functions: the caller records a look before it asks for its result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bapsim.core.arrow import Column, id_bytes, numbers, strings, take
from bapsim.core.errors import InputError
from bapsim.core.recipe import Decision, Metric, Wear
from bapsim.core.records import Scores
from bapsim.judge.claims import Invented, more_invented
from bapsim.judge.compare import (
    NORMAL,
    Floats,
    Ints,
    bootstrap,
    bootstrap_p,
    holm,
    points_interval,
    sign_flip,
    standard_error,
    standardised,
    units,
)
from bapsim.judge.duel import Verdict
from bapsim.judge.exam import of_numbers, right, spread
from bapsim.judge.power import detectable, items_needed, items_needed_mean

FULL = 0.05  # of all exams of which no item was ever looked at, at most this share lets a worse model through
POWER = 0.8
NO_EVIDENCE = 0.5  # p of a test that had nothing to go by
FEWEST_IN_SLICE = 20
OOF_INFLATION = 2.25  # 1 + K / (K - 1), K = 5: Nadeau and Bengio 2003; see docs/gate.md


@runtime_checkable
class Weighable(Protocol):
    """A metric that is no mean over items, so that the gate bootstraps it."""

    def weighted(self, scores: Scores, weights: Floats, /) -> Floats:
        """float64[b, n] item weights -> float64[b] values."""
        ...


# --- wear: what an exam has left


def refund(fresh: int, items: int) -> float:
    """What items that were never looked at give back: .05 x (their share of the exam) squared.

    Not in plain proportion: the shares of equal deliveries fall like 1/turn, their sum has no bound, and 40
    items a turn on 600 let a worse model through in 12 % of 100 turns; the sum of the squares is bounded.
    """
    return FULL * (fresh / items) ** 2 if items else 0.0


def wear_after(
    versions: Sequence[tuple[int, int]], looks: Iterable[tuple[int, float]], *, full: float = FULL
) -> Wear:
    """The wear of the newest exam version, recomputed from what the ledger has.

    versions: (items, those of them new in this version), oldest first, numbered from 1; looks: (version,
    level spent), 0 for one that accepted, the whole level for one whose result is not known.
    """
    by_version: dict[int, list[float]] = {}
    for version, spent in looks:
        by_version.setdefault(version, []).append(spent)
    if not all(1 <= version <= len(versions) for version in by_version):
        raise InputError("look_without_exam", versions=len(versions), looks=sorted(by_version))
    budget = 0.0
    for version, (items, fresh) in enumerate(versions, 1):
        budget = min(full, budget + refund(fresh, items) * full / FULL)
        budget = max(budget - math.fsum(by_version.get(version, [])), 0.0)
    count = sum(len(spent) for spent in by_version.values())
    return Wear(version=len(versions), items=versions[-1][0] if versions else 0, looks=count, budget=budget)


def spent(decision: Decision, level: float) -> float:
    """What a look at this level cost: nothing if it accepted."""
    return 0.0 if decision.verdict == "accept" else level


def fresh_needed(wear: Wear, budget: float, *, full: float = FULL) -> int:
    """How many items that were never looked at bring the budget up to `budget`."""
    share = math.sqrt(min(max((budget - wear.budget) / full, 0.0), 1.0))
    return max(wear.items, 1) if share == 1.0 else math.ceil(wear.items * share / (1 - share) - 1e-9)


# --- what two models did on the same items


@dataclass(frozen=True, kw_only=True)
class Duo:
    """Two models on the same exam items, "after minus before": right float64[n] in -1, 0, 1; loss float64[n]
    (what the candidate saved) or None where either is not calibrated; groups int64[n] or None; all
    positive = better. Numbers are never right: their right is 0 and their loss decides, without a veto.
    """

    right: Floats
    loss: Floats | None
    groups: Ints | None

    @property
    def primary(self) -> Floats:
        return self.right if self.loss is None else self.loss

    def part(self, rows: np.ndarray) -> Duo:
        """The same of some items only."""
        groups = None if self.groups is None else _numbered(self.groups[rows])
        return Duo(right=self.right[rows], loss=None if self.loss is None else self.loss[rows], groups=groups)


def _numbered(values: np.ndarray) -> Ints:
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def group_numbers(column: Column) -> Ints | None:
    """Groups as numbers; an item without a group is its own. None where no two items share one."""
    names = strings(column)
    alone = [f"\0{i}" if name is None else name for i, name in enumerate(names)]
    return None if len(set(alone)) == len(alone) else _numbered(np.array(alone))


def _losses(scores: Scores) -> Floats | None:
    """Losses of a respondent that is calibrated and answered everything, else None."""
    if (scores.schema.metadata or {}).get(b"calibrated") == b"0":
        return None
    losses = numbers(scores.column("loss"))
    return None if np.isnan(losses).any() else losses


def duo(before: Scores, after: Scores) -> Duo:
    """Pairs two models' scores item by item; they must be of the same items in the same order."""
    same = len(before) == len(after) and bool(
        np.array_equal(id_bytes(before.column("_id")), id_bytes(after.column("_id")))
    )
    if not same:
        raise InputError("exams_differ", before=len(before), after=len(after))
    old, new = _losses(before), _losses(after)
    groups = group_numbers(after.column("group")) if "group" in after.schema.names else None
    loss = None if old is None or new is None else old - new
    return Duo(right=right(after).astype(np.float64) - right(before), loss=loss, groups=groups)


def point_worth(scores: Scores) -> float | None:
    """The loss that one point of accuracy is worth: .01 x (mean loss where wrong - mean loss where right).

    None where the respondent is not calibrated, or is always right or always wrong. Of numbers a point is a
    hundredth of their spread (`judge.exam.spread`); None where nothing is spread.
    """
    if of_numbers(scores):
        return 0.01 * spread(scores) or None
    losses, correct = _losses(scores), right(scores)
    if losses is None or correct.all() or not correct.any():
        return None
    worth = 0.01 * float(losses[~correct].mean() - losses[correct].mean())
    return worth if worth > 0 else None


# --- before the look


@dataclass(frozen=True, kw_only=True)
class Screened:
    """Whether a candidate is worth a look: `z` of the out-of-fold differences; nan where there are too few
    rows.
    """

    z: float
    rows: int
    look: bool


def screen(diffs: Floats, groups: Ints | None = None, *, limit: float = 0.5, fewest: int = 100) -> Screened:
    """Paired out-of-fold differences of randomly drawn people-made rows; below `fewest` rows there is no
    screen.
    """
    if len(diffs) < fewest:
        return Screened(z=math.nan, rows=len(diffs), look=True)
    z = standardised(units(diffs, groups))
    return Screened(z=z, rows=len(diffs), look=z > limit)


# --- the look


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The gate of DESIGN §3 as a step of a recipe; see `paired` for its numbers."""

    alpha: float = 0.005
    budget: float = FULL
    veto: float = 0.05
    screen_z: float = 0.5
    screen_rows: int = 100

    def level(self, wear: Wear) -> float:
        """The level at which this exam may accept now; 0 where it is worn (a tenth of the first level is the
        least).
        """
        level = self.alpha * min(wear.budget / self.budget, 1.0)
        return level if level >= self.alpha / 10 * (1 - 1e-9) else 0.0

    def screen(self, diffs: Floats, groups: Ints | None = None) -> Screened:
        """`screen` with this gate's numbers."""
        return screen(diffs, groups, limit=self.screen_z, fewest=self.screen_rows)

    def __call__(self, before: Scores | None, after: Scores, metric: Metric, wear: Wear) -> Decision:
        level = self.level(wear)
        if before is None:
            return Decision(verdict="undecided", reason="decision.no_opponent", items=len(after))
        if level == 0.0:
            fresh = fresh_needed(wear, self.budget / 10, full=self.budget)
            return Decision(
                verdict="undecided", reason="decision.worn", values={"fresh": fresh}, items=len(after)
            )
        both = duo(before, after)
        seen = _evidence(both, before, after, metric)
        worse, invented = _worse_slices(both, after, self), _invented(both, before, after)
        verdict, reason = self._verdict(both, seen, level, worse)
        verdict, reason = self._grounded(invented, verdict, reason)
        worth, numeric = point_worth(before), of_numbers(after)
        terms = _Terms(level=level, worth=worth, slices=worse, numeric=numeric, invented=invented)
        return _said(verdict, reason, both, seen, terms)

    def _verdict(self, both: Duo, seen: Evidence, level: float, slices: Sequence[str]) -> tuple[Verdict, str]:
        accuracy_better = NO_EVIDENCE if seen.ranked else p_better(both.right, both.groups)
        if self.worse(seen.p_better, accuracy_better) <= self.alpha:
            return "refuse", "decision.worse"
        if slices:
            return "refuse", "decision.slice_worse"
        if seen.p_better > level:
            return "undecided", "decision.not_proven"
        if 1 - accuracy_better <= self.veto:
            return "undecided", "decision.vetoed"
        return "accept", "decision.better"

    def _grounded(self, invented: Invented | None, verdict: Verdict, reason: str) -> tuple[Verdict, str]:
        """A model that surely invents more is refused, one that likely does is not accepted."""
        if invented is None or verdict == "refuse":
            return verdict, reason
        if invented.p <= self.alpha:
            return "refuse", "decision.invents_more"
        if invented.p <= self.veto and verdict == "accept":
            return "undecided", "decision.may_invent"
        return verdict, reason

    def worse(self, primary_better: float, accuracy_better: float) -> float:
        """p that it is not worse: accuracy alone can prove it; the loss alone cannot where accuracy rose at
        .05.
        """
        by_loss = 1 - primary_better if accuracy_better > self.veto else 1.0
        return min(by_loss, 1 - accuracy_better)


def paired(
    alpha: float = 0.005,
    budget: float = FULL,
    veto: float = 0.05,
    screen_z: float = 0.5,
    screen_rows: int = 100,
) -> Paired:
    """The gate for models that answer items.

    alpha: one-sided level of refusing, and of accepting at the first look; budget: what all looks at one exam
    may sum to; veto: a candidate that is less often right at this level is not accepted, whatever its loss;
    screen_z, screen_rows: no look below this z of out-of-fold differences, given that many rows.
    """
    if not 0 < alpha <= budget < 1:
        raise InputError("gate_levels", alpha=alpha, budget=budget)
    return Paired(alpha=alpha, budget=budget, veto=veto, screen_z=screen_z, screen_rows=screen_rows)


def p_better(diffs: Floats, groups: Ints | None) -> float:
    """One-sided p of the sign-flip test (equal magnitudes: mid-p McNemar) over groups."""
    return sign_flip(units(diffs, groups))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one look showed; unit: of the gain, "points" of a share, or "number", the target's own."""

    test: str
    p_better: float
    p_worse: float
    gain: float
    low: float
    high: float
    ranked: bool = False
    unit: str = "points"


def _seed(scores: Scores) -> int:
    """From the items, never from the turn: running again is no new draw."""
    digest = hashlib.blake2b(id_bytes(scores.column("_id")).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _evidence(both: Duo, before: Scores, after: Scores, metric: Metric) -> Evidence:
    if isinstance(metric, Weighable):
        weighable = metric
        gains = bootstrap(
            lambda w: weighable.weighted(after, w) - weighable.weighted(before, w),
            len(after),
            _seed(after),
            groups=both.groups,
        )
        better = bootstrap_p(gains) if len(gains) else NO_EVIDENCE
        low, high = (float(v) for v in np.quantile(gains, [0.025, 0.975])) if len(gains) else (-1.0, 1.0)
        gain = metric(after) - metric(before)
        return Evidence(
            test="bootstrap", p_better=better, p_worse=1 - better, gain=gain, low=low, high=high, ranked=True
        )
    better = p_better(both.primary, both.groups)
    gain, low, high = _gain(both, before, after, metric)
    numeric = of_numbers(after)
    test = (
        "McNemar"
        if both.loss is None and both.groups is None
        else "sign flip"
        if both.loss is None
        else f"{'absolute error' if numeric else 'log-loss'} sign flip"
    )
    same = both.loss is not None and math.isclose(gain, float(both.loss.mean()), rel_tol=1e-9, abs_tol=1e-12)
    unit = "number" if numeric and same else "points"
    return Evidence(test=test, p_better=better, p_worse=1 - better, gain=gain, low=low, high=high, unit=unit)


def _gain(both: Duo, before: Scores, after: Scores, metric: Metric) -> tuple[float, float, float]:
    """The metric's gain and 95 % interval: closed for accuracy, else from 400 paired resamples."""
    gain = metric(after) - metric(before)
    accuracy = float(both.right.mean())
    if abs(gain - accuracy) <= 1e-12 and not of_numbers(after):
        low, high = points_interval(units(both.right, both.groups), len(after))
        return accuracy, low, high

    def resampled(weights: Floats) -> Floats:
        rows = [np.repeat(np.arange(len(after)), w.astype(np.int64)) for w in weights]
        return np.array([metric(Scores(take(after, r))) - metric(Scores(take(before, r))) for r in rows])

    gains = bootstrap(resampled, len(after), _seed(after), groups=both.groups, draws=400)
    low, high = (float(v) for v in np.quantile(gains, [0.025, 0.975]))
    return gain, low, high


def _worse_slices(both: Duo, after: Scores, gate: Paired) -> tuple[str, ...]:
    """Declared slices in which the candidate is proven worse, Holm over all slices of at least 20 items."""
    named: list[tuple[str, float]] = []
    for column in after.schema.names:
        if column.startswith("slice_"):
            values = np.array([v if v is not None else "" for v in strings(after.column(column))])
            for value in sorted(set(values.tolist()) - {""}):
                rows = values == value
                if int(rows.sum()) >= FEWEST_IN_SLICE:
                    part = both.part(rows)
                    better = p_better(part.right, part.groups)
                    main = p_better(part.primary, part.groups)
                    named.append((f"{column.removeprefix('slice_')}={value}", gate.worse(main, better)))
    adjusted = holm([p for _, p in named])
    return tuple(name for (name, _), p in zip(named, adjusted, strict=True) if p <= gate.alpha)


def _invented(both: Duo, before: Scores, after: Scores) -> Invented | None:
    """What the answers' passages say of both models' claims; None where no judge looked."""
    if any("unsupported" not in scores.schema.names for scores in (before, after)):
        return None
    old, new = (
        np.column_stack([numbers(scores.column(name)) for name in ("claims", "unsupported")]).astype(np.int64)
        for scores in (before, after)
    )
    return more_invented(old, new, _seed(after), both.groups)


@dataclass(frozen=True, kw_only=True)
class _Terms:
    level: float
    worth: float | None
    slices: tuple[str, ...] = field(default=())
    numeric: bool = False
    invented: Invented | None = None


def _reach(both: Duo, seen: Evidence, terms: _Terms) -> tuple[float | None, int | None]:
    """The gain in points (of numbers: in their unit) that this exam finds with 80 % power, and the items
    missing for the gain that was seen.
    """
    items, d = len(both.right), float(np.abs(both.right).mean())
    if both.loss is None or seen.ranked:
        sums = units(both.right, both.groups)
        twins = float(both.right @ both.right) / float(sums @ sums) if sums.any() else 1.0
        effective = max(int(items * twins), 1)
        needed = items_needed(float(both.right.mean()), d, alpha=terms.level, power=POWER)
        found = detectable(effective, d, alpha=terms.level, power=POWER)
        return found, None if needed is None else max(math.ceil(needed / twins) - items, 0)
    sums = units(both.loss, both.groups)
    sd = math.sqrt(float(sums @ sums) / items)
    needed = items_needed_mean(float(both.loss.mean()), sd, alpha=terms.level, power=POWER)
    reach = (NORMAL.inv_cdf(1 - terms.level) + NORMAL.inv_cdf(POWER)) * sd / math.sqrt(items)
    if terms.numeric:
        found = reach if seen.unit == "number" else None
    else:
        found = None if terms.worth is None else min(0.01 * reach / terms.worth, 1.0)
    return found, None if needed is None else max(needed - items, 0)


def _said(verdict: Verdict, reason: str, both: Duo, seen: Evidence, terms: _Terms) -> Decision:
    found, missing = _reach(both, seen, terms)
    nearer = both.primary if terms.numeric else both.right
    values: dict[str, Any] = {
        "wins": int((nearer > 0).sum()),
        "losses": int((nearer < 0).sum()),
        "level": terms.level,
        "slices": ", ".join(terms.slices),
        "groups": len(both.right) if both.groups is None else int(both.groups.max()) + 1,
    }
    if both.loss is not None:
        values["loss_gain"] = float(both.loss.mean())
    if terms.numeric:
        values |= {"answer": "number", "unit": seen.unit}
    if terms.invented is not None:
        values |= {f"invented_{name}": value for name, value in vars(terms.invented).items()}
    return Decision(
        verdict=verdict,
        reason=reason,
        values=values,
        gain=seen.gain,
        low=seen.low,
        high=seen.high,
        p_better=seen.p_better,
        p_worse=seen.p_worse,
        test=seen.test,
        discordance=float(np.abs(both.right).mean()),
        items=len(both.right),
        detectable=found,
        missing=missing,
    )


# --- undecided, but may it serve?


@dataclass(frozen=True, kw_only=True)
class Provisional:
    """Whether an undecided candidate may serve, labelled so: pooled gain and one-sided 95 % bound against
    `limit`.
    """

    allowed: bool
    reason: str
    gain: float = math.nan
    low: float = -math.inf
    limit: float = math.nan


Gains = tuple[Floats, Ints | None]


def pooled(exam: Gains | None, oof: Gains | None, scale: float) -> tuple[float, float]:
    """Gain per item from exam and out-of-fold differences, and its standard error: weights by inverse
    variance.

    Given the two judged models, exam items are fresh draws: their error has mean 0 whatever the training data
    were, so its covariance with the out-of-fold error is 0 (other items, and the models are functions of the
    training rows alone). The out-of-fold error has more than item noise: fold models are not the judged
    models and share training rows; its variance is 1 + K / (K - 1) times the item noise (Nadeau and Bengio
    2003). `scale`, what one right answer is worth, stands for one discordant item more: no spread is no
    certainty. (nan, inf) where neither has two independent units.
    """
    parts = []
    for given, inflation in ((exam, 1.0), (oof, OOF_INFLATION)):
        if given is not None and len(sums := units(*given)) > 1:
            items = len(given[0])
            variance = standard_error(sums, items) ** 2 + (scale / items) ** 2
            parts.append((float(given[0].mean()), inflation * variance))
    if not parts:
        return math.nan, math.inf
    weight = sum(1 / variance for _, variance in parts)
    return sum(gain / variance for gain, variance in parts) / weight, math.sqrt(1 / weight)


def provisional(
    exam: Gains | None,
    oof: Gains | None,
    worth: float,
    *,
    people_only: bool,
    flagged: Sequence[str] = (),
    confidence: float = 0.95,
) -> Provisional:
    """May an undecided candidate serve? People's data only, no suspect delivery, and not worse beyond one
    point.

    exam, oof: (differences, groups), in calibrated loss with `worth` = `point_worth` of the champion, or in
    right answers with `worth` = .01; exam is None where no look was made. oof: only rows that the champion
    had eaten too; labels that came with this turn have been proven by nothing, and a noisy delivery flatters
    the model that learnt its noise (by .06 nats a row at 40 % wrong labels, banking77).
    """
    gain, error = pooled(exam, oof, 100 * worth)
    low = gain - NORMAL.inv_cdf(confidence) * error if math.isfinite(error) else -math.inf
    reason = (
        "provisional.machine_made"
        if not people_only
        else "provisional.suspect"
        if flagged
        else "provisional.may_be_worse"
        if not low > -worth
        else "provisional.serves"
    )
    return Provisional(
        allowed=reason == "provisional.serves", reason=reason, gain=gain, low=low, limit=-worth
    )
