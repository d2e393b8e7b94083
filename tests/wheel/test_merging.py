"""Merged classes: models of before, records, checks and the exam under one name; people's words stay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.core.records import Task
from bapsim.store.project import opened
from bapsim.text.targets import label_set, renamed
from bapsim.wheel.held_out import OOF
from bapsim.wheel.merging import classes_of, merged_answers, merging
from bapsim.wheel.sheet import known_labels
from bapsim.wheel.state import the_champion
from bapsim.wheel.stock import load_stock
from tests.wheel.world import ASKS, bank, founded, turns

MERGED = {"loan": "transfer"}
LABELS = st.sampled_from(["a", "b", "c", "가 나", 'b"'])


def table(rows: list[list[float]], classes: tuple[str, ...]) -> pa.RecordBatch:
    probs = np.array(rows, np.float32)
    best = [classes[k] for k in probs.argmax(axis=1)]
    return pa.record_batch(
        {
            "prediction": pa.array(best),
            "confidence": pa.array(probs.max(axis=1)),
            "probs": pa.FixedSizeListArray.from_arrays(pa.array(probs.ravel()), len(classes)),
        }
    )


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=6))
def test_chances_are_added_and_the_likeliest_is_said(rows):
    shares = [[v / sum(row) for v in row] for row in rows]
    task = Task(input="text", target="label", merged={"a": "d", "b": "d"})
    said = merged_answers(table(shares, ("a", "b", "c", "d")), ("a", "b", "c", "d"), task)
    probs = np.array(said["probs"].to_pylist())
    assert classes_of(("a", "b", "c", "d"), task) == ("d", "c")
    assert probs.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert said["prediction"].to_pylist() == [("d", "c")[k] for k in probs.argmax(axis=1)]
    assert said["confidence"].to_numpy() == pytest.approx(probs.max(axis=1))


def test_an_answer_without_a_prediction_stays_without_one():
    task = Task(input="text", target="label", merged={"a": "b"})
    batch = pa.record_batch({"prediction": pa.array(["a", None, "c"])})
    assert merged_answers(batch, (), task)["prediction"].to_pylist() == ["b", None, "c"]


@given(st.lists(st.lists(LABELS, max_size=3), max_size=4))
def test_sets_are_read_under_one_name(sets):
    from bapsim.text.targets import joined

    said = [joined(one) for one in sets]
    found = renamed([*said, None], {"a": "b"}, "labels")
    assert found[-1] is None
    for one, now in zip(sets, found, strict=False):
        assert set(label_set(now)) == {"b" if label == "a" else label.strip() for label in one}
    assert renamed(found, {"a": "b"}, "labels") == found


def test_what_cannot_be_merged_is_said():
    with pytest.raises(RecipeError, match="b"):
        Task(input="text", target="label", merged={"a": "b", "b": "c"})
    with pytest.raises(RecipeError):
        Task(input="text", target="label", merged={"a": "a"})
    with pytest.raises(RecipeError):
        Task(input="text", target="label", answer="number", merged={"1": "2"})


def test_a_turn_after_a_merge_compares_both_models_under_one_name(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), bank(sources={k: bank().sources[k] for k in ("history", "clerk")})
    turns(root, recipe, 1)
    merged = replace(recipe, task=replace(recipe.task, merged=MERGED))
    told = turns(root, merged, 2)[-1]
    assert told["looked"] or told["decision" if "decision" in told else "verdict"]
    assert told["classes"] == len(ASKS) - 1
    with opened(root) as project:
        stock = load_stock(project, merged.task)
        assert "loan" not in set(stock.labels[stock.labelled])
        raw = load_stock(project, recipe.task)
        assert "loan" in set(raw.labels[raw.labelled]), "records keep what people said"
        assert (raw.ids == stock.ids).all()
        assert (np.nan_to_num(raw.depth) == np.nan_to_num(stock.depth)).all()
        assert known_labels(project, merged.task) == sorted(set(ASKS) - {"loan"})
        newest = project.ledger.value("select version from model where turn=2 order by rowid")
        oof = pq.read_table(project.models / "main" / newest / "judged" / OOF)
        assert "loan" not in set(oof["prediction"].to_pylist())
        old = the_champion(project, merged.task)
        assert "loan" not in old.respond.classes
        assert merging(old.respond, merged.task) is old.respond
        plain = the_champion(project)
        assert plain is not None


def test_a_model_of_before_loses_nothing_by_the_merge_alone(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), bank(sources={"history": bank().sources["history"]})
    turns(root, recipe, 1)
    task = replace(recipe.task, merged=MERGED)
    with opened(root) as project:
        before, after = the_champion(project), the_champion(project, task)
        raw, stock = load_stock(project, recipe.task), load_stock(project, task)
        at = np.flatnonzero(raw.labelled)
        rows = raw.part(at).select(["text"])
        then, now = (one.respond(rows)["prediction"].to_pylist() for one in (before, after))
        then = renamed(then, MERGED, "class")
        right_then = np.array(then) == stock.labels[at]
        right_now = np.array(now) == stock.labels[at]
    assert right_now.mean() >= right_then.mean() - 0.01
    assert "loan" not in set(now)
