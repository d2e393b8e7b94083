"""A language model in ordinary turns: trained, judged text by text, kept; its pool; what a kill left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.plan import exam
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.drawn import drawn_by
from bapsim.judge.exam import accuracy, bits_per_byte, per_item
from bapsim.judge.gate import paired
from bapsim.report.facts import facts
from bapsim.report.words import story
from bapsim.store.project import opened
from bapsim.train.lm.learning import Plan
from bapsim.train.lm.masked import lm_masked
from bapsim.train.lm.scratch import Writing, lm_scratch
from bapsim.train.lm.transformer import Shape
from bapsim.train.text import text_linear
from bapsim.wheel.audit import check
from bapsim.wheel.stock import exam_ids
from bapsim.wheel.turn import run_turn
from bapsim.wheel.withdrawing import withdraw
from tests.wheel.test_permits import CONSENT, given
from tests.wheel.test_permits import recipe as permitted
from tests.wheel.world import Letters, Vouches, founded, letter, origin, sentence

pytest.importorskip("torch", reason="torch is not installed (the extra [lm])")

DOCUMENTS = Task(input="text", target="text", answer="text")


@dataclass(frozen=True)
class Texts:
    """Sentences in the first turn."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            said = pa.array([sentence(i)[0] for i in range(150)])
            yield Draft(rows=Rows(pa.record_batch({"text": said})), origin=origin("file"))


def trainer(**more: Any) -> Any:
    shape = Shape(layers=1, width=32, heads=2, context=48)
    plan = Plan(
        steps=0, batch=16, rate=1e-2, **{k: more.pop(k) for k in ("checkpoints", "every") if k in more}
    )
    return lm_scratch(shape, plan, Writing(longest=40), vocabulary=300, epochs=2, **more)


def recipe_of(train: Any) -> Recipe:
    plan: dict[str, Any] = {"judge": per_item(), "metric": bits_per_byte, "gate": paired(), "exam": exam(40)}
    return Recipe(task=DOCUMENTS, sources={"texts": Texts()}, train=train, folds=2, **plan)


def pool(path: Path, *numbers: int) -> Path:
    path.write_text("".join(json.dumps({"text": sentence(i)[0]}, ensure_ascii=False) + "\n" for i in numbers))
    return path


def test_a_language_model_is_trained_judged_and_kept_without_exam_items_in_its_pool(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    train = trainer(pool=pool(tmp_path / "pool.jsonl", *range(150), *range(900, 960)))
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe_of(train), say=lambda key, **more: said.append((key, more)))
        assert (told["verdict"], told["opponent"]) == ("accept", "bytes")
        (left,) = [more["texts"] for key, more in said if key == "pool_apart"]
        items = len(exam_ids(project.ledger))
        assert items == 40 <= left < 60, "each exam item, and what hardly differs from one"
        assert check(project, recipe_of(train))["ok"]
        read = told["budget"]
        assert read["human"] < read["unique"], "whose texts the pool holds is not known"
        assert read["epochs"] == pytest.approx(2, rel=0.2)
        for lang, word in (("en", "tokens"), ("ko", "토큰")):
            assert any(word in one for one in story(facts(project), lang).sentences)


def test_what_is_left_out_of_a_pool_is_not_read(tmp_path: Path) -> None:
    path = pool(tmp_path / "pool.jsonl", *range(900, 960))
    whole = trainer(pool=path)
    without = whole.apart([f"  {sentence(900)[0]}", sentence(901)[0]], DOCUMENTS)
    assert without.left_out >= {0, 1}
    assert without == replace(whole, left_out=without.left_out)
    assert whole.apart([], DOCUMENTS).left_out == frozenset()
    assert trainer().apart(["x"], DOCUMENTS) == trainer()
    masked = lm_masked(pool=path).apart([sentence(903)[0]], Task(input="text", target="intent"))
    assert 3 in masked.left_out
    one = tmp_path / "book.txt"
    one.write_text(f"Once upon a time. {sentence(900)[0]}\nThe end.")
    with pytest.raises(InputError, match="1 exam item"):
        trainer(pool=one).apart([sentence(900)[0]], DOCUMENTS)
    assert trainer(pool=one).apart([sentence(901)[0]], DOCUMENTS).left_out == frozenset()


def test_a_generator_s_pool_holds_nothing_that_it_is_judged_by(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    path = tmp_path / "pool.jsonl"
    texts = [json.dumps({"text": letter(i, None)["text"]}, ensure_ascii=False) for i in range(220)]
    path.write_text("\n".join(texts))
    writer = trainer(pool=path)
    history = Letters((tuple(range(220)),))
    task = Task(input="text", target="intent")
    plan: dict[str, Any] = {"judge": per_item(), "metric": accuracy, "gate": paired(), "exam": exam(60)}
    recipe = Recipe(
        task=task,
        sources={"history": history, "made": drawn_by("writer", only=("card",), count=4)},
        generators={"writer": writer},
        checks={"vouches": Vouches()},
        train=text_linear(),
        folds=2,
        **plan,
    )
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        run_turn(project, recipe, say=lambda key, **more: said.append((key, more)))
    (left,) = [more["texts"] for key, more in said if key == "pool_apart"]
    assert left >= 60 + (220 - 60) // 8, "exam items, and the fifth of people's rows that judges what is made"


def test_withdrawal_removes_a_training_that_never_went_on(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    folder = root / "lm"
    folder.mkdir()
    save_file = pytest.importorskip("safetensors.numpy").save_file
    killed, other = folder / f"{'a1' * 16}.safetensors", folder / "mine.safetensors"
    for path in (killed, other):
        save_file({"weight": np.zeros(3, np.float32)}, path)
    given(root, "a", {}, range(5000, 5006))
    recipe = permitted(generators={"writer": trainer(checkpoints=str(folder))})
    with opened(root) as project:
        run_turn(project, recipe)
        report = withdraw(project, recipe, CONSENT.format("a" * 12))
        assert not killed.exists()
        assert other.exists(), "what no trainer named is not ours"
        gone = {"path": f"lm/{killed.name}", "how": "deleted", "parts": 0, "why": "half_trained"}
        assert gone in report["body"]["files"]
