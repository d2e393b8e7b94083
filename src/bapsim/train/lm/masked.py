"""An encoder that first learns to fill gaps in all text that there is, then to tell classes apart.

Masked language models: Devlin et al. 2019; of the tokens that are to be guessed 80 % are hidden, 10 % are
others, 10 % stay. The text that teaches it needs no labels; the classes are learnt on top, by all weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import Damaged, RecipeError
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows, Task
from bapsim.train.labels import labels_of
from bapsim.train.lm.bpe import MASK, PAD, TEXT, Bpe, Ids, learnt
from bapsim.train.lm.learning import Plan, device_of, learn, steady
from bapsim.train.lm.lost import losing
from bapsim.train.lm.parts import part
from bapsim.train.lm.reading import copies, pool_digest, without
from bapsim.train.lm.transfer import texts_of
from bapsim.train.lm.transformer import Shape, built
from bapsim.train.table import answer

LOADER = "bapsim.train.lm.masked:load"
GUESSED = 0.15  # of all tokens
BATCH = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedModel:
    """A respondent over texts; gaps: the loss of every step of filling gaps."""

    task: Task
    classes: tuple[str, ...]
    bpe: Bpe
    shape: Shape
    net: Any
    gaps: tuple[float, ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        texts = texts_of(rows, self.task)
        ids, probs = self.bpe.encode(texts), np.zeros((len(texts), len(self.classes)))
        t = part("torch")
        device = next(self.net.parameters()).device
        with t.inference_mode():
            for at in range(0, len(ids), BATCH):
                seen = t.from_numpy(_padded(ids[at : at + BATCH], self.shape.context)).to(device)
                probs[at : at + BATCH] = t.softmax(self.net.classes(seen).double(), 1).cpu().numpy()
        return answer(self.classes, probs, np.array([bool(one.strip()) for one in texts], np.float64))

    def save(self, folder: Path) -> None:
        """weights.safetensors, tokenizer.json, model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {n: one.detach().cpu().contiguous() for n, one in self.net.named_parameters()}
        part("safetensors.torch").save_file(weights, folder / "weights.safetensors")
        (folder / "tokenizer.json").write_text(self.bpe.said, "utf-8")
        said = {
            "loader": LOADER,
            "task": {"input": self.task.inputs, "target": self.task.target},
            "classes": self.classes,
            "shape": asdict(self.shape),
            "gaps": self.gaps,
        }
        (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def load(folder: Path) -> MaskedModel:
    """The model in a folder; Damaged where its weights do not fit."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    bpe, shape = Bpe(said=(folder / "tokenizer.json").read_text("utf-8")), Shape(**said["shape"])
    net, t = encoder(shape, len(bpe), len(said["classes"])), part("torch")
    try:
        weights = part("safetensors.torch").load_file(folder / "weights.safetensors")
        with t.no_grad():
            for name, one in net.named_parameters():
                one.copy_(weights[name])
    except (OSError, KeyError, RuntimeError, part("safetensors").SafetensorError) as error:
        why = str(error).split("\n", maxsplit=1)[0][:80]
        raise Damaged("lm_weights", path=str(folder), why=why) from error
    return MaskedModel(
        task=Task(input=tuple(said["task"]["input"]), target=said["task"]["target"]),
        classes=tuple(said["classes"]),
        bpe=bpe,
        shape=shape,
        net=net.to(device_of(None)).eval(),
        gaps=tuple(said["gaps"]),
    )


def encoder(shape: Shape, size: int, classes: int) -> Any:
    """A module: `gaps` gives the loss of hidden tokens, `classes` scores from the mean over a text."""
    t, lost = part("torch"), losing()

    class Encoder(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = built(shape, size, both_ways=True)
            self.head = t.nn.Linear(shape.width, classes)
            self.filling = True

        def hidden(self, ids: Any) -> Any:
            there = (ids != PAD)[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
            return self.body(ids, there)

        def classes(self, ids: Any) -> Any:
            there = (ids != PAD)[..., None]
            return self.head((self.hidden(ids) * there).sum(1) / there.sum(1))

        def forward(self, ids: Any, gold: Any, weight: Any) -> Any:
            """The weighted sum of losses: of tokens int64[b, t], or of classes int64[b]."""
            if self.filling:
                return lost(self.hidden(ids), self.body.embed_tokens.weight, gold, weight)
            nats = t.nn.functional.cross_entropy(self.classes(ids).float(), gold, reduction="none")
            return (nats * weight).sum()

    return Encoder()


def _padded(ids: Sequence[Ids], context: int) -> NDArray[np.int64]:
    wide = min(context, 1 + max((len(one) for one in ids), default=0))
    out = np.full((len(ids), wide), PAD, np.int64)
    for row, one in enumerate(ids):
        said = np.append(np.int32(TEXT), one)[:wide]
        out[row, : len(said)] = said
    return out


def hidden(
    ids: NDArray[np.int64], size: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Tokens with gaps, and which are to be guessed, float32 of the same shape."""
    guessed = (rng.random(ids.shape) < GUESSED) & (ids > MASK)
    how = rng.random(ids.shape)
    out = np.where(guessed & (how < 0.8), MASK, ids)
    out = np.where(guessed & (how >= 0.9), rng.integers(MASK + 1, size, ids.shape), out)
    return out, guessed.astype(np.float32)


def _picked(n: int, step: int, batch: int, seed: int) -> NDArray[np.int64]:
    rows = range(step * batch, (step + 1) * batch)
    return np.array([np.random.default_rng([seed, row // n]).permutation(n)[row % n] for row in rows])


@dataclass(frozen=True, kw_only=True)
class LmMasked:
    """Trainer of classes of texts; see `lm_masked`."""

    shape: Shape
    plan: Plan
    vocabulary: int
    filling: float
    epochs: float
    pooled: str | None = None  # the digest of the pool, which is its identity
    pool: Path | None = field(default=None, metadata={"identity": False})
    left_out: frozenset[int] = field(default=frozenset(), metadata={"identity": False})  # places in the pool

    def apart(self, texts: Sequence[str], task: Task) -> LmMasked:
        """This trainer without the texts of its pool that are, nearly, one of these: exam items."""
        return self if self.pool is None else replace(self, left_out=copies(self.pool, task.inputs[0], texts))

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> MaskedModel:
        """A model from nothing: the parent gives no weights."""
        if mixture.task.answer != "class" or mixture.task.kind != "text":
            raise RecipeError("lm_task", answer=mixture.task.answer, inputs=", ".join(mixture.task.inputs))
        classes, y, weight = labels_of(mixture)[:3]
        heard = np.flatnonzero(weight > 0)
        said = texts_of(Rows(mixture.records), mixture.task)
        texts = [said[i] for i in heard]
        name = mixture.task.inputs[0]
        pool = [] if self.pool is None else without(self.pool, name, self.left_out)
        bpe = learnt(texts + pool, self.vocabulary)
        ids, every = bpe.encode(texts), bpe.encode(texts + pool)
        t, context = part("torch"), self.shape.context
        plan = replace(self.plan, steps=math.ceil(self.filling * len(every) / self.plan.batch))
        after = replace(self.plan, steps=max(1, math.ceil(self.epochs * len(ids) / self.plan.batch)))

        def gaps(step: int) -> tuple[list[Any], float]:
            gold = _padded([every[i] for i in _picked(len(every), step, plan.batch, seed)], context)
            seen, guessed = hidden(gold, len(bpe), np.random.default_rng([seed, step, 1]))
            return [t.from_numpy(one) for one in (seen, gold, guessed)], float(guessed.sum())

        def labelled(step: int) -> tuple[list[Any], float]:
            at = _picked(len(ids), step, after.batch, seed)
            some, gold = _padded([ids[i] for i in at], context), y[heard][at]
            counts = weight[heard][at].astype(np.float32)
            return [t.from_numpy(one) for one in (some, gold, counts)], float(counts.sum())

        with steady(device_of(plan.device), plan.threads, seed):
            net = encoder(self.shape, len(bpe), len(classes))
            filled = learn(net, gaps, plan)
            net.filling = False
            learn(net, labelled, after)
        return MaskedModel(
            task=Task(input=mixture.task.inputs, target=mixture.task.target),
            classes=classes,
            bpe=bpe,
            shape=self.shape,
            net=net,
            gaps=tuple(filled),
        )


def lm_masked(
    shape: Shape | None = None,
    plan: Plan | None = None,
    *,
    vocabulary: int = 2000,
    filling: float = 10,
    epochs: float = 5,
    pool: str | Path | None = None,
) -> LmMasked:
    """Classes of texts by an encoder that first fills gaps in the mixture's texts and those of a pool.

    filling: epochs over all texts, without labels; epochs: over the labelled ones; pool: a file of texts
    (.jsonl or .txt, .gz), of which a wheel leaves out what is an exam item.
    """
    path = None if pool is None else Path(pool)
    return LmMasked(
        shape=shape or Shape(layers=2, context=128),
        plan=replace(plan or Plan(steps=0, rate=1e-3), steps=0),
        vocabulary=vocabulary,
        filling=filling,
        epochs=epochs,
        pooled=None if path is None else pool_digest(path),
        pool=path,
    )
