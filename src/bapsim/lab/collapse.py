"""What becomes of a model that learns from its own text, under each policy, on any text of people.

For each seed the text is cut elsewhere into four: to learn from, to fit weights, to be judged by a guard,
and a test that nothing else sees. What is told of a generation is measured on the test: nats a token more
than the model of people's text alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import InputError
from bapsim.core.turn import named_seed
from bapsim.judge.collapse import coverage, diversity, rare_types
from bapsim.lab.arms import BLOCK, Filtered, Ints, Learn, World, Writer, as_items, names_of, some
from bapsim.text import ngram_lm

Floats = NDArray[np.float64]
LEAST = 4_000  # tokens: of fewer nothing can be told
USUAL = ("replace", "mix10", "subsample", "accumulate", "mix50", "anchor", "verified", "guarded")


@dataclass(frozen=True, eq=False)
class Words:
    """The trigram model as a writer of the lab."""

    model: ngram_lm.Trigrams

    def nats(self, codes: Ints) -> Floats:
        return ngram_lm.nats(self.model, codes)

    def drawn(self, count: int, rng: np.random.Generator, sharp: float) -> Ints:
        return ngram_lm.drawn(self.model, count, rng, sharp=sharp)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One seed's text: learn, fit, judge, test and others, int64 each; vocabulary: how many types
    there are.
    """

    learn: Ints
    fit: Ints
    judge: Ints
    test: Ints
    others: Ints
    vocabulary: int


def cut(codes: Ints, vocabulary: int, most: int, seed: int) -> Cut:
    """The text from a place that the seed chooses, round its end: at most `most` tokens to learn from.

    Raises InputError where it is too short.
    """
    if len(codes) < LEAST:
        raise InputError("lab_text_too_short", tokens=len(codes), least=LEAST)
    rng = np.random.default_rng(named_seed("lab", "cut", seed))
    turned = np.roll(codes, -int(rng.integers(len(codes))))
    size = min(most, len(codes) // 2) // BLOCK * BLOCK
    part = min(30_000, (len(codes) - size) // 4) // BLOCK * BLOCK
    ends = np.cumsum([part, part, part, size])
    test, fit, judge, learn, others = np.split(turned, ends)
    return Cut(learn=learn, fit=fit, judge=judge, test=test, others=others, vocabulary=vocabulary)


def trigrams(of: Cut) -> Learn:
    """Trains trigram models on texts of this cut."""

    def learn(data: Ints) -> Writer:
        return Words(ngram_lm.learn(data, of.vocabulary, of.fit))

    return learn


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Of what models the experiment is: `make` gives what trains them on a cut; units: cuts a text into
    tokens, words or characters; grain: of so many tokens is a type whose coverage is told.
    """

    make: Callable[[Cut], Learn] = trigrams
    units: Callable[[str], Sequence[str]] = ngram_lm.tokens
    grain: int = 1


WORDS = Learner()


def joined(codes: Ints, vocabulary: int, grain: int) -> Ints:
    """int64[n - grain + 1]: each token with the `grain` - 1 behind it as one type."""
    parts = np.lib.stride_tricks.sliding_window_view(codes, grain)
    return np.asarray(parts @ (vocabulary ** np.arange(grain)), np.int64)


def measured(model: Writer, of: Cut, new: Ints, rare: Ints, grain: int = 1) -> dict[str, float]:
    """One generation: nats a token on the test, and what of people's text the new text still has.

    rare: types that people use once or twice, of `grain` tokens each.
    """
    batch = as_items(some(new, len(of.learn), np.random.default_rng(0)))
    return {
        "loss": float(model.nats(of.test).mean()),
        "coverage": coverage(as_items(joined(batch.codes, of.vocabulary, grain)), rare),
        "types": float(len(np.unique(batch.codes))),
        **diversity(batch),
    }


def collapse(
    text: str,
    *,
    generations: int = 8,
    seeds: Sequence[int] = (0, 1, 2),
    arms: Sequence[str] = USUAL,
    most: int = 100_000,
    learner: Learner = WORDS,
    say: Callable[..., None] = lambda *_, **__: None,
) -> dict[str, Any]:
    """Run every arm for so many generations and seeds; `most`: tokens to learn from.

    Returns tokens, vocabulary, people: nats a token of people's text alone, and by arm: loss (nats a token
    more than people's text alone), coverage, distinct_2, compression and types, each [seeds][generations +
    1]; score: what an outside model thinks of the texts of the arm `best`; guard: what it said; seconds of
    CPU. Raises InputError for a text too short, or an arm that is none.
    """
    codes, words = ngram_lm.numbered(learner.units(text))
    plans = names_of(arms)
    alone: list[float] = []
    found: dict[str, Any] = {name: {"guard": [], "score": [], "seconds": 0.0} for name, *_ in plans}
    for seed in seeds:
        part = cut(codes, len(words), most, seed)
        learn = learner.make(part)
        base = learn(part.learn)
        asked = any(isinstance(arm, Filtered) for _, arm, _ in plans)
        outside = learn(other_text(part, seed)) if asked else base
        rare = rare_types(as_items(joined(part.learn, len(words), learner.grain)))
        first = measured(base, part, part.learn, rare, learner.grain)
        alone.append(first["loss"])
        for name, arm, sharp in plans:
            say("arm", name=name, seed=seed)
            begun = time.process_time()
            rng = np.random.default_rng(named_seed("lab", name, seed))
            world = World(
                learn=learn, real=part.learn, judge=part.judge, outside=outside, sharp=sharp, rng=rng
            )
            model, rows = base, [first]
            for _ in range(generations):
                new = model.drawn(len(part.learn), rng, sharp)
                model = learn(arm(world, model, new))
                rows.append(measured(model, part, new, rare, learner.grain))
            _note(found[name], rows, world.said)
            found[name]["seconds"] += time.process_time() - begun
    return {
        "tokens": len(codes),
        "vocabulary": len(words),
        "learnt": int(min(most, len(codes) // 2) // BLOCK * BLOCK),
        "generations": generations,
        "seeds": list(seeds),
        "people": float(np.mean(alone)),
        "arms": found,
    }


def other_text(of: Cut, seed: int) -> Ints:
    """As much of people's text as is learnt from, none of it the same."""
    return some(of.others, len(of.learn), np.random.default_rng(seed))


def _note(found: dict[str, Any], rows: list[dict[str, float]], said: list[dict[str, Any]]) -> None:
    for name in rows[0]:
        told = [row[name] - (rows[0]["loss"] if name == "loss" else 0) for row in rows]
        found.setdefault(name, []).append(told)
    found["guard"].append([one for one in said if "admitted" in one])
    found["score"].append([one["score"] for one in said if "score" in one])


def last(found: dict[str, Any], arm: str, name: str = "loss") -> tuple[float, float]:
    """Mean and standard deviation over seeds at the last generation."""
    values = [row[-1] for row in found["arms"][arm][name]]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
