"""Labels that look wrong count for less, answers to questions count fully, and clean data is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.arrow import id_bytes, numbers
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.refine.label_errors import label_errors
from bapsim.refine.labels import suspicion
from bapsim.store.lake import parquet, read_batch
from bapsim.store.project import opened
from bapsim.wheel.audit import stands
from bapsim.wheel.held_out import OOF, WEIGHT
from bapsim.wheel.stock import ASKED, REFUSED, SUPERSEDED, load_stock
from bapsim.wheel.turn import run_turn
from bapsim.wheel.weighing import LEAST, Looks, can_tell, newest_looks, second_looks, trust, trusted
from tests.wheel.test_doubting import slipped_bank
from tests.wheel.world import ASKS, Books, founded, sentence, wrong

SLIPS = 100


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A trainer that writes down the weights of every final fit."""

    inner: Any
    seen: list[np.ndarray | None] = field(metadata={"identity": False})

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> Model:
        self.seen.append(mixture.weight)
        return self.inner(parent, mixture, seed)

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        return self.inner.crossfit(parent, mixture, folds, seed)


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


def test_only_answers_about_doubtful_labels_say_how_far_the_doubt_may_be_trusted(tmp_path: Path) -> None:
    """A changed rule asks about labels that are mostly right: confirming these is no fault of the model."""
    said = tuple((i, wrong(i) if i < SLIPS else None) for i in range(500))
    recipe = slipped_bank(surveys={"labels": label_errors()})
    recipe = replace(recipe, sources=dict(recipe.sources) | {"books": Books((said,))})
    root = founded(tmp_path / "p")
    looks = []
    for n in range(1, 4):
        rules = dict.fromkeys(ASKS, f"a rule of turn {n}") if n > 1 else {}
        with opened(root) as project:
            run_turn(project, replace(recipe, guideline=rules))
            stock = load_stock(project, recipe.task)
            state = stands(project, stock)
            rows = state == SUPERSEDED, state == REFUSED
            looks.append((newest_looks(project.ledger, stock, *rows), len(second_looks(stock, *rows))))
    (first, none), (second, some), (third, more) = looks
    assert first == Looks(0, 0)
    assert none == 0
    assert 0 < second.changed <= second.asked == some
    assert third == second, "answers about rules came since, and are not among them"
    assert more > some


def test_a_sample_that_people_confirm_takes_the_doubt_away() -> None:
    chances = np.array([0.9] * 10 + [0.1] * 90)
    assert trusted(Looks(0, 0), chances) == 1
    assert trusted(Looks(24, 0), chances) < 0.2
    assert trusted(Looks(24, 24), chances) == 1
    assert trusted(Looks(24, 0), np.full(5, np.nan)) < 0.2
    steps = [trusted(Looks(24, n), chances) for n in range(25)]
    assert steps == sorted(steps)


def test_what_serves_is_taught_exam_items_as_far_as_their_labels_are_trusted(tmp_path: Path) -> None:
    """The judged model, which never saw them, says how far; where it was not weighed, they count fully."""
    said = tuple((i, wrong(i) if i < SLIPS else None) for i in range(500))
    for weigh in (True, False):
        recipe = slipped_bank(surveys={"labels": label_errors(weigh=weigh)})
        seen: list[np.ndarray | None] = []
        recipe = replace(
            recipe,
            sources=dict(recipe.sources) | {"books": Books((said,))},
            train=Watched(inner=recipe.train, seen=seen),
        )
        root = founded(tmp_path / str(weigh))
        with opened(root) as project:
            run_turn(project, recipe)
        refitted = seen[-1]
        if not weigh:
            assert refitted is None
            continue
        assert refitted is not None
        assert (refitted < 0.5).any()
        assert np.isfinite(refitted).all()


@pytest.mark.parametrize(("apart", "noise", "told"), [(3.0, 0.2, True), (3.0, 0.0, False), (0.6, 0.3, False)])
def test_labels_are_weighed_where_a_model_can_tell_which_are_wrong(
    apart: float, noise: float, told: bool
) -> None:
    """Two classes so far apart; the model is calibrated for labels with this noise."""
    rng, n = np.random.default_rng(3), 3000
    truth = rng.integers(0, 2, n)
    x = (2 * truth - 1) * apart + rng.normal(size=n)
    second = noise + (1 - 2 * noise) / (1 + np.exp(-2 * apart * x))
    probs = np.stack([1 - second, second], axis=1).astype(np.float32)
    labels = np.where(rng.random(n) < noise, 1 - truth, truth).astype(np.int64)
    assert can_tell(suspicion(probs, labels), labels) == told
