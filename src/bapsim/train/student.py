"""A small student of a model of texts: hashed n-grams, one hidden layer, no vocabulary.

It learns what people labelled, and what its teacher says of texts that nobody labelled: on the labelled texts
alone a teacher's opinion adds nothing (docs/results/edge.md). Adam (Kingma and Ba 2015) over sparse rows in
numpy; the constants come from a fit that held a tenth of people's rows out. A hidden layer learns the squares
of a few hundred numbers by heart: a student of numbers is a line over the same columns, by ridge regression.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import Damaged, InputError, NotEnough
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows, rows_of
from bapsim.text import features
from bapsim.text.features import Spec
from bapsim.text.targets import labels_in, memberships, numbers_of, written
from bapsim.train import linear, multilabel, number, text
from bapsim.train.in_parts import in_parts
from bapsim.train.linear import BATCH, VECTORS, Floats
from bapsim.train.table import answer
from bapsim.train.trees import one_thread

LOADER = "bapsim.train.student:load"
TABLE = 1 << 19  # weights of the table: half a megabyte as int8
MANY = 16  # classes from which more directions pay than rows of the table
STEPS, EPOCHS = 3_000, (10, 30)
FEWEST = 400  # steps, however few the rows
AT_ONCE, RATE = 256, 0.03
ALPHA = 0.3  # of the ridge: columns do not depend on the target's unit
OWN = 0.5  # share of a person's label in the target of a row, the teacher has the rest
Floats32 = NDArray[np.float32]


class Net(NamedTuple):
    """table float32[buckets, r], bias float32[r], weights float32[r, k], last float32[k]."""

    table: Floats32
    bias: Floats32
    weights: Floats32
    last: Floats32

    def scores(self, x: Any) -> Floats:
        """float64[n, k] of rows CSR[n, buckets]."""
        wide = [part.astype(np.float64) for part in self]
        with one_thread():
            hidden = np.maximum(x.astype(np.float64) @ wide[0] + wide[1], 0)
            return np.asarray(hidden @ wide[2] + wide[3])


# --- arrays in, arrays out ------------------------------------------------------------------------


def bucketed(texts: Sequence[str | None], spec: Spec, buckets: int) -> Any:
    """CSR float32[n, buckets]: docs/features.md, section 6; an n-gram's column is a part of its hash."""
    from scipy.sparse import csr_matrix

    n, tf = len(texts), features.tf_weights(spec.tf_limit)
    parts = []
    for block, found in enumerate(features.grams(texts, spec)):
        column = found.hashes & np.uint32(buckets - 1)
        if block:
            column = found.hashes >> np.uint32(33 - buckets.bit_length())
        place = np.repeat(np.arange(n), np.diff(found.indptr)) * buckets + column
        place, which = np.unique(place, return_inverse=True)
        count = np.minimum(np.bincount(which, found.counts, len(place)), spec.tf_limit).astype(np.int64)
        row, value = place // buckets, tf[count]
        square = np.bincount(row, value.astype(np.float64) ** 2, n)
        length = 1.0 if block else spec.word_share
        scale = (length / np.sqrt(np.where(square > 0, square, 1.0))).astype(np.float32)
        parts.append((row, place % buckets, value * scale[row]))
    row, column, value = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")  # the word block before the characters, as a device has them
    indptr = np.searchsorted(row[order], np.arange(n + 1))
    return csr_matrix((value[order], column[order], indptr), (n, buckets))


def shape(k: int) -> tuple[int, int]:
    """Rows of the table and width of the hidden layer, for k scores."""
    hidden = 32 if k > MANY else 16
    return TABLE // hidden, hidden


def line(x: Any, value: Floats) -> Net:
    """Ridge regression of numbers float64[n] as a net: what passes max(0, .) of w and of -w is the line."""
    from sklearn.linear_model import Ridge

    value = number.tamed(value)
    centre = float(value.mean())
    with one_thread():
        ridge = Ridge(alpha=ALPHA, solver="sparse_cg", tol=1e-4, max_iter=1000)
        ridge.fit(x.astype(np.float64), value - centre)
    both, shift = np.array([[1.0, -1.0]], np.float32), np.float32(ridge.intercept_ + centre)
    table = np.asarray(ridge.coef_, np.float32)[:, None] * both
    return Net(table, shift * both[0], both.T.copy(), np.zeros(1, np.float32))


