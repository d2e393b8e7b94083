"""Labels that look wrong count for less, answers to questions count fully, and clean data is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.arrow import id_bytes, numbers
from bapsim.refine.label_errors import label_errors
from bapsim.store.lake import parquet, read_batch
from bapsim.store.project import opened
from bapsim.wheel.held_out import OOF, WEIGHT
from bapsim.wheel.stock import ASKED, load_stock
from bapsim.wheel.turn import run_turn
from bapsim.wheel.weighing import LEAST, trust
from tests.wheel.test_doubting import slipped_bank
from tests.wheel.world import Books, founded, sentence, wrong

SLIPS = 100


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=30))
def test_the_likelier_a_label_is_wrong_the_less_it_counts(wrong: list[float]) -> None:
    chances = np.array(wrong, np.float64)
    counts = trust(chances)
    assert ((counts >= np.float32(LEAST)) & (counts <= 1)).all()
    assert (counts[np.isnan(chances)] == 1).all(), "of which nothing is known"
    order = np.argsort(np.nan_to_num(chances))
    assert (np.diff(counts[order]) <= 0).all()


def weights_of(root: Path, version: str) -> dict[bytes, float]:
    table = read_batch(root / "wheel" / "models" / "main" / version / "judged" / OOF)
    ids = [one.tobytes() for one in id_bytes(table.column("_id"))]
    return dict(zip(ids, numbers(table.column(WEIGHT)).tolist(), strict=True))


def test_wrong_labels_count_for_less_and_answers_fully(tmp_path: Path) -> None:
    said = tuple((i, wrong(i) if i < SLIPS else None) for i in range(500))
    recipe = slipped_bank(surveys={"labels": label_errors(1.0)})
    recipe = replace(recipe, sources=dict(recipe.sources) | {"books": Books((said,))})
    root = founded(tmp_path / "p")
    for n in (1, 2):
        with opened(root) as project:
            run_turn(project, recipe)
            stock = load_stock(project, recipe.task)
            version = project.ledger.value("select version from model where turn=? order by version", n)
        counts = weights_of(root, str(version))
        at, given = np.array([stock.place[one] for one in counts]), np.array(list(counts.values()))
        answer = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))[at]
        planted = np.isin(np.array(stock.texts, object)[at], [sentence(i)[0] for i in range(SLIPS)]) & ~answer
        assert answer.any() == (n == 2)
        assert (given[answer] == 1).all()
        assert given.min() >= np.float32(LEAST)
        if n == 1:
            assert given[planted].mean() < given[~planted].mean() - 0.1


def test_a_survey_may_leave_all_weights_alone(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), slipped_bank(surveys={"labels": label_errors(1.0, weigh=False)})
    with opened(root) as project:
        run_turn(project, recipe)
        version = project.ledger.value("select version from model")
    assert set(weights_of(root, str(version)).values()) == {1.0}


def test_a_table_of_an_older_wheel_counts_all_rows(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), slipped_bank()
    with opened(root) as project:
        run_turn(project, recipe)
        version = project.ledger.value("select version from model")
        path = root / "wheel" / "models" / "main" / str(version) / "judged" / OOF
        table = read_batch(path)
        path.write_bytes(
            parquet(pa.RecordBatch.from_arrays(table.columns[:-1], names=table.schema.names[:-1]))
        )
        assert WEIGHT not in read_batch(path).schema.names
        assert run_turn(project, recipe)["turn"] == 2
