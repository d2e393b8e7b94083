"""The rate of claims that a passage does not support: counted, calibrated on people's marks, compared."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from bapsim.core.errors import NotEnough
from bapsim.judge.claims import calibrated, claim_rate, flagged, more_invented
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
    gap, low, high = more_invented(before, after, rng)
    assert 0 < low < gap < high
    same, low, high = more_invented(before, before, rng)
    assert same == low == high == 0


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
