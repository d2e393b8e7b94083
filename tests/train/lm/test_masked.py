"""An encoder that fills gaps first: what it learns without labels serves it with few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import Damaged, InputError, RecipeError
from bapsim.core.records import Rows
from bapsim.store import artifacts
from bapsim.train.lm.bpe import MASK
from bapsim.train.lm.learning import Plan
from bapsim.train.lm.masked import hidden, lm_masked
from bapsim.train.lm.transformer import Shape
from tests.train.lm.world import documents, labelled, sentence

pytest.importorskip("torch", reason="torch is not installed (the extra [lm])")


def test_a_gap_is_hidden_replaced_or_left_and_nothing_else_changes() -> None:
    ids = np.random.default_rng(0).integers(0, 300, (200, 100))
    seen, guessed = hidden(ids, 300, np.random.default_rng(1))
    there = guessed > 0
    assert (seen[~there] == ids[~there]).all()
    assert not there[ids <= MASK].any(), "marks are not guessed"
    assert there[ids > MASK].mean() == pytest.approx(0.15, abs=0.01)
    assert (seen[there] == MASK).mean() == pytest.approx(0.8, abs=0.03)
    assert (seen[there] == ids[there]).mean() == pytest.approx(0.1, abs=0.03)


def test_it_fills_gaps_then_tells_classes_apart_and_is_kept(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("\n".join(json.dumps({"text": sentence(i)[0]}) for i in range(1000, 1150)), "utf-8")
    shape = Shape(layers=2, width=32, heads=2, context=32)
    plan = Plan(steps=0, batch=16, rate=5e-3)
    trainer = lm_masked(shape, plan, vocabulary=300, filling=8, epochs=10, pool=pool)
    model = trainer(None, labelled(0, 40), 1)
    assert np.mean(model.gaps[-10:]) < model.gaps[0] - 2
    held = labelled(500, 600)
    said = model(Rows(held.records.select(["text"])))
    assert np.mean(np.array(said.column("prediction")) == np.array(held.records.column("label"))) > 0.9
    artifacts.save(tmp_path / "m", model.save)
    odd = Rows(pa.record_batch({"text": pa.array(["", None, "가" * 999])}))
    assert artifacts.load(tmp_path / "m")(odd).equals(model(odd))
    assert len(model(Rows(odd.slice(0, 0)))) == 0
    alone = model(Rows(odd.slice(0, 1))).column("probs")[0].as_py()
    assert model(odd).column("probs")[0].as_py() == pytest.approx(alone, abs=1e-5), "padding says nothing"
    again = trainer(None, labelled(0, 40), 1)
    assert again(odd).equals(model(odd))
    (tmp_path / "m" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(Damaged):
        artifacts.load(tmp_path / "m")


def test_what_it_cannot_learn_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="text"):
        lm_masked()(None, documents(0, 9), 1)
    with pytest.raises(InputError, match="no such file"):
        lm_masked(pool=tmp_path / "none.jsonl")
