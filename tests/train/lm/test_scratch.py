"""A decoder from nothing: it learns, foresees, writes, goes on after a kill, and shares its work."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged, InputError, NotEnough, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Rows, Task
from bapsim.judge.exam import log_loss, per_item
from bapsim.store import artifacts
from bapsim.testing import mixture_of
from bapsim.train.lm import foreseen
from bapsim.train.lm.bpe import PAD, TEXT
from bapsim.train.lm.learning import Plan, rate_at
from bapsim.train.lm.packing import Rows as Packed
from bapsim.train.lm.packing import corpus_of
from bapsim.train.lm.scratch import LmModel, Writing, lm_scratch
from bapsim.train.lm.together import Broken, by_many
from bapsim.train.lm.transformer import Shape, within
from tests.train.lm.world import DOCUMENTS, REPLIES, documents, labelled, sentence, small

torch = pytest.importorskip("torch", reason="torch is not installed (the extra [lm])")


@pytest.fixture(scope="module")
def model() -> LmModel:
    return small()(None, documents(0, 120), 1)


def texts(*said: str | None, name: str = "text", **more: list[int]) -> Rows:
    return Rows(pa.record_batch({name: pa.array(said, pa.string()), **more}))


# --- rows of tokens ---------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(2, 7), st.integers(0, 3))
def test_an_epoch_foresees_every_token_once_and_counts_it_for_its_own_text(
    sizes: list[int], context: int, seed: int
) -> None:
    ids = [np.full(size, 10 + i, np.int32) for i, size in enumerate(sizes)]
    weight = np.arange(1, len(sizes) + 1).astype(np.float32)
    if not sum(sizes):
        with pytest.raises(NotEnough):
            corpus_of(ids, weight)
        return
    corpus = corpus_of(ids, weight)
    count = corpus.windows(context)
    for epoch in range(2):
        seen, behind, counts = Packed(corpus=corpus, context=context, seed=seed)(epoch * count, count)
        for i, size in enumerate(sizes):
            assert counts[behind == 10 + i].tolist() == [weight[i]] * size
        assert (behind[counts > 0] == TEXT).sum() == len(sizes), "ends are foreseen too"
        assert (counts.sum(), set(seen[counts == 0].tolist())) == (
            sum((np.array(sizes) + 1) * weight),
            {PAD} if (counts == 0).any() else set(),
        )


def test_rows_of_a_step_do_not_depend_on_the_steps_before() -> None:
    corpus = corpus_of([np.arange(10, 10 + n, dtype=np.int32) for n in range(1, 30)], np.ones(29, np.float32))
    one, other = (Packed(corpus=corpus, context=8, seed=3) for _ in "ab")
    one(0, 500)
    assert all((a == b).all() for a, b in zip(one(777, 5), other(777, 5), strict=True))


def test_what_counts_nothing_is_not_learnt_from() -> None:
    ids = [np.full(3, 10, np.int32), np.full(3, 11, np.int32)]
    assert set(corpus_of(ids, np.array([0, 1], np.float32)).tokens.tolist()) == {TEXT, 11}


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    plan = Plan(steps=100, rate=1.0, warm=0.1)
    rates = [rate_at(plan, step) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


# --- what it learnt ---------------------------------------------------------------------------------


def test_it_foresees_held_out_documents_far_better_than_at_the_start(model: LmModel) -> None:
    assert model.curve[0] == pytest.approx(np.log(len(model.bpe)), abs=0.3)
    assert model.curve[-1] < model.curve[0] - 2
    held = documents(500, 600)
    nats, size = model.losses(Rows(held.records))
    said = held.records.column("text").to_pylist()
    assert size.tolist() == [len(one.encode()) + 1 for one in said]
    begun = small(epochs=0)(None, documents(0, 120), 1)
    assert (nats < begun.losses(Rows(held.records))[0]).mean() > 0.95
    scores = per_item()(model, held)
    assert -log_loss(scores) == pytest.approx(np.mean(nats / size))
    assert model.budget.seen == pytest.approx(8 * model.budget.unique, rel=0.1)


def test_a_chance_of_a_text_does_not_depend_on_its_neighbours_or_what_comes_later(model: LmModel) -> None:
    said = [sentence(i)[0] for i in range(7)] + ["", "x" * 500, "\x00"]
    together = model.losses(texts(*said))[0]
    alone = [model.losses(texts(one))[0][0] for one in said]
    assert together == pytest.approx(alone, rel=1e-4)
    ids = model.bpe.encode(["철수 asks"])[0]
    packed = torch.tensor([[TEXT, *model.bpe.encode(["환불이"])[0].tolist(), TEXT, *ids.tolist()]])
    text = torch.cumsum(packed == TEXT, 1)
    with torch.inference_mode():
        there = model.net(packed, within(text))[0, -len(ids) :]
        alone = model.net(torch.tensor([[TEXT, *ids.tolist()]]))[0, 1:]
    assert torch.allclose(there, alone, atol=1e-4), "no text sees another one in its row"


@settings(max_examples=30)
@given(st.integers(0, 200), st.integers(2, 40))
def test_windows_of_a_long_text_count_each_place_once(size: int, context: int) -> None:
    counted = [
        p for begin, end, first in foreseen._windows(size + 1, context) for p in range(max(begin, first), end)
    ]
    assert counted == list(range(size + 1))


def test_it_writes_by_the_seeds_of_rows_and_not_by_their_neighbours(model: LmModel) -> None:
    ask = texts(*["철수 asks:"] * 20, None, "the", _seed=[*range(20), 3, 3])
    said = model(ask).column("prediction").to_pylist()
    assert said == model(ask).column("text").to_pylist()
    assert all(one.startswith("철수 asks:") for one in said[:20])
    assert len(set(said)) > 15
    for i in (3, 20, 21):
        assert model(Rows(ask.slice(i, 1))).column("prediction")[0].as_py() == said[i]
    assert len(model(texts())) == 0
    assert model(texts("가" * 400, _seed=[1])).column("prediction")[0].as_py().startswith("가" * 400)


def test_keeping_keys_and_values_changes_nothing(model: LmModel) -> None:
    """What it writes when it takes the likeliest token is what it foresees without anything kept."""
    from bapsim.train.lm.sampling import drawn

    prompts = model.bpe.encode(["철수", "the boss asks", ""])
    said = drawn(model.net, model.shape, prompts, [np.zeros(12)] * 3, temperature=0)
    for prompt, one in zip(prompts, said, strict=True):
        ids = [TEXT, *prompt.tolist()]
        for token in one:
            with torch.inference_mode():
                scores = model.net.logits(model.net(torch.tensor([ids])))[0, -1]
            assert token not in (1, 2)
            assert scores[token] > scores[[0, *range(3, len(scores))]].max() - 1e-4
            ids.append(token)


def test_top_p_leaves_the_likely_tokens() -> None:
    from bapsim.train.lm.sampling import chosen

    logits = torch.log(torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.3, 0.15, 0.05]], dtype=torch.float64))
    uniform = np.linspace(0, 0.999, 500)
    many = logits.repeat(500, 1)
    all_of = np.bincount(chosen(many.clone(), uniform, 1.0, 1.0), minlength=7) / 500
    assert all_of == pytest.approx([0, 0, 0, 0.5, 0.3, 0.15, 0.05], abs=0.01)
    likely = np.bincount(chosen(many.clone(), uniform, 1.0, 0.7), minlength=7) / 500
    assert likely == pytest.approx([0, 0, 0, 0.625, 0.375, 0, 0], abs=0.01)
    sharp = np.bincount(chosen(many.clone(), uniform, 0.5, 1.0), minlength=7) / 500
    assert sharp[3] > 0.65
    assert set(chosen(many.clone(), uniform, 0, 1.0).tolist()) == {3}


def test_replies_are_written_to_their_inputs_and_only_the_reply_costs() -> None:
    rows = [{"ask": sentence(i)[0], "reply": f"{sentence(i)[1]} 알겠습니다"} for i in range(100)]
    trained = small()(None, mixture_of(rows, REPLIES), 1)
    asked = Rows(mixture_of(rows[:30], REPLIES).records.select(["ask"]))
    said = trained(asked).column("prediction").to_pylist()
    assert np.mean(["알겠습니다" in one for one in said]) > 0.8
    nats, size = trained.losses(Rows(mixture_of(rows[:30], REPLIES).records))
    assert size.tolist() == [len(r["reply"].encode()) + 1 for r in rows[:30]]
    assert (nats / size).mean() < 0.3


classes = lm_scratch(
    Shape(layers=2, width=32, heads=2, context=64),
    Plan(steps=0, batch=8, rate=5e-3),
    Writing(longest=60),
    vocabulary=300,
    epochs=20,
)


def test_texts_of_a_class_are_drawn_and_told_apart(tmp_path: Path) -> None:
    trained = classes(None, labelled(0, 300), 1)

    held = labelled(500, 600)
    answers = trained(Rows(held.records.select(["text"])))
    right = np.array(answers.column("prediction").to_pylist()) == held.records.column("label").to_pylist()
    assert right.mean() > 0.9
    drawn = trained(texts(*["환불"] * 20, name="label", _seed=list(range(20))))
    assert drawn.schema.names == ["text"]
    again = trained(Rows(drawn))
    assert np.mean(np.array(again.column("prediction").to_pylist()) == "환불") > 0.8
    artifacts.save(tmp_path / "m", trained.save)
    stored = artifacts.load(tmp_path / "m")
    assert stored(Rows(drawn)).equals(again)
    assert trained(texts()).num_rows == 0


def test_a_stored_model_is_the_same_and_a_broken_one_is_said(model: LmModel, tmp_path: Path) -> None:
    artifacts.save(tmp_path / "m", model.save)
    stored = artifacts.load(tmp_path / "m")
    assert isinstance(stored, LmModel)
    held = Rows(documents(500, 520).records)
    assert (stored.losses(held)[0] == model.losses(held)[0]).all()
    assert (stored.task, stored.budget, stored.curve) == (model.task, model.budget, model.curve)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(Damaged):
        artifacts.load(tmp_path / "m")


# --- killed, shared, and what cannot be -------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from tests.train.lm.world import documents, small
small(checkpoints=sys.argv[1], epochs=4)(None, documents(0, 60), 1).save(Path(sys.argv[2]))
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = small(epochs=4)(None, documents(0, 60), 1)
    undisturbed.save(tmp_path / "a")
    assert len(undisturbed.curve) > 8
    call = [sys.executable, "-c", RUN, str(tmp_path / "c"), str(tmp_path / "b")]
    done = subprocess.run(call, env={**os.environ, "BAPSIM_FAULT": "7"}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "c").glob("*.safetensors")
    head = left.read_bytes()
    assert json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])["__metadata__"]
    small(checkpoints=str(tmp_path / "c"), epochs=4)(None, documents(0, 60), 1).save(tmp_path / "b")
    for name in ("model.safetensors", "model.json", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert not list((tmp_path / "c").glob("*.safetensors")), "what a run left is cleared when it is done"


def test_a_checkpoint_that_was_cut_is_said(tmp_path: Path) -> None:
    trainer = small(checkpoints=str(tmp_path), epochs=1)
    unlink = Path.unlink
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        trainer(None, documents(0, 60), 1)
    (left,) = tmp_path.glob("*.safetensors")
    left.write_bytes(left.read_bytes()[:500])
    with pytest.raises(Damaged, match="begins anew"):
        trainer(None, documents(0, 60), 1)
    unlink(left)


def test_parts_and_processes_change_nothing_but_the_last_digits() -> None:
    def curve(**more: object) -> tuple[float, ...]:
        plan = Plan(steps=0, batch=8, rate=1e-2, parts=int(more.pop("parts", 1)))  # type: ignore[call-overload]
        return small(epochs=2, plan=plan, **more)(None, documents(0, 60), 1).curve

    whole, parts, two = curve(), curve(parts=3), curve(processes=2)
    assert parts == pytest.approx(whole, rel=2e-3)
    assert two == pytest.approx(whole, rel=2e-3)
    assert two != whole, "two processes add up in another order: they did share"


def test_half_the_bits_teach_as_well_and_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    def run(**more: object) -> LmModel:
        plan = Plan(steps=0, batch=8, rate=1e-2, **more)  # type: ignore[arg-type]
        return small(epochs=4, plan=plan)(None, documents(0, 60), 1)

    whole, half, again = run(), run(bf16=True), run(bf16=True)
    assert half.curve != whole.curve
    assert half.curve == pytest.approx(whole.curve, rel=2e-2)
    assert half.curve == again.curve
    many = small(epochs=4, plan=Plan(steps=0, batch=8, rate=1e-2, bf16=True), processes=2)
    assert many(None, documents(0, 60), 1).curve == pytest.approx(whole.curve, rel=2e-2)


@pytest.mark.parametrize("half", [False, True])
def test_what_a_compiler_reads_is_one_graph(half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU; the machine code itself is made in benchmarks/lm_scratch.py."""
    made = partial(torch.compile, backend="aot_eager", fullgraph=True)  # a cut graph is an error
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: made(module, dynamic=dynamic))
    plan = Plan(steps=0, batch=8, rate=1e-2, bf16=half)
    whole = small(epochs=2, plan=plan)(None, documents(0, 60), 1)
    read = small(epochs=2, plan=replace(plan, compiled=True))(None, documents(0, 60), 1)
    assert read.curve != whole.curve
    assert read.curve == pytest.approx(whole.curve, rel=2e-2 if half else 1e-4)
    torch.compiler.reset()


