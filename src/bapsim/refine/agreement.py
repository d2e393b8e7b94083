"""Agreement between different generators: an answer that several of them give, each with one voice.

One model that gives an answer many times agrees with itself however wrong it is; its samples are one voice,
for what it says most often. Makers that learnt from one another are not different, either: name them alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, concat, strings, tokens
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import VERDICT, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import LIMIT, Audit, Kind, admits, bounds
from bapsim.refine.verifying import machine_made, people_made
from bapsim.text.canonical import canonical, final_answer

REASON = "disagreed"


@dataclass(frozen=True, kw_only=True)
class Voices:
    """What was decided of n answers.

    taken: True where enough makers give this answer, False where they give another one, None where no answer
    has enough; makers: int64[n], how many give this answer.
    """

    taken: tuple[bool | None, ...]
    makers: np.ndarray


def voices(
    questions: Sequence[str], answers: Sequence[str | None], makers: Sequence[str], least: int
) -> Voices:
    """Which of n answers `least` different makers agree on, question by question.

    answers: in canonical form, None = none was given. Where two answers have as many makers, none is agreed
    on.
    """
    said: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for question, answer, maker in zip(questions, answers, makers, strict=True):
        if answer is not None:
            said[question][maker][answer] += 1
    votes = {question: Counter(filter(None, map(_mode, by.values()))) for question, by in said.items()}
    agreed = {question: _mode(found) for question, found in votes.items()}
    taken: list[bool | None] = []
    counts = np.zeros(len(questions), np.int64)
    for i, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        found = votes.get(question, Counter())
        best = agreed.get(question)
        counts[i] = 0 if answer is None else found[answer]
        enough = best is not None and found[best] >= least
        taken.append(answer == best if enough else None)
    return Voices(taken=tuple(taken), makers=counts)


def _mode(counts: Counter[str]) -> str | None:
    """What was said most often; None where two things were."""
    first = counts.most_common(2)
    alone = len(first) == 1 or (len(first) == 2 and first[0][1] > first[1][1])
    return first[0][0] if first and alone else None


def settled_answer(text: str | None) -> str | None:
    """The final answer of a text in canonical form; the whole text where it marks none."""
    said = None if text is None else canonical(final_answer(text) or text)
    return said or None


@dataclass(frozen=True, kw_only=True)
class AgreedAcross:
    """The verifying survey `agreed_across`: machine-made answers on which `least` different makers agree are
    kept, other answers to the same question refused (`disagreed`), and without agreement nothing is said.

    question: columns that make up a question, the task's inputs if none; maker: a column that names who
    answered, the origin's source if None. The value is the number of makers that give the answer.
    limit: of the false-accept rate, as people's own answers to some of the questions show it (`mutated`).
    Where it may be higher, or there are too few of them, it ranks, and says nothing else; 1 asks for none.
    """

    question: tuple[str, ...] = ()
    maker: str | None = None
    least: int = 2
    limit: float = LIMIT
    verifies: ClassVar[bool] = True

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        found, sizes = self._heard(dataset, turn)
        machine, said = found["machine"].to_numpy(zero_copy_only=False), self._voices(found)
        trusted = self.limit >= 1 or admits(_audited(found, said), self.limit)
        kept = [one if there and trusted else None for one, there in zip(said.taken, machine, strict=True)]
        columns: list[Column] = [
            pa.array(kept, pa.bool_()),
            pa.array([REASON if one is False else None for one in kept], pa.string()),
            pa.array(np.where(machine, said.makers, np.nan), pa.float32(), from_pandas=True),
            pa.array(np.where(machine, self.least, np.nan), pa.float32(), from_pandas=True),
        ]
        whole = pa.RecordBatch.from_arrays(columns, schema=VERDICT)
        for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
            yield Verdicts(whole.slice(end - size, size))

    def mutated(self, dataset: Dataset, turn: Turn) -> Audit:
        """How often wrong answers are agreed on, where people gave the right one of a question.

        Nothing is mutated: generators that err alike are what agreement cannot see. Bounds are over
        questions, as the answers to one stand or fall together.
        """
        found, _ = self._heard(dataset, turn)
        return _audited(found, self._voices(found))

    def _voices(self, found: pa.RecordBatch) -> Voices:
        """Machine-made answers alone have a voice: a person's would make any agreement."""
        machine = found["machine"].to_pylist()
        given: list[Any] = found["answer"].to_pylist()
        answers = [a if m else None for a, m in zip(given, machine, strict=True)]
        questions, makers = ([str(one) for one in found[n].to_pylist()] for n in ("question", "maker"))
        return voices(questions, answers, makers, self.least)

    def _heard(self, dataset: Dataset, turn: Turn) -> tuple[pa.RecordBatch, list[int]]:
        """Question, answer, maker of all rows; machine and person: bool, nothing refused the row so far."""
        columns = self.question or turn.task.inputs
        asked = [*dict.fromkeys([*columns, turn.task.target, *([self.maker] if self.maker else [])])]
        parts, sizes = [], []
        for batch, alive in zip(dataset.batches(asked), dataset.kept(), strict=True):
            names = strings(batch.column(self.maker)) if self.maker else _sources(batch, turn)
            texts = zip(*(tokens(batch.column(name)) for name in columns), strict=True)
            fields = {
                "question": pa.array(["\x1f".join(one or "" for one in text) for text in texts], pa.string()),
                "answer": pa.array(map(settled_answer, strings(batch.column(turn.task.target))), pa.string()),
                "maker": pa.array([name or "" for name in names], pa.string()),
                "machine": pa.array(machine_made(batch) & alive),
                "person": pa.array(people_made(batch) & alive),
            }
            parts.append(pa.RecordBatch.from_pydict(fields))
            sizes.append(len(batch))
        return concat(parts, _HEARD), sizes


