"""More rows of rare classes: a writer is shown a few of people's rows of a class and writes another one.

Source: few-shot generation by class (Wang et al. 2023, Self-Instruct), with other examples each time.
"""

from __future__ import annotations

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
    "You are shown texts that people wrote, all of one kind. Write one more of this kind as another person "
    "would write it: another case, in the same language and manner, not one of these in other words. Marks "
    "such as [NAME] stand for names. Explain nothing."
)


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """The source; see `few_shot`."""

    by: Writer
    only: tuple[str, ...]
    count: int = 100
    shots: int = 5
    of: str | None = None
    words: str = WORDS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        return written(self.writing(turn), self.by, turn)

    def preview(self, turn: Turn) -> Preview | None:
        """What the next turn would ask, without asking."""
        return foreseen(self.writing(turn), self.by, turn)

    def writing(self, turn: Turn) -> Writing | None:
        """What is asked for in this turn: what the order still lacks."""
        people = shown(turn, self.of)
        if people is None:
            return None
        names = text_inputs(turn, people)
        labels = strings(people.column(turn.task.target))
        jobs = [job for one in self.only for job in self._jobs(people, names, labels, one)]

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            return values_of(people, job.parents[0]) | dict(value)

        whole = Writing(
            name="few_shot",
            words=self.words,
            schema=answer_of(**dict.fromkeys(names, TEXT)),
            people=people,
            jobs=jobs,
            row=row,
        )
        return still_wanted(whole, self.by, turn)

    def _jobs(
        self, people: Records, names: tuple[str, ...], labels: list[str | None], label: str
    ) -> Iterator[Job]:
        mine = [i for i, one in enumerate(labels) if one == label]
        ids: list[Any] = people.column("_id").to_pylist()
        clean = {name: redacted(people, name) for name in names}
        for k in range(self.count if mine else 0):
            parents = drawn_shots(ids, mine, self.shots, label, k)
            shots = ["\n".join(f"{name}: {clean[name][i]}" for name in names) for i in parents]
            user = "\n\n".join([f"Their kind: {label}", *shots])
            messages = (("system", self.words), ("user", user))
            yield Job(messages=messages, parents=tuple(parents), sample=k, key=f"{label}:{k}")


def few_shot(
    *only: str,
    by: Writer,
    count: int = 100,
    shots: int = 5,
    of: str | None = None,
    words: str = WORDS,
) -> FewShot:
    """An order of `count` rows of each of these classes, each written after `shots` of people's rows of the
    class, which are its parents; what was delivered is not ordered again.

    by: an endpoint, or the name of a generator of the recipe; of: the source that the examples come from.
    Other columns than the inputs are those of the first example. Raises InputError without a class, for a
    count below 0 or no shots.
    """
    if not (only and count >= 0 and shots >= 1):
        raise InputError("few_shot_order", classes=", ".join(only) or "-", count=count, shots=shots)
    return FewShot(by=by, only=only, count=count, shots=shots, of=of, words=words)
