"""Rows to an order: what lacks by an order's file is written or drawn, line by line, like people's examples.

Texts are written by a language model after a few of the line's examples of one class; tables and pictures
are drawn by a generator of the recipe, which fills lines of classes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bapsim.core.arrow import strings
from bapsim.core.errors import RecipeError
from bapsim.core.records import Draft, Records
from bapsim.core.turn import Turn
from bapsim.gather.asking import Preview
from bapsim.gather.drawn import drawn_by
from bapsim.gather.few_shot import WORDS
from bapsim.gather.files import found
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
from bapsim.store.order_file import Line, Order, read_order


@dataclass(frozen=True, kw_only=True)
class ToOrder:
    """The source; see `to_order`."""

    file: str
    by: Writer
    shots: int = 5
    words: str = WORDS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        order = self.read(turn.inbox)
        if isinstance(self.by, str) and turn.task.kind != "text":
            for line in order.lines:
                if line.kind == "class" and line.rows:
                    yield from drawn_by(self.by, only=(line.value,), count=line.rows)(turn)
            return
        yield from written(self.writing(turn), self.by, turn)

    def preview(self, turn: Turn) -> Preview | None:
        """What the next turn would ask, without asking."""
        return foreseen(self.writing(turn), self.by, turn)

    def read(self, inbox: Path) -> Order:
        """The order as the inbox has it; raises InputError where the file is none."""
        return read_order(found(inbox, self.file)[0])

    def writing(self, turn: Turn) -> Writing | None:
        """What is asked for in this turn: what the order still lacks."""
        order, people = self.read(turn.inbox), shown(turn)
        if people is None:
            return None
        names = text_inputs(turn, people)
        jobs = [job for line in order.lines for job in self._jobs(people, names, turn.task.target, line)]

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            return values_of(people, job.parents[0]) | dict(value)

        whole = Writing(
            name="to_order",
            words=self.words,
            schema=answer_of(**dict.fromkeys(names, TEXT)),
            people=people,
            jobs=jobs,
            row=row,
        )
        return still_wanted(whole, self.by, turn)

    def _jobs(self, people: Records, names: tuple[str, ...], target: str, line: Line) -> Iterator[Job]:
        """Each row after examples of one class: that of the line, else of an example drawn first."""
        labels = strings(people.column(target))
        ids: list[Any] = people.column("_id").to_pylist()
        mine = examples(line, ids, labels)
        clean = {name: redacted(people, name) for name in names}
        for k in range(line.rows if mine else 0):
            first = drawn_shots(ids, mine, 1, line.name, k)[0]
            alike = [i for i in mine if labels[i] == labels[first] and i != first]
            parents = [first, *drawn_shots(ids, alike, self.shots - 1, line.name, k)]
            shots = ["\n".join(f"{name}: {clean[name][i]}" for name in names) for i in parents]
            user = "\n\n".join([f"Their kind: {labels[first]}", *shots])
            messages = (("system", self.words), ("user", user))
            yield Job(messages=messages, parents=tuple(parents), sample=k, key=f"{line.name}:{k}")


def examples(line: Line, ids: list[bytes], labels: list[str | None]) -> list[int]:
    """Positions of people's rows that a line is about: those it names, else all of its class."""
    if line.kind == "class":
        return [i for i, one in enumerate(labels) if one == line.value]
    named = set(line.examples)
    return [i for i, one in enumerate(ids) if one in named]


def to_order(file: str, *, by: Writer, shots: int = 5, words: str = WORDS) -> ToOrder:
    """Rows by the order in a file of the inbox (`bapsim ask --order` writes one), each after `shots` of the
    line's examples, which are its parents; what was delivered is not ordered again.

    by: an endpoint, or the name of a generator of the recipe. Raises RecipeError for no shots, InputError for
    a file that is no order.
    """
    if shots < 1:
        raise RecipeError("order_shots", shots=shots)
    return ToOrder(file=file, by=by, shots=shots, words=words)
