"""What lines of people would change: heads fitted again with them, held against rows that nobody was shown.

Both sides of the comparison are fitted in the same way, one with the lines and one without, so that what
differs is what the lines say and not how a fit went. Each row is answered by heads that saw neither it nor
anything that says nearly the same. Rows that the lines are about prove nothing, and are not counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import BapsimError, text
from bapsim.core.fingerprint import digest
from bapsim.core.records import Rows
from bapsim.store.stated import LEAST, Stated, agreed_labels, at_most
from bapsim.text.pii import scrub
from bapsim.text.rules import Fit, fit_of, matching, rule_of
from bapsim.train import refit
from bapsim.train.refit import Fitted
from bapsim.wheel.lesson import WARM, Classroom, Floats, Ints, Stop, side_by_side

SHOWN = 20  # cases of a kind that are listed
LONGEST = 220  # characters of one
MASS = 0.02  # of a class, in what the rows that are added may be taken for: less changes no head
NEAR = 0.9  # cosine from which on an example and a row are one thing
REMEMBERED = 64  # lessons

Line = Mapping[str, Any]
Shares = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row whose answer changes: its id (hex digits), its text without personal data, its label."""

    id: str
    text: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """What one rule does: `fit` on rows that were not shown; missed: rows with its label that it is about and
    that the model gets wrong; mended: of these, those that are right now; broken: rows that it is about, with
    another label, that the model gets right; taught: rows of the pool that it labels; held: why it labels
    none: "weak", "no_rows", "" = it does.
    """

    line: str
    label: str
    fit: Fit
    missed: int
    mended: int
    broken: int
    taught: int
    held: str


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What lines change on `rows` rows: newly right and newly wrong, how many and some of each; by label;
    points of accuracy with their 95 % interval, on rows that nobody picked.

    ignored: lines that teach nothing here, and why; refitted: classes whose heads were fitted again; left:
    further ones that lines bear upon, for which the seconds do not suffice; stand_in: a head on
    n-grams stood in for another kind of model.
    """

    rows: int
    right: int
    wrong: int
    now_right: tuple[Case, ...]
    now_wrong: tuple[Case, ...]
    by_label: Mapping[str, tuple[int, int]]
    gain: float
    low: float
    high: float
    rules: tuple[Ruled, ...]
    ignored: tuple[tuple[str, str], ...]
    refitted: tuple[str, ...]
    left: int
    stand_in: bool

    def json(self) -> dict[str, Any]:
        """As plain values."""
        rules = [{**vars(one), "fit": one.fit.json()} for one in self.rules]
        cases = {name: [vars(one) for one in getattr(self, name)] for name in ("now_right", "now_wrong")}
        return {**vars(self), **cases, "rules": rules, "by_label": dict(self.by_label)}


# --------------------------------------------------------------------------- what lines teach


@dataclass(kw_only=True)
class _Taught:
    """Rows that lines add: texts, shares of labels, the fold that must not see each (-1 = none).

    changed: rows whose label they replace; shown: rows that prove nothing any more.
    """

    texts: list[str] = field(default_factory=list)
    shares: list[Shares] = field(default_factory=list)
    probs: list[np.ndarray] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    changed: dict[int, list[Shares]] = field(default_factory=dict)
    pool: dict[int, list[Shares]] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    rules: list[Stated] = field(default_factory=list)
    by_rule: dict[int, int] = field(default_factory=dict)  # rows of the pool, and which rule labels each
    ignored: list[tuple[str, str]] = field(default_factory=list)


def _taught(room: Classroom, lines: Sequence[Line]) -> _Taught:
    found = _Taught()
    for line in lines:
        why = _take(room, line, found)
        if why:
            found.ignored.append((str(line.get("id", "")), why))
    for row, said in found.pool.items():
        found.texts.append(room.has.pool_texts[row])
        found.shares.append(_mean(said))
        found.probs.append(room.has.pool_probs[row])
        found.folds.append(int(room.has.pool_folds[row]))
    _by_rules(room, found)
    return found


def _take(room: Classroom, line: Line, found: _Taught) -> str:
    """What one line adds; why it adds nothing, or ""."""
    for name in line.get("parents") or ():
        row, pooled = room.place(name)
        found.shown |= set() if pooled or row < 0 else {row}
    kind = line.get("kind")
    if kind == "rule":
        return _rule(line, found)
    if kind == "vote" and line.get("blind"):
        return "blind"
    shares = _shares(line)
    if kind not in ("vote", "example", "view"):
        return "kind"
    if not shares:
        return "no_label"
    if line.get("question"):
        return _about(room, line, shares, found)
    return _new(room, line, shares, found)


def _rule(line: Line, found: _Taught) -> str:
    try:
        rule = rule_of(line.get("rule"))
    except BapsimError:
        return "no_rule"
    label = str(line.get("label") or "").strip()
    if not label:
        return "no_label"
    names = {name: str(line.get(name) or "") for name in ("consent", "person", "text")}
    found.rules.append(Stated(line=str(line.get("id", "")), rule=rule, label=label, **names))
    return ""


def _shares(line: Line) -> Shares:
    """What a line says a row is, by label; empty: nothing."""
    if line.get("kind") == "view":
        given = line.get("distribution") or {}
        whole = sum(v for v in given.values() if isinstance(v, int | float) and v > 0)
        return {str(k): v / whole for k, v in given.items() if isinstance(v, int | float) and v > 0}
    said = line.get("said") if line.get("kind") == "vote" else line.get("target")
    if line.get("cannot_tell") or not isinstance(said, str) or not said.strip():
        return {}
    return {said.strip(): 1.0}


def _about(room: Classroom, line: Line, shares: Shares, found: _Taught) -> str:
    row, pooled = room.place(line["question"])
    if row < 0:
        return "unknown_row"
    if pooled:
        found.pool.setdefault(row, []).append(shares)
    else:
        found.changed.setdefault(row, []).append(shares)
        found.shown.add(row)
    return ""


def _new(room: Classroom, line: Line, shares: Shares, found: _Taught) -> str:
    """An example of its own; a row that says the same proves nothing, and its fold does not see it."""
    given = line.get("input")
    cells = [given.get(name) for name in room.has.inputs] if isinstance(given, Mapping) else []
    if not cells or not any(isinstance(cell, str) and cell.strip() for cell in cells):
        return "no_input"
    said = [cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else "" for cell in cells]
    batch = {name: pa.array([cell], pa.string()) for name, cell in zip(room.has.inputs, said, strict=True)}
    one = " ".join(said)
    near = np.asarray((room.x @ room.vectors([one]).T).todense()).ravel() / (1 + room.has.spec.word_share**2)
    alike = np.flatnonzero(near >= NEAR).tolist()
    found.shown |= set(alike)
    found.texts.append(one)
    found.shares.append(shares)
    found.probs.append(room.has.read(Rows(pa.record_batch(batch)))[0][0])
    found.folds.append(int(room.has.folds[alike[0]]) if alike else -1)
    return ""


def _by_rules(room: Classroom, found: _Taught) -> None:
    """Rows of the pool that firm rules label, as `gather.rules` will."""
    proof = proof_rows(room, found.shown)
    fits = [_fit(room, one, proof) for one in found.rules]
    firm = [i for i, fit in enumerate(fits) if fit.sure >= LEAST]
    rules = [found.rules[i] for i in firm]
    if not rules or not len(room.has.pool_ids):
        return
    labels = [room.has.classes[c] for c in room.has.y[room.has.proof].tolist()]
    said = agreed_labels(rules, room.pool_said)
    for row in np.flatnonzero(at_most(said, rules, room.has.pool_ids, Counter(labels))).tolist():
        if row in found.pool:  # a person's word stands
            continue
        found.by_rule[row] = firm[int(said[row])]
        found.texts.append(room.has.pool_texts[row])
        found.shares.append({rules[int(said[row])].label: 1.0})
        found.probs.append(room.has.pool_probs[row])
        found.folds.append(int(room.has.pool_folds[row]))


def _fit(room: Classroom, one: Stated, proof: np.ndarray) -> Fit:
    labels = np.array([*room.has.classes, None], object)[np.where(proof, room.has.y, -1)]
    return fit_of(matching(one.rule, room.said), labels, one.label)


def proof_rows(room: Classroom, shown: set[int]) -> np.ndarray:
    """bool[n]: people's rows that say nothing like one that was shown."""
    groups = room.has.groups
    return np.asarray(room.has.proof & ~np.isin(groups, groups[sorted(shown)]) & (room.has.folds >= 0))


