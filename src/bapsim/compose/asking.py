"""The questions of a recipe: pool rows through the current model and `choose`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bapsim.compose.outcomes import outcomes
from bapsim.compose.questions import CHOSEN, RANDOM, choose
from bapsim.core.arrow import Column, cells, concat, id_bytes, strings
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import Rows, Task, rows_of
from bapsim.core.turn import Turn
from bapsim.text.minhash import clusters
from bapsim.text.targets import decimal, number_of, written


@dataclass(frozen=True, kw_only=True)
class WorthAsking:
    """Questions by doubt and diversity, apart from a random share that refreshes the exam.

    budget: questions a turn; exam_share: of them drawn at random; near: Jaccard from which on two texts are
    one question.
    """

    budget: int
    exam_share: float = 0.2
    near: float = 0.8

    def __call__(self, pool: Dataset, turn: Turn) -> Rows:
        """Rows `_id`, `draw` ("random" or "chosen") and `prediction` in the order of asking."""
        batches = list(pool.batches(turn.task.inputs))
        whole = concat([b for b in batches if len(b)] or batches)
        inputs = rows_of(whole, turn.task.inputs)
        answers = turn.models["current"](inputs)
        rows, draw = self.drawn(outcomes(answers, turn.task.answer), self._groups(inputs), whole, turn)
        at = pa.array(rows)
        columns = {
            "_id": whole.column("_id").take(at),
            "draw": pa.array(draw.tolist(), pa.string()),
            "prediction": pa.array(hints(answers.column("prediction").take(at), turn.task), pa.string()),
        }
        return Rows(pa.record_batch(list(columns.values()), names=list(columns)))

    def drawn(
        self, probs: np.ndarray, groups: np.ndarray, pool: pa.RecordBatch, turn: Turn
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the order of asking, and how each was drawn.

        A share of all rows, decided by their ids for ever, is kept for random draws: if hard rows were taken
        out of what random draws are made from, every later exam would be easier than the service.
        """
        rng = turn.rng("questions")
        kept = reserved(pool, self.exam_share)
        at = np.flatnonzero(kept)
        wanted = round(self.budget * self.exam_share)
        random = at[choose(probs[at], groups[at], wanted, 1.0, rng).rows]
        free = np.flatnonzero(~kept & ~np.isin(groups, groups[random]))
        chosen = free[choose(probs[free], groups[free], self.budget - wanted, 0.0, rng).rows]
        mixed = rng.permutation(len(random) + len(chosen))
        draw = np.array([RANDOM] * len(random) + [CHOSEN] * len(chosen), dtype="U6")
        return np.concatenate([random, chosen])[mixed], draw[mixed]

    def _groups(self, inputs: Rows) -> np.ndarray:
        if inputs.num_columns == 1 and pa.types.is_string(inputs.schema.field(0).type):
            return clusters(strings(inputs.column(0)), self.near)
        offsets, body = cells(inputs)
        said = [bytes(body[offsets[i] : offsets[i + 1]]) for i in range(len(inputs))]
        first: dict[bytes, int] = {}
        return np.array([first.setdefault(v, i) for i, v in enumerate(said)], np.int64)


def hints(predictions: Column, task: Task) -> list[str | None]:
    """What the model says, as a person reads it: numbers with four digits."""
    said = written(predictions, task.answer)
    if task.answer != "number":
        return said
    return [one and decimal(float(f"{number_of(one):.4g}")) for one in said]


def reserved(pool: pa.RecordBatch, share: float) -> np.ndarray:
    """bool[n]: rows whose id, a keyed hash, falls into the lowest `share` of all ids."""
    first = id_bytes(pool.column("_id")).view(np.uint8).reshape(len(pool), 16)[:, :4]
    return first.copy().view(">u4").reshape(-1) < share * 2**32


def worth_asking(budget: int, *, exam_share: float = 0.2, near: float = 0.8) -> WorthAsking:
    """What to ask people next: `budget` pool rows a turn, `exam_share` of them at random for the exam."""
    if budget < 0 or not 0 <= exam_share <= 1:
        raise RecipeError("asking_out_of_range", budget=budget, exam_share=exam_share)
    return WorthAsking(budget=budget, exam_share=exam_share, near=near)
