"""Writing on top of anybody's checkpoint, by trl: replies that were shown, and replies that were preferred.

Shown (supervised fine-tuning): rows of inputs and a reply, with the reason in front where a column holds one,
or whole dialogues as messages. Preferred (direct preference optimisation, Rafailov et al. 2023): rows of a
prompt, the text that was chosen and the one that was rejected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Rows, Task
from bapsim.train.lm import reading
from bapsim.train.lm.checkpoint import CHAT, identity, longest, lora, network, quiet, tokenizer_of, trained
from bapsim.train.lm.learning import device_of, steady
from bapsim.train.lm.parts import part

LOADER = "bapsim.train.lm.tuning:load"
PREFERRED = ("prompt", "chosen", "rejected")
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How it is trained: epochs over the rows, rows at once and in how many parts, the largest rate, LoRA's
    rank (None = all weights), tokens that are looked at, and of preferences how strongly the start holds.
    """

    epochs: float = 3
    batch: int = 8
    parts: int = 1
    rate: float = 5e-5
    rank: int | None = None
    context: int = 512
    beta: float = 0.1
    threads: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class TunedModel:
    """A respondent that writes replies; told: what trl reported of each step of training."""

    task: Task
    net: Any
    tokenizer: Any
    context: int
    longest: int = 128
    temperature: float = 0.0
    classes: tuple[str, ...] = ()
    told: tuple[dict[str, float], ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        """`prediction`: a reply to each row; with a temperature by the column `_seed`, if there is one. The
        column `_temperature` says how warm each is drawn.
        """
        how = reading.seeds_of(rows, 0), reading.warmth_of(rows, self.temperature)
        said = [self._reply(*one) for one in zip(self._prompts(rows), *how, strict=True)]
        return Answers(pa.record_batch([pa.array(said, pa.string())], names=["prediction"]))

    def _prompts(self, rows: Rows) -> list[list[int]]:
        return [self.tokenizer(one, add_special_tokens=False).input_ids for one in prompts_of(rows, self)]

    def _reply(self, prompt: list[int], seed: int, warm: float) -> str:
        t = part("torch")
        device = next(self.net.parameters()).device
        room = max(1, self.context - self.longest)
        ids = t.tensor([(prompt or [self.tokenizer.eos_token_id])[-room:]], device=device)
        how: dict[str, Any] = {"do_sample": False}
        if warm > 0:
            how = {"do_sample": True, "temperature": warm, "top_k": 0}
        with t.random.fork_rng(), t.inference_mode():
            t.manual_seed(seed)
            out = self.net.generate(ids, attention_mask=t.ones_like(ids), max_new_tokens=self.longest, **how)
        said: str = self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return said

    def losses(self, rows: Rows, /) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What each target costs with its end, in nats, float64[n]; its UTF-8 bytes, the end counted as one,
        int64[n]. Of what is longer than the context the end is foreseen.
        """
        t = part("torch")
        device = next(self.net.parameters()).device
        said = reading.column(rows, self.task.target)
        size = np.array([len(one.encode("utf-8", "replace")) + 1 for one in said], np.int64)
        whole = np.zeros(len(said))
        end = self.tokenizer.eos_token_id
        with t.inference_mode():
            for i, (prompt, text) in enumerate(zip(self._prompts(rows), said, strict=True)):
                target = [*self.tokenizer(text, add_special_tokens=False).input_ids, end]
                ids = [*(prompt or [end]), *target][-self.context :]
                count = min(len(target), len(ids) - 1)
                logits = self.net(input_ids=t.tensor([ids], device=device)).logits[0, -count - 1 : -1]
                behind = t.tensor(ids[-count:], device=device)
                lost = t.nn.functional.cross_entropy(logits.float(), behind, reduction="sum")
                whole[i] = float(lost) * len(target) / max(1, count)
        return whole, size

    def save(self, folder: Path) -> None:
        """checkpoint/ (as others read it) and model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.net.save_pretrained(folder / "checkpoint")
        self.tokenizer.save_pretrained(folder / "checkpoint")
        said = {
            "loader": LOADER,
            "task": {"input": self.task.inputs, "target": self.task.target, "answer": "text"},
            "context": self.context,
            "longest": self.longest,
            "temperature": self.temperature,
            "told": self.told,
        }
        (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def prompts_of(rows: Rows, model: TunedModel) -> list[str]:
    """What stands before each reply, as it did in training."""
    names = [name for name in model.task.inputs if name not in (model.task.target, "rejected")]
    if len(names) == 1 and names[0] in rows.schema.names and _are_messages(rows, names[0]):
        chats: Sequence[Any] = rows.column(names[0]).to_pylist()
        render = model.tokenizer.apply_chat_template
        return [render(one or [], tokenize=False, add_generation_prompt=True) for one in chats]
    task = Task(input=tuple(names), target=model.task.target, answer="text") if names else None
    return reading.before(rows, task) if task is not None else [""] * len(rows)


def _are_messages(rows: Rows, name: str) -> bool:
    kind = rows.schema.field(name).type
    return pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)


def load(folder: Path) -> TunedModel:
    """The model in a folder."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    start = str(folder / "checkpoint")
    tokenizer = tokenizer_of(start)
    about = said["task"]
    return TunedModel(
        task=Task(input=tuple(about["input"]), target=about["target"], answer="text"),
        net=network(start, "CausalLM", tokenizer).to(device_of(None)),
        tokenizer=tokenizer,
        **{name: said[name] for name in ("context", "longest", "temperature")},
        told=tuple(said["told"]),
    )


@dataclass(frozen=True, kw_only=True)
class LmTune:
    """Trainer of replies; see `lm_tune` and `lm_prefer`."""

    content: str  # what the start is known by
    how: Tuning
    goal: Literal["shown", "preferred"]
    reasons: str | None = None
    longest: int = 128
    temperature: float = 0.0
    start: str = field(metadata={"identity": False})

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> TunedModel:
        """A model from the checkpoint, whatever the parent is."""
        if mixture.task.answer != "text":
            raise RecipeError("lm_task", answer=mixture.task.answer, inputs=", ".join(mixture.task.inputs))
        tokenizer = tokenizer_of(self.start)
        tokenizer.padding_side = "right"
        if tokenizer.chat_template is None:
            tokenizer.chat_template = CHAT
        rows = (shown if self.goal == "shown" else preferred)(mixture, tokenizer, self.reasons)
        if not rows:
            raise NotEnough("nothing_to_train", records=len(mixture))
        net = network(self.start, "CausalLM", tokenizer)
        if self.how.rank is not None:
            trained(net, tokenizer, [str(one[k]) for one in rows[:16] for k in sorted(one)], self.start)
        context = longest(net, self.how.context)
        with steady(device_of(None), self.how.threads, seed), TemporaryDirectory() as place, quiet():
            net, told = _by_trl(self, net, tokenizer, rows, (context, seed, place))
        return TunedModel(
            task=mixture.task,
            net=net.to(device_of(None)).eval(),
            tokenizer=tokenizer,
            context=context,
            longest=min(self.longest, context - 1),
            temperature=self.temperature,
            told=tuple(told),
        )


def _by_trl(
    trainer: LmTune, net: Any, tokenizer: Any, rows: list[dict[str, Any]], run: tuple[int, int, str]
) -> tuple[Any, list[dict[str, float]]]:
    """The network as trl left it, LoRA's weights added in; what it reported of each step."""
    trl, how = part("trl"), trainer.how
    context, seed, place = run
    cuda = device_of(None).type == "cuda"
    common = {
        "output_dir": place,
        "num_train_epochs": how.epochs,
        "per_device_train_batch_size": max(1, how.batch // how.parts),
        "gradient_accumulation_steps": how.parts,
        "learning_rate": how.rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,
        "max_length": context,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
        "use_cpu": not cuda,
        "bf16": cuda,
        "activation_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": cuda,
    }
    part("datasets").disable_progress_bars()
    data = part("datasets").Dataset.from_list(rows)
    peft = None if how.rank is None else lora(how.rank, "CAUSAL_LM")
    given = {"model": net, "train_dataset": data, "processing_class": tokenizer, "peft_config": peft}
    if trainer.goal == "shown":
        whole = "messages" in rows[0]
        config = trl.SFTConfig(**common, assistant_only_loss=whole, completion_only_loss=not whole)
        work = trl.SFTTrainer(args=config, **given)
    else:
        work = trl.DPOTrainer(args=trl.DPOConfig(**common, beta=how.beta), **given)
    work.remove_callback(part("transformers").PrinterCallback)
    work.train()
    told = [{k: float(v) for k, v in one.items()} for one in work.state.log_history if "loss" in one]
    return (work.model if peft is None else work.model.merge_and_unload()), told


# --- rows as trl reads them -------------------------------------------------------------------------


def shown(mixture: Mixture, tokenizer: Any, reasons: str | None) -> list[dict[str, Any]]:
    """Whole dialogues as `messages`, or `prompt` and `completion`; a row of weight 0 is left out."""
    task, rows = mixture.task, Rows(mixture.records)
    heard = _heard(mixture)
    if task.documents and _are_messages(rows, task.target):
        chats: Sequence[Any] = rows.column(task.target).to_pylist()
        return [{"messages": one} for one, there in zip(chats, heard, strict=True) if there and one]
    model = TunedModel(task=task, net=None, tokenizer=tokenizer, context=0)
    said = reading.column(rows, task.target)
    why = (
        [f"{one}{reading.BETWEEN}" if one else "" for one in reading.column(rows, reasons)]
        if reasons
        else None
    )
    pairs = zip(prompts_of(rows, model), why or [""] * len(said), said, heard, strict=True)
    end = tokenizer.eos_token
    return [{"prompt": a, "completion": f"{b}{c}{end}"} for a, b, c, there in pairs if there and c]


def preferred(mixture: Mixture, tokenizer: Any, reasons: str | None) -> list[dict[str, Any]]:
    """prompt, chosen, rejected; InputError where one of them is missing."""
    rows = Rows(mixture.records)
    absent = [name for name in PREFERRED if name not in rows.schema.names]
    if absent:
        named = ", ".join(n for n in rows.schema.names if not n.startswith("_"))
        raise InputError("lm_preference", columns=", ".join(absent), available=named)
    prompts, chosen, rejected = (reading.column(rows, name) for name in PREFERRED)
    heard, end = _heard(mixture), tokenizer.eos_token
    found = zip(prompts, chosen, rejected, heard, strict=True)
    between = reading.BETWEEN
    return [
        {"prompt": f"{a}{between}", "chosen": f"{b}{end}", "rejected": f"{c}{end}"}
        for a, b, c, there in found
        if there and b and c and b != c
    ]


def _heard(mixture: Mixture) -> NDArray[np.bool_]:
    return np.ones(len(mixture), bool) if mixture.weight is None else np.asarray(mixture.weight > 0)


def _tuner(
    start: str | Path, how: Tuning | None, goal: Literal["shown", "preferred"]
) -> Callable[..., LmTune]:
    def made(**more: Any) -> LmTune:
        named = identity(str(start))
        return LmTune(start=str(start), content=named, how=how or Tuning(), goal=goal, **more)

    return made


def lm_tune(
    start: str | Path,
    how: Tuning | None = None,
    *,
    reasons: str | None = None,
    longest: int = 128,
    temperature: float = 0.0,
) -> LmTune:
    """Replies that were shown, on top of a checkpoint: `Task(input=..., target=..., answer="text")`.

    An input of messages (a list of role and content) goes through the tokenizer's chat template; a target of
    messages that is its own input is a dialogue, and its assistant's part is learnt. reasons: a column with
    why, which is written before the reply; longest: tokens of a reply.
    """
    return _tuner(start, how, "shown")(reasons=reasons, longest=longest, temperature=temperature)


def lm_prefer(
    start: str | Path, how: Tuning | None = None, *, longest: int = 128, temperature: float = 0.0
) -> LmTune:
    """Replies that were preferred, on top of a checkpoint that already replies: rows of prompt, chosen and
    rejected, `Task(input=("prompt", "rejected"), target="chosen", answer="text")`.
    """
    return _tuner(start, how, "preferred")(longest=longest, temperature=temperature)
