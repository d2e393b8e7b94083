"""The transformer of the laboratory: what a text costs it, what it writes, and that it can be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from bapsim.cli import main
from bapsim.lab.collapse import collapse, joined
from bapsim.lab.transformer import Size, Transformer, learnt, transformers
from bapsim.train.lm.parts import part

TINY = Size(layers=1, width=16, heads=2, context=16, steps=60, batch=16, rate=1e-2)
ROUND = np.arange(2_000) % 7


@pytest.fixture(scope="module")
def knows() -> Transformer:
    return learnt(ROUND, 9, TINY)


def test_what_a_text_costs_is_told_of_every_token_but_two(knows: Transformer) -> None:
    for count in (2, 3, 15, 16, 17, 24, 25, 100):
        assert knows.nats(ROUND[:count]).shape == (max(count - 2, 0),)
    assert knows.nats(ROUND[:400]).mean() < 0.2
    odd = ROUND[:400].copy()
    odd[200] = 8
    assert knows.nats(odd)[198] > 2 > knows.nats(odd)[100]
    t = part("torch")
    with t.inference_mode():  # within one window it is the plain loss of the network
        logits = knows.module.logits(knows.module(t.from_numpy(odd[None, :16])))[0, :-1]
        plain = t.nn.functional.cross_entropy(logits, t.from_numpy(odd[1:16]), reduction="none").numpy()
    assert knows.nats(odd[:16]) == pytest.approx(plain[1:], abs=1e-5)


def test_it_writes_what_it_learnt_and_the_same_seed_the_same_text(knows: Transformer) -> None:
    first, again = (knows.drawn(1_001, np.random.default_rng(3), 0.5) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert len(first) == 1_001
    assert ((first[1:] - first[:-1]) % 7 == 1).mean() > 0.9
    assert knows.drawn(1_001, np.random.default_rng(4), 0.5).tolist() != first.tolist()
    same = learnt(ROUND, 9, TINY)
    assert np.array_equal(same.nats(ROUND[:99]), knows.nats(ROUND[:99]))


def test_strings_are_types() -> None:
    assert joined(np.array([1, 0, 2]), 3, 2).tolist() == [1, 6]
    assert joined(np.array([1, 0, 2]), 3, 1).tolist() == [1, 0, 2]


def test_replacing_people_harms_a_transformer_more_than_keeping_them(data: Path) -> None:
    import gzip

    with gzip.open(data / "tinyshakespeare/input.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read(60_000)
    found = collapse(
        text,
        generations=2,
        seeds=(0,),
        arms=("replace@0.5", "anchor@0.5"),
        most=12_000,
        learner=transformers(TINY),
    )
    replaced, anchored = (found["arms"][name]["loss"][0][-1] for name in ("replace@0.5", "anchor@0.5"))
    assert replaced > anchored
    assert found["people"] > 1
    assert found["arms"]["anchor@0.5"]["coverage"][0][0] == 1


def test_the_verb_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bapsim.lab.transformer.transformers", lambda device: transformers(TINY, device))
    text = tmp_path / "a.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log. " * 200)
    words = ["-C", str(tmp_path), "lab", "collapse", str(text), "--model", "transformer", "--arms", "anchor"]
    size = ["--generations", "1", "--seeds", "1", "--words", "2000"]
    done = CliRunner().invoke(main, [*words, *size, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["model"] == "transformer"
    page = (tmp_path / "collapse" / "index.html").read_text("utf-8")
    assert "A small transformer learnt from" in page
    assert "rare strings" in page
