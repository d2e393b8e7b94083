"""Scores of respondents on exam items."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import ExchangeError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Answers, Numbering, Records, Rows, Task, certify, source
from bapsim.judge.exam import SHARE, accuracy, gold_share, log_loss, losses, per_item, probs_of, right
from bapsim.judge.ranking import auroc, average_precision

TASK = Task(input="text", target="label", group="who", slices=("language",))


def items(labels: list[str | None]) -> Mixture:
    rows = pa.record_batch(
        {
            "text": [f"t{i}" for i in range(len(labels))],
            "label": pa.array(labels, pa.string()),
            "who": pa.array([f"g{i // 2}" for i in range(len(labels))], pa.string()),
            "language": pa.array(["ko", "en", "ko", None][: len(labels)], pa.string()),
        }
    )
    draft = source(Rows(rows), name="x", maker="person", rights="own")
    records = certify(draft, secret=b"2" * 32, origin=0, numbering=Numbering())
    return Mixture(task=TASK, records=Records(records))


class Fixed:
    """Always these probabilities for two classes."""

    classes = ("a", "b")

    def __init__(self, probs: list[list[float]] | None, said: list[str | None]) -> None:
        self.probs, self.said = probs, said

    def __call__(self, rows: Rows) -> Answers:
        columns = {"prediction": pa.array(self.said, pa.string())}
        if self.probs is not None:
            flat = pa.array(np.asarray(self.probs, np.float32).ravel())
            columns["probs"] = pa.FixedSizeListArray.from_arrays(flat, 2)
        return Answers(pa.record_batch(list(columns.values()), names=list(columns)))


def test_calibrated_answers_are_scored_item_by_item() -> None:
    exam = items(["a", "b", "b", "c"])
    who = Fixed([[0.9, 0.1], [0.8, 0.2], [0.0, 1.0], [0.5, 0.5]], ["a", "a", "b", None])
    scores = per_item()(who, exam)
    assert scores.schema.metadata[b"calibrated"] == b"1"
    assert scores["_id"].equals(exam.records["_id"])
    assert right(scores).tolist() == [True, False, True, False]
    assert accuracy(scores) == 0.5
    expected = [-math.log((1 - SHARE) * p + SHARE / 2) for p in (0.9, 0.2, 1.0, 0.0)]
    assert scores["loss"].to_pylist() == pytest.approx(expected, rel=1e-6)
    assert log_loss(scores) == pytest.approx(-np.mean(expected), rel=1e-6)
    assert scores["group"].to_pylist() == ["g0", "g0", "g1", "g1"]
    assert scores["slice_language"].to_pylist() == ["ko", "en", "ko", None]
    assert scores["p_a"].to_pylist() == pytest.approx([0.9, 0.8, 0.0, 0.5])


def test_answers_without_probabilities_have_no_loss() -> None:
    scores = per_item()(Fixed(None, ["a", "b"]), items(["a", "a"]))
    assert scores.schema.metadata[b"calibrated"] == b"0"
    assert scores["loss"].to_pylist() == [None, None]
    assert accuracy(scores) == 0.5
    assert "p_a" not in scores.schema.names


def test_a_task_without_group_has_items_of_their_own() -> None:
    exam = items(["a"])
    bare = Mixture(task=Task(input="text", target="label"), records=exam.records)
    assert per_item()(Fixed(None, ["a"]), bare)["group"].to_pylist() == [None]


def test_a_respondent_that_skips_items_is_refused() -> None:
    with pytest.raises(ExchangeError, match="2 questions got 1 answers"):
        per_item()(Fixed(None, ["a"]), items(["a", "b"]))


def test_an_empty_exam_has_no_value() -> None:
    scores = per_item()(Fixed(None, []), items([]))
    assert math.isnan(accuracy(scores))
    assert math.isnan(log_loss(scores))


def test_rows_without_probabilities_count_as_zero() -> None:
    column = pa.array([[0.25, 0.75], None], pa.list_(pa.float32(), 2))
    found = probs_of(pa.record_batch({"probs": column}))
    assert found is not None
    assert found.tolist() == [[0.25, 0.75], [0.0, 0.0]]
    assert probs_of(pa.record_batch({"prediction": ["a"]})) is None


def test_a_model_without_classes_gives_nothing_to_any_label() -> None:
    assert gold_share(np.zeros((2, 0)), (), ["a", None]).tolist() == [0.0, 0.0]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_losses_are_bounded_and_proper(raw: list[float]) -> None:
    total = sum(raw)
    probs = np.array([raw]) / total if total > 0 else np.full((1, len(raw)), 1 / len(raw))
    names = [str(i) for i in range(len(raw))]
    per_class = [float(losses(probs, names, [n])[0]) for n in names]
    assert max(per_class) <= math.log(len(raw) / SHARE) + 1e-9
    expected = float(np.dot(probs[0], per_class))
    for other in np.eye(len(raw)):
        said = [float(losses(other[None], names, [n])[0]) for n in names]
        assert expected <= float(np.dot(probs[0], said)) + 0.02


def test_a_ranking_metric_reads_the_judges_scores() -> None:
    exam = items(["a", "b", "a", "b"])
    who = Fixed([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], ["a", "b", "a", "a"])
    scores = per_item()(who, exam)
    assert auroc("a")(scores) == pytest.approx(0.75)
    assert average_precision("a")(scores) == pytest.approx((1 + 2 / 3) / 2)