def _mean(said: Sequence[Shares]) -> Shares:
    total: Counter[str] = Counter()
    for one in said:
        total.update(one)
    return {label: share / len(said) for label, share in total.items()}


# --------------------------------------------------------------------------- heads with what was taught


class _Extra(NamedTuple):
    """What is added to the rows, once for each label that it may have: its vector, the label's place, weight,
    fold that must not see it; changed: rows that it takes the place of; names: classes that are new.
    """

    x: Any
    label: Ints
    weight: NDArray[np.float32]
    fold: Ints
    changed: Ints
    names: tuple[str, ...]
    mass: Floats


def _extra(room: Classroom, taught: _Taught) -> _Extra:
    from scipy.sparse import vstack

    has = room.has
    changed = sorted(taught.changed)
    shares = [*taught.shares, *(_mean(taught.changed[row]) for row in changed)]
    folds = [*taught.folds, *has.folds[changed].tolist()]
    weight = np.concatenate([np.ones(len(taught.texts)), np.maximum(has.weight[changed], 1.0)])
    given = dict.fromkeys(label for one in shares for label in one)
    names = tuple(one for one in given if one not in has.classes)
    place = {name: i for i, name in enumerate([*has.classes, *names])}
    x = vstack([room.vectors(taught.texts), room.x[changed]]).tocsr()
    copies = [(i, place[name], share) for i, one in enumerate(shares) for name, share in one.items()]
    at = np.array([i for i, _, _ in copies], np.int64)
    label = np.array([c for _, c, _ in copies], np.int64)
    counts = weight[at] * np.array([share for _, _, share in copies])
    probs = np.zeros((len(shares), len(place)))
    if taught.texts:
        probs[: len(taught.texts), : len(has.classes)] = np.stack(taught.probs)
    probs[len(taught.texts) :, : len(has.classes)] = has.probs[changed]
    mass = (counts[:, None] * probs[at]).sum(axis=0)  # what it may be taken for
    mass += np.bincount(label, counts * (1 - 2 * probs[at, label]), len(place))  # and what it is
    mass += np.bincount(has.y[changed], has.weight[changed], len(place))  # and what it was
    return _Extra(
        x[at],
        label,
        counts.astype(np.float32),
        np.array(folds, np.int64)[at],
        np.array(changed, np.int64),
        names,
        mass,
    )


