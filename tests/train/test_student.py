"""Students: all kinds of answers, the same from the same seed, and a teacher's opinion of the pool helps."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import Damaged, InputError, NotEnough
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.store.artifacts import load as load_model
from bapsim.train import student
from bapsim.train.student import Student, distilled, lesson, load, shape
from bapsim.train.text import text_linear
from tests.cli.conftest import sentences
from tests.ship.shipped import made, rows, taught

TASK = Task(input="text", target="label")


def mixture(labelled: list[dict[str, str]], told: list[tuple[str, str]]) -> Mixture:
    """Rows of people (depth 0), and texts that a teacher labelled (depth 1)."""
    columns = {
        "text": [r["text"] for r in labelled] + [t for t, _ in told],
        "label": [r["label"] for r in labelled] + [y for _, y in told],
        "_target_depth": pa.array([0] * len(labelled) + [1] * len(told), pa.int8()),
    }
    return Mixture(task=TASK, records=Records(pa.RecordBatch.from_pydict(columns)))


@pytest.mark.parametrize("answer", ["class", "labels", "number"])
def test_every_kind_is_stored_and_is_the_same_from_the_same_seed(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(answer, True).model
    monkeypatch.setattr(student, "FEWEST", 40)  # as it was made
    assert isinstance(one, Student)
    again = distilled()(made(answer).model, taught(answer)[0], 0)
    asked = rows(["카드 lost", "", "loan rate 이자", "\x00"])
    assert again(asked).equals(one(asked))
    one.save(tmp_path)
    assert load_model(tmp_path)(asked).equals(one(asked))
    assert one(asked).column("in_scope")[1].as_py() == 0
    said = json.loads((tmp_path / "vectors.json").read_text("utf-8"))
    (tmp_path / "vectors.json").write_text(json.dumps((np.array(said) + 0.1).tolist()))
    with pytest.raises(Damaged):
        load(tmp_path)


def test_it_agrees_with_its_teacher_about_new_texts() -> None:
    teacher = text_linear()(None, mixture(sentences(150, 1), []), 0)
    pool = [row["text"] for row in sentences(1500, 2)]
    told = list(zip(pool, teacher(rows(pool)).column("prediction").to_pylist(), strict=True))
    fresh = sentences(400, 3)
    asked = rows([row["text"] for row in fresh])
    before = np.array(teacher(asked).column("prediction").to_pylist())
    after = distilled()(teacher, mixture(sentences(150, 1), told), 0)(asked)
    assert (np.array(after.column("prediction").to_pylist()) == before).mean() >= 0.97
    gold = np.array([row["label"] for row in fresh])
    right = np.array(after.column("prediction").to_pylist()) == gold
    sure = np.array(after.column("confidence"))
    assert abs(right.mean() - sure.mean()) < 0.08, "calibrated on rows of people that were held out"


def test_what_a_machine_labelled_is_no_label() -> None:
    teacher = text_linear()(None, mixture(sentences(60, 1), []), 0)
    lied = [(row["text"], "loan") for row in sentences(30, 2)]  # another opinion than the teacher's
    taught_by = lesson(teacher, mixture(sentences(60, 1), lied))
    assert taught_by.people.sum() == 60
    probs = np.asarray(teacher(rows([t for t, _ in lied])).column("probs").flatten()).reshape(30, -1)
    assert taught_by.target[60:] == pytest.approx(probs, abs=1e-6)
    assert (taught_by.target[:60].max(axis=1) >= 0.5).all()
    doubted = Mixture(
        task=TASK, records=mixture(sentences(60, 1), []).records, weight=np.zeros(60, np.float32)
    )
    opinion = np.asarray(teacher(rows([r["text"] for r in sentences(60, 1)])).column("probs").flatten())
    assert lesson(teacher, doubted).target == pytest.approx(opinion.reshape(60, -1), abs=1e-6)
    with pytest.raises(NotEnough):
        lesson(teacher, mixture([], lied))


def test_a_student_is_small_whatever_it_answers() -> None:
    for k in (1, 2, 7, 77, 150):
        buckets, hidden = shape(k)
        assert buckets & (buckets - 1) == 0
        assert buckets * hidden == 1 << 19
    task = Task(input="a", target="b", kind="table")
    table = Mixture(task=task, records=Records(pa.RecordBatch.from_pydict({"a": [1]})))
    with pytest.raises(InputError, match="student"):
        distilled()(None, table, 0)


def test_without_a_teacher_it_learns_the_labels() -> None:
    alone = distilled()(None, mixture(sentences(300, 1), []), 0)
    fresh = sentences(100, 4)
    said = alone(rows([row["text"] for row in fresh])).column("prediction").to_pylist()
    assert np.mean([a == row["label"] for a, row in zip(said, fresh, strict=True)]) > 0.9


def test_a_student_of_few_numbers_stays_with_its_teacher() -> None:
    """Squares are not learnt by heart, and its interval holds four truths of five at least."""
    rng, words = (
        np.random.default_rng(3),
        ["카드", "card", "대출", "loan", "송금", "lost", "이자", "rate", "please", "문의", "fee", "bank"],
    )
    at = rng.integers(len(words), size=(1300, 6))
    texts = [" ".join(words[j] for j in row) for row in at]
    value = 2.0 * (at == 5).sum(1) + (at == 2).sum(1) - (at == 7).sum(1) + rng.normal(0, 0.3, len(at))
    said = {"text": texts[:300], "said": value[:300], "_target_depth": np.zeros(300, np.int8)}
    task = Task(input="text", target="said", answer="number")
    learnt = Mixture(task=task, records=Records(pa.RecordBatch.from_pydict(said)))
    teacher = text_linear()(None, learnt, 0)
    pool = teacher(rows(texts[300:700])).column("prediction").to_pylist()
    said = {"text": texts[:700], "said": [*value[:300], *pool]}
    said["_target_depth"] = np.repeat([0, 1], [300, 400]).astype(np.int8)
    mixed = Mixture(task=task, records=Records(pa.RecordBatch.from_pydict(said)))
    told = distilled()(teacher, mixed, 0)(rows(texts[700:]))
    before, after = (
        np.abs(np.array(who.column("prediction")) - value[700:]).mean()
        for who in (teacher(rows(texts[700:])), told)
    )
    assert after <= 1.1 * before
    inside = (np.array(told.column("low")) <= value[700:]) & (value[700:] <= np.array(told.column("high")))
    assert inside.mean() >= 0.78
