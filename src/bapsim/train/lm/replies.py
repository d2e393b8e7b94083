"""A small decoder that learns to reply: each row by itself, and only the reply counts.

For tasks whose questions are arbitrary (numbers to sort, words to spell): foreseeing these teaches little.
Given a model of its own kind, it goes on from these weights: a round of learning from attempts then costs a
fraction of a training from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import take
from bapsim.core.errors import NotEnough, RecipeError
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Rows
from bapsim.train.lm import reading
from bapsim.train.lm.bpe import PAD, SMALLEST, TEXT, Ids, learnt
from bapsim.train.lm.epochs import budget_of
from bapsim.train.lm.learning import Plan, device_of, learn, steady
from bapsim.train.lm.parts import part
from bapsim.train.lm.scratch import LmModel, Writing
from bapsim.train.lm.transformer import Shape, built

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lines:
    """tokens: rows of one width, int64[n, width]; weight: what foreseeing each next one counts, float32[n,
    width - 1]; size: tokens of each row, int64[n].
    """

    tokens: NDArray[np.int64]
    weight: Floats32
    size: NDArray[np.int64]


def lines_of(texts: list[Ids], skipped: list[int], weight: Floats32, context: int) -> Lines:
    """Texts as rows, each between two marks; of one that is longer than the context its end.

    skipped: tokens that stand before each reply, which do not count; weight: float32[n] of rows.
    """
    begun = [np.concatenate([[TEXT], one, [TEXT]])[-context - 1 :] for one in texts]
    size = np.array([len(one) for one in begun], np.int64)
    tokens = np.full((len(begun), int(size.max())), PAD, np.int64)
    counts = np.zeros((len(begun), tokens.shape[1] - 1), np.float32)
    for row, (one, text, before) in enumerate(zip(begun, texts, skipped, strict=True)):
        first = max(0, before - (len(text) + 2 - len(one)))
        tokens[row, : len(one)] = one
        counts[row, first : len(one) - 1] = weight[row]
    return Lines(tokens=tokens, weight=counts, size=size)


def batches(lines: Lines, plan: Plan, seed: int) -> Any:
    """A function of a step: its rows as tensors (tokens, weights); every row once an epoch, in an order that
    seed and epoch say.
    """
    t = part("torch")
    count = len(lines.size)

    def rows_at(step: int) -> NDArray[np.int64]:
        place = np.arange(step * plan.batch, (step + 1) * plan.batch)
        orders = {
            int(e): np.random.default_rng([seed, int(e)]).permutation(count) for e in set(place // count)
        }
        return np.array([orders[int(p // count)][p % count] for p in place], np.int64)

    def batch_of(step: int) -> tuple[list[Any], float]:
        rows = rows_at(step)
        wide = int(lines.size[rows].max())
        weight = lines.weight[rows, : wide - 1]
        tensors = [t.from_numpy(lines.tokens[rows, :wide]), t.from_numpy(weight)]
        return tensors, float(weight.sum())

    return batch_of


def replying(decoder: Any) -> Any:
    """A module that gives the weighted sum of nats of each token behind those before it."""
    t = part("torch")

    class Replying(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, tokens: Any, weight: Any) -> Any:
            logits = self.decoder.logits(self.decoder(tokens[:, :-1])).float().flatten(0, 1)
            lost = t.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")
            return (lost * weight.flatten()).sum()

    return Replying()


@dataclass(frozen=True, kw_only=True)
class LmReplies:
    """Trainer of models that reply; see `lm_replies`."""

    shape: Shape
    plan: Plan
    onward: int
    vocabulary: int
    writing: Writing

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> LmModel:
        """NotEnough without a row that counts; RecipeError for a task without replies."""
        task = mixture.task
        if task.answer != "text" or task.documents:
            raise RecipeError("lm_task", answer=task.answer, inputs=", ".join(task.inputs))
        weight = np.ones(len(mixture), np.float32) if mixture.weight is None else mixture.weight
        rows = Rows(take(mixture.records, np.flatnonzero(weight > 0)))
        if not len(rows):
            raise NotEnough("nothing_to_train", records=len(mixture))
        before = parent if isinstance(parent, LmModel) and parent.shape == self.shape else None
        said = [*reading.before(rows, task), *reading.column(rows, task.target)]
        bpe = before.bpe if before is not None else learnt(said, self.vocabulary)
        texts, skipped = reading.read(rows, task, bpe)
        kept = weight[weight > 0].astype(np.float32)
        lines = lines_of(texts, skipped, kept, self.shape.context)
        plan = self.plan if before is None else replace(self.plan, steps=self.onward)
        with steady(device_of(plan.device), plan.threads, seed):
            net = built(self.shape, len(bpe))
            if before is not None:
                net.load_state_dict(before.net.state_dict(), strict=False)
            curve = learn(replying(net), batches(lines, plan, seed), plan)
        seen = round(plan.steps * plan.batch / len(rows) * int(lines.size.sum()))
        parameters = sum(one.numel() for one in net.parameters())
        sizes = np.zeros(len(mixture), np.int64)
        sizes[weight > 0] = lines.size
        return LmModel(
            task=task,
            bpe=bpe,
            shape=self.shape,
            net=net,
            budget=budget_of(mixture, sizes.tolist(), seen, parameters, None),
            writing=self.writing,
            curve=tuple(curve),
        )


def lm_replies(
    shape: Shape | None = None,
    plan: Plan | None = None,
    writing: Writing | None = None,
    *,
    onward: int = 400,
    vocabulary: int = SMALLEST,
) -> LmReplies:
    """A decoder-only transformer that learns replies: each row by itself, and only the reply counts.

    plan: with the steps from nothing; onward: steps where it is given a model of its own shape, from whose
    weights it goes on; vocabulary: tokens of its own byte-pair encoding, 259 = bytes. A turn's folds are
    always trained from nothing: a parent has seen what they hold out.
    """
    return LmReplies(
        shape=shape or Shape(),
        plan=plan or Plan(steps=1000),
        onward=onward,
        vocabulary=vocabulary,
        writing=writing or Writing(temperature=0.0, longest=128),
    )
