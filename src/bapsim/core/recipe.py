"""The function types of the loop, and the recipe that names them.

One coincidence removes four frameworks: a model and an expert have the same type, `Respondent`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, concat, take
from bapsim.core.errors import RecipeError
from bapsim.core.records import Answers, Draft, Records, Rows, Scores, Task, Verdicts, abstained, rows_of

if TYPE_CHECKING:
    from bapsim.core.turn import Turn

T = TypeVar("T")

Respondent = Callable[[Rows], Answers]  # a model, an expert, a crowd, a game, a hospital: whoever is asked
Mod = Callable[[Respondent], Respondent]  # redact, retry, cache, limit, meter: policy as an onion
Exchange = Generator[Rows, Answers, T]  # a dialogue without I/O


@runtime_checkable
class Model(Protocol):
    """A respondent that can be saved; `model.json` in its folder names the function that loads it."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __call__(self, rows: Rows, /) -> Answers: ...

    def save(self, folder: Path) -> None: ...


class Dataset(Protocol):
    """A named, ordered, re-readable view of one table's records."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        """All rows in order, refused ones too; `columns` are the user's, certificates always come along."""

    def kept(self) -> Iterator[np.ndarray]:
        """bool[n] for each batch: true where no verdict so far refuses the row."""

    def find(self, ids: Column) -> Records:
        """The records with these ids, in the order of the ids; unknown ids are absent."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What a trainer eats: the rows of one task, in order, each with a weight.

    records: the task's columns and certificates; weight: float32[n] or None (all one).
    """

    task: Task
    records: Records
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.records)


def said_of(who: Respondent, records: Records, task: Task) -> Answers:
    """What a respondent says of records, by their inputs alone.

    Of texts, with `loss`, how little it foresaw the target: nats per UTF-8 byte, so that two vocabularies are
    compared (float64, null for a respondent without `losses`). Of documents nothing else is asked.
    """
    losses = getattr(who, "losses", None) if task.answer == "text" else None
    if task.documents:
        nothing = pa.nulls(len(records), pa.string())
        answers = Answers(pa.record_batch([nothing], names=["prediction"]))
    else:
        answers = who(rows_of(records, task.inputs))
    if losses is None:
        return answers
    nats, size = losses(rows_of(records, list(dict.fromkeys([*task.inputs, task.target]))))
    return Answers(answers.append_column("loss", pa.array(nats / np.maximum(size, 1), pa.float64())))


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """A model and out-of-fold answers of every row it was trained on; both calibrated on the latter."""

    model: Model
    answers: Answers
    fits: int


@runtime_checkable
class CrossFitting(Protocol):
    """A trainer that shares work (features) between its folds and its final fit."""

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """folds: int8[n], the fold in which a row is held out, -1 = never held out (answer is null)."""


@dataclass(frozen=True, kw_only=True)
class Wear:
    """What an exam has been used for, as the ledger has it before the look at hand."""

    version: int
    items: int
    looks: int
    budget: float  # what is left of the false-accept rate that its owner allows


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate says of a candidate, with everything that was weighed.

    reason: a message key `decision.*`; values: what its text names; gain, low, high: points of the metric
    (share, not percent) with their 95 % interval; detectable: the gain that this exam finds with 80 % power;
    missing: exam items that are missing for the gain that was seen.
    """

    verdict: Literal["accept", "refuse", "undecided"]
    reason: str
    values: Mapping[str, Any] = field(default_factory=dict)
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    p_better: float | None = None
    p_worse: float | None = None
    test: str | None = None
    discordance: float | None = None
    items: int = 0
    detectable: float | None = None
    missing: int | None = None


Group = Callable[[Records, "Turn"], list[str | None]]  # of whom each record is
Source = Callable[["Turn"], Iterable[Draft]]  # gather; sees the records of earlier turns
Check = Callable[[Records, "Turn"], Verdicts]  # refine, row by row
Survey = Callable[[Dataset, "Turn"], Iterable[Verdicts]]  # refine, whole set; aligned with all rows
Questions = Callable[[Dataset, "Turn"], Rows]  # compose: rows to ask about: _id, draw, why, prediction
Trainer = Callable[[Model | None, Mixture, int], Model]  # parent: its calibration and constants are kept
Judge = Callable[[Respondent, Mixture], Scores]
Metric = Callable[[Scores], float]
Ship = Callable[[Model, Dataset, "Turn"], Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of putting machine-made rows to people's.

    share: of all rows, at most, that machines made (0 = none); weight: how much each counts beside a person's
    row; rare: only for classes of which people gave fewer rows than the middle one; first: they come before
    people's rows, for trainers that learn in order.
    """

    share: float
    weight: float = 1.0
    rare: bool = False
    first: bool = False


