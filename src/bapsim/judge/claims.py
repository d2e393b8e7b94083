"""What share of the claims in grounded answers their passages do not support, with an interval.

A model that answers more and invents more is worse. The measure sees wording (text.grounds); how far it
errs is found out on claims that people marked, and taken out of the estimate (Rogan and Gladen 1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import NotEnough
from bapsim.judge.compare import Floats, Ints, bootstrap, bootstrap_p
from bapsim.text.grounds import claims, support

DRAWS = 2000
MARKED = 200  # claims that people marked, at least, before the measure is believed
UNSUPPORTED = ("unsupported", "contradicted")


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """How the measure errs on claims that people marked.

    found: of the claims that people call unsupported, the share that it flags; false: of those that people
    call supported, the share that it flags; with how many there were of each.
    """

    found: float
    false: float
    unsupported: int
    supported: int

    @property
    def tells(self) -> float:
        """found - false: 1 is a perfect measure, 0 tells nothing."""
        return self.found - self.false


@dataclass(frozen=True, kw_only=True)
class ClaimRate:
    """The unsupported-claim rate of some answers: as it is flagged, and as it is estimated to be.

    rate: flagged claims / claims; share, low, high: the rate without the measure's errors and its 95 %
    interval over answers and marks; None where nothing was calibrated.
    """

    answers: int
    claims: int
    flagged: int
    rate: float
    share: float | None = None
    low: float | None = None
    high: float | None = None


def flagged(answers: Sequence[str], passages: Sequence[str]) -> NDArray[np.int64]:
    """int64[n, 2]: of each answer, its claims, and those that its passage does not support."""
    found = np.zeros((len(answers), 2), np.int64)
    for i, (answer, passage) in enumerate(zip(answers, passages, strict=True)):
        said = [support(claim, passage) for claim in claims(answer)]
        found[i] = len(said), sum(one in UNSUPPORTED for one in said)
    return found


def calibrated(flags: NDArray[np.bool_], marks: NDArray[np.bool_]) -> Calibrated:
    """flags: bool[n], the measure calls the claim unsupported; marks: bool[n], people do.

    Raises NotEnough below 200 marks, or without both kinds.
    """
    bad, good = int(marks.sum()), int((~marks).sum())
    if len(marks) < MARKED or not bad or not good:
        raise NotEnough("claims_marked", marks=len(marks), least=MARKED, bad=bad, good=good)
    return Calibrated(
        found=float(flags[marks].mean()),
        false=float(flags[~marks].mean()),
        unsupported=bad,
        supported=good,
    )


def claim_rate(
    counts: NDArray[np.int64], measure: Calibrated | None = None, rng: np.random.Generator | None = None
) -> ClaimRate:
    """The rate over answers (`flagged`); answers are drawn again, and the marks with them.

    Where the measure tells unsupported claims from others no better than chance, no share is given.
    """
    total, hits = (int(column.sum()) for column in counts.T)
    rate = hits / total if total else 0.0
    plain = ClaimRate(answers=len(counts), claims=total, flagged=hits, rate=rate)
    if measure is None or rng is None or measure.tells <= 0 or not total:
        return plain
    rows = rng.integers(0, len(counts), (DRAWS, len(counts)))
    drawn = counts[rows].sum(axis=1)
    rates = drawn[:, 1] / np.maximum(drawn[:, 0], 1)
    found = rng.binomial(measure.unsupported, measure.found, DRAWS) / measure.unsupported
    false = rng.binomial(measure.supported, measure.false, DRAWS) / measure.supported
    shares = np.clip((rates - false) / np.maximum(found - false, 1e-9), 0, 1)
    low, high = np.quantile(shares, [0.025, 0.975])
    share = float(np.clip((rate - measure.false) / measure.tells, 0, 1))
    return ClaimRate(
        answers=len(counts),
        claims=total,
        flagged=hits,
        rate=rate,
        share=share,
        low=float(low),
        high=float(high),
    )


@dataclass(frozen=True, kw_only=True)
class Invented:
    """The flagged rates of two models on the same questions: before, after; the 95 % interval of their
    difference, the one-sided p that the later one invents no more, and its claims.
    """

    before: float
    after: float
    low: float
    high: float
    p: float
    claims: int


def more_invented(
    before: NDArray[np.int64], after: NDArray[np.int64], seed: int, groups: Ints | None = None
) -> Invented:
    """Whether a later model invents more, by paired resamples of questions (of whole groups).

    before, after: int64[n, 2] by question (`flagged`). A model without a claim invents nothing.
    """

    def rates(weights: Floats, counts: NDArray[np.int64]) -> Floats:
        total, hits = weights @ counts[:, 0], weights @ counts[:, 1]
        return np.asarray(np.where(total > 0, hits / np.maximum(total, 1), 0.0))

    gains = bootstrap(lambda w: rates(w, after) - rates(w, before), len(after), seed, groups=groups)
    low, high = (float(one) for one in np.quantile(gains, [0.025, 0.975]))
    every = np.ones((1, len(after)))
    return Invented(
        before=float(rates(every, before)[0]),
        after=float(rates(every, after)[0]),
        low=low,
        high=high,
        p=bootstrap_p(gains),
        claims=int(after[:, 0].sum()),
    )
