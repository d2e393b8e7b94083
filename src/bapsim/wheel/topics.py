"""What is worth an expert's time: where the model errs, as topics with cases, the worthiest first.

Everything comes from out-of-fold answers about rows that are trained on, and from rows without a label that
the service logged; never from the exam (`wheel.lesson.material_of`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

import numpy as np

from bapsim.compose.novel import Proposal, proposals
from bapsim.core.errors import text
from bapsim.core.fingerprint import fingerprint
from bapsim.core.turn import named_seed
from bapsim.judge.slices import worst
from bapsim.refine.contradictions import contradictions
from bapsim.text.telling import telling
from bapsim.wheel.effect import shortened
from bapsim.wheel.lesson import Classroom, Ints
from bapsim.wheel.noticing import by_value, by_word

PAIRS, FEWEST = 40, 2  # pairs of classes that are looked at; errors of a topic
CASES = 8  # of a topic
SAME = 0.5  # of a topic's errors that better ones have: it says nothing of its own
BROAD = 0.3  # of all errors: a topic of more is no topic, and hides none
FITS = 0.5  # in scope: below, no class may fit
EITHER = 0.1  # chance of each of two classes from which on a row may be either
PAIRED = 0.6  # of errors that are one pair of classes
KNOWN = 5_000  # labelled texts that something new must differ from
CLUSTERS = 6  # of a kind

Kind = Literal["confused", "word", "label", "column", "cluster", "twins", "new_class", "unsure"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A case of a topic: a row by its id (hex digits), its text without personal data, its label (None: it
    has none), what the model says, and how sure it is.
    """

    id: str
    text: str
    label: str | None
    said: str
    sure: float


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Something that the model gets wrong: its kind, the labels that it is about, words that tell these apart
    (with how many rows of the first label and of the others have them), what its title names.

    errors: of `rows` rows, expected ones where nobody said what is right; worth: the share of all rows that
    would be right as well; cases: the telling ones first.
    """

    id: str
    kind: Kind
    labels: tuple[str, ...]
    words: tuple[tuple[str, int, int], ...]
    values: Mapping[str, str]
    errors: int
    rows: int
    worth: float
    cases: tuple[Asked, ...]

    def title(self, lang: str) -> str:
        """What it is about, in a line."""
        return text(f"topic.{self.kind}", lang, **self.values)

    def measure(self, lang: str) -> str:
        """How many errors, and what it would be worth to be rid of them."""
        key = "topic.expected" if self.kind in ("new_class", "unsure") else "topic.errors"
        return text(key, lang, errors=self.errors, rows=f"{self.rows:,}", points=f"{100 * self.worth:.2f}")

    def json(self) -> dict[str, Any]:
        """As plain values."""
        return {**vars(self), "values": dict(self.values), "cases": [vars(one) for one in self.cases]}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """A topic before it is told: its rows (int64) of the labelled ones, or of the pool, the telling first; of
    them those that are errors; what each row costs, summed over the topic; also: rows of the pool that belong
    to it.
    """

    kind: Kind
    values: Mapping[str, str]
    labels: tuple[str, ...]
    rows: Ints
    wrong: Ints
    lost: float
    of: int
    pooled: bool = False
    also: tuple[int, ...] = ()


def topics(room: Classroom, *, seed: int = 0, most: int = 12) -> list[Topic]:
    """At most `most` topics by worth; the same for the same classroom and seed."""
    found = [*_confused(room), *_slices(room), *_clusters(room), *_twins(room), *_pool(room)]
    ranked = sorted(found, key=lambda one: (-one.lost / one.of, one.kind, tuple(one.values.values())))
    errors = int((_own(room) & (room.predicted != room.has.y)).sum())
    chosen: list[_Found] = []
    seen: tuple[set[int], set[int]] = set(), set()
    all_of_it = False
    for one in ranked:
        mine = set(one.wrong.tolist())
        broad = not one.pooled and len(mine) > BROAD * errors
        if len(chosen) == most:
            break
        if mine and len(mine & seen[one.pooled]) <= SAME * len(mine) and not (broad and all_of_it):
            chosen.append(one)
            seen[one.pooled].update(() if broad else mine)
            all_of_it |= broad
    return [_told(room, one, seed) for one in chosen]


def topic_of(room: Classroom, said: str, rows: Ints, pooled: Ints) -> Topic:
    """A topic that somebody opened: labelled rows and rows of the pool that say something like it."""
    wrong = room.predicted[rows] != room.has.y[rows]
    counts = Counter([*_labels(room, rows, False), *_labels(room, pooled, True)])
    return Topic(
        id=fingerprint("opened", said),
        kind="cluster",
        labels=tuple(sorted(counts, key=lambda one: (-counts[one], one))[:4]),
        words=(),
        values={"name": shortened([said])[0]},
        errors=int(wrong.sum()),
        rows=len(rows),
        worth=float(wrong.sum()) / max(len(room.has.y), 1),
        cases=(*asked(room, rows.tolist(), False), *asked(room, pooled.tolist(), True)),
    )


# --------------------------------------------------------------------------- where the model errs


def _own(room: Classroom) -> np.ndarray:
    """bool[n]: rows that errors are counted on: people's, and of these those that nobody picked, if any."""
    mine = room.has.proof & room.has.random & (room.has.folds >= 0)
    return mine if mine.sum() >= 100 else room.has.proof & (room.has.folds >= 0)


