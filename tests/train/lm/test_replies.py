"""A decoder that learns replies alone, row by row, and goes on from a model's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import NotEnough, RecipeError
from bapsim.core.records import Rows
from bapsim.store import artifacts
from bapsim.testing import mixture_of
from bapsim.train.lm.bpe import PAD, TEXT
from bapsim.train.lm.learning import Plan
from bapsim.train.lm.replies import LmReplies, batches, lines_of, lm_replies
from bapsim.train.lm.scratch import LmModel, Writing
from bapsim.train.lm.transformer import Shape
from tests.train.lm.world import DOCUMENTS, REPLIES

torch = pytest.importorskip("torch", reason="torch is not installed (the extra [lm])")
ROWS = [{"ask": f"{a}{b}{c}", "reply": f"{c}{a}"} for a in "abc" for b in "xyz" for c in "abc"]
SEEN, HELD = ROWS[::2], ROWS[1::2]
WRITING = Writing(temperature=0.0, longest=4)


def trainer(steps: int = 90, onward: int = 10) -> LmReplies:
    shape = Shape(layers=1, width=32, heads=2, context=16)
    return lm_replies(shape, Plan(steps=steps, batch=14, rate=1e-2), WRITING, onward=onward)


@pytest.fixture(scope="module")
def model() -> LmModel:
    return trainer()(None, mixture_of(SEEN, REPLIES), 1)


def asks(*said: str, **more: list[float]) -> Rows:
    return Rows(pa.record_batch({"ask": list(said), **more}))


def ids(*said: int) -> np.ndarray:
    return np.array(said, np.int32)


def test_a_row_counts_where_its_reply_stands() -> None:
    lines = lines_of([ids(7, 8, 9), ids(5, 6)], [2, 0], np.array([1, 0.5], np.float32), 8)
    assert lines.tokens.tolist() == [[TEXT, 7, 8, 9, TEXT], [TEXT, 5, 6, TEXT, PAD]]
    assert lines.weight.tolist() == [[0, 0, 1, 1], [0.5, 0.5, 0.5, 0]]
    long = lines_of([ids(*range(10, 20))], [8], np.ones(1, np.float32), 4)
    assert long.tokens.tolist() == [[16, 17, 18, 19, TEXT]]
    assert long.weight.sum() == 3  # two tokens of the reply, and the end


def test_every_row_comes_once_an_epoch() -> None:
    lines = lines_of([ids(i + 10) for i in range(7)], [0] * 7, np.ones(7, np.float32), 4)
    step = batches(lines, Plan(steps=9, batch=5), 3)
    seen = [one for n in range(7) for one in step(n)[0][0][:, 1].tolist()]
    for epoch in range(5):
        assert sorted(seen[7 * epoch : 7 * epoch + 7]) == list(range(10, 17))
    assert seen[:7] != seen[7:14]
    assert step(0)[1] == 10.0  # a token and an end in each of five rows


def test_it_replies_to_what_it_has_not_seen(model: LmModel) -> None:
    said = model(asks(*(row["ask"] for row in HELD))).column("prediction").to_pylist()
    right = np.mean([one == row["reply"] for one, row in zip(said, HELD, strict=True)])
    assert right > 0.5  # chance is one in nine


def test_the_same_seed_gives_the_same_weights_and_a_folder_gives_them_back(
    model: LmModel, tmp_path: Path
) -> None:
    one, other = (trainer(9)(None, mixture_of(SEEN, REPLIES), 1) for _ in range(2))
    for mine, yours in zip(one.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(mine, yours)
    artifacts.save(tmp_path / "m", model.save)
    loaded = artifacts.load(tmp_path / "m")
    rows = asks("axb", "cyc")
    assert loaded(rows).equals(model(rows))


def test_it_goes_on_from_the_weights_that_it_is_given(model: LmModel) -> None:
    more = trainer()(model, mixture_of(ROWS, REPLIES), 2)
    assert (len(model.curve), len(more.curve)) == (90, 10)
    assert more.curve[0] < 0.5 * model.curve[0]
    kept = {name: one.clone() for name, one in model.net.state_dict().items()}
    trainer()(model, mixture_of(ROWS, REPLIES), 3)
    assert all(torch.equal(one, kept[name]) for name, one in model.net.state_dict().items())
    other = lm_replies(Shape(layers=1, width=16, heads=2, context=16), Plan(steps=5, batch=4), WRITING)
    assert len(other(model, mixture_of(SEEN, REPLIES), 1).curve) == 5  # another shape: from nothing


def test_how_warm_each_row_is_drawn(model: LmModel) -> None:
    rows = asks(*["bzc"] * 12, _seed=list(range(2**60, 2**60 + 12)), _temperature=[0.0] * 6 + [9.0] * 6)
    said = model(rows).column("prediction").to_pylist()
    assert len(set(said[:6])) == 1
    assert len(set(said[6:])) > 3
    alone = model(Rows(rows.slice(8, 1))).column("prediction").to_pylist()
    assert alone == said[8:9]


def test_rows_of_no_weight_are_not_learnt_from() -> None:
    heard = mixture_of([*SEEN[:4], {"ask": "qqq", "reply": "qqqqqqqq"}], REPLIES, weight=[1, 1, 1, 1, 0])
    only = mixture_of(SEEN[:4], REPLIES)
    first, second = (trainer(steps=2)(None, one, 1) for one in (heard, only))
    assert first.curve == second.curve
    assert first.budget.unique == second.budget.unique
    with pytest.raises(NotEnough):
        trainer()(None, mixture_of(SEEN[:2], REPLIES, weight=[0, 0]), 1)
    with pytest.raises(RecipeError):
        trainer()(None, mixture_of([{"text": "a"}], DOCUMENTS), 1)
