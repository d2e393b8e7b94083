"""Questions and answers from passages that people wrote, each with the words of the passage that answer it.

A quotation that does not stand in the passage refutes its row at once; whether the answer says no more than
the passage is for a verifier (`refine.grounding`) to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    shown,
    some_of,
    values_of,
    written,
)

WORDS = (
    "Read the passage and write one question that a reader of such texts could have and that the passage "
    "answers, its answer in at most two sentences, and as `quote` the words of the passage that say so, "
    "letter by letter. Use nothing that the passage does not say. Keep its language."
)
SCHEMA = answer_of(question=TEXT, answer=TEXT, quote=TEXT)


@dataclass(frozen=True, kw_only=True)
class Passages:
    """The source; see `questions_from`."""

    passage: str
    by: Writer
    of: str | None = None
    share: float = 1.0
    count: int = 1
    quote: str | None = None
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
        others = [name for name in task.inputs if name != self.passage]
        if self.passage not in task.inputs or len(others) != 1 or task.answer != "text":
            raise RecipeError("passage_task", passage=self.passage, inputs=", ".join(task.inputs))
        people = shown(turn, self.of, labelled=False)
        if people is None:
            return None
        clean = redacted(people, self.passage)
        jobs = [
            Job(messages=(("system", self.words), ("user", clean[i])), parents=(i,), sample=k)
            for i in _once(clean, some_of(people, self.share, "passages"))
            for k in range(self.count)
        ]

        def row(job: Job, value: Value) -> Mapping[str, Any]:
            said = clean[job.parents[0]]
            if _plain(value["quote"]) not in _plain(said):
                raise Refused("quote_not_there")
            new = {self.passage: said, others[0]: value["question"], task.target: value["answer"]}
            if self.quote is not None:
                new[self.quote] = value["quote"]
            return values_of(people, job.parents[0]) | new

        return Writing(
            name="questions_from",
            words=self.words,
            schema=SCHEMA,
            people=people,
            jobs=jobs,
            row=row,
        )


def _once(texts: list[str], among: list[int]) -> list[int]:
    """The first of each passage; many questions may stand under one."""
    first: dict[str, int] = {}
    for i in among:
        if texts[i].strip():
            first.setdefault(texts[i], i)
    return list(first.values())


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def questions_from(
    passage: str,
    *,
    by: Writer,
    of: str | None = None,
    share: float = 1.0,
    count: int = 1,
    quote: str | None = None,
    words: str = WORDS,
) -> Passages:
    """`count` questions with answers on each of a share of people's passages, labelled or not.

    The task has two inputs, the column `passage` and the question, and answers with text; quote: a column for
    the words that answer it. An answer whose quotation is not in the passage is refused (`quote_not_there`).
    Raises InputError for a share outside 0 to 1 or a count below 1; RecipeError, when it is asked, for
    another task.
    """
    if not (0 <= share <= 1 and count >= 1):
        raise InputError("how_many_written", share=share, count=count)
    return Passages(passage=passage, by=by, of=of, share=share, count=count, quote=quote, words=words)
