"""Checkpoints of others, offline: what is trained moves, what is frozen does not, consent is taken back."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows, Task
from bapsim.judge.exam import log_loss, per_item
from bapsim.store import artifacts
from bapsim.testing import mixture_of
from bapsim.train.lm.learning import Plan
from bapsim.train.lm.scratch import lm_scratch
from bapsim.train.lm.transfer import EVERYBODY, TransferModel, lm_transfer, place_of
from bapsim.train.lm.transformer import Shape
from bapsim.train.lm.tuning import TunedModel, Tuning, lm_prefer, lm_tune, shown
from tests.train.lm.world import DOCUMENTS, KINDS, REPLIES, documents, labelled, sentence, small

for name in ("torch", "transformers", "trl", "peft"):
    pytest.importorskip(name, reason=f"{name} is not installed (the extra [lm])")

FAST = Plan(steps=0, batch=8, rate=2e-2, decay=0.01)
PAIRS = Task(input=("prompt", "rejected"), target="chosen", answer="text")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise AssertionError(f"a look at the network: {args[:2]}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base") / "m"
    trainer = lm_scratch(
        Shape(layers=2, width=32, heads=2, context=64),
        Plan(steps=0, batch=8, rate=1e-2),
        vocabulary=300,
        epochs=10,
    )
    trainer(None, documents(0, 200), 1).save(folder)
    return str(folder)


def right(model: Any, held: Mixture) -> float:
    answers = model(Rows(held.records.select(["text"])))
    return float(np.mean(np.array(answers.column("prediction")) == np.array(held.records.column("label"))))


HELD = labelled(500, 560)


def test_what_this_project_trained_is_a_checkpoint_to_others_with_the_same_numbers(base: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ours = artifacts.load(Path(base))
    ids = torch.tensor([[0, *ours.bpe.encode(["철수 asks: 환불이"])[0].tolist()]])  # type: ignore[attr-defined]
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(base)(ids).logits
        assert torch.allclose(ours.net.logits(ours.net(ids)), theirs, atol=1e-4)  # type: ignore[attr-defined]


def test_all_weights_learn_classes_and_are_kept(base: str, tmp_path: Path) -> None:
    trainer = lm_transfer(base, epochs=4, plan=Plan(steps=0, batch=8, rate=3e-3))
    model = trainer(None, labelled(0, 100), 1)
    assert right(model, HELD) > 0.9
    artifacts.save(tmp_path / "m", model.save)
    stored = artifacts.load(tmp_path / "m")
    odd = Rows(pa.record_batch({"text": pa.array(["", None, "가" * 3000, "\x00"])}))
    for rows in (Rows(HELD.records.select(["text"])), odd):
        ours, theirs = (np.array(m(rows).column("probs").to_pylist()) for m in (model, stored))
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert model(odd).column("in_scope").to_pylist() == [0, 0, 1, 1]
    assert len(model(Rows(odd.slice(0, 0)))) == 0


def given(begin: int, end: int) -> Mixture:
    rows = [
        {"text": sentence(i)[0], "label": sentence(i)[1], "consent": "김 a" if i // 2 % 2 else "b"}
        for i in range(begin, end)
    ]
    return mixture_of(rows, Task(input="text", target="label", group="consent"))


def test_each_giver_has_weights_beside_an_unchanged_base_and_taking_them_back_leaves_no_trace(
    base: str, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    trainer = lm_transfer(base, rank=8, by="consent", epochs=8, plan=FAST)
    both = given(0, 160)
    model = trainer(None, both, 1)
    assert model.groups == ("b", "김 a")
    assert right(model, HELD) > 0.8
    artifacts.save(tmp_path / "m", model.save)
    for group in model.groups:
        beside = load_file(tmp_path / "m" / "adapters" / place_of(group) / "adapter_model.safetensors")
        assert min(float(w.abs().max()) for n, w in beside.items() if "lora_B" in n) > 1e-4
    before, after = (
        load_file(f) for f in (Path(base) / "model.safetensors", tmp_path / "m/base/model.safetensors")
    )
    assert all((after[name] == weight).all() for name, weight in before.items())
    stored = artifacts.load(tmp_path / "m")
    assert isinstance(stored, TransferModel)
    rows = Rows(HELD.records.select(["text"]))
    assert np.allclose(*(np.array(m(rows).column("probs").to_pylist()) for m in (model, stored)), atol=1e-6)
    alone = mixture_of(
        [
            {k: r[k] for k in ("text", "label", "consent")}
            for r in both.records.to_pylist()
            if r["consent"] == "b"
        ],
        both.task,
    )
    never = trainer(None, alone, 1)
    left = stored.without("김 a")
    assert left.groups == never.groups == ("b",)
    assert np.allclose(*(np.array(m(rows).column("probs").to_pylist()) for m in (left, never)), atol=1e-6)
    artifacts.save(tmp_path / "left", left.save)
    assert place_of("김 a") not in str(list((tmp_path / "left").rglob("*")))
    with pytest.raises(InputError, match="all that was taught"):
        left.without("b")


def test_a_base_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    small(epochs=0)(None, documents(0, 60), 1).save(tmp_path / "empty")
    with pytest.raises(RecipeError, match="chance"):
        lm_transfer(tmp_path / "empty", rank=8)(None, labelled(0, 40), 1)
    rows = mixture_of([{"ask": "a", "reply": "b c d"}] * 4, REPLIES)
    with pytest.raises(RecipeError, match="chance"):
        lm_tune(tmp_path / "empty", Tuning(rank=4))(None, rows, 1)


def replies(begin: int, end: int) -> Mixture:
    rows = [{"ask": sentence(i)[0], "reply": "the boss asks: 언제 오나요"} for i in range(begin, end)]
    return mixture_of(rows, REPLIES)


@pytest.fixture(scope="module")
def replying(base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    model = lm_tune(base, Tuning(epochs=4, rate=5e-3), longest=40)(None, replies(0, 80), 1)
    assert model.told[-1]["loss"] < model.told[0]["loss"] / 4
    held = replies(300, 310)
    said = model(Rows(held.records.select(["ask"]))).column("prediction").to_pylist()
    assert said == ["the boss asks: 언제 오나요"] * 10
    how = {"_seed": [2**60, 2**60 + 1], "_temperature": [0.0, 9.0]}
    warm = pa.record_batch({"ask": held.records.column("ask").slice(0, 2), **how})
    cool, odd = model(Rows(warm)).column("prediction").to_pylist()
    assert (cool, odd == cool) == (said[0], False)
    folder = tmp_path_factory.mktemp("replying") / "m"
    artifacts.save(folder, model.save)
    stored = artifacts.load(folder)
    assert isinstance(stored, TunedModel)
    assert stored(Rows(held.records.select(["ask"]))).column("prediction").to_pylist() == said
    assert -log_loss(per_item()(stored, held)) < 0.2
    return str(folder / "checkpoint")


def test_preferences_move_the_margin(replying: str) -> None:
    rows = [
        {
            "prompt": sentence(i)[0],
            "chosen": "the boss asks: 언제 오나요",
            "rejected": "my neighbour asks: money",
        }
        for i in range(60)
    ]
    trainer = lm_prefer(replying, Tuning(epochs=2, rate=1e-3), longest=40)
    model = trainer(None, mixture_of(rows, PAIRS), 1)
    first, last = model.told[0], model.told[-1]
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-3)
    assert last["rewards/margins"] > 0.5
    assert last["loss"] < 0.5 < first["loss"]
    assert model(Rows(mixture_of(rows[:2], PAIRS).records)).column("prediction")[0].as_py()
    with pytest.raises(InputError, match="missing: rejected"):
        trainer(
            None,
            mixture_of(
                [{"prompt": "a", "chosen": "b"}], Task(input="prompt", target="chosen", answer="text")
            ),
            1,
        )
    with pytest.raises(NotEnough):
        trainer(None, mixture_of([{"prompt": "a", "chosen": "b", "rejected": "b"}], PAIRS), 1)


def test_of_a_dialogue_the_assistant_is_learnt_and_few_weights_suffice(base: str) -> None:
    rows = [
        {
            "chat": [
                {"role": "user", "content": sentence(i)[0]},
                {"role": "assistant", "content": "refund 언제 오나요"},
            ]
        }
        for i in range(40)
    ]
    mixture = mixture_of(rows, Task(input="chat", target="chat", answer="text"))
    model = lm_tune(base, Tuning(epochs=4, rate=2e-2, rank=8), longest=10)(None, mixture, 1)
    assert model.told[-1]["loss"] < model.told[0]["loss"] - 1
    asked = pa.array([[{"role": "user", "content": sentence(77)[0]}]])
    assert model(Rows(pa.record_batch({"chat": asked}))).column("prediction")[0].as_py() != ""


def test_the_reason_stands_before_the_reply() -> None:
    class Ends:
        eos_token = "<end>"

    rows = [
        {"ask": "a", "reply": "b", "why": "c"},
        {"ask": "d", "reply": "e", "why": None},
        {"ask": "f", "reply": None, "why": "g"},
    ]
    said = shown(mixture_of(rows, REPLIES), Ends(), "why")
    assert [(one["prompt"], one["completion"]) for one in said] == [("a\n", "c\nb<end>"), ("d\n", "e<end>")]


def test_what_cannot_be_started_from_is_said(base: str, tmp_path: Path) -> None:
    for start in (tmp_path / "none", "nobody/nothing"):
        with pytest.raises(InputError, match="cannot be used"):
            lm_transfer(start)(None, labelled(0, 10), 1)
    with pytest.raises(RecipeError, match="rank=8"):
        lm_transfer(base, by="consent")
    with pytest.raises(RecipeError, match="text"):
        lm_transfer(base)(None, documents(0, 10), 1)
    with pytest.raises(RecipeError, match="class"):
        lm_tune(base)(None, labelled(0, 10), 1)
    assert fingerprint(lm_transfer(base)) != fingerprint(lm_transfer(base, rank=8))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in Path(base).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert fingerprint(lm_tune(base)) == fingerprint(lm_tune(copy)), "a place is no identity"
    (copy / "config.json").write_text("{}")
    assert fingerprint(lm_tune(base)) != fingerprint(lm_tune(copy))
    assert (DOCUMENTS.documents, KINDS.documents, EVERYBODY) == (True, False, "all")
