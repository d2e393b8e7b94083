"""How much text was seen, how often, and what seeing it once more is worth.

Muennighoff et al. 2023: R repeats of U tokens are worth U + U * r * (1 - exp(-R / r)) fresh ones, r = 15.39.
That was fitted at about 20 tokens a parameter. On fewer than ten it does not hold: at 2 to 11 characters a
parameter r was between 1.9 and 4.4 here, and the loss of the larger model rose again from 16 epochs on, which
the form cannot say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bapsim.core.arrow import numbers
from bapsim.core.errors import NotEnough, text
from bapsim.core.recipe import Mixture

PRIOR = 15.39  # of repeats, where there are ten tokens a parameter and more
CROWDED = 1.9  # where there are fewer: what was seen at two characters a parameter
ENOUGH = 10.0  # tokens a parameter
WORTH = 0.5  # of a fresh token: what the next repeat of one must be worth


def effective(unique: float, epochs: float, repeats: float = PRIOR) -> float:
    """Fresh tokens that `epochs` over `unique` ones are worth."""
    again = max(0.0, epochs - 1)
    return unique * min(epochs, 1.0) + unique * repeats * (1 - math.exp(-again / repeats))


def marginal(epochs: float, repeats: float = PRIOR) -> float:
    """What one more token is worth after so many epochs, beside a fresh one."""
    return math.exp(-max(0.0, epochs - 1) / repeats)


def useful(repeats: float = PRIOR) -> float:
    """Epochs after which a repeated token is worth less than half a fresh one."""
    return 1 - repeats * math.log(WORTH)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """parameters: of the model; unique: tokens of its texts, each once; human: those of texts that people
    made; seen: tokens that it learnt from, repeats too; repeats: the constant, `fitted` or a prior.
    """

    parameters: int
    unique: int
    human: int
    seen: int
    repeats: float
    fitted: bool = False

    @property
    def epochs(self) -> float:
        """Over people's texts, which are seen as often as the others."""
        return self.seen / max(1, self.unique)

    @property
    def worth(self) -> float:
        """Fresh tokens that all that was seen is worth."""
        return effective(self.unique, self.epochs, self.repeats)

    @property
    def crowded(self) -> bool:
        """Whether there are too few tokens a parameter for the prior to hold."""
        return self.unique < ENOUGH * self.parameters

    @property
    def past(self) -> bool:
        """Whether the last epochs were worth less than half of what fresh text is."""
        return self.epochs > useful(self.repeats)

    def say(self, lang: str = "en") -> str:
        """What a person should know of it, a line each."""
        known = "fitted" if self.fitted else "crowded" if self.crowded else "prior"
        values = {
            "seen": f"{self.seen:,}",
            "unique": f"{self.unique:,}",
            "human": f"{self.human:,}",
            "epochs": f"{self.epochs:.1f}",
            "worth": f"{self.worth:,.0f}",
            "useful": f"{useful(self.repeats):.1f}",
            "repeats": f"{self.repeats:.2f}",
            "each": f"{self.unique / max(1, self.parameters):.2g}",
            "last": f"{marginal(self.epochs, self.repeats):.0%}",
        }
        lines = ["lm.budget.seen", f"lm.budget.{known}", *(["lm.budget.past"] if self.past else [])]
        return "\n".join(text(line, lang, **values) for line in lines)

    def told(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "epochs": self.epochs, "worth": self.worth, "past": self.past}


def budget_of(
    mixture: Mixture, sizes: Sequence[int], seen: int, parameters: int, repeats: float | None = None
) -> Budget:
    """The account of one training: sizes: tokens of each of the mixture's rows, then of the pool's texts.

    Whose text is not known (a crawl, the pool) is not counted as people's.
    """
    depths = [numbers(mixture.records.column(name)) for name in ("_input_depth", "_target_depth")]
    human = np.flatnonzero((depths[0] == 0) & (depths[1] == 0))
    each = np.array(sizes, np.int64)
    unique = int(each.sum())
    prior = PRIOR if unique >= ENOUGH * parameters else CROWDED
    return Budget(
        parameters=parameters,
        unique=unique,
        human=int(each[human].sum()),
        seen=seen,
        repeats=prior if repeats is None else repeats,
        fitted=repeats is not None,
    )


class Run(NamedTuple):
    """One finished training of one model: unique tokens, epochs over them, held-out loss."""

    unique: float
    epochs: float
    loss: float


class Fit(NamedTuple):
    """repeats: the constant; holds: whether the form can say what was seen: no loss rose with its epochs."""

    repeats: float
    holds: bool


def fit(runs: Sequence[Run]) -> Fit:
    """The constant of repeats from a project's own runs of one model and schedule.

    What a repeated run is worth is read off the losses of runs that saw fresh text only, log against log
    between neighbours; NotEnough below three of these and two repeated ones within their range.
    """
    fresh = {run.unique * run.epochs: run.loss for run in runs if run.epochs <= 1}
    again = [run for run in runs if run.epochs > 1]
    size = np.array(sorted(fresh))
    loss = np.minimum.accumulate(np.array([fresh[one] for one in size.tolist()]))
    inside = [run for run in again if len(loss) and loss[-1] <= run.loss <= loss[0]]
    if len(size) < 3 or len(inside) < 2:
        raise NotEnough("epochs_few_runs", fresh=len(size), again=len(inside))
    worth = np.exp(np.interp([-math.log(r.loss) for r in inside], -np.log(loss), np.log(size)))
    tried = np.exp(np.linspace(math.log(0.1), math.log(1000), 2000))
    off = [
        sum(math.log(effective(r.unique, r.epochs, c) / w) ** 2 for r, w in zip(inside, worth, strict=True))
        for c in tried.tolist()
    ]
    return Fit(float(tried[int(np.argmin(off))]), _falls(again))


def _falls(runs: Sequence[Run]) -> bool:
    ordered = sorted(runs)
    pairs = pairwise(ordered)
    return all(b.loss <= a.loss for a, b in pairs if a.unique == b.unique)
