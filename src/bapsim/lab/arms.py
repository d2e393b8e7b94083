"""What each policy trains on, generation by generation, when a model writes its own data.

real: people's text; new: what the last model wrote. Each arm gives the next training text, from these and
from what it kept before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import InputError
from bapsim.judge.collapse import Guarded, Items, guard, signals
from bapsim.judge.compare import standard_error

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BLOCK = 50  # tokens that are kept or left together


class Writer(Protocol):
    """A language model of the lab: what tokens cost it, and what it writes."""

    def nats(self, codes: Ints) -> Floats:
        """float64[n - 2]: what each token but the first two costs."""

    def drawn(self, count: int, rng: np.random.Generator, sharp: float) -> Ints:
        """int64[count]."""


Learn = Callable[[Ints], Writer]


@dataclass(kw_only=True)
class World:
    """What an experiment has: people's text to learn from, held out to judge by, and of others.

    learn: trains a model; real: people's training text; judge: people's text that the guard measures on,
    never the test; outside: a model of other people's text; sharp: how sharpened the writing is.
    """

    learn: Learn
    real: Ints
    judge: Ints
    outside: Writer
    sharp: float
    rng: np.random.Generator
    kept: list[Ints] = field(default_factory=list)  # what was written so far, or admitted
    base: Writer | None = None  # the model of people's text alone
    said: list[dict[str, Any]] = field(default_factory=list)  # what the guard said


Arm = Callable[[World, Writer, Ints], Ints]


def blocks(codes: Ints) -> Ints:
    """int64[n, BLOCK]: whole blocks of a text."""
    count = len(codes) // BLOCK
    return codes[: count * BLOCK].reshape(count, BLOCK)


def some(codes: Ints, count: int, rng: np.random.Generator) -> Ints:
    """`count` tokens of a text in blocks, without repetition."""
    parts = blocks(codes)
    at = rng.choice(len(parts), min(count // BLOCK, len(parts)), replace=False)
    return parts[np.sort(at)].reshape(-1)


def replaced(world: World, model: Writer, new: Ints) -> Ints:
    """Only what the last model wrote."""
    return new


def accumulated(world: World, model: Writer, new: Ints) -> Ints:
    """People's text and all that was ever written."""
    world.kept.append(new)
    return np.concatenate([world.real, *world.kept])


def subsampled(world: World, model: Writer, new: Ints) -> Ints:
    """As much as people's text, drawn from people's text and all that was ever written."""
    return some(accumulated(world, model, new), len(world.real), world.rng)


def anchored(world: World, model: Writer, new: Ints) -> Ints:
    """People's text, all of it, and what the last model wrote."""
    return np.concatenate([world.real, new])


@dataclass(frozen=True)
class Mixed:
    """A share of people's text, drawn anew, and for the rest what the last model wrote."""

    share: float

    def __call__(self, world: World, model: Writer, new: Ints) -> Ints:
        people = some(world.real, int(self.share * len(world.real)), world.rng)
        return np.concatenate([people, new[: len(world.real) - len(people)]])


@dataclass(frozen=True)
class Filtered:
    """Three times as much is written, and a third of it kept.

    by: `best`, what a model of other people's text likes best, in place of people's text (the trap); `band`,
    what that model finds neither odder nor plainer than nine tenths of people's blocks, put to people's
    text.
    """

    by: str

    def __call__(self, world: World, model: Writer, new: Ints) -> Ints:
        parts = blocks(model.drawn(3 * len(world.real), world.rng, world.sharp))
        score = scored(world.outside, parts)
        count = len(world.real) // BLOCK
        if self.by == "best":
            kept = parts[np.sort(np.argsort(score, kind="stable")[:count])].reshape(-1)
            world.said.append({"score": float(scored(world.outside, blocks(kept)).mean())})
            return kept
        low, high = np.quantile(scored(world.outside, blocks(world.judge)), [0.05, 0.95])
        kept = parts[(score >= low) & (score <= high)][:count].reshape(-1)
        world.said.append({"passed": float(((score >= low) & (score <= high)).mean())})
        return np.concatenate([world.real, kept])


def scored(model: Writer, parts: Ints) -> Floats:
    """float64[n]: nats a token of each block."""
    cost = model.nats(parts.reshape(-1))
    whole = np.concatenate([np.zeros(2), cost]).reshape(parts.shape)
    return np.asarray(whole.mean(axis=1), np.float64)


def guarded(world: World, model: Writer, new: Ints) -> Ints:
    """People's text and what was admitted so far; the last text joins only where the guard admits it."""
    before = np.concatenate([world.real, *world.kept])
    if world.base is None:
        world.base = world.learn(before)
    candidate = world.learn(np.concatenate([before, new]))
    said = examined(world, candidate, new)
    world.said.append(
        {
            "admitted": said.admitted,
            "reason": said.reason,
            "outside": [one.name for one in said.outside],
        }
    )
    if said.admitted:
        world.kept.append(new)
        world.base = candidate
    return np.concatenate([world.real, *world.kept])


def examined(world: World, candidate: Writer, new: Ints) -> Guarded:
    """The guard's word on a text: three signals against people's."""
    assert world.base is not None  # noqa: S101  set by its one caller
    saved = scored(world.base, blocks(world.judge)) - scored(candidate, blocks(world.judge))
    error = standard_error(saved - saved.mean(), len(saved))
    found = signals(as_items(new), as_items(world.real), np.random.default_rng(world.rng.integers(2**32)))
    # what gains nothing is not worth its risk: people's text alone wins ties
    told = guard(found, float(saved.mean()), error)
    if told.admitted and not saved.mean() > error:
        return Guarded(admitted=False, reason="collapse.no_gain", outside=told.outside)
    return told


def as_items(codes: Ints) -> Items:
    """Blocks of a text as items."""
    parts = blocks(codes)
    return Items(codes=parts.reshape(-1), starts=np.arange(len(parts) + 1, dtype=np.int64) * BLOCK)


ARMS: Mapping[str, Arm] = {
    "replace": replaced,
    "accumulate": accumulated,
    "subsample": subsampled,
    "mix10": Mixed(0.1),
    "mix50": Mixed(0.5),
    "anchor": anchored,
    "best": Filtered("best"),
    "verified": Filtered("band"),
    "guarded": guarded,
}


def names_of(said: Sequence[str]) -> list[tuple[str, Arm, float]]:
    """Arms by name; "replace@0.5": half of the draws take the more frequent of two words."""
    found = []
    for one in said:
        name, _, sharp = one.partition("@")
        share = _share(sharp)
        if name not in ARMS or share is None:
            raise InputError("no_such_arm", name=one, known=", ".join(ARMS))
        found.append((one, ARMS[name], share))
    return found


def _share(said: str) -> float | None:
    """A number from 0 to 1, 0 where nothing is said; None for anything else."""
    try:
        share = float(said or 0)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