def _audited(found: pa.RecordBatch, said: Voices) -> Audit:
    """Wrong answers that are agreed on, of questions that people answered."""
    columns = [found[n].to_pylist() for n in ("question", "answer", "machine", "person")]
    rows: Iterator[Any] = zip(*columns, said.taken, strict=True)
    by: dict[str, tuple[set[str], list[tuple[str, bool | None]]]] = defaultdict(lambda: (set(), []))
    for question, answer, machine, person, taken in rows:
        if answer is not None and person:
            by[question][0].add(answer)
        elif answer is not None and machine:
            by[question][1].append((answer, taken))
    known = [(right, answers) for right, answers in by.values() if len(right) == 1 and answers]
    good = [taken for right, answers in known for answer, taken in answers if answer in right]
    bad = [[taken for answer, taken in answers if answer not in right] for right, answers in known]
    bad = [takens for takens in bad if takens]
    fooled = sum(True in takens for takens in bad)
    wrong = [taken for takens in bad for taken in takens]
    low, high = bounds(fooled, len(bad))
    kind = Kind(
        name="machine",
        tried=len(wrong),
        taken=wrong.count(True),
        abstained=wrong.count(None),
        low=low,
        high=high,
    )
    return Audit(
        gold=len(good),
        refused=good.count(False),
        abstained=good.count(None),
        equal=0,
        answers=len(bad),
        fooled=fooled,
        upper=high,
        kinds=(kind,),
    )


_HEARD = pa.schema(
    [(name, pa.string()) for name in ("question", "answer", "maker")]
    + [(name, pa.bool_()) for name in ("machine", "person")]
)


def _sources(batch: pa.RecordBatch, turn: Turn) -> list[str | None]:
    numbers: list[Any] = batch.column("_origin").to_pylist()
    return [turn.origins[n].source if n in turn.origins else str(n) for n in numbers]


def agreed_across(
    *question: str, maker: str | None = None, least: int = 2, limit: float = LIMIT
) -> AgreedAcross:
    """The survey `AgreedAcross`; raises RecipeError for fewer than two makers."""
    if least < 2:
        raise RecipeError("agreement_makers", least=least)
    return AgreedAcross(question=question, maker=maker, least=least, limit=limit)