def _confused(room: Classroom) -> Iterator[_Found]:
    """Pairs of classes that are taken for one another."""
    own, y, said = _own(room), room.has.y, room.predicted
    wrong = np.flatnonzero(own & (said != y))
    pairs = Counter(
        zip(np.minimum(y, said)[wrong].tolist(), np.maximum(y, said)[wrong].tolist(), strict=True)
    )
    for (a, b), errors in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))[:PAIRS]:
        if errors < FEWEST:
            continue
        mine = (room.has.folds >= 0) & ((y == a) & (said == b) | (y == b) & (said == a))
        rows = np.flatnonzero(mine)
        names = tuple(room.has.classes[c] for c in (a, b))
        yield _Found(
            kind="confused",
            values=dict(zip(("first", "second"), names, strict=True)),
            labels=names,
            rows=_by_side(room, rows[np.argsort(-_surprise(room, rows), kind="stable")]),
            wrong=rows[own[rows]],
            lost=errors,
            of=int(own.sum()),
            also=tuple(_between(room, a, b)),
        )


def _between(room: Classroom, a: int, b: int) -> Iterator[int]:
    """Rows of the pool that may be either class, those first that are most likely both."""
    probs = room.has.pool_probs
    if not len(probs):
        return
    both = np.minimum(probs[:, a], probs[:, b])
    seen: set[str] = set()
    for row in np.argsort(-both, kind="stable").tolist():
        said = " ".join(room.has.pool_texts[row].split())
        if both[row] < EITHER or len(seen) == CASES // 2:
            return
        if said not in seen:
            seen.add(said)
            yield row


def _by_side(room: Classroom, rows: Ints) -> Ints:
    """Rows of either label in turn."""
    sides = [rows[room.has.y[rows] == c] for c in np.unique(room.has.y[rows])]
    longest = max((len(side) for side in sides), default=0)
    found = [int(side[i]) for i in range(longest) for side in sides if i < len(side)]
    return np.array(found, np.int64)


def _surprise(room: Classroom, rows: Ints) -> np.ndarray:
    """How sure the model is of something else than the label."""
    probs = room.has.probs[rows]
    return np.asarray(probs.max(axis=1) - probs[np.arange(len(rows)), room.has.y[rows]])


def _slices(room: Classroom) -> Iterator[_Found]:
    """Words, labels and declared columns whose rows are wrong more often than others, beyond chance."""
    at = np.flatnonzero(_own(room))
    wrong = (room.predicted != room.has.y)[at]
    names, members = [], []
    for kind, name, mask in _members(room, at):
        names.append((kind, name))
        members.append(mask)
    if not members:
        return
    rows = np.array([mask.sum() for mask in members])
    errors = np.array([(mask & wrong).sum() for mask in members])
    for one in worst(rows, errors, len(at), int(wrong.sum()))[: 2 * CLUSTERS]:
        kind, name = names[one.at]
        missed = at[members[one.at] & wrong]
        if _one_pair(room, missed):
            continue
        missed = missed[np.argsort(-_surprise(room, missed), kind="stable")]
        what: Kind = "word" if kind == "word" else "label" if kind == "label" else "column"
        values = {"name": name, "column": kind.removeprefix("column ")}
        labels = (name,) if what == "label" else tuple(_labels(room, missed, False))
        yield _Found(
            kind=what, values=values, labels=labels, rows=missed, wrong=missed, lost=one.excess, of=len(at)
        )


