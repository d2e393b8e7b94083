"""Instructions made harder or wider, each with a reply of its own.

Source: Xu et al. 2023 (Evol-Instruct), in words of our own; rows that lost their sense are left to verifiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Draft
from bapsim.core.turn import Turn
from bapsim.gather.asking import Preview
from bapsim.gather.writing import (
    TEXT,
    Job,
    Refused,
    Value,
    Writer,
    Writing,
    answer_of,
    foreseen,
    redacted,
    same,
    shown,
    some_of,
    values_of,
    written,
)

WORDS = (
    "You are shown an instruction that a person gave. Make a new instruction of it as you are told below, "
    "that a person of the same trade could give, and write the reply to the new one. Keep the language. "
    "Marks such as [NAME] stand for names. Where there is no sensible reply without knowing more, say so."
)
WAYS: Mapping[str, str] = {
    "deeper": "Ask for the same, one level deeper: what has to be known or weighed for it as well.",
    "bound": "Add one condition or limit that the reply has to keep to.",
    "concrete": "Put one particular case in the place of what is said in general.",
    "steps": "Let it take more than one step to get to the reply.",
    "wider": "Ask for something else of the same field that is asked for more seldom.",
}


@dataclass(frozen=True, kw_only=True)
class Evolve:
    """The source; see `evolve`."""

    by: Writer
    of: str | None = None
    share: float = 1.0
    ways: Mapping[str, str] = field(default_factory=lambda: WAYS)
    words: str = WORDS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        return written(self.writing(turn), self.by, turn)

    def preview(self, turn: Turn) -> Preview | None:
        """What the next turn would ask, without asking."""
        return foreseen(self.writing(turn), self.by, turn)

    def writing(self, turn: Turn) -> Writing | None:
        """What is asked for in this turn."""
        task = turn.task
        if len(task.inputs) != 1 or task.answer != "text" or task.documents:
            raise RecipeError("instruction_task", inputs=", ".join(task.inputs), target=task.target)
        people = shown(turn, self.of, labelled=False)
        if people is None:
            return None
        asked = redacted(people, task.inputs[0])
        jobs = [
            Job(messages=(("system", f"{self.words}\n\n{how}"), ("user", asked[i])), parents=(i,))
            for i in some_of(people, self.share, "evolve")
            for how in self.ways.values()
        ]

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            if same(value["instruction"], asked[job.parents[0]]):
                raise Refused("unchanged")
            new = {task.inputs[0]: value["instruction"], task.target: value["reply"]}
            return values_of(people, job.parents[0]) | new

        return Writing(
            name="evolve",
            words=self.words,
            schema=answer_of(instruction=TEXT, reply=TEXT),
            people=people,
            jobs=jobs,
            row=row,
        )


def evolve(
    of: str | None = None,
    *,
    by: Writer,
    share: float = 1.0,
    ways: Mapping[str, str] = WAYS,
    words: str = WORDS,
) -> Evolve:
    """A new instruction with its reply for each way of a share of people's instructions, answered or not.

    The task has one input, the instruction, and answers with text. ways: what is asked for, by name. One that
    comes back as it was is refused (`unchanged`). Raises InputError for a share outside 0 to 1 or no way;
    RecipeError, when it is asked, for another task.
    """
    if not (0 <= share <= 1 and ways):
        raise InputError("how_many_written", share=share, count=len(ways))
    return Evolve(by=by, of=of, share=share, ways=ways, words=words)
