"""Rows where the model errs: a writer is shown what people wrote and the model took for something else.

The errors are those of the last turn's out-of-fold predictions, never of the exam.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Records
from bapsim.core.turn import Turn
from bapsim.gather.asking import Preview
from bapsim.gather.writing import (
    TEXT,
    Job,
    Value,
    Writer,
    Writing,
    answer_of,
    drawn_shots,
    foreseen,
    redacted,
    shown,
    still_wanted,
    text_inputs,
    values_of,
    written,
)

WORDS = (
    "You are shown texts that people wrote. All of them are of one kind, and a program took them for another "
    "kind. Write one more text of the right kind, of another case, that the program could take for the wrong "
    "one: in the same language and manner, and so that a person who reads with care is in no doubt. Marks "
    "such as [NAME] stand for names. Explain nothing."
)
Confusion = tuple[str, str]  # the kind that it was, the kind that it was taken for


@dataclass(frozen=True, kw_only=True)
class FromErrors:
    """The source; see `from_errors`."""

    by: Writer
    each: int = 20
    most: int = 10
    least: int = 3
    shots: int = 5
    words: str = WORDS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        return written(self.writing(turn), self.by, turn)

    def preview(self, turn: Turn) -> Preview | None:
        """What the next turn would ask, without asking."""
        return foreseen(self.writing(turn), self.by, turn)

    def writing(self, turn: Turn) -> Writing | None:
        """What is asked for in this turn: what the orders still lack."""
        people = shown(turn) if turn.oof is not None else None
        if people is None:
            return None
        names = text_inputs(turn, people)
        found = confusions(people, turn)
        worst = sorted(found, key=lambda pair: (-len(found[pair]), pair))
        wanted = [pair for pair in worst if len(found[pair]) >= self.least][: self.most]
        ids: list[Any] = people.column("_id").to_pylist()
        clean = {name: redacted(people, name) for name in names}
        jobs = []
        for pair in wanted:
            for k in range(self.each):
                parents = drawn_shots(ids, found[pair], self.shots, *pair, k)
                shots = ["\n".join(f"{name}: {clean[name][i]}" for name in names) for i in parents]
                user = "\n\n".join([f"Their kind: {pair[0]}", f"Taken for: {pair[1]}", *shots])
                messages = (("system", self.words), ("user", user))
                key = f"{pair[0]}>{pair[1]}:{k}"
                jobs.append(Job(messages=messages, parents=tuple(parents), sample=k, key=key))

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            return values_of(people, job.parents[0]) | dict(value)

        whole = Writing(
            name="from_errors",
            words=self.words,
            schema=answer_of(**dict.fromkeys(names, TEXT)),
            people=people,
            jobs=jobs,
            row=row,
        )
        return still_wanted(whole, self.by, turn)


def confusions(people: Records, turn: Turn) -> dict[Confusion, list[int]]:
    """Positions of the records whose out-of-fold prediction was another label, by both labels."""
    found: dict[Confusion, list[int]] = defaultdict(list)
    if turn.oof is None or "prediction" not in turn.oof.schema.names:
        return found
    asked: list[Any] = turn.oof.column("_id").to_pylist()
    said = dict(zip(asked, strings(turn.oof.column("prediction")), strict=True))
    ids: list[Any] = people.column("_id").to_pylist()
    for i, (one, label) in enumerate(zip(ids, strings(people.column(turn.task.target)), strict=True)):
        guess = said.get(one)
        if guess is not None and label is not None and guess != label:
            found[label, guess].append(i)
    return found


def from_errors(
    *,
    by: Writer,
    each: int = 20,
    most: int = 10,
    least: int = 3,
    shots: int = 5,
    words: str = WORDS,
) -> FromErrors:
    """An order of `each` rows for each of the `most` frequent confusions (at least `least` rows of people)
    among the last turn's out-of-fold predictions; each row is written after `shots` of its errors.

    by: an endpoint, or the name of a generator of the recipe. There is none before the second turn. Raises
    InputError for numbers below 1.
    """
    if min(each, most, least, shots) < 1:
        raise InputError("error_order", each=each, most=most, least=least, shots=shots)
    return FromErrors(by=by, each=each, most=most, least=least, shots=shots, words=words)
