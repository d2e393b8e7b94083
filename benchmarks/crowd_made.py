"""Crowds that are made: people with a known skill, spammers, adversaries, and panels that share one belief.

Used by crowds.py and by tests. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bapsim.raters.reliability import Said
from bapsim.raters.votes import Vote


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """votes: on each item; truth: its label; skill: by person, the share of right votes over all items that
    they would have, were they asked of all; hard: bool[items], those on which a belief is shared.
    """

    votes: list[list[Vote]]
    truth: list[str]
    skill: dict[str, float]
    hard: np.ndarray


def simulated(classes: int, bad: str, seed: int, *, tasks: int = 2000, workers: int = 40) -> Crowd:
    """5 votes an item, 30 % of the workers bad: "random" ones draw a label, "adversarial" ones are wrong 80 %
    of the time, all with the same wrong class; the good are right with .75 to .95.
    """
    rng = np.random.default_rng([seed, classes, len(bad)])
    truth = rng.integers(classes, size=tasks)
    good = np.round(rng.uniform(0.75, 0.95, workers), 3)
    wicked = np.arange(workers) < 0.3 * workers
    votes: list[list[Vote]] = []
    for t in truth:
        said: list[Vote] = []
        for w in rng.permutation(workers)[:5]:
            if not wicked[w]:
                label = t if rng.random() < good[w] else (t + rng.integers(1, classes)) % classes
            elif bad == "random":
                label = rng.integers(classes)
            else:
                label = (t + 1) % classes if rng.random() < 0.8 else t
            said.append((f"w{w:02}", str(label)))
        votes.append(said)
    worse = 1 / classes if bad == "random" else 0.2
    skill = {f"w{w:02}": worse if wicked[w] else float(good[w]) for w in range(workers)}
    return Crowd(votes=votes, truth=[str(t) for t in truth], skill=skill, hard=np.zeros(tasks, bool))


def panel(sharing: int, seed: int, *, tests: int = 0, items: int = 400) -> Crowd:
    """400 items of 4 classes, 12 raters of .45 to .95, 5 votes an item, of the first `tests` items 12;
    `sharing` raters have one and the same wrong belief about each of a quarter of the items.
    """
    raters, each = 12, 5
    rng = np.random.default_rng([seed, sharing])
    truth = rng.integers(4, size=items)
    skill = rng.uniform(0.45, 0.95, raters)
    hard = rng.random(items) < 0.25
    believed = (truth + 1 + rng.integers(3, size=items)) % 4
    votes: list[list[Vote]] = []
    for i, t in enumerate(truth):
        said: list[Vote] = []
        for r in rng.permutation(raters)[: raters if i < tests else each]:
            label = t if rng.random() < skill[r] else (t + 1 + rng.integers(3)) % 4
            said.append((f"r{r:02}", str(believed[i] if hard[i] and r < sharing else label)))
        votes.append(said)
    share = float(hard.mean()) if sharing else 0.0
    true = {f"r{r:02}": float(skill[r] * (1 - share if r < sharing else 1)) for r in range(raters)}
    return Crowd(votes=votes, truth=[str(t) for t in truth], skill=true, hard=hard & (sharing > 0))


def answers(crowd: Crowd, gold: np.ndarray, seed: int) -> list[Said]:
    """All votes as answers, mixed; those on the items of `gold` are blind tests."""
    chosen = set(gold.tolist())
    said = [
        Said(person=str(who), item=str(i), label=label, blind="gold" if i in chosen else None)
        for i, votes in enumerate(crowd.votes)
        for who, label in votes
    ]
    order = np.random.default_rng([seed, len(chosen)]).permutation(len(said))
    return [said[at] for at in order]
