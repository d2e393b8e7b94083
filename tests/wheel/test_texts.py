"""A wheel of texts: a language model is judged text by text on what it foresees, in nats a byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.plan import exam
from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, Task
from bapsim.core.turn import Turn
from bapsim.judge.exam import bits_per_byte, heard, per_item, right, said_of
from bapsim.judge.gate import paired
from bapsim.judge.opponents import uninformed
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.testing import mixture_of
from bapsim.train.ngram import text_ngram
from bapsim.wheel.audit import check
from bapsim.wheel.turn import run_turn
from tests.wheel.world import founded, origin, sentence

DOCUMENTS = Task(input="text", target="text", answer="text")
REPLIES = Task(input="ask", target="reply", answer="text")


@dataclass(frozen=True)
class Texts:
    """Sentences at one turn; noise: of random letters."""

    start: int
    stop: int
    at_turn: int = 1
    replies: bool = False

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == self.at_turn:
            said = [sentence(i) for i in range(self.start, self.stop)]
            columns = {"text": [text for text, _ in said]}
            if self.replies:
                columns = {
                    "ask": [t for t, _ in said],
                    "reply": [f"{label}: 곧 처리하겠습니다" for _, label in said],
                }
            yield Draft(rows=Rows(pa.record_batch(columns)), origin=origin("file"))


def recipe_of(task: Task = DOCUMENTS, **sources: Texts) -> Recipe:
    plan = {"judge": per_item(), "metric": bits_per_byte, "gate": paired(), "exam": exam(40), "folds": 3}
    return Recipe(task=task, sources=sources, train=text_ngram(6, longest=60), **plan)


def test_a_model_of_documents_is_kept_where_it_foresees_held_out_ones_better(tmp_path: Path) -> None:
    recipe = recipe_of(a=Texts(0, 120), b=Texts(500, 700, 2))
    with opened(founded(tmp_path / "p")) as project:
        first = run_turn(project, recipe)
        assert (first["verdict"], first["opponent"]) == ("accept", "bytes")
        second = run_turn(project, recipe)
        assert (second["verdict"], second["opponent"]) == ("accept", first["candidate"])
        assert second["gain"] > 0
        assert second["test"] == "log-loss sign flip"
        again = run_turn(project, recipe)
        assert again["reason"] == "decision.nothing_new"
        assert check(project, recipe)["ok"]
        assert second["accounts"]["trained"] == 120 + 200 - 40 - second["accounts"]["refused"]


def test_a_model_that_writes_replies_sees_no_reply_of_the_exam(tmp_path: Path) -> None:
    recipe = recipe_of(REPLIES, a=Texts(0, 200, replies=True))
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        assert told["verdict"] == "accept"
        folder = project.models / "main" / told["candidate"] / "judged"
        model = artifacts.load(folder)
        asked = Rows(pa.record_batch({"ask": ["카드를 잃어버렸어요 급해요"]}))
        (said,) = model(asked).column("prediction").to_pylist()
        assert "곧 처리하겠습니다" in said
        seeded = Rows(pa.record_batch({"ask": ["a", "a"], "_seed": pa.array([1, 1])}))
        assert len(set(model(seeded).column("prediction").to_pylist())) == 1
        assert check(project, recipe)["ok"]


def test_what_a_text_costs_does_not_depend_on_what_else_is_asked() -> None:
    rows = [{"text": sentence(i)[0]} for i in range(60)]
    mixture = mixture_of(rows, DOCUMENTS)
    model = text_ngram(3)(None, mixture, 0)
    whole = np.array(said_of(model, mixture.records, DOCUMENTS).column("loss").to_pylist())
    for i in (0, 31, 59):
        part = mixture_of(rows[i : i + 1], DOCUMENTS)
        assert said_of(model, part.records, DOCUMENTS).column("loss").to_pylist() == [pytest.approx(whole[i])]
    scores = per_item()(model, mixture)
    assert -bits_per_byte(scores) == pytest.approx(whole.mean() / np.log(2))
    assert not right(scores).any(), "nothing was written"


def test_a_respondent_without_losses_is_right_or_wrong() -> None:
    mixture = mixture_of([{"ask": "a", "reply": "b"}, {"ask": "c", "reply": "d"}], REPLIES)

    def parrot(rows: Rows) -> pa.RecordBatch:
        return pa.record_batch({"prediction": ["b"] * len(rows)})

    scores = per_item()(parrot, mixture)
    assert right(scores).tolist() == [True, False]
    assert (scores.schema.metadata or {})[b"calibrated"] == b"0"
    assert heard(parrot(Rows(pa.record_batch({"ask": ["x"]}))), (), "text").loss is None


def test_the_first_opponent_knows_how_often_each_byte_stands_there() -> None:
    mixture = mixture_of([{"text": "aab"}, {"text": "zzz"}], DOCUMENTS)
    who = uninformed(["aaab"] * 50, "text", "text")
    losses = said_of(who, mixture.records, DOCUMENTS).column("loss").to_pylist()
    assert losses[0] < losses[1]
    assert who(Rows(pa.record_batch({"text": ["a"]}))).column("prediction").to_pylist() == [None]


def test_an_empty_model_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotEnough):
        text_ngram()(None, mixture_of([{"text": ""}, {"text": None}], DOCUMENTS), 0)
    model = text_ngram()(None, mixture_of([{"text": "abc"}, {"text": None}], DOCUMENTS), 0)
    model.save(tmp_path / "m")
    loaded = artifacts.load(tmp_path / "m")
    rows = Rows(pa.record_batch({"text": ["abd", None]}))
    assert [one.tolist() for one in loaded.losses(rows)] == [one.tolist() for one in model.losses(rows)]  # type: ignore[attr-defined]
    assert replace(text_ngram(), order=2) != text_ngram()