class _Answered(NamedTuple):
    """What is said of each row once lines were taught: places (int64[n]) among `names`; classes whose heads
    were fitted again; how many more there was no time for.
    """

    said: Ints
    names: tuple[str, ...]
    touched: Ints
    left: int = 0


def _answers(room: Classroom, taught: _Taught, stop: Stop | None) -> _Answered:
    if not taught.texts and not taught.changed:
        return _Answered(room.predicted, room.has.classes, np.empty(0, np.int64))
    extra, k = _extra(room, taught), len(room.has.classes)
    order = np.argsort(-extra.mass, kind="stable")
    wanted = order[extra.mass[order] >= MASS]
    touched = [int(c) for c in wanted[: room.width]]
    known = [c for c in touched if c < k] or [int(order[order < k][0])]
    room.base(known, stop)
    mine = room.apart(touched, len(extra.names))
    jobs = [(c, i) for c in mine for i in range(len(room.fold_names))]
    fits = side_by_side(lambda c, i: _again(room, extra, c, i), jobs, stop)
    logits = np.concatenate([room.logits, np.full((len(room.logits), len(extra.names)), -np.inf)], axis=1)
    for c in mine:
        after = room.held([fits[c, i] for i in range(len(room.fold_names))])
        logits[:, c] = _moved(room, c, known, room.evidence(after))
        if len(mine) == 1 and k == 2:
            logits[:, 1 - c] = _moved(room, 1 - c, known, room.evidence(-after))
    names = (*room.has.classes, *extra.names)
    left = len(wanted) - len(touched)
    return _Answered(np.asarray(logits.argmax(axis=1)), names, np.asarray(touched, np.int64), left)


