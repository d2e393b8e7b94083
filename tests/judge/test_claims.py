"""The rate of claims that a passage does not support: counted, calibrated on people's marks, compared."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import NotEnough, RecipeError
from bapsim.core.records import Task
from bapsim.judge.claims import calibrated, claim_rate, flagged, more_invented
from bapsim.judge.exam import per_item
from bapsim.testing import mixture_of
from bapsim.text.grounds import support

PASSAGE = "The bank was founded in Seoul in March 1998. It employs 2,400 people in three cities."


def test_claims_are_counted_by_answer() -> None:
    answers = ["It employs 2,400 people in three cities.", "It employs 9,999 people. Founded in Seoul.", ""]
    assert flagged(answers, [PASSAGE] * 3).tolist() == [[1, 0], [2, 1], [0, 0]]
    said = claim_rate(flagged(answers, [PASSAGE] * 3))
    assert (said.answers, said.claims, said.flagged, said.share) == (3, 3, 1, None)
    assert claim_rate(np.zeros((0, 2), np.int64)).rate == 0


def made(rng: np.random.Generator, share: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """bool[n]: whether each claim is unsupported, and what a measure with .8 and .1 says."""
    truth = rng.random(count) < share
    return truth, np.where(truth, rng.random(count) < 0.8, rng.random(count) < 0.1)


def test_the_measure_s_errors_are_taken_out() -> None:
    """60 worlds: the interval holds the true share in about 95 of 100."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        marks, flags = made(rng, 0.4, 300)
        measure = calibrated(flags, marks)
        _, said = made(rng, 0.2, 200)
        counts = np.stack([np.ones(200, np.int64), said.astype(np.int64)], axis=1)
        found = claim_rate(counts, measure, rng)
        assert found.share is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.share <= found.high
        held += found.low <= 0.2 <= found.high
    assert held >= 0.88 * 60


def test_a_measure_that_tells_nothing_gives_no_share() -> None:
    rng = np.random.default_rng(0)
    marks = np.arange(300) < 150
    blind = calibrated(np.zeros(300, bool), marks)
    assert blind.tells == 0
    counts = np.array([[1, 1], [2, 0]])
    assert claim_rate(counts, blind, rng).share is None
    good = calibrated(marks, marks)
    assert claim_rate(counts, good).share is None  # nothing to draw with
    assert claim_rate(np.array([[0, 0]]), good, rng).share is None
    assert claim_rate(counts, good, rng).share == pytest.approx(1 / 3)


@pytest.mark.parametrize("marks", [np.zeros(300, bool), np.ones(300, bool), np.arange(199) < 50])
def test_marks_have_to_be_enough(marks: np.ndarray) -> None:
    with pytest.raises(NotEnough, match="200"):
        calibrated(marks, marks)


def test_a_model_that_invents_more_is_seen() -> None:
    rng = np.random.default_rng(0)
    before = np.stack([np.full(300, 2), rng.binomial(2, 0.1, 300)], axis=1)
    after = np.stack([np.full(300, 3), rng.binomial(3, 0.2, 300)], axis=1)
    said = more_invented(before, after, 0)
    assert (said.before, said.after) == (before[:, 1].sum() / 600, after[:, 1].sum() / 900)
    assert 0 < said.low < said.after - said.before < said.high
    assert said.p < 0.005
    assert said.claims == 900
    same = more_invented(before, before, 0)
    assert (same.low, same.high, same.p) == (0, 0, pytest.approx(0.5, abs=0.01))
    nothing = more_invented(before, np.zeros_like(before), 0)
    assert nothing.after == 0
    assert nothing.p > 0.99, "who says nothing invents nothing"


def test_one_question_asked_ten_times_is_one_question() -> None:
    rng = np.random.default_rng(1)
    before = np.stack([np.full(12, 1), np.zeros(12, np.int64)], axis=1)
    after = np.stack([np.full(12, 1), rng.permutation(np.arange(12) < 4).astype(np.int64)], axis=1)
    alone = more_invented(before.repeat(10, axis=0), after.repeat(10, axis=0), 0)
    grouped = more_invented(before.repeat(10, axis=0), after.repeat(10, axis=0), 0, np.arange(12).repeat(10))
    assert alone.low > grouped.low
    assert alone.after == grouped.after


GROUNDED = Task(input=("passage", "question"), target="answer", answer="text")


def test_the_judge_counts_claims_where_it_is_told_the_passage() -> None:
    rows = [{"passage": PASSAGE, "question": str(i), "answer": "x"} for i in range(3)]
    rows[2]["passage"] = None
    mixture = mixture_of(rows, GROUNDED)

    def who(asked: pa.RecordBatch) -> pa.RecordBatch:
        said = ["It employs 2,400 people. It employs 9,999 people.", None, "Founded in Seoul."]
        return pa.record_batch({"prediction": pa.array(said[: len(asked)], pa.string())})

    scores = per_item(passage="passage")(who, mixture)
    assert scores.column("claims").to_pylist() == [2, 0, 1]
    assert scores.column("unsupported").to_pylist() == [1, 0, 1], "without a passage nothing is supported"
    assert "claims" not in per_item()(who, mixture).schema.names


@pytest.mark.parametrize(
    ("passage", "task"),
    [("text", GROUNDED), ("answer", GROUNDED), ("passage", replace(GROUNDED, answer="class"))],
)
def test_claims_need_a_passage_and_a_text(passage: str, task: Task) -> None:
    mixture = mixture_of([{"passage": PASSAGE, "question": "?", "answer": "x"}], task)

    def who(asked: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"prediction": ["x"] * len(asked)})

    with pytest.raises(RecipeError, match="passage"):
        per_item(passage=passage)(who, mixture)


@pytest.mark.data
def test_on_sentences_that_people_judged(data: Path) -> None:
    """What follows from another sentence, and what does not (klue_nli_ko): it tells, and errs much."""
    with gzip.open(data / "klue_nli_ko/annot.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    flags = np.array(
        [support(r["hypothesis"], r["premise"]) in ("unsupported", "contradicted") for r in rows]
    )
    marks = np.array([row["gold"] != "entailment" for row in rows])
    measure = calibrated(flags, marks)
    assert measure.tells > 0.25
    half = np.arange(len(rows)) % 2 == 0
    counts = np.stack([np.ones(int(half.sum()), np.int64), flags[half].astype(np.int64)], axis=1)
    said = claim_rate(counts, calibrated(flags[~half], marks[~half]), np.random.default_rng(0))
    assert said.low is not None
    assert said.high is not None
    assert said.low <= marks[half].mean() <= said.high