def _one_pair(room: Classroom, rows: Ints) -> bool:
    """Whether most errors are one pair of classes: that is a topic of its own, and says more."""
    pairs = Counter(frozenset(pair) for pair in zip(room.has.y[rows], room.predicted[rows], strict=True))
    return max(pairs.values(), default=0) > PAIRED * len(rows)


def _members(room: Classroom, at: Ints) -> Iterator[tuple[str, str, np.ndarray]]:
    for column, values in room.has.slices.items():
        yield from by_value(f"column {column}", values[at])
    yield from by_value("label", np.array(room.has.classes, object)[room.has.y[at]])
    yield from by_word([room.has.texts[i] for i in at.tolist()])


def _labels(room: Classroom, rows: Ints, pooled: bool, most: int = 4) -> list[str]:
    """The labels that rows have or are taken for, the commonest first."""
    if pooled:
        counts = Counter(room.has.pool_probs[rows].argmax(axis=1).tolist())
    else:
        counts = Counter([*room.has.y[rows].tolist(), *room.predicted[rows].tolist()])
    return [room.has.classes[c] for c, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]]


def _clusters(room: Classroom) -> Iterator[_Found]:
    """Errors that say something alike, whatever their labels."""
    own = _own(room)
    wrong = np.flatnonzero(own & (room.predicted != room.has.y))
    doubt = np.clip(_surprise(room, wrong), 0.25, 1.0).astype(np.float64)
    for one in proposals([room.has.texts[i] for i in wrong.tolist()], doubt, [], CLUSTERS):
        rows = wrong[one.rows]
        labels = tuple(_labels(room, rows, False))
        name = one.name.replace("_", " ")
        if name == "?" or _one_pair(room, rows):  # nothing that they have in common can be said
            continue
        yield _Found(
            kind="cluster", values={"name": name}, labels=labels, rows=rows, wrong=rows, lost=len(rows),
            of=int(own.sum()),
        )  # fmt: skip


def _twins(room: Classroom) -> Iterator[_Found]:
    """One text under two labels: at most one is right."""
    texts: dict[str, int] = {}
    starts, joined = room.said.codes.starts, room.said.joined
    same = np.array(
        [texts.setdefault(joined[starts[i] : starts[i + 1]], i) for i in range(len(room.said))], np.int64
    )
    labels = np.array(room.has.classes, object)[room.has.y]
    by_labels: dict[tuple[str, ...], list[Ints]] = {}
    for rows in contradictions(same, labels):
        by_labels.setdefault(tuple(sorted(set(labels[rows].tolist()))), []).append(rows)
    for names, parts in by_labels.items():
        lost = sum(len(rows) - max(Counter(labels[rows].tolist()).values()) for rows in parts)
        rows = np.concatenate([_by_side(room, part)[:2] for part in parts])
        values = {"first": names[0], "second": names[1], "count": str(len(parts))}
        whole = np.concatenate(parts)
        yield _Found(
            kind="twins", values=values, labels=names, rows=rows, wrong=whole, lost=lost, of=len(room.has.y)
        )


def _pool(room: Classroom) -> Iterator[_Found]:
    """Rows without a label: likely new classes, and what the model cannot decide."""
    has = room.has
    if not len(has.pool_ids):
        return
    sure = has.pool_probs.max(axis=1).astype(np.float64)
    known = [has.texts[i] for i in np.linspace(0, len(has.texts) - 1, min(KNOWN, len(has.texts))).astype(int)]
    foreign = has.pool_scope < FITS
    texts = list(has.pool_texts)
    for kind, doubt, near in (
        ("new_class", np.where(foreign, 1 - sure * has.pool_scope, 0.0), known),
        ("unsure", np.where(foreign, 0.0, 1 - sure), []),
    ):
        for one in (found for found in proposals(texts, doubt, near, CLUSTERS) if found.name != "?"):
            yield _pooled(room, kind, one, doubt)  # type: ignore[arg-type]


