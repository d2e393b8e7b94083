"""A model's own attempts at prompts that nobody has answered: to be verified and learnt from.

Expert iteration: sample, verify, keep, train, repeat (Anthony, Tian and Barber 2017; Zelikman et al. 2022).
The source only samples; a verifier of the recipe decides what enters, the race and the gate whether it
helps. Unverified answers of its own teach a model next to nothing (docs/results/selftrain.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, id_bytes, numbers, strings, take, valid
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Model
from bapsim.core.records import CERTIFICATE, Draft, Maker, Origin, Records, Rows, derive, rows_of
from bapsim.core.turn import Turn, named_seed
from bapsim.gather.drawn import identity

METHOD = "attempt:"
LONGEST = 65_536  # characters of an answer; what is longer is no answer
Accepts = Callable[[Mapping[str, Any], str], Any]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One answer: which prompt of those asked, which of its tries, and what was said."""

    prompt: int
    n: int
    answer: str


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """A source of a model's answers to prompts without one; see `attempts`."""

    by: str = "current"
    tries: int = 8
    temperatures: tuple[float, ...] = (0.8, 1.1)
    until: Any = None
    most: int = 5000
    rights: str = "derived"
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        model = turn.models.get(self.by)
        if model is None or not self.most:
            return
        done = solved(turn)
        left = self.most
        for name in sorted(turn.data):
            prompts = unsolved(turn, name, done, left)
            left -= len(prompts)
            for maker, rows in by_maker(prompts):
                yield self._draft(turn, rows, model, maker)

    def _draft(self, turn: Turn, prompts: Records, model: Model, maker: Maker) -> Draft:
        target = turn.task.target
        own = rows_of(prompts, [n for n in rows_of(prompts).schema.names if n != target])
        inputs = Rows(own.select([n for n in turn.task.inputs if n != target]))
        named = identity(model)
        names = [one.tobytes().hex() for one in id_bytes(prompts.column("_id"))]

        def ask(which: Sequence[int], n: int) -> list[str | None]:
            seeds = [named_seed(turn.seed, turn.n, METHOD, named, names[i], n) % 2**63 for i in which]
            return asked(model, Rows(take(inputs, np.array(which, np.int64))), seeds, self._warmth(n))

        accepts = _accepts(self.until, own) if self.until is not None else None
        found = tried(len(prompts), self.tries, ask, accepts)
        rows = written(rows_of(prompts), found, target)
        origin = Origin(
            source=self.by,
            input_maker=maker,
            target_maker="machine",
            method=f"{METHOD}{self.by}:{named}",
            rights=self.rights,
            batch=getattr(model, "version", None),  # of a generator: by which its rows go when it goes
        )
        return derive(
            prompts,
            [[one.prompt] for one in found],
            rows,
            changed=frozenset({"target"}),
            origin=origin,
            keys=[f"{names[one.prompt]}:{turn.n}:{one.n}" for one in found],
        )

    def _warmth(self, n: int) -> float:
        """The temperature of the n-th try: the tries are shared evenly, in order."""
        return self.temperatures[n * len(self.temperatures) // self.tries]


def by_maker(prompts: Records) -> Iterator[tuple[Maker, Records]]:
    """Prompts by who made them, as their depths have it."""
    depth = numbers(prompts.column("_input_depth")) if len(prompts) else np.zeros(0)
    kinds: list[tuple[Maker, np.ndarray]] = [("person", depth == 0), ("machine", depth > 0)]
    for maker, mine in [*kinds, ("unknown", np.isnan(depth))]:
        if mine.any():
            yield maker, Records(take(prompts, mine))


def tried(
    count: int,
    tries: int,
    ask: Callable[[Sequence[int], int], list[str | None]],
    accepts: Callable[[int, str], bool] | None = None,
) -> list[Tried]:
    """Up to `tries` answers to each of `count` prompts, each once; where nothing was said, none.

    ask: answers of these prompts for the n-th time; accepts: a prompt is asked no more once it does.
    """
    open_ = list(range(count))
    known: list[set[str]] = [set() for _ in open_]
    found: list[Tried] = []
    for n in range(tries):
        if not open_:
            break
        right: set[int] = set()
        for i, answer in zip(open_, ask(open_, n), strict=True):
            said = (answer or "").rstrip()  # code that goes on begins with blanks
            if not said or len(said) > LONGEST or said in known[i]:
                continue
            known[i].add(said)
            found.append(Tried(prompt=i, n=n, answer=said))
            if accepts is not None and accepts(i, said):
                right.add(i)
        open_ = [i for i in open_ if i not in right]
    return found


def written(prompts: Rows, found: Sequence[Tried], target: str) -> Rows:
    """The prompts' own columns, in their order, with an answer in the target's."""
    rows = take(prompts, np.array([one.prompt for one in found], np.int64))
    said = pa.array([one.answer for one in found], pa.string())
    if target not in rows.schema.names:
        return Rows(rows.append_column(target, said))
    place = rows.schema.get_field_index(target)
    return Rows(rows.set_column(place, pa.field(target, pa.string()), said))


def asked(model: Model, inputs: Rows, seeds: Sequence[int], temperature: float) -> list[str | None]:
    """What a model says to each row, drawn by its own seed; None where it declines.

    The columns `_seed` and `_temperature` are what language models read; a model that does not read them
    gives the same answer each time, which counts once.
    """
    warm = pa.array([temperature] * len(seeds), pa.float64())
    rows = inputs.append_column("_seed", pa.array(seeds, pa.int64())).append_column("_temperature", warm)
    answers = model(Rows(rows))
    said = strings(answers.column("prediction"))
    if "_status" not in answers.schema.names:
        return said
    status = strings(answers.column("_status"))
    return [one if how in (None, "answered") else None for one, how in zip(said, status, strict=True)]


def _accepts(until: Any, rows: Rows) -> Callable[[int, str], bool]:
    """Whether a verifier, or a function of a row and an answer, takes an answer; one that raises does not."""
    verify: Accepts = getattr(until, "accepts", until)
    listed: list[dict[str, Any]] = rows.to_pylist()

    def accepts(i: int, answer: str) -> bool:
        try:
            return bool(verify(listed[i], answer) == 1)
        except Exception:  # noqa: BLE001  whatever somebody's verifier raises: the check says the same later
            return False

    return accepts


def solved(turn: Turn) -> frozenset[bytes]:
    """The ids of prompts to which an answer was kept, whoever gave it."""
    found: set[bytes] = set()
    for view in turn.data.values():
        for batch, keep in zip(view.batches([turn.task.target]), view.kept(), strict=True):
            there = keep & _said(batch, turn.task.target)
            mums: list[Any] = take(batch, there).column("_parents").to_pylist()
            found.update(bytes(one) for parents in mums for one in parents or ())
    return frozenset(found)


def unsolved(turn: Turn, name: str, done: frozenset[bytes], most: int) -> Records:
    """Rows of a table without a target that nothing refuses and nobody has answered: `most`, by seed."""
    view, parts, target = turn.data[name], [], turn.task.target
    inputs = [one for one in turn.task.inputs if one != target]
    for batch, keep in zip(view.batches(), view.kept(), strict=True):
        ids = id_bytes(batch.column("_id"))
        new = np.array([one.tobytes() not in done for one in ids], bool)
        whole = np.logical_and.reduce([_said(batch, one) for one in inputs])
        parts += [take(batch, mine)] if (mine := keep & new & ~_said(batch, target) & whole).any() else []
    if not parts:
        return Records(pa.RecordBatch.from_pylist([], schema=CERTIFICATE))
    rows = Records(concat(parts))
    if len(rows) > most:
        rows = Records(take(rows, np.sort(turn.rng(METHOD, name).choice(len(rows), most, replace=False))))
    return rows


def _said(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """bool[n]: where a column says something."""
    if name not in batch.schema.names:
        return np.zeros(len(batch), bool)
    column = batch.column(name)
    there = valid(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        there = there & np.array([bool((one or "").strip()) for one in strings(column)], bool)
    return np.asarray(there, bool)


def attempts(
    by: str = "current",
    *,
    tries: int = 8,
    temperatures: Sequence[float] = (0.8, 1.1),
    until: Any = None,
    most: int = 5000,
    rights: str = "derived",
) -> Attempts:
    """Answers by `turn.models[by]` to rows without a target: `tries` of each, at these temperatures in turn.

    until: a verifier, or a function of a row and an answer: a prompt is asked no more once it accepts; most:
    prompts a turn, drawn by seed. An attempt has the prompt's columns and its depth, a target one machine
    hand deep, and the prompt as its parent; all answers that differ are delivered, and the recipe's verifiers
    decide. A prompt to which an answer was kept is not asked again. Raises RecipeError for settings under
    which nothing is asked.
    """
    if tries < 1 or most < 0 or not temperatures or min(temperatures) < 0:
        raise RecipeError("attempts_settings", tries=tries, most=most, temperatures=str(tuple(temperatures)))
    return Attempts(
        by=by, tries=tries, temperatures=tuple(temperatures), until=until, most=most, rights=rights
    )