def _moved(room: Classroom, c: int, known: list[int], after: Floats) -> Floats:
    """The logits of a class: by as much more as its evidence grew; of a new one, as far from a known one as
    their evidence is.
    """
    if c < len(room.has.classes):
        return np.asarray(room.logits[:, c] + after - room.evidence(room.heads[c].held))
    rows = np.arange(len(after))
    best = room.logits[:, known].argmax(axis=1)
    held = room.evidence(np.stack([room.heads[one].held for one in known], axis=1))
    return np.asarray(room.logits[:, known][rows, best] + after - held[rows, best])


def _again(room: Classroom, extra: _Extra, c: int, i: int) -> Fitted:
    """The head of one class and fold with what was taught."""
    fold = room.fold_names[i]
    weight, unit = room.seen_weight(fold)
    weight[extra.changed] = 0
    mine = np.flatnonzero(extra.fold != fold)
    parts = [refit.Rows(room.x, np.where(room.has.y == c, 1, -1).astype(np.float32), weight)]
    if len(mine):
        also = np.where(extra.label[mine] == c, 1, -1).astype(np.float32)
        parts.append(refit.Rows(extra.x[mine], also, extra.weight[mine] * np.float32(unit)))
    start = np.zeros(room.x.shape[1], np.float32), 0.0
    if c < len(room.has.classes):
        start = room.heads[c].fits[i].weights, room.heads[c].fits[i].bias
    return refit.refit(parts, room.has.constants.cost, start, WARM)


# --------------------------------------------------------------------------- the effect


def effect(
    room: Classroom, lines: Sequence[Line], before: Sequence[Line] = (), stop: Stop | None = None
) -> Effect:
    """What `lines` change against `before`, which are some of them: none, or all but the last one.

    Lines are those of people's files (a vote names its row by hex digits); what cannot be used is ignored and
    told so. The same lines are answered from memory: taking one back costs nothing. Raises Superseded where
    `stop` says so.
    """
    (taught, new), (earlier, old) = _known(room, lines, stop), _known(room, before, stop)
    proof = proof_rows(room, taught.shown | earlier.shown)
    names = np.array([*new.names, *(one for one in old.names if one not in new.names)], object)
    gold = names[room.has.y]
    was, now = np.array(old.names, object)[old.said], np.array(new.names, object)[new.said]
    better = proof & (now == gold) & (was != gold)
    worse = proof & (now != gold) & (was == gold)
    diff = better.astype(np.int64) - worse
    mine = proof & room.has.random
    gain, low, high = _points(diff[mine])
    told = (gold, was, now)
    return Effect(
        rows=int(proof.sum()),
        right=int(better.sum()),
        wrong=int(worse.sum()),
        now_right=_cases(room, better, told),
        now_wrong=_cases(room, worse, told),
        by_label={
            str(c): (int((better & (gold == c)).sum()), int((worse & (gold == c)).sum()))
            for c in sorted(set(gold[better | worse].tolist()))
        },
        gain=gain,
        low=low,
        high=high,
        rules=tuple(_ruled(room, taught, proof, told)),
        ignored=tuple(taught.ignored),
        refitted=tuple(str(new.names[c]) for c in new.touched.tolist()),
        left=new.left,
        stand_in=room.has.stand_in,
    )