class Composer(Protocol):
    """Which machine-made rows are trained on, with which weight, in which order: ways that are raced."""

    @property
    def depth(self) -> int:
        """Machine hands between a person and a row, at most."""

    def ways(self) -> Sequence[Way]:
        """What is raced beside none at all, the simplest first."""

    def pick(self, raced: Sequence[Raced], *, suspect: bool) -> Way | None:
        """The way that won; None = none. suspect: the rows lie outside what people's rows are like."""


@dataclass(frozen=True, kw_only=True)
class Raced:
    """What one way came to on development rows, against none.

    gain: of the loss, or of right answers, positive = better, with its standard error, over so many rows;
    made: machine-made rows in it.
    """

    way: Way
    gain: float
    error: float
    rows: int
    made: int


class Screening(Protocol):
    """Whether a candidate is worth a look at the exam: z of out-of-fold differences over `rows` rows."""

    @property
    def z(self) -> float: ...
    @property
    def rows(self) -> int: ...
    @property
    def look(self) -> bool: ...


class Gate(Protocol):
    """Decides between the last proven model and a candidate, and how much an exam may be used."""

    @property
    def budget(self) -> float:
        """The false-accept rate that all looks at one exam may sum to."""

    def screen(self, diffs: np.ndarray, groups: np.ndarray | None = None) -> Screening: ...

    def level(self, wear: Wear) -> float:
        """The level of the next look; 0 where the exam is worn and nothing may be looked at."""

    def __call__(self, before: Scores | None, after: Scores, metric: Metric, wear: Wear) -> Decision: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one wheel does, by name; its identity is the fingerprint of all its parts.

    exam: how held-out items are drawn (compose.exam.exam); folds: parts of the out-of-fold table; guideline:
    what people are told of a label, by label: where it changes, the older labels are asked about again;
    weights: by source, how much its rows count in training, 1 where none is given, 0 = left out; when: the
    rule by which a watched project makes a turn (compose.when.when); purposes: what its records are used for:
    those whose terms (store.terms) do not allow all of it are left out, and listed; groups: for whom the
    model may be worse, by name: a column, or a function of records that gives each a value (judge.groups);
    pay: what is owed for people's work (judge.pay.pay), which says nothing about data or models; generators:
    trainers of models that are asked for new rows, by name: trained before anything is gathered, on what
    people made, and given to sources as `turn.models[name]`.
    """

    task: Task
    sources: Mapping[str, Source]
    train: Trainer
    judge: Judge
    metric: Metric
    gate: Gate
    exam: Any
    checks: Mapping[str, Check] = field(default_factory=dict)
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    questions: Questions | None = None
    guideline: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    compose: Composer | None = None
    when: Callable[[Any], Any] | None = None
    folds: int = 5
    seed: int = 0
    purposes: tuple[str, ...] = ("train", "evaluate")
    groups: Mapping[str, str | Group] = field(default_factory=dict, metadata={"identity": False})
    pay: Any = field(default=None, metadata={"identity": False})
    generators: Mapping[str, Trainer] = field(default_factory=dict)


def only(source: str, check: Check) -> Check:
    """A check that speaks only about records of one source."""
    return Only(source=source, check=check)


@dataclass(frozen=True, kw_only=True)
class Only:
    """Restricts a check to one source; it abstains elsewhere."""

    source: str
    check: Check

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        mine = np.isin(records.column("_origin").to_numpy(), list(turn.origins_of(self.source)))
        said = self.check(Records(take(records, mine)), turn)
        if len(said) != mine.sum():
            rows = int(mine.sum())
            raise RecipeError(
                "verdicts_do_not_fit", name=f"only({self.source!r})", rows=rows, verdicts=len(said)
            )
        place = np.where(mine, np.cumsum(mine) - 1, len(said))
        return Verdicts(take(concat([said, abstained(1)]), place))