def fit(x: Any, target: Floats32, kind: str, hidden: int, seed: int) -> Net:
    """A net from rows CSR[n, buckets] and probabilities float32[n, k]."""
    rng, n, k = np.random.default_rng(seed), x.shape[0], target.shape[1]
    parts = [
        (0.3 * rng.standard_normal((x.shape[1], hidden))).astype(np.float32),
        np.full(hidden, 0.1, np.float32),
        (rng.standard_normal((hidden, k)) / np.sqrt(hidden)).astype(np.float32),
        np.zeros(k, np.float32),
    ]
    first, second = ([np.zeros_like(part) for part in parts] for _ in range(2))
    batches = -(-n // AT_ONCE)
    epochs = max(int(np.clip(STEPS // batches, *EPOCHS)), -(-FEWEST // batches))
    total, step = batches * epochs, 0
    with one_thread():
        while step < total:
            order = rng.permutation(n)
            for at in range(0, n, AT_ONCE):
                some = order[at : at + AT_ONCE]
                slopes = _slopes(parts, x[some], target[some], kind)
                step += 1
                rate = RATE * (1 - (step - 1) / total)
                for i, slope in enumerate(slopes):
                    first[i] += 0.1 * (slope - first[i])
                    second[i] += 0.01 * (slope * slope - second[i])
                    size = np.sqrt(second[i] / (1 - 0.99**step)) + 1e-8
                    parts[i] -= rate * (first[i] / (1 - 0.9**step)) / size
    return Net(*parts)


def _slopes(parts: Sequence[Floats32], x: Any, target: Floats32, kind: str) -> list[Floats32]:
    table, bias, weights, last = parts
    inside = x @ table + bias
    seen = np.maximum(inside, 0)
    score = seen @ weights + last
    if kind == "class":
        said = text.softmax(score).astype(np.float32)
    else:
        said = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
    back = (said - target) / np.float32(len(target))
    deeper = (back @ weights.T) * (inside > 0)
    return [x.T @ deeper, deeper.sum(axis=0), seen.T @ back, back.sum(axis=0)]


# --- the model ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """A respondent over text columns; a text without any n-gram gets the class frequencies, in_scope 0.

    said: prior (or median) and calibration, as the kind of answer has them.
    """

    answer: str
    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    spec: Spec
    net: Net
    said: dict[str, Any]

    @property
    def buckets(self) -> int:
        return len(self.net.table)

    def __call__(self, rows: Rows, /) -> Answers:
        return in_parts(self._part, rows, BATCH)

    def _part(self, rows: Rows) -> Answers:
        x = bucketed(linear.read(rows, self.inputs), self.spec, self.buckets)
        told = self.judge(x)
        if self.answer == "class":
            return answer(self.classes, *told)
        if self.answer == "labels":
            platt = multilabel.platt_of(self.said["calibration"]["platt"])
            return multilabel.answer_sets(self.classes, *told, platt)
        reading = number.reading_of(self.said["calibration"]["reading"])
        return number.answer_numbers(told[0], np.zeros(len(rows)), told[1], reading)

    def judge(self, x: Any) -> tuple[Floats, Floats]:
        """Probabilities float64[n, k] (of numbers: scores float64[n]) and in_scope float64[n]."""
        c, known = self.said["calibration"], np.diff(x.indptr) > 0
        scores = self.net.scores(x)
        if self.answer == "number":
            scope = linear.scaled(np.ones(len(known)), known, c["low"], c["middle"])
            return np.where(known, scores[:, 0], self.said["median"]), scope
        measure = scores.max(axis=1, initial=-np.inf)
        scope, prior = linear.scaled(measure, known, c["low"], c["middle"]), np.array(self.said["prior"])
        if self.answer == "class":
            constants = text.Calibration(**{k: v for k, v in c.items() if k != "knee"})
            return text.probabilities(scores, known, prior, constants), scope
        probs = multilabel.probabilities(scores, multilabel.platt_of(c["platt"]))
        return np.where(known[:, None], probs, prior), scope

    def save(self, folder: Path) -> None:
        """net.npz, model.json, and vectors.json: made-up texts and what is said of them."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "net.npz", **self.net._asdict())
        about: dict[str, Any] = {"loader": LOADER, "answer": self.answer, "classes": self.classes}
        about |= {"inputs": self.inputs, "spec": self.spec.json(), "said": self.said}
        for name, value in {"model": about, "vectors": _vectors(self)}.items():
            (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def _vectors(student: Student) -> list[Any]:
    told, _ = student.judge(bucketed(VECTORS, student.spec, student.buckets))
    return list(told.tolist())


def load(folder: Path) -> Student:
    """The student in a folder; Damaged if it does not answer its test vectors as it did when it was saved."""
    about = json.loads((folder / "model.json").read_text("utf-8"))
    told = about["spec"]
    spec = Spec(words=tuple(told["words"]), chars=tuple(told["chars"]))
    with np.load(folder / "net.npz", allow_pickle=False) as file:
        net = Net(*(file[name] for name in Net._fields))
    student = Student(
        answer=about["answer"],
        classes=tuple(about["classes"]),
        inputs=tuple(about["inputs"]),
        spec=spec,
        net=net,
        said=about["said"],
    )
    expected = np.array(json.loads((folder / "vectors.json").read_text("utf-8")))
    reach = 1e-6 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    if (
        told != json.loads(json.dumps(spec.json()))
        or np.abs(np.array(_vectors(student)) - expected).max() > reach
    ):
        raise Damaged("text_model_differs", path=str(folder))
    return student


# --- the trainer ----------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """What a mixture and a teacher teach: targets float32[n, k], people's own targets, and which rows
    people labelled; of numbers half the teacher's interval, float64[n].
    """

    classes: tuple[str, ...]
    target: Floats32
    own: NDArray[Any]
    people: NDArray[np.bool_]
    unsure: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """Trainer of students; see `distilled`."""

    spec: Spec = field(default_factory=Spec)

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Model:
        """Two fits: one without a tenth of people's rows, whose scores of them give the constants."""
        task = mixture.task
        if task.kind != "text":
            raise InputError("student_texts", kind=task.kind)
        taught = lesson(parent, mixture)
        buckets, hidden = (TABLE // 2, 2) if task.answer == "number" else shape(taught.target.shape[1])
        x = bucketed(linear.read(Rows(mixture.records), task.inputs), self.spec, buckets)

        def fitted(rows: Any) -> Net:
            if task.answer == "number":
                return line(x[rows], taught.target[rows, 0].astype(np.float64))
            return fit(x[rows], taught.target[rows], task.answer, hidden, seed)

        every = np.arange(x.shape[0])
        held = (every if taught.unsure is not None else np.flatnonzero(taught.people))[::10]
        trial = fitted(np.setdiff1d(every, held))
        said = constants(taught, task.answer, held, trial.scores(x[held]))
        net = fitted(every)
        return Student(
            answer=task.answer,
            classes=taught.classes,
            inputs=task.inputs,
            spec=self.spec,
            net=net,
            said=said,
        )


def distilled() -> Distilled:
    """A student of the model that is given as parent, half a megabyte as int8, without a vocabulary.

    Rows whose target a machine gave (depth 1 and more) are learnt from the teacher alone; give it a pool of
    texts that nobody labelled. Without a parent it learns the labels. The seed decides the first weights and
    the order of rows.
    """
    return Distilled()


def lesson(teacher: Model | None, mixture: Mixture) -> Lesson:
    """Targets of all rows: people's labels and the teacher's opinion; NotEnough without people's labels.

    A label that counts for less (mixture.weight below 1) leaves more to the teacher. Numbers are learnt from
    the teacher alone: people's own are its answers and an error that no text explains.
    """
    task, records = mixture.task, mixture.records
    said = written(records.column(task.target), task.answer)
    depth = numbers(records.column("_target_depth")) if "_target_depth" in records.schema.names else None
    people = np.array([one is not None for one in said], bool)
    if depth is not None:
        people &= depth == 0
    if not people.any():
        raise NotEnough("one_class", rows=0, classes="-")
    names = teacher.classes if teacher is not None else _names(said, task.answer)
    if task.answer == "number":
        own = np.where(people, numbers_of(said), 0.0)
        return _numbers(own, people, None if teacher is None else teacher(rows_of(records, task.inputs)))
    opinion = None if teacher is None else _opinion(teacher, mixture)
    own = _marked([one if here else None for one, here in zip(said, people, strict=True)], names, task.answer)
    heard = people & (own.any(axis=1) | (task.answer == "labels"))
    trust = np.ones(len(said)) if mixture.weight is None else np.clip(mixture.weight, 0.0, 1.0)
    share = np.where(heard, 1.0 if opinion is None else OWN * trust, 0.0)[:, None]
    target = share * own + (0.0 if opinion is None else (1 - share) * opinion)
    return Lesson(tuple(names), target.astype(np.float32), own, people)


def _numbers(own: Floats, people: NDArray[np.bool_], told: Answers | None) -> Lesson:
    """Numbers as the teacher says them; without one, as people do, and the median where they did not."""
    if told is None:
        target = np.where(people, own, np.median(own[people]))[:, None].astype(np.float32)
        return Lesson((), target, own[:, None], people)
    value, low, high = (numbers(told.column(name)) for name in ("prediction", "low", "high"))
    half = np.maximum(high - value, value - low)
    return Lesson((), value[:, None].astype(np.float32), own[:, None], people, half)


def _names(said: Sequence[str | None], kind: str) -> tuple[str, ...]:
    there = [one for one in said if one is not None]
    return tuple(labels_in(there) if kind == "labels" else sorted(set(there)))


def _opinion(teacher: Model, mixture: Mixture) -> Floats:
    """What the teacher says of all rows: probabilities float64[n, k]."""
    told = teacher(rows_of(mixture.records, mixture.task.inputs))
    if "probs" in told.schema.names:
        flat: Any = told.column("probs")
        return np.asarray(flat.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(len(told), -1)
    return _marked(strings(told.column("prediction")), teacher.classes, mixture.task.answer)


def _marked(said: Sequence[str | None], names: Sequence[str], kind: str) -> Floats:
    """float64[n, k]: 1 at the class, or at each label of the set."""
    if kind == "labels":
        return memberships(said, names).astype(np.float64)
    place = {name: j for j, name in enumerate(names)}
    found = np.zeros((len(said), len(names)))
    for i, one in enumerate(said):
        if one is not None and one in place:
            found[i, place[one]] = 1.0
    return found


def constants(taught: Lesson, kind: str, held: NDArray[np.int64], scores: Floats) -> dict[str, Any]:
    """Prior and calibration from the rows that a trial held out.

    A teacher's answers of the pool know what people said of held rows, so errors there are too small: an
    interval of numbers is the teacher's own, and how far the trial is from its answers besides.
    """
    own, mine = taught.own[held], taught.own[taught.people]
    weight = np.ones(len(held))
    if kind == "number":
        value = mine[:, 0]
        ends = float(value.min()), float(value.max())
        if taught.unsure is None:
            reading = number.fit(scores[:, 0], np.zeros(len(held)), own[:, 0], *ends)
        else:
            apart = np.abs(np.clip(scores[:, 0], *ends) - taught.target[held, 0]) + taught.unsure[held]
            reading = number.Reading(least=ends[0], most=ends[1], halves=(number.conformal(apart),))
        calibration = {"reading": asdict(reading), "low": 0.0, "middle": 1.0}
        return {"median": float(np.median(value)), "calibration": calibration}
    low, middle = linear.quantiles(scores.max(axis=1, initial=-np.inf))
    if kind == "labels":
        least = int(mine.any(axis=1).all())
        platt = multilabel.calibrate(scores, own > 0, weight, least, start=1.0)
        prior = (mine.sum(axis=0) + 1) / (len(mine) + 2)
        ends_of = {"platt": asdict(platt), "low": low, "middle": middle}
        return {"prior": prior.tolist(), "calibration": ends_of}
    prior = mine.sum(axis=0) + 0.5
    prior = prior / prior.sum()
    heard = own.any(axis=1)
    y = own[heard].argmax(axis=1)
    fitted = text.calibrate(scores[heard], y, weight[heard], prior, np.zeros(int(heard.sum())), 0.0)
    fitted = replace(fitted, low=low, middle=middle)
    return {"prior": prior.tolist(), "calibration": {**asdict(fitted), "knee": text.KNEE}}