def _pooled(room: Classroom, kind: Kind, one: Proposal, doubt: np.ndarray) -> _Found:
    labels = tuple(_labels(room, one.rows, True))
    lost = float(doubt[one.rows].sum())
    values = {"name": one.name.replace("_", " ")}
    rows = np.asarray(one.rows, np.int64)
    return _Found(
        kind=kind, values=values, labels=labels, rows=rows, wrong=rows, lost=lost, of=len(doubt), pooled=True
    )


# --------------------------------------------------------------------------- what is told


def _told(room: Classroom, one: _Found, seed: int) -> Topic:
    values = dict(zip(one.values, shortened(list(one.values.values())), strict=True))
    name = fingerprint(one.kind, list(one.labels), values)
    rows = _distinct(room, one, named_seed(seed, name))
    return Topic(
        id=name,
        kind=one.kind,
        labels=one.labels,
        words=tuple(_words(room, one)),
        values=values,
        errors=max(round(one.lost), 1) if len(one.wrong) else 0,
        rows=one.of,
        worth=one.lost / one.of,
        cases=tuple(_mixed(room, rows[: CASES - len(one.also)].tolist(), one)),
    )


def _mixed(room: Classroom, rows: list[int], one: _Found) -> Iterator[Asked]:
    """Labelled rows, which may be wrong, and rows of the pool, which teach something new, in turn."""
    sides = list(asked(room, rows, one.pooled)), list(asked(room, list(one.also), True))
    for both in zip_longest(*sides):
        yield from (case for case in both if case is not None)


def _distinct(room: Classroom, one: _Found, seed: int) -> Ints:
    """Rows of which no two say nearly the same, but twins: the most telling half, then some of the others."""
    if one.kind == "twins":
        return one.rows
    if not one.pooled:
        _, first = np.unique(room.has.groups[one.rows], return_index=True)
        rows = one.rows[np.sort(first)]
    else:
        said = [" ".join(room.has.pool_texts[i].split()) for i in one.rows.tolist()]
        rows = one.rows[sorted({text: i for i, text in reversed(list(enumerate(said)))}.values())]
    half = rows[: CASES // 2]
    rest = rows[CASES // 2 :]
    return np.concatenate([half, rest[np.random.default_rng(seed).permutation(len(rest))]])


def _words(room: Classroom, one: _Found) -> Iterator[tuple[str, int, int]]:
    """Words of the first label's rows against those of the others, and the other way round."""
    if one.kind not in ("confused", "twins"):
        return
    sides = [room.has.y == room.has.classes.index(label) for label in one.labels[:2]]
    for a, b, turned in ((sides[0], sides[1], False), (sides[1], sides[0], True)):
        for word in telling(room.said, a, b, 3):
            counts = (word.others, word.mine) if turned else (word.mine, word.others)
            yield shortened([word.term])[0], *counts


def asked(room: Classroom, rows: Sequence[int], pooled: bool) -> Iterator[Asked]:
    """Rows as cases."""
    has = room.has
    ids, texts = (has.pool_ids, has.pool_texts) if pooled else (has.ids, has.texts)
    probs = has.pool_probs if pooled else has.probs
    for row, said in zip(rows, shortened([texts[i] for i in rows]), strict=True):
        best = int(probs[row].argmax())
        yield Asked(
            id=ids[row].tobytes().hex(),
            text=said,
            label=None if pooled else has.classes[int(has.y[row])],
            said=has.classes[best],
            sure=round(float(probs[row, best]), 3),
        )


def without(found: Sequence[Topic], ids: set[str]) -> list[Topic]:
    """Topics without cases that somebody has answered already; one without any case is none."""
    left = (replace(one, cases=tuple(case for case in one.cases if case.id not in ids)) for one in found)
    return [one for one in left if one.cases]
