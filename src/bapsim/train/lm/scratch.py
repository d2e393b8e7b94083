"""A language model from nothing: the project's own text, its own tokenizer, a small decoder.

It foresees documents, writes replies, draws texts of a class, and tells classes apart by what each of them
makes of a text. Its folder is a Llama checkpoint as well (config.json, model.safetensors, tokenizer.json).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import Damaged, NotEnough
from bapsim.core.fingerprint import digest, fingerprint
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows, Task
from bapsim.train.labels import labels_of
from bapsim.train.lm import reading
from bapsim.train.lm.bpe import MARKS, Bpe, learnt
from bapsim.train.lm.epochs import Budget, budget_of
from bapsim.train.lm.foreseen import nats
from bapsim.train.lm.learning import Plan, device_of
from bapsim.train.lm.packing import corpus_of
from bapsim.train.lm.parts import part
from bapsim.train.lm.sampling import drawn
from bapsim.train.lm.together import by_many, taught
from bapsim.train.lm.transformer import Shape, built, weights_of
from bapsim.train.table import answer

LOADER = "bapsim.train.lm.scratch:load"
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How texts are drawn: temperature, top_p, tokens at the longest, and the seed where no row has one."""

    temperature: float = 1.0
    top_p: float = 1.0
    longest: int = 256
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class LmModel:
    """A respondent that foresees, writes, and, of a task of classes, classifies.

    prior: the share of each class, none of a task of texts; losses of every step of training in `curve`.
    """

    task: Task
    bpe: Bpe
    shape: Shape
    net: Any
    budget: Budget
    writing: Writing = field(default_factory=Writing)
    classes: tuple[str, ...] = ()
    prior: tuple[float, ...] = ()
    curve: tuple[float, ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        """`prediction`: of a text task a text for each row, of classes the class with its probabilities; rows
        of a class task that have the target and no input get a text of that class, in the input's column. The
        columns `_seed` and `_temperature`, if they are there, say by which random numbers, and how warm, each
        row is drawn.
        """
        if self.classes and reading.foreseen(self.task) in rows.schema.names:
            return self._classified(rows)
        said = self._written(rows)
        named = [reading.foreseen(self.task)] if self.classes else ["prediction"]
        if self.task.documents:
            named.append(self.task.target)
        return Answers(pa.record_batch([pa.array(said, pa.string())] * len(named), names=named))

    def losses(self, rows: Rows, /) -> tuple[Floats, NDArray[np.int64]]:
        """What each target costs with its end, in nats, float64[n]; its UTF-8 bytes, the end counted as one,
        int64[n]: nats a byte compare models of different vocabularies.
        """
        ids, skipped = reading.read(rows, self.task, self.bpe)
        said = reading.column(rows, reading.foreseen(self.task))
        size = np.array([len(one.encode("utf-8", "replace")) + 1 for one in said], np.int64)
        return nats(self.net, self.shape, ids, skipped), size

    def _written(self, rows: Rows) -> list[str]:
        if self.task.documents:  # what is there is gone on with
            there = self.task.target in rows.schema.names
            prompts = reading.column(rows, self.task.target) if there else [""] * len(rows)
        else:
            prompts = reading.before(rows, self.task)
        how = self.writing
        seeds = reading.seeds_of(rows, how.seed)
        uniform = [np.random.default_rng(one).random(how.longest) for one in seeds]
        begun = self.bpe.encode(prompts)
        warm = np.array(reading.warmth_of(rows, how.temperature))
        said: list[list[int]] = [[] for _ in begun]
        for heat in np.unique(warm).tolist():
            at = np.flatnonzero(warm == heat).tolist()
            some = [begun[i] for i in at], [uniform[i] for i in at]
            found = drawn(self.net, self.shape, *some, temperature=heat, top_p=how.top_p)
            for i, one in zip(at, found, strict=True):
                said[i] = one
        if not self.task.documents:
            return [self.bpe.decode(one) for one in said]
        return [self.bpe.decode([*a.tolist(), *b]) for a, b in zip(begun, said, strict=True)]

    def _classified(self, rows: Rows) -> Answers:
        """By Bayes: what each class makes of the text, and how frequent it is."""
        name = reading.foreseen(self.task)
        columns = [self._nats_of(rows, one) for one in self.classes]
        score = np.log(self.prior) - np.stack(columns, 1)
        odds = np.exp(score - score.max(1, keepdims=True, initial=-np.inf)) if len(rows) else score
        probs = odds / odds.sum(1, keepdims=True) if len(rows) else odds
        filled = np.array([bool(one) for one in reading.column(rows, name)], np.float64)
        return answer(self.classes, probs, filled)

    def _nats_of(self, rows: Rows, name: str) -> Floats:
        texts = rows.column(reading.foreseen(self.task))
        labelled = pa.record_batch(
            [texts, pa.array([name] * len(rows), pa.string())],
            names=[reading.foreseen(self.task), self.task.target],
        )
        return self.losses(Rows(labelled))[0]

    def save(self, folder: Path) -> None:
        """model.safetensors, config.json, tokenizer.json and tokenizer_config.json (a Llama checkpoint), and
        model.json (the loader, the task, the account of tokens).
        """
        folder.mkdir(parents=True, exist_ok=True)
        part("safetensors.torch").save_file(
            weights_of(self.net), folder / "model.safetensors", metadata={"format": "pt"}
        )
        (folder / "tokenizer.json").write_text(self.bpe.said, "utf-8")
        said = {
            "loader": LOADER,
            "task": {k: v for k, v in asdict(self.task).items() if k in ("input", "target", "answer")},
            "shape": asdict(self.shape),
            "size": self.net.embed_tokens.num_embeddings,
            "writing": asdict(self.writing),
            "budget": asdict(self.budget),
            "classes": self.classes,
            "prior": self.prior,
            "curve": self.curve,
        }
        marks = dict(zip(("bos_token", "pad_token", "mask_token"), MARKS, strict=True))
        tokenizer: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **marks,
            "eos_token": MARKS[0],
        }
        tokenizer["model_max_length"] = self.shape.context
        config = self.shape.config(self.net.embed_tokens.num_embeddings)
        for name, value in {"model": said, "config": config, "tokenizer_config": tokenizer}.items():
            (folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")


def load(folder: Path) -> LmModel:
    """The model in a folder; Damaged where its weights do not fit."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    shape = Shape(**said["shape"])
    net = built(shape, int(said["size"]))
    t = part("torch")
    try:
        weights = part("safetensors.torch").load_file(folder / "model.safetensors")
        with t.no_grad():
            for name, one in net.named_parameters():
                one.copy_(weights[f"model.{name}"])
    except (OSError, KeyError, RuntimeError, part("safetensors").SafetensorError) as error:
        raise Damaged(
            "lm_weights", path=str(folder), why=str(error).split("\n", maxsplit=1)[0][:80]
        ) from error
    about = said["task"]
    names = about["input"] if isinstance(about["input"], str) else tuple(about["input"])
    return LmModel(
        task=Task(input=names, target=about["target"], answer=about["answer"]),
        bpe=Bpe(said=(folder / "tokenizer.json").read_text("utf-8")),
        shape=shape,
        net=net.to(device_of(None)).eval(),
        budget=Budget(**said["budget"]),
        writing=Writing(**said["writing"]),
        classes=tuple(said["classes"]),
        prior=tuple(said["prior"]),
        curve=tuple(said["curve"]),
    )


@dataclass(frozen=True, kw_only=True)
class LmScratch:
    """Trainer of language models; see `lm_scratch`. The plan's steps are 0: they follow from the epochs."""

    shape: Shape
    plan: Plan
    vocabulary: int
    epochs: float
    writing: Writing
    repeats: float | None = None
    pooled: str | None = None  # the digest of the pool, which is its identity
    pool: Path | None = field(default=None, metadata={"identity": False})
    left_out: frozenset[int] = field(default=frozenset(), metadata={"identity": False})  # places in the pool

    def apart(self, texts: Sequence[str], task: Task) -> LmScratch:
        """This trainer without the texts of its pool that are, nearly, one of these: exam items."""
        if self.pool is None:
            return self
        return replace(self, left_out=reading.copies(self.pool, reading.foreseen(task), texts))

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> LmModel:
        """A model from nothing: the parent gives no weights. NotEnough without any text."""
        name = reading.foreseen(mixture.task)
        classes, prior = _classes(mixture)
        rows = Rows(mixture.records)
        pool = [] if self.pool is None else reading.without(self.pool, name, self.left_out)
        weight = np.ones(len(rows), np.float32) if mixture.weight is None else mixture.weight
        firsts, texts = reading.before(rows, mixture.task), reading.column(rows, name)
        heard = [a + b for a, b, w in zip(firsts, texts, weight.tolist(), strict=True) if w > 0]
        if not any(heard) and not any(pool):
            raise NotEnough("nothing_to_train", records=len(mixture))
        bpe = learnt(heard + pool, self.vocabulary)
        ids = [*reading.read(rows, mixture.task, bpe)[0], *bpe.encode(pool)]
        every = np.concatenate([weight.astype(np.float32), np.ones(len(pool), np.float32)])
        corpus = corpus_of(ids, every)
        steps = max(1, math.ceil(self.epochs * corpus.windows(self.shape.context) / self.plan.batch))
        plan = replace(self.plan, steps=steps)
        checkpoint = self._checkpoint(corpus.tokens.tobytes() + corpus.weight.tobytes(), len(bpe), plan, seed)
        if plan.processes > 1:
            net, curve = by_many(corpus, len(bpe), self.shape, plan, seed, checkpoint)
        else:
            net, curve = taught(corpus, len(bpe), self.shape, plan, seed, checkpoint)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
        sizes = [len(one) + 1 if w > 0 else 0 for one, w in zip(ids, every.tolist(), strict=True)]
        seen = round(steps * plan.batch / corpus.windows(self.shape.context) * len(corpus.tokens))
        parameters = sum(one.numel() for one in net.parameters())
        return LmModel(
            task=mixture.task,
            bpe=bpe,
            shape=self.shape,
            net=net,
            budget=budget_of(mixture, sizes, seen, parameters, self.repeats),
            writing=self.writing,
            classes=classes,
            prior=prior,
            curve=tuple(curve),
        )

    def _checkpoint(self, body: bytes, size: int, plan: Plan, seed: int) -> Path | None:
        """Where this run, and no other, goes on."""
        if plan.checkpoints is None:
            return None
        named = fingerprint(digest(body), size, self.shape, plan, seed, plan.processes)
        return Path(plan.checkpoints) / f"{named}.safetensors"


def _classes(mixture: Mixture) -> tuple[tuple[str, ...], tuple[float, ...]]:
    if mixture.task.answer != "class":
        return (), ()
    labels = labels_of(mixture)
    counts = np.bincount(labels.y, labels.weight, len(labels.classes)) + 0.5
    return labels.classes, tuple((counts / counts.sum()).tolist())


def lm_scratch(
    shape: Shape | None = None,
    plan: Plan | None = None,
    writing: Writing | None = None,
    *,
    vocabulary: int = 2000,
    epochs: float = 4,
    repeats: float | None = None,
    pool: str | Path | None = None,
) -> LmScratch:
    """A decoder-only transformer from nothing, on the mixture's texts and those of a pool.

    shape, plan, writing: how large it is, how it is trained (its steps follow from the epochs), how it draws;
    vocabulary: tokens of its own byte-pair encoding; epochs: over all texts; repeats: the constant of
    `epochs.fit`, where the project has runs; pool: a file of texts without labels (.jsonl or .txt, .gz), of
    which a wheel leaves out what is an exam item. A run that was killed goes on where its plan has
    checkpoints, byte for byte on the CPU. The same rows and seed give the same model on one machine.
    """
    path = None if pool is None else Path(pool)
    return LmScratch(
        shape=shape or Shape(),
        plan=replace(plan or Plan(steps=0), steps=0),
        vocabulary=vocabulary,
        epochs=epochs,
        writing=writing or Writing(),
        repeats=repeats,
        pooled=None if path is None else reading.pool_digest(path),
        pool=path,
    )
