"""A word trigram model: what a collapse is measured with in seconds (Jelinek and Mercer 1980).

Chances of the uniform, unigram, bigram and trigram models are mixed by weights that expectation-maximisation
fits to other text of people: counts alone would believe copies (docs/collapse.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_TOKEN = re.compile(r"\w+|[^\w\s]|\n")
ROUNDS = 15  # of expectation-maximisation; later ones change the fourth digit
LEAST = 1e-4  # of a weight: nothing becomes impossible


def tokens(text: str) -> list[str]:
    """Words, marks and line ends."""
    return _TOKEN.findall(text)


def numbered(said: Sequence[str]) -> tuple[Ints, list[str]]:
    """int64[n] codes in the order of first use, and the words by code."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(one, len(place)) for one in said], np.int64)
    return codes, list(place)


@dataclass(frozen=True, kw_only=True)
class Followers:
    """What followed each context: contexts int64[c] sorted; first, total int64[c] into next int64[n]; pairs
    int64[p] sorted, context number x vocabulary + follower, with counts.
    """

    contexts: Ints
    first: Ints
    total: Ints
    next: Ints
    pairs: Ints
    count: Ints


@dataclass(frozen=True, kw_only=True)
class Trigrams:
    """A fitted model; weights: by how many contexts were seen (none, bigram, trigram), of its 2 to
    4 parts.
    """

    data: Ints
    vocabulary: int
    unigrams: Floats
    after_one: Followers
    after_two: Followers
    weights: tuple[Floats, Floats, Floats]


def _followers(context: Ints, following: Ints, vocabulary: int) -> Followers:
    order = np.argsort(context, kind="stable")
    known, first, total = np.unique(context[order], return_index=True, return_counts=True)
    number = np.repeat(np.arange(len(known)), total)
    pairs, count = np.unique(number * vocabulary + following[order], return_counts=True)
    return Followers(
        contexts=known,
        first=first.astype(np.int64),
        total=total.astype(np.int64),
        next=following[order],
        pairs=pairs.astype(np.int64),
        count=count.astype(np.int64),
    )


def _place(values: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1).astype(np.int64)
    return at, values[at] == wanted


def _share(
    of: Followers, context: Ints, following: Ints, vocabulary: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """float64[n]: how often a context was followed so; bool[n]: the context is known."""
    at, known = _place(of.contexts, context)
    pair, seen = _place(of.pairs, at * vocabulary + following)
    if not len(of.contexts):
        return np.zeros(len(context)), known
    return np.where(known & seen, of.count[pair] / of.total[at], 0.0), known


def learn(data: Ints, vocabulary: int, development: Ints) -> Trigrams:
    """Counts of `data`, int64[n] of codes below `vocabulary`, mixed as fits `development`, int64[m] of
    people's text that is in no data.
    """
    if len(data) < 3 or len(development) < 3:
        raise ValueError("a trigram model takes three tokens at least, and three to be fitted to")
    found = Trigrams(
        data=data,
        vocabulary=vocabulary,
        unigrams=np.bincount(data, minlength=vocabulary) / len(data),
        after_one=_followers(data[:-1], data[1:], vocabulary),
        after_two=_followers(data[:-2] * vocabulary + data[1:-1], data[2:], vocabulary),
        weights=(np.full(2, 1 / 2), np.full(3, 1 / 3), np.full(4, 1 / 4)),
    )
    parts, seen = _parts(found, development)
    fitted = tuple(_fitted(parts[seen == k][:, : k + 2], k) for k in range(3))
    return Trigrams(**{**vars(found), "weights": fitted})


def _parts(model: Trigrams, codes: Ints) -> tuple[Floats, Ints]:
    """float64[n - 2, 4]: what each part says of each token but the first two; how many contexts are known."""
    one, two, now = codes[:-2], codes[1:-1], codes[2:]
    bi, bigram = _share(model.after_one, two, now, model.vocabulary)
    tri, trigram = _share(model.after_two, one * model.vocabulary + two, now, model.vocabulary)
    uniform = np.full(len(now), 1 / model.vocabulary)
    return np.stack([uniform, model.unigrams[now], bi, tri], 1), np.where(trigram, 2, np.where(bigram, 1, 0))


def _fitted(parts: Floats, known: int) -> Floats:
    """Weights under which these tokens are likeliest, to the fourth digit; even ones where there are few."""
    weights = np.full(known + 2, 1 / (known + 2))
    for _ in range(ROUNDS if len(parts) > 50 else 0):
        told = parts * weights
        weights = np.maximum((told / told.sum(axis=1, keepdims=True)).mean(axis=0), LEAST)
        weights = weights / weights.sum()
    return weights


def nats(model: Trigrams, codes: Ints) -> Floats:
    """float64[n - 2]: what each token but the first two costs."""
    parts, seen = _parts(model, codes)
    chance = np.empty(len(parts))
    for k, weights in enumerate(model.weights):
        chance[seen == k] = parts[seen == k][:, : k + 2] @ weights
    return -np.log(chance)


def drawn(model: Trigrams, count: int, rng: np.random.Generator, *, sharp: float = 0.0) -> Ints:
    """int64[count]: text of the model, of many beginnings at once.

    sharp: in this share of draws, of two the more frequent word is taken, as low temperatures do. Nothing is
    drawn from the uniform part: every word of it stood in the data.
    """
    chains = int(np.clip(count // 50, 1, 4000))
    begin = rng.integers(0, len(model.data) - 1, chains)
    begun = model.data[begin], model.data[begin + 1]
    return continued(model, *begun, -(-count // chains), rng, sharp=sharp).reshape(-1)[:count]


def continued(
    model: Trigrams, one: Ints, two: Ints, length: int, rng: np.random.Generator, *, sharp: float = 0.0
) -> Ints:
    """int64[n, length]: what the model writes behind these pairs of tokens (int64[n] each)."""
    chains = len(one)
    out = np.empty((chains, length), np.int64)
    for step in range(length):
        seen = _seen(model, one, two)
        part = _part(model, seen, rng)
        now = _draw(model, one, two, part, rng)
        if sharp:
            other = _draw(model, one, two, part, rng)
            better = model.unigrams[other] > model.unigrams[now]
            now = np.where((rng.random(chains) < sharp) & better, other, now)
        out[:, step] = now
        one, two = two, now
    return out


def _seen(model: Trigrams, one: Ints, two: Ints) -> Ints:
    _, bigram = _place(model.after_one.contexts, two)
    _, trigram = _place(model.after_two.contexts, one * model.vocabulary + two)
    return np.where(trigram, 2, np.where(bigram, 1, 0))


def _part(model: Trigrams, seen: Ints, rng: np.random.Generator) -> Ints:
    """int64[n]: which part draws: 0 unigram, 1 bigram, 2 trigram."""
    chance, found = rng.random(len(seen)), np.zeros(len(seen), np.int64)
    for k, weights in enumerate(model.weights):
        share = np.cumsum(weights[1:] / weights[1:].sum())
        found = np.where(seen == k, np.minimum(np.searchsorted(share, chance), k), found)
    return found


def _draw(model: Trigrams, one: Ints, two: Ints, part: Ints, rng: np.random.Generator) -> Ints:
    found = model.data[rng.integers(0, len(model.data), len(part))]
    for k, (of, context) in enumerate(
        ((model.after_one, two), (model.after_two, one * model.vocabulary + two)), 1
    ):
        at, known = _place(of.contexts, context)
        pick = of.next[of.first[at] + (rng.random(len(part)) * of.total[at]).astype(np.int64)]
        found = np.where((part == k) & known, pick, found)
    return np.asarray(found, np.int64)
