"""People's rows said in other words, with the label that the person gave.

Source: rephrasing of what is there keeps more of its value than free invention (Maini et al. 2024, WRAP).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bapsim.core.errors import InputError
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
    text_inputs,
    values_of,
    written,
)

WORDS = (
    "Say the following in other words, as another person would who means exactly the same. Keep its "
    "language, its tone and every fact; marks such as [NAME] stay as they are. Explain nothing."
)


@dataclass(frozen=True, kw_only=True)
class Rephrase:
    """The source; see `rephrase`."""

    of: str | None
    by: Writer
    share: float = 1.0
    count: int = 1
    words: str = WORDS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        return written(self.writing(turn), self.by, turn)

    def preview(self, turn: Turn) -> Preview | None:
        """What the next turn would ask, without asking."""
        return foreseen(self.writing(turn), self.by, turn)

    def writing(self, turn: Turn) -> Writing | None:
        """What is asked for in this turn."""
        people = shown(turn, self.of)
        if people is None:
            return None
        names = text_inputs(turn, people)
        clean = {name: redacted(people, name) for name in names}
        jobs = [
            Job(messages=self._messages({n: clean[n][i] for n in names}), parents=(i,), sample=k)
            for i in some_of(people, self.share, "rephrase")
            for k in range(self.count)
        ]

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            if all(same(value[n], clean[n][job.parents[0]]) for n in names):
                raise Refused("unchanged")
            return values_of(people, job.parents[0]) | dict(value)

        return Writing(
            name="rephrase",
            words=self.words,
            schema=answer_of(**dict.fromkeys(names, TEXT)),
            people=people,
            jobs=jobs,
            row=row,
            changed=frozenset({"input"}),
        )

    def _messages(self, said: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        body = "\n\n".join(f"{name}:\n{text}" for name, text in said.items())
        return (("system", self.words), ("user", body))


def rephrase(
    of: str | None = None,
    *,
    by: Writer,
    share: float = 1.0,
    count: int = 1,
    words: str = WORDS,
) -> Rephrase:
    """`count` wordings of each of a share of people's labelled rows, of one source or of all; labels stay.

    by: an endpoint, or the name of a generator of the recipe; words: what it is told. A wording that says the
    same letters is refused (`unchanged`). Raises InputError for a share outside 0 to 1 or a count below 1.
    """
    if not (0 <= share <= 1 and count >= 1):
        raise InputError("how_many_written", share=share, count=count)
    return Rephrase(of=of, by=by, share=share, count=count, words=words)