def _known(room: Classroom, lines: Sequence[Line], stop: Stop | None) -> tuple[_Taught, _Answered]:
    """What lines come to: remembered, so that one taken back is there at once."""
    body = json.dumps([dict(line) for line in lines], sort_keys=True, default=str)
    key = digest(body.encode("utf-8", "surrogatepass"))
    if key not in room.known:
        taught = _taught(room, lines)
        room.known[key] = taught, _answers(room, taught, stop)
        while len(room.known) > REMEMBERED:
            del room.known[next(iter(room.known))]
    else:
        room.known[key] = room.known.pop(key)
    found: tuple[_Taught, _Answered] = room.known[key]
    return found


def _points(diff: NDArray[np.int64]) -> tuple[float, float, float]:
    n = len(diff)
    if not n:
        return 0.0, 0.0, 0.0
    mean = float(diff.mean())
    half = 1.96 * float(np.sqrt(max(float((diff**2).mean()) - mean**2, 0.0) / n))
    return mean, mean - half, mean + half


def _cases(
    room: Classroom, rows: np.ndarray, told: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[Case, ...]:
    """Some of the rows, those of labels with most of them first."""
    at = np.flatnonzero(rows)
    gold, was, now = told
    often = Counter(gold[at].tolist())
    at = at[sorted(range(len(at)), key=lambda i: (-often[gold[at[i]]], str(gold[at[i]]), int(at[i])))][:SHOWN]
    texts = shortened([room.has.texts[i] for i in at.tolist()])
    return tuple(
        Case(
            id=room.has.ids[i].tobytes().hex(),
            text=said,
            label=str(gold[i]),
            before=str(was[i]),
            after=str(now[i]),
        )
        for i, said in zip(at.tolist(), texts, strict=True)
    )


def shortened(texts: Sequence[str]) -> list[str]:
    """Texts as a page shows them: personal data masked, on one line, not endless."""
    lines = [" ".join((one or "").split()) for one in scrub(list(texts))[0]]
    return [one if len(one) <= LONGEST else one[: LONGEST - 1] + "…" for one in lines]


def _ruled(
    room: Classroom, taught: _Taught, proof: np.ndarray, told: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Iterator[Ruled]:
    gold, was, now = told
    counts = Counter(taught.by_rule.values())
    for i, one in enumerate(taught.rules):
        about = matching(one.rule, room.said) & proof
        missed = about & (gold == one.label) & (was != gold)
        fit = _fit(room, one, proof)
        held = "" if counts[i] else "weak" if fit.sure < LEAST else "no_rows"
        yield Ruled(
            line=one.line,
            label=one.label,
            fit=fit,
            missed=int(missed.sum()),
            mended=int((missed & (now == gold)).sum()),
            broken=int((about & (gold != one.label) & (was == gold)).sum()),
            taught=counts[i],
            held=held,
        )


def say_effect(found: Effect, lang: str) -> list[str]:
    """What changed, in sentences; the last rule first."""
    said = []
    for one in found.rules[-1:]:
        counts = {name: getattr(one, name) for name in ("missed", "mended", "broken", "taught")}
        share, low, high = (f"{100 * v:.0f}" for v in one.fit.precision)
        values = {"label": one.label, "share": share, "low": low, "high": high, "matched": one.fit.matched}
        said.append(
            text("lesson.rule" if one.missed else "lesson.rule.none", lang, **counts, wrong=found.wrong)
        )
        said.append(text("lesson.rule.fit", lang, **values, coverage=f"{100 * one.fit.coverage:.1f}"))
        key = f"lesson.rule.{one.held or 'taught'}"
        said.append(text(key, lang, **counts, **values))
    if not found.rules or found.right:
        key = "lesson.changed" if found.right or found.wrong else "lesson.unchanged"
        said.append(text(key, lang, right=found.right, wrong=found.wrong, rows=f"{found.rows:,}"))
    if found.left:
        said.append(text("lesson.left", lang, left=found.left))
    if found.stand_in:
        said.append(text("lesson.stand_in", lang))
    return said