def test_a_process_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of([np.full(9, 50, np.int32)], np.ones(1, np.float32))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Broken, match="ended with 1"):
        by_many(corpus, 300, Shape(layers=1, width=8, heads=1, context=4), Plan(steps=1, processes=2), 0)


def test_the_pool_is_learnt_from_too_and_is_known_by_its_content(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl.gz"
    pool.write_bytes(gzip.compress("\n".join(json.dumps({"text": "양자 얽힘"}) for _ in range(40)).encode()))
    plain, more = small(epochs=4), small(epochs=4, pool=pool)
    assert fingerprint(plain) != fingerprint(more)
    asked = texts("양자 얽힘")
    without = plain(None, documents(0, 60), 1)
    learnt = more(None, documents(0, 60), 1)
    assert learnt.losses(asked)[0][0] < without.losses(asked)[0][0] / 3
    assert learnt.budget.unique > learnt.budget.human == pytest.approx(without.budget.human, rel=0.2)
    (tmp_path / "p.txt").write_text("한 글", "utf-8")
    assert fingerprint(small(pool=tmp_path / "p.txt")) != fingerprint(more)
    for name, body in {
        "a.jsonl": b"{",
        "b.jsonl": b'{"text": 3}',
        "c.txt": "가".encode("cp949"),
        "d.txt.gz": b"x",
    }.items():
        (tmp_path / name).write_bytes(body)
        with pytest.raises(InputError):
            small(pool=tmp_path / name)(None, documents(0, 9), 1)
    with pytest.raises(InputError, match="no such file"):
        small(pool=tmp_path / "none.txt")


def test_what_cannot_be_learnt_is_said() -> None:
    with pytest.raises(NotEnough):
        small()(None, mixture_of([{"text": ""}, {"text": None}], DOCUMENTS), 1)
    with pytest.raises(NotEnough):
        small()(None, mixture_of([{"text": "abc"}], DOCUMENTS, weight=[0]), 1)
    with pytest.raises(RecipeError, match="number"):
        small()(None, mixture_of([{"text": "a", "n": 1}], Task(input="text", target="n", answer="number")), 1)
    with pytest.raises(InputError, match="width"):
        lm_scratch(Shape(width=100, heads=3))
