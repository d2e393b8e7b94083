"""What is taught of targets: votes as copies, sets, numbers, and what cannot be learnt."""

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.train.labels import labels_of, sets_of, values_of
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear


def taught(target, votes=None, weight=None, **task):
    columns = {"x": pa.array([f"row {i}" for i in range(len(target))]), "y": pa.array(target)}
    if votes is not None:
        columns["v"] = pa.array(votes, pa.list_(pa.string()))
        task["votes"] = "v"
    about = Task(input="x", target="y", **task)
    rows = Records(pa.RecordBatch.from_pydict(columns))
    return Mixture(task=about, records=rows, weight=None if weight is None else np.float32(weight))


def test_a_disputed_row_is_learnt_once_for_each_class_that_was_voted_for():
    votes = [["a", "b", "b"], ["b", "b"], None, ["a", "typo", "typo"], ["c"] * 3]
    labels = labels_of(taught(["a", "b", "a", "a", "b"], votes, [2, 1, 1, 1, 1]))
    assert labels.classes == ("a", "b")
    assert labels.y.tolist() == [0, 1, 0, 0, 1], "as settled"
    assert labels.copies is not None
    rows, y, weight = labels.copies
    assert rows.tolist() == [0, 0, 1, 2, 3, 4]
    assert y.tolist() == [0, 1, 1, 0, 0, 1]
    assert weight.tolist() == [1, 1, 1, 1, 1, 1], "2 of weight: the settled label is one vote more"
    assert np.bincount(rows, weight).tolist() == labels.weight.tolist(), "a row's copies weigh what it does"


def test_copies_of_some_rows():
    labels = labels_of(taught(["a", "b", "a"], [["a", "b"], ["b"], ["b", "b", "b"]]))
    at, y, weight = labels.learnt(np.array([2, 0]))
    assert at.tolist() == [0, 0, 1, 1]
    assert y.tolist() == [0, 1, 0, 1]
    assert weight == pytest.approx([1 / 4, 3 / 4, 2 / 3, 1 / 3])
    plain = labels_of(taught(["a", "b", "a"], [["a"], None, ["a", "a"]]))
    assert plain.copies is None, "votes that agree are no copies"
    assert plain.learnt(np.array([2, 1])).y.tolist() == [0, 1]
    absent = taught(["a", "b"])
    named = Mixture(task=Task(input="x", target="y", votes="v"), records=absent.records)
    assert labels_of(named).copies is None


@pytest.mark.parametrize("kind", ["text", "table"])
def test_votes_move_probabilities_and_answers_stay_one_a_row(kind):
    rng = np.random.default_rng(0)
    n = 240
    side = rng.random(n) < 0.5
    words = np.where(side, "left west", "right east")
    clear = rng.random(n) < 0.5
    texts = [
        f"{w} {'plainly' if c else 'perhaps'} {i % 7}"
        for i, (w, c) in enumerate(zip(words, clear, strict=True))
    ]
    target = np.where(side, "l", "r").tolist()
    votes = [[t] * 5 if c else ["l", "l", "l", "r", "r"] for t, c in zip(target, clear, strict=True)]
    columns = {"x": pa.array(texts), "p": pa.array(clear), "s": pa.array(side), "y": pa.array(target)}
    rows = Records(pa.RecordBatch.from_pydict(columns | {"v": pa.array(votes, pa.list_(pa.string()))}))
    inputs = "x" if kind == "text" else ("p", "s")
    train = text_linear(cost=0.3) if kind == "text" else table_boosted(trees=10, rounds=10)
    folds = (np.arange(n) % 4).astype(np.int8)
    sure = {}
    for name in (None, "v"):
        task = Task(input=inputs, target="y", kind=kind, votes=name)
        found = train.crossfit(None, Mixture(task=task, records=rows), folds, 0)
        assert len(found.answers) == n
        assert found.answers["prediction"].null_count == 0
        assert found.model.classes == ("l", "r")
        sure[name] = np.asarray(found.answers["probs"].flatten()).reshape(n, 2)[~clear & ~side, 1].mean()
    assert sure["v"] < sure[None] - 0.01, "raters disagree about these rows"


def test_sets_and_numbers_are_taught_in_any_type():
    lists = taught([["b", "a"], [], ["b"]], answer="labels")
    texts = taught(["a; b", "[]", "b|b"], answer="labels")
    for mixture in (lists, texts):
        classes, there, weight = sets_of(mixture)
        assert classes == ("a", "b")
        assert there.tolist() == [[1, 1], [0, 0], [0, 1]]
        assert weight.tolist() == [1, 1, 1]
    for target in ([1.0, 2.5], ["1", "2.50"], [1, 3]):
        assert values_of(taught(target, answer="number")).value[0] == 1


@pytest.mark.parametrize(
    ("target", "answer", "error", "says"),
    [
        (["a", "a; b", None], "labels", InputError, "pool"),
        (["a; b", "b; a"], "labels", NotEnough, "a, b"),
        (["[]", "[]"], "labels", NotEnough, "label"),
        ([], "labels", NotEnough, "label"),
        (["1", "2,5", "3"], "number", InputError, "2,5"),
        ([1.0, 1.0], "number", NotEnough, "one number"),
        ([1.0, None], "number", InputError, "pool"),
    ],
)
def test_what_cannot_be_learnt_is_said(target, answer, error, says):
    mixture = taught(pa.array(target, pa.string() if not target else None), answer=answer)
    for train in (text_linear(), table_boosted(trees=2, rounds=2)):
        with pytest.raises(error, match=says):
            train(None, mixture, 0)


def test_only_heard_rows_tell_apart():
    with pytest.raises(NotEnough):
        sets_of(taught(["a", "[]"], weight=[1, 0], answer="labels"))
    with pytest.raises(NotEnough):
        values_of(taught([1.0, 2.0], weight=[1, 0], answer="number"))
    with pytest.raises(InputError, match="weight"):
        values_of(taught([1.0, 2.0], weight=[1, -1], answer="number"))


def test_votes_are_for_classes_only():
    for answer, target in (("labels", ["a", "b"]), ("number", [1.0, 2.0])):
        with pytest.raises(RecipeError, match="votes"):
            text_linear()(None, taught(target, [["a"], ["b"]], answer=answer), 0)
