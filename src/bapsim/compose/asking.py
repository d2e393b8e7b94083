"""The questions of a recipe: pool rows through the current model and `choose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.questions import CHOSEN, RANDOM, choose
from bapsim.core.arrow import cells, concat, id_bytes, strings
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import Rows, rows_of
from bapsim.core.turn import Turn
from bapsim.image import alike
from bapsim.image.alike import Sketches, joined, sketches
from bapsim.text.minhash import clusters


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
        ids, said, marks = [], [], []
        for batch in pool.batches(turn.task.inputs):  # a pool of pictures need not fit into memory
            inputs = rows_of(batch, turn.task.inputs)
            ids.append(batch.select(["_id"]))
            said.append(turn.models["current"](inputs))
            marks.append(_marks(inputs))
        whole, answers = concat(ids), concat(said)
        rows, draw = self.drawn(_probs(answers), _groups(marks, self.near), whole, turn)
        at = pa.array(rows)
        columns = {
            "_id": whole.column("_id").take(at),
            "draw": pa.array(draw.tolist(), pa.string()),
            "prediction": answers.column("prediction").take(at),
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


Marks = Sketches | list[str | None] | list[bytes]


def _marks(inputs: Rows) -> Marks:
    """What tells near duplicates: sketches of pictures, texts, or the canonical bytes of a table's rows."""
    if inputs.num_columns == 1:
        kind = inputs.schema.field(0).type
        if pa.types.is_string(kind):
            return strings(inputs.column(0))
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return sketches(inputs.column(0).to_pylist())
    offsets, body = cells(inputs)
    return [bytes(body[offsets[i] : offsets[i + 1]]) for i in range(len(inputs))]


def _groups(marks: list[Any], near: float) -> np.ndarray:
    """int64[n]: equal for near duplicates, over all batches."""
    if isinstance(marks[0], Sketches):
        return alike.groups(joined(marks), near).of
    whole = [mark for part in marks for mark in part]
    if not whole or not isinstance(whole[0], bytes):
        return clusters(whole, near)
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(v, i) for i, v in enumerate(whole)], np.int64)


def reserved(pool: pa.RecordBatch, share: float) -> np.ndarray:
    """bool[n]: rows whose id, a keyed hash, falls into the lowest `share` of all ids."""
    first = id_bytes(pool.column("_id")).view(np.uint8).reshape(len(pool), 16)[:, :4]
    return first.copy().view(">u4").reshape(-1) < share * 2**32


def _probs(answers: pa.RecordBatch) -> np.ndarray:
    """float32[n, k]; without probabilities nothing is known of any row: k = 0."""
    if "probs" not in answers.schema.names:
        return np.zeros((len(answers), 0), np.float32)
    column: Any = answers.column("probs")
    return np.asarray(column.flatten().to_numpy().reshape(len(answers), -1), np.float32)


def worth_asking(budget: int, *, exam_share: float = 0.2, near: float = 0.8) -> WorthAsking:
    """What to ask people next: `budget` pool rows a turn, `exam_share` of them at random for the exam."""
    if budget < 0 or not 0 <= exam_share <= 1:
        raise RecipeError("asking_out_of_range", budget=budget, exam_share=exam_share)
    return WorthAsking(budget=budget, exam_share=exam_share, near=near)
