"""Classification on top of anybody's checkpoint: all weights, or a few beside them for each giver of consent.

With groups, each group's rows teach weights of their own beside the same frozen base (LoRA), and answers are
the mean over groups: who withdraws takes these weights along, and what is left never saw the rows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import digest
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Answers, Records, Rows, Task
from bapsim.train.labels import labels_of
from bapsim.train.lm.checkpoint import identity, longest, lora, network, quiet, tokenizer_of, trained
from bapsim.train.lm.learning import Plan, device_of, learn, steady
from bapsim.train.lm.parts import part
from bapsim.train.lm.reading import BETWEEN, column
from bapsim.train.table import answer

LOADER = "bapsim.train.lm.transfer:load"
BATCH = 32
EVERYBODY = "all"


def texts_of(rows: Rows, task: Task) -> list[str]:
    """The input columns of each row, a line each."""
    columns = [column(rows, name) for name in task.inputs]
    return [BETWEEN.join(cells) for cells in zip(*columns, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferModel:
    """A respondent over texts; groups: whose weights lie beside the base, none where all was trained."""

    task: Task
    classes: tuple[str, ...]
    net: Any
    tokenizer: Any
    context: int
    groups: tuple[str, ...] = ()

    def __call__(self, rows: Rows, /) -> Answers:
        texts = texts_of(rows, self.task)
        heard = self.groups or (None,)
        said = [self._probs(texts, group) for group in heard]
        probs = np.mean(said, axis=0) if texts else np.zeros((0, len(self.classes)))
        return answer(self.classes, probs, np.array([bool(one.strip()) for one in texts], np.float64))

    def _probs(self, texts: Sequence[str], group: str | None) -> NDArray[np.float64]:
        t = part("torch")
        if group is not None:
            self.net.set_adapter(place_of(group))
        device, found = next(self.net.parameters()).device, []
        with t.inference_mode():
            for at in range(0, len(texts), BATCH):
                coded = coded_of(self.tokenizer, texts[at : at + BATCH], self.context)
                logits = self.net(**{name: one.to(device) for name, one in coded.items()}).logits
                found.append(t.softmax(logits.double(), 1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)))

    def without(self, group: str) -> TransferModel:
        """The model that never saw a group's rows; InputError for the only one, or one that is not there."""
        if group not in self.groups or len(self.groups) == 1:
            raise InputError("lm_group", group=group, available=", ".join(self.groups) or "-")
        left = tuple(one for one in self.groups if one != group)
        self.net.set_adapter(place_of(left[0]))
        self.net.delete_adapter(place_of(group))
        return replace(self, groups=left)

    def save(self, folder: Path) -> None:
        """base/ (a checkpoint to others), adapters/NAME/ for each group, model.json (the loader)."""
        folder.mkdir(parents=True, exist_ok=True)
        base = self.net
        if self.groups:
            for group in self.groups:
                self.net.save_pretrained(folder / "adapters", selected_adapters=[place_of(group)])
            base = self.net.get_base_model()
            weights = {_plain(name): one for name, one in base.state_dict().items() if _is_base(name)}
            base.config.save_pretrained(folder / "base")
            whole = {name: one.detach().cpu().clone() for name, one in weights.items()}
            part("safetensors.torch").save_file(
                whole, folder / "base" / "model.safetensors", {"format": "pt"}
            )
        else:
            base.save_pretrained(folder / "base")
        self.tokenizer.save_pretrained(folder / "base")
        said = {
            "loader": LOADER,
            "task": {"input": self.task.inputs, "target": self.task.target},
            "classes": self.classes,
            "context": self.context,
            "groups": self.groups,
        }
        (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def _is_base(name: str) -> bool:
    return "lora_" not in name and ".modules_to_save." not in name


def _plain(name: str) -> str:
    return name.replace(".base_layer.", ".").replace(".original_module.", ".")


def place_of(group: str) -> str:
    """A name that a folder can have, for any group."""
    return re.sub(r"[^a-z0-9]+", "-", group.lower())[:20] + "-" + digest(group.encode())


def coded_of(tokenizer: Any, texts: Sequence[str], context: int) -> Any:
    """Tokens and which of them are there; an empty text is one token that ends it."""
    end = tokenizer.eos_token or tokenizer.sep_token
    said = [one or end for one in texts]
    coded = tokenizer(said, padding=True, truncation=True, max_length=context, return_tensors="pt")
    return {name: coded[name] for name in ("input_ids", "attention_mask")}


def load(folder: Path) -> TransferModel:
    """The model in a folder."""
    said = json.loads((folder / "model.json").read_text("utf-8"))
    base, tokenizer = str(folder / "base"), tokenizer_of(str(folder / "base"))
    classes, groups = tuple(said["classes"]), tuple(said["groups"])
    net = network(base, "SequenceClassification", tokenizer, num_labels=len(classes))
    peft = part("peft")
    for i, group in enumerate(groups):
        at, name = folder / "adapters" / place_of(group), place_of(group)
        with quiet():
            if i == 0:
                net = peft.PeftModel.from_pretrained(net, at, adapter_name=name)
            else:
                net.load_adapter(at, adapter_name=name)
    return TransferModel(
        task=Task(input=tuple(said["task"]["input"]), target=said["task"]["target"]),
        classes=classes,
        net=net.to(device_of(None)).eval(),
        tokenizer=tokenizer,
        context=int(said["context"]),
        groups=groups,
    )


@dataclass(frozen=True, kw_only=True)
class LmTransfer:
    """Trainer of classes of texts; see `lm_transfer`."""

    content: str  # what the start is known by
    plan: Plan
    epochs: float
    rank: int | None
    by: str | None
    context: int
    start: str = field(metadata={"identity": False})

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> TransferModel:
        """A model from the checkpoint, whatever the parent is. RecipeError for a base that is not trained."""
        if mixture.task.answer != "class":
            raise RecipeError("lm_task", answer=mixture.task.answer, inputs=", ".join(mixture.task.inputs))
        classes, y, weight = labels_of(mixture)[:3]
        tokenizer = tokenizer_of(self.start)
        texts = texts_of(Rows(mixture.records), mixture.task)
        if self.rank is not None:
            trained(network(self.start, "CausalLM", tokenizer), tokenizer, texts, self.start)
        with part("torch").random.fork_rng():
            part("torch").manual_seed(0)  # the head, the same for all groups
            net = network(self.start, "SequenceClassification", tokenizer, num_labels=len(classes))
        context = longest(net, self.context)
        groups = self._groups(mixture.records)
        for i, (group, mine) in enumerate(sorted(groups.items())):
            if self.rank is not None:
                config, name = lora(self.rank, "SEQ_CLS"), place_of(group)
                with steady(device_of(self.plan.device), self.plan.threads, seed), quiet():
                    if i == 0:
                        net = part("peft").get_peft_model(net, config, adapter_name=name)
                    else:
                        net.add_adapter(name, config)
                    net.set_adapter(name)
            at = np.flatnonzero(mine & (weight > 0))
            lesson = _Lesson([texts[i] for i in at], y[at], weight[at].astype(np.float32))
            self._fit(net, lesson, tokenizer, context, seed)
        return TransferModel(
            task=Task(input=mixture.task.inputs, target=mixture.task.target),
            classes=classes,
            net=net.eval(),
            tokenizer=tokenizer,
            context=context,
            groups=tuple(sorted(groups)) if self.rank is not None else (),
        )

    def _groups(self, records: Records) -> dict[str, NDArray[np.bool_]]:
        if self.by is None:
            return {EVERYBODY: np.ones(len(records), bool)}
        said = strings(records.column(self.by))
        names = np.array([one or EVERYBODY for one in said], object)
        return {str(name): names == name for name in sorted(set(names.tolist()))}

    def _fit(self, net: Any, lesson: _Lesson, tokenizer: Any, context: int, seed: int) -> None:
        t = part("torch")
        steps = max(1, math.ceil(self.epochs * len(lesson.texts) / self.plan.batch))
        plan = replace(self.plan, steps=steps)
        with steady(device_of(plan.device), plan.threads, seed):
            learn(_judging(net), lambda step: lesson.rows(step, plan.batch, seed, tokenizer, context), plan)
        t.nn.Module.eval(net)


class _Lesson:
    """Texts with classes and weights, by step."""

    def __init__(self, texts: list[str], y: NDArray[np.int64], weight: NDArray[np.float32]) -> None:
        self.texts, self.y, self.weight = texts, y, weight

    def rows(self, step: int, batch: int, seed: int, tokenizer: Any, context: int) -> tuple[list[Any], float]:
        t, n = part("torch"), len(self.texts)
        at = [
            int(np.random.default_rng([seed, place // n]).permutation(n)[place % n])
            for place in range(step * batch, (step + 1) * batch)
        ]
        coded = coded_of(tokenizer, [self.texts[i] for i in at], context)
        y, weight = t.from_numpy(self.y[at]), t.from_numpy(self.weight[at])
        return [coded["input_ids"], coded["attention_mask"], y, weight], float(weight.sum())


def _judging(net: Any) -> Any:
    t = part("torch")

    class Judging(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def parameters(self, recurse: bool = True) -> Any:
            return (one for one in super().parameters(recurse) if one.requires_grad)

        def forward(self, ids: Any, there: Any, y: Any, weight: Any) -> Any:
            logits = self.net(input_ids=ids, attention_mask=there).logits.float()
            return (t.nn.functional.cross_entropy(logits, y, reduction="none") * weight).sum()

    return Judging()


def lm_transfer(
    start: str | Path,
    *,
    rank: int | None = None,
    by: str | None = None,
    epochs: float = 3,
    context: int = 256,
    plan: Plan | None = None,
) -> LmTransfer:
    """Classes of texts, on top of a checkpoint in Hugging Face's form.

    start: a folder, or a hub's id that is on this machine (HF_HUB_OFFLINE=0 lets it be fetched); rank: of
    LoRA's weights beside a frozen base that was trained, None = all weights are trained; by: the column that
    says whose each row is (its consent): each has weights of its own; plan: batch, rate and the rest.
    """
    if by is not None and rank is None:
        raise RecipeError("lora_groups", by=by)
    usual = Plan(steps=0, batch=16, rate=5e-5 if rank is None else 1e-3, decay=0.01)
    return LmTransfer(
        start=str(start),
        content=identity(str(start)),
        plan=usual if plan is None else replace(plan, steps=0),
        epochs=epochs,
        rank=rank,
        by=by,
        context=context,
    )
